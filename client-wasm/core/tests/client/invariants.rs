//! What holds whatever happens.

use crate::script::{Does, Done, Frame, Sim, line};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use tidings_client_core::{
    Effect, HistoryPage, MAX_IN_FLIGHT, MAX_REQUESTS, Options, Outgoing, PageChange, SocketId, State,
};
use tidings_protocol::{Position, Recovery, ServerFrame};

const CHANNELS: [&str; 3] = ["a", "b", "c"];

/// The longest that a gateway asks for when it drains, in milliseconds.
const MAX_AFTER: u64 = 20_000;

#[derive(Clone, Debug)]
enum Input {
    Connect,
    Disconnect,
    Channel(usize),
    Leave(usize),
    Publish,
    /// To version 2 or not, with a keepalive promise or without.
    Welcome(bool, Option<u64>),
    Ok(usize, Option<u64>, Option<Option<u64>>),
    Err(usize, bool),
    Msg(usize, Option<u64>),
    /// The answer to a request, good or bad.
    Ack(u64, bool),
    Answer(usize, u64),
    History(usize, bool),
    Gap(usize, u64),
    Pos(usize, u64),
    Bye(u64),
    Ping,
    /// The application gives a token, or cannot.
    Token(bool),
    /// The gateway accepts one, until then, or refuses.
    Accept(Option<u64>),
    Reject,
    Closed(u16),
    /// From a socket before this one.
    Stale(u16),
    Page(PageChange),
    After(u64),
    Sleep(u64),
    /// The next frame is refused by the socket.
    Refuse,
}

fn input() -> impl Strategy<Value = Input> {
    let channel = 0..CHANNELS.len();
    let code = prop::sample::select(vec![1000u16, 1001, 1006, 1012, 4001, 4008, 1008, 4003]);
    prop_oneof![
        4 => Just(Input::Connect),
        1 => Just(Input::Disconnect),
        6 => channel.clone().prop_map(Input::Channel),
        4 => channel.clone().prop_map(Input::Leave),
        5 => Just(Input::Publish),
        8 => (any::<bool>(), prop::option::of(prop::sample::select(vec![0u64, 1_000, 30_000])))
            .prop_map(|(v2, keepalive)| Input::Welcome(v2, keepalive)),
        8 => (channel.clone(), prop::option::of(0u64..9), prop::option::of(prop::option::of(0u64..3)))
            .prop_map(|(channel, offset, recovery)| Input::Ok(channel, offset, recovery)),
        2 => (channel.clone(), any::<bool>()).prop_map(|(channel, publish)| Input::Err(channel, publish)),
        5 => (channel.clone(), prop::option::of(0u64..12)).prop_map(|(channel, offset)| Input::Msg(channel, offset)),
        4 => (1u64..40, any::<bool>()).prop_map(|(number, good)| Input::Ack(number, good)),
        3 => (channel.clone(), any::<bool>()).prop_map(|(channel, attach)| Input::History(channel, attach)),
        2 => (channel.clone(), 1u64..40).prop_map(|(channel, number)| Input::Answer(channel, number)),
        1 => (channel.clone(), 0u64..9).prop_map(|(channel, offset)| Input::Gap(channel, offset)),
        1 => (channel, 0u64..9).prop_map(|(channel, offset)| Input::Pos(channel, offset)),
        1 => (0..MAX_AFTER).prop_map(Input::Bye),
        2 => Just(Input::Ping),
        5 => prop::bool::weighted(0.8).prop_map(Input::Token),
        4 => prop::option::of(0u64..300).prop_map(Input::Accept),
        2 => Just(Input::Reject),
        4 => code.clone().prop_map(Input::Closed),
        1 => code.prop_map(Input::Stale),
        4 => prop::sample::select(vec![
            PageChange::Online, PageChange::Offline, PageChange::Visible, PageChange::Hidden, PageChange::Restored,
        ]).prop_map(Input::Page),
        6 => (0u64..12_000).prop_map(Input::After),
        2 => (0u64..100_000).prop_map(Input::Sleep),
        1 => Just(Input::Refuse),
    ]
}

/// What an onlooker knows, who sees only inputs and effects.
#[derive(Default)]
struct Onlooker {
    /// The application gives tokens.
    tokens: bool,
    /// There is a socket, with what it has subscribed and how often each channel was asked for since the answer.
    socket: Option<Connection>,
    state: Option<State>,
    wanted: HashSet<String>,
    /// Numbers of all publishes that have an outcome.
    settled: HashSet<u32>,
    published: u32,
    /// Requests for pages of history, and those that have an outcome.
    requests: HashSet<u64>,
    pages: HashSet<u64>,
}

#[derive(Default)]
struct Connection {
    welcomed: bool,
    v2: bool,
    /// What became of its token.
    token: Token,
    last_sent: Option<u32>,
    in_flight: HashSet<u32>,
    asked: HashSet<u64>,
    /// It took no frame, and will not take another.
    refused: bool,
    /// Live or asked for.
    subscribed: HashMap<String, Sub>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Token {
    #[default]
    None,
    Sent,
    /// Refused for good, as it seems.
    Refused,
    Accepted,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sub {
    Asked,
    Live,
    Probed,
    Denied,
}

impl Onlooker {
    fn see(&mut self, effect: &Does) {
        match effect {
            Effect::Connect { .. } => {
                assert!(self.socket.is_none(), "two sockets");
                self.socket = Some(Connection::default());
            }
            Effect::Close { .. } => {
                assert!(self.socket.take().is_some(), "closing no socket");
            }
            Effect::Send(frame) => self.see_frame(frame),
            Effect::Dropped { frame, .. } => self.settle(frame),
            Effect::Acknowledged { frame, .. } => {
                let socket = self.socket.as_ref().expect("an answer needs a socket");
                assert!(socket.in_flight.contains(&number(frame)), "acknowledged, and not sent");
                self.settle(frame);
            }
            Effect::History { request, page } => {
                assert!(self.pages.insert(*request), "two outcomes");
                let asked = self.socket.as_mut().is_some_and(|socket| socket.asked.remove(request));
                assert!(asked || page.is_err(), "a page that nobody asked for");
            }
            Effect::Gap { channel, .. } => {
                assert!(self.wanted.contains(channel), "a gap in a channel that nobody wants");
                assert!(
                    self.socket.as_ref().is_some_and(|socket| socket.welcomed),
                    "a gap without a connection"
                );
            }
            Effect::State { from, to } => {
                assert_eq!(self.state.unwrap_or(State::Idle), *from, "states join up");
                assert_ne!(from, to);
                self.state = Some(*to);
            }
            Effect::Deliver { channel, .. } => {
                assert!(self.wanted.contains(channel), "an event of a channel that nobody wants");
            }
            Effect::Subscribed(channel) => {
                assert!(self.wanted.contains(channel), "news of a channel that nobody wants");
            }
            Effect::Forget(channel) => {
                assert!(!self.wanted.contains(channel), "a wanted channel is forgotten");
                if let Some(socket) = self.socket.as_mut().filter(|socket| !socket.refused) {
                    // An answer that still comes means nothing.
                    let sub = socket.subscribed.remove(channel);
                    assert!(matches!(sub, None | Some(Sub::Denied)), "forgotten while subscribed");
                }
            }
            Effect::GetToken { .. } => {
                assert!(self.tokens && self.socket.is_some(), "a token that nobody needs");
            }
            Effect::Error { channel: None, reason } if reason == "unauthorized" => {
                if let Some(socket) = &mut self.socket {
                    let sent = socket.token == Token::Sent;
                    socket.token = if sent { Token::Refused } else { socket.token };
                }
            }
            Effect::Reconnecting { attempt, delay_ms } => {
                assert!(*attempt > 0 && *delay_ms <= Options::default().reconnect_max_delay_ms + MAX_AFTER);
            }
            _ => {}
        }
    }

    fn see_frame(&mut self, frame: &Outgoing<String, String, Frame>) {
        let socket = self.socket.as_mut().expect("frames need a socket");
        assert!(socket.welcomed, "a frame before welcome");
        assert!(!socket.refused, "a frame for a socket that takes none");
        let token = if self.tokens && socket.v2 { socket.token } else { Token::Accepted };
        match frame {
            Outgoing::Subscribe { .. } => assert_ne!(token, Token::None, "asked by nobody"),
            Outgoing::Publish { .. } | Outgoing::History { .. } => {
                assert!(matches!(token, Token::Refused | Token::Accepted), "before it is known who asks");
            }
            Outgoing::Authenticate { .. } => assert!(self.tokens && socket.v2, "a token for nobody"),
            Outgoing::Unsubscribe(_) | Outgoing::Pong => {}
        }
        match frame {
            Outgoing::Subscribe { channel, resume } => {
                assert!(socket.v2 || resume.is_none(), "resuming with version 1");
                let sub = match socket.subscribed.get(channel) {
                    None | Some(Sub::Denied) => Sub::Asked,
                    // Once more, to hear whether the gateway is there.
                    Some(Sub::Live) => Sub::Probed,
                    Some(other) => panic!("subscribed twice: {channel} {other:?}"),
                };
                socket.subscribed.insert(channel.clone(), sub);
            }
            Outgoing::Unsubscribe(channel) => {
                assert!(!self.wanted.contains(channel), "unsubscribed while wanted");
                assert_eq!(socket.subscribed.remove(channel), Some(Sub::Live), "unsubscribed {channel}");
            }
            Outgoing::Publish { frame, request } => {
                let number = number(frame);
                assert!(socket.last_sent.is_none_or(|last| last < number), "out of order");
                socket.last_sent = Some(number);
                assert_eq!(request.is_some(), socket.v2, "a number for version 2 only");
                assert!(!self.settled.contains(&number), "sent after its outcome");
                if socket.v2 {
                    socket.in_flight.insert(number);
                    assert!(socket.in_flight.len() <= MAX_IN_FLIGHT, "too many in flight");
                } else {
                    self.settle(frame);
                }
            }
            Outgoing::History { request, .. } => {
                assert!(socket.v2 && socket.asked.insert(*request), "asked twice");
                assert!(socket.asked.len() <= MAX_REQUESTS, "too many requests");
            }
            Outgoing::Authenticate { .. } => {
                if socket.token == Token::None {
                    socket.token = Token::Sent;
                }
            }
            Outgoing::Pong => {}
        }
    }

    fn settle(&mut self, frame: &Frame) {
        assert!(self.settled.insert(number(frame)), "two outcomes");
        if let Some(socket) = &mut self.socket {
            socket.in_flight.remove(&number(frame));
        }
    }

    fn answered(&mut self, channel: &str, sub: Sub) {
        if let Some(socket) = &mut self.socket
            && socket.welcomed
            && let Some(known) = socket.subscribed.get_mut(channel)
        {
            *known = match (*known, sub) {
                (Sub::Asked, sub) => sub,
                // Only in version 1 it may have been about a publish.
                (Sub::Live | Sub::Probed, Sub::Denied) if socket.v2 => Sub::Denied,
                (Sub::Probed, _) | (Sub::Denied, Sub::Live) => Sub::Live,
                (known, _) => known,
            };
        }
    }
}

fn position(offset: u64) -> Position<String> {
    Position { epoch: "k".into(), offset }
}

fn number(frame: &Frame) -> u32 {
    frame.0.trim_start_matches('p').parse().expect("a number")
}

fn play(inputs: Vec<Input>, options: Options, seed: u64) -> Result<(), TestCaseError> {
    let tokens = options.tokens;
    let mut random = seed;
    let mut sim = Sim::new(options, move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 11) as f64 / (1u64 << 53) as f64
    });
    let mut onlooker = Onlooker { tokens, ..Onlooker::default() };
    let mut log = Vec::new();
    for input in inputs {
        log.push(format!("> {input:?}"));
        apply(&mut sim, &mut onlooker, input, &mut log);
        prop_assert!(
            sim.core.deadline().is_none_or(|deadline| sim.timer.is_some_and(|timer| timer <= deadline))
        );
        if sim.core.state() == State::Closed {
            prop_assert_eq!(sim.core.deadline(), None, "{}", log.join("\n"));
            prop_assert!(onlooker.socket.is_none(), "{}", log.join("\n"));
            prop_assert_eq!(onlooker.settled.len() as u32, onlooker.published, "{}", log.join("\n"));
            prop_assert_eq!(onlooker.pages.len(), onlooker.requests.len(), "{}", log.join("\n"));
        }
        if sim.core.state() == State::Open {
            // Everything wanted is asked for, unless the socket refuses or nobody knows who asks.
            let socket = onlooker.socket.as_ref().expect("an open client has a socket");
            let known = !tokens || !socket.v2 || socket.token == Token::Accepted;
            for channel in onlooker.wanted.iter().filter(|_| !sim.refused && known) {
                prop_assert!(socket.subscribed.contains_key(channel), "{}", log.join("\n"));
            }
        }
    }
    // In the end it can be brought to a state in which all is well.
    for input in [
        Input::Page(PageChange::Online),
        Input::Disconnect,
        Input::Connect,
        Input::Channel(0),
        Input::Publish,
        Input::Welcome(false, None),
        Input::Ok(0, None, None),
    ] {
        log.push(format!("> {input:?}"));
        apply(&mut sim, &mut onlooker, input, &mut log);
    }
    prop_assert_eq!(sim.core.state(), State::Open, "{}", log.join("\n"));
    prop_assert_eq!(onlooker.settled.len() as u32, onlooker.published, "{}", log.join("\n"));
    Ok(())
}

fn apply(sim: &mut Sim, onlooker: &mut Onlooker, input: Input, log: &mut Vec<String>) {
    let (now, socket) = (sim.now, sim.socket);
    let mut done = Vec::new();
    match input {
        Input::Connect => sim.core.connect(now),
        Input::Disconnect => {
            sim.core.disconnect();
            onlooker.wanted.clear();
        }
        Input::Channel(index) => {
            sim.channel(CHANNELS[index]);
            onlooker.wanted.insert(CHANNELS[index].into());
        }
        Input::Leave(index) => {
            sim.leave(CHANNELS[index]);
            onlooker.wanted.remove(CHANNELS[index]);
        }
        Input::Publish => {
            onlooker.published += 1;
            sim.core.publish(now, Frame(format!("p{}", onlooker.published)));
        }
        Input::Welcome(v2, keepalive_ms) => {
            if let Some(socket) = onlooker.socket.as_mut().filter(|socket| !socket.welcomed) {
                socket.welcomed = true;
                socket.v2 = v2;
            }
            let version = v2.then_some(2);
            sim.receive(socket, Some(ServerFrame::Welcome { id: "id".into(), version, keepalive_ms }));
        }
        Input::Ok(index, offset, recovery) => {
            onlooker.answered(CHANNELS[index], Sub::Live);
            let recovery = recovery.map(|count| match count {
                Some(count) => Recovery::Recovered { count },
                None => Recovery::Lost { why: "epoch".into() },
            });
            let (channel, position) = (CHANNELS[index].into(), offset.map(position));
            sim.receive(socket, Some(ServerFrame::Ok { channel, position, recovery }));
        }
        Input::History(index, until_attach) => {
            if let Some(id) =
                sim.names.get(CHANNELS[index]).filter(|_| onlooker.wanted.contains(CHANNELS[index]))
            {
                let request = sim.core.history(*id, HistoryPage { until_attach, ..HistoryPage::default() });
                onlooker.requests.insert(request);
            }
        }
        Input::Ack(request, true) => {
            sim.receive(socket, Some(ServerFrame::Ack { request, id: "i".into(), offset: None }));
        }
        Input::Ack(request, false) => {
            // To version 1 it is an answer without a number.
            if onlooker.socket.as_ref().is_some_and(|socket| socket.v2) {
                let (channel, reason) = ("a".into(), "publish denied".into());
                sim.receive(socket, Some(ServerFrame::Err { channel, reason, request: Some(request) }));
            }
        }
        Input::Answer(index, request) => {
            let (channel, events) = (CHANNELS[index].into(), "[]".into());
            sim.receive(
                socket,
                Some(ServerFrame::History { channel, request, position: position(1), events }),
            );
        }
        Input::Gap(index, offset) => {
            let (channel, why) = (CHANNELS[index].into(), "backplane".into());
            sim.receive(socket, Some(ServerFrame::Gap { channel, position: position(offset), why }));
        }
        Input::Pos(index, offset) => {
            sim.receive(socket, Some(ServerFrame::Pos { channel: CHANNELS[index].into(), offset }));
        }
        Input::Bye(after_ms) => sim.receive(socket, Some(ServerFrame::Bye { code: 1012, after_ms })),
        Input::Err(index, publish) => {
            let reason = if publish { "publish denied" } else { "unauthorized" };
            if !publish || onlooker.socket.as_ref().is_some_and(|socket| socket.v2) {
                onlooker.answered(CHANNELS[index], Sub::Denied);
            }
            let channel = CHANNELS[index].into();
            sim.receive(socket, Some(ServerFrame::Err { channel, reason: reason.into(), request: None }));
        }
        Input::Msg(index, offset) => {
            let message = ServerFrame::Msg {
                channel: CHANNELS[index].into(),
                event: "e".into(),
                data: "1".into(),
                id: "i".into(),
                offset,
                previous: None,
            };
            sim.receive(socket, Some(message));
        }
        Input::Token(_) if !onlooker.tokens => {}
        Input::Token(given) => sim.core.token(now, SocketId(socket), given.then(|| "t".into())),
        Input::Accept(after_s) => {
            if let Some(socket) = &mut onlooker.socket
                && socket.token != Token::None
            {
                socket.token = Token::Accepted;
            }
            let expires = after_s.map(|after_s| now / 1_000 + after_s);
            sim.receive(socket, Some(ServerFrame::Auth { expires }));
        }
        Input::Reject => {
            let (channel, reason) = (String::new(), "unauthorized".into());
            sim.receive(socket, Some(ServerFrame::Err { channel, reason, request: None }));
        }
        Input::Ping => sim.receive(socket, Some(ServerFrame::Ping)),
        Input::Closed(code) => {
            onlooker.socket = None;
            sim.closed(socket, code);
        }
        Input::Stale(code) => sim.closed(socket.wrapping_sub(1), code),
        Input::Page(change) => sim.core.page(now, change),
        Input::Sleep(ms) => {
            sim.now += ms;
            sim.fire();
        }
        Input::Refuse => sim.refuse_one(),
        Input::After(ms) => done = sim.after(ms),
    }
    done.extend(sim.drive());
    for Done { effect, refused } in done {
        log.push(line(&effect));
        if !refused {
            onlooker.see(&effect);
        } else if let Some(socket) = &mut onlooker.socket {
            log.push("refused".into());
            socket.refused = true;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(
        inputs in prop::collection::vec(input(), 1..80),
        seed: u64,
        limit in prop::sample::select(vec![0usize, 1, 3, 200]),
        attempts in prop::sample::select(vec![0u32, 1, 5, u32::MAX]),
        tokens: bool,
    ) {
        let options =
            Options { outbox_limit: limit, max_reconnect_attempts: attempts, tokens, ..Options::default() };
        play(inputs, options, seed)?;
    }
}

#[test]
fn an_answer_that_comes_after_its_channel_was_forgotten() {
    use Input::{Channel, Connect, Err, Leave, Ok, Welcome};
    let story = vec![
        Channel(0),
        Connect,
        Welcome(true, None),
        Err(0, false),
        Leave(0),
        Ok(0, None, None),
        Channel(0),
        Err(0, false),
        Leave(0),
    ];
    play(story, Options::default(), 0).expect("nothing contradicts itself");
}
