//! One client's conversation with the gateway, without any I/O.
//!
//! What the client says and what the gateway finds out goes in by method calls, with the time in milliseconds of
//! a clock that only goes forward. What is to be done about it comes out as [`Effect`]s, and
//! [`Session::deadline`] says when [`Session::tick`] wants to be called.

mod channels;
mod identity;
mod pace;
mod paging;
mod publishing;

pub use channels::Attached;

use crate::{Config, Position, PublishContext, Range, Subject, bucket::Bucket};
use bytes::Bytes;
use channels::{Membership, Stage, release};
use identity::Identity;
use pace::Held;
use publishing::{Offer, Publishes};
use std::{collections::VecDeque, sync::Arc};
use tidings_protocol::{ClientFrame, CloseCode, ServerFrame, VERSION};
use ulid::Ulid;

/// What a session wants done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Effect {
    /// Send this text frame.
    Send(Vec<u8>),
    /// Ask who is behind this token; the answer goes to [`Session::authenticated`]. One at a time.
    Resolve {
        /// The token, which is a secret.
        token: Arc<str>,
    },
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
        /// What the client has, when it was there before.
        resume: Option<Position>,
    },
    /// Send these frames, each as it is.
    Replay(Vec<Bytes>),
    /// End that, or no longer try.
    Detach {
        /// The channel.
        channel: Arc<str>,
        /// What [`Session::attached`] was given; `None` when it was not called yet.
        slot: Option<usize>,
    },
    /// Check and publish; the outcome goes to [`Session::published`]. One at a time, in the client's order.
    Publish {
        /// What, and who.
        context: PublishContext,
        /// The idempotency key.
        key: Option<Arc<str>>,
    },
    /// Check and read from a channel's past; the outcome goes to [`Session::history_read`].
    History {
        /// The client's number for the request.
        request: u64,
        /// The channel.
        channel: Arc<str>,
        /// Which part.
        range: Range,
        /// Who asks.
        subject: Option<Subject>,
    },
    /// A frame was dropped in silence.
    Dropped,
    /// A command was above the limit, and let through: [`Limits::dry_run`](crate::Limits::dry_run).
    Excess,
    /// An answer to a publish is held back, so that a client that waits for it stays below the limit of commands:
    /// [`Session::deadline`] may be earlier than it was.
    Paced,
    /// Close the connection, once the effects of [`Session::end`] are carried out. Besides these the last effect of a
    /// session.
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
    commands: Bucket,
    held: Held,
    next_ticket: u32,
    history_requests: u32,
    heard_at: u64,
    ping_at: u64,
    closed: bool,
}

impl Session {
    /// A session that begins at `now`: its first effect is `welcome`.
    pub fn open(id: Ulid, config: Arc<Config>, now: u64, effects: &mut VecDeque<Effect>) -> Self {
        let interval = config.ping_interval.as_millis() as u64;
        send(
            effects,
            &ServerFrame::Welcome {
                id: &id.to_string(),
                version: Some(VERSION),
                keepalive_ms: Some(interval),
            },
        );
        Self {
            id,
            config,
            identity: Identity::unknown(),
            channels: Vec::new(),
            publishes: Publishes::default(),
            commands: Bucket::default(),
            held: Held::default(),
            next_ticket: 0,
            history_requests: 0,
            heard_at: now,
            ping_at: if interval == 0 { u64::MAX } else { now + interval },
            closed: false,
        }
    }

    /// The client's id, as `welcome` names it.
    pub fn id(&self) -> Ulid {
        self.id
    }

    /// Who the client is, when it is anybody.
    pub fn subject(&self) -> Option<&Subject> {
        self.identity.subject()
    }

    /// The channels that the client is subscribed to, or wants to be.
    pub(crate) fn channels(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.channels.iter().map(|membership| &membership.channel)
    }

    /// The client sent something, whatever it is.
    pub fn heard(&mut self, now: u64) {
        self.heard_at = now;
    }

    /// The gateway stood still until then, and may not have looked at what the client sent: its time to answer begins anew.
    pub fn stood_still(&mut self, until: u64) {
        let interval = self.config.ping_interval.as_millis() as u64;
        self.heard_at = self.heard_at.max(until.saturating_sub(interval));
    }

    /// The client sent something that costs the gateway work; whether it may. If not, the session is closed.
    pub fn command(&mut self, now: u64, effects: &mut VecDeque<Effect>) -> bool {
        self.heard(now);
        let limits = &self.config.limits;
        let (per_second, burst) = (limits.commands_per_second, limits.commands_burst);
        if self.closed || per_second == 0 || self.commands.add(now, per_second, burst) {
            return !self.closed;
        }
        if limits.dry_run {
            effects.push_back(Effect::Excess);
        } else {
            self.close(CloseCode::TooManyCommands, effects);
        }
        !self.closed
    }

    /// The client sent a text frame.
    pub fn text(&mut self, text: &str, now: u64, effects: &mut VecDeque<Effect>) {
        let frame = ClientFrame::parse(text);
        if let Some(ClientFrame::Pong) = frame {
            return self.heard(now);
        }
        if !self.command(now, effects) {
            return;
        }
        match frame {
            Some(ClientFrame::Sub { channel, resume }) => {
                let resume =
                    resume.map(|at| Box::new(Position { epoch: at.epoch.into(), offset: at.offset }));
                self.subscribe(&channel, resume, effects);
            }
            Some(ClientFrame::Unsub { channel }) => self.unsubscribe(&channel, effects),
            Some(ClientFrame::Pub { channel, event, data, request, key }) => {
                self.publish(Offer { channel, event, data, request, key }, now, effects);
            }
            Some(ClientFrame::History { channel, request, limit, before }) => {
                self.history(&channel, request, limit, before, effects);
            }
            Some(ClientFrame::Auth { token }) => self.authenticate(&token, effects),
            _ => effects.push_back(Effect::Dropped),
        }
    }

    /// When [`tick`](Self::tick) wants to be called; `None` without keepalive, for a subject without an end, while no answer
    /// is held back.
    pub fn deadline(&self) -> Option<u64> {
        let keepalive =
            if self.ping_at == u64::MAX { u64::MAX } else { self.ping_at.min(self.silence_ends()) };
        let next = keepalive.min(self.identity.ends_at()).min(self.next_answer_at());
        (next != u64::MAX && !self.closed).then_some(next)
    }

    /// The time is `now`.
    pub fn tick(&mut self, now: u64, effects: &mut VecDeque<Effect>) {
        if self.closed {
            return;
        }
        self.release_answers(now, effects);
        if self.identity.is_over(now) {
            self.expire(effects);
        }
        if self.ping_at == u64::MAX || self.closed {
            return;
        }
        let interval = self.config.ping_interval.as_millis() as u64;
        if now >= self.silence_ends() {
            if self.ping_at > self.heard_at + interval {
                return self.close(CloseCode::PingTimeout, effects);
            }
            // The gateway itself stood still, and has not asked yet: from now on the client has its time to answer.
            self.heard_at = now - interval;
        }
        if now >= self.ping_at {
            self.ping_at = now + interval;
            send(effects, &ServerFrame::Ping);
        }
    }

    /// The gateway will close the connection with `code`; the client is asked to come back no sooner than `after`
    /// milliseconds from now.
    pub fn bye(&mut self, code: CloseCode, after: u64, effects: &mut VecDeque<Effect>) {
        if !self.closed {
            send(effects, &ServerFrame::Bye { code: code.code().into(), after_ms: after });
        }
    }

    /// The connection is being closed: nothing more is read or sent.
    pub fn close(&mut self, code: CloseCode, effects: &mut VecDeque<Effect>) {
        if !self.closed {
            self.closed = true;
            effects.push_back(Effect::Close(code));
        }
    }

    /// The connection ends: answers that were held back are sent, if they still can be, and what it held is let go. They come
    /// before the close frame, so that a client need not ask again about what was accepted.
    pub fn end(&mut self, effects: &mut VecDeque<Effect>) {
        self.closed = true;
        self.held.release(0, effects);
        for membership in std::mem::take(&mut self.channels) {
            release(membership, effects);
        }
    }

    fn silence_ends(&self) -> u64 {
        self.heard_at + (self.config.ping_interval + self.config.ping_grace).as_millis() as u64
    }
}

fn send(effects: &mut VecDeque<Effect>, frame: &ServerFrame<&str, &str>) {
    let mut text = Vec::with_capacity(64);
    frame.encode(&mut text);
    effects.push_back(Effect::Send(text));
}

fn send_err(effects: &mut VecDeque<Effect>, channel: &str, reason: &str, request: Option<u64>) {
    send(effects, &ServerFrame::Err { channel, reason, request });
}
