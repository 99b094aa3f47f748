//! Who is subscribed to what.

use super::State;
use crate::{job::Job, mailbox::Token, session::Effect, upstream::Member};
use slab::Slab;
use std::sync::Arc;

/// A channel with subscribers on this worker.
pub(super) enum Channel {
    /// Waits for the broadcaster; these connections wait with it.
    Joining { waiting: Vec<Token> },
    /// Events come; the subscribers' connections, by slot.
    Live { member: Member, subscribers: Slab<u32> },
}

impl State {
    pub(super) fn attach(&mut self, slot: u32, channel: Arc<str>) {
        let token = self.token(slot);
        match self.channels.get_mut(&channel) {
            Some(Channel::Live { member, subscribers }) => {
                member.route().subscriber_joined();
                let place = subscribers.insert(slot);
                let session = &mut self.connections[slot as usize].session;
                session.attached(&channel, Some(place), &mut self.effects);
            }
            Some(Channel::Joining { waiting }) => waiting.push(token),
            None => {
                self.channels.insert(channel.clone(), Channel::Joining { waiting: vec![token] });
                self.jobs.push_back(Job::Join { channel });
            }
        }
    }

    /// A channel that is still joining is kept until that is done, even when nobody waits for it any more.
    pub(super) fn detach(&mut self, slot: u32, channel: &str, place: Option<usize>) {
        match (self.channels.get_mut(channel), place) {
            (Some(Channel::Live { member, subscribers }), Some(place)) => {
                member.route().subscriber_left();
                subscribers.remove(place);
                if subscribers.is_empty() {
                    self.channels.remove(channel);
                }
            }
            (Some(Channel::Joining { waiting }), None) => waiting.retain(|token| token.slot != slot),
            _ => {}
        }
    }

    pub(super) fn joined(&mut self, channel: Arc<str>, member: Option<Member>, now: u64) {
        let Some(Channel::Joining { waiting }) = self.channels.remove(&channel) else { return };
        let live = member.is_some();
        if let Some(member) = member.filter(|_| !waiting.is_empty()) {
            self.channels.insert(channel.clone(), Channel::Live { member, subscribers: Slab::new() });
        }
        for token in waiting {
            if live {
                self.resume(token, now, |_, effects| {
                    effects.push_back(Effect::Attach { channel: channel.clone() });
                });
            } else {
                self.resume(token, now, |session, effects| session.attached(&channel, None, effects));
            }
        }
        if let Some(Channel::Live { subscribers, .. }) = self.channels.get(&channel)
            && subscribers.is_empty()
        {
            self.channels.remove(&channel);
        }
    }
}
