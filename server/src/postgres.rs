//! The broadcaster over a ledger in PostgreSQL.

mod config;
mod horizon;
mod keeper;
mod ledger;
mod link;
mod past;
mod reader;
mod reconnecting;
mod schema;
mod tls;
mod writer;

pub use config::PostgresOptions;

use crate::{
    BoxError, BroadcastError, Broadcaster, Event, Histories, Page, Published, Range, Sink, Subscription,
    listeners::{Key, Listeners},
};
use futures_util::future::BoxFuture;
use ledger::Ledger;
use link::{Link, PATIENCE};
use parking_lot::Mutex;
use past::Past;
use reader::{Reader, Wish};
use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, timeout},
};
use writer::{Job, Writer};

/// Subscriptions that may wait to begin; above it they are refused.
const WISHES: usize = 65_536;

/// Carries events between gateways by a table of PostgreSQL. Any program can publish by a plain `INSERT` into it, within its
/// own transaction.
///
/// An event is accepted when its transaction is committed, and the order of commits is the order of delivery. While the
/// database cannot be reached subscribers stay and publishes fail, within 5 seconds; what is committed meanwhile follows.
/// After a failover, or when the database has lost what it had accepted, the epoch is another one and everybody is told.
pub struct PostgresBroadcaster {
    shared: Arc<Shared>,
    past: Past,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    wishes: mpsc::Sender<Wish>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What the driver's parts have in common.
struct Shared {
    config: PostgresOptions,
    histories: Histories,
    ledger: Ledger,
    listeners: Listeners,
    epoch: Mutex<Arc<str>>,
    /// Added to the epoch of an existing ledger, which has no place for one.
    suffix: Mutex<String>,
    known: Mutex<Option<Known>>,
    /// There may be something to read.
    wake: Arc<Notify>,
    /// Who this is to the other gateways.
    node: String,
    /// How often the link of who reads has come back after it was lost.
    returns: AtomicU64,
    down: Mutex<Option<String>>,
    closed: watch::Sender<bool>,
}

/// The highest id that was read or accepted here, which the ledger must still have.
#[derive(Clone)]
struct Known {
    id: i64,
    event_id: String,
    at: Instant,
}

impl Shared {
    fn epoch(&self) -> Arc<str> {
        self.epoch.lock().clone()
    }

    fn set_epoch(&self, root: &str) {
        *self.epoch.lock() = self.dress(root);
    }

    /// The epoch that the server's word makes.
    fn dress(&self, root: &str) -> Arc<str> {
        format!("{root}{}", self.suffix.lock()).into()
    }

    fn renew_locally(&self) {
        *self.suffix.lock() = format!("-{:08x}", fastrand::u32(..));
    }

    fn know(&self, id: i64, event_id: &str) {
        let known = &mut *self.known.lock();
        if known.as_ref().is_none_or(|known| known.id < id) {
            *known = Some(Known { id, event_id: event_id.to_owned(), at: Instant::now() });
        }
    }

    fn know_only(&self, id: i64, event_id: Option<String>) {
        *self.known.lock() = event_id.map(|event_id| Known { id, event_id, at: Instant::now() });
    }

    fn returns(&self) -> u64 {
        self.returns.load(Ordering::Relaxed)
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender is `self`.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    fn open(&self) -> Result<(), BroadcastError> {
        if self.is_closed() { Err(BroadcastError::Closed) } else { Ok(()) }
    }
}

/// Ends a subscription when it is dropped.
struct Unsubscribe {
    shared: Arc<Shared>,
    channel: Arc<str>,
    key: Key,
}

impl Drop for Unsubscribe {
    fn drop(&mut self) {
        self.shared.listeners.remove(&self.channel, self.key);
    }
}

/// What the server or the library says, without what it says around it.
fn words(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(db), _) => db.message().to_owned(),
        (None, Some(source)) => source.to_string(),
        (None, None) => error.to_string(),
    }
}

fn boxed(reason: impl Into<String>) -> BoxError {
    reason.into().into()
}

impl PostgresBroadcaster {
    async fn start(config: PostgresOptions, histories: Histories) -> Result<Self, BroadcastError> {
        let node = format!("{:016x}", fastrand::u64(..));
        let ledger = Ledger::new(&config.table, config.existing, &node);
        let reading = Link::open(&config, None).await.map_err(BroadcastError::Config)?;
        config.table.check(&reading.client, config.existing).await?;
        let writing = Link::open(&config, None).await.map_err(BroadcastError::Config)?;
        let shared = Arc::new(Shared {
            config,
            histories,
            ledger,
            listeners: Listeners::default(),
            epoch: Mutex::new("".into()),
            suffix: Mutex::default(),
            known: Mutex::default(),
            wake: Arc::default(),
            node,
            returns: AtomicU64::new(0),
            down: Mutex::default(),
            closed: watch::Sender::new(false),
        });
        let (jobs, queue) = mpsc::channel(writer::QUEUE);
        let (wishes, wanted) = mpsc::channel(WISHES);
        let reader = Reader::begin(shared.clone(), wanted, &reading).await.map_err(BroadcastError::Config)?;
        let tasks = vec![
            tokio::spawn(reader.run(reading)),
            tokio::spawn(Writer::new(shared.clone(), queue, writing).run()),
            tokio::spawn(keeper::listen(shared.clone())),
            tokio::spawn(keeper::rotate(shared.clone())),
        ];
        let past = Past::new(shared.clone());
        Ok(Self { shared, past, jobs: Mutex::new(Some(jobs)), wishes, tasks: Mutex::new(tasks) })
    }

    async fn publish_now(&self, channel: &str, event: Event) -> Result<Published, BroadcastError> {
        if channel.contains('\0') || event.name().contains('\0') {
            return Err(BroadcastError::Publish(boxed("a channel and an event's name have no NUL")));
        }
        let (said, answer) = oneshot::channel();
        let job = Job { channel: channel.to_owned(), event, said };
        match self.jobs.lock().as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => {}
            Some(Err(mpsc::error::TrySendError::Full(_))) => {
                return Err(BroadcastError::Publish(boxed("too many publishes wait for PostgreSQL")));
            }
            _ => return Err(BroadcastError::Closed),
        }
        match timeout(PATIENCE, answer).await {
            Ok(Ok(said)) => said.map_err(|reason| BroadcastError::Publish(boxed(reason))),
            Ok(Err(_)) => Err(BroadcastError::Closed),
            Err(_) => Err(BroadcastError::Publish(boxed("PostgreSQL does not answer"))),
        }
    }

    async fn subscribe_now(&self, channel: Arc<str>, sink: Sink) -> Result<Subscription, BroadcastError> {
        self.shared.open()?;
        let (begun, beginning) = oneshot::channel();
        if self.wishes.try_send(Wish { channel, sink, begun }).is_err() {
            self.shared.open()?;
            return Err(BroadcastError::Subscribe(boxed("too many subscriptions wait for PostgreSQL")));
        }
        match timeout(PATIENCE, beginning).await {
            Ok(Ok(subscription)) => Ok(subscription),
            Ok(Err(_)) => Err(BroadcastError::Closed),
            Err(_) => {
                let reason = self.shared.down.lock().clone();
                let reason = reason.unwrap_or_else(|| "PostgreSQL does not answer".to_owned());
                Err(BroadcastError::Subscribe(boxed(reason)))
            }
        }
    }
}

impl fmt::Debug for PostgresBroadcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBroadcaster").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Broadcaster for PostgresBroadcaster {
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        event: Event,
    ) -> BoxFuture<'a, Result<Published, BroadcastError>> {
        Box::pin(self.publish_now(channel, event))
    }

    fn subscribe(
        &self,
        channel: Arc<str>,
        sink: Sink,
    ) -> BoxFuture<'_, Result<Subscription, BroadcastError>> {
        Box::pin(self.subscribe_now(channel, sink))
    }

    fn history<'a>(
        &'a self,
        channel: &'a str,
        range: Range,
    ) -> BoxFuture<'a, Result<Option<Page>, BroadcastError>> {
        Box::pin(async move {
            self.shared.open()?;
            self.past.page(channel, range).await
        })
    }

    fn unavailable(&self) -> Option<String> {
        self.shared.down.lock().clone()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // Without senders the writer ends once it has written everything.
            self.jobs.lock().take();
            self.shared.listeners.clear();
            self.shared.closed.send_replace(true);
            let tasks = std::mem::take(&mut *self.tasks.lock());
            for mut task in tasks {
                if timeout(2 * PATIENCE, &mut task).await.is_err() {
                    task.abort();
                }
            }
            self.past.close().await;
        })
    }
}

impl Drop for PostgresBroadcaster {
    fn drop(&mut self) {
        for task in &*self.tasks.lock() {
            task.abort();
        }
    }
}
