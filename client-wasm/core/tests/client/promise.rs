//! The promise of version 2, kept against a gateway whose connections and backplane are bad: a subscriber gets every
//! event of a channel in order and once, or is told of a gap; a publish is published once or its outcome says that it
//! was not, or that nobody knows.

use crate::script::{Frame, Sim};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet, VecDeque};
use tidings_client_core::{Effect, MAX_IN_FLIGHT, Options, Outgoing, State};
use tidings_protocol::{Position, Recovery, ServerFrame};

type ToClient = ServerFrame<String, String>;

const CHANNEL: &str = "a";

/// How many events the gateway keeps.
const KEPT: usize = 6;

#[derive(Clone, Debug)]
enum Act {
    /// The backplane has an event, so many offsets after the last.
    Event(u64, Fate),
    /// The backplane starts anew.
    Epoch,
    /// The gateway has lost continuity, and says so.
    Gap,
    /// So many frames reach the client.
    Arrive(usize),
    /// So many publishes of the client are taken.
    Take(usize),
    Close,
    After(u64),
    /// An answer to whether the gateway is there.
    Probe,
    LeaveAndJoin,
    Publish,
    /// The socket does not take the next frame.
    Refuse,
    /// The next connections are to this version, with history or without.
    Gateway {
        v2: bool,
        history: bool,
    },
}

/// What becomes of an event on its way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Sent,
    Twice,
    Lost,
    Hidden,
}

fn act() -> impl Strategy<Value = Act> {
    let fate = prop_oneof![6 => Just(Fate::Sent), 1 => Just(Fate::Twice), 1 => Just(Fate::Lost), 1 => Just(Fate::Hidden)];
    let often = prop_oneof![3 => Just(true), 1 => Just(false)];
    prop_oneof![
        12 => (1u64..4, fate).prop_map(|(step, fate)| Act::Event(step, fate)),
        1 => Just(Act::Epoch),
        1 => Just(Act::Gap),
        12 => (1usize..6).prop_map(Act::Arrive),
        6 => (1usize..4).prop_map(Act::Take),
        3 => Just(Act::Close),
        6 => (0u64..2_000).prop_map(Act::After),
        1 => Just(Act::After(100_000)),
        1 => Just(Act::Probe),
        1 => Just(Act::LeaveAndJoin),
        6 => Just(Act::Publish),
        1 => Just(Act::Refuse),
        1 => (often.clone(), often).prop_map(|(v2, history)| Act::Gateway { v2, history }),
    ]
}

/// An event of the backplane.
struct Event {
    offset: u64,
    hidden: bool,
}

/// A gateway with one connection and its backplane.
struct Gateway {
    v2: bool,
    history: bool,
    epoch: u32,
    /// Of all epochs; an event's place is its data.
    log: Vec<Event>,
    /// Where the epoch began.
    first: usize,
    /// Of this connection.
    v2_now: bool,
    history_now: bool,
    subscribed: bool,
    /// The last event was lost.
    lost: bool,
    /// Where a subscription without a resume began, until it is answered.
    fresh: Option<usize>,
    down: VecDeque<ToClient>,
    up: VecDeque<(String, Option<u64>)>,
    keys: HashSet<String>,
    /// In the order in which they were published.
    published: Vec<u32>,
}

impl Gateway {
    fn position(&self) -> Option<Position<String>> {
        let position = Position { epoch: format!("k{}", self.epoch), offset: self.end() };
        (self.v2_now && self.history_now).then_some(position)
    }

    fn end(&self) -> u64 {
        self.log[self.first..].last().map_or(0, |event| event.offset)
    }

    fn msg(&self, place: usize) -> ToClient {
        let Event { offset, hidden } = self.log[place];
        let positioned = self.position().is_some();
        if hidden {
            return ServerFrame::Pos { channel: CHANNEL.into(), offset };
        }
        let previous = if place == self.first { 0 } else { self.log[place - 1].offset };
        ServerFrame::Msg {
            channel: CHANNEL.into(),
            event: "e".into(),
            data: place.to_string(),
            id: "i".into(),
            offset: positioned.then_some(offset),
            previous: (positioned && previous + 1 != offset).then_some(previous),
        }
    }

    fn event(&mut self, step: u64, mut fate: Fate) {
        // A `pos` says nothing of the event before it: it would cover up the loss.
        if std::mem::replace(&mut self.lost, fate == Fate::Lost) && fate == Fate::Hidden {
            fate = Fate::Sent;
        }
        let offset = self.end() + step;
        self.log.push(Event { offset, hidden: fate == Fate::Hidden });
        // Without positions nobody notices what is lost, repeated or hidden.
        let times = match fate {
            _ if !self.subscribed => 0,
            Fate::Hidden => usize::from(self.position().is_some()),
            _ if self.position().is_none() => 1,
            Fate::Sent => 1,
            Fate::Twice => 2,
            Fate::Lost => 0,
        };
        for _ in 0..times {
            self.down.push_back(self.msg(self.log.len() - 1));
        }
    }

    fn subscribe(&mut self, resume: Option<Position<String>>) {
        if !self.subscribed && resume.is_none() {
            self.fresh = self.position().is_some().then_some(self.log.len());
        }
        self.subscribed = true;
        let position = self.position();
        let mut missed = 0..0;
        let recovery = resume.map(|resume| {
            let kept = self.first.max(self.log.len().saturating_sub(KEPT));
            let before = if kept == self.first { 0 } else { self.log[kept - 1].offset };
            let lost = |why: &str| Recovery::Lost { why: why.into() };
            match &position {
                None => lost("unavailable"),
                Some(position) if position.epoch != resume.epoch => lost("epoch"),
                Some(_) if resume.offset < before => lost("expired"),
                Some(_) => {
                    let next = (kept..self.log.len()).find(|&place| self.log[place].offset > resume.offset);
                    missed = next.unwrap_or(self.log.len())..self.log.len();
                    let count = missed.clone().filter(|&place| !self.log[place].hidden).count() as u64;
                    Recovery::Recovered { count }
                }
            }
        });
        self.down.push_back(ServerFrame::Ok { channel: CHANNEL.into(), position, recovery });
        for place in missed.filter(|&place| !self.log[place].hidden) {
            self.down.push_back(self.msg(place));
        }
    }

    fn take(&mut self) {
        if let Some((key, request)) = self.up.pop_front() {
            // Version 1 has no keys.
            if request.is_none() || self.keys.insert(key.clone()) {
                self.published.push(key.parse().expect("a number"));
            }
            if let Some(request) = request {
                self.down.push_back(ServerFrame::Ack { request, id: "i".into(), offset: None });
            }
        }
    }

    fn close(&mut self) {
        self.subscribed = false;
        self.down.clear();
        self.up.clear();
    }

    fn open(&mut self, socket: u32) {
        (self.v2_now, self.history_now) = (self.v2, self.history);
        let version = self.v2.then_some(2);
        self.down.push_back(ServerFrame::Welcome { id: socket.to_string(), version, keepalive_ms: None });
    }
}

/// What the subscriber may get next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Just this one, or after hidden ones the next.
    Exactly(usize),
    /// This one or a later one: it has just subscribed, or was told of a gap.
    From(usize),
    /// Whatever was on its way when it left and came back.
    Anything,
}

struct World {
    sim: Sim,
    gateway: Gateway,
    next: Next,
    /// What it got last.
    last: Option<usize>,
    published: u32,
    in_flight: usize,
    outcomes: HashMap<u32, Result<(), String>>,
}

impl World {
    fn drive(&mut self) {
        loop {
            let done = self.sim.drive();
            if done.is_empty() {
                return;
            }
            for done in done {
                if !done.refused {
                    self.see(done.effect);
                }
            }
        }
    }

    fn see(&mut self, effect: crate::script::Does) {
        let gateway = &mut self.gateway;
        match effect {
            Effect::Connect { socket } => {
                self.in_flight = 0;
                gateway.close();
                gateway.open(socket.0);
            }
            Effect::Close { .. } => gateway.close(),
            Effect::Send(Outgoing::Subscribe { resume, .. }) => gateway.subscribe(resume),
            Effect::Send(Outgoing::Unsubscribe(_)) => gateway.subscribed = false,
            Effect::Send(Outgoing::Publish { frame, request }) => {
                if request.is_none() {
                    self.outcome(&frame, Ok(()));
                } else {
                    self.in_flight += 1;
                    assert!(self.in_flight <= MAX_IN_FLIGHT);
                }
                self.gateway.up.push_back((frame.0, request));
            }
            Effect::Deliver { data, .. } => {
                let place: usize = data.parse().expect("a place");
                match self.next {
                    Next::Exactly(next) => {
                        let hidden = gateway.log[next.min(place)..place].iter().all(|event| event.hidden);
                        assert!(place >= next && hidden, "expected {next}, got {place}");
                    }
                    Next::From(next) => assert!(place >= next, "expected {next} or more, got {place}"),
                    Next::Anything => {}
                }
                self.last = Some(place);
                self.next = if matches!(self.next, Next::Anything) {
                    Next::Anything
                } else if gateway.position().is_some() {
                    Next::Exactly(place + 1)
                } else {
                    Next::From(place + 1)
                };
            }
            Effect::Subscribed(_) => match (gateway.fresh.take(), self.next) {
                (Some(place), _) => self.next = Next::Exactly(place),
                (None, Next::Anything) => self.next = Next::From(0),
                _ => {}
            },
            Effect::Gap { .. } => {
                if let Next::Exactly(next) = self.next {
                    self.next = Next::From(next);
                }
            }
            Effect::Acknowledged { frame, .. } => {
                self.in_flight -= 1;
                self.outcome(&frame, Ok(()));
            }
            Effect::Dropped { frame, reason } => self.outcome(&frame, Err(reason)),
            _ => {}
        }
    }

    fn outcome(&mut self, frame: &Frame, outcome: Result<(), String>) {
        let number = frame.0.parse().expect("a number");
        assert!(self.outcomes.insert(number, outcome).is_none(), "two outcomes");
    }

    fn publish(&mut self) {
        self.published += 1;
        self.sim.core.publish(self.sim.now, Frame(self.published.to_string()));
    }

    fn arrive(&mut self) -> bool {
        let frame = self.gateway.down.pop_front();
        let socket = self.sim.socket;
        let some = frame.is_some();
        if some {
            self.sim.receive(socket, frame);
            self.drive();
        }
        some
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Event(step, fate) => self.gateway.event(step, fate),
            Act::Epoch => {
                let gateway = &mut self.gateway;
                gateway.epoch += 1;
                gateway.first = gateway.log.len();
                self.gap();
            }
            Act::Gap => self.gap(),
            Act::Arrive(count) => {
                for _ in 0..count {
                    self.arrive();
                }
            }
            Act::Take(count) => (0..count).for_each(|_| self.gateway.take()),
            Act::Close => {
                self.gateway.close();
                self.sim.closed(self.sim.socket, 1006);
            }
            Act::After(ms) => {
                for done in self.sim.after(ms) {
                    if !done.refused {
                        self.see(done.effect);
                    }
                }
            }
            Act::Probe => self.sim.core.page(self.sim.now, tidings_client_core::PageChange::Restored),
            Act::LeaveAndJoin => {
                self.sim.leave(CHANNEL);
                self.act(Act::After(1));
                self.sim.channel(CHANNEL);
                self.next = Next::Anything;
            }
            Act::Publish => self.publish(),
            Act::Refuse => self.sim.refuse_one(),
            Act::Gateway { v2, history } => (self.gateway.v2, self.gateway.history) = (v2, history),
        }
        self.drive();
    }

    fn gap(&mut self) {
        if self.gateway.subscribed
            && let Some(position) = self.gateway.position()
        {
            let (channel, why) = (CHANNEL.into(), "backplane".into());
            self.gateway.down.push_back(ServerFrame::Gap { channel, position, why });
        }
    }

    /// Everything arrives, and nothing breaks.
    fn calm(&mut self) {
        for _ in 0..40 {
            self.act(Act::After(1_000));
            while self.arrive() || !self.gateway.up.is_empty() {
                self.gateway.take();
            }
        }
    }
}

fn play(acts: Vec<Act>, limit: usize) -> Result<(), TestCaseError> {
    let options = Options { outbox_limit: limit, outbox_max_age_ms: 60_000, ..Options::default() };
    let gateway = Gateway {
        v2: true,
        history: true,
        epoch: 0,
        log: Vec::new(),
        first: 0,
        v2_now: true,
        history_now: true,
        subscribed: false,
        lost: false,
        fresh: None,
        down: VecDeque::new(),
        up: VecDeque::new(),
        keys: HashSet::new(),
        published: Vec::new(),
    };
    let mut world = World {
        sim: Sim::new(options, || 0.5),
        gateway,
        next: Next::From(0),
        last: None,
        published: 0,
        in_flight: 0,
        outcomes: HashMap::new(),
    };
    world.sim.channel(CHANNEL);
    world.sim.core.connect(world.sim.now);
    world.drive();
    for act in acts {
        world.act(act);
    }
    world.act(Act::Gateway { v2: true, history: true });
    world.act(Act::Close);
    world.calm();
    prop_assert_eq!(world.sim.core.state(), State::Open);
    world.publish();
    world.act(Act::Event(1, Fate::Sent));
    world.calm();
    // The last event is there, and with it, or a gap, all before.
    prop_assert_eq!(world.last, Some(world.gateway.log.len() - 1));

    prop_assert_eq!(world.outcomes.len() as u32, world.published);
    prop_assert_eq!(&world.outcomes[&world.published], &Ok(()));
    let published = &world.gateway.published;
    prop_assert!(published.is_sorted_by(|a, b| a < b), "{:?}: twice, or out of order", published);
    for number in published {
        let outcome = &world.outcomes[number];
        let known = matches!(outcome, Ok(())) || *outcome == Err("unacknowledged".into());
        prop_assert!(known, "{number} was published: {outcome:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_once_or_a_gap_and_every_publish_once(
        acts in prop::collection::vec(act(), 1..120),
        limit in prop::sample::select(vec![0usize, 2, 200]),
    ) {
        play(acts, limit)?;
    }
}
