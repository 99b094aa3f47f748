//! What a client is subscribed to, and what waits to be.

use super::{Effect, Session, send, send_err};
use crate::{Authorization, Position, Subject};
use bytes::Bytes;
use std::{collections::VecDeque, sync::Arc};
use tidings_protocol::{Recovery, ServerFrame, Why, is_valid_channel, reason};

/// The outcome of an [`Effect::Attach`].
#[derive(Debug)]
pub enum Attached {
    /// The client is a subscriber.
    Live {
        /// Where it is among the subscribers.
        slot: usize,
        /// Its events begin after this; `None` on a channel without history.
        position: Option<Position>,
        /// What became of its resume, when it was there before: the frames that it missed, or why it cannot have them.
        resumed: Option<Result<Vec<Bytes>, Why>>,
    },
    /// The backplane refused.
    Refused,
}

#[derive(Debug)]
pub(super) struct Membership {
    pub(super) channel: Arc<str>,
    pub(super) stage: Stage,
    /// How many `sub` frames wait for their answer.
    owed: u32,
    /// The last question whether the subject may use the channel.
    ticket: u32,
    /// What the client has of the channel, until it is attached.
    resume: Option<Box<Position>>,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Until it is known who the client is.
    Waiting,
    Authorizing,
    Attaching {
        /// Whether it is asked again if the subject, which is another one, may use the channel.
        asked: bool,
    },
    Live {
        slot: usize,
        asked: bool,
    },
}

impl Stage {
    /// Whether an answer is waited for.
    fn is_asked(&self) -> bool {
        match self {
            Self::Waiting => false,
            Self::Authorizing => true,
            Self::Attaching { asked } | Self::Live { asked, .. } => *asked,
        }
    }
}

impl Session {
    /// The answer to an [`Effect::Authorize`]; `None` when the authorizer failed.
    pub fn authorized(
        &mut self,
        ticket: u32,
        answer: Option<&Authorization>,
        effects: &mut VecDeque<Effect>,
    ) {
        if self.closed {
            return;
        }
        let asked = |m: &Membership| m.ticket == ticket && m.stage.is_asked();
        let Some(at) = self.channels.iter().position(asked) else { return };
        match answer {
            Some(Authorization { authorized: true, .. }) => match &mut self.channels[at].stage {
                Stage::Attaching { asked } | Stage::Live { asked, .. } => *asked = false,
                Stage::Waiting | Stage::Authorizing => attach(&mut self.channels[at], effects),
            },
            Some(_) => self.shut_out(at, reason::UNAUTHORIZED, effects),
            None => self.shut_out(at, reason::AUTHORIZATION_FAILED, effects),
        }
    }

    /// The outcome of an [`Effect::Attach`].
    pub fn attached(&mut self, channel: &str, outcome: Attached, effects: &mut VecDeque<Effect>) {
        let Some(at) = self.channels.iter().position(|m| &*m.channel == channel) else { return };
        let membership = &mut self.channels[at];
        let Stage::Attaching { asked } = membership.stage else { return };
        let Attached::Live { slot, position, mut resumed } = outcome else {
            let Membership { channel, owed, .. } = self.channels.swap_remove(at);
            return self.refuse(&channel, owed, reason::SUBSCRIBE_FAILED, effects);
        };
        membership.stage = Stage::Live { slot, asked };
        if self.closed {
            return;
        }
        for _ in 0..std::mem::take(&mut membership.owed) {
            match resumed.take() {
                Some(Ok(frames)) => {
                    let count = frames.len() as u64;
                    send_ok(effects, channel, position.as_ref(), Some(Recovery::Recovered { count }));
                    effects.push_back(Effect::Replay(frames));
                }
                Some(Err(why)) => {
                    let why = why.as_str();
                    send_ok(effects, channel, position.as_ref(), Some(Recovery::Lost { why }));
                }
                None => send_ok(effects, channel, position.as_ref(), None),
            }
        }
        self.publish_next(effects);
    }

    pub(super) fn subscribe(
        &mut self,
        channel: &str,
        resume: Option<Box<Position>>,
        effects: &mut VecDeque<Effect>,
    ) {
        if let Some(membership) = self.channels.iter_mut().find(|m| &*m.channel == channel) {
            match membership.stage {
                Stage::Live { .. } if resume.is_none() => send_ok(effects, channel, None, None),
                // The client has found a hole.
                Stage::Live { slot, .. } => {
                    let channel = membership.channel.clone();
                    effects.push_back(Effect::Detach { channel, slot: Some(slot) });
                    (membership.owed, membership.resume) = (1, resume);
                    attach(membership, effects);
                }
                _ => {
                    membership.owed += 1;
                    membership.resume = resume.or(membership.resume.take());
                }
            }
        } else if !is_valid_channel(channel) {
            send_err(effects, channel, reason::INVALID_CHANNEL, None);
        } else if self.channels.len() >= self.config.limits.channels_per_connection {
            send_err(effects, channel, reason::TOO_MANY_CHANNELS, None);
        } else {
            let mut membership =
                Membership { channel: channel.into(), stage: Stage::Waiting, owed: 1, ticket: 0, resume };
            if self.identity.is_settled() {
                ask(&mut self.next_ticket, &mut membership, self.identity.subject(), effects);
            }
            self.channels.reserve_exact(1);
            self.channels.push(membership);
        }
    }

    pub(super) fn unsubscribe(&mut self, channel: &str, effects: &mut VecDeque<Effect>) {
        if let Some(at) = self.channels.iter().position(|m| &*m.channel == channel) {
            release(self.channels.swap_remove(at), effects);
            self.publish_next(effects);
        }
    }

    /// The subject may not use the channel: if the client has it already, it loses it.
    fn shut_out(&mut self, at: usize, reason: &str, effects: &mut VecDeque<Effect>) {
        let membership = self.channels.swap_remove(at);
        let (channel, owed) = (membership.channel.clone(), membership.owed.max(1));
        release(membership, effects);
        self.refuse(&channel, owed, reason, effects);
    }

    fn refuse(&mut self, channel: &str, owed: u32, reason: &str, effects: &mut VecDeque<Effect>) {
        if self.closed {
            return;
        }
        for _ in 0..owed {
            send_err(effects, channel, reason, None);
        }
        self.publish_next(effects);
    }
}

fn attach(membership: &mut Membership, effects: &mut VecDeque<Effect>) {
    membership.stage =
        Stage::Attaching { asked: matches!(membership.stage, Stage::Live { asked: true, .. }) };
    let resume = membership.resume.take().map(|position| *position);
    effects.push_back(Effect::Attach { channel: membership.channel.clone(), resume });
}

pub(super) fn ask(
    next_ticket: &mut u32,
    membership: &mut Membership,
    subject: Option<&Subject>,
    effects: &mut VecDeque<Effect>,
) {
    match &mut membership.stage {
        Stage::Attaching { asked } | Stage::Live { asked, .. } => *asked = true,
        stage => *stage = Stage::Authorizing,
    }
    let ticket = *next_ticket;
    *next_ticket = ticket.wrapping_add(1);
    membership.ticket = ticket;
    let channel = membership.channel.clone();
    effects.push_back(Effect::Authorize { ticket, channel, subject: subject.cloned() });
}

pub(super) fn release(membership: Membership, effects: &mut VecDeque<Effect>) {
    let slot = match membership.stage {
        Stage::Live { slot, .. } => Some(slot),
        Stage::Attaching { .. } => None,
        Stage::Waiting | Stage::Authorizing => return,
    };
    effects.push_back(Effect::Detach { channel: membership.channel, slot });
}

fn send_ok(
    effects: &mut VecDeque<Effect>,
    channel: &str,
    position: Option<&Position>,
    recovery: Option<Recovery<&str>>,
) {
    let position = position.map(Position::as_deref);
    send(effects, &ServerFrame::Ok { channel, position, recovery });
}
