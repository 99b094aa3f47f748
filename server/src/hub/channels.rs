//! Who is subscribed to what, and how clients that were away come back.

use super::State;
use crate::{
    Position,
    job::Job,
    mailbox::Token,
    session::{Attached, Effect},
    tail::Replay,
    upstream::Member,
};
use bytes::Bytes;
use slab::Slab;
use std::sync::Arc;
use tidings_protocol::Why;

/// A channel with subscribers on this worker.
pub(super) enum Channel {
    /// Waits for the broadcaster; these connections wait with it, with what they have of the channel.
    Joining { waiting: Vec<(Token, Option<Position>)> },
    /// Events come.
    Live(Live),
}

pub(super) struct Live {
    member: Member,
    /// The subscribers' connections, by slot.
    pub(super) subscribers: Slab<u32>,
    /// The last event that was handed on to the subscribers; `None` on a channel without history.
    position: Option<Position>,
    /// These connections wait for history, from there on. They get no events: the channel's tail keeps them.
    recovering: Vec<(Token, Position)>,
}

impl Live {
    fn new(member: Member) -> Self {
        let position = member.position();
        Self { member, subscribers: Slab::new(), position, recovering: Vec::new() }
    }

    fn is_idle(&self) -> bool {
        self.subscribers.is_empty() && self.recovering.is_empty()
    }

    /// Takes an event's position; whether the subscribers have not had it yet.
    pub(super) fn passes(&mut self, position: Option<&Position>) -> bool {
        match (&mut self.position, position) {
            (_, None) => true,
            (Some(last), Some(next)) if last.epoch == next.epoch => {
                let passes = next.offset > last.offset;
                last.offset = last.offset.max(next.offset);
                passes
            }
            (last, Some(next)) => {
                *last = Some(next.clone());
                true
            }
        }
    }

    /// Takes a gap's position; whether it is news.
    pub(super) fn goes_on_after(&mut self, position: &Position) -> bool {
        let old = self
            .position
            .as_ref()
            .is_some_and(|last| last.epoch == position.epoch && position.offset < last.offset);
        if !old {
            self.position = Some(position.clone());
        }
        !old
    }

    fn replay(&self, from: &Position) -> Replay {
        match &self.position {
            Some(position) => self.member.route().replay(from, position),
            None => Replay::Lost(Why::Unavailable),
        }
    }

    fn admit(&mut self, slot: u32, resumed: Option<(&Position, Result<Vec<Bytes>, Why>)>) -> Attached {
        self.member.route().subscriber_joined();
        let mut position = self.position.clone();
        if let (Some(position), Some((from, Ok(_)))) = (&mut position, &resumed) {
            // It may have come from a gateway that was ahead of this one.
            position.offset = position.offset.max(from.offset);
        }
        let slot = self.subscribers.insert(slot);
        Attached::Live { slot, position, resumed: resumed.map(|(_, outcome)| outcome) }
    }
}

impl State {
    pub(super) fn attach(&mut self, slot: u32, channel: Arc<str>, resume: Option<Position>) {
        let token = self.token(slot);
        let live = match self.channels.get_mut(&channel) {
            Some(Channel::Live(live)) => live,
            Some(Channel::Joining { waiting }) => return waiting.push((token, resume)),
            None => {
                self.channels.insert(channel.clone(), Channel::Joining { waiting: vec![(token, resume)] });
                return self.jobs.push_back(Job::Join { channel });
            }
        };
        let attached = match &resume {
            None => live.admit(slot, None),
            Some(from) => match live.replay(from) {
                Replay::Frames(frames) => live.admit(slot, Some((from, Ok(frames)))),
                Replay::Lost(why) => live.admit(slot, Some((from, Err(why)))),
                Replay::Unknown => {
                    if !live.recovering.iter().any(|(_, other)| other == from) {
                        let (route, from) = (live.member.route().clone(), from.clone());
                        self.jobs.push_back(Job::Recover { channel, route, from });
                    }
                    return live.recovering.push((token, from.clone()));
                }
            },
        };
        let session = &mut self.connections[slot as usize].session;
        session.attached(&channel, attached, &mut self.effects);
    }

    /// A channel that is still joining is kept until that is done, even when nobody waits for it any more.
    pub(super) fn detach(&mut self, slot: u32, channel: &str, place: Option<usize>) {
        match (self.channels.get_mut(channel), place) {
            (Some(Channel::Live(live)), place) => {
                match place {
                    Some(place) => {
                        live.member.route().subscriber_left();
                        live.subscribers.remove(place);
                    }
                    None => live.recovering.retain(|(token, _)| token.slot != slot),
                }
                if live.is_idle() {
                    self.channels.remove(channel);
                }
            }
            (Some(Channel::Joining { waiting }), None) => waiting.retain(|(token, _)| token.slot != slot),
            _ => {}
        }
    }

    pub(super) fn joined(&mut self, channel: Arc<str>, member: Option<Member>, now: u64) {
        let Some(Channel::Joining { waiting }) = self.channels.remove(&channel) else { return };
        let live = member.is_some();
        if let Some(member) = member.filter(|_| !waiting.is_empty()) {
            self.channels.insert(channel.clone(), Channel::Live(Live::new(member)));
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

    /// History was read, or could not be: everyone who waited for it goes on.
    pub(super) fn recovered(&mut self, channel: &str, from: &Position, outcome: Result<(), Why>, now: u64) {
        let why = outcome.err().unwrap_or(Why::Limit);
        while let Some(Channel::Live(live)) = self.channels.get_mut(channel)
            && let Some(at) = live.recovering.iter().position(|(_, position)| position == from)
        {
            let (token, _) = live.recovering.swap_remove(at);
            let resumed = match live.replay(from) {
                Replay::Frames(frames) => Ok(frames),
                Replay::Lost(why) => Err(why),
                Replay::Unknown => Err(why),
            };
            // A connection that goes takes its place among those who wait with it.
            let attached = live.admit(token.slot, Some((from, resumed)));
            self.resume(token, now, |session, effects| session.attached(channel, attached, effects));
        }
        self.forget_idle(channel);
    }

    fn forget_idle(&mut self, channel: &str) {
        if let Some(Channel::Live(live)) = self.channels.get(channel)
            && live.is_idle()
        {
            self.channels.remove(channel);
        }
    }
}
