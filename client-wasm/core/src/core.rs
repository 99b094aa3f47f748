//! The state machine: what happens goes in, effects and the next deadline come out.

use crate::{
    backoff,
    channels::{Answer, ChannelId, ChannelState, Channels, Probe, Step},
    effect::{Closed, Effect, Outgoing, PageChange, reason},
    liveness::{LATE_MS, Liveness, PROBE_MS, Silence},
    options::Options,
    outbox::{Outbox, Weight},
    phase::{Due, Open, Phase, STABLE_MS, SocketId, State},
    queue::Queue,
};
use tidings_protocol::{CloseCode, Reaction, ServerFrame, reason as refusal};

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
/// core looks into none of them. Times are milliseconds of one clock that never goes back ([`crate::Clock`]).
///
/// Nothing here calls back: after each input, take [`Core::poll`] until there is no effect, then wait until
/// [`Core::deadline`].
pub struct Core<C, T, V, P> {
    options: Options,
    random: Box<dyn FnMut() -> f64>,
    phase: Phase<C, T>,
    socket: SocketId,
    /// Attempts to reconnect that were announced since the last connection that lasted.
    attempts: u32,
    page: Page,
    channels: Channels<C>,
    outbox: Outbox<P>,
    effects: Queue<Effect<C, T, V, P>>,
    /// When the tick ends in which channels were left.
    settle: u64,
}

impl<C: Clone, T: Clone + From<&'static str> + PartialEq, V, P: Weight> Core<C, T, V, P> {
    /// A client that was never connected. `random` gives numbers from 0 up to but not including 1.
    pub fn new(options: Options, random: impl FnMut() -> f64 + 'static) -> Self {
        Self {
            options,
            random: Box::new(random),
            phase: Phase::Idle,
            socket: SocketId(0),
            attempts: 0,
            page: Page { online: true, visible: true },
            channels: Channels::new(),
            outbox: Outbox::new(),
            effects: Queue::new(),
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
    }

    /// Sends a frame, now or when there is a connection.
    pub fn publish(&mut self, frame: P) {
        match &self.phase {
            Phase::Closed => {
                self.effects.push(Effect::Dropped { frame, reason: reason::DISCONNECTED });
            }
            Phase::Open(open) if !open.stalled => self.outbox.push(frame),
            _ => self.outbox.hold(frame, &self.options, &mut drop_into(&mut self.effects)),
        }
    }

    /// The socket refused a frame, for it is about to close. A publish is given back; nothing more is sent until
    /// the socket has reported its end, for which it has [`PROBE_MS`].
    pub fn unsent(&mut self, now: u64, frame: Outgoing<C, P>) {
        if let Outgoing::Publish(frame) = frame {
            self.outbox.put_back(frame);
        }
        if let Phase::Open(open) = &mut self.phase {
            open.stalled = true;
            open.liveness.probe(now);
        }
        self.outbox.hold_all(&self.options, drop_into(&mut self.effects));
    }

    /// Something was received: a frame, or `None` for what is none that the protocol knows. `find` gives the id of
    /// a channel by its name.
    pub fn receive(
        &mut self,
        now: u64,
        socket: SocketId,
        frame: Option<ServerFrame<T, V>>,
        find: impl FnOnce(&T) -> Option<ChannelId>,
    ) {
        if socket != self.socket {
            return;
        }
        match &mut self.phase {
            Phase::Open(open) => {
                open.liveness.hear(now);
                if let Some(frame) = frame {
                    self.handle(frame, find);
                }
            }
            Phase::Connecting { .. } => {
                if let Some(ServerFrame::Welcome { id, keepalive_ms, .. }) = frame {
                    self.welcome(now, id, keepalive_ms);
                }
            }
            _ => {}
        }
    }

    /// An event was received on a channel. Gives the channel when there is one to deliver it to; an event that is
    /// delivered at once, before the next [`Core::poll`], needs no effect. It is not told the time, which takes
    /// longer to read than all of this.
    pub fn message(&mut self, socket: SocketId, channel: Option<ChannelId>) -> Option<&C> {
        match &mut self.phase {
            Phase::Open(open) if socket == self.socket => open.liveness.hear_untimed(),
            _ => return None,
        }
        self.channels.get(channel?)
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
                    self.attempts -= 1;
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
        match &mut self.phase {
            Phase::Waiting { until: Some(until) } if *until <= now => self.open_socket(now),
            Phase::Connecting { until } if *until <= now => {
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
            }
            _ => {}
        }
    }

    /// When [`Core::timer`] wants to be called next. It may be later than it was told before.
    pub fn deadline(&self) -> Option<u64> {
        let deadline = match &self.phase {
            Phase::Waiting { until } => *until,
            Phase::Connecting { until } => Some(*until),
            Phase::Open(open) => open.liveness.deadline(),
            Phase::Idle | Phase::Closed => None,
        };
        let settle = self.channels.is_leaving().then_some(self.settle);
        settle.into_iter().chain(deadline).min()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Effect<C, T, V, P>> {
        if let Some(effect) = self.effects.pop() {
            return Some(effect);
        }
        let mut flowing = false;
        if let Phase::Open(open) = &mut self.phase
            && !open.stalled
        {
            flowing = true;
            if std::mem::take(&mut open.due.pong) {
                return Some(Effect::Send(Outgoing::Pong));
            }
            if let Some(channel) = open.due.probe.take() {
                return Some(Effect::Send(Outgoing::Subscribe(channel)));
            }
        }
        if let Some(step) = self.channels.step(flowing) {
            return Some(match step {
                Step::Subscribe(channel) => Effect::Send(Outgoing::Subscribe(channel)),
                Step::Unsubscribe(channel) => Effect::Send(Outgoing::Unsubscribe(channel)),
                Step::Forget(channel) => Effect::Forget(channel),
            });
        }
        if flowing { self.outbox.pop().map(|frame| Effect::Send(Outgoing::Publish(frame))) } else { None }
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
        self.enter(Phase::Connecting { until: now + self.options.connect_timeout_ms });
    }

    fn welcome(&mut self, now: u64, id: T, keepalive_ms: Option<u64>) {
        self.enter(Phase::Open(Open {
            id,
            since: now,
            liveness: Liveness::new(now, keepalive_ms),
            due: Due { pong: false, probe: None },
            stalled: false,
        }));
        self.effects.push(Effect::Opened);
        self.channels.reset();
    }

    fn handle(&mut self, frame: ServerFrame<T, V>, find: impl FnOnce(&T) -> Option<ChannelId>) {
        match frame {
            ServerFrame::Msg { channel, event, data, .. } => {
                if let Some(channel) = find(&channel).and_then(|id| self.channels.get(id)) {
                    self.effects.push(Effect::Deliver { channel: channel.clone(), event, data });
                }
            }
            ServerFrame::Ok { channel, .. } => {
                if let Some(id) = find(&channel)
                    && let Some(channel) = self.channels.answer(id, Answer::Ok)
                {
                    self.effects.push(Effect::Subscribed(channel));
                }
            }
            ServerFrame::Err { channel: name, reason, .. } => {
                let id = find(&name);
                self.effects.push(Effect::Error { channel: Some(name), reason: reason.clone() });
                let publish = [refusal::PUBLISH_DENIED, refusal::PUBLISH_FAILED];
                if let Some(id) = id
                    && !publish.into_iter().any(|text| reason == text.into())
                    && let Some(channel) = self.channels.answer(id, Answer::Err)
                {
                    self.effects.push(Effect::Denied { channel, reason });
                }
            }
            ServerFrame::Ping => {
                if let Phase::Open(open) = &mut self.phase {
                    open.due.pong = true;
                }
            }
            _ => {}
        }
    }

    /// The connection may be dead, or an attempt may succeed that would have failed before.
    fn wake(&mut self, now: u64, doubt: Doubt) {
        match &mut self.phase {
            Phase::Waiting { until: Some(_) } => self.open_socket(now),
            Phase::Waiting { until: None } if self.page.online => self.retry_at_once(now),
            Phase::Connecting { until } if doubt == Doubt::Strong => *until = (*until).min(now + PROBE_MS),
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
        if let Phase::Open(open) = &self.phase
            && now.saturating_sub(open.since) >= STABLE_MS
        {
            self.attempts = 0;
        }
        self.effects.push(Effect::Closed(closed));
        self.channels.reset();
        let stop = match next {
            Next::Stop(reason) => Some(reason),
            Next::Backoff if self.page.online && self.attempts >= self.options.max_reconnect_attempts => {
                Some(reason::EXHAUSTED)
            }
            _ => None,
        };
        if let Some(reason) = stop {
            self.effects.push(Effect::Error { channel: None, reason: reason.into() });
            self.close();
            return;
        }
        self.outbox.hold_all(&self.options, drop_into(&mut self.effects));
        if !self.page.online {
            self.enter(Phase::Waiting { until: None });
        } else if matches!(next, Next::AtOnce) {
            self.retry_at_once(now);
        } else {
            self.attempts += 1;
            let random = (self.random)();
            self.announce(now, backoff::delay_ms(&self.options, self.attempts, !self.page.visible, random));
        }
    }

    fn retry_at_once(&mut self, now: u64) {
        self.attempts += 1;
        self.announce(now, 0);
    }

    fn announce(&mut self, now: u64, delay_ms: u64) {
        self.enter(Phase::Waiting { until: Some(now + delay_ms) });
        self.effects.push(Effect::Reconnecting { attempt: self.attempts, delay_ms });
    }

    fn close(&mut self) {
        self.enter(Phase::Closed);
        let mut dropped = drop_because(&mut self.effects, reason::DISCONNECTED);
        while let Some(frame) = self.outbox.pop() {
            dropped(frame);
        }
    }
}

type Effects<C, T, V, P> = Queue<Effect<C, T, V, P>>;

fn drop_because<C, T, V, P>(effects: &mut Effects<C, T, V, P>, reason: &'static str) -> impl FnMut(P) {
    move |frame| effects.push(Effect::Dropped { frame, reason })
}

fn drop_into<C, T, V, P>(effects: &mut Effects<C, T, V, P>) -> impl FnMut(P) {
    drop_because(effects, reason::OUTBOX_FULL)
}
