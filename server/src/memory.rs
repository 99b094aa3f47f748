//! The broadcaster within one process: the default, and the reference for every other.

use crate::{BroadcastError, Broadcaster, Delivery, Event, Published, Sink, Subscription};
use ahash::RandomState;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use slab::Slab;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use ulid::Ulid;

/// Channels are spread over this many locks, so that workers rarely wait for each other. A guess, not measured.
const SHARDS: usize = 64;

type Shard = HashMap<Arc<str>, Slab<Sink>, RandomState>;

/// Carries events within this process. Nothing outlives it. A clone is the same broadcaster.
#[derive(Clone)]
pub struct MemoryBroadcaster {
    inner: Arc<Inner>,
}

struct Inner {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    closed: AtomicBool,
}

impl Default for MemoryBroadcaster {
    fn default() -> Self {
        let hasher = RandomState::new();
        let shards = (0..SHARDS).map(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))).collect();
        Self { inner: Arc::new(Inner { shards, hasher, closed: AtomicBool::new(false) }) }
    }
}

impl fmt::Debug for MemoryBroadcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroadcaster").finish_non_exhaustive()
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
        let id = Ulid::generate();
        let shard = self.shard(channel).lock();
        if let Some((channel, sinks)) = shard.get_key_value(channel) {
            let delivery = Delivery { channel: channel.clone(), event, id };
            for (_, sink) in sinks {
                sink(&delivery);
            }
        }
        Ok(Published::new(id))
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
        Box::pin(async move {
            self.inner.open()?;
            let key = self.inner.shard(&channel).lock().entry(channel.clone()).or_default().insert(sink);
            Ok(Subscription::new(Unsubscribe { inner: self.inner.clone(), channel, key }))
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.closed.store(true, Ordering::Release);
        for shard in &self.inner.shards {
            shard.lock().clear();
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
        let mut shard = self.inner.shard(&self.channel).lock();
        if let Some(sinks) = shard.get_mut(&self.channel) {
            sinks.try_remove(self.key);
            if sinks.is_empty() {
                shard.remove(&self.channel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    type Seen = Arc<Mutex<Vec<String>>>;

    fn recorder() -> (Seen, Sink) {
        let seen = Seen::default();
        let log = seen.clone();
        (
            seen,
            Arc::new(move |d: &Delivery| {
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
        assert!(
            broadcaster.inner.shards.iter().all(|s| s.lock().is_empty()),
            "the channel is gone with its last subscriber"
        );
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
