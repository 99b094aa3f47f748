//! A client that waits for the answers to its publishes stays below the limit of commands, whatever else it does. No
//! I/O, and a clock that only the test moves.

use proptest::prelude::*;
use std::{collections::VecDeque, sync::Arc};
use tidings_server::{
    Config, Limits, Published,
    protocol::{ClientFrame, MAX_IN_FLIGHT, MAX_REQUESTS, ServerFrame, reason},
    session::{Effect, Session},
};
use ulid::Ulid;

/// What a client of ours sends at once, when it comes back.
fn breath() -> usize {
    Limits::default().channels_per_connection + MAX_IN_FLIGHT + MAX_REQUESTS + 1
}

/// A gateway that accepts every publish at once, a client that has so many in flight and no more, and the time
/// that a frame takes between them, in milliseconds.
struct Line {
    session: Session,
    window: usize,
    latency: u64,
    now: u64,
    /// Publishes that the application has made, that were sent, and the numbers of those that were answered.
    made: u64,
    sent: u64,
    answered: Vec<u64>,
    up: VecDeque<(u64, String)>,
    down: VecDeque<(u64, String)>,
    /// What the session said at last, and with which code it has closed.
    paced: usize,
    closed: Option<u16>,
}

impl Line {
    fn new(latency: u64, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.ping_interval = std::time::Duration::ZERO;
        change(&mut config);
        let mut effects = VecDeque::new();
        let mut session = Session::open(Ulid::nil(), Arc::new(config), 0, &mut effects);
        effects.clear();
        session.identified(None, None, &mut effects);
        assert!(effects.is_empty());
        Self {
            session,
            window: MAX_IN_FLIGHT,
            latency,
            now: 0,
            made: 0,
            sent: 0,
            answered: Vec::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            paced: 0,
            closed: None,
        }
    }

    fn send(&mut self, text: impl Into<String>) {
        self.up.push_back((self.now + self.latency, text.into()));
    }

    /// The client sends what it may.
    fn flow(&mut self) {
        while self.sent < self.made && (self.sent as usize) < self.answered.len() + self.window {
            self.send(publish("a", self.sent));
            self.sent += 1;
        }
    }

    fn carry_out(&mut self, mut effects: VecDeque<Effect>) {
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Send(text) => {
                    let text = String::from_utf8(text).expect("UTF-8");
                    self.down.push_back((self.now + self.latency, text));
                }
                Effect::Publish { context, .. } => {
                    let outcome = match &*context.event {
                        "denied" => Err(reason::PUBLISH_DENIED),
                        _ => Ok(Published::new(Ulid::nil(), None)),
                    };
                    self.session.published(outcome, self.now, &mut effects);
                }
                Effect::Authorize { ticket, .. } => {
                    self.session.authorized(ticket, Some(&false.into()), &mut effects);
                }
                Effect::History { request, channel, .. } => {
                    self.session.history_read(request, &channel, Err(reason::NO_HISTORY), &mut effects);
                }
                Effect::Paced => self.paced += 1,
                Effect::Close(code) => self.closed = Some(code.code()),
                Effect::Resolve { .. } => self.session.authenticated(None, None, &mut effects),
                Effect::Dropped => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Lets time go by, up to `until`.
    fn run(&mut self, until: u64) {
        loop {
            self.flow();
            let due = [self.up.front(), self.down.front()].into_iter().flatten().map(|(at, _)| *at);
            let Some(next) = due.chain(self.session.deadline()).min().filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(next);
            let mut effects = VecDeque::new();
            if let Some((_, text)) = self.up.pop_front_if(|(at, _)| *at <= self.now) {
                self.session.text(&text, self.now, &mut effects);
            } else if let Some((_, text)) = self.down.pop_front_if(|(at, _)| *at <= self.now) {
                self.hear(&text);
            } else {
                self.session.tick(self.now, &mut effects);
            }
            self.carry_out(effects);
        }
        self.now = until;
    }

    fn hear(&mut self, text: &str) {
        match ServerFrame::parse(text).expect("a frame") {
            ServerFrame::Ack { request, .. } => self.answered.push(request),
            ServerFrame::Err { request: Some(request), reason, .. } if *reason != *reason::NO_HISTORY => {
                self.answered.push(request);
            }
            _ => {}
        }
    }

    fn answered_in_order(&self) -> bool {
        self.answered.iter().copied().eq(0..self.answered.len() as u64)
    }
}

fn publish(channel: &str, number: u64) -> String {
    let event = if number % 10 == 3 { "denied" } else { "e" };
    ClientFrame::<&str, &str>::Pub { channel, event, data: None, request: Some(number), key: None }.to_json()
}

fn sub(channel: usize) -> String {
    format!(r#"{{"t":"sub","c":"{channel}"}}"#)
}

#[test]
fn a_short_burst_is_answered_at_once() {
    let mut line = Line::new(0, |_| {});
    line.made = (512 - breath()) as u64;
    line.run(0);
    assert_eq!((line.answered.len() as u64, line.paced), (line.made, 0));
    assert_eq!(line.session.deadline(), None, "nothing is held back");
    line.made += 1;
    line.run(0);
    assert_eq!((line.answered.len() as u64, line.paced), (line.made - 1, 1));
    assert_eq!(line.session.deadline(), Some(10), "a hundredth of a second is one command");
    line.run(10);
    assert_eq!((line.answered.len() as u64, line.session.deadline()), (line.made, None));
}

#[test]
fn a_loop_of_two_thousand_publishes_takes_as_long_as_the_limit_says() {
    for latency in [0, 1, 30, 400] {
        let mut line = Line::new(latency, |_| {});
        line.made = 2_000;
        let least = (2_000 - 512) * 10;
        line.run(least);
        assert!(line.answered.len() < 2_000, "{latency} ms: faster than is allowed");
        line.run(20_000 + 4 * latency);
        assert_eq!((line.closed, line.answered.len()), (None, 2_000), "{latency} ms");
        assert!(line.answered_in_order(), "{latency} ms");
    }
}

#[test]
fn all_that_a_client_sends_in_one_breath_has_room_at_any_time() {
    for moment in (0..6_000).step_by(250) {
        let mut line = Line::new(20, |_| {});
        line.made = 10_000;
        line.run(moment);
        (0..128).for_each(|n| line.send(sub(n)));
        for n in 0..MAX_REQUESTS {
            line.send(format!(r#"{{"t":"hist","c":"a","n":{}}}"#, 20_000 + n));
        }
        line.send(r#"{"t":"auth","tk":"t"}"#);
        line.run(moment + 6_000);
        assert_eq!(line.closed, None, "after {moment} ms");
        assert!(line.answered.len() > moment as usize / 10 && line.answered_in_order(), "after {moment} ms");
    }
}

#[test]
fn who_waits_for_each_answer_is_paced_too() {
    let mut line = Line::new(0, |_| {});
    (line.window, line.made) = (1, 1_000);
    line.run(5_000);
    assert_eq!(line.closed, None);
    let answered = line.answered.len();
    assert!((590..=600).contains(&answered), "{answered} in five seconds");
}

#[test]
fn who_does_not_wait_is_closed() {
    let mut line = Line::new(0, |_| {});
    (line.window, line.made) = (usize::MAX, 513);
    line.run(0);
    assert_eq!(line.closed, Some(4029));
}

#[test]
fn publishes_without_a_number_are_not_paced() {
    let mut line = Line::new(0, |_| {});
    for _ in 0..512 {
        line.send(r#"{"t":"pub","c":"a","e":"denied"}"#);
    }
    line.run(0);
    assert_eq!((line.paced, line.closed, line.session.deadline()), (0, None, None));
    line.send(r#"{"t":"pub","c":"a","e":"e"}"#);
    line.run(0);
    assert_eq!(line.closed, Some(4029));
}

#[test]
fn what_is_wrong_with_a_publish_is_said_in_its_turn() {
    let mut line = Line::new(0, |_| {});
    for n in 0..200 {
        line.send(match n % 4 {
            0 => publish("a", n),
            1 => publish("no channel", n),
            2 => format!(r#"{{"t":"pub","c":"a","e":"\u0001","n":{n}}}"#),
            _ => format!(r#"{{"t":"pub","c":"a","e":"e","k":"","n":{n}}}"#),
        });
    }
    line.run(0);
    assert!(line.answered.len() < 200 && line.answered_in_order(), "{:?}", line.answered);
    line.run(2_000);
    assert_eq!(line.answered.len(), 200);
    assert!(line.answered_in_order(), "{:?}", line.answered);
}

#[test]
fn without_a_limit_nothing_is_held_back() {
    let mut line = Line::new(0, |config| config.limits.commands_per_second = 0);
    (line.window, line.made) = (usize::MAX, 5_000);
    line.run(0);
    assert_eq!((line.answered.len(), line.paced, line.closed), (5_000, 0, None));
}

#[test]
fn the_end_brings_the_answers_that_were_held_back() {
    let mut line = Line::new(0, |_| {});
    line.made = 200;
    line.run(0);
    let mut effects = VecDeque::new();
    line.session.bye(tidings_server::protocol::CloseCode::Restart, 100, &mut effects);
    assert_eq!(effects.len(), 1, "a client that is asked to go is paced until it goes");
    line.carry_out(effects);
    assert!(line.answered.len() < 200);
    let mut effects = VecDeque::new();
    line.session.end(&mut effects);
    line.carry_out(effects);
    line.run(0);
    assert_eq!(line.answered.len(), 200);
    assert!(line.answered_in_order());
    assert_eq!(line.session.deadline(), None);
    let mut effects = VecDeque::new();
    line.session.end(&mut effects);
    assert!(effects.is_empty(), "once");
}

#[test]
fn no_more_is_held_back_than_the_burst_has_room_for() {
    let mut line = Line::new(0, |config| config.limits.dry_run = true);
    (line.window, line.made) = (usize::MAX, 5_000);
    let mut effects = VecDeque::new();
    for n in 0..5_000 {
        line.session.text(&publish("a", n), 0, &mut effects);
        effects.retain(|effect| !matches!(effect, Effect::Excess));
        line.carry_out(std::mem::take(&mut effects));
    }
    line.sent = 5_000;
    line.run(0);
    assert_eq!(line.answered.len(), 5_000 - breath(), "the rest is held back");
    line.session.end(&mut effects);
    assert_eq!(effects.len(), breath());
    // What may be as long as a frame is answered at once.
    let mut line = Line::new(0, |_| {});
    let long = "x".repeat(201);
    for n in 0..512 {
        line.send(publish(&long, n));
    }
    line.run(0);
    assert_eq!((line.answered.len(), line.session.deadline()), (512, None));
}

#[derive(Clone, Debug)]
enum Act {
    Publish(u64),
    Wait(u64),
    /// Sends so many commands that are no publishes, as far as a second's worth since the last ones allows.
    Others(u64),
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1..200_u64).prop_map(Act::Publish),
        3 => (0..3_000_u64).prop_map(Act::Wait),
        2 => (1..161_u64).prop_map(Act::Others),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_waits_is_never_closed(
        acts in prop::collection::vec(acts(), 0..30), latency in 0..500_u64, window in 1..=MAX_IN_FLIGHT,
        per_second in 1..1_000_u32, more in 0..200_u32,
    ) {
        let mut line = Line::new(latency, |config| {
            config.limits.commands_per_second = per_second;
            config.limits.commands_burst = breath() as u32 + more;
        });
        line.window = window;
        // What the client may send besides its publishes, as a bucket of its own: the other half of the limit.
        let (mut others, mut at) = (161.0_f64, 0);
        for act in acts {
            match act {
                Act::Publish(count) => line.made += count,
                Act::Wait(ms) => line.run(line.now + ms),
                Act::Others(count) => {
                    others += (line.now - at) as f64 * f64::from(per_second) / 2_000.0;
                    (others, at) = (others.min(161.0), line.now);
                    let count = count.min(others as u64);
                    others -= count as f64;
                    (0..count).for_each(|n| line.send(sub(n as usize % 128)));
                }
            }
            line.run(line.now);
            prop_assert_eq!(line.closed, None);
            prop_assert!(line.answered_in_order());
        }
        let rest = line.made * 1_000 / u64::from(per_second) + 600_000 + 2 * line.made * latency;
        line.run(line.now + rest);
        prop_assert_eq!(line.closed, None);
        prop_assert_eq!(line.answered.len() as u64, line.made);
        prop_assert!(line.answered_in_order());
        prop_assert_eq!(line.session.deadline(), None);
    }
}
