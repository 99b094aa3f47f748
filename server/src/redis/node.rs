//! A node's link to Redis: kept alive, and its subscriptions on it.

use super::{
    RedisOptions,
    link::{Link, LinkError},
    reader::Reader,
};
use crate::{
    BroadcastError, Event, Histories, Page, Published, Range, backoff::Backoff, listeners::Listeners,
};
use futures_util::future::{Either, join_all, select};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How many channels are subscribed with one command.
const BATCH: usize = 500;

/// How many publishes and reads may be on their way; more are refused.
const IN_FLIGHT: u32 = 65_536;

/// How often every channel is compared with Redis though nothing has happened: far more often than Redis forgets one.
const REVIEW: Duration = Duration::from_secs(6 * 3_600);

/// One node.
pub(super) struct Node {
    reader: Arc<Reader>,
    state: Mutex<State>,
    requests: mpsc::UnboundedSender<Request>,
    in_flight: Semaphore,
    closed: AtomicBool,
    stop: CancellationToken,
}

enum State {
    Up(Arc<Link>),
    Down(String),
}

/// What the subscribing task is asked. The queue holds no more than the calls that wait for an answer, and one `Leave` for
/// each subscription that there was.
enum Request {
    Join(Arc<str>, oneshot::Sender<Result<(), LinkError>>),
    Leave(Arc<str>),
}

impl Node {
    pub(super) async fn start(
        options: RedisOptions,
        histories: Histories,
    ) -> Result<Arc<Self>, BroadcastError> {
        let (requests, queue) = mpsc::unbounded_channel();
        let node = Arc::new(Self {
            reader: Arc::new(Reader::new(Arc::new(options), histories)),
            state: Mutex::new(State::Down("not connected yet".to_owned())),
            requests,
            in_flight: Semaphore::new(IN_FLIGHT as usize),
            closed: AtomicBool::new(false),
            stop: CancellationToken::new(),
        });
        let link = node.connect(0).await?;
        link.try_rights().await?;
        *node.state.lock() = State::Up(link.clone());
        tokio::spawn(node.clone().run(link, queue));
        Ok(node)
    }

    pub(super) fn options(&self) -> &RedisOptions {
        &self.reader.options
    }

    pub(super) fn listeners(&self) -> &Listeners {
        &self.reader.listeners
    }

    pub(super) fn open(&self) -> Result<(), BroadcastError> {
        if self.closed.load(Ordering::Acquire) { Err(BroadcastError::Closed) } else { Ok(()) }
    }

    fn link(&self) -> Result<Arc<Link>, LinkError> {
        match &*self.state.lock() {
            State::Up(link) => link.alive().map(|()| link.clone()),
            State::Down(why) => Err(LinkError::Lost(why.clone())),
        }
    }

    pub(super) fn unavailable(&self) -> Option<String> {
        self.link().err().map(|error| error.to_string())
    }

    /// Awaits nothing before the event is on its way: that keeps the order of publishes.
    pub(super) async fn publish(&self, channel: &str, event: Event) -> Result<Published, BroadcastError> {
        self.open()?;
        let Ok(_permit) = self.in_flight.try_acquire() else {
            return Err(BroadcastError::Publish("too many publishes wait for Redis".into()));
        };
        let published =
            async { self.link()?.publish(channel, event, self.reader.histories.get(channel)).await };
        published.await.map_err(|error| BroadcastError::Publish(error.into()))
    }

    pub(super) async fn history(&self, channel: &str, range: Range) -> Result<Option<Page>, BroadcastError> {
        self.open()?;
        let history = self.reader.histories.get(channel);
        if history.is_off() {
            return Ok(None);
        }
        let Ok(_permit) = self.in_flight.try_acquire() else {
            return Err(BroadcastError::History("too many reads wait for Redis".into()));
        };
        let past = async { self.link()?.read(&channel.into(), range, history).await };
        past.await.map(|past| Some(past.page)).map_err(|error| BroadcastError::History(error.into()))
    }

    /// Waits until `channel`, which has a sink, has started.
    pub(super) async fn join(&self, channel: &Arc<str>) -> Result<(), BroadcastError> {
        if self.listeners().has_started(channel) == Some(true) {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        let asked = self.link().and_then(|_| {
            let request = Request::Join(channel.clone(), done);
            self.requests.send(request).map_err(|_| LinkError::Lost("closed".to_owned()))
        });
        let joined = match asked {
            Ok(()) => match tokio::time::timeout(self.options().timeout * 2, answer).await {
                Ok(Ok(joined)) => joined,
                Ok(Err(_)) => {
                    self.open()?;
                    Err(LinkError::Lost(self.unavailable().unwrap_or_default()))
                }
                Err(_) => Err(LinkError::Lost("no answer".to_owned())),
            },
            Err(error) => Err(error),
        };
        joined.map_err(|error| BroadcastError::Subscribe(error.into()))
    }

    pub(super) fn leave(&self, channel: Arc<str>) {
        // Without the task there is nothing left to leave.
        let _ = self.requests.send(Request::Leave(channel));
    }

    pub(super) fn stop(&self) {
        self.closed.store(true, Ordering::Release);
        self.stop.cancel();
    }

    /// Waits for what is on its way.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let flushed = self.in_flight.acquire_many(IN_FLIGHT);
        let _ = tokio::time::timeout(self.options().timeout * 2, flushed).await;
        self.stop();
        self.listeners().clear();
        *self.state.lock() = State::Down("closed".to_owned());
    }

    async fn connect(&self, generation: u64) -> Result<Arc<Link>, BroadcastError> {
        let reader = self.reader.clone();
        let this = Arc::new(Mutex::new(std::sync::Weak::new()));
        let itself = this.clone();
        let push = move |push, loss: &_| {
            let link = itself.lock().clone();
            reader.pushed(generation, &link, &push, loss);
        };
        let link = Link::connect(self.reader.options.clone(), push).await?;
        *this.lock() = Arc::downgrade(&link);
        Ok(link)
    }

    /// Keeps the link for the life of the node.
    async fn run(self: Arc<Self>, first: Arc<Link>, mut queue: mpsc::UnboundedReceiver<Request>) {
        let stop = self.stop.clone();
        let keep = async {
            let (mut link, mut generation) = (first, 0);
            loop {
                let why = self.serve(generation, &link, &mut queue).await;
                link.lose(&*why);
                *self.state.lock() = State::Down(why.clone());
                warn!(address = self.options().address, why, "the link to Redis is lost");
                generation += 1;
                link = self.reconnect(generation).await;
                info!(address = self.options().address, "the link to Redis is back");
            }
        };
        stop.run_until_cancelled(keep).await;
        *self.state.lock() = State::Down("closed".to_owned());
    }

    async fn reconnect(&self, generation: u64) -> Arc<Link> {
        let mut backoff = Backoff::default();
        loop {
            tokio::time::sleep(backoff.next()).await;
            match self.connect(generation).await {
                Ok(link) => return link,
                Err(error) => *self.state.lock() = State::Down(error.to_string()),
            }
        }
    }

    /// Uses `link` until it is lost, and says why it was.
    async fn serve(
        &self,
        generation: u64,
        link: &Arc<Link>,
        queue: &mut mpsc::UnboundedReceiver<Request>,
    ) -> String {
        let mut session = Session { node: self, generation, link, subscribed: HashSet::new() };
        let serving = pin!(session.run(queue));
        match select(pin!(link.lost()), serving).await {
            Either::Left((why, _)) => why,
            Either::Right(((), _)) => "closed".to_owned(),
        }
    }
}

/// What is subscribed on one link.
struct Session<'a> {
    node: &'a Node,
    generation: u64,
    link: &'a Arc<Link>,
    subscribed: HashSet<Arc<str>>,
}

impl Session<'_> {
    async fn run(&mut self, queue: &mut mpsc::UnboundedReceiver<Request>) {
        let (node, weak) = (self.node, Arc::downgrade(self.link));
        let behind = node.reader.begin(self.generation);
        let listeners = node.listeners();
        let all = listeners.channels().into_iter().map(|(channel, _)| channel);
        // Whoever waits for one that has not started asks for it.
        let all = all.filter(|channel| listeners.has_started(channel) == Some(true)).collect();
        for (channel, error) in self.subscribe(all).await {
            // Not told in silence: the link is no good for this channel, so it is for none.
            self.link.lose(format!("channel {channel:?} was not subscribed: {error}"));
        }
        node.reader.spawn_catch_up(self.generation, &weak, behind);
        *node.state.lock() = State::Up(self.link.clone());
        let (mut probe_at, mut review_at) = (Instant::now() + node.options().probe, Instant::now() + REVIEW);
        let mut batch = Vec::new();
        loop {
            let received = tokio::time::timeout_at(probe_at, queue.recv_many(&mut batch, BATCH)).await;
            match received {
                Ok(0) => return,
                Ok(_) => self.answer(batch.drain(..)).await,
                Err(_) => {
                    self.link.probe().await;
                    probe_at = Instant::now() + node.options().probe;
                }
            }
            if Instant::now() >= review_at {
                let behind = node.reader.begin(self.generation);
                node.reader.spawn_catch_up(self.generation, &weak, behind);
                review_at = Instant::now() + REVIEW;
            }
        }
    }

    async fn answer(&mut self, batch: impl Iterator<Item = Request>) {
        let (mut joining, mut leaving) = (Vec::new(), HashSet::new());
        for request in batch {
            match request {
                Request::Join(channel, done) => joining.push((channel, done)),
                Request::Leave(channel) => drop(leaving.insert(channel)),
            }
        }
        self.leave(leaving).await;
        let listeners = self.node.listeners();
        let waiting: HashSet<_> = joining
            .iter()
            .map(|(channel, _)| channel.clone())
            .filter(|channel| listeners.has_started(channel) == Some(false))
            .collect();
        let new = waiting.iter().filter(|channel| !self.subscribed.contains(*channel)).cloned().collect();
        let mut failed: HashMap<_, _> = self.subscribe(new).await.into_iter().collect();
        let starting = waiting.iter().filter(|channel| !failed.contains_key(*channel));
        let started = join_all(starting.map(|channel| self.begin(channel))).await;
        failed.extend(started.into_iter().flatten());
        for (channel, done) in joining {
            let failure = failed.get(&channel).map(|error| LinkError::Unreadable(error.clone()));
            // Who asked may have gone.
            let _ = done.send(failure.map_or(Ok(()), Err));
        }
    }

    /// Starts `channel` where it is now; or, what prevents it.
    async fn begin(&self, channel: &Arc<str>) -> Option<(Arc<str>, String)> {
        let history = self.node.reader.histories.get(channel);
        let end = Range::After { offset: u64::MAX, limit: 0 };
        let begin = if history.is_off() {
            None
        } else {
            match self.link.read(channel, end, history).await {
                Ok(past) => Some((past.page.end, past.last)),
                Err(error) => return Some((channel.clone(), error.to_string())),
            }
        };
        self.node.reader.start(self.generation, &Arc::downgrade(self.link), channel, begin);
        None
    }

    /// Those that are refused, with what Redis says.
    async fn subscribe(&mut self, channels: Vec<Arc<str>>) -> Vec<(Arc<str>, String)> {
        let mut refused = Vec::new();
        for batch in channels.chunks(BATCH) {
            // One channel that is refused takes its whole batch with it.
            let singly = match self.link.subscribe("SUBSCRIBE", batch).await {
                Ok(()) => false,
                Err(LinkError::Lost(why)) => {
                    refused.extend(channels.iter().map(|channel| (channel.clone(), why.clone())));
                    return refused;
                }
                Err(_) => true,
            };
            for channel in batch {
                if singly
                    && let Err(error) = self.link.subscribe("SUBSCRIBE", std::slice::from_ref(channel)).await
                {
                    refused.push((channel.clone(), error.to_string()));
                } else {
                    self.subscribed.insert(channel.clone());
                }
            }
        }
        refused
    }

    async fn leave(&mut self, channels: HashSet<Arc<str>>) {
        let listeners = self.node.listeners();
        let gone: Vec<_> = channels
            .into_iter()
            .filter(|channel| listeners.has_started(channel).is_none() && self.subscribed.remove(channel))
            .collect();
        for batch in gone.chunks(BATCH) {
            if let Err(error) = self.link.subscribe("UNSUBSCRIBE", batch).await {
                warn!(%error, "channels were not unsubscribed");
            }
        }
    }
}
