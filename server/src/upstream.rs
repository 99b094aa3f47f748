//! One subscription of the gateway per channel, shared by the hubs that have subscribers on it.

use crate::{
    BroadcastError, Broadcaster, Delivery, Sink,
    backlog::Backlog,
    broadcaster::Subscription,
    mailbox::{Mailbox, Post},
    wire,
};
use ahash::RandomState;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tidings_protocol::ServerFrame;
use tokio::sync::OnceCell;

/// What a `msg` frame has besides channel, event and data.
const MSG_OVERHEAD: usize = 80;

/// The gateway's subscriptions.
#[derive(Default)]
pub(crate) struct Upstreams {
    channels: Mutex<HashMap<Arc<str>, Arc<Upstream>, RandomState>>,
    pub(crate) backlog: Arc<Backlog>,
}

struct Upstream {
    route: Arc<Route>,
    /// Changed under the lock of [`Upstreams::channels`].
    members: AtomicUsize,
    subscription: OnceCell<Subscription>,
}

/// Where the events of a channel go.
#[derive(Debug, Default)]
pub(crate) struct Route {
    hubs: RwLock<Vec<Arc<Mailbox>>>,
    subscribers: AtomicUsize,
    backlog: Arc<Backlog>,
}

impl Route {
    /// Encodes once, for every subscriber of every hub.
    fn deliver(&self, delivery: &Delivery) {
        let hubs = self.hubs.read();
        if hubs.is_empty() {
            return;
        }
        let Delivery { channel, event, id } = delivery;
        let mut text = [0; ulid::ULID_LEN];
        let frame = ServerFrame::Msg {
            channel: &**channel,
            event: event.name(),
            data: event.data().as_str(),
            id: &*id.array_to_str(&mut text),
            offset: None,
            previous: None,
        };
        let size = channel.len() + event.name().len() + event.data().as_str().len() + MSG_OVERHEAD;
        let frame = wire::text(size, |out| frame.encode(out));
        self.backlog.add(frame.len() * hubs.len());
        for hub in hubs.iter() {
            hub.post(Post::Event { channel: channel.clone(), frame: frame.clone() });
        }
    }

    pub(crate) fn subscriber_joined(&self) {
        self.subscribers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn subscriber_left(&self) {
        self.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Upstreams {
    /// Makes `hub` get the events of `channel` until the returned member is dropped. The first member of a
    /// channel subscribes at the broadcaster; the others wait for that, or try it again when it failed.
    pub(crate) async fn join(
        self: &Arc<Self>,
        broadcaster: &dyn Broadcaster,
        channel: Arc<str>,
        hub: Arc<Mailbox>,
    ) -> Result<Member, BroadcastError> {
        let upstream = {
            let mut channels = self.channels.lock();
            let upstream = channels.entry(channel.clone()).or_insert_with(|| {
                let route = Route { backlog: self.backlog.clone(), ..Route::default() };
                Arc::new(Upstream {
                    route: Arc::new(route),
                    members: AtomicUsize::new(0),
                    subscription: OnceCell::new(),
                })
            });
            upstream.members.fetch_add(1, Ordering::Relaxed);
            upstream.clone()
        };
        upstream.route.hubs.write().push(hub.clone());
        let member =
            Member { upstreams: self.clone(), channel: channel.clone(), upstream: Some(upstream), hub };
        let upstream = member.upstream();
        let subscribe = || {
            let route = upstream.route.clone();
            let sink: Sink = Arc::new(move |delivery| route.deliver(delivery));
            broadcaster.subscribe(channel, sink)
        };
        upstream.subscription.get_or_try_init(subscribe).await?;
        Ok(member)
    }

    /// How many channels have subscribers.
    pub(crate) fn len(&self) -> usize {
        self.channels.lock().len()
    }

    /// How many connections of this gateway are subscribed to `channel`.
    pub(crate) fn subscribers(&self, channel: &str) -> usize {
        self.channels.lock().get(channel).map_or(0, |u| u.route.subscribers.load(Ordering::Relaxed))
    }
}

/// A hub's part in a channel's subscription. Dropping the last one unsubscribes.
pub(crate) struct Member {
    upstreams: Arc<Upstreams>,
    channel: Arc<str>,
    /// `None` only while it is dropped.
    upstream: Option<Arc<Upstream>>,
    hub: Arc<Mailbox>,
}

impl Member {
    fn upstream(&self) -> &Arc<Upstream> {
        self.upstream.as_ref().expect("a member has its upstream until it is dropped")
    }

    pub(crate) fn route(&self) -> &Route {
        &self.upstream().route
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut hubs = self.upstream().route.hubs.write();
        if let Some(at) = hubs.iter().position(|hub| Arc::ptr_eq(hub, &self.hub)) {
            hubs.swap_remove(at);
        }
        drop(hubs);
        // The subscription ends under the lock, so that nobody opens a second one meanwhile.
        let mut channels = self.upstreams.channels.lock();
        if self.upstream().members.fetch_sub(1, Ordering::Relaxed) == 1 {
            channels.remove(&self.channel);
        }
        self.upstream = None;
    }
}
