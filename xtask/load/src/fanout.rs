//! Publishing in a closed loop, and measuring what comes of it.

use std::{
    io::{ErrorKind, Read, Write},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::{
    FanOut, Report,
    frame::{CLOSE, Header},
    process::Process,
    reader::{Reader, Rest},
    swarm::{Life, Swarm},
    tally::{SAMPLE, Tally, data},
};

/// How long deliveries may stand still before the measurement ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often something is published that comes at a rate.
const TICK: Duration = Duration::from_millis(1);

/// How long to wait for deliveries at most before the clock is looked at.
const LONG_WAIT: Duration = Duration::from_millis(50);

/// How many bytes the publisher has waiting at most before it writes.
const BATCH: usize = 64 * 1024;

/// How long the stalled client reads at the end at most, to find out how it was closed.
const LAST_READ: Duration = Duration::from_secs(10);

/// After this long without a byte it is still open.
const SILENCE: Duration = Duration::from_secs(2);

/// How a subscriber's messages are read, and the number that it expects next.
struct Subscriber {
    reader: Reader,
    sampled: bool,
    next: Option<u64>,
}

/// What was so far at one moment.
struct Moment {
    at: Instant,
    server: Duration,
    load: Duration,
    delivered: u64,
    published: u64,
}

pub(crate) fn measure(mut swarm: Swarm, options: &FanOut) -> Result<Report> {
    let stalled = options.stalled.then(|| swarm.stall_last()).transpose()?;
    let mut run = Run::new(swarm, options);
    let mut report = run.run()?;
    if let Some(socket) = stalled {
        report.insert("stalled_close", f64::from(close_code(socket)?));
    }
    Ok(report)
}

struct Run<'a> {
    swarm: Swarm,
    options: &'a FanOut,
    server: Process,
    subscribers: Vec<Subscriber>,
    tally: Tally,
    started: Instant,
    published: u64,
    /// What each publisher's socket has not taken yet.
    pending: Vec<Vec<u8>>,
    closed: u64,
}

impl<'a> Run<'a> {
    fn new(swarm: Swarm, options: &'a FanOut) -> Self {
        let subscriber = |index: usize| {
            let sampled = index.is_multiple_of(SAMPLE);
            let reader = match swarm.dialect.split() {
                Some(split) => Reader::Stream { frames: Vec::new(), stream: Vec::new(), split },
                None if sampled => Reader::Frames(Vec::new()),
                None => Reader::Lengths(Rest::default()),
            };
            Subscriber { reader, sampled, next: None }
        };
        let subscribers = (0..swarm.subscribers()).map(subscriber).collect();
        Self {
            swarm,
            options,
            server: Process::new(options.target.pid),
            subscribers,
            tally: Tally::default(),
            started: Instant::now(),
            published: 0,
            pending: vec![Vec::new(); options.target.publishers],
            closed: 0,
        }
    }

    fn run(&mut self) -> Result<Report> {
        for index in 0..self.subscribers.len() {
            let early = std::mem::take(&mut self.swarm.client(index).buffer);
            self.take(index, &early);
        }
        let mut events = Events::with_capacity(4_096);
        let warm = Instant::now() + Duration::from_secs_f64(self.options.warmup);
        let length = Duration::from_secs_f64(self.options.seconds);
        let mut first = None;
        let mut progress = Instant::now();
        let stood_still = loop {
            let now = Instant::now();
            match &first {
                None if now >= warm => {
                    self.tally.latencies.clear();
                    first = Some(self.moment()?);
                }
                Some(Moment { at, .. }) if now.duration_since(*at) >= length => break false,
                _ => {}
            }
            self.publish()?;
            self.swarm.wait(&mut events, if self.options.rate.is_some() { TICK } else { LONG_WAIT })?;
            let before = self.tally.delivered;
            for event in events.iter().filter(|event| event.is_readable()) {
                self.read(event.token().0)?;
            }
            if self.tally.delivered != before {
                progress = Instant::now();
            } else if progress.elapsed() > PATIENCE {
                break true;
            }
        };
        let first = first.context("deliveries stood still before the measurement began")?;
        let last = self.moment()?;
        let mut report = self.report(&first, &last)?;
        report.insert("stood_still", f64::from(u8::from(stood_still)));
        Ok(report)
    }

    /// Publishes as long as fewer events than the window's are on their way, and the rate allows.
    fn publish(&mut self) -> Result<()> {
        let channels = self.options.target.channels as u64;
        let done = self.tally.delivered * channels / self.subscribers.len() as u64;
        let due = self
            .options
            .rate
            .map_or(u64::MAX, |rate| (self.started.elapsed().as_secs_f64() * f64::from(rate)) as u64);
        let most = due.min(done + self.options.window);
        while self.published < most {
            let channel = (self.published % channels) as usize;
            let pending = &mut self.pending[channel % self.options.target.publishers];
            if pending.len() >= BATCH {
                break;
            }
            let data = data(self.options.payload, self.published);
            self.swarm.dialect.publish(channel, &data, pending);
            self.published += 1;
        }
        for (number, pending) in
            self.pending.iter_mut().enumerate().filter(|(_, pending)| !pending.is_empty())
        {
            let publisher = self.swarm.publisher(number);
            match self.swarm.client(publisher).socket.write(pending) {
                Ok(size) => {
                    pending.drain(..size);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("publishing"),
            }
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<()> {
        let Self { swarm, subscribers, tally, options, .. } = self;
        let Some(subscriber) = subscribers.get_mut(index) else {
            let dialect = swarm.dialect;
            if swarm.read(index, |replies| dialect.check(replies))? == Life::Closed {
                bail!("the server closed the publisher's socket");
            }
            return Ok(());
        };
        let life = swarm.read(index, |piece| {
            subscriber.take(piece, options, tally);
            Ok(())
        })?;
        self.closed += u64::from(life == Life::Closed);
        Ok(())
    }

    fn take(&mut self, index: usize, piece: &[u8]) {
        self.subscribers[index].take(piece, self.options, &mut self.tally);
    }

    fn moment(&self) -> Result<Moment> {
        Ok(Moment {
            at: Instant::now(),
            server: self.server.cpu()?,
            load: Process::own().cpu()?,
            delivered: self.tally.delivered,
            published: self.published,
        })
    }

    fn report(&mut self, first: &Moment, last: &Moment) -> Result<Report> {
        let seconds = last.at.duration_since(first.at).as_secs_f64();
        let deliveries = (last.delivered - first.delivered) as f64;
        let server = (last.server - first.server).as_secs_f64();
        let load = (last.load - first.load).as_secs_f64();
        Ok(Report::from([
            ("deliveries_per_s", deliveries / seconds),
            ("publishes_per_s", (last.published - first.published) as f64 / seconds),
            ("cpu_us", server * 1e6 / deliveries.max(1.0)),
            ("server_busy", server / seconds),
            ("load_us", load * 1e6 / deliveries.max(1.0)),
            ("load_busy", load / seconds),
            ("p50_ms", self.tally.within(0.5)),
            ("p99_ms", self.tally.within(0.99)),
            ("p999_ms", self.tally.within(0.999)),
            ("max_ms", self.tally.within(1.0)),
            ("gaps", self.tally.gaps as f64),
            ("duplicates", self.tally.duplicates as f64),
            ("closed", self.closed as f64),
            ("resident_kb", self.server.memory_kb()?),
        ]))
    }
}

impl Subscriber {
    /// An event is told from what else a server says by its length.
    fn take(&mut self, piece: &[u8], options: &FanOut, tally: &mut Tally) {
        self.reader.read(piece, |length, message| {
            if length >= options.payload {
                tally.delivered += 1;
                if self.sampled {
                    tally.note(message, &mut self.next, options.target.channels as u64);
                }
            }
        });
    }
}

/// Reads a socket that was not read so far to its end: the code of its close frame, 1006 when it ends without
/// one, 0 when it is still open.
fn close_code(mut socket: TcpStream) -> Result<u16> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(4);
    let mut scratch = vec![0; BATCH];
    let mut buffer = Vec::new();
    let deadline = Instant::now() + LAST_READ;
    while Instant::now() < deadline {
        match socket.read(&mut scratch) {
            Ok(0) => return Ok(1006),
            Ok(size) => buffer.extend_from_slice(&scratch[..size]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll.poll(&mut events, Some(SILENCE))?;
                if events.is_empty() {
                    return Ok(0);
                }
            }
            Err(_) => return Ok(1006),
        }
        let mut used = 0;
        while let Some(header) = Header::parse(&buffer[used..]) {
            let body = used + header.size;
            let Some(bytes) = buffer.get(body..body + header.payload) else { break };
            if header.opcode == CLOSE {
                return Ok(bytes.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)));
            }
            used = body + header.payload;
        }
        buffer.drain(..used);
    }
    Ok(0)
}
