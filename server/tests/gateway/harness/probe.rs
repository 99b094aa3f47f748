use futures_util::future::BoxFuture;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tidings_server::{
    BroadcastError, Broadcaster, Event, Histories, MemoryBroadcaster, Notice, Page, Published, Range, Sink,
    Subscription,
};
use tokio::sync::Semaphore;

/// Something that waits until a test lets it go on.
#[derive(Clone)]
pub(crate) struct Door(Arc<Sides>);

struct Sides {
    knocks: Semaphore,
    passes: Semaphore,
    waiting: AtomicUsize,
}

impl Default for Door {
    fn default() -> Self {
        Self(Arc::new(Sides {
            knocks: Semaphore::new(0),
            passes: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
        }))
    }
}

impl Door {
    /// Waits to be let through.
    pub(crate) async fn pass(&self) {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.0.waiting);
        self.0.knocks.add_permits(1);
        self.0.passes.acquire().await.expect("a door stays").forget();
    }

    /// `value`, for who is let through.
    pub(crate) fn behind<T>(&self, value: T) -> impl Future<Output = T> + use<T> {
        let door = self.clone();
        async move {
            door.pass().await;
            value
        }
    }

    /// Waits until one more stands before it.
    pub(crate) async fn knocked(&self) {
        self.0.knocks.acquire().await.expect("a door stays").forget();
    }

    /// Lets `count` through, now or when they come.
    pub(crate) fn open(&self, count: usize) {
        self.0.passes.add_permits(count);
    }

    /// How many stand before it.
    pub(crate) fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::SeqCst)
    }
}

/// A broadcaster over memory that counts what is asked of it, and refuses or waits when it is told to.
#[derive(Clone)]
pub(crate) struct Probe(Arc<Inner>);

struct Inner {
    memory: MemoryBroadcaster,
    channels: Mutex<HashMap<Arc<str>, Counts>>,
    /// How often history was read.
    reads: AtomicUsize,
    refuse_history: AtomicBool,
    /// Reading the history of `slow-history` waits here, after it was read.
    reading: Door,
    sinks: Mutex<HashMap<Arc<str>, Sink>>,
    refuse_publish: AtomicBool,
    refuse_subscribe: AtomicBool,
    away: AtomicBool,
    deaf: AtomicBool,
    /// Subscribing to `slow` waits here.
    subscribing: Door,
}

/// The subscriptions of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Open now.
    pub(crate) open: usize,
    /// The most that were open at the same time.
    pub(crate) most: usize,
    /// Opened, all in all.
    pub(crate) opened: usize,
}

impl Default for Probe {
    fn default() -> Self {
        Self::over(Histories::off())
    }
}

impl Probe {
    /// One that keeps history.
    pub(crate) fn over(histories: Histories) -> Self {
        Self(Arc::new(Inner {
            memory: MemoryBroadcaster::new(histories),
            channels: Mutex::default(),
            reads: AtomicUsize::new(0),
            refuse_history: AtomicBool::new(false),
            reading: Door::default(),
            sinks: Mutex::default(),
            refuse_publish: AtomicBool::new(false),
            refuse_subscribe: AtomicBool::new(false),
            away: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            subscribing: Door::default(),
        }))
    }

    pub(crate) fn reads(&self) -> usize {
        self.0.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn refuse_history(&self, refuse: bool) {
        self.0.refuse_history.store(refuse, Ordering::SeqCst);
    }

    /// Where reading the history of `slow-history` waits.
    pub(crate) fn reading(&self) -> &Door {
        &self.0.reading
    }

    /// Tells the subscription of `channel` something that memory never says.
    pub(crate) fn tell(&self, channel: &str, notice: &Notice) {
        self.0.sinks.lock().expect("no panic")[channel](notice);
    }

    pub(crate) fn counts(&self, channel: &str) -> Counts {
        self.0.channels.lock().expect("no panic").get(channel).copied().unwrap_or_default()
    }

    pub(crate) fn refuse_publish(&self, refuse: bool) {
        self.0.refuse_publish.store(refuse, Ordering::SeqCst);
    }

    pub(crate) fn refuse_subscribe(&self, refuse: bool) {
        self.0.refuse_subscribe.store(refuse, Ordering::SeqCst);
    }

    /// Says that it cannot be used, or that it can.
    pub(crate) fn go_away(&self, away: bool) {
        self.0.away.store(away, Ordering::SeqCst);
    }

    /// Loses what is published, or does so no longer.
    pub(crate) fn go_deaf(&self, deaf: bool) {
        self.0.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Where subscribing to the channel `slow` waits.
    pub(crate) fn subscribing(&self) -> &Door {
        &self.0.subscribing
    }
}

struct Counted {
    probe: Probe,
    channel: Arc<str>,
    _subscription: Subscription,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.probe.0.channels.lock().expect("no panic").entry(self.channel.clone()).or_default().open -= 1;
    }
}

impl Broadcaster for Probe {
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        event: Event,
    ) -> BoxFuture<'a, Result<Published, BroadcastError>> {
        if self.0.refuse_publish.load(Ordering::SeqCst) {
            return Box::pin(async { Err(BroadcastError::Publish("refused".into())) });
        }
        self.0.memory.publish(channel, event)
    }

    fn subscribe(
        &self,
        channel: Arc<str>,
        sink: Sink,
    ) -> BoxFuture<'_, Result<Subscription, BroadcastError>> {
        Box::pin(async move {
            if &*channel == "slow" {
                self.0.subscribing.pass().await;
            }
            if self.0.refuse_subscribe.load(Ordering::SeqCst) {
                return Err(BroadcastError::Subscribe("refused".into()));
            }
            self.0.sinks.lock().expect("no panic").insert(channel.clone(), sink.clone());
            let probe = self.clone();
            let hearing = Arc::new(move |notice: &Notice| {
                if !probe.0.deaf.load(Ordering::SeqCst) {
                    sink(notice);
                }
            });
            let subscription = self.0.memory.subscribe(channel.clone(), hearing).await?;
            let position = subscription.position().cloned();
            let mut channels = self.0.channels.lock().expect("no panic");
            let counts = channels.entry(channel.clone()).or_default();
            counts.open += 1;
            counts.opened += 1;
            counts.most = counts.most.max(counts.open);
            let guard = Counted { probe: self.clone(), channel, _subscription: subscription };
            Ok(Subscription::new(guard, position))
        })
    }

    fn history<'a>(
        &'a self,
        channel: &'a str,
        range: Range,
    ) -> BoxFuture<'a, Result<Option<Page>, BroadcastError>> {
        Box::pin(async move {
            self.0.reads.fetch_add(1, Ordering::SeqCst);
            if self.0.refuse_history.load(Ordering::SeqCst) {
                return Err(BroadcastError::History("refused".into()));
            }
            let page = self.0.memory.history(channel, range).await;
            if channel == "slow-history" {
                self.0.reading.pass().await;
            }
            page
        })
    }

    fn unavailable(&self) -> Option<String> {
        self.0.away.load(Ordering::SeqCst).then(|| "on purpose".to_owned())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.memory.close()
    }
}
