//! Faults of every kind in the order that a seed says, over each backplane: two nodes publish, three listen, each by a link of
//! its own.
//!
//! `TIDINGS_SEED=7` tells one story again, as far as real servers can; `TIDINGS_SEEDS=100` tells so many.

use crate::{
    checker::Checker,
    gateways::Fragile,
    node::{subscribe, until},
    proxy::Proxy,
};
use serde_json::json;
use std::{
    env,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tidings_server::{Broadcaster, Event};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep},
};

/// Faults of one story.
const FAULTS: usize = 5;

/// The longest that a fault stays, in milliseconds.
const LONGEST: u64 = 1_500;

/// A publish that cannot be decided is refused in this time, on a busy machine too.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

/// A server that can be taken away, frozen, and reached by a link that fails.
pub(crate) trait Stormy: Fragile {
    fn address(&self) -> SocketAddr;
    /// A node whose link leads to `address`, with little patience.
    async fn connect_by(&self, address: SocketAddr) -> Arc<dyn Broadcaster>;
    fn freeze(&self, frozen: bool);
}

fn seeds() -> Vec<u64> {
    let number =
        |name| env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")));
    match (number("TIDINGS_SEED"), number("TIDINGS_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (0..count).collect(),
        (None, None) => vec![1],
    }
}

/// Every event that was accepted reaches every node once and in order, or the node is told of a gap before any later one.
pub(crate) async fn nothing_is_lost_in_silence<S: Stormy>(start: impl AsyncFn() -> S) {
    for seed in seeds() {
        println!("TIDINGS_SEED={seed}");
        story(start().await, fastrand::Rng::with_seed(seed)).await;
    }
}

async fn story(mut backplane: impl Stormy, mut random: fastrand::Rng) {
    let (checker, over) = (Arc::<Checker>::default(), Arc::<AtomicBool>::default());
    let (mut proxies, mut nodes, mut listeners, mut publishers) = (vec![], vec![], vec![], JoinSet::new());
    for part in 0..3 {
        let proxy = Proxy::start(backplane.address()).await;
        let node = backplane.connect_by(proxy.address()).await;
        listeners.push(subscribe(&node, "a").await);
        if part < 2 {
            publishers.spawn(publish_all_the_time(node.clone(), part, checker.clone(), over.clone()));
        }
        proxies.push(proxy);
        nodes.push(node);
    }
    for _ in 0..FAULTS {
        let proxy = &proxies[random.usize(..proxies.len())];
        let hold = sleep(Duration::from_millis(random.u64(..LONGEST)));
        match random.u8(..5) {
            0 => proxy.cut(),
            1 => {
                proxy.hole(true);
                hold.await;
                proxy.hole(false);
            }
            2 => {
                proxy.refuse(true);
                proxy.cut();
                hold.await;
                proxy.refuse(false);
            }
            3 => {
                backplane.freeze(true);
                hold.await;
                backplane.freeze(false);
            }
            _ => {
                backplane.kill();
                hold.await;
                backplane.start_again();
            }
        }
        until(|| nodes.iter().all(|node| node.unavailable().is_none())).await;
        let enough = checker.count() + random.usize(..40);
        until(|| checker.count() > enough).await;
    }
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = publishers.join_next().await {
        ended.expect("a publisher");
    }
    for (seen, subscription) in &listeners {
        let start = subscription.position().expect("history");
        seen.when(|notices| checker.is_complete(start, notices)).await;
    }
}

/// As a client does: a publish that failed is tried again with its key until it is accepted.
async fn publish_all_the_time(
    node: Arc<dyn Broadcaster>,
    part: u64,
    checker: Arc<Checker>,
    over: Arc<AtomicBool>,
) {
    let mut pace = interval(Duration::from_millis(2));
    for n in part * 1_000_000.. {
        let event = Event::new("e", json!(n)).with_key(n.to_string());
        loop {
            pace.tick().await;
            let asked = Instant::now();
            let published = node.publish("a", event.clone()).await;
            assert!(asked.elapsed() < REFUSED_WITHIN, "after {:?}: {published:?}", asked.elapsed());
            if let Ok(published) = published {
                break checker.accepted(n, &published);
            }
        }
        if over.load(Ordering::Relaxed) {
            return;
        }
    }
}
