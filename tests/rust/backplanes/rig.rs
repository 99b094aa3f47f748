//! What faults happen to: three nodes on one backplane, of which two publish all the time, on a channel to which all three
//! are subscribed.

use crate::{
    checker::Checker,
    node::{PATIENCE, Remote, Seen, at_last, gaps, until, until_nothing, within},
    proxy::Proxy,
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidings_server::{Broadcaster, Event, Notice, Position, Range, Subscription};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

pub(crate) const CHANNEL: &str = "a";

/// Each publisher publishes so often.
const PACE: Duration = Duration::from_millis(4);

/// A publish that cannot be decided is refused in this time.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

/// And so soon a node says that its backplane is away.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);

/// Of the numbers of its events, so many belong to each publisher.
pub(crate) const NUMBERS: u64 = 1_000_000;

const PUBLISHERS: usize = 4;

pub(crate) struct Rig {
    pub(crate) nodes: Vec<Arc<dyn Broadcaster>>,
    /// Each node's way to the server; none when they were connected before.
    pub(crate) links: Vec<Proxy>,
    pub(crate) checker: Arc<Checker>,
    listeners: Vec<(Seen, Subscription)>,
    progress: Arc<[Progress; PUBLISHERS]>,
    over: Arc<AtomicBool>,
    publishers: JoinSet<()>,
}

/// How far a publisher has come.
#[derive(Default)]
struct Progress {
    accepted: AtomicUsize,
    refused: AtomicUsize,
}

impl Rig {
    /// Each node by a link of its own.
    pub(crate) async fn over(backplane: &impl Remote) -> Self {
        let (mut links, mut nodes) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let link = Proxy::start(backplane.address()).await;
            nodes.push(backplane.connect_by(link.address()).await);
            links.push(link);
        }
        Self { links, ..Self::of(nodes).await }
    }

    /// Of nodes that are connected; the first two publish.
    pub(crate) async fn of(nodes: Vec<Arc<dyn Broadcaster>>) -> Self {
        let mut listeners = Vec::new();
        for node in &nodes {
            let subscribed = async || {
                let seen = Seen::default();
                node.subscribe(CHANNEL.into(), seen.sink()).await.map(|subscription| (seen, subscription))
            };
            listeners.push(at_last("all are subscribed", subscribed).await);
        }
        let mut rig = Self {
            nodes,
            links: Vec::new(),
            checker: Arc::default(),
            listeners,
            progress: Arc::default(),
            over: Arc::default(),
            publishers: JoinSet::new(),
        };
        for part in 0..PUBLISHERS {
            let (node, checker) = (rig.nodes[part % 2].clone(), rig.checker.clone());
            let (progress, over) = (rig.progress.clone(), rig.over.clone());
            rig.publishers.spawn(publish_all_the_time(node, part, checker, progress, over));
        }
        rig.goes_on().await;
        rig
    }

    /// Waits until every publisher has got further.
    pub(crate) async fn goes_on(&self) {
        self.get_further("publishes are accepted", |progress| &progress.accepted, 10).await;
    }

    async fn get_further(&self, what: &str, count: fn(&Progress) -> &AtomicUsize, more: usize) {
        let now = || self.progress.each_ref().map(|progress| count(progress).load(Ordering::Relaxed));
        let before = now();
        until(what, async || now().iter().zip(before).all(|(now, before)| *now >= before + more)).await;
    }

    /// Waits until every node says that it is down, and every publisher is refused.
    pub(crate) async fn is_down(&self) {
        let down = async || self.nodes.iter().all(|node| node.unavailable().is_some());
        within(NOTICED_WITHIN, until("all are down", down)).await;
        self.get_further("publishes are refused", |progress| &progress.refused, 1).await;
    }

    /// Waits until every node is up, and every listener in the epoch that is there now: a gap tells of what came before it,
    /// not of an epoch between two others.
    pub(crate) async fn is_up(&self) {
        until_nothing("all are up, and in the same epoch", async || {
            let end = Range::Before { offset: None, limit: 1 };
            let page = match self.nodes[2].history(CHANNEL, end).await {
                Ok(page) => page.expect("history"),
                Err(error) => return Some(error.to_string()),
            };
            for (n, (seen, _)) in self.listeners.iter().enumerate() {
                let last = seen.look(|told| told.last().map(|last| at(last).clone())).await;
                if last.as_ref().is_none_or(|last| last.epoch != page.end.epoch) {
                    return Some(format!("listener {n} is at {last:?}, the end is {:?}", page.end));
                }
            }
            self.nodes.iter().find_map(|node| node.unavailable())
        })
        .await;
    }

    /// Stops publishing. What each listener was told, once that is everything.
    pub(crate) async fn ends(self) -> Vec<Vec<Notice>> {
        self.is_up().await;
        self.goes_on().await;
        self.over.store(true, Ordering::Relaxed);
        within(PATIENCE, self.publishers.join_all()).await;
        let mut all = Vec::new();
        for (seen, subscription) in &self.listeners {
            let start = subscription.position().expect("history");
            all.push(seen.when(|told| self.checker.is_complete(start, told)).await);
        }
        all
    }

    /// The same, and nobody was told of a gap.
    pub(crate) async fn ends_whole(self) {
        for told in self.ends().await {
            assert_eq!(gaps(&told), [], "nothing was lost");
        }
    }
}

fn at(notice: &Notice) -> &Position {
    match notice {
        Notice::Gap { position, .. } => position,
        Notice::Event(delivery) => &delivery.place.as_ref().expect("history").position,
    }
}

/// Every other publisher does as a client does: it tries again with a key until its event is accepted. The others have no
/// keys, and go on with the next event.
async fn publish_all_the_time(
    node: Arc<dyn Broadcaster>,
    part: usize,
    checker: Arc<Checker>,
    progress: Arc<[Progress; PUBLISHERS]>,
    over: Arc<AtomicBool>,
) {
    let repeats = part < PUBLISHERS / 2;
    let mut pace = interval(PACE);
    // What a busy machine was late for is not made up for: that would keep it busy.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in part as u64 * NUMBERS.. {
        loop {
            pace.tick().await;
            let event = Event::new("e", json!(n));
            let event = if repeats { event.with_key(n.to_string()) } else { event };
            if let Ok(published) = &within(REFUSED_WITHIN, node.publish(CHANNEL, event)).await {
                checker.accepted(n, published);
                progress[part].accepted.fetch_add(1, Ordering::Relaxed);
                break;
            }
            progress[part].refused.fetch_add(1, Ordering::Relaxed);
            if !repeats {
                break;
            }
        }
        if over.load(Ordering::Relaxed) {
            return;
        }
    }
}
