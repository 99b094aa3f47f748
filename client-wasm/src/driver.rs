//! The client behind the handles: passes on to the core what happens, and does what the core asks.

use crate::{
    channel::Channel,
    errors,
    frames::{Event, Frames, Publish},
    js::{self, Deferred, Numbers},
    link::Anchor,
    listeners::Listeners,
    page::Page,
    promise::Ready,
    settings::Settings,
    socket::Socket,
};
use gloo_timers::callback::Interval;
use js_sys::{Date, JsString, Map, Math};
use std::{
    cell::{Cell, RefCell, RefMut},
    rc::Rc,
};
use tidings_client_core::{
    Arrival, ChannelId, ChannelState, Clock, Closed, Core, Effect, HistoryPage, Options, Outgoing, SocketId,
    State, reason,
};
use tidings_protocol::Position;
use wasm_bindgen::prelude::*;

pub(crate) type ClientCore = Core<Rc<Channel>, JsString, JsValue, Publish>;

/// One client. While it is connected or trying, what its socket, its timer and the page call holds it.
pub(crate) struct Client {
    pub(crate) link: Anchor,
    pub(crate) settings: Settings,
    pub(crate) frames: Frames,
    pub(crate) listeners: Listeners,
    pub(crate) ready: Ready,
    /// From a channel's name to its number plus 1, for as long as the core knows the channel.
    pub(crate) names: Numbers,
    /// Who waits for pages of history, by the number of the request.
    pages: Map,
    /// Effects are being carried out: what a listener causes is done when it has returned.
    driving: Cell<bool>,
    inner: RefCell<Inner>,
}

/// What changes. It is never borrowed while the application's code runs.
struct Inner {
    core: ClientCore,
    clock: Clock,
    socket: Option<Socket>,
    /// The timer and what it was set for.
    timer: Option<(u64, Interval)>,
    page: Option<Page>,
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
            ready: Ready::default(),
            names: Map::new().unchecked_into(),
            pages: Map::new(),
            driving: Cell::new(false),
            inner: RefCell::new(Inner {
                core: Core::new(options, Math::random),
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
                for change in Page::now() {
                    core.page(now, change);
                }
            }
            core.connect(now);
        });
        self.link.hold(self);
        let mut inner = self.inner();
        if inner.page.is_none() {
            inner.page = Page::listen(self.link.caller("page"));
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
            self.names.set(name, &(id.0 + 1).into());
        });
        self.drive();
        channel
    }

    pub(crate) fn find(&self, name: &JsValue) -> Option<ChannelId> {
        channel_id(self.names.find(name))
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
            self.pages.set(&(request as f64).into(), outcome);
            self.drive();
        }
    }

    /// Hands an event that was received to its listeners, without a detour through the effects. False when it has to
    /// wait until others have been carried out.
    pub(crate) fn deliver(self: &Rc<Self>, socket: SocketId, event: &Event<'_>) -> bool {
        if self.driving.get() {
            return false;
        }
        let message = {
            let core = &mut self.inner().core;
            let message = core.message(socket, event.channel, event.offset, event.previous);
            message.map(|(channel, arrival)| (channel.clone(), arrival))
        };
        if let Some((channel, arrival)) = message {
            self.driving.set(true);
            if arrival == Arrival::AfterGap {
                self.gap(&channel, reason::HOLE.into());
            }
            let data = if event.data.is_undefined() { &JsValue::NULL } else { event.data };
            let repeated = arrival == Arrival::Unplaced && channel.knows(&self.frames.id(event.frame));
            if !repeated {
                channel.listeners.emit(event.name, data, &self.settings.logger);
            }
            self.driving.set(false);
        }
        self.drive();
        true
    }

    fn gap(&self, channel: &Channel, why: JsValue) {
        let gap = js::record("channel why", channel.name.clone().into(), why, NOTHING);
        channel.listeners.emit_gap(&gap, &self.settings.logger);
        self.emit("gap", &gap);
    }

    /// Something was received that may be a frame.
    pub(crate) fn receive(self: &Rc<Self>, socket: SocketId, frame: &JsValue) {
        let frame = self.frames.read(frame);
        self.act(|core, now| core.receive(now, socket, frame, |name| self.find(name)));
    }

    pub(crate) fn closed(self: &Rc<Self>, socket: SocketId, closed: Closed<JsString>) {
        self.inner().socket = None;
        self.act(|core, now| core.closed(now, socket, closed));
    }

    pub(crate) fn fire(self: &Rc<Self>) {
        let timer = self.inner().timer.take();
        if let Some((due, _)) = timer {
            self.act(|core, now| core.timer(now, due));
        }
    }

    fn emit(&self, event: &'static str, data: &JsValue) {
        let event = event.into();
        js::log(&self.settings.logger, "debug", &event, data);
        self.listeners.emit(&event, data, &self.settings.logger);
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
        let mut inner = self.inner();
        inner.set_timer(&self.link);
        // Before it is connected, only a publish that waits has a timer.
        if inner.core.state() == State::Idle {
            if inner.timer.is_some() { self.link.hold(self) } else { self.link.let_go() }
        }
    }

    fn perform(self: &Rc<Self>, effect: Effect<Rc<Channel>, JsString, JsValue, Publish>) {
        match effect {
            Effect::Deliver { channel, id: Some(id), .. } if channel.knows(&id) => {}
            Effect::Deliver { channel, event, data, .. } => {
                channel.listeners.emit(&event, &data, &self.settings.logger);
            }
            Effect::Send(frame) => self.send(frame),
            Effect::Acknowledged { frame, id, offset } => {
                let offset = offset.map(|offset| offset as f64).into();
                frame.resolve(js::record("ok id offset", JsValue::TRUE, id.into(), offset));
            }
            Effect::Dropped { frame, reason } => {
                frame.resolve(js::record("ok reason", JsValue::FALSE, reason.into(), NOTHING));
            }
            Effect::History { request, page } => self.settle_page(request, page),
            Effect::Gap { channel, why } => self.gap(&channel, why.into()),
            Effect::Drain { after_ms } => self.emit("drain", &one("afterMs", (after_ms as f64).into())),
            Effect::Connect { socket } => match Socket::open(self, socket) {
                Ok(opened) => self.inner().socket = Some(opened),
                Err(exception) => {
                    self.tell(|core, now| core.failed(now, socket, errors::message(&exception)));
                }
            },
            Effect::Close { code, reason } => {
                let socket = self.inner().socket.take();
                if let Some(socket) = socket {
                    socket.close(code, reason);
                }
            }
            Effect::Subscribed(channel) => {
                channel.ready.resolve();
                self.emit("subscribed", &one("channel", channel.name.clone().into()));
            }
            Effect::Denied { channel, reason } => channel.deny(reason),
            Effect::Forget(channel) => {
                self.names.delete(&channel.name);
            }
            Effect::State { from, to } => {
                // A listener may have called `connect()` meanwhile.
                if to == State::Closed && self.state() == to {
                    self.let_go();
                }
                let [from, to] = [from, to].map(|state| state_name(state).into());
                self.emit("state", &js::record("from to", from, to, NOTHING));
            }
            Effect::Opened => {
                self.ready.resolve();
                self.emit("open", &NOTHING);
            }
            Effect::Closed(Closed { code, reason, clean }) => {
                self.emit(
                    "close",
                    &js::record("code reason wasClean", code.into(), reason.into(), clean.into()),
                );
            }
            Effect::Reconnecting { attempt, delay_ms } => self.emit(
                "reconnecting",
                &js::record("attempt delayMs", attempt.into(), (delay_ms as f64).into(), NOTHING),
            ),
            Effect::Error { channel, reason } => {
                self.emit("error", &js::record("channel reason", channel.into(), reason.into(), NOTHING));
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
            frame.resolve(one("ok", JsValue::TRUE));
        }
    }

    fn settle_page(&self, request: u64, page: Result<(Position<JsString>, JsValue), JsString>) {
        let request = (request as f64).into();
        let outcome: Deferred = self.pages.get(&request).unchecked_into();
        self.pages.delete(&request);
        match page {
            Ok((Position { epoch, offset }, events)) => {
                let events = js::renamed(&events, "e d i o", "event data id offset");
                let offset = (offset as f64).into();
                outcome.resolve(js::record("events epoch offset", events, epoch.into(), offset));
            }
            Err(reason) => outcome.reject(errors::failure(reason.into(), "there is no page of history")),
        }
    }

    /// Closed: nothing may keep this client alive but its handles, and nobody may wait for what will not come.
    fn let_go(&self) {
        self.link.let_go();
        let mut inner = self.inner();
        inner.page = None;
        inner.timer = None;
        self.ready.reject(closed_error);
        inner.core.channels().for_each(|channel| channel.ready.reject(closed_error));
    }
}

const NOTHING: JsValue = JsValue::UNDEFINED;

fn one(name: &str, value: JsValue) -> JsValue {
    js::record(name, value, NOTHING, NOTHING)
}

/// Why a promise of `ready()` is rejected when the client closes.
pub(crate) fn closed_error() -> JsValue {
    errors::failure(reason::DISCONNECTED.into(), "the client is closed")
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
