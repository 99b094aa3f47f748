//! One client's conversation, without any I/O and with a clock that only the test moves.

use proptest::prelude::*;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tidings_server::{
    Authorization, Config, Published, Subject,
    protocol::{CloseCode, ServerFrame, reason},
    session::{Attached, Effect, Session},
};
use ulid::Ulid;

/// A subscriber of a channel without history, or none.
fn attached(slot: Option<usize>) -> Attached {
    slot.map_or(Attached::Refused, |slot| Attached::Live { slot, position: None, resumed: None })
}

fn published(refused: Option<&'static str>) -> Result<Published, &'static str> {
    refused.map_or_else(|| Ok(Published::new(Ulid::nil(), None)), Err)
}

/// A session and what it wanted, in short.
struct Talk {
    session: Session,
    effects: VecDeque<Effect>,
}

impl Talk {
    /// A session that has just begun at time 0, its welcome taken.
    fn begin(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let mut effects = VecDeque::new();
        let session = Session::open(Ulid::nil(), Arc::new(config), 0, &mut effects);
        assert!(matches!(effects.pop_front(), Some(Effect::Send(_))));
        assert!(effects.is_empty());
        Self { session, effects }
    }

    /// The same, with nobody behind it.
    fn known(change: impl FnOnce(&mut Config)) -> Self {
        let mut talk = Self::begin(change);
        assert_eq!(talk.identified(), [""; 0]);
        talk
    }

    fn wants(&mut self) -> Vec<String> {
        self.effects.drain(..).map(|effect| short(&effect)).collect()
    }

    fn text(&mut self, text: &str) -> Vec<String> {
        self.session.text(text, 0, &mut self.effects);
        self.wants()
    }

    fn sub(&mut self, channel: &str) -> Vec<String> {
        self.text(&format!(r#"{{"t":"sub","c":"{channel}"}}"#))
    }

    fn unsub(&mut self, channel: &str) -> Vec<String> {
        self.text(&format!(r#"{{"t":"unsub","c":"{channel}"}}"#))
    }

    fn publish(&mut self, channel: &str, event: &str) -> Vec<String> {
        self.text(&format!(r#"{{"t":"pub","c":"{channel}","e":"{event}","d":1}}"#))
    }

    fn identified(&mut self) -> Vec<String> {
        self.session.identified(None, &mut self.effects);
        self.wants()
    }

    fn authorized(&mut self, ticket: u32, answer: Option<bool>) -> Vec<String> {
        let answer = answer.map(Authorization::from);
        self.session.authorized(ticket, answer.as_ref(), &mut self.effects);
        self.wants()
    }

    fn attached(&mut self, channel: &str, slot: Option<usize>) -> Vec<String> {
        self.session.attached(channel, attached(slot), &mut self.effects);
        self.wants()
    }

    fn published(&mut self, refused: Option<&'static str>) -> Vec<String> {
        self.session.published(published(refused), &mut self.effects);
        self.wants()
    }

    fn tick(&mut self, now: u64) -> Vec<String> {
        self.session.tick(now, &mut self.effects);
        self.wants()
    }

    fn end(&mut self) -> Vec<String> {
        self.session.end(&mut self.effects);
        self.wants()
    }
}

fn short(effect: &Effect) -> String {
    match effect {
        Effect::Send(text) => {
            let text = std::str::from_utf8(text).expect("UTF-8");
            match ServerFrame::parse(text).expect("a frame") {
                ServerFrame::Ok { channel, .. } => format!("ok {channel}"),
                ServerFrame::Err { channel, reason, .. } => format!("err {channel} {reason}"),
                ServerFrame::Ping => "ping".to_owned(),
                other => panic!("unexpected: {other:?}"),
            }
        }
        Effect::Authorize { ticket, channel, subject } => {
            let subject = subject.as_ref().map_or(String::new(), |s| format!(" for {}", s.id()));
            format!("authorize {ticket} {channel}{subject}")
        }
        Effect::Attach { channel, .. } => format!("attach {channel}"),
        Effect::Detach { channel, slot } => format!("detach {channel} {slot:?}"),
        Effect::Publish { context, .. } => format!("publish {} {}", context.channel, context.event),
        Effect::Dropped => "dropped".to_owned(),
        Effect::Close(code) => format!("close {}", code.code()),
        other => panic!("unexpected: {other:?}"),
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn welcome_is_first() {
    let mut effects = VecDeque::new();
    let id = Ulid::from_parts(1, 2);
    let session = Session::open(id, Arc::new(Config::default()), 0, &mut effects);
    let Some(Effect::Send(text)) = effects.pop_front() else { panic!("no welcome") };
    let expected = format!(r#"{{"t":"welcome","id":"{id}","v":2,"ka":30000}}"#);
    assert_eq!(String::from_utf8(text).expect("UTF-8"), expected);
    assert!(effects.is_empty());
    assert_eq!(session.id(), id);
}

#[test]
fn subscribe_and_unsubscribe() {
    let mut talk = Talk::known(|_| {});
    assert_eq!(talk.sub("a"), ["authorize 0 a"]);
    assert_eq!(talk.authorized(0, Some(true)), ["attach a"]);
    assert_eq!(talk.attached("a", Some(7)), ["ok a"]);
    assert_eq!(talk.sub("a"), ["ok a"]);
    assert_eq!(talk.unsub("a"), ["detach a Some(7)"]);
    assert_eq!(talk.unsub("a"), NOTHING);
    assert_eq!(talk.end(), NOTHING);
}

#[test]
fn each_sub_is_answered_once() {
    let mut talk = Talk::begin(|_| {});
    assert_eq!(talk.sub("a"), NOTHING);
    assert_eq!(talk.sub("a"), NOTHING);
    assert_eq!(talk.identified(), ["authorize 0 a"]);
    assert_eq!(talk.sub("a"), NOTHING);
    assert_eq!(talk.authorized(0, Some(true)), ["attach a"]);
    assert_eq!(talk.sub("a"), NOTHING);
    assert_eq!(talk.attached("a", Some(0)), ["ok a", "ok a", "ok a", "ok a"]);
}

#[test]
fn refusals() {
    for (answer, refusal) in [(Some(false), reason::UNAUTHORIZED), (None, reason::AUTHORIZATION_FAILED)] {
        let mut talk = Talk::known(|_| {});
        talk.sub("a");
        talk.sub("a");
        let expected = format!("err a {refusal}");
        assert_eq!(talk.authorized(0, answer), [expected.clone(), expected]);
        assert_eq!(talk.sub("a"), ["authorize 1 a"]);
        assert_eq!(talk.authorized(1, Some(true)), ["attach a"]);
        assert_eq!(talk.attached("a", None), ["err a subscribe failed"]);
        assert_eq!(talk.end(), NOTHING);
    }
}

#[test]
fn an_unsub_cancels_at_every_stage() {
    let mut talk = Talk::begin(|_| {});
    talk.sub("waiting");
    assert_eq!(talk.unsub("waiting"), NOTHING);
    assert_eq!(talk.identified(), NOTHING);
    talk.sub("authorizing");
    assert_eq!(talk.unsub("authorizing"), NOTHING);
    assert_eq!(talk.authorized(0, Some(true)), NOTHING);
    talk.sub("attaching");
    talk.authorized(1, Some(true));
    assert_eq!(talk.unsub("attaching"), ["detach attaching None"]);
    assert_eq!(talk.end(), NOTHING);
}

#[test]
fn an_answer_to_an_earlier_sub_does_not_count() {
    let mut talk = Talk::known(|_| {});
    assert_eq!(talk.sub("a"), ["authorize 0 a"]);
    talk.unsub("a");
    assert_eq!(talk.sub("a"), ["authorize 1 a"]);
    assert_eq!(talk.authorized(0, Some(false)), NOTHING);
    assert_eq!(talk.authorized(1, Some(true)), ["attach a"]);
    assert_eq!(talk.authorized(1, Some(true)), NOTHING);
    assert_eq!(talk.attached("a", Some(0)), ["ok a"]);
}

#[test]
fn the_subject_goes_with_every_question() {
    let mut talk = Talk::begin(|_| {});
    talk.sub("a");
    talk.publish("b", "e");
    talk.session.identified(Some(Subject::new("ann")), &mut talk.effects);
    let Some(Effect::Publish { context, .. }) = talk.effects.back() else { panic!("no publish") };
    assert_eq!(context.subject.as_ref().map(Subject::id), Some("ann"));
    assert_eq!(talk.wants(), ["authorize 0 a for ann", "publish b e"]);
    assert_eq!(talk.sub("c"), ["authorize 1 c for ann"]);
}

#[test]
fn publishes_go_one_by_one_in_order() {
    let mut talk = Talk::begin(|_| {});
    assert_eq!(talk.publish("a", "1"), NOTHING);
    assert_eq!(talk.publish("b", "2"), NOTHING);
    assert_eq!(talk.identified(), ["publish a 1"]);
    assert_eq!(talk.publish("a", "3"), NOTHING);
    assert_eq!(talk.published(None), ["publish b 2"]);
    assert_eq!(talk.published(Some(reason::PUBLISH_DENIED)), ["err b publish denied", "publish a 3"]);
    assert_eq!(talk.published(None), NOTHING);
}

#[test]
fn a_publish_waits_for_the_own_subscription() {
    for (outcome, then) in [
        (Some(true), &["ok a", "publish a 1"][..]),
        (Some(false), &["err a unauthorized", "publish a 1"]),
        (None, &["err a authorization failed", "publish a 1"]),
    ] {
        let mut talk = Talk::known(|_| {});
        talk.sub("a");
        assert_eq!(talk.publish("a", "1"), NOTHING);
        assert_eq!(talk.publish("b", "2"), NOTHING);
        let mut wants = talk.authorized(0, outcome);
        if outcome == Some(true) {
            assert_eq!(wants, ["attach a"]);
            wants = talk.attached("a", Some(0));
        }
        assert_eq!(wants, then);
        assert_eq!(talk.published(None), ["publish b 2"]);
    }
    let mut talk = Talk::known(|_| {});
    talk.sub("a");
    talk.publish("a", "1");
    assert_eq!(talk.unsub("a"), ["publish a 1"]);
}

#[test]
fn names_and_nonsense() {
    let mut talk = Talk::known(|_| {});
    assert_eq!(talk.sub("a b"), ["err a b invalid channel"]);
    assert_eq!(talk.publish("a b", "e"), ["err a b invalid channel"]);
    assert_eq!(talk.publish("a", "\\u0007"), ["err a invalid event"]);
    for nonsense in ["", "[]", r#"{"t":"x"}"#, r#"{"t":"sub"}"#, r#"{"t":"ok","c":"a"}"#] {
        assert_eq!(talk.text(nonsense), ["dropped"], "{nonsense}");
    }
    assert_eq!(talk.text(r#"{"t":"pong"}"#), NOTHING);
}

#[test]
fn limits() {
    let mut talk = Talk::known(|c| {
        c.limits.channels_per_connection = 1;
        c.limits.waiting_publishes = 2;
    });
    talk.sub("a");
    assert_eq!(talk.sub("b"), ["err b too many channels"]);
    assert_eq!(talk.publish("x", "1"), ["publish x 1"]);
    assert_eq!(talk.publish("x", "2"), NOTHING);
    assert_eq!(talk.publish("x", "3"), NOTHING);
    assert_eq!(talk.publish("x", "4"), ["close 4029"]);
    assert_eq!(talk.published(None), NOTHING);
    assert_eq!(talk.sub("c"), NOTHING);
    let mut talk = Talk::known(|c| c.limits.waiting_bytes = 2);
    talk.publish("x", "1");
    talk.publish("x", "2");
    talk.publish("x", "3");
    assert_eq!(talk.published(None), ["publish x 2"]);
    assert_eq!(talk.publish("x", "4"), NOTHING);
    assert_eq!(talk.publish("x", "5"), ["close 4029"]);
}

#[test]
fn pings_and_silence() {
    let mut talk = Talk::known(|c| {
        c.ping_interval = Duration::from_millis(100);
        c.ping_grace = Duration::from_millis(50);
    });
    assert_eq!(talk.session.deadline(), Some(100));
    assert_eq!(talk.tick(99), NOTHING);
    assert_eq!(talk.tick(100), ["ping"]);
    assert_eq!(talk.session.deadline(), Some(150));
    assert_eq!(talk.tick(149), NOTHING);
    talk.session.heard(149);
    assert_eq!(talk.session.deadline(), Some(200));
    assert_eq!(talk.tick(200), ["ping"]);
    assert_eq!(talk.session.deadline(), Some(299));
    assert_eq!(talk.tick(298), NOTHING);
    assert_eq!(talk.tick(299), ["close 4001"]);
    assert_eq!((talk.session.deadline(), talk.tick(1_000)), (None, Vec::new()));
}

#[test]
fn no_keepalive_no_deadline() {
    let mut talk = Talk::known(|c| c.ping_interval = Duration::ZERO);
    assert_eq!(talk.session.deadline(), None);
    assert_eq!(talk.tick(u64::MAX), NOTHING);
}

#[test]
fn the_end_lets_everything_go() {
    let mut talk = Talk::known(|_| {});
    for (ticket, channel) in ["live", "attaching", "authorizing"].into_iter().enumerate() {
        talk.sub(channel);
        if channel != "authorizing" {
            talk.authorized(ticket as u32, Some(true));
        }
    }
    talk.attached("live", Some(3));
    talk.session.close(CloseCode::Restart, &mut talk.effects);
    talk.session.close(CloseCode::TooSlow, &mut talk.effects);
    assert_eq!(talk.wants(), ["close 1012"]);
    assert_eq!(talk.end(), ["detach live Some(3)", "detach attaching None"]);
    assert_eq!(talk.authorized(2, Some(true)), NOTHING);
    assert_eq!(talk.attached("attaching", Some(1)), NOTHING);
    assert_eq!(talk.sub("a"), NOTHING);
    assert_eq!(talk.end(), NOTHING);
}

/// Something that happens to a session. Numbers choose among what is possible then.
#[derive(Clone, Debug)]
enum Input {
    Sub(usize),
    Unsub(usize),
    Publish(usize),
    Nonsense,
    Identified,
    Authorized(usize, Option<bool>),
    Attached(usize, bool),
    Published(bool),
    Wait(u64),
    Close,
}

fn inputs() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => (0..4_usize).prop_map(Input::Sub),
        4 => (0..4_usize).prop_map(Input::Unsub),
        6 => (0..4_usize).prop_map(Input::Publish),
        1 => Just(Input::Nonsense),
        3 => Just(Input::Identified),
        8 => (any::<usize>(), prop_oneof![3 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)])
            .prop_map(|(which, answer)| Input::Authorized(which, answer)),
        8 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(which, live)| Input::Attached(which, live)),
        6 => any::<bool>().prop_map(Input::Published),
        2 => (0..20_u64).prop_map(Input::Wait),
        1 => prop::bool::weighted(0.1).prop_map(|close| if close { Input::Close } else { Input::Wait(1) }),
    ]
}

/// What the one who carries out a session's effects knows, and the rules that it checks.
#[derive(Default)]
struct Model {
    now: u64,
    /// Questions that are not answered yet.
    asked: Vec<(u32, Arc<str>)>,
    /// Channels with an `Attach` that came to nothing yet.
    attaching: Vec<Arc<str>>,
    /// Channels that are live, with their slots.
    live: HashMap<Arc<str>, usize>,
    slots: usize,
    /// How many `sub`s of a channel wait for an answer.
    owed: HashMap<String, usize>,
    running: Option<Arc<str>>,
    /// The events that were to be published, and that were.
    wanted: Vec<String>,
    started: Vec<String>,
    closed: bool,
}

impl Model {
    fn effect(&mut self, effect: Effect, ending: bool) -> Result<(), TestCaseError> {
        if self.closed {
            prop_assert!(ending && matches!(effect, Effect::Detach { .. }), "{effect:?} after the close");
        }
        match effect {
            Effect::Send(text) => match ServerFrame::parse(std::str::from_utf8(&text).expect("UTF-8")) {
                Some(ServerFrame::Ok { channel, .. }) => {
                    prop_assert!(self.live.contains_key(&*channel), "ok, and {channel} is not live");
                    self.answered(&channel)?;
                }
                Some(ServerFrame::Err { channel, reason, .. }) => {
                    if *reason != *reason::PUBLISH_FAILED {
                        prop_assert!(!self.live.contains_key(&*channel));
                        self.answered(&channel)?;
                    }
                }
                Some(ServerFrame::Ping) => {}
                other => prop_assert!(false, "{other:?}"),
            },
            Effect::Authorize { ticket, channel, .. } => {
                prop_assert!(self.asked.iter().all(|(t, _)| *t != ticket));
                self.asked.push((ticket, channel));
            }
            Effect::Attach { channel, .. } => {
                prop_assert!(!self.attaching.contains(&channel) && !self.live.contains_key(&channel));
                self.attaching.push(channel);
            }
            Effect::Detach { channel, slot: Some(slot) } => {
                prop_assert_eq!(self.live.remove(&channel), Some(slot));
            }
            Effect::Detach { channel, slot: None } => {
                let at = self.attaching.iter().position(|c| *c == channel);
                prop_assert!(at.is_some(), "{channel} was not attaching");
                self.attaching.retain(|c| *c != channel);
            }
            Effect::Publish { context, .. } => {
                prop_assert!(self.running.is_none(), "two at a time");
                self.started.push(context.event.to_string());
                self.running = Some(context.channel);
            }
            Effect::Dropped => {}
            Effect::Close(_) => self.closed = true,
            other => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    }

    fn answered(&mut self, channel: &str) -> Result<(), TestCaseError> {
        let owed = self.owed.get_mut(channel).filter(|owed| **owed > 0);
        prop_assert!(owed.is_some(), "an answer that nobody waits for, on {channel}");
        if let Some(owed) = owed {
            *owed -= 1;
        }
        Ok(())
    }
}

fn converse(inputs: Vec<Input>) -> Result<(), TestCaseError> {
    let mut config = Config::default();
    config.limits.channels_per_connection = 8;
    config.limits.waiting_publishes = 12;
    config.ping_interval = Duration::from_millis(100);
    config.ping_grace = Duration::from_millis(50);
    let mut effects = VecDeque::new();
    let mut session = Session::open(Ulid::nil(), Arc::new(config), 0, &mut effects);
    effects.clear();
    let mut model = Model::default();
    let channel = |n: usize| ["a", "b", "c", "d"][n];
    let mut identified = false;
    let carry_out = |model: &mut Model, effects: &mut VecDeque<Effect>| {
        effects.drain(..).try_for_each(|effect| model.effect(effect, false))
    };
    for input in inputs {
        match input {
            Input::Sub(n) => {
                if !model.closed {
                    *model.owed.entry(channel(n).to_owned()).or_default() += 1;
                }
                session.text(&format!(r#"{{"t":"sub","c":"{}"}}"#, channel(n)), model.now, &mut effects);
            }
            Input::Unsub(n) => {
                model.owed.remove(channel(n));
                session.text(&format!(r#"{{"t":"unsub","c":"{}"}}"#, channel(n)), model.now, &mut effects);
            }
            Input::Publish(n) => {
                let event = model.wanted.len().to_string();
                let text = format!(r#"{{"t":"pub","c":"{}","e":"{event}"}}"#, channel(n));
                session.text(&text, model.now, &mut effects);
                model.wanted.push(event);
            }
            Input::Nonsense => session.text("nonsense", model.now, &mut effects),
            Input::Identified if !identified => {
                identified = true;
                session.identified(None, &mut effects);
            }
            Input::Authorized(which, answer) if !model.asked.is_empty() => {
                let (ticket, _) = model.asked.swap_remove(which % model.asked.len());
                session.authorized(ticket, answer.map(Authorization::from).as_ref(), &mut effects);
            }
            Input::Attached(which, live) if !model.attaching.is_empty() => {
                let channel = model.attaching.swap_remove(which % model.attaching.len());
                let slot = live.then_some(model.slots);
                if let Some(slot) = slot {
                    model.slots += 1;
                    model.live.insert(channel.clone(), slot);
                }
                session.attached(&channel, attached(slot), &mut effects);
            }
            Input::Published(accepted) => {
                if model.running.take().is_some() {
                    let refused = (!accepted).then_some(reason::PUBLISH_FAILED);
                    session.published(published(refused), &mut effects);
                }
            }
            Input::Wait(ms) => {
                model.now += ms;
                if session.deadline().is_some_and(|at| at <= model.now) {
                    session.tick(model.now, &mut effects);
                }
            }
            Input::Close => session.close(CloseCode::Restart, &mut effects),
            Input::Identified | Input::Authorized(..) | Input::Attached(..) => {}
        }
        carry_out(&mut model, &mut effects)?;
        prop_assert!(model.closed || session.deadline().is_some());
    }
    // Everything that is still open is answered with yes.
    if !identified {
        session.identified(None, &mut effects);
        carry_out(&mut model, &mut effects)?;
    }
    while !model.closed {
        if let Some((ticket, _)) = model.asked.pop() {
            session.authorized(ticket, Some(&true.into()), &mut effects);
        } else if let Some(channel) = model.attaching.pop() {
            model.live.insert(channel.clone(), model.slots);
            session.attached(&channel, attached(Some(model.slots)), &mut effects);
            model.slots += 1;
        } else if model.running.take().is_some() {
            session.published(published(None), &mut effects);
        } else {
            break;
        }
        carry_out(&mut model, &mut effects)?;
    }
    if !model.closed {
        prop_assert!(model.owed.values().all(|owed| *owed == 0), "subs without an answer: {:?}", model.owed);
        prop_assert_eq!(&model.started, &model.wanted);
    }
    prop_assert_eq!(&model.started[..], &model.wanted[..model.started.len()]);
    let distinct: HashSet<_> = model.live.values().collect();
    prop_assert_eq!(distinct.len(), model.live.len());
    session.end(&mut effects);
    effects.drain(..).try_for_each(|effect| model.effect(effect, true))?;
    prop_assert!(model.live.is_empty() && model.attaching.is_empty(), "something is left");
    session.end(&mut effects);
    prop_assert!(effects.is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(inputs in prop::collection::vec(inputs(), 0..80)) {
        converse(inputs)?;
    }
}
