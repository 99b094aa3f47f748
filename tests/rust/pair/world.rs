//! Everything at once, and the clock.

use crate::{
    backplane::Backplane,
    checker::{Checker, Tally},
    client::{Note, Peer},
    gateway::Gateway,
    network::{Item, Link, Random},
    plan::{Fault, Plan},
};
use std::{collections::BTreeMap, rc::Rc};
use tidings_client_core::State;

pub(crate) const CLIENTS: usize = 3;
pub(crate) const CHANNELS: [&str; 3] = ["a", "b", "c"];

/// The longest time between two acts of users, in milliseconds, and the longest between two in a row.
const IDLE: u64 = 600;
const HASTE: u64 = 60;

/// Long enough for every answer, in milliseconds.
const PAUSE: u64 = 4_000;

/// So many things happen in no story.
const ENDLESS: u32 = 100_000;

/// Its methods are beside it, by what they are about.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) plan: Rc<Plan>,
    /// Prints every frame.
    pub(crate) aloud: bool,
    pub(crate) now: u64,
    /// When a user acts next; `None` in a calm.
    pub(crate) act_at: Option<u64>,
    /// Who acted last, and on which channel.
    actor: (usize, &'static str),
    pub(crate) peers: Vec<Peer>,
    /// By number, in the order in which they were opened.
    pub(crate) links: BTreeMap<u64, Link>,
    pub(crate) gateway: Gateway,
    pub(crate) backplane: Backplane,
    pub(crate) checker: Checker,
}

impl World {
    pub(crate) fn new(seed: u64, fault: Option<Fault>, aloud: bool) -> Self {
        let random = Random::new(seed);
        let plan = Rc::new(Plan::new(&random, fault));
        let mut world = Self {
            aloud,
            now: 0,
            act_at: None,
            actor: (0, CHANNELS[0]),
            peers: (0..CLIENTS).map(|_| Peer::new(&random)).collect(),
            links: BTreeMap::new(),
            gateway: Gateway::new(&random, &plan),
            backplane: Backplane::new(plan.clone(), &random),
            checker: Checker::new(plan.clone()),
            plan,
            random,
        };
        world.say(|world| format!("{:?}", world.plan));
        for channel in CHANNELS {
            if world.plan.history_of(channel) > 0 {
                world.checker.epoch(channel, world.backplane.epoch(channel));
            }
        }
        (0..CLIENTS).for_each(|at| world.connect(at));
        world
    }

    /// Users act and connections break.
    pub(crate) fn storm(&mut self, duration: u64) {
        self.act_at = Some(self.now);
        self.run(duration);
        self.act_at = None;
    }

    /// A calm until all are connected again.
    pub(crate) fn heal(&mut self, longest: u64) {
        (0..CLIENTS).for_each(|at| self.connect(at));
        let until = self.now + longest;
        self.calm();
        while !self.healed() {
            assert!(self.now < until, "not everyone is connected again");
            self.calm();
        }
    }

    /// Nobody acts, nothing breaks, and nothing is refused.
    pub(crate) fn calm(&mut self) {
        self.run(PAUSE);
    }

    /// The same, until the last publish was answered.
    pub(crate) fn settle(&mut self, longest: u64) {
        let until = self.now + longest;
        self.calm();
        while self.checker.unknown().is_some() && self.now < until {
            self.calm();
        }
    }

    fn healed(&self) -> bool {
        let open = |peer: &Peer| peer.core.state() == State::Open;
        self.links.len() == CLIENTS
            && self.links.values().all(|link| !link.broken)
            && self.peers.iter().all(open)
    }

    pub(crate) fn want_everything(&mut self) {
        for at in 0..CLIENTS {
            CHANNELS.into_iter().for_each(|channel| self.want(at, channel));
        }
    }

    pub(crate) fn publish_everywhere(&mut self) {
        for at in 0..CLIENTS {
            CHANNELS.into_iter().for_each(|channel| self.publish(at, channel, 1));
        }
    }

    pub(crate) fn finish(self) -> Tally {
        assert!(self.healed(), "still connected");
        for channel in CHANNELS {
            assert_eq!(self.gateway.nodes.count(channel), CLIENTS, "{channel}: subscribers at the gateway");
        }
        self.checker.finish()
    }

    pub(crate) fn say(&self, what: impl FnOnce(&Self) -> String) {
        if self.aloud {
            println!("{:>6} {}", self.now, what(self));
        }
    }

    pub(crate) fn stormy(&self) -> bool {
        self.act_at.is_some()
    }

    fn run(&mut self, duration: u64) {
        let until = self.now + duration;
        for _ in 0..ENDLESS {
            match self.due() {
                Some(at) if at <= until => self.now = self.now.max(at),
                _ => {
                    self.now = until;
                    return;
                }
            }
            self.step();
        }
        panic!("no end at {} ms", self.now);
    }

    fn due(&self) -> Option<u64> {
        let links = self.links.values().filter_map(Link::due);
        let peers = self.peers.iter().filter_map(|peer| peer.core.deadline());
        let behind = [self.gateway.due(), self.gateway.nodes.due(), self.backplane.due(), self.act_at];
        links.chain(peers).chain(behind.into_iter().flatten()).min()
    }

    /// Everything whose time has come.
    fn step(&mut self) {
        if self.act_at.is_some_and(|at| at <= self.now) {
            let pause = if self.plan.busy || self.random.one_in(2) { HASTE } else { IDLE };
            self.act_at = Some(self.now + 1 + self.random.below(pause));
            self.act();
        }
        let links: Vec<u64> = self.links.keys().copied().collect();
        for id in links {
            while let Some(item) = self.links[&id].session.is_some().then(|| self.arrival_up(id)).flatten() {
                self.gateway_receives(id, item);
            }
            self.gateway_ticks(id);
            while let Some(item) = self.links[&id].heard.then(|| self.arrival_down(id)).flatten() {
                self.client_receives(id, item);
            }
            if self.links[&id].session.is_none() && !self.links[&id].heard {
                self.links.remove(&id);
            }
        }
        self.gateway_works();
        for at in 0..CLIENTS {
            self.client_timer(at);
        }
    }

    fn arrival_up(&mut self, id: u64) -> Option<Item> {
        let now = self.now;
        self.links.get_mut(&id)?.up.take(now)
    }

    fn arrival_down(&mut self, id: u64) -> Option<Item> {
        let now = self.now;
        self.links.get_mut(&id)?.down.take(now)
    }

    /// A user does something, or a connection breaks.
    fn act(&mut self) {
        // Often the same user and the same channel again, before an answer is there.
        if self.random.one_in(2) {
            let channel = CHANNELS[self.random.below(CHANNELS.len() as u64) as usize];
            self.actor = (self.random.below(CLIENTS as u64) as usize, channel);
        }
        let (at, channel) = self.actor;
        match self.random.below(100) {
            0..20 => self.want(at, channel),
            20..26 => self.leave(at, channel),
            26..30 => self.flicker(at, channel),
            30..78 => {
                let most = if self.plan.loops { 40 } else { 3 };
                self.publish(at, channel, 1 + self.random.below(most));
            }
            78..82 => self.backplane_breaks(channel),
            82..91 => {
                let (now, random) = (self.now, self.random.clone());
                if let Some(link) = self.link(at) {
                    link.break_off(now, &random);
                }
            }
            91..94 => {
                if let Some(id) = self.peers[at].link {
                    self.gateway_closes(id);
                }
            }
            94 if self.random.one_in(3) => self.disconnect(at),
            _ => self.connect(at),
        }
    }

    /// The backplane loses events, or everything.
    fn backplane_breaks(&mut self, channel: &'static str) {
        if self.plan.history_of(channel) == 0 {
            return;
        }
        if self.plan.losses {
            self.backplane.lose(self.now, channel);
        }
        if self.plan.epochs && self.random.one_in(2) {
            self.backplane.start_anew(self.now, channel);
            self.checker.epoch(channel, self.backplane.epoch(channel));
        }
    }

    fn connect(&mut self, at: usize) {
        self.peers[at].core.connect(self.now);
        self.client(at, None);
    }

    fn disconnect(&mut self, at: usize) {
        for channel in self.peers[at].wanted.drain() {
            self.checker.left(at, channel, None);
        }
        self.peers[at].core.disconnect();
        self.client(at, None);
    }

    fn want(&mut self, at: usize, channel: &'static str) {
        if self.peers[at].want(channel) {
            let peer = &self.peers[at];
            self.checker.wanted(at, channel, peer.live(channel), peer.link);
        }
        self.client(at, None);
    }

    fn leave(&mut self, at: usize, channel: &'static str) {
        if self.peers[at].leave(self.now, channel) {
            self.checker.left(at, channel, self.peers[at].link);
        }
        self.client(at, None);
    }

    /// Leaves, and comes back in the same breath: what was live stays live, and misses nothing.
    fn flicker(&mut self, at: usize, channel: &'static str) {
        let live = self.peers[at].live(channel);
        if self.peers[at].leave(self.now, channel) {
            self.client(at, None);
            self.want(at, channel);
            assert_eq!(self.peers[at].live(channel), live, "{channel}: asked for again");
        }
    }

    fn publish(&mut self, at: usize, channel: &'static str, count: u64) {
        for _ in 0..count {
            let number = self.checker.noted(at, channel);
            self.peers[at].core.publish(self.now, Note { channel, number });
        }
        self.client(at, None);
    }

    pub(crate) fn link(&mut self, at: usize) -> Option<&mut Link> {
        self.links.get_mut(&self.peers[at].link?)
    }
}
