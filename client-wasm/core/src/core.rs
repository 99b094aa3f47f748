//! The state machine: what happens goes in, effects and the next deadline come out.

mod authenticating;
mod hearing;
mod publishing;

use crate::{
    backoff::{self, Random},
    channels::{ChannelId, ChannelState, Channels, Probe, Step},
    clock::NEVER,
    effect::{Arrival, Closed, Effect, Outgoing, PageChange, reason},
    list,
    liveness::{LATE_MS, Liveness, PROBE_MS, Silence},
    options::Options,
    outbox::{Outbox, Weight},
    phase::{Due, Open, Phase, STABLE_MS, SocketId, State, Welcome},
    requests::{HistoryPage, Request, Requests},
    token::{Identity, TokenReason},
};
use publishing::drop_into;
use tidings_protocol::{CloseCode, Reaction};

/// A close without a code: the number that browsers give it.
const ABNORMAL: u16 = 1006;

/// What the page around the client is like.
#[derive(Debug)]
struct Page {
    online: bool,
    visible: bool,
}

/// How sure it is that a connection may be dead.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// The user came back.
    Some,
    /// The network or the machine went away and came back.
    Strong,
}

/// What follows the end of a connection.
enum Next {
    Backoff,
    AtOnce,
    Stop(&'static str),
}

/// One client. `C` is a channel to its owner, `T` text, `V` the data of an event, `P` a publish ready to be sent; the
/// core looks into none of them. `R` is where chance comes from. Times are milliseconds of one clock that never goes back ([`crate::Clock`]).
///
/// Nothing here calls back: after each input, take [`Core::poll`] until there is no effect, then wait until
/// [`Core::deadline`].
pub struct Core<C, T, V, P, R = Box<dyn FnMut() -> f64>> {
    options: Options,
    random: R,
    phase: Phase<C, T>,
    socket: SocketId,
    /// Attempts to reconnect that were announced since the last connection that lasted.
    attempts: u32,
    page: Page,
    /// Before then there is no attempt to connect: a gateway that drained asked for it.
    not_before: u64,
    channels: Channels<C, T>,
    outbox: Outbox<P>,
    requests: Requests,
    /// Requests and publishes are numbered.
    last_number: u64,
    effects: Vec<Effect<C, T, V, P>>,
    /// When the tick ends in which channels were left.
    settle: u64,
}

impl<C: Clone, T: Clone + From<&'static str> + PartialEq, V, P: Clone + Weight, R: Random>
    Core<C, T, V, P, R>
{
    /// A client that was never connected.
    pub const fn new(options: Options, random: R) -> Self {
        Self {
            options,
            random,
            phase: Phase::Idle,
            socket: SocketId(0),
            attempts: 0,
            page: Page { online: true, visible: true },
            not_before: 0,
            channels: Channels::new(),
            outbox: Outbox::new(),
            requests: Requests::new(),
            last_number: 0,
            effects: Vec::new(),
            settle: 0,
        }
    }

    /// The public state.
    pub const fn state(&self) -> State {
        self.phase.state()
    }

    /// The id that the gateway gave this connection.
    pub const fn id(&self) -> Option<&T> {
        match &self.phase {
            Phase::Open(open) => Some(&open.id),
            _ => None,
        }
    }

    /// The state of a channel; `None` when it was left.
    pub fn channel_state(&self, channel: ChannelId) -> Option<ChannelState> {
        self.channels.state(channel)
    }

    /// Connects, unless it is connected or trying.
    pub fn connect(&mut self, now: u64) {
        if matches!(self.phase, Phase::Idle | Phase::Closed) {
            self.attempts = 0;
            self.open_socket(now);
        }
    }

    /// Stops for good: channels and outbox are emptied, and nothing happens until [`Core::connect`].
    pub fn disconnect(&mut self) {
        let socket = matches!(self.phase, Phase::Connecting { .. } | Phase::Open(_));
        if socket {
            self.effects.push(Effect::Close { code: CloseCode::Normal.code(), reason: "" });
            self.effects.push(Effect::Closed(Closed {
                code: CloseCode::Normal.code(),
                reason: "".into(),
                clean: true,
            }));
        }
        self.channels.leave_all();
        self.close();
    }

    /// The channel with this id, unless it was left.
    pub fn channel(&self, id: ChannelId) -> Option<&C> {
        self.channels.get(id)
    }

    /// Every channel that was not left.
    pub fn channels(&self) -> impl Iterator<Item = &C> {
        self.channels.iter()
    }

    /// Wants a channel. `known` is the id of its name when it has one: a name keeps its id until
    /// [`Effect::Forget`].
    pub fn subscribe(&mut self, known: Option<ChannelId>, channel: C) -> ChannelId {
        self.channels.want(known, channel)
    }

    /// Wants a channel no longer. When it is wanted again within the tick, nothing goes over the wire.
    pub fn leave(&mut self, now: u64, channel: ChannelId) {
        self.channels.leave(channel);
        self.settle = now;
        self.give_up_pages(Some(channel), false, reason::LEFT.into());
    }

    /// Asks for a page of a channel's history; the number goes with [`Effect::History`]. It is asked again after a
    /// reconnect.
    pub fn history(&mut self, channel: ChannelId, page: HistoryPage) -> u64 {
        self.last_number += 1;
        self.requests.push(self.last_number, channel, page);
        match &self.phase {
            Phase::Closed => self.give_up_pages(None, false, reason::DISCONNECTED.into()),
            Phase::Open(open) if !open.v2 => self.give_up_pages(None, false, reason::UNSUPPORTED.into()),
            _ => {}
        }
        self.last_number
    }

    /// An event was received on a channel, with its offset and the one before it when it has them. Gives the channel
    /// when there is one to deliver it to; an event that is delivered at once, before the next [`Core::poll`], needs no
    /// effect. It is not told the time, which takes longer to read than all of this.
    pub fn message(
        &mut self,
        socket: SocketId,
        channel: Option<ChannelId>,
        offset: Option<u64>,
        previous: Option<u64>,
    ) -> Option<(&C, Arrival)> {
        match &mut self.phase {
            Phase::Open(open) if socket == self.socket => open.liveness.hear_untimed(),
            _ => return None,
        }
        self.arrived(channel?, offset, previous)
    }

    fn arrived(
        &mut self,
        channel: ChannelId,
        offset: Option<u64>,
        previous: Option<u64>,
    ) -> Option<(&C, Arrival)> {
        match &self.phase {
            Phase::Open(open) if open.v2 => self.channels.event(channel, offset, previous),
            _ => Some((self.channels.get(channel)?, Arrival::InOrder)),
        }
    }

    /// The socket is closed.
    pub fn closed(&mut self, now: u64, socket: SocketId, closed: Closed<T>) {
        if self.has(socket) {
            let next = match CloseCode::reaction(closed.code) {
                Reaction::Reconnect => Next::Backoff,
                Reaction::Stop if closed.code == CloseCode::Policy.code() => {
                    Next::Stop(CloseCode::Policy.reason())
                }
                Reaction::Stop => Next::Stop(CloseCode::Disconnected.reason()),
            };
            // Sent again, it would cost the next connection as well.
            if closed.code == CloseCode::TooLarge.code() && self.is_acknowledged() {
                self.outbox.give_up_largest(&mut drop_into(&mut self.effects));
            }
            self.lose(now, closed, next);
        }
    }

    /// The socket could not be made.
    pub fn failed(&mut self, now: u64, socket: SocketId, reason: T) {
        if self.has(socket) {
            self.effects.push(Effect::Error { channel: None, reason: reason.clone() });
            self.lose(now, Closed { code: ABNORMAL, reason, clean: false }, Next::Backoff);
        }
    }

    /// The page has changed.
    pub fn page(&mut self, now: u64, change: PageChange) {
        match change {
            PageChange::Offline => {
                self.page.online = false;
                if let Phase::Waiting { until } = &mut self.phase
                    && until.take().is_some()
                {
                    self.attempts = self.attempts.saturating_sub(1);
                }
            }
            PageChange::Online => {
                self.page.online = true;
                self.wake(now, Doubt::Strong);
            }
            PageChange::Hidden => self.page.visible = false,
            PageChange::Visible => {
                self.page.visible = true;
                self.wake(now, Doubt::Some);
            }
            PageChange::Restored => self.wake(now, Doubt::Strong),
        }
    }

    /// A timer fired that was set for the deadline `due`. Too early does no harm.
    pub fn timer(&mut self, now: u64, due: u64) {
        if self.channels.is_leaving() && self.settle <= now {
            self.channels.settle();
        }
        let late = now.saturating_sub(due) >= LATE_MS;
        if late {
            self.wake(now, Doubt::Strong);
        }
        self.expire(now);
        match &mut self.phase {
            Phase::Waiting { until: Some(until) } if *until <= now => self.open_socket(now),
            Phase::Connecting { until, .. } if *until <= now => {
                let next = if late { Next::AtOnce } else { Next::Backoff };
                self.give_up_socket(now, CloseCode::Normal, reason::CONNECT_TIMEOUT, next);
            }
            Phase::Open(open) => {
                open.liveness.time(now);
                if let Some(silence) = open.liveness.silence(now) {
                    let next = if silence == Silence::Probe { Next::AtOnce } else { Next::Backoff };
                    let code = CloseCode::PingTimeout;
                    self.give_up_socket(now, code, code.reason(), next);
                }
                self.identify(now);
            }
            _ => {}
        }
    }

    /// When [`Core::timer`] wants to be called next. It may be later than it was told before.
    pub fn deadline(&self) -> Option<u64> {
        let mut deadline = match &self.phase {
            Phase::Waiting { until } => until.unwrap_or(NEVER),
            Phase::Connecting { until, .. } => *until,
            Phase::Open(open) => open.liveness.deadline().min(open.identity.deadline()),
            Phase::Idle | Phase::Closed => NEVER,
        };
        if self.channels.is_leaving() {
            deadline = deadline.min(self.settle);
        }
        if let Some(since) = self.outbox.oldest() {
            deadline = deadline.min(since + self.options.outbox_max_age_ms);
        }
        (deadline != NEVER).then_some(deadline)
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Effect<C, T, V, P>> {
        if let Some(effect) = list::remove(&mut self.effects, 0) {
            return Some(effect);
        }
        let mut flowing = false;
        let mut settled = false;
        let mut v2 = false;
        if let Phase::Open(open) = &mut self.phase
            && !open.stalled
        {
            v2 = open.v2;
            if std::mem::take(&mut open.due.pong) {
                return Some(Effect::Send(Outgoing::Pong));
            }
            if let Some(token) = open.identity.send() {
                self.channels.look_at_all();
                return Some(Effect::Send(Outgoing::Authenticate { token }));
            }
            flowing = open.identity.may_subscribe();
            settled = open.identity.settled;
            if let Some(channel) = open.due.probe.take() {
                return Some(Effect::Send(Outgoing::Subscribe { channel, resume: None }));
            }
        }
        if let Some(step) = self.channels.step(flowing, v2) {
            return Some(match step {
                Step::Subscribe(channel, resume) => Effect::Send(Outgoing::Subscribe { channel, resume }),
                Step::Unsubscribe(channel) => Effect::Send(Outgoing::Unsubscribe(channel)),
                Step::Forget(channel) => Effect::Forget(channel),
            });
        }
        if !settled {
            return None;
        }
        if let Some((number, frame)) = self.outbox.send(v2) {
            return Some(Effect::Send(Outgoing::Publish { frame, request: v2.then_some(number) }));
        }
        self.ask_for_page()
    }

    /// The next page of history that can be asked for.
    fn ask_for_page(&mut self) -> Option<Effect<C, T, V, P>> {
        let channels = &self.channels;
        let Request { number: request, channel: id, page, .. } = self.requests.ask(|request| {
            if request.page.until_attach {
                channels.state(request.channel) == Some(ChannelState::Subscribed)
            } else {
                channels.get(request.channel).is_some()
            }
        })?;
        let channel = channels.get(id)?.clone();
        let HistoryPage { limit, mut before, until_attach } = page;
        if until_attach {
            let Some(attach) = channels.attach(id) else {
                self.requests.answered(request);
                return Some(Effect::History { request, page: Err(reason::NO_HISTORY.into()) });
            };
            before = Some(before.unwrap_or(u64::MAX).min(attach + 1));
        }
        Some(Effect::Send(Outgoing::History { channel, request, limit, before }))
    }

    /// Gives up pages of history: of one channel or of all, and perhaps only those that wait for it to be live.
    fn give_up_pages(&mut self, channel: Option<ChannelId>, waiting: bool, reason: T) {
        let effects = &mut self.effects;
        self.requests.give_up(
            |request| {
                channel.is_none_or(|id| id == request.channel) && (!waiting || request.page.until_attach)
            },
            |request| effects.push(Effect::History { request, page: Err(reason.clone()) }),
        );
    }

    /// Whether this socket is the one in use.
    pub fn has(&self, socket: SocketId) -> bool {
        socket == self.socket && matches!(self.phase, Phase::Connecting { .. } | Phase::Open(_))
    }

    fn enter(&mut self, phase: Phase<C, T>) {
        let (from, to) = (self.phase.state(), phase.state());
        self.phase = phase;
        if from != to {
            self.effects.push(Effect::State { from, to });
        }
    }

    fn open_socket(&mut self, now: u64) {
        self.socket.0 += 1;
        self.effects.push(Effect::Connect { socket: self.socket });
        if self.options.tokens {
            self.effects.push(Effect::GetToken { socket: self.socket, reason: TokenReason::Connect });
        }
        let until = self.answer_until(now);
        self.enter(Phase::Connecting { until, token: None, welcome: None });
    }

    /// Welcomed, and the token is there if there is to be one.
    fn open(&mut self, now: u64, Welcome { id, v2, keepalive_ms }: Welcome<T>) {
        let token = match &mut self.phase {
            Phase::Connecting { token, .. } if v2 => token.take(),
            _ => None,
        };
        self.enter(Phase::Open(Open {
            id,
            since: now,
            identity: Identity::new(token, self.answer_until(now)),
            liveness: Liveness::new(now, keepalive_ms),
            v2,
            draining: false,
            due: Due { pong: false, probe: None },
            stalled: false,
        }));
        self.effects.push(Effect::Opened);
        self.channels.reset();
        self.expire(now);
        if !v2 {
            if self.options.tokens {
                self.effects.push(Effect::Error { channel: None, reason: reason::NO_TOKENS.into() });
            }
            self.outbox.give_up_sent(&mut drop_into(&mut self.effects));
            self.give_up_pages(None, false, reason::UNSUPPORTED.into());
        }
    }

    /// The connection may be dead, or an attempt may succeed that would have failed before.
    fn wake(&mut self, now: u64, doubt: Doubt) {
        match &mut self.phase {
            Phase::Waiting { until: Some(_) } if now >= self.not_before => self.open_socket(now),
            Phase::Waiting { until: None } if self.page.online => self.retry_at_once(now),
            Phase::Connecting { until, .. } if doubt == Doubt::Strong => {
                *until = (*until).min(now + PROBE_MS);
            }
            Phase::Open(open) => match self.channels.probe() {
                Probe::Ask(channel) => {
                    open.due.probe = Some(channel);
                    open.liveness.probe(now);
                }
                Probe::Listen => open.liveness.probe(now),
                // Without a channel a gateway of version 1 answers nothing: better a new connection than a dead one.
                Probe::Impossible if doubt == Doubt::Strong => {
                    let code = CloseCode::PingTimeout;
                    self.give_up_socket(now, code, code.reason(), Next::AtOnce);
                }
                Probe::Impossible => {}
            },
            _ => {}
        }
    }

    fn give_up_socket(&mut self, now: u64, code: CloseCode, reason: &'static str, next: Next) {
        self.effects.push(Effect::Close { code: code.code(), reason });
        self.lose(now, Closed { code: ABNORMAL, reason: reason.into(), clean: false }, next);
    }

    /// The connection is over.
    fn lose(&mut self, now: u64, closed: Closed<T>, next: Next) {
        let mut draining = false;
        if let Phase::Open(open) = &self.phase {
            draining = open.draining;
            if now.saturating_sub(open.since) >= STABLE_MS {
                self.attempts = 0;
            }
        }
        self.effects.push(Effect::Closed(closed));
        self.channels.reset();
        self.requests.reset();
        self.reclaim();
        let stop = match next {
            Next::Stop(reason) => Some(reason),
            Next::Backoff
                if self.page.online && !draining && self.attempts >= self.options.max_reconnect_attempts =>
            {
                Some(reason::EXHAUSTED)
            }
            _ => None,
        };
        if let Some(reason) = stop {
            self.effects.push(Effect::Error { channel: None, reason: reason.into() });
            self.close();
            return;
        }
        self.hold();
        if !self.page.online {
            self.enter(Phase::Waiting { until: None });
        } else if draining {
            // It was no failure, so that it does not count as one.
            let jitter = backoff::delay_ms(&self.options, 1, false, self.random.random());
            self.announce(now, self.attempts + 1, self.not_before.saturating_sub(now) + jitter);
        } else if matches!(next, Next::AtOnce) {
            self.retry_at_once(now);
        } else {
            self.attempts += 1;
            let random = self.random.random();
            let delay_ms = backoff::delay_ms(&self.options, self.attempts, !self.page.visible, random);
            self.announce(now, self.attempts, delay_ms);
        }
    }

    fn retry_at_once(&mut self, now: u64) {
        self.attempts += 1;
        self.announce(now, self.attempts, self.not_before.saturating_sub(now));
    }

    fn announce(&mut self, now: u64, attempt: u32, delay_ms: u64) {
        self.enter(Phase::Waiting { until: Some(now + delay_ms) });
        self.effects.push(Effect::Reconnecting { attempt, delay_ms });
    }

    fn close(&mut self) {
        self.reclaim();
        self.enter(Phase::Closed);
        self.not_before = 0;
        self.outbox.give_up(u64::MAX, reason::DISCONNECTED, &mut drop_into(&mut self.effects));
        self.give_up_pages(None, false, reason::DISCONNECTED.into());
    }
}
