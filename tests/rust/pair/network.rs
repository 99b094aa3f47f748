//! Chance, and connections that delay, lose and end.

use crate::plan::{Fault, Plan};
use std::{
    cell::Cell,
    collections::{HashSet, VecDeque},
    rc::Rc,
};
use tidings_client_core::SocketId;
use tidings_server::session::Session;

/// The longest that a frame is on its way, in milliseconds.
const SLOWEST: u64 = 300;

/// Numbers by seed, shared by all who roll the dice.
#[derive(Clone)]
pub(crate) struct Random(Rc<Cell<u64>>);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rc::new(Cell::new((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))))
    }

    /// A xorshift generator.
    pub(crate) fn below(&self, n: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % n
    }

    pub(crate) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn delay(&self) -> u64 {
        self.below(SLOWEST)
    }
}

/// What arrives at an end of a connection.
#[derive(Debug)]
pub(crate) enum Item {
    Text(String),
    /// The other end, or the network, has closed with this code. Nothing follows.
    End(u16),
}

/// One direction of a connection. What is on it stays in order.
#[derive(Default)]
pub(crate) struct Line {
    items: VecDeque<(u64, Item)>,
    /// Takes no more: it was cut, or its end is on its way.
    over: bool,
}

impl Line {
    pub(crate) fn send(&mut self, now: u64, random: &Random, item: Item, fault: Option<Fault>) {
        if self.over {
            return;
        }
        let mut at = now + random.delay();
        if let Some((last, _)) = self.items.back() {
            at = at.max(*last);
        }
        self.over = matches!(item, Item::End(_));
        self.items.push_back((at, item));
        if let Some(fault) =
            fault.filter(|fault| fault.is_of_the_network() && !self.over && random.one_in(10))
        {
            self.spoil(at, fault);
        }
    }

    fn spoil(&mut self, at: u64, fault: Fault) {
        let last = self.items.len() - 1;
        match (fault, &self.items[last].1) {
            (Fault::Twice, Item::Text(text)) => {
                let again = Item::Text(text.clone());
                self.items.push_back((at, again));
            }
            (Fault::Swapped, _) if last > 0 => self.items.swap(last, last - 1),
            (Fault::Lost, _) => drop(self.items.pop_back()),
            _ => {}
        }
    }

    /// Loses what is on it, and what comes.
    pub(crate) fn cut(&mut self) {
        self.items.clear();
        self.over = true;
    }

    /// The same, but the end is told.
    pub(crate) fn reset(&mut self, now: u64, random: &Random) {
        if !self.over {
            self.items.clear();
            self.send(now, random, Item::End(1006), None);
        }
    }

    /// When the next item arrives.
    pub(crate) fn due(&self) -> Option<u64> {
        self.items.front().map(|(at, _)| *at)
    }

    pub(crate) fn take(&mut self, now: u64) -> Option<Item> {
        self.items.pop_front_if(|(at, _)| *at <= now).map(|(_, item)| item)
    }
}

/// A connection, from the client's socket to the gateway's session.
pub(crate) struct Link {
    pub(crate) client: usize,
    pub(crate) node: usize,
    /// Which worker thread of it.
    pub(crate) hub: u64,
    /// The gateway speaks version 1.
    pub(crate) old_node: bool,
    /// One side or both do.
    pub(crate) old: bool,
    pub(crate) socket: SocketId,
    /// Whether the client still has the socket.
    pub(crate) heard: bool,
    /// The socket knows that it is about to close, and takes no frames.
    pub(crate) refuses: bool,
    /// Whether the network broke it, in one direction or both.
    pub(crate) broken: bool,
    pub(crate) up: Line,
    pub(crate) down: Line,
    /// The gateway's end, until that ends.
    pub(crate) session: Option<Session>,
    /// The channels that the client has asked for.
    pub(crate) asked: HashSet<String>,
}

impl Link {
    pub(crate) fn new(client: usize, socket: SocketId, plan: &Plan, random: &Random) -> Self {
        let node = random.below(plan.old_nodes.len() as u64) as usize;
        let old_node = plan.old_nodes[node];
        Self {
            client,
            node,
            hub: random.below(plan.hubs),
            old_node,
            old: old_node || plan.old_clients[client],
            socket,
            heard: true,
            refuses: false,
            broken: false,
            up: Line::default(),
            down: Line::default(),
            session: None,
            asked: HashSet::new(),
        }
    }

    /// The network breaks the connection: in both directions or one, and it tells so or leaves that to timers.
    pub(crate) fn break_off(&mut self, now: u64, random: &Random) {
        self.broken = true;
        match random.below(5) {
            0..3 => {
                self.up.reset(now, random);
                self.down.reset(now, random);
                self.refuses = random.one_in(2);
            }
            // A client that is promised no sign of life does not find out.
            _ if self.old => self.up.cut(),
            3 => {
                self.up.cut();
                self.down.cut();
            }
            _ if random.one_in(2) => self.up.cut(),
            _ => self.down.cut(),
        }
    }

    /// When something happens on it next. What arrives where nobody is left does not count.
    pub(crate) fn due(&self) -> Option<u64> {
        let session = self.session.as_ref();
        let up = session.and_then(|_| self.up.due());
        let down = if self.heard { self.down.due() } else { None };
        [up, down, session.and_then(Session::deadline)].into_iter().flatten().min()
    }
}
