//! The broadcaster over JetStream of NATS: many processes, a cluster of servers.

mod feed;
mod keeper;
mod link;
mod options;
mod past;
mod publish;
mod stream;
mod subject;
mod witness;

use crate::{
    BoxError, BroadcastError, Broadcaster, Event, Histories, Page, Published, Range, Sink, Subscription,
    envelope,
    listeners::{Key, Listeners},
};
use ahash::RandomState;
use async_nats::jetstream::message::PublishMessage;
use feed::{Feed, Known};
use futures_util::future::BoxFuture;
use link::Link;
pub use options::{NatsLogin, NatsOptions};
use parking_lot::Mutex;
use publish::{Job, Order};
use std::{collections::HashMap, fmt, sync::Arc};
use subject::Subjects;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc, oneshot, watch},
    task::AbortHandle,
    time::{Instant, timeout, timeout_at},
};
use ulid::Ulid;
use witness::Witnesses;

/// So many channels at once are compared with the stream after a link was lost.
const SYNCS: usize = 64;

/// Carries events between processes through JetStream, which keeps them. A clone is the same broadcaster.
///
/// Channels with history are in the stream `tidings`, those without in `tidings-live`, whose events have no place and
/// whose keys are kept all the same. Both are made at the first start. Any program may publish:
/// `{"id": …, "event": …, "data": …}` to `tidings.in.<channel>`, or to `tidings.live.<channel>.-` for a channel
/// without history, with each byte of the channel that is no letter, digit, `_` or `-` as `=XX`.
///
/// A channel that had no events for an hour, or for as long as history is kept, is forgotten: who comes back to a
/// position before that is told that it has expired. The channel's own [`History`](crate::History) is applied when it is
/// read, by the clock of this machine; the stream keeps as much of each channel as the largest asks for.
///
/// When the servers have lost events that this node knows of, the stream gets another epoch, and every subscriber is told
/// of a gap. On channels without history nobody is told what was lost with the link.
#[derive(Clone)]
pub struct NatsBroadcaster {
    inner: Arc<Inner>,
    _owner: Arc<Owner>,
}

struct Inner {
    options: NatsOptions,
    histories: Histories,
    subjects: Subjects,
    listeners: Listeners,
    status: watch::Sender<Status>,
    /// Why JetStream does not answer though the link is there.
    trouble: Mutex<Option<String>>,
    witnesses: Mutex<Witnesses>,
    orders: mpsc::Sender<Order>,
    feeds: Mutex<HashMap<Arc<str>, Running, RandomState>>,
    syncs: Semaphore,
    runtime: Handle,
}

#[derive(Clone)]
enum Status {
    Up(Arc<Link>),
    /// And why.
    Down(Arc<str>),
    Closed,
}

/// A channel's feed.
struct Running {
    started: watch::Receiver<bool>,
    task: AbortHandle,
}

/// Ends the tasks with the last clone.
struct Owner {
    inner: Arc<Inner>,
    tasks: [AbortHandle; 2],
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.inner.end();
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for NatsBroadcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBroadcaster").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl NatsBroadcaster {
    /// Connects, and makes the streams where they are missing. Its tasks run on the runtime that calls this.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] says what is wrong and what is wanted: the address, the login, the rights, the
    /// version, JetStream, or a stream that is there and does not fit.
    pub async fn connect(options: NatsOptions, histories: Histories) -> Result<Self, BroadcastError> {
        options.check()?;
        let (orders, ordered) = mpsc::channel(publish::WAITING);
        let inner = Arc::new(Inner {
            subjects: Subjects::new(&options.prefix),
            options,
            histories,
            listeners: Listeners::default(),
            status: watch::Sender::new(Status::Down("not connected yet".into())),
            trouble: Mutex::default(),
            witnesses: Mutex::default(),
            orders,
            feeds: Mutex::default(),
            syncs: Semaphore::new(SYNCS),
            runtime: Handle::current(),
        });
        let link = inner.establish().await.map_err(|why| BroadcastError::Config(format!("NATS: {why}")))?;
        let link = Arc::new(link);
        inner.status.send_replace(Status::Up(link.clone()));
        let tasks = [
            tokio::spawn(keeper::run(inner.clone(), link)).abort_handle(),
            tokio::spawn(publish::run(inner.clone(), ordered)).abort_handle(),
        ];
        Ok(Self { inner: inner.clone(), _owner: Arc::new(Owner { inner, tasks }) })
    }
}

impl Inner {
    async fn establish(&self) -> Result<Link, String> {
        let link = Link::establish(&self.options, &self.histories, &self.subjects, &self.witnesses);
        match timeout(self.options.timeout * 2, link).await {
            Ok(link) => link,
            Err(_) => Err("JetStream does not answer".to_owned()),
        }
    }

    /// What is closed stays so.
    fn set(&self, status: Status) {
        self.status.send_if_modified(|now| {
            let open = !matches!(now, Status::Closed);
            if open {
                *now = status;
            }
            open
        });
    }

    fn is_closed(&self) -> bool {
        matches!(*self.status.borrow(), Status::Closed)
    }

    fn unavailable(&self) -> Option<String> {
        match &*self.status.borrow() {
            Status::Up(_) => self.trouble.lock().clone(),
            Status::Down(why) => Some(why.to_string()),
            Status::Closed => Some("closed".to_owned()),
        }
    }

    /// Why there was no answer in time.
    fn silence(&self) -> BoxError {
        self.unavailable().unwrap_or_else(|| "NATS does not answer in time".to_owned()).into()
    }

    /// The link, once there is one.
    async fn link(&self) -> Result<Arc<Link>, BoxError> {
        let mut status = self.status.subscribe();
        match status.wait_for(|status| !matches!(status, Status::Down(_))).await.as_deref() {
            Ok(Status::Up(link)) => Ok(link.clone()),
            _ => Err("closed".into()),
        }
    }

    async fn publish(&self, channel: &str, event: Event) -> Result<Published, BroadcastError> {
        if self.is_closed() {
            return Err(BroadcastError::Closed);
        }
        let (id, deadline) = (Ulid::generate(), Instant::now() + self.options.timeout);
        let has_history = !self.histories.get(channel).is_off();
        let subject = if has_history {
            self.subjects.to_kept(channel)
        } else {
            self.subjects.to_live(channel, event.key())
        };
        let mut message = PublishMessage::build().payload(envelope::encode(&event, id).into());
        if let Some(key) = event.key() {
            message = message.message_id(subject::message_id(channel, key));
        }
        let (sent, sending) = oneshot::channel();
        let job = Job { subject, message, deadline, sent };
        // Without a wait: what is handed in first is sent first.
        self.orders
            .try_send(Order::Send(job))
            .map_err(|_| BroadcastError::Publish("too many events wait for NATS".into()))?;
        let answer = async { sending.await.map_err(|_| "closed")??.answer(id, has_history).await };
        let answer = timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(self.silence()));
        let (link, published) = answer.map_err(BroadcastError::Publish)?;
        if let Some(position) = &published.position {
            self.witnesses.lock().add(&link.epoch, position.offset, published.id);
        }
        Ok(published)
    }

    async fn subscribe(
        self: Arc<Self>,
        channel: Arc<str>,
        sink: Sink,
    ) -> Result<Subscription, BroadcastError> {
        let (guard, mut started) = {
            let mut feeds = self.feeds.lock();
            if self.is_closed() {
                return Err(BroadcastError::Closed);
            }
            let (key, _) = self.listeners.add(&channel, sink);
            let running = feeds.entry(channel.clone()).or_insert_with(|| self.feed(channel.clone()));
            (Unsubscribe { inner: self.clone(), channel: channel.clone(), key }, running.started.clone())
        };
        match timeout(self.options.timeout, started.wait_for(|started| *started)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(BroadcastError::Closed),
            Err(_) => return Err(BroadcastError::Subscribe(self.silence())),
        }
        let position = self.listeners.position(&channel);
        Ok(Subscription::new(guard, position))
    }

    fn feed(self: &Arc<Self>, channel: Arc<str>) -> Running {
        let (sender, started) = watch::channel(false);
        let has_history = !self.histories.get(&channel).is_off();
        let feed =
            Feed { inner: self.clone(), channel, has_history, started: sender, state: Known::default() };
        Running { started, task: self.runtime.spawn(feed.run()).abort_handle() }
    }

    async fn history(&self, channel: &str, range: Range) -> Result<Option<Page>, BroadcastError> {
        if self.is_closed() {
            return Err(BroadcastError::Closed);
        }
        let history = self.histories.get(channel);
        if history.is_off() {
            return Ok(None);
        }
        let subject = self.subjects.to_kept(channel);
        let read = async {
            let link = self.link().await?;
            let page = tokio::select! {
                biased;
                () = link.lost() => return Err("the link to NATS was lost".into()),
                page = past::page(&link, channel, &subject, range, history) => page?,
            };
            Ok::<_, BoxError>(page)
        };
        match timeout(self.options.timeout, read).await {
            Ok(page) => page.map(Some).map_err(BroadcastError::History),
            Err(_) => Err(BroadcastError::History(self.silence())),
        }
    }

    /// Ends every subscription and lets go of the link.
    fn end(&self) {
        let mut feeds = self.feeds.lock();
        self.status.send_replace(Status::Closed);
        feeds.drain().for_each(|(_, running)| running.task.abort());
        self.listeners.clear();
    }
}

impl Broadcaster for NatsBroadcaster {
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        event: Event,
    ) -> BoxFuture<'a, Result<Published, BroadcastError>> {
        Box::pin(self.inner.publish(channel, event))
    }

    fn subscribe(
        &self,
        channel: Arc<str>,
        sink: Sink,
    ) -> BoxFuture<'_, Result<Subscription, BroadcastError>> {
        Box::pin(self.inner.clone().subscribe(channel, sink))
    }

    fn history<'a>(
        &'a self,
        channel: &'a str,
        range: Range,
    ) -> BoxFuture<'a, Result<Option<Page>, BroadcastError>> {
        Box::pin(self.inner.history(channel, range))
    }

    fn unavailable(&self) -> Option<String> {
        self.inner.unavailable()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let link = match &*self.inner.status.borrow() {
                Status::Up(link) => Some(link.clone()),
                _ => None,
            };
            if let Some(link) = link {
                let flush = async {
                    let (done, sent) = oneshot::channel();
                    if self.inner.orders.send(Order::Flush(done)).await.is_ok() && sent.await.is_ok() {
                        // What cannot be flushed was told so by its own publish.
                        let _ = link.client.flush().await;
                    }
                };
                let _ = timeout(self.inner.options.timeout, flush).await;
            }
            self.inner.end();
            self._owner.tasks.iter().for_each(AbortHandle::abort);
        })
    }
}

struct Unsubscribe {
    inner: Arc<Inner>,
    channel: Arc<str>,
    key: Key,
}

impl Drop for Unsubscribe {
    fn drop(&mut self) {
        let mut feeds = self.inner.feeds.lock();
        if self.inner.listeners.remove(&self.channel, self.key)
            && let Some(running) = feeds.remove(&self.channel)
        {
            running.task.abort();
        }
    }
}
