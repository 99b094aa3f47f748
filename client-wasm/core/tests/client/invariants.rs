//! What holds whatever happens.

use crate::script::{Does, Done, Frame, Sim, line};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use tidings_client_core::{Effect, Options, Outgoing, PageChange, State};
use tidings_protocol::ServerFrame;

const CHANNELS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Input {
    Connect,
    Disconnect,
    Channel(usize),
    Leave(usize),
    Publish,
    Welcome(Option<u64>),
    Ok(usize),
    Err(usize, bool),
    Msg(usize),
    Ping,
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
        8 => prop::option::of(prop::sample::select(vec![0u64, 1_000, 30_000])).prop_map(Input::Welcome),
        8 => channel.clone().prop_map(Input::Ok),
        2 => (channel.clone(), any::<bool>()).prop_map(|(channel, publish)| Input::Err(channel, publish)),
        3 => channel.prop_map(Input::Msg),
        2 => Just(Input::Ping),
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
    /// There is a socket, with what it has subscribed and how often each channel was asked for since the answer.
    socket: Option<Connection>,
    state: Option<State>,
    wanted: HashSet<String>,
    /// Numbers of publishes in the order of sending, and of all that have an outcome.
    last_sent: Option<u32>,
    settled: HashSet<u32>,
    published: u32,
}

#[derive(Default)]
struct Connection {
    welcomed: bool,
    /// It took no frame, and will not take another.
    refused: bool,
    /// Live or asked for.
    subscribed: HashMap<String, Sub>,
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
                if let Some(socket) = self.socket.as_ref().filter(|socket| !socket.refused) {
                    let sub = socket.subscribed.get(channel);
                    assert!(matches!(sub, None | Some(Sub::Denied)), "forgotten while subscribed");
                }
            }
            Effect::Reconnecting { attempt, delay_ms } => {
                assert!(*attempt > 0 && *delay_ms <= Options::default().reconnect_max_delay_ms);
            }
            _ => {}
        }
    }

    fn see_frame(&mut self, frame: &Outgoing<String, Frame>) {
        let socket = self.socket.as_mut().expect("frames need a socket");
        assert!(socket.welcomed, "a frame before welcome");
        assert!(!socket.refused, "a frame for a socket that takes none");
        match frame {
            Outgoing::Subscribe(channel) => {
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
            Outgoing::Publish(frame) => {
                let number = number(frame);
                assert!(self.last_sent.is_none_or(|last| last < number), "out of order");
                self.last_sent = Some(number);
                self.settle(frame);
            }
            Outgoing::Pong => {}
        }
    }

    fn settle(&mut self, frame: &Frame) {
        assert!(self.settled.insert(number(frame)), "two outcomes");
    }

    fn answered(&mut self, channel: &str, sub: Sub) {
        if let Some(socket) = &mut self.socket
            && socket.welcomed
            && let Some(known) = socket.subscribed.get_mut(channel)
        {
            *known = match (*known, sub) {
                (Sub::Asked, sub) => sub,
                (Sub::Probed, _) | (Sub::Denied, Sub::Live) => Sub::Live,
                (known, _) => known,
            };
        }
    }
}

fn number(frame: &Frame) -> u32 {
    frame.0.trim_start_matches('p').parse().expect("a number")
}

fn play(inputs: Vec<Input>, options: Options, seed: u64) -> Result<(), TestCaseError> {
    let mut random = seed;
    let mut sim = Sim::new(options, move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 11) as f64 / (1u64 << 53) as f64
    });
    let mut onlooker = Onlooker::default();
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
        }
        if sim.core.state() == State::Open {
            // Everything wanted is asked for, unless the socket refuses.
            let socket = onlooker.socket.as_ref().expect("an open client has a socket");
            for channel in onlooker.wanted.iter().filter(|_| !sim.refused) {
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
        Input::Welcome(None),
        Input::Ok(0),
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
            sim.core.publish(Frame(format!("p{}", onlooker.published)));
        }
        Input::Welcome(keepalive_ms) => {
            if let Some(socket) = &mut onlooker.socket {
                socket.welcomed = true;
            }
            sim.receive(socket, Some(ServerFrame::Welcome { id: "id".into(), version: None, keepalive_ms }));
        }
        Input::Ok(index) => {
            onlooker.answered(CHANNELS[index], Sub::Live);
            let channel = CHANNELS[index].into();
            sim.receive(socket, Some(ServerFrame::Ok { channel, position: None, recovery: None }));
        }
        Input::Err(index, publish) => {
            let reason = if publish { "publish denied" } else { "unauthorized" };
            if !publish {
                onlooker.answered(CHANNELS[index], Sub::Denied);
            }
            let channel = CHANNELS[index].into();
            sim.receive(socket, Some(ServerFrame::Err { channel, reason: reason.into(), request: None }));
        }
        Input::Msg(index) => {
            let message = ServerFrame::Msg {
                channel: CHANNELS[index].into(),
                event: "e".into(),
                data: "1".into(),
                id: "i".into(),
                offset: None,
                previous: None,
            };
            sim.receive(socket, Some(message));
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
    ) {
        let options = Options { outbox_limit: limit, max_reconnect_attempts: attempts, ..Options::default() };
        play(inputs, options, seed)?;
    }
}
