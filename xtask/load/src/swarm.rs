//! The load's sockets: connecting and subscribing them all.

use std::{
    io::{ErrorKind, Read, Write},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token, event::Event, net::TcpStream};

use crate::{
    Target,
    dialect::{Dialect, Role, Step},
    frame::{self, Header},
};

/// How many sockets are on their way at the same time. Well below any listen backlog.
const HANDSHAKES: usize = 256;

/// One address has about this many ports to connect from.
const MOST: usize = 25_000;

/// How long connecting may stand still.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much is read at once.
const READ: usize = 64 * 1024;

/// All sockets: the subscribers, behind them the publishers, and behind those the stalled one if there is one.
pub(crate) struct Swarm {
    poll: Poll,
    clients: Vec<Client>,
    subscribers: usize,
    pub(crate) dialect: &'static dyn Dialect,
    scratch: Vec<u8>,
}

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    role: Role,
    stage: Stage,
    /// What came and was not taken in. Once the client is ready it is for whoever reads on.
    pub(crate) buffer: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Upgrading,
    Greeting,
    Ready,
}

/// What reading a socket came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    Closed,
}

impl Swarm {
    /// Returns when every socket is connected, subscribed and confirmed.
    pub(crate) fn connect(target: &Target, stalled: bool) -> Result<Self> {
        let total = target.subscribers + target.publishers + usize::from(stalled);
        ensure!(total <= MOST, "at most {MOST} sockets");
        let mut swarm = Self {
            poll: Poll::new()?,
            clients: Vec::with_capacity(total),
            subscribers: target.subscribers,
            dialect: target.dialect.dialect(),
            scratch: vec![0; READ],
        };
        let mut events = Events::with_capacity(1_024);
        let mut ready = 0;
        let mut progress = Instant::now();
        while ready < total {
            while swarm.clients.len() < total && swarm.clients.len() - ready < HANDSHAKES {
                swarm.begin(target)?;
            }
            swarm.wait(&mut events, Duration::from_secs(1))?;
            let before = ready;
            for event in &events {
                ready += usize::from(swarm.advance(event, target)?);
            }
            if ready > before {
                progress = Instant::now();
            }
            ensure!(progress.elapsed() < PATIENCE, "only {ready} of {total} sockets got ready");
        }
        Ok(swarm)
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// The publisher of this number.
    pub(crate) fn publisher(&self, number: usize) -> usize {
        self.subscribers + number
    }

    pub(crate) fn client(&mut self, index: usize) -> &mut Client {
        &mut self.clients[index]
    }

    /// The last client, which is no longer read.
    pub(crate) fn stall_last(&mut self) -> Result<TcpStream> {
        let mut last = self.clients.pop().context("there are clients")?;
        self.poll.registry().deregister(&mut last.socket)?;
        Ok(last.socket)
    }

    /// Waits for events; an interrupted wait is one without events.
    pub(crate) fn wait(&mut self, events: &mut Events, timeout: Duration) -> Result<()> {
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Reads what a client's socket has, in pieces. One that is closed is not waited for any longer.
    pub(crate) fn read(&mut self, index: usize, mut piece: impl FnMut(&[u8]) -> Result<()>) -> Result<Life> {
        let socket = &mut self.clients[index].socket;
        loop {
            match socket.read(&mut self.scratch) {
                Ok(0) => break,
                Ok(size) => {
                    piece(&self.scratch[..size])?;
                    if size < READ {
                        return Ok(Life::Open);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Life::Open),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.poll.registry().deregister(socket)?;
        Ok(Life::Closed)
    }

    fn begin(&mut self, target: &Target) -> Result<()> {
        let index = self.clients.len();
        let role = match index {
            publisher if (self.subscribers..self.subscribers + target.publishers).contains(&publisher) => {
                Role::Publisher
            }
            subscriber => Role::Subscriber(subscriber % target.channels),
        };
        let address = match role {
            Role::Publisher => target.publish_to.unwrap_or(target.address),
            Role::Subscriber(_) => target.address,
        };
        let mut socket = TcpStream::connect(address).context("connecting")?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket, Token(index), interest)?;
        self.clients.push(Client { socket, role, stage: Stage::Connecting, buffer: Vec::new() });
        Ok(())
    }

    /// Whether this event made a client ready.
    fn advance(&mut self, event: &Event, target: &Target) -> Result<bool> {
        let index = event.token().0;
        let before = self.clients[index].stage;
        if before == Stage::Connecting && event.is_writable() {
            self.clients[index].greet(self.dialect, target)?;
        }
        if event.is_readable() {
            let mut received = Vec::new();
            let life = self.read(index, |piece| {
                received.extend_from_slice(piece);
                Ok(())
            })?;
            let client = &mut self.clients[index];
            client.buffer.extend_from_slice(&received);
            client.listen(self.dialect)?;
            if life == Life::Closed {
                let said = String::from_utf8_lossy(&client.buffer);
                bail!("the server closed socket {index} while it was set up: {said}");
            }
        }
        Ok(before != Stage::Ready && self.clients[index].stage == Stage::Ready)
    }
}

impl Client {
    /// Sends the upgrade request.
    fn greet(&mut self, dialect: &dyn Dialect, target: &Target) -> Result<()> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error).context("connecting");
        }
        self.socket.set_nodelay(true)?;
        let Some(path) = dialect.path(self.role) else {
            self.stage = Stage::Ready;
            return Ok(());
        };
        self.stage = Stage::Upgrading;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            target.address
        );
        self.socket.write_all(request.as_bytes()).context("sending the upgrade request")
    }

    /// Takes in what came, as long as the client is not ready.
    fn listen(&mut self, dialect: &dyn Dialect) -> Result<()> {
        loop {
            let (used, step) = match self.stage {
                Stage::Upgrading => {
                    let Some(end) = frame::head_end(&self.buffer) else { return Ok(()) };
                    let head = String::from_utf8_lossy(&self.buffer[..end]);
                    ensure!(head.starts_with("HTTP/1.1 101"), "no upgrade: {head}");
                    self.stage = Stage::Greeting;
                    (end, dialect.upgraded(self.role))
                }
                Stage::Greeting => {
                    let Some(header) = Header::parse(&self.buffer) else { return Ok(()) };
                    let end = header.size + header.payload;
                    let Some(message) = self.buffer.get(header.size..end) else { return Ok(()) };
                    (end, dialect.answer(message, self.role)?)
                }
                Stage::Connecting | Stage::Ready => return Ok(()),
            };
            self.buffer.drain(..used);
            match step {
                Step::Wait => {}
                Step::Send(bytes) => self.socket.write_all(&bytes).context("subscribing")?,
                Step::Ready => self.stage = Stage::Ready,
            }
        }
    }
}
