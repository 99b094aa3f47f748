//! What of a backplane's events this process listens to.

use crate::{Delivery, Notice, Position, Sink};
use ahash::RandomState;
use parking_lot::Mutex;
use slab::Slab;
use std::{collections::HashMap, mem, sync::Arc};
use tidings_protocol::Why;
use ulid::Ulid;

/// The channels that have sinks in this process, and how far each has come. A driver hands every event here as it
/// arrives; what a sink is told is one unbroken stream, or a gap. The sinks run under one lock: that makes the order of
/// a channel one order.
#[derive(Default)]
pub(crate) struct Listeners {
    channels: Mutex<HashMap<Arc<str>, Channel, RandomState>>,
}

/// One sink of one channel, for [`Listeners::remove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(usize);

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The sinks have it, or it waits until the channel starts.
    Taken,
    /// The sinks had it before, or there are none.
    Idle,
    /// It was not handed on, for it is not the next one: the sinks have everything up to this position. Read what
    /// follows it from history and hand that in, or say [`Listeners::gap`].
    Early(Position),
}

struct Channel {
    sinks: Slab<Sink>,
    state: State,
    /// The id of the last event with a place, where it is known.
    last: Option<Ulid>,
}

enum State {
    /// Where the channel is at the backplane is not known yet: what arrives waits.
    Starting(Vec<Delivery>),
    /// The sinks have everything up to here; `None` on a channel without history.
    Live(Option<Position>),
}

impl State {
    fn end(&self) -> Option<Position> {
        match self {
            Self::Starting(_) => None,
            Self::Live(end) => end.clone(),
        }
    }
}

impl Channel {
    fn tell(&self, notice: &Notice) {
        for (_, sink) in &self.sinks {
            sink(notice);
        }
    }

    fn event(&mut self, delivery: Delivery) -> Arrival {
        let State::Live(end) = &mut self.state else {
            if let State::Starting(waiting) = &mut self.state {
                waiting.push(delivery);
            }
            return Arrival::Taken;
        };
        if let Some(place) = &delivery.place {
            match end {
                Some(end) if end.epoch != place.position.epoch || end.offset < place.previous => {
                    return Arrival::Early(end.clone());
                }
                Some(end) if end.offset >= place.position.offset => return Arrival::Idle,
                _ => *end = Some(place.position.clone()),
            }
            self.last = Some(delivery.id);
        }
        self.tell(&Notice::Event(delivery));
        Arrival::Taken
    }
}

impl Listeners {
    /// Adds a sink; whether it is the first one of its channel, which then waits for [`start`](Self::start).
    pub(crate) fn add(&self, channel: &Arc<str>, sink: Sink) -> (Key, bool) {
        let mut channels = self.channels.lock();
        let first = !channels.contains_key(channel);
        let entry = channels.entry(channel.clone()).or_insert_with(|| Channel {
            sinks: Slab::new(),
            state: State::Starting(Vec::new()),
            last: None,
        });
        (Key(entry.sinks.insert(sink)), first)
    }

    /// Removes a sink; whether it was the last one of its channel, which is then forgotten.
    pub(crate) fn remove(&self, channel: &str, key: Key) -> bool {
        let mut channels = self.channels.lock();
        let Some(entry) = channels.get_mut(channel) else { return false };
        entry.sinks.try_remove(key.0);
        let last = entry.sinks.is_empty();
        if last {
            channels.remove(channel);
        }
        last
    }

    /// The sinks of `channel` begin after `position`, unless they have begun. What has arrived meanwhile follows; where
    /// it does not, the position up to which they have everything is returned.
    pub(crate) fn start(&self, channel: &str, position: Option<Position>) -> Option<Position> {
        let mut channels = self.channels.lock();
        let entry = channels.get_mut(channel)?;
        let State::Starting(waiting) = &mut entry.state else { return None };
        let waiting = mem::take(waiting);
        entry.state = State::Live(position);
        let mut early = None;
        for delivery in waiting {
            if let Arrival::Early(end) = entry.event(delivery) {
                early = Some(end);
            }
        }
        early
    }

    /// Hands on an event, when it is the next one of its channel.
    pub(crate) fn event(&self, delivery: Delivery) -> Arrival {
        self.channels.lock().get_mut(&delivery.channel).map_or(Arrival::Idle, |entry| entry.event(delivery))
    }

    /// Tells the sinks of `channel` that what follows comes after `position`, and that events before it may be missing.
    /// A channel that has not started starts there.
    pub(crate) fn gap(&self, channel: &str, position: Position, why: Why) {
        if let Some(entry) = self.channels.lock().get_mut(channel) {
            entry.state = State::Live(Some(position.clone()));
            entry.last = None;
            entry.tell(&Notice::Gap { position, why });
        }
    }

    /// Up to where the sinks of `channel` have everything; `None` before it started, and without history.
    pub(crate) fn position(&self, channel: &str) -> Option<Position> {
        self.channels.lock().get(channel)?.state.end()
    }

    /// The id of the event at [`position`](Self::position), where it is known.
    #[cfg(feature = "redis")]
    pub(crate) fn last(&self, channel: &str) -> Option<Ulid> {
        self.channels.lock().get(channel)?.last
    }

    /// The event at `position` has this id: what a driver learns that starts a channel, or tells of a gap. Nothing happens when
    /// the channel has gone on meanwhile.
    #[cfg(feature = "redis")]
    pub(crate) fn set_last(&self, channel: &str, position: &Position, id: Option<Ulid>) {
        if let Some(entry) = self.channels.lock().get_mut(channel)
            && matches!(&entry.state, State::Live(Some(end)) if end == position)
        {
            entry.last = id;
        }
    }

    /// Whether `channel` has started; `None` when it has no sinks.
    #[cfg(feature = "redis")]
    pub(crate) fn has_started(&self, channel: &str) -> Option<bool> {
        let channels = self.channels.lock();
        channels.get(channel).map(|entry| matches!(entry.state, State::Live(_)))
    }

    /// Every channel with sinks, and up to where they have everything.
    #[cfg(any(feature = "redis", feature = "postgres"))]
    pub(crate) fn channels(&self) -> Vec<(Arc<str>, Option<Position>)> {
        self.channels.lock().iter().map(|(name, entry)| (name.clone(), entry.state.end())).collect()
    }

    /// Forgets every sink.
    pub(crate) fn clear(&self) {
        self.channels.lock().clear();
    }
}
