//! One subscription of the gateway per channel, shared by the hubs that have subscribers on it.

use crate::{
    BroadcastError, Broadcaster, Delivery, Notice, Place, Position, Range, Sink,
    backlog::Backlog,
    broadcaster::Subscription,
    mailbox::{Mailbox, Post, Spot},
    metrics::{Counters, Number},
    tail::{LINGER, Replay, Tail, Verdict},
    wire,
};
use ahash::RandomState;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use std::{
    collections::{BinaryHeap, HashMap},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tidings_protocol::{ServerFrame, Why};
use tokio::sync::{Mutex as AsyncMutex, OnceCell};
use tracing::warn;

/// What a `msg` frame has besides channel, event and data.
const MSG_OVERHEAD: usize = 80;

/// What has become of a channel on this gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Occupancy {
    /// Its first subscriber has come.
    #[serde(rename = "channel.occupied")]
    Occupied,
    /// Its last one has gone.
    #[serde(rename = "channel.vacated")]
    Vacated,
}

/// Hears of each channel in order. It is called under a lock, so it must be quick.
pub(crate) type Watch = Box<dyn Fn(&Arc<str>, Occupancy) + Send + Sync>;

/// The gateway's subscriptions.
pub(crate) struct Upstreams {
    channels: Mutex<HashMap<Arc<str>, Arc<Upstream>, RandomState>>,
    pub(crate) backlog: Arc<Backlog>,
    resume: ResumeLimits,
    counters: Arc<Counters>,
    watch: Option<Watch>,
}

/// How much a client that was away may be sent at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResumeLimits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

struct Upstream {
    route: Arc<Route>,
    /// Changed under the lock of [`Upstreams::channels`].
    members: AtomicUsize,
    /// Whether the watch knows of it. Changed under the same lock.
    occupied: AtomicBool,
    subscription: OnceCell<Subscription>,
}

/// Where the events of a channel go.
#[derive(Debug)]
pub(crate) struct Route {
    channel: Arc<str>,
    flow: Mutex<Flow>,
    subscribers: AtomicUsize,
    /// Events that went by, for their rate. Changed under the lock of `flow`.
    events: Number,
    backlog: Arc<Backlog>,
    resume: ResumeLimits,
    counters: Arc<Counters>,
    /// Held while history is read, so that who waits for the same finds it read.
    reading: AsyncMutex<()>,
}

/// What an event meets, under one lock: so that the posts in front of a hub and the tail tell the same story.
#[derive(Debug)]
struct Flow {
    hubs: Vec<(Arc<Mailbox>, Spot)>,
    tail: Tail,
    /// Whether [`expire`] looks at the tail.
    watched: bool,
}

impl Route {
    fn new(channel: Arc<str>, upstreams: &Upstreams) -> Self {
        let Upstreams { backlog, resume, counters, .. } = upstreams;
        let (backlog, resume, counters) = (backlog.clone(), *resume, counters.clone());
        let flow = Mutex::new(Flow { hubs: Vec::new(), tail: Tail::new(resume.bytes), watched: false });
        let (subscribers, events, reading) = Default::default();
        Self { channel, flow, subscribers, events, backlog, resume, counters, reading }
    }

    fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Event(delivery) => self.event(delivery),
            Notice::Gap { position, why } => {
                let flow = &mut *self.flow.lock();
                flow.tail.gap(position.clone());
                self.post_gap(&flow.hubs, position, *why);
            }
        }
    }

    /// Encodes once, for every subscriber of every hub.
    fn event(&self, delivery: &Delivery) {
        let flow = &mut *self.flow.lock();
        let mut frame = None;
        if let Some(place) = &delivery.place {
            match flow.tail.live(place, || frame.insert(encode(delivery)).clone()) {
                Verdict::Next => {}
                Verdict::Repeated => return,
                Verdict::Gap => {
                    let before = Position { epoch: place.position.epoch.clone(), offset: place.previous };
                    self.post_gap(&flow.hubs, &before, Why::Backplane);
                }
            }
        }
        if flow.hubs.is_empty() {
            return;
        }
        self.counters.arrived(delivery.id);
        self.events.add(1);
        let frame = frame.unwrap_or_else(|| encode(delivery));
        let place = delivery.place.as_ref();
        self.post(&flow.hubs, |spot| Post::Event {
            spot,
            frame: frame.clone(),
            position: place.map(|Place { position, .. }| position.clone()),
        });
    }

    fn post_gap(&self, hubs: &[(Arc<Mailbox>, Spot)], position: &Position, why: Why) {
        self.counters.gap();
        let (channel, why) = (&*self.channel, why.as_str());
        let gap = ServerFrame::<_, &str>::Gap { channel, position: position.as_deref(), why };
        let frame = wire::text(self.channel.len() + MSG_OVERHEAD, |out| gap.encode(out));
        self.post(hubs, |spot| Post::Gap { spot, frame: frame.clone(), position: position.clone() });
    }

    fn post(&self, hubs: &[(Arc<Mailbox>, Spot)], post: impl Fn(Spot) -> Post) {
        for (hub, spot) in hubs {
            let post = post(*spot);
            self.backlog.add(post.bytes());
            hub.post(post);
        }
    }

    /// How a client goes on that has everything up to `from`, when those that are live have everything up to `live`.
    pub(crate) fn replay(&self, from: &Position, live: &Position) -> Replay {
        self.flow.lock().tail.replay(from, live)
    }

    /// Makes [`replay`](Self::replay) know what comes after `from`, by reading history unless somebody just has.
    pub(crate) async fn recover(
        self: &Arc<Self>,
        broadcaster: &dyn Broadcaster,
        from: &Position,
    ) -> Result<(), Why> {
        let _turn = self.reading.lock().await;
        let (watched, unknown) = {
            let flow = &mut *self.flow.lock();
            let unknown = flow.tail.begin(from);
            (std::mem::replace(&mut flow.watched, true), unknown)
        };
        if !watched {
            actix_rt::spawn(expire(Arc::downgrade(self)));
        }
        if !unknown {
            return Ok(());
        }
        let range = Range::After { offset: from.offset, limit: self.resume.events };
        match broadcaster.history(&self.channel, range).await {
            Ok(Some(page)) => self.flow.lock().tail.fill(from, &page, encode),
            Ok(None) => Err(Why::Unavailable),
            Err(error) => {
                warn!(channel = &*self.channel, %error, "history could not be read");
                Err(Why::Unavailable)
            }
        }
    }

    pub(crate) fn subscriber_joined(&self) {
        self.subscribers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn subscriber_left(&self) {
        self.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends the keeping of frames when nobody needs them any longer.
async fn expire(route: Weak<Route>) {
    let mut wait = LINGER;
    loop {
        tokio::time::sleep(wait).await;
        let Some(route) = route.upgrade() else { return };
        let flow = &mut *route.flow.lock();
        let Some(again) = flow.tail.expire() else {
            flow.watched = false;
            return;
        };
        wait = again;
    }
}

/// An event as the frame that subscribers get.
fn encode(delivery: &Delivery) -> Bytes {
    let Delivery { channel, event, .. } = delivery;
    let size = channel.len() + event.name().len() + event.data().as_str().len() + MSG_OVERHEAD;
    delivery.frame(|frame| wire::text(size, |out| frame.encode(out)))
}

impl Upstreams {
    pub(crate) fn new(resume: ResumeLimits, watch: Option<Watch>, counters: Arc<Counters>) -> Self {
        Self { channels: Mutex::default(), backlog: Arc::default(), resume, counters, watch }
    }

    /// Makes `hub` get the events of `channel`, by its `spot` there, until the returned member is dropped. The first member of a
    /// channel subscribes at the broadcaster; the others wait for that, or try it again when it failed.
    pub(crate) async fn join(
        self: &Arc<Self>,
        broadcaster: &dyn Broadcaster,
        channel: Arc<str>,
        hub: Arc<Mailbox>,
        spot: Spot,
    ) -> Result<Member, BroadcastError> {
        let upstream = {
            let mut channels = self.channels.lock();
            let upstream = channels.entry(channel.clone()).or_insert_with(|| {
                let route = Route::new(channel.clone(), self);
                Arc::new(Upstream {
                    route: Arc::new(route),
                    members: AtomicUsize::new(0),
                    occupied: AtomicBool::new(false),
                    subscription: OnceCell::new(),
                })
            });
            upstream.members.fetch_add(1, Ordering::Relaxed);
            upstream.clone()
        };
        upstream.route.flow.lock().hubs.push((hub.clone(), spot));
        let member =
            Member { upstreams: self.clone(), channel: channel.clone(), upstream: Some(upstream), hub, spot };
        let upstream = member.upstream();
        let subscribe = || async {
            let route = upstream.route.clone();
            let sink: Sink = Arc::new(move |notice| route.notice(notice));
            let subscription = broadcaster.subscribe(channel, sink).await?;
            upstream.route.flow.lock().tail.start(subscription.position());
            Ok::<_, BroadcastError>(subscription)
        };
        upstream.subscription.get_or_try_init(subscribe).await?;
        if let Some(watch) = &self.watch {
            let _channels = self.channels.lock();
            if !upstream.occupied.swap(true, Ordering::Relaxed) {
                watch(&member.channel, Occupancy::Occupied);
            }
        }
        Ok(member)
    }

    /// How many channels have subscribers.
    pub(crate) fn len(&self) -> usize {
        self.channels.lock().len()
    }

    /// The first `limit` channels by name that have subscribers, and how many: of those that start with `prefix` and come
    /// after `after`.
    pub(crate) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<(Arc<str>, usize)> {
        let mut first = BinaryHeap::with_capacity(limit + 1);
        for (channel, upstream) in self.channels.lock().iter() {
            let subscribers = upstream.route.subscribers.load(Ordering::Relaxed);
            let wanted = channel.starts_with(prefix) && after.is_none_or(|after| **channel > *after);
            if subscribers > 0 && wanted {
                first.push((channel.clone(), subscribers));
                if first.len() > limit {
                    first.pop();
                }
            }
        }
        first.into_sorted_vec()
    }

    /// Every channel that has subscribers, in no order.
    pub(crate) fn traffic(&self) -> Vec<Traffic> {
        let channels = self.channels.lock();
        let traffic = channels.iter().map(|(channel, upstream)| Traffic {
            channel: channel.clone(),
            subscribers: upstream.route.subscribers.load(Ordering::Relaxed),
            events: upstream.route.events.get(),
        });
        traffic.filter(|traffic| traffic.subscribers > 0).collect()
    }

    /// How many connections of this gateway are subscribed to `channel`.
    pub(crate) fn subscribers(&self, channel: &str) -> usize {
        self.channels.lock().get(channel).map_or(0, |u| u.route.subscribers.load(Ordering::Relaxed))
    }
}

/// What goes on on a channel.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    pub(crate) channel: Arc<str>,
    pub(crate) subscribers: usize,
    /// How many events went by since the channel got its first subscriber.
    pub(crate) events: u64,
}

/// A hub's part in a channel's subscription. Dropping the last one unsubscribes.
pub(crate) struct Member {
    upstreams: Arc<Upstreams>,
    channel: Arc<str>,
    /// `None` only while it is dropped.
    upstream: Option<Arc<Upstream>>,
    hub: Arc<Mailbox>,
    spot: Spot,
}

impl Member {
    fn upstream(&self) -> &Arc<Upstream> {
        self.upstream.as_ref().expect("a member has its upstream until it is dropped")
    }

    pub(crate) fn route(&self) -> &Arc<Route> {
        &self.upstream().route
    }

    /// The channel's last event that was posted to the hubs; `None` on a channel without history.
    pub(crate) fn position(&self) -> Option<Position> {
        self.route().flow.lock().tail.position().cloned()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut flow = self.upstream().route.flow.lock();
        let is_own = |(hub, spot): &(Arc<Mailbox>, Spot)| Arc::ptr_eq(hub, &self.hub) && *spot == self.spot;
        if let Some(at) = flow.hubs.iter().position(is_own) {
            flow.hubs.swap_remove(at);
        }
        drop(flow);
        // The subscription ends under the lock, so that nobody opens a second one meanwhile.
        let mut channels = self.upstreams.channels.lock();
        if self.upstream().members.fetch_sub(1, Ordering::Relaxed) == 1 {
            channels.remove(&self.channel);
            let occupied = self.upstream().occupied.load(Ordering::Relaxed);
            if let Some(watch) = self.upstreams.watch.as_ref().filter(|_| occupied) {
                watch(&self.channel, Occupancy::Vacated);
            }
        }
        self.upstream = None;
    }
}
