//! Who is subscribed to what, and how clients that were away come back.

use super::State;
use crate::{
    Position,
    job::Job,
    mailbox::{Spot, Token},
    session::{Attached, Effect},
    subscribers::{Joined, Subscribers},
    upstream::{Member, Route},
};
use ahash::RandomState;
use slab::Slab;
use std::{collections::HashMap, sync::Arc};
use tidings_protocol::Why;

/// The channels with subscribers on this worker, by name and by spot.
#[derive(Default)]
pub(super) struct Channels {
    slots: HashMap<Arc<str>, u32, RandomState>,
    all: Slab<(u32, Channel)>,
    generation: u32,
}

impl Channels {
    /// The channel at `spot`, while it has subscribers.
    pub(super) fn at(&mut self, spot: Spot) -> Option<&mut Channel> {
        let (generation, channel) = self.all.get_mut(spot.slot as usize)?;
        (*generation == spot.generation).then_some(channel)
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Channel> {
        let slot = *self.slots.get(name)?;
        self.all.get_mut(slot as usize).map(|(_, channel)| channel)
    }

    fn insert(&mut self, name: Arc<str>, channel: Channel) -> Spot {
        self.generation = self.generation.wrapping_add(1);
        let slot = self.all.insert((self.generation, channel)) as u32;
        self.slots.insert(name, slot);
        Spot { slot, generation: self.generation }
    }

    fn remove(&mut self, name: &str) {
        if let Some(slot) = self.slots.remove(name) {
            self.all.remove(slot as usize);
        }
    }
}

/// A channel with subscribers on this worker.
pub(super) enum Channel {
    /// Waits for the broadcaster; these connections wait with it, with what they have of the channel.
    Joining { waiting: Vec<(Token, Option<Position>)> },
    /// Events come.
    Live(Live),
}

pub(super) struct Live {
    member: Member,
    /// The slots of their connections.
    pub(super) subscribers: Subscribers<u32>,
}

impl Live {
    fn new(member: Member) -> Self {
        let subscribers = Subscribers::new(member.position());
        Self { member, subscribers }
    }
}

impl State {
    pub(super) fn attach(&mut self, slot: u32, channel: Arc<str>, resume: Option<Position>) {
        let token = self.token(slot);
        let live = match self.channels.get_mut(&channel) {
            Some(Channel::Live(live)) => live,
            Some(Channel::Joining { waiting }) => return waiting.push((token, resume)),
            None => {
                let joining = Channel::Joining { waiting: vec![(token, resume)] };
                let spot = self.channels.insert(channel.clone(), joining);
                return self.jobs.push_back(Job::Join { channel, spot });
            }
        };
        let route = live.member.route();
        let replay = |from: &Position, live: &Position| route.replay(from, live);
        match live.subscribers.join(slot, resume, replay) {
            Joined::Now(attached) => {
                route.subscriber_joined();
                self.tally.attached(&attached);
                self.connections.subscribed(slot);
                let session = &mut self.connections[slot].session;
                session.attached(&channel, attached, &mut self.effects);
            }
            Joined::Later { read } => {
                if let Some(from) = read {
                    self.jobs.push_back(Job::Recover { channel, route: route.clone(), from });
                }
            }
        }
    }

    /// A channel that is still joining is kept until that is done, even when nobody waits for it any more.
    pub(super) fn detach(&mut self, slot: u32, channel: &str, place: Option<usize>) {
        match (self.channels.get_mut(channel), place) {
            (Some(Channel::Live(live)), place) => {
                match place {
                    Some(place) => {
                        live.member.route().subscriber_left();
                        self.tally.subscriptions.subtract(1);
                        live.subscribers.leave(place);
                        self.connections.unsubscribed(slot);
                    }
                    None => live.subscribers.give_up(&slot),
                }
                if live.subscribers.is_idle() {
                    self.channels.remove(channel);
                }
            }
            (Some(Channel::Joining { waiting }), None) => waiting.retain(|(token, _)| token.slot != slot),
            _ => {}
        }
    }

    pub(super) fn joined(&mut self, channel: Arc<str>, member: Option<Member>, now: u64) {
        let Some(entry) = self.channels.get_mut(&channel) else { return };
        let Channel::Joining { waiting } = entry else { return };
        let (waiting, live) = (std::mem::take(waiting), member.is_some());
        match member.filter(|_| !waiting.is_empty()) {
            Some(member) => *entry = Channel::Live(Live::new(member)),
            None => self.channels.remove(&channel),
        }
        for (token, resume) in waiting {
            if live {
                self.resume(token, now, |_, effects| {
                    effects.push_back(Effect::Attach { channel: channel.clone(), resume });
                });
            } else {
                self.resume(token, now, |session, effects| {
                    session.attached(&channel, Attached::Refused, effects);
                });
            }
        }
        self.forget_idle(&channel);
    }

    /// History was read, or could not be: everyone who waited for it goes on. Who waits on another route, for the one
    /// that was read for is gone, has a reading of its own.
    pub(super) fn recovered(
        &mut self,
        channel: &str,
        route: &Arc<Route>,
        from: &Position,
        outcome: Result<(), Why>,
        now: u64,
    ) {
        let why = outcome.err().unwrap_or(Why::Limit);
        while let Some(Channel::Live(Live { member, subscribers })) = self.channels.get_mut(channel)
            && Arc::ptr_eq(member.route(), route)
            && let Some((slot, attached)) =
                subscribers.recovered(from, why, |from, live| route.replay(from, live))
        {
            route.subscriber_joined();
            self.tally.attached(&attached);
            self.connections.subscribed(slot);
            // A connection that goes takes its place among those who wait with it.
            let token = self.token(slot);
            self.resume(token, now, |session, effects| session.attached(channel, attached, effects));
        }
        self.forget_idle(channel);
    }

    fn forget_idle(&mut self, channel: &str) {
        if let Some(Channel::Live(live)) = self.channels.get_mut(channel)
            && live.subscribers.is_idle()
        {
            self.channels.remove(channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joining() -> Channel {
        Channel::Joining { waiting: Vec::new() }
    }

    #[test]
    fn an_event_for_a_channel_that_was_left_finds_no_other_in_its_place() {
        let mut channels = Channels::default();
        let (left, stays) = (channels.insert("a".into(), joining()), channels.insert("b".into(), joining()));
        channels.remove("a");
        assert!(channels.at(left).is_none() && channels.get_mut("a").is_none());
        let other = channels.insert("c".into(), joining());
        assert_eq!(other.slot, left.slot);
        assert!(channels.at(left).is_none(), "it is another channel's by now");
        let again = channels.insert("a".into(), joining());
        assert!(channels.at(left).is_none() && channels.at(stays).is_some());
        assert!(channels.at(other).is_some() && channels.at(again).is_some());
    }
}
