//! Many clients that come and go for a long time, each of which checks that it gets every event once and in order; and
//! the memory of their server meanwhile.

mod chain;
mod client;
mod memory;

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chain::data;
use client::{Client, Life, Tally, Wanted};
use memory::Memory;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use tidings_protocol::ClientFrame;

use crate::process::Process;

/// How many connections are on their way at the same time.
const HANDSHAKES: usize = 256;

/// One address has about this many ports to connect from, with those that are not free again yet.
const MOST: usize = 20_000;

/// How long all clients may take to connect, a close to be answered, and the last events to arrive.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long everything is under way before memory is looked at: queues and histories fill.
const SETTLING: Duration = Duration::from_secs(30);

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(500);

/// How often the state of things is told.
const TELL: Duration = Duration::from_secs(10);

/// How long a slow client reads nothing. It is closed some seconds after it began, and then has 30 s to read up to the close.
const SLOWNESS: Duration = Duration::from_secs(20);

/// The publishers; each has its share of the channels.
const PUBLISHERS: usize = 4;

/// Bytes of an ordinary event, and of one on the channel of the slow clients.
const SMALL: usize = 100;
const LARGE: usize = 16 * 1024;

/// Events per second on the channel of the slow clients.
const LARGE_RATE: f64 = 40.0;

/// How much is read at once.
const READ: usize = 64 * 1024;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the gateway listens; loopback only
    #[arg(long)]
    address: SocketAddr,
    /// Its process
    #[arg(long)]
    pid: u32,
    /// How many clients there are at any time
    #[arg(long, default_value_t = 15_000)]
    connections: usize,
    /// Minutes of the measurement, once all are connected
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Over how many channels they are spread
    #[arg(long, default_value_t = 150)]
    channels: usize,
    /// Events per second, over all channels
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Clients that leave in a second, and come back; twice as many subscriptions come and go
    #[arg(long, default_value_t = 50.0)]
    churn: f64,
    /// Clients that do not read
    #[arg(long, default_value_t = 10)]
    slow: usize,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Publisher,
    Reader,
    /// Reads nothing until then.
    Slow(Instant),
}

struct Connection {
    socket: TcpStream,
    client: Client,
    role: Role,
    /// Since when it waits for the answer to its close.
    leaving: Option<Instant>,
}

/// What is done besides reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    UnderWay(Instant),
    Ending,
}

struct Soak<'a> {
    options: &'a Options,
    server: Process,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Readers that come back, with what they know.
    away: VecDeque<(Instant, Vec<Wanted>)>,
    phase: Phase,
    tally: Tally,
    /// By channel; the last one is that of the slow clients.
    published: Vec<u64>,
    done: Done,
    too_slow: u64,
    scratch: Vec<u8>,
}

/// How much has been done of what comes at a rate.
#[derive(Default)]
struct Done {
    published: u64,
    large: u64,
    left: u64,
    toggled: u64,
}

/// Runs it. Says how it went, and fails when anything was wrong.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.address.ip().is_loopback(), "only loopback: {} is not", options.address);
    ensure!(options.minutes > 0.0 && options.minutes <= 60.0, "--minutes is more than 0, and 60 at most");
    ensure!(options.channels > 0, "--channels is at least 1");
    let least = options.channels.max(PUBLISHERS);
    ensure!((least..=MOST).contains(&options.connections), "--connections is from {least} to {MOST}");
    ensure!(options.slow <= 1_000, "--slow is at most 1000");
    for (name, rate) in [("rate", options.rate), ("churn", options.churn)] {
        ensure!((0.0..=100_000.0).contains(&rate), "--{name} is from 0 to 100000");
    }
    let mut soak = Soak::new(options)?;
    soak.connect_all()?;
    soak.phase = Phase::UnderWay(Instant::now());
    let mut memory = Memory::default();
    soak.go_on(SETTLING, None)?;
    soak.go_on(Duration::from_secs_f64(60.0 * options.minutes), Some(&mut memory))?;
    soak.phase = Phase::Ending;
    soak.end()?;
    soak.judge(&memory)
}

impl<'a> Soak<'a> {
    fn new(options: &'a Options) -> Result<Self> {
        Ok(Self {
            options,
            server: Process::new(options.pid),
            poll: Poll::new()?,
            connections: Vec::new(),
            free: Vec::new(),
            away: VecDeque::new(),
            phase: Phase::Connecting,
            tally: Tally::default(),
            published: vec![0; options.channels + 1],
            done: Done::default(),
            too_slow: 0,
            scratch: vec![0; READ],
        })
    }

    fn channel(number: usize) -> String {
        format!("soak.{number}")
    }

    /// A fresh subscription to the channel of this number.
    fn fresh(number: usize) -> Wanted {
        Wanted { channel: Self::channel(number), chain: None }
    }

    fn connect_all(&mut self) -> Result<()> {
        let Options { connections, slow, channels, .. } = *self.options;
        let begun = Instant::now();
        let mut events = Events::with_capacity(4_096);
        let mut next = 0;
        loop {
            let ready = self.open_connections().filter(|connection| connection.client.is_ready()).count();
            if ready == PUBLISHERS + connections + slow {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "only {ready} clients are connected");
            while next < PUBLISHERS + connections + slow && next < ready + HANDSHAKES {
                let (role, wanted) = match next {
                    n if n < PUBLISHERS => (Role::Publisher, Vec::new()),
                    // Two readers of the slow clients' channel keep up.
                    n if n < PUBLISHERS + 2 => (Role::Reader, vec![Self::fresh(channels)]),
                    n if n < PUBLISHERS + connections => (Role::Reader, vec![Self::fresh(n % channels)]),
                    n => {
                        // One after the other, so that not all queues are full at the same time.
                        let turn = (n - PUBLISHERS - connections) as u32;
                        let until = begun + SLOWNESS + SLOWNESS / 2 * turn / slow as u32;
                        (Role::Slow(until), vec![Self::fresh(channels)])
                    }
                };
                self.open(role, wanted)?;
                next += 1;
            }
            self.turn(&mut events)?;
        }
    }

    /// Goes on for so long.
    fn go_on(&mut self, length: Duration, mut memory: Option<&mut Memory>) -> Result<()> {
        let begun = Instant::now();
        let mut events = Events::with_capacity(4_096);
        let (mut sampled, mut told) = (begun, begun);
        while begun.elapsed() < length {
            self.turn(&mut events)?;
            if sampled.elapsed() >= SAMPLE {
                sampled += SAMPLE;
                let kb = self.server.memory_kb()?;
                memory.iter_mut().for_each(|memory| memory.note(kb));
                self.find_overdue();
                self.wake_the_slow()?;
            }
            if told.elapsed() >= TELL {
                told += TELL;
                self.tell(if memory.is_some() { "measured" } else { "settling" }, begun.elapsed())?;
            }
        }
        Ok(())
    }

    fn tell(&self, what: &str, time: Duration) -> Result<()> {
        let Tally { delivered, gaps, repeats, resumed, mistakes, .. } = self.tally;
        eprintln!(
            "  {what} {:>4} s: {} clients, {:.1} MB, {delivered} deliveries, {gaps} gaps, {repeats} repeats, {resumed} \
             resumed, {} too slow, {mistakes} mistakes",
            time.as_secs(),
            self.open_connections().count(),
            self.server.memory_kb()? / 1024.0,
            self.too_slow,
        );
        Ok(())
    }

    /// Waits until everything that was published has arrived.
    fn end(&mut self) -> Result<()> {
        let begun = Instant::now();
        let mut events = Events::with_capacity(4_096);
        loop {
            self.turn(&mut events)?;
            let total: u64 = self.published.iter().sum();
            let behind = self.open_connections().filter(|connection| self.is_behind(connection)).count();
            if behind == 0 && self.tally.acknowledged == total {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let acknowledged = self.tally.acknowledged;
                self.tally.mistake(format!(
                    "{behind} clients did not get the last events, and {acknowledged} of {total} publishes were acknowledged"
                ));
                return Ok(());
            }
        }
    }

    /// Whether a client that reads has yet to get something.
    fn is_behind(&self, connection: &Connection) -> bool {
        let behind = |wanted: &Wanted| {
            let number = wanted.channel.rsplit('.').next().and_then(|number| number.parse::<usize>().ok());
            let last = number.and_then(|number| self.published[number].checked_sub(1));
            wanted.chain.as_ref().is_none_or(|chain| chain.last().is_some() && chain.last() != last)
        };
        connection.role == Role::Reader
            && connection.leaving.is_none()
            && connection.client.wanted.iter().any(behind)
    }

    fn judge(mut self, memory: &Memory) -> Result<()> {
        let (first, last) = memory.thirds();
        let growth = 100.0 * (last / first - 1.0);
        eprintln!(
            "  memory: {:.1} MB in the first third, {:.1} MB in the last ({growth:+.1} %)",
            first / 1024.0,
            last / 1024.0
        );
        let Tally { delivered, gaps, repeats, resumed, recovered, acknowledged, .. } = self.tally;
        eprintln!(
            "  {acknowledged} events, {delivered} deliveries, {} clients left, {resumed} subscriptions resumed with \
             {recovered} events, {} slow clients closed",
            self.done.left, self.too_slow
        );
        if self.options.slow > 0 && self.too_slow == 0 {
            self.tally.mistake("no slow client was closed");
        }
        let mistakes = self.tally.mistakes;
        ensure!(delivered > 0 || self.options.rate == 0.0, "nothing was delivered");
        ensure!(gaps == 0 && repeats == 0, "{gaps} gaps and {repeats} repeats");
        ensure!(mistakes == 0, "{mistakes} mistakes");
        ensure!(memory.is_flat(), "memory grows");
        Ok(())
    }

    fn open_connections(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().flatten()
    }

    fn open(&mut self, role: Role, wanted: Vec<Wanted>) -> Result<()> {
        let address = self.options.address;
        let request = format!(
            "GET /_broadcast HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        let mut socket = TcpStream::connect(address).context("connecting")?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.poll.registry().register(&mut socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        let client = Client::new(&request, wanted);
        self.connections[index] = Some(Connection { socket, client, role, leaving: None });
        Ok(())
    }

    /// Drops a connection; what its client wanted.
    fn drop(&mut self, index: usize) -> Vec<Wanted> {
        let Some(connection) = self.connections[index].take() else { return Vec::new() };
        self.free.push(index);
        connection.client.wanted
    }

    /// One look at the sockets, and what is due.
    fn turn(&mut self, events: &mut Events) -> Result<()> {
        match self.poll.poll(events, Some(Duration::from_millis(10))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in events.iter() {
            let index = event.token().0;
            if event.is_readable() {
                self.read(index)?;
            }
            self.flush(index);
        }
        let now = Instant::now();
        while self.away.front().is_some_and(|(back, _)| *back <= now) {
            let (_, wanted) = self.away.pop_front().context("there is one")?;
            self.open(Role::Reader, wanted)?;
        }
        match self.phase {
            Phase::UnderWay(since) => self.disturb(now - since),
            Phase::Connecting | Phase::Ending => Ok(()),
        }
    }

    fn read(&mut self, index: usize) -> Result<()> {
        loop {
            let Some(Connection { socket, client, role, leaving }) = &mut self.connections[index] else {
                return Ok(());
            };
            if matches!(role, Role::Slow(until) if client.is_ready() && *until > Instant::now()) {
                return Ok(());
            }
            match socket.read(&mut self.scratch) {
                Ok(0) => {
                    let role = *role;
                    self.tally.mistake(format!("a connection of a {role:?} ended without a close frame"));
                    return self.leave(index);
                }
                Ok(size) => match (client.hear(&self.scratch[..size], &mut self.tally), *role) {
                    (Life::Open, _) => {}
                    (Life::Closed(4008), Role::Slow(_)) => {
                        self.too_slow += 1;
                        let wanted = self
                            .drop(index)
                            .into_iter()
                            .map(|wanted| Wanted { chain: None, ..wanted })
                            .collect();
                        return self.open(Role::Slow(Instant::now() + SLOWNESS), wanted);
                    }
                    (Life::Closed(code), role) => {
                        if code != 1000 || leaving.is_none() {
                            self.tally.mistake(format!("a {role:?} was closed with {code}"));
                        }
                        return self.leave(index);
                    }
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.tally.mistake(format!("a connection was lost: {error}"));
                    return self.leave(index);
                }
            }
        }
    }

    fn flush(&mut self, index: usize) {
        let Some(Connection { socket, client, .. }) = &mut self.connections[index] else { return };
        while !client.out.is_empty() {
            match socket.write(&client.out) {
                Ok(size) => drop(client.out.drain(..size)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What is wrong with it, reading tells.
                Err(_) => return,
            }
        }
    }

    /// A reader goes, and comes back after a while: half of them to where they were.
    fn leave(&mut self, index: usize) -> Result<()> {
        let role = self.connections[index].as_ref().map(|connection| connection.role);
        let mut wanted = self.drop(index);
        if role == Some(Role::Reader) {
            let afresh = fastrand::bool();
            // Of the slow clients' channel more goes by meanwhile than is kept.
            let large = Self::channel(self.options.channels);
            for wanted in wanted.iter_mut().filter(|wanted| afresh || wanted.channel == large) {
                wanted.chain = None;
            }
            let back = Instant::now() + Duration::from_millis(1_500);
            self.away.push_back((back, wanted));
        }
        ensure!(role != Some(Role::Publisher), "a publisher was closed");
        Ok(())
    }

    /// Does what is due after so long.
    fn disturb(&mut self, time: Duration) -> Result<()> {
        let due = |rate: f64| (time.as_secs_f64() * rate) as u64;
        let channels = self.options.channels;
        while self.done.published < due(self.options.rate) {
            self.publish((self.done.published % channels as u64) as usize, SMALL);
            self.done.published += 1;
        }
        while self.done.large < due(LARGE_RATE) {
            self.publish(channels, LARGE);
            self.done.large += 1;
        }
        while self.done.toggled < due(2.0 * self.options.churn) {
            self.done.toggled += 1;
            self.toggle();
        }
        while self.done.left < due(self.options.churn) {
            self.done.left += 1;
            self.send_one_away()?;
        }
        Ok(())
    }

    fn publish(&mut self, channel: usize, size: usize) {
        // The publishers were the first to connect, and stay.
        let index = channel % PUBLISHERS;
        let sequence = self.published[channel];
        let Some(connection) = &mut self.connections[index] else { return };
        self.published[channel] += 1;
        connection.client.say(&ClientFrame::Pub {
            channel: &Self::channel(channel),
            event: "soak",
            data: Some(&data(sequence, size)),
            request: Some(sequence),
            key: None,
        });
        self.flush(index);
    }

    /// Some reader that is connected and subscribed.
    fn anyone(&mut self) -> Option<usize> {
        (0..100).map(|_| fastrand::usize(..self.connections.len())).find(|index| {
            self.connections[*index].as_ref().is_some_and(|connection| {
                connection.role == Role::Reader
                    && connection.leaving.is_none()
                    && connection.client.is_ready()
            })
        })
    }

    /// A subscription comes, or goes.
    fn toggle(&mut self) {
        let Some(index) = self.anyone() else { return };
        let Some(Connection { client, .. }) = &mut self.connections[index] else { return };
        match client.wanted.get(1).map(|second| second.channel.clone()) {
            Some(second) => client.unsubscribe(&second),
            None => {
                let other = Self::fresh(fastrand::usize(..self.options.channels));
                if client.wanted.iter().all(|wanted| wanted.channel != other.channel) {
                    client.subscribe(other);
                }
            }
        }
        self.flush(index);
    }

    /// Half of them say so.
    fn send_one_away(&mut self) -> Result<()> {
        let Some(index) = self.anyone() else { return Ok(()) };
        if fastrand::bool() {
            return self.leave(index);
        }
        if let Some(connection) = &mut self.connections[index] {
            connection.leaving = Some(Instant::now());
            connection.client.say_goodbye();
        }
        self.flush(index);
        Ok(())
    }

    /// Has those read who have been slow for long enough: their sockets said long ago that there is something.
    fn wake_the_slow(&mut self) -> Result<()> {
        let awake =
            |connection: &Connection| matches!(connection.role, Role::Slow(until) if until <= Instant::now());
        for index in 0..self.connections.len() {
            if self.connections[index].as_ref().is_some_and(awake) {
                self.read(index)?;
            }
        }
        Ok(())
    }

    /// Finds those whose close is not answered.
    fn find_overdue(&mut self) {
        let overdue =
            |connection: &&Connection| connection.leaving.is_some_and(|since| since.elapsed() > PATIENCE);
        let count = self.open_connections().filter(overdue).count();
        if count > 0 {
            self.tally.mistake(format!("{count} closes were not answered"));
        }
    }
}
