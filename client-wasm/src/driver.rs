//! The client behind the handles: passes on to the core what happens, and does what the core asks.

use crate::{
    channel::Channel,
    frames::{Frame, Frames, Publish},
    js::{self, Deferred, Failure, Going, Resolved, Settings, Told},
    link::Anchor,
    listeners::Listeners,
    page,
    socket::Socket,
};
use gloo_timers::callback::Interval;
use js_sys::{Date, JsString, Map, Math};
use std::{
    cell::{Cell, RefCell, RefMut},
    rc::Rc,
};
use tidings_client_core::{
    Arrival, ChannelId, ChannelState, Clock, Closed, Core, Effect, HistoryPage, Options, Outgoing, Random,
    SocketId, State, reason,
};
use tidings_protocol::Position;
use wasm_bindgen::prelude::*;

pub(crate) type ClientCore = Core<Rc<Channel>, JsString, JsValue, Publish, Chance>;

/// The browser's.
pub(crate) struct Chance;

impl Random for Chance {
    fn random(&mut self) -> f64 {
        Math::random()
    }
}

/// One client. While it is connected or trying, what its socket, its timer and the page call holds it.
pub(crate) struct Client {
    pub(crate) link: Anchor,
    pub(crate) settings: Settings,
    pub(crate) frames: Frames,
    pub(crate) listeners: Listeners,
    /// From a channel's name to its number plus 1 and its listeners, for as long as the core knows the channel.
    pub(crate) names: Map,
    /// Who waits for pages of history, by the number of the request.
    pages: Map,
    /// Effects are being carried out: what a listener causes is done when it has returned.
    driving: Cell<bool>,
    /// The core was told something since it had nothing more to do.
    told: Cell<bool>,
    inner: RefCell<Inner>,
}

/// What to do with an event that was received. The numbers are known to `primitives.js`.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    /// Effects are being carried out: it is received like any frame.
    Later = 0,
    Drop = 1,
    Deliver = 2,
    /// It has no place in a stream, so that its id tells whether it has come already.
    UnlessRepeated = 3,
}

/// What changes. It is never borrowed while the application's code runs.
struct Inner {
    core: ClientCore,
    clock: Clock,
    socket: Option<Socket>,
    /// The timer and what it was set for.
    timer: Option<(u64, Interval)>,
    page: Option<Going>,
}

impl Inner {
    fn now(&mut self) -> u64 {
        self.clock.read(Date::now() as u64)
    }

    /// A timer that fires before the deadline does no harm, so it is left alone when the deadline moves away.
    fn set_timer(&mut self, link: &Anchor) {
        self.timer = match (self.core.deadline(), &self.timer) {
            (None, _) => None,
            (Some(deadline), Some((due, _))) if *due <= deadline => return,
            (Some(due), _) => {
                let delay = due.saturating_sub(self.now()).min(i32::MAX as u64);
                Some((due, link.timer(delay as u32)))
            }
        };
    }
}

impl Client {
    pub(crate) fn new(settings: Settings, options: Options) -> Rc<Self> {
        Rc::new(Self {
            link: Anchor::new(),
            settings,
            frames: Frames::new(),
            listeners: Listeners::new(),
            names: Map::new(),
            pages: Map::new(),
            driving: Cell::new(false),
            told: Cell::new(false),
            inner: RefCell::new(Inner {
                core: Core::new(options, Chance),
                clock: Clock::default(),
                socket: None,
                timer: None,
                page: None,
            }),
        })
    }

    /// Nobody has it at this moment. A panic with a message would cost hundreds of bytes.
    fn inner(&self) -> RefMut<'_, Inner> {
        self.inner.try_borrow_mut().unwrap_or_else(|_| std::process::abort())
    }

    /// Tells the core something.
    fn tell<R>(&self, input: impl FnOnce(&mut ClientCore, u64) -> R) -> R {
        self.told.set(true);
        let mut inner = self.inner();
        let now = inner.now();
        input(&mut inner.core, now)
    }

    /// Tells the core something and does what follows.
    pub(crate) fn act(self: &Rc<Self>, input: impl FnOnce(&mut ClientCore, u64)) {
        self.tell(input);
        self.drive();
    }

    /// Asks the core something.
    pub(crate) fn ask<R>(&self, question: impl FnOnce(&ClientCore) -> R) -> R {
        question(&self.inner().core)
    }

    pub(crate) fn state(&self) -> State {
        self.ask(Core::state)
    }

    pub(crate) fn connect(self: &Rc<Self>) {
        self.tell(|core, now| {
            if matches!(core.state(), State::Idle | State::Closed) {
                for change in page::now().into_iter().flatten() {
                    core.page(now, change);
                }
            }
            core.connect(now);
        });
        self.link.hold(self);
        let mut inner = self.inner();
        if inner.page.is_none() {
            inner.page = Some(self.link.watch());
        }
        drop(inner);
        self.drive();
    }

    pub(crate) fn disconnect(self: &Rc<Self>) {
        self.ask(|core| core.channels().for_each(|channel| channel.close(reason::DISCONNECTED)));
        self.act(|core, _| core.disconnect());
    }

    /// The channel of this name.
    pub(crate) fn channel(self: &Rc<Self>, name: &JsString) -> Rc<Channel> {
        let known = self.find(name);
        if let Some(channel) = known.and_then(|id| self.ask(|core| core.channel(id).cloned())) {
            return channel;
        }
        let channel = Rc::new(Channel::new(name.clone()));
        self.tell(|core, _| {
            let id = core.subscribe(known, channel.clone());
            js::enroll(&self.names, name, id.0 as i32 + 1, &channel.listeners.sets);
        });
        self.drive();
        channel
    }

    pub(crate) fn find(&self, name: &JsString) -> Option<ChannelId> {
        channel_id(js::find(&self.names, name))
    }

    /// The state of a channel that was not left.
    pub(crate) fn channel_state(&self, channel: &Channel) -> Option<ChannelState> {
        let id = self.find(&channel.name)?;
        self.ask(|core| core.channel_state(id))
    }

    /// Asks for a page of history.
    pub(crate) fn history(self: &Rc<Self>, channel: &Channel, page: HistoryPage, outcome: &Deferred) {
        if let Some(id) = self.find(&channel.name) {
            let request = self.tell(|core, _| core.history(id, page));
            js::put(&self.pages, &number(request), outcome);
            self.drive();
        }
    }

    /// Whether an event is for the listeners of its channel, without a detour through the effects. They are called in
    /// JavaScript, and [`Client::proceed`] follows.
    pub(crate) fn message(
        self: &Rc<Self>,
        socket: SocketId,
        channel: Option<ChannelId>,
        offset: Option<u64>,
        previous: Option<u64>,
    ) -> Verdict {
        if self.driving.get() {
            return Verdict::Later;
        }
        let mut torn = None;
        let arrival = {
            let core = &mut self.inner().core;
            core.message(socket, channel, offset, previous).map(|(channel, arrival)| {
                if arrival == Arrival::AfterGap {
                    torn = Some(channel.clone());
                }
                arrival
            })
        };
        let Some(arrival) = arrival else {
            self.drive();
            return Verdict::Drop;
        };
        self.driving.set(true);
        if let Some(channel) = torn {
            self.gap(&channel, reason::HOLE.into());
        }
        if arrival == Arrival::Unplaced { Verdict::UnlessRepeated } else { Verdict::Deliver }
    }

    /// The listeners have had an event: what they caused is done.
    pub(crate) fn proceed(self: &Rc<Self>) {
        self.driving.set(false);
        if self.told.get() {
            self.drive();
        } else {
            self.inner().set_timer(&self.link);
        }
    }

    fn gap(&self, channel: &Channel, why: JsValue) {
        js::gap(&channel.listeners.sets, &self.settings, &channel.name, &why);
        self.emit(Told::Gap, [channel.name.clone().into(), why, NOTHING]);
    }

    /// Something was received that may be a frame, and may be about a channel.
    pub(crate) fn receive(self: &Rc<Self>, socket: SocketId, frame: &Frame, channel: Option<ChannelId>) {
        self.act(|core, now| core.read(now, socket, frame, |_| channel));
    }

    /// Whether it is the socket in use that was closed, or, where there is no code, has failed.
    pub(crate) fn closed(self: &Rc<Self>, socket: SocketId, closed: Closed<JsString>) -> bool {
        let used = self.ask(|core| core.has(socket));
        if used && closed.code > 0 {
            self.inner().socket = None;
            self.act(|core, now| core.closed(now, socket, closed));
        }
        used
    }

    pub(crate) fn fire(self: &Rc<Self>) {
        let timer = self.inner().timer.take();
        if let Some((due, _)) = timer {
            self.act(|core, now| core.timer(now, due));
        }
    }

    fn emit(&self, event: Told, [first, second, third]: [JsValue; 3]) {
        js::tell(&self.listeners.sets, &self.settings, event as i32, first, second, third);
    }

    fn drive(self: &Rc<Self>) {
        if self.driving.replace(true) {
            return;
        }
        loop {
            let effect = self.inner().core.poll();
            match effect {
                Some(effect) => self.perform(effect),
                None => break,
            }
        }
        self.driving.set(false);
        self.told.set(false);
        let mut inner = self.inner();
        inner.set_timer(&self.link);
        // Before it is connected, only a publish that waits has a timer.
        if inner.core.state() == State::Idle {
            if inner.timer.is_some() { self.link.hold(self) } else { self.link.let_go() }
        }
    }

    fn perform(self: &Rc<Self>, effect: Effect<Rc<Channel>, JsString, JsValue, Publish>) {
        let (event, values) = match effect {
            Effect::Opened => {
                self.listeners.ready().resolve();
                (Told::Open, [NOTHING; 3])
            }
            Effect::Closed(Closed { code, reason, clean }) => {
                (Told::Close, [code.into(), reason.into(), clean.into()])
            }
            Effect::Reconnecting { attempt, delay_ms } => {
                (Told::Reconnecting, [attempt.into(), number(delay_ms), NOTHING])
            }
            Effect::Subscribed(channel) => {
                channel.listeners.ready().resolve();
                (Told::Subscribed, [channel.name.clone().into(), NOTHING, NOTHING])
            }
            Effect::Error { channel, reason } => (Told::Error, [channel.into(), reason.into(), NOTHING]),
            Effect::State { from, to } => {
                // A listener may have called `connect()` meanwhile.
                if to == State::Closed && self.state() == to {
                    self.let_go();
                }
                (Told::State, [state_name(from).into(), state_name(to).into(), NOTHING])
            }
            Effect::Gap { channel, why } => return self.gap(&channel, why.into()),
            Effect::Drain { after_ms } => (Told::Drain, [number(after_ms), NOTHING, NOTHING]),
            other => return self.carry_out(other),
        };
        self.emit(event, values);
    }

    /// What is done without a word to the client's listeners.
    fn carry_out(self: &Rc<Self>, effect: Effect<Rc<Channel>, JsString, JsValue, Publish>) {
        match effect {
            Effect::Deliver { channel, id: Some(id), .. } if channel.knows(&id) => {}
            Effect::Deliver { channel, event, data, .. } => {
                channel.listeners.emit(&event, &data, &self.settings);
            }
            Effect::Send(frame) => self.send(frame),
            Effect::Acknowledged { frame, id, offset } => {
                let offset = offset.map(number).into();
                js::resolve(&frame, Resolved::Published as i32, JsValue::TRUE, id.into(), offset);
            }
            Effect::Dropped { frame, reason } => {
                js::resolve(&frame, Resolved::Unpublished as i32, JsValue::FALSE, reason.into(), NOTHING);
            }
            Effect::History { request, page } => self.settle_page(request, page),
            Effect::Connect { socket } => match Socket::open(self, socket) {
                Ok(opened) => self.inner().socket = Some(opened),
                Err(exception) => {
                    self.tell(|core, now| core.failed(now, socket, js::message(&exception)));
                }
            },
            Effect::GetToken { socket, reason } => {
                js::token(&self.settings, reason as i32, &self.link.object, socket.0 as i32);
            }
            Effect::Close { code, reason } => {
                let socket = self.inner().socket.take();
                if let Some(socket) = socket {
                    socket.close(code, reason);
                }
            }
            Effect::Denied { channel, reason } => channel.deny(reason),
            Effect::Forget(channel) => {
                js::take(&self.names, &channel.name);
            }
            _ => {}
        }
    }

    fn send(&self, frame: Outgoing<Rc<Channel>, JsString, Publish>) {
        let text = self.frames.text(&frame);
        let socket = self.inner().socket.clone();
        if !socket.is_some_and(|socket| socket.send(&text)) {
            self.tell(|core, now| core.unsent(now, &frame));
        } else if let Outgoing::Publish { frame, request: None } = frame {
            js::resolve(&frame, Resolved::Published as i32, JsValue::TRUE, NOTHING, NOTHING);
        }
    }

    fn settle_page(&self, request: u64, page: Result<(Position<JsString>, JsValue), JsString>) {
        let request = number(request);
        let outcome: Deferred = js::take(&self.pages, &request).unchecked_into();
        match page {
            Ok((Position { epoch, offset }, events)) => {
                let events = js::events(&events);
                js::resolve(&outcome, Resolved::Page as i32, events, epoch.into(), number(offset));
            }
            Err(reason) => js::reject(&outcome, &reason, Failure::NoPage as i32),
        }
    }

    /// Closed: nothing may keep this client alive but its handles, and nobody may wait for what will not come.
    fn let_go(&self) {
        self.link.let_go();
        let mut inner = self.inner();
        inner.page = None;
        inner.timer = None;
        let closed = reason::DISCONNECTED.into();
        self.listeners.ready().reject(&closed, Failure::Closed);
        inner.core.channels().for_each(|channel| channel.listeners.ready().reject(&closed, Failure::Closed));
    }
}

/// What is left out.
const NOTHING: JsValue = JsValue::UNDEFINED;

fn number(value: u64) -> JsValue {
    (value as f64).into()
}

/// The public name of a state.
pub(crate) const fn state_name(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Connecting => "connecting",
        State::Open => "open",
        State::Closed => "closed",
    }
}

/// The channel with this number in [`Client::names`].
pub(crate) fn channel_id(number: u32) -> Option<ChannelId> {
    number.checked_sub(1).map(ChannelId)
}
