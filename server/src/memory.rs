//! The broadcaster within one process: the default, and the reference for every other.

mod keys;
mod stream;

use crate::{BroadcastError, Broadcaster, Event, Histories, Page, Published, Range, Sink, Subscription};
use ahash::RandomState;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use stream::Stream;
use tokio::time::Instant;
use ulid::Ulid;

/// Channels are spread over this many locks, so that workers rarely wait for each other. A guess, not measured.
const SHARDS: usize = 64;

/// A shard remembers at most this many channels that have neither events, subscribers nor keys, and half of them for sure:
/// anybody may name channels that nobody uses. All shards together have room for as many as there may be connections.
const MOST_IDLE: usize = 2_048;

/// How often a shard looks for streams that nobody needs any longer.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Carries events within this process, and keeps the latest of each channel. Nothing outlives it. A clone is the same
/// broadcaster.
///
/// A channel that had neither events nor subscribers for an hour is forgotten, and sooner when it is not among the latest
/// 65,000 of that kind: who comes back to it later is told that its epoch is another one.
#[derive(Clone)]
pub struct MemoryBroadcaster {
    inner: Arc<Inner>,
}

struct Inner {
    histories: Histories,
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    closed: AtomicBool,
}

struct Shard {
    streams: HashMap<Arc<str>, Stream, RandomState>,
    sweep_at: Instant,
    /// With so many streams some may have to be forgotten.
    crowded: usize,
}

impl Default for MemoryBroadcaster {
    fn default() -> Self {
        Self::new(Histories::default())
    }
}

impl fmt::Debug for MemoryBroadcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroadcaster").field("histories", &self.inner.histories).finish_non_exhaustive()
    }
}

impl MemoryBroadcaster {
    /// One that keeps as much of each channel as `histories` says. [`Default`] keeps 256 events of the last five minutes.
    pub fn new(histories: Histories) -> Self {
        let hasher = RandomState::new();
        let shard = || {
            let streams = HashMap::with_hasher(hasher.clone());
            let sweep_at = Instant::now() + SWEEP_EVERY;
            Mutex::new(Shard { streams, sweep_at, crowded: MOST_IDLE })
        };
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Self { inner: Arc::new(Inner { histories, shards, hasher, closed: AtomicBool::new(false) }) }
    }
}

impl Shard {
    fn stream(&mut self, channel: &Arc<str>, histories: &Histories, now: Instant) -> &mut Stream {
        self.streams
            .entry(channel.clone())
            .or_insert_with(|| Stream::new(channel.clone(), histories.get(channel), now))
    }

    /// Forgets what nobody needs, now and then; and of what is only remembered all but the latest.
    fn sweep(&mut self, now: Instant) {
        if now < self.sweep_at && self.streams.len() < self.crowded {
            return;
        }
        self.sweep_at = now + SWEEP_EVERY;
        self.streams.retain(|_, stream| stream.is_needed(now));
        let mut idle: Vec<Instant> = self.streams.values().filter_map(Stream::idle_since).collect();
        if let Some(oldest) = idle.len().checked_sub(MOST_IDLE / 2).filter(|oldest| *oldest > 0) {
            let (_, &mut until, _) = idle.select_nth_unstable(oldest - 1);
            self.streams.retain(|_, stream| stream.idle_since().is_none_or(|since| since > until));
        }
        // Not before half as many have come again: looking through all of them takes its time.
        self.crowded = self.streams.len() + MOST_IDLE / 2;
    }
}

impl Inner {
    fn shard(&self, channel: &str) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(channel) as usize % SHARDS]
    }

    fn open(&self) -> Result<(), BroadcastError> {
        if self.closed.load(Ordering::Acquire) { Err(BroadcastError::Closed) } else { Ok(()) }
    }

    /// The sinks run under the shard's lock: that makes the order of a channel one order.
    fn publish(&self, channel: &str, event: Event) -> Result<Published, BroadcastError> {
        self.open()?;
        let (id, now) = (Ulid::generate(), Instant::now());
        let mut shard = self.shard(channel).lock();
        shard.sweep(now);
        if let Some(stream) = shard.streams.get_mut(channel) {
            return Ok(stream.publish(event, id, now));
        }
        if event.key.is_none() && self.histories.get(channel).is_off() {
            return Ok(Published::new(id, None));
        }
        Ok(shard.stream(&channel.into(), &self.histories, now).publish(event, id, now))
    }

    fn subscribe(self: &Arc<Self>, channel: Arc<str>, sink: Sink) -> Result<Subscription, BroadcastError> {
        self.open()?;
        let now = Instant::now();
        let mut shard = self.shard(&channel).lock();
        shard.sweep(now);
        let stream = shard.stream(&channel, &self.histories, now);
        let key = stream.sinks.insert(sink);
        let position = stream.position();
        drop(shard);
        Ok(Subscription::new(Unsubscribe { inner: self.clone(), channel, key }, position))
    }

    fn history(&self, channel: &str, range: Range) -> Result<Option<Page>, BroadcastError> {
        self.open()?;
        if self.histories.get(channel).is_off() {
            return Ok(None);
        }
        let now = Instant::now();
        let mut shard = self.shard(channel).lock();
        shard.sweep(now);
        Ok(Some(shard.stream(&channel.into(), &self.histories, now).page(range, now)))
    }
}

impl Broadcaster for MemoryBroadcaster {
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        event: Event,
    ) -> BoxFuture<'a, Result<Published, BroadcastError>> {
        Box::pin(async move { self.inner.publish(channel, event) })
    }

    fn subscribe(
        &self,
        channel: Arc<str>,
        sink: Sink,
    ) -> BoxFuture<'_, Result<Subscription, BroadcastError>> {
        Box::pin(async move { self.inner.subscribe(channel, sink) })
    }

    fn history<'a>(
        &'a self,
        channel: &'a str,
        range: Range,
    ) -> BoxFuture<'a, Result<Option<Page>, BroadcastError>> {
        Box::pin(async move { self.inner.history(channel, range) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.closed.store(true, Ordering::Release);
        for shard in &self.inner.shards {
            shard.lock().streams.clear();
        }
        Box::pin(ready(()))
    }
}

struct Unsubscribe {
    inner: Arc<Inner>,
    channel: Arc<str>,
    key: usize,
}

impl Drop for Unsubscribe {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut shard = self.inner.shard(&self.channel).lock();
        if let Some(stream) = shard.streams.get_mut(&self.channel) {
            stream.unsubscribe(self.key, now);
            if !stream.is_needed(now) {
                shard.streams.remove(&self.channel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Notice;
    use serde_json::json;

    type Seen = Arc<Mutex<Vec<String>>>;

    fn recorder() -> (Seen, Sink) {
        let seen = Seen::default();
        let log = seen.clone();
        (
            seen,
            Arc::new(move |notice: &Notice| {
                let Notice::Event(d) = notice else { panic!("memory loses nothing: {notice:?}") };
                log.lock().push(format!("{} {} {:?}", d.channel, d.event.name(), d.event.data()));
            }),
        )
    }

    #[actix_web::test]
    async fn subscribers_get_what_is_published_until_they_go() {
        let broadcaster = MemoryBroadcaster::default();
        let (seen, sink) = recorder();
        let publish = |name: &'static str| broadcaster.publish("a", Event::new(name, json!({"n": 1})));
        publish("early").await.expect("open");
        let subscription = broadcaster.subscribe("a".into(), sink).await.expect("open");
        publish("one").await.expect("open");
        broadcaster.publish("b", Event::new("other", json!(null))).await.expect("open");
        drop(subscription);
        publish("late").await.expect("open");
        assert_eq!(*seen.lock(), [r#"a one {"n":1}"#]);
    }

    fn remembered(broadcaster: &MemoryBroadcaster) -> usize {
        broadcaster.inner.shards.iter().map(|shard| shard.lock().streams.len()).sum()
    }

    /// The epoch of a channel that somebody looks at.
    async fn look(broadcaster: &MemoryBroadcaster, channel: &str) -> Arc<str> {
        let subscription = broadcaster.subscribe(channel.into(), Arc::new(|_| {})).await.expect("open");
        subscription.position().expect("a channel with history").epoch.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_channels_are_remembered_that_have_nothing() {
        let broadcaster = MemoryBroadcaster::default();
        let live = broadcaster.subscribe("live".into(), Arc::new(|_| {})).await.expect("open");
        broadcaster.publish("kept", Event::new("e", json!(1))).await.expect("open");
        let mut recent = Vec::new();
        for n in 0..2 * SHARDS * MOST_IDLE {
            tokio::time::advance(Duration::from_micros(1)).await;
            let channel = n.to_string();
            let epoch = look(&broadcaster, &channel).await;
            // A quarter of what is kept for sure: the channels are not spread evenly.
            if n >= 2 * SHARDS * MOST_IDLE - SHARDS * MOST_IDLE / 8 {
                recent.push((channel, epoch));
            }
        }
        let most = SHARDS * MOST_IDLE;
        assert!((most / 2..=most + 2).contains(&remembered(&broadcaster)), "{}", remembered(&broadcaster));
        for (channel, epoch) in recent {
            assert_eq!(look(&broadcaster, &channel).await, epoch, "the latest are remembered");
        }
        let page = broadcaster.history("kept", Range::After { offset: 0, limit: 9 }).await.expect("open");
        assert_eq!(page.expect("a channel with history").events.len(), 1);
        let epoch = live.position().expect("a channel with history").epoch.clone();
        assert_eq!(look(&broadcaster, "live").await, epoch);
    }

    #[actix_web::test]
    async fn after_close_everything_is_refused() {
        let broadcaster = MemoryBroadcaster::default();
        let (seen, sink) = recorder();
        let _subscription = broadcaster.subscribe("a".into(), sink.clone()).await.expect("open");
        broadcaster.close().await;
        assert!(matches!(
            broadcaster.publish("a", Event::new("e", json!(1))).await,
            Err(BroadcastError::Closed)
        ));
        assert!(matches!(broadcaster.subscribe("a".into(), sink).await, Err(BroadcastError::Closed)));
        assert!(seen.lock().is_empty());
    }

    #[test]
    fn publishers_on_many_threads_are_seen_in_one_order() {
        let broadcaster = MemoryBroadcaster::default();
        let subscribers: Vec<_> = (0..3).map(|_| recorder()).collect();
        let _live: Vec<_> = subscribers
            .iter()
            .map(|(_, sink)| {
                futures_util::FutureExt::now_or_never(broadcaster.subscribe("a".into(), sink.clone()))
            })
            .collect();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let inner = broadcaster.inner.clone();
                scope.spawn(move || {
                    for n in 0..200 {
                        inner.publish("a", Event::new(format!("{thread}.{n}"), json!(null))).expect("open");
                    }
                });
            }
        });
        let first = subscribers[0].0.lock().clone();
        assert_eq!(first.len(), 800);
        assert!(subscribers.iter().all(|(seen, _)| *seen.lock() == first));
    }
}
