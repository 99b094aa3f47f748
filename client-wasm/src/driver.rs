//! The client behind the handles: passes on to the core what happens, and does what the core asks.

use crate::{
    channel::Channel,
    errors,
    frames::{Frames, Publish},
    js,
    listeners::Listeners,
    page::Page,
    promise::Ready,
    settings::Settings,
    socket::Socket,
};
use gloo_timers::callback::Timeout;
use js_sys::{Date, Function, JsString, Map, Math};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};
use tidings_client_core::{
    ChannelId, ChannelState, Clock, Closed, Core, Effect, Options, Outgoing, SocketId, State, reason,
};
use wasm_bindgen::prelude::*;

pub(crate) type ClientCore = Core<JsString, JsValue, Publish>;

/// One client. While it is connected or trying, its socket, its timer and the page's events each hold it; when it
/// closes, it lets go of all three.
pub(crate) struct Client {
    pub(crate) settings: Settings,
    pub(crate) frames: Frames,
    pub(crate) listeners: Listeners,
    pub(crate) ready: Ready,
    core: RefCell<ClientCore>,
    clock: RefCell<Clock>,
    /// From a channel's name to its number, for as long as the core knows the channel.
    names: Map,
    /// By the channel's number.
    channels: RefCell<Vec<Option<Rc<Channel>>>>,
    socket: RefCell<Option<Socket>>,
    /// The timer and what it was set for.
    timer: RefCell<Option<(u64, Timeout)>>,
    page: RefCell<Option<Page>>,
    /// Effects are being carried out: what a listener causes is done when it has returned.
    driving: Cell<bool>,
}

impl Client {
    pub(crate) fn new(settings: Settings, options: Options) -> Rc<Self> {
        Rc::new(Self {
            settings,
            frames: Frames::new(),
            listeners: Listeners::new(),
            ready: Ready::default(),
            core: RefCell::new(Core::new(options, Math::random)),
            clock: RefCell::default(),
            names: Map::new(),
            channels: RefCell::default(),
            socket: RefCell::default(),
            timer: RefCell::default(),
            page: RefCell::default(),
            driving: Cell::new(false),
        })
    }

    fn now(&self) -> u64 {
        self.clock.borrow_mut().read(Date::now() as u64)
    }

    /// Tells the core something and does what follows.
    pub(crate) fn act<R>(self: &Rc<Self>, input: impl FnOnce(&mut ClientCore, u64) -> R) -> R {
        let now = self.now();
        let result = input(&mut self.core.borrow_mut(), now);
        self.drive();
        result
    }

    /// Asks the core something.
    pub(crate) fn ask<R>(&self, question: impl FnOnce(&ClientCore) -> R) -> R {
        question(&self.core.borrow())
    }

    pub(crate) fn connect(self: &Rc<Self>) {
        if self.page.borrow().is_none() {
            *self.page.borrow_mut() = Some(Page::listen(self.clone()));
            for change in Page::now() {
                self.act(|core, now| core.page(now, change));
            }
        }
        self.act(|core, now| core.connect(now));
    }

    pub(crate) fn disconnect(self: &Rc<Self>) {
        let channels: Vec<_> = self.channels.borrow().iter().flatten().cloned().collect();
        for channel in channels {
            channel.close(reason::DISCONNECTED);
        }
        self.act(|core, _| core.disconnect());
    }

    /// The channel of this name.
    pub(crate) fn channel(self: &Rc<Self>, name: &JsString) -> Rc<Channel> {
        let known = self.find(name);
        if let Some(id) = known
            && let Some(channel) = self.at(id)
            && !channel.is_left()
        {
            return channel;
        }
        let id = self.core.borrow_mut().subscribe(known, name.clone());
        let channel = Rc::new(Channel::new(name.clone(), id));
        let index = id.0 as usize;
        let mut channels = self.channels.borrow_mut();
        if channels.len() <= index {
            channels.resize(index + 1, None);
        }
        channels[index] = Some(channel.clone());
        drop(channels);
        self.names.set(name, &id.0.into());
        self.drive();
        channel
    }

    fn find(&self, name: &JsString) -> Option<ChannelId> {
        self.names.get(name).as_f64().map(|number| ChannelId(number as u32))
    }

    fn at(&self, id: ChannelId) -> Option<Rc<Channel>> {
        self.channels.borrow().get(id.0 as usize)?.clone()
    }

    pub(crate) fn channel_state(&self, channel: &Channel) -> Option<ChannelState> {
        if channel.is_left() { None } else { self.ask(|core| core.channel_state(channel.id)) }
    }

    pub(crate) fn receive(self: &Rc<Self>, socket: SocketId, data: &JsValue) {
        let frame = self.frames.read(data);
        self.act(|core, now| core.receive(now, socket, frame, |name| self.find(name)));
    }

    pub(crate) fn closed(self: &Rc<Self>, socket: SocketId, closed: Closed<JsString>) {
        self.socket.take();
        self.act(|core, now| core.closed(now, socket, closed));
    }

    /// Calls a method of the application's logger.
    pub(crate) fn log(&self, level: &str, message: &str, detail: &JsValue) -> bool {
        let logger = &self.settings.logger;
        let method = js::property(logger, level);
        let logs = method.is_function();
        if logs {
            // A logger that throws has nowhere to say so.
            let _ = method.unchecked_into::<Function>().call2(logger, &message.into(), detail);
        }
        logs
    }

    /// Reports what a listener threw.
    pub(crate) fn report(&self, exception: &JsValue) {
        const MESSAGE: &str = "a listener threw";
        if !self.log("error", MESSAGE, exception) {
            let console = js::property(&js_sys::global(), "console");
            let error = js::property(&console, "error");
            if error.is_function() {
                let _ = error.unchecked_into::<Function>().call2(&console, &MESSAGE.into(), exception);
            }
        }
    }

    fn emit(&self, event: &'static str, data: &JsValue) {
        self.log("debug", event, data);
        self.listeners.emit(&event.into(), data, || true, |exception| self.report(&exception));
    }

    pub(crate) fn drive(self: &Rc<Self>) {
        if self.driving.replace(true) {
            return;
        }
        loop {
            let effect = self.core.borrow_mut().poll();
            match effect {
                Some(effect) => self.perform(effect),
                None => break,
            }
        }
        self.driving.set(false);
        self.set_timer();
    }

    /// A timer that fires before the deadline does no harm, so it is left alone when the deadline moves away.
    fn set_timer(self: &Rc<Self>) {
        let deadline = self.ask(Core::deadline);
        let set_for = self.timer.borrow().as_ref().map(|(due, _)| *due);
        let timer = match (deadline, set_for) {
            (None, _) => None,
            (Some(deadline), Some(due)) if due <= deadline => return,
            (Some(due), _) => {
                let client = self.clone();
                let delay = due.saturating_sub(self.now()).min(i32::MAX as u64);
                Some((due, Timeout::new(delay as u32, move || client.fire())))
            }
        };
        self.timer.replace(timer);
    }

    fn fire(self: &Rc<Self>) {
        if let Some((due, _)) = self.timer.take() {
            self.act(|core, now| core.timer(now, due));
        }
    }

    fn perform(self: &Rc<Self>, effect: Effect<JsString, JsValue, Publish>) {
        match effect {
            Effect::Deliver { channel, event, data } => {
                if let Some(channel) = self.at(channel) {
                    channel.deliver(&event, &data, |exception| self.report(&exception));
                }
            }
            Effect::Send(frame) => self.send(frame),
            Effect::Dropped { frame, reason } => {
                frame.outcome.resolve(&js::object(&[("ok", JsValue::FALSE), ("reason", reason.into())]));
            }
            Effect::Connect { socket } => match Socket::open(self, socket) {
                Ok(opened) => {
                    self.socket.replace(Some(opened));
                }
                Err(exception) => {
                    let now = self.now();
                    self.core.borrow_mut().failed(now, socket, errors::message(&exception));
                }
            },
            Effect::Close { code, reason } => {
                if let Some(socket) = self.socket.take() {
                    socket.close(code, reason);
                }
            }
            Effect::Subscribed { channel } => {
                if let Some(channel) = self.at(channel) {
                    channel.ready.resolve();
                    self.emit("subscribed", &js::object(&[("channel", channel.name.clone().into())]));
                }
            }
            Effect::Denied { channel, reason } => {
                if let Some(channel) = self.at(channel) {
                    channel.deny(&reason);
                }
            }
            Effect::Forget { channel, name } => {
                self.names.delete(&name);
                self.channels.borrow_mut()[channel.0 as usize] = None;
            }
            Effect::State { from, to } => {
                // A listener may have called `connect()` meanwhile.
                if to == State::Closed && self.ask(Core::state) == to {
                    self.let_go();
                }
                self.emit(
                    "state",
                    &js::object(&[("from", state_name(from).into()), ("to", state_name(to).into())]),
                );
            }
            Effect::Opened => {
                self.ready.resolve();
                self.emit("open", &JsValue::UNDEFINED);
            }
            Effect::Closed(closed) => self.emit(
                "close",
                &js::object(&[
                    ("code", closed.code.into()),
                    ("reason", closed.reason.into()),
                    ("wasClean", closed.clean.into()),
                ]),
            ),
            Effect::Reconnecting { attempt, delay_ms } => self.emit(
                "reconnecting",
                &js::object(&[("attempt", attempt.into()), ("delayMs", (delay_ms as f64).into())]),
            ),
            Effect::Error { channel, reason } => self.emit(
                "error",
                &js::object(&[
                    ("channel", channel.map_or(JsValue::UNDEFINED, Into::into)),
                    ("reason", reason.into()),
                ]),
            ),
            _ => {}
        }
    }

    fn send(&self, frame: Outgoing<JsString, Publish>) {
        let text = self.frames.text(&frame);
        let sent = self.socket.borrow().as_ref().is_some_and(|socket| socket.send(&text));
        if !sent {
            let now = self.now();
            self.core.borrow_mut().unsent(now, frame);
        } else if let Outgoing::Publish(publish) = frame {
            publish.outcome.resolve(&js::object(&[("ok", JsValue::TRUE)]));
        }
    }

    /// Closed: nothing may keep this client alive but its handles, and nobody may wait for what will not come.
    fn let_go(&self) {
        self.page.take();
        self.timer.take();
        self.ready.reject(closed_error);
        for channel in self.channels.borrow().iter().flatten() {
            channel.ready.reject(closed_error);
        }
    }
}

/// Why a promise of `ready()` is rejected when the client closes.
pub(crate) fn closed_error() -> JsValue {
    errors::failure(&reason::DISCONNECTED.into(), "the client is closed")
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
