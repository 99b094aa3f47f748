//! A client: the package's core over a real socket, with a clock that may be fast.

use crate::{
    frames::read,
    record::{Entry, Log, Spot},
};
use futures_util::{SinkExt, StreamExt};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};
use tidings_client_core::{
    ChannelId, ChannelState, Closed, Core, Effect, Options, Outgoing, PageChange, SocketId, Weight,
};
use tidings_protocol::{ClientFrame, ServerFrame};
use tokio::{
    select,
    sync::{Notify, mpsc},
    task::{JoinHandle, spawn_local},
    time::{Instant, sleep},
};
use tokio_tungstenite::tungstenite::Message;

/// A publish. Its name is its event's name, and its idempotency key.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) channel: &'static str,
    pub(crate) name: String,
}

impl Weight for Note {
    fn bytes(&self) -> usize {
        60
    }
}

struct Socket {
    id: SocketId,
    out: mpsc::UnboundedSender<String>,
    task: JoinHandle<()>,
}

pub(crate) struct Client {
    number: usize,
    address: SocketAddr,
    /// By how much its clock is fast.
    speed: u64,
    started: Instant,
    core: RefCell<Core<String, String, String, Note>>,
    names: RefCell<HashMap<String, ChannelId>>,
    socket: RefCell<Option<Socket>>,
    wake: Notify,
    published: Cell<u64>,
    pub(crate) log: RefCell<Log>,
}

impl Client {
    /// A client that connects at once.
    pub(crate) fn start(number: usize, address: SocketAddr, speed: u64) -> Rc<Self> {
        let client = Rc::new(Self {
            number,
            address,
            speed,
            started: Instant::now(),
            core: RefCell::new(Core::new(Options::default(), Box::new(fastrand::f64))),
            names: RefCell::default(),
            socket: RefCell::default(),
            wake: Notify::new(),
            published: Cell::default(),
            log: RefCell::default(),
        });
        client.input(None, |core, now| core.connect(now));
        spawn_local(client.clone().tick());
        client
    }

    pub(crate) fn subscribe(self: &Rc<Self>, channel: &str) {
        let id = self.core.borrow_mut().subscribe(None, channel.to_owned());
        self.names.borrow_mut().insert(channel.to_owned(), id);
        self.carry_out(None);
    }

    pub(crate) fn publish(self: &Rc<Self>, channel: &'static str) {
        let name = format!("{}.{}", self.number, self.published.get());
        self.published.set(self.published.get() + 1);
        self.log.borrow_mut().published(channel, &name);
        self.input(None, |core, now| core.publish(now, Note { channel, name }));
    }

    /// The network is back: what was dead is found out.
    pub(crate) fn online(self: &Rc<Self>) {
        self.input(None, |core, now| core.page(now, PageChange::Online));
    }

    pub(crate) fn is_live(&self) -> bool {
        let core = self.core.borrow();
        self.names.borrow().values().all(|id| core.channel_state(*id) == Some(ChannelState::Subscribed))
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64 * self.speed
    }

    async fn tick(self: Rc<Self>) {
        loop {
            let due = self.core.borrow().deadline();
            let wait = due.map_or(3_600_000, |due| due.saturating_sub(self.now()) / self.speed + 1);
            select! {
                () = self.wake.notified() => {}
                () = sleep(Duration::from_millis(wait)) => {
                    if let Some(due) = due {
                        self.input(None, |core, now| core.timer(now, due));
                    }
                }
            }
        }
    }

    fn input(
        self: &Rc<Self>,
        told: Option<Spot>,
        tell: impl FnOnce(&mut Core<String, String, String, Note>, u64),
    ) {
        tell(&mut self.core.borrow_mut(), self.now());
        self.carry_out(told);
    }

    /// Does what the core wants. `told`: where the frame that it was given says that a channel goes on.
    fn carry_out(self: &Rc<Self>, told: Option<Spot>) {
        self.wake.notify_one();
        loop {
            let Some(effect) = self.core.borrow_mut().poll() else { return };
            let mut log = self.log.borrow_mut();
            match effect {
                Effect::Connect { socket } => {
                    let (out, texts) = mpsc::unbounded_channel();
                    let task = spawn_local(self.clone().run(socket, texts));
                    *self.socket.borrow_mut() = Some(Socket { id: socket, out, task });
                }
                Effect::Close { .. } => {
                    if let Some(socket) = self.socket.take() {
                        socket.task.abort();
                    }
                }
                Effect::Send(frame) => {
                    let text = encode(&frame);
                    let socket = self.socket.borrow();
                    if socket.as_ref().is_none_or(|socket| socket.out.send(text).is_err()) {
                        self.core.borrow_mut().unsent(self.now(), &frame);
                    }
                }
                Effect::Acknowledged { frame, id, offset } => log.acknowledged(&frame.name, id, offset),
                Effect::Dropped { frame, reason } => log.dropped(&frame.name, reason),
                Effect::Deliver { channel, event, id, .. } => {
                    assert!(id.is_none(), "every channel has a history");
                    log.push(channel, Entry::Event(event));
                }
                Effect::Gap { channel, why } => log.push(channel, Entry::Gap(why, told.clone())),
                Effect::Subscribed(channel) => {
                    let spot = told.clone().expect("an `ok` with a position");
                    log.push(channel, Entry::Live(spot));
                }
                Effect::Denied { channel, reason } => panic!("{channel}: {reason}"),
                Effect::Opened => log.opened.push(Instant::now()),
                Effect::Drain { .. } => log.drained += 1,
                _ => {}
            }
        }
    }

    /// A socket, from the attempt to its end.
    async fn run(self: Rc<Self>, id: SocketId, mut texts: mpsc::UnboundedReceiver<String>) {
        let url = format!("ws://{}/_broadcast", self.address);
        let Ok((mut socket, _)) = tokio_tungstenite::connect_async(url).await else {
            return self.ended(id, 1006);
        };
        loop {
            select! {
                text = texts.recv() => {
                    let Some(text) = text else { return };
                    if socket.send(Message::text(text)).await.is_err() {
                        return self.ended(id, 1006);
                    }
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.receive(id, &text),
                    Some(Ok(Message::Close(frame))) => {
                        let code = frame.map_or(1005, |frame| frame.code.into());
                        // Answers it.
                        drop(socket.flush().await);
                        return self.ended(id, code);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return self.ended(id, 1006),
                },
            }
        }
    }

    fn ended(self: &Rc<Self>, id: SocketId, code: u16) {
        self.socket.borrow_mut().take_if(|socket| socket.id == id);
        let closed = Closed { code, reason: String::new(), clean: code != 1006 };
        self.input(None, |core, now| core.closed(now, id, closed));
    }

    fn receive(self: &Rc<Self>, id: SocketId, text: &str) {
        let frame = read(text);
        let told = match &frame {
            Some(ServerFrame::Ok { position, .. }) => position.clone(),
            Some(ServerFrame::Gap { position, .. }) => Some(position.clone()),
            _ => None,
        };
        let told = told.map(|position| (position.epoch, position.offset));
        let names = self.names.borrow().clone();
        self.input(told, |core, now| core.receive(now, id, frame, |name| names.get(name).copied()));
    }
}

fn encode(frame: &Outgoing<String, String, Note>) -> String {
    match frame {
        Outgoing::Pong => ClientFrame::<&str, &str>::Pong.to_json(),
        Outgoing::Subscribe { channel, resume } => {
            let resume = resume.as_ref().map(|at| at.as_deref());
            ClientFrame::<&str, &str>::Sub { channel, resume }.to_json()
        }
        Outgoing::Unsubscribe(channel) => ClientFrame::<&str, &str>::Unsub { channel }.to_json(),
        Outgoing::Publish { frame: Note { channel, name }, request } => ClientFrame::<&str, &str>::Pub {
            channel,
            event: name,
            data: None,
            request: *request,
            key: request.map(|_| &**name),
        }
        .to_json(),
        Outgoing::History { .. } => panic!("nobody asks for history"),
        Outgoing::Authenticate { .. } => panic!("nobody has a token"),
    }
}
