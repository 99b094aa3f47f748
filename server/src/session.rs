//! One client's conversation with the gateway, without any I/O.
//!
//! What the client says and what the gateway finds out goes in by method calls, with the time in milliseconds of
//! a clock that only goes forward. What is to be done about it comes out as [`Effect`]s, and
//! [`Session::deadline`] says when [`Session::tick`] wants to be called.

use crate::{Authorization, Config, PublishContext, RawJson, Subject};
use std::{collections::VecDeque, sync::Arc};
use tidings_protocol::{ClientFrame, CloseCode, ServerFrame, Text, is_valid_channel, is_valid_event, reason};
use ulid::Ulid;

/// What a session wants done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Effect {
    /// Send this text frame.
    Send(Vec<u8>),
    /// Ask whether the subject may use the channel; the answer goes to [`Session::authorized`].
    Authorize {
        /// Which question this is.
        ticket: u32,
        /// The channel.
        channel: Arc<str>,
        /// Who asks.
        subject: Option<Subject>,
    },
    /// Make the client a subscriber of the channel; the outcome goes to [`Session::attached`].
    Attach {
        /// The channel.
        channel: Arc<str>,
    },
    /// End that, or no longer try.
    Detach {
        /// The channel.
        channel: Arc<str>,
        /// What [`Session::attached`] was given; `None` when it was not called yet.
        slot: Option<usize>,
    },
    /// Check and publish; the outcome goes to [`Session::published`]. One at a time, in the client's order.
    Publish(PublishContext),
    /// A frame was dropped in silence.
    Dropped,
    /// Close the connection. The last effect of a session but for those of [`Session::end`].
    Close(CloseCode),
}

/// One client's conversation with the gateway.
#[derive(Debug)]
pub struct Session {
    id: Ulid,
    config: Arc<Config>,
    identity: Identity,
    channels: Vec<Membership>,
    publishes: Publishes,
    next_ticket: u32,
    heard_at: u64,
    ping_at: u64,
    closed: bool,
}

#[derive(Debug)]
enum Identity {
    Resolving,
    Known(Option<Subject>),
}

#[derive(Debug)]
struct Membership {
    channel: Arc<str>,
    stage: Stage,
    /// How many `sub` frames wait for their answer.
    owed: u32,
}

#[derive(Debug)]
enum Stage {
    /// Until it is known who the client is.
    Waiting,
    Authorizing {
        ticket: u32,
    },
    Attaching,
    Live {
        slot: usize,
    },
}

#[derive(Debug, Default)]
struct Publishes {
    running: bool,
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    channel: Arc<str>,
    event: Arc<str>,
    data: RawJson,
}

impl Session {
    /// A session that begins at `now`: its first effect is `welcome`.
    pub fn open(id: Ulid, config: Arc<Config>, now: u64, effects: &mut VecDeque<Effect>) -> Self {
        let interval = config.ping_interval.as_millis() as u64;
        send(
            effects,
            &ServerFrame::Welcome { id: &id.to_string(), version: None, keepalive_ms: Some(interval) },
        );
        Self {
            id,
            config,
            identity: Identity::Resolving,
            channels: Vec::new(),
            publishes: Publishes::default(),
            next_ticket: 0,
            heard_at: now,
            ping_at: if interval == 0 { u64::MAX } else { now + interval },
            closed: false,
        }
    }

    /// The client's id, as `welcome` names it.
    pub fn id(&self) -> Ulid {
        self.id
    }

    /// The client sent something, whatever it is.
    pub fn heard(&mut self, now: u64) {
        self.heard_at = now;
    }

    /// The client sent a text frame.
    pub fn text(&mut self, text: &str, now: u64, effects: &mut VecDeque<Effect>) {
        self.heard(now);
        if self.closed {
            return;
        }
        match ClientFrame::parse(text) {
            Some(ClientFrame::Sub { channel, .. }) => self.subscribe(&channel, effects),
            Some(ClientFrame::Unsub { channel }) => self.unsubscribe(&channel, effects),
            Some(ClientFrame::Pub { channel, event, data, .. }) => {
                self.publish(channel, event, data, effects);
            }
            Some(ClientFrame::Pong) => {}
            _ => effects.push_back(Effect::Dropped),
        }
    }

    /// It is known who the client is, or that it is nobody.
    pub fn identified(&mut self, subject: Option<Subject>, effects: &mut VecDeque<Effect>) {
        if self.closed {
            return;
        }
        self.identity = Identity::Known(subject.clone());
        for membership in &mut self.channels {
            membership.stage = ask(&mut self.next_ticket, &membership.channel, subject.clone(), effects);
        }
        self.publish_next(effects);
    }

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
        let asked = |m: &Membership| matches!(m.stage, Stage::Authorizing { ticket: t } if t == ticket);
        let Some(at) = self.channels.iter().position(asked) else { return };
        match answer {
            Some(Authorization { authorized: true, .. }) => {
                self.channels[at].stage = Stage::Attaching;
                effects.push_back(Effect::Attach { channel: self.channels[at].channel.clone() });
            }
            Some(_) => self.refuse(at, reason::UNAUTHORIZED, effects),
            None => self.refuse(at, reason::AUTHORIZATION_FAILED, effects),
        }
    }

    /// The outcome of an [`Effect::Attach`]: the subscriber's slot, which [`Effect::Detach`] hands back, or
    /// `None` when the backplane refused.
    pub fn attached(&mut self, channel: &str, slot: Option<usize>, effects: &mut VecDeque<Effect>) {
        let attaching = |m: &Membership| matches!(m.stage, Stage::Attaching) && &*m.channel == channel;
        let Some(at) = self.channels.iter().position(attaching) else { return };
        let Some(slot) = slot else { return self.refuse(at, reason::SUBSCRIBE_FAILED, effects) };
        let membership = &mut self.channels[at];
        membership.stage = Stage::Live { slot };
        if self.closed {
            return;
        }
        for _ in 0..std::mem::take(&mut membership.owed) {
            send_ok(effects, channel);
        }
        self.publish_next(effects);
    }

    /// The outcome of an [`Effect::Publish`]: nothing, or the reason why not.
    pub fn published(
        &mut self,
        channel: &str,
        refused: Option<&'static str>,
        effects: &mut VecDeque<Effect>,
    ) {
        if self.closed {
            return;
        }
        if let Some(reason) = refused {
            send_err(effects, channel, reason);
        }
        self.publishes.running = false;
        self.publish_next(effects);
    }

    /// When [`tick`](Self::tick) wants to be called; `None` without keepalive.
    pub fn deadline(&self) -> Option<u64> {
        (self.ping_at != u64::MAX && !self.closed).then(|| self.ping_at.min(self.silence_ends()))
    }

    /// The time is `now`.
    pub fn tick(&mut self, now: u64, effects: &mut VecDeque<Effect>) {
        if self.ping_at == u64::MAX || self.closed {
            return;
        }
        if now >= self.silence_ends() {
            self.close(CloseCode::PingTimeout, effects);
        } else if now >= self.ping_at {
            self.ping_at = now + self.config.ping_interval.as_millis() as u64;
            send(effects, &ServerFrame::Ping);
        }
    }

    /// The connection is being closed: nothing more is read or sent.
    pub fn close(&mut self, code: CloseCode, effects: &mut VecDeque<Effect>) {
        if !self.closed {
            self.closed = true;
            effects.push_back(Effect::Close(code));
        }
    }

    /// The connection is gone: what it held is let go.
    pub fn end(&mut self, effects: &mut VecDeque<Effect>) {
        self.closed = true;
        for membership in std::mem::take(&mut self.channels) {
            release(membership, effects);
        }
    }

    fn silence_ends(&self) -> u64 {
        self.heard_at + (self.config.ping_interval + self.config.ping_grace).as_millis() as u64
    }

    fn subscribe(&mut self, channel: &str, effects: &mut VecDeque<Effect>) {
        if let Some(membership) = self.channels.iter_mut().find(|m| &*m.channel == channel) {
            match membership.stage {
                Stage::Live { .. } => send_ok(effects, channel),
                _ => membership.owed += 1,
            }
        } else if !is_valid_channel(channel) {
            send_err(effects, channel, reason::INVALID_CHANNEL);
        } else if self.channels.len() >= self.config.limits.channels_per_connection {
            send_err(effects, channel, reason::TOO_MANY_CHANNELS);
        } else {
            let channel: Arc<str> = channel.into();
            let stage = match &self.identity {
                Identity::Resolving => Stage::Waiting,
                Identity::Known(subject) => ask(&mut self.next_ticket, &channel, subject.clone(), effects),
            };
            self.channels.reserve_exact(1);
            self.channels.push(Membership { channel, stage, owed: 1 });
        }
    }

    fn unsubscribe(&mut self, channel: &str, effects: &mut VecDeque<Effect>) {
        if let Some(at) = self.channels.iter().position(|m| &*m.channel == channel) {
            release(self.channels.swap_remove(at), effects);
            self.publish_next(effects);
        }
    }

    fn refuse(&mut self, at: usize, reason: &str, effects: &mut VecDeque<Effect>) {
        let membership = self.channels.swap_remove(at);
        if self.closed {
            return;
        }
        for _ in 0..membership.owed {
            send_err(effects, &membership.channel, reason);
        }
        self.publish_next(effects);
    }

    fn publish(
        &mut self,
        channel: Text<'_>,
        event: Text<'_>,
        data: Option<&str>,
        effects: &mut VecDeque<Effect>,
    ) {
        if !is_valid_channel(&channel) {
            return send_err(effects, &channel, reason::INVALID_CHANNEL);
        }
        if !is_valid_event(&event) {
            return send_err(effects, &channel, reason::INVALID_EVENT);
        }
        let data = RawJson::trusted(data.unwrap_or("null"));
        let queue = &mut self.publishes;
        queue.bytes += data.as_str().len();
        queue.waiting.push_back(Waiting { channel: channel.into(), event: event.into(), data });
        let limits = &self.config.limits;
        if queue.waiting.len() > limits.waiting_publishes || queue.bytes > limits.waiting_bytes {
            return self.close(CloseCode::TooManyCommands, effects);
        }
        self.publish_next(effects);
    }

    fn publish_next(&mut self, effects: &mut VecDeque<Effect>) {
        let Identity::Known(subject) = &self.identity else { return };
        let queue = &mut self.publishes;
        if queue.running || self.closed {
            return;
        }
        // A client that subscribes and publishes in one breath is meant to get its own event.
        let joining =
            |m: &Membership, to: &Waiting| m.channel == to.channel && !matches!(m.stage, Stage::Live { .. });
        if queue.waiting.front().is_some_and(|next| self.channels.iter().any(|m| joining(m, next))) {
            return;
        }
        let Some(Waiting { channel, event, data }) = queue.waiting.pop_front() else { return };
        queue.running = true;
        queue.bytes -= data.as_str().len();
        let subject = subject.clone();
        effects.push_back(Effect::Publish(PublishContext {
            channel,
            event,
            data,
            subject,
            client_id: self.id,
        }));
    }
}

fn ask(
    next_ticket: &mut u32,
    channel: &Arc<str>,
    subject: Option<Subject>,
    effects: &mut VecDeque<Effect>,
) -> Stage {
    let ticket = *next_ticket;
    *next_ticket = ticket.wrapping_add(1);
    effects.push_back(Effect::Authorize { ticket, channel: channel.clone(), subject });
    Stage::Authorizing { ticket }
}

fn release(membership: Membership, effects: &mut VecDeque<Effect>) {
    let slot = match membership.stage {
        Stage::Live { slot } => Some(slot),
        Stage::Attaching => None,
        Stage::Waiting | Stage::Authorizing { .. } => return,
    };
    effects.push_back(Effect::Detach { channel: membership.channel, slot });
}

fn send(effects: &mut VecDeque<Effect>, frame: &ServerFrame<&str, &str>) {
    let mut text = Vec::with_capacity(64);
    frame.encode(&mut text);
    effects.push_back(Effect::Send(text));
}

fn send_ok(effects: &mut VecDeque<Effect>, channel: &str) {
    send(effects, &ServerFrame::Ok { channel, position: None, recovery: None });
}

fn send_err(effects: &mut VecDeque<Effect>, channel: &str, reason: &str) {
    send(effects, &ServerFrame::Err { channel, reason, request: None });
}
