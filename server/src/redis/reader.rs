//! What Redis pushes, on its way to the listeners: in the order in which it comes, and nothing past a hole.

use super::{
    RedisOptions,
    compare::{self, Next},
    link::{Link, LinkError, Loss},
};
use crate::{
    Delivery, Histories, Position, Range,
    listeners::{Arrival, Listeners},
};
use ahash::RandomState;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use redis::{PushInfo, PushKind};
use std::{collections::HashMap, sync::Arc};
use tidings_protocol::Why;
use tracing::{info, warn};

/// How many events of a channel wait while its past is read; those beyond are read from the past too.
const WAITING: usize = 256;

/// How many events are read at once.
const PAGE: usize = 1_000;

/// How many channels read their past at the same time.
const CATCHING: usize = 64;

/// One node's reader: what all its links have in common.
pub(super) struct Reader {
    pub(super) options: Arc<RedisOptions>,
    pub(super) histories: Histories,
    pub(super) listeners: Listeners,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Which link is heard.
    generation: u64,
    /// The channels that are behind.
    catching: HashMap<Arc<str>, Catching, RandomState>,
}

/// A channel whose past is read.
#[derive(Default)]
struct Catching {
    /// Events that came meanwhile.
    waiting: Vec<Delivery>,
    /// There were more of them.
    overflown: bool,
}

impl Catching {
    fn push(&mut self, delivery: Delivery) {
        if self.waiting.len() < WAITING { self.waiting.push(delivery) } else { self.overflown = true }
    }
}

impl Reader {
    pub(super) fn new(options: Arc<RedisOptions>, histories: Histories) -> Self {
        Self { options, histories, listeners: Listeners::default(), state: Mutex::default() }
    }

    /// A link of this generation is heard from here on, and no other. Every channel with a position is behind until it has
    /// [caught up](Self::spawn_catch_up): Redis may be another one than before. Those that are not on their way are returned.
    pub(super) fn begin(&self, generation: u64) -> Vec<Arc<str>> {
        let mut state = self.state.lock();
        if state.generation != generation {
            state.generation = generation;
            state.catching.clear();
        }
        let mut behind = Vec::new();
        for (channel, position) in self.listeners.channels() {
            if position.is_some() && !state.catching.contains_key(&channel) {
                state.catching.insert(channel.clone(), Catching::default());
                behind.push(channel);
            }
        }
        behind
    }

    /// What a link of this generation was sent. Runs in the order of arrival, and awaits nothing.
    pub(super) fn pushed(self: &Arc<Self>, generation: u64, link: &Weakly, push: &PushInfo, loss: &Loss) {
        match (&push.kind, &push.data[..]) {
            (PushKind::Disconnection, _) => loss.set("the connection has ended"),
            (PushKind::Message, [subject, payload]) => {
                let Some((channel, arrived)) = self.options.names.arrived(subject, payload) else { return };
                match arrived {
                    Ok(delivery) => self.arrived(generation, link, delivery),
                    Err(problem) => {
                        warn!(channel, problem, "a message on Redis is no event, and was skipped");
                    }
                }
            }
            _ => {}
        }
    }

    fn arrived(self: &Arc<Self>, generation: u64, link: &Weakly, delivery: Delivery) {
        let mut state = self.state.lock();
        if state.generation != generation {
            return;
        }
        if delivery.place.is_some()
            && let Some(catching) = state.catching.get_mut(&delivery.channel)
        {
            return catching.push(delivery);
        }
        if let Arrival::Early(_) = self.listeners.event(delivery.clone()) {
            let channel = delivery.channel.clone();
            let catching = Catching { waiting: vec![delivery], overflown: false };
            state.catching.insert(channel.clone(), catching);
            drop(state);
            self.spawn_catch_up(generation, link, vec![channel]);
        }
    }

    /// The sinks of `channel` begin after `position`, whose event has the id `last`.
    pub(super) fn start(
        self: &Arc<Self>,
        generation: u64,
        link: &Weakly,
        channel: &Arc<str>,
        begin: Option<(Position, Option<ulid::Ulid>)>,
    ) {
        let mut state = self.state.lock();
        if state.generation != generation {
            return;
        }
        let position = begin.as_ref().map(|(position, _)| position.clone());
        let early = self.listeners.start(channel, position);
        if let Some((position, last)) = begin {
            self.listeners.set_last(channel, &position, last);
        }
        if early.is_some() {
            state.catching.insert(channel.clone(), Catching::default());
            drop(state);
            self.spawn_catch_up(generation, link, vec![channel.clone()]);
        }
    }

    /// Reads what these channels have missed.
    pub(super) fn spawn_catch_up(self: &Arc<Self>, generation: u64, link: &Weakly, channels: Vec<Arc<str>>) {
        let Some(link) = link.upgrade() else { return };
        let reader = self.clone();
        tokio::spawn(async move {
            let (reader, link) = (&reader, &link);
            let each = |channel: Arc<str>| async move { reader.catch_up(generation, link, &channel).await };
            stream::iter(channels).for_each_concurrent(CATCHING, each).await;
        });
    }

    /// Reads what `channel` has missed until it has missed nothing.
    async fn catch_up(&self, generation: u64, link: &Link, channel: &Arc<str>) {
        let history = self.histories.get(channel);
        loop {
            let Some(from) = self.listeners.position(channel) else {
                self.finish(generation, channel);
                return;
            };
            let last = self.listeners.last(channel);
            let range = Range::After { offset: from.offset.saturating_sub(1), limit: PAGE };
            let (next, end, top, more) = match link.read(channel, range, history).await {
                Ok(past) => {
                    let (end, top, more) = (past.page.end.clone(), past.last, past.page.more);
                    (compare::next(&from, last, past), end, top, more)
                }
                Err(LinkError::Lost(_)) => return,
                Err(error) => {
                    warn!(channel = &**channel, %error, "what was missed cannot be read");
                    (
                        Next::Gap(Why::Unavailable),
                        self.known_end(generation, channel).unwrap_or(from),
                        None,
                        false,
                    )
                }
            };
            if next == Next::Rollback {
                info!(channel = &**channel, "Redis has forgotten events: the channel gets a new epoch");
                match link.renew(channel, &end.epoch, history).await {
                    Ok(()) => continue,
                    Err(error) => {
                        // Without a new epoch, positions tell nothing any longer.
                        link.lose(format!("channel {channel:?} got no new epoch: {error}"));
                        return;
                    }
                }
            }
            if self.go_on(generation, channel, next, (end, top), more) {
                return;
            }
        }
    }

    /// Applies what was read, then what has come meanwhile. Whether that was all.
    fn go_on(
        &self,
        generation: u64,
        channel: &Arc<str>,
        next: Next,
        (end, top): (Position, Option<ulid::Ulid>),
        more: bool,
    ) -> bool {
        let mut state = self.state.lock();
        if state.generation != generation {
            return true;
        }
        let mut behind = false;
        match next {
            Next::Events(events) => {
                behind = more;
                for event in events {
                    behind |= matches!(self.listeners.event(event), Arrival::Early(_));
                }
            }
            Next::Gap(why) => {
                self.listeners.gap(channel, end.clone(), why);
                self.listeners.set_last(channel, &end, top);
            }
            Next::Rollback => return false,
        }
        let Some(catching) = state.catching.get_mut(channel) else { return true };
        behind |= std::mem::take(&mut catching.overflown);
        for event in catching.waiting.drain(..) {
            behind |= matches!(self.listeners.event(event), Arrival::Early(_));
        }
        if !behind {
            state.catching.remove(channel);
        }
        !behind
    }

    /// Where the stream goes on after what is missing, as far as what has arrived says.
    fn known_end(&self, generation: u64, channel: &str) -> Option<Position> {
        let state = self.state.lock();
        if state.generation != generation {
            return None;
        }
        let place = state.catching.get(channel)?.waiting.first()?.place.as_ref()?;
        Some(Position { epoch: place.position.epoch.clone(), offset: place.previous })
    }

    fn finish(&self, generation: u64, channel: &str) {
        let mut state = self.state.lock();
        if state.generation == generation {
            state.catching.remove(channel);
        }
    }
}

/// A link that does not keep itself alive through what it is told.
pub(super) type Weakly = std::sync::Weak<Link>;
