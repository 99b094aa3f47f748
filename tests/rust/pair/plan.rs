//! What a story is like: who speaks which version, how slow everything is, and what goes wrong.

use crate::{
    network::Random,
    world::{CHANNELS, CLIENTS},
};

/// More events than any story has.
pub(crate) const AMPLE: usize = 100_000;

/// What is broken on purpose, to see that the checker finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The network: a frame arrives twice.
    Twice,
    /// The network: a frame overtakes the one before it.
    Swapped,
    /// The network: a frame is lost, and the connection stays.
    Lost,
    /// The gateway does not keep what happens while history is read.
    NoBuffer,
    /// History misses an event, and the chain is not checked.
    NoChainCheck,
    /// What was missed is sent behind the next live event.
    ReplayAfterLive,
    /// The last event that was missed is not sent.
    ReplayOneFewer,
    /// An event is sent that the client has.
    ReplayOneMore,
    /// A client that cannot be given what it missed is told that it missed nothing.
    LossNotTold,
    /// Clients are not told of a gap.
    GapNotTold,
    /// Events in front of a hub do not reach it.
    PostLost,
    /// A subscription is live before the backplane has confirmed it.
    LiveTooEarly,
    /// A publish is acknowledged before the backplane has accepted it.
    AckTooEarly,
    /// The backplane forgets keys.
    KeysForgotten,
    /// Clients send no keys.
    KeysNotSent,
    /// Clients forget their positions when they reconnect.
    PositionsForgotten,
}

impl Fault {
    pub(crate) const fn is_of_the_network(self) -> bool {
        matches!(self, Self::Twice | Self::Swapped | Self::Lost)
    }
}

/// Drawn from the seed, and the same throughout the story.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) fault: Option<Fault>,
    /// Users hardly pause.
    pub(crate) busy: bool,
    /// Users publish in loops, more than a gateway lets them.
    pub(crate) loops: bool,
    /// Which gateways speak version 1 only.
    pub(crate) old_nodes: Vec<bool>,
    /// Which clients do.
    pub(crate) old_clients: [bool; CLIENTS],
    /// Worker threads of each gateway.
    pub(crate) hubs: u64,
    /// How many events are kept of each channel; 0 where there is no history.
    pub(crate) history: [usize; CHANNELS.len()],
    /// How many events a resume may carry.
    pub(crate) resume_events: usize,
    /// By how much offsets grow.
    pub(crate) stride: u64,
    /// The longest that the backplane takes to answer, in milliseconds.
    pub(crate) backplane_ms: u64,
    /// The longest that an event takes from the backplane to a gateway, and from there to a hub, in milliseconds.
    pub(crate) lag: u64,
    pub(crate) hub_lag: u64,
    /// The backplane loses events, and says so.
    pub(crate) losses: bool,
    /// The backplane starts anew.
    pub(crate) epochs: bool,
    /// History cannot be read at times, and publishes fail.
    pub(crate) failures: bool,
    /// The network loses events, which it never does; a client of version 2 notices.
    pub(crate) leaks: bool,
}

impl Plan {
    pub(crate) fn new(random: &Random, fault: Option<Fault>) -> Self {
        let pick = |choices: &[u64]| choices[random.below(choices.len() as u64) as usize];
        let mut plan = Self {
            fault,
            busy: random.one_in(4),
            loops: fault.is_none() && random.one_in(8),
            old_nodes: (0..pick(&[1, 2, 2])).map(|_| random.one_in(6)).collect(),
            old_clients: std::array::from_fn(|_| random.one_in(6)),
            hubs: pick(&[1, 2]),
            history: std::array::from_fn(|_| AMPLE),
            resume_events: 1_000,
            stride: pick(&[1, 1, 7]),
            backplane_ms: pick(&[200, 200, 1_500]),
            lag: pick(&[0, 50, 400]),
            hub_lag: pick(&[0, 30, 300]),
            losses: false,
            epochs: false,
            failures: false,
            leaks: false,
        };
        plan.history[CHANNELS.len() - 1] = if random.one_in(2) { 0 } else { AMPLE };
        // Half of the stories have nothing in them that a client need be told of.
        if random.one_in(2) {
            plan.history.iter_mut().filter(|kept| **kept > 0).for_each(|kept| {
                *kept = pick(&[1, 4, 16, AMPLE as u64]) as usize;
            });
            plan.resume_events = pick(&[1, 5, 1_000]) as usize;
            plan.losses = random.one_in(3);
            plan.epochs = random.one_in(3);
            plan.failures = random.one_in(3);
        }
        plan.leaks = random.one_in(5);
        if let Some(fault) = fault {
            plan.break_with(fault);
        }
        plan
    }

    /// As is best to see the fault.
    fn break_with(&mut self, fault: Fault) {
        let old = fault.is_of_the_network();
        self.busy = !old;
        self.old_nodes.fill(old);
        self.old_clients.fill(false);
        (self.leaks, self.losses, self.epochs, self.failures) = (false, false, false, false);
        self.history = [AMPLE; CHANNELS.len()];
        self.resume_events = 1_000;
        match fault {
            Fault::LossNotTold => self.history = [1; CHANNELS.len()],
            Fault::GapNotTold => (self.losses, self.lag) = (true, 400),
            Fault::NoBuffer => (self.backplane_ms, self.lag, self.hub_lag) = (1_500, 0, 0),
            Fault::PostLost => self.hub_lag = 300,
            Fault::LiveTooEarly => (self.history, self.lag) = ([0; CHANNELS.len()], 400),
            _ => {}
        }
    }

    /// Whether nothing takes time behind the sessions but their own questions.
    pub(crate) const fn is_prompt(&self) -> bool {
        self.lag == 0 && self.hub_lag == 0
    }

    pub(crate) fn history_of(&self, channel: &str) -> usize {
        CHANNELS.iter().position(|name| *name == channel).map_or(0, |at| self.history[at])
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}
