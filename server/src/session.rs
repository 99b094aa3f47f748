//! One client's conversation with the gateway, without any I/O.
//!
//! What the client says and what the gateway finds out goes in by method calls, with the time in milliseconds of
//! a clock that only goes forward. What is to be done about it comes out as [`Effect`]s, and
//! [`Session::deadline`] says when [`Session::tick`] wants to be called.

mod identity;

use crate::{
    Authorization, Config, Page, Position, PublishContext, Published, Range, RawJson, Subject, bucket::Bucket,
};
use bytes::Bytes;
use identity::{HistoryRequest, Identity};
use std::{collections::VecDeque, sync::Arc};
use tidings_protocol::{
    ClientFrame, CloseCode, DEFAULT_PAGE, MAX_PAGE, Recovery, ServerFrame, Text, VERSION, Why,
    is_valid_channel, is_valid_event, is_valid_key, reason,
};
use ulid::Ulid;

/// The most history requests of a session that wait at the same time.
const MAX_HISTORY_REQUESTS: u32 = 32;

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
    /// Close the connection. The last effect of a session but for those of [`Session::end`].
    Close(CloseCode),
}

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

/// One client's conversation with the gateway.
#[derive(Debug)]
pub struct Session {
    id: Ulid,
    config: Arc<Config>,
    identity: Identity,
    channels: Vec<Membership>,
    publishes: Publishes,
    commands: Bucket,
    next_ticket: u32,
    history_requests: u32,
    heard_at: u64,
    ping_at: u64,
    closed: bool,
}

#[derive(Debug)]
struct Membership {
    channel: Arc<str>,
    stage: Stage,
    /// How many `sub` frames wait for their answer.
    owed: u32,
    /// The last question whether the subject may use the channel.
    ticket: u32,
    /// What the client has of the channel, until it is attached.
    resume: Option<Box<Position>>,
}

#[derive(Debug)]
enum Stage {
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

#[derive(Debug, Default)]
struct Publishes {
    running: Option<Running>,
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

/// The publish that is under way.
#[derive(Debug)]
struct Running {
    channel: Arc<str>,
    request: Option<u64>,
}

#[derive(Debug)]
struct Waiting {
    channel: Arc<str>,
    event: Arc<str>,
    data: RawJson,
    request: Option<u64>,
    key: Option<Arc<str>>,
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
        self.heard(now);
        let frame = ClientFrame::parse(text);
        if self.closed || (!matches!(frame, Some(ClientFrame::Pong)) && !self.command(now, effects)) {
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
                self.publish(channel, event, data, request, key, effects);
            }
            Some(ClientFrame::History { channel, request, limit, before }) => {
                self.history(&channel, request, limit, before, effects);
            }
            Some(ClientFrame::Auth { token }) => self.authenticate(&token, effects),
            Some(ClientFrame::Pong) => {}
            _ => effects.push_back(Effect::Dropped),
        }
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

    /// The outcome of an [`Effect::Publish`], or the reason why there is none.
    pub fn published(&mut self, outcome: Result<Published, &'static str>, effects: &mut VecDeque<Effect>) {
        let Some(Running { channel, request }) = self.publishes.running.take() else { return };
        if self.closed {
            return;
        }
        match (outcome, request) {
            (Ok(Published { id, position }), Some(request)) => send(
                effects,
                &ServerFrame::Ack {
                    request,
                    id: &id.to_string(),
                    offset: position.map(|position| position.offset),
                },
            ),
            (Ok(_), None) => {}
            (Err(reason), request) => send_err(effects, &channel, reason, request),
        }
        self.publish_next(effects);
    }

    /// The outcome of an [`Effect::History`], or the reason why there is none.
    pub fn history_read(
        &mut self,
        request: u64,
        channel: &str,
        outcome: Result<Page, &'static str>,
        effects: &mut VecDeque<Effect>,
    ) {
        self.history_requests -= 1;
        if self.closed {
            return;
        }
        match outcome {
            Ok(page) => send(
                effects,
                &ServerFrame::History {
                    channel,
                    request,
                    position: page.end.as_deref(),
                    events: &*page.to_json(self.config.limits.resume_bytes()),
                },
            ),
            Err(reason) => send_err(effects, channel, reason, Some(request)),
        }
    }

    /// When [`tick`](Self::tick) wants to be called; `None` without keepalive, for a subject without an end.
    pub fn deadline(&self) -> Option<u64> {
        let keepalive =
            if self.ping_at == u64::MAX { u64::MAX } else { self.ping_at.min(self.silence_ends()) };
        let next = keepalive.min(self.identity.ends_at());
        (next != u64::MAX && !self.closed).then_some(next)
    }

    /// The time is `now`.
    pub fn tick(&mut self, now: u64, effects: &mut VecDeque<Effect>) {
        if self.closed {
            return;
        }
        if self.identity.is_over(now) {
            self.expire(effects);
        }
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

    fn subscribe(&mut self, channel: &str, resume: Option<Box<Position>>, effects: &mut VecDeque<Effect>) {
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

    fn unsubscribe(&mut self, channel: &str, effects: &mut VecDeque<Effect>) {
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

    fn publish(
        &mut self,
        channel: Text<'_>,
        event: Text<'_>,
        data: Option<&str>,
        request: Option<u64>,
        key: Option<Text<'_>>,
        effects: &mut VecDeque<Effect>,
    ) {
        let mistake = if !is_valid_channel(&channel) {
            Some(reason::INVALID_CHANNEL)
        } else if !is_valid_event(&event) {
            Some(reason::INVALID_EVENT)
        } else if !key.as_deref().is_none_or(is_valid_key) {
            Some(reason::INVALID_KEY)
        } else {
            None
        };
        if let Some(reason) = mistake {
            return send_err(effects, &channel, reason, request);
        }
        let data = RawJson::trusted(data.unwrap_or("null"));
        let queue = &mut self.publishes;
        queue.bytes += data.as_str().len();
        let (channel, event, key) = (channel.into(), event.into(), key.map(Into::into));
        queue.waiting.push_back(Waiting { channel, event, data, request, key });
        let limits = &self.config.limits;
        if queue.waiting.len() > limits.waiting_publishes || queue.bytes > limits.waiting_bytes {
            return self.close(CloseCode::TooManyCommands, effects);
        }
        self.publish_next(effects);
    }

    fn publish_next(&mut self, effects: &mut VecDeque<Effect>) {
        let queue = &mut self.publishes;
        if !self.identity.is_settled() || queue.running.is_some() || self.closed {
            return;
        }
        // A client that subscribes and publishes in one breath is meant to get its own event.
        let joining =
            |m: &Membership, to: &Waiting| m.channel == to.channel && !matches!(m.stage, Stage::Live { .. });
        if queue.waiting.front().is_some_and(|next| self.channels.iter().any(|m| joining(m, next))) {
            return;
        }
        let Some(Waiting { channel, event, data, request, key }) = queue.waiting.pop_front() else { return };
        queue.running = Some(Running { channel: channel.clone(), request });
        queue.bytes -= data.as_str().len();
        let subject = self.identity.subject().cloned();
        let context = PublishContext { channel, event, data, subject, client_id: self.id };
        effects.push_back(Effect::Publish { context, key });
    }

    fn history(
        &mut self,
        channel: &str,
        request: u64,
        limit: Option<u64>,
        before: Option<u64>,
        effects: &mut VecDeque<Effect>,
    ) {
        let mistake = if !is_valid_channel(channel) {
            Some(reason::INVALID_CHANNEL)
        } else if limit.is_some_and(|limit| !(1..=MAX_PAGE).contains(&limit)) {
            Some(reason::INVALID_LIMIT)
        } else if self.history_requests == MAX_HISTORY_REQUESTS {
            Some(reason::TOO_MANY_REQUESTS)
        } else {
            None
        };
        if let Some(reason) = mistake {
            return send_err(effects, channel, reason, Some(request));
        }
        self.history_requests += 1;
        let limit = limit.unwrap_or(DEFAULT_PAGE) as usize;
        let (channel, range) = (channel.into(), Range::Before { offset: before, limit });
        if self.identity.is_settled() {
            let subject = self.identity.subject().cloned();
            effects.push_back(Effect::History { request, channel, range, subject });
        } else {
            self.identity.wait(HistoryRequest { request, channel, range });
        }
    }
}

fn attach(membership: &mut Membership, effects: &mut VecDeque<Effect>) {
    membership.stage =
        Stage::Attaching { asked: matches!(membership.stage, Stage::Live { asked: true, .. }) };
    let resume = membership.resume.take().map(|position| *position);
    effects.push_back(Effect::Attach { channel: membership.channel.clone(), resume });
}

fn ask(
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

fn release(membership: Membership, effects: &mut VecDeque<Effect>) {
    let slot = match membership.stage {
        Stage::Live { slot, .. } => Some(slot),
        Stage::Attaching { .. } => None,
        Stage::Waiting | Stage::Authorizing => return,
    };
    effects.push_back(Effect::Detach { channel: membership.channel, slot });
}

fn send(effects: &mut VecDeque<Effect>, frame: &ServerFrame<&str, &str>) {
    let mut text = Vec::with_capacity(64);
    frame.encode(&mut text);
    effects.push_back(Effect::Send(text));
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

fn send_err(effects: &mut VecDeque<Effect>, channel: &str, reason: &str, request: Option<u64>) {
    send(effects, &ServerFrame::Err { channel, reason, request });
}
