//! What fails, and what subscribers hear of it.

use super::connect;
use crate::{
    checker::Checker,
    node::{PATIENCE, Seen, histories, publish, subscribe},
    proxy::Proxy,
    servers::postgres::{Server, shared, url},
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tidings_server::{Broadcaster, Event, Notice, Position, PostgresBroadcaster, Subscription};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

/// How often is looked whether something has happened, and how soon a refused publish is followed by the next.
const PACE: Duration = Duration::from_millis(5);

/// Two nodes that publish and one that listens, through a proxy each.
struct Scene {
    proxies: Vec<Proxy>,
    nodes: Vec<Arc<PostgresBroadcaster>>,
    checker: Arc<Checker>,
    seen: Seen,
    subscription: Subscription,
    publishers: Publishers,
}

struct Publishers {
    stop: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Scene {
    async fn start(server: &Server, name: &str) -> Self {
        let (mut proxies, mut nodes) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let proxy = Proxy::start(server.address()).await;
            nodes.push(Arc::new(connect(&url(proxy.address(), name), histories()).await));
            proxies.push(proxy);
        }
        let (seen, subscription) = subscribe(&*nodes[2], "a").await;
        let checker = Arc::<Checker>::default();
        let publishers = Publishers::start(&nodes[..2], &checker);
        Self { proxies, nodes, checker, seen, subscription, publishers }
    }

    /// Waits until `more` publishes are accepted.
    async fn accept(&self, more: usize) {
        let enough = self.checker.count() + more;
        let waiting = async {
            while self.checker.count() < enough {
                tokio::time::sleep(PACE).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("publishes are accepted");
    }

    /// Waits until `more` publishes are refused.
    async fn refuse(&self, more: u64) {
        let enough = self.publishers.refused.load(Ordering::Relaxed) + more;
        let waiting = async {
            while self.publishers.refused.load(Ordering::Relaxed) < enough {
                tokio::time::sleep(PACE).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("publishes are refused");
    }

    /// Ends publishing, and waits until the subscriber has heard of everything; what it was told.
    async fn end(self) -> Vec<Notice> {
        self.publishers.end().await;
        let start = self.subscription.position().expect("history").clone();
        let told = self.seen.when(|notices| self.checker.is_complete(&start, notices)).await;
        for node in &self.nodes {
            assert_eq!(node.unavailable(), None);
        }
        told
    }
}

impl Publishers {
    /// Each node publishes from two tasks, one event after the other.
    fn start(nodes: &[Arc<PostgresBroadcaster>], checker: &Arc<Checker>) -> Self {
        let (stop, refused, mut tasks) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), JoinSet::new());
        for part in 0..4 {
            let node = nodes[part % nodes.len()].clone();
            let (stop, refused, checker) = (stop.clone(), refused.clone(), checker.clone());
            tasks.spawn(async move {
                let mut n = part as u64 * 10_000_000;
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    match node.publish("a", Event::new("e", json!(n))).await {
                        Ok(published) => checker.accepted(n, &published),
                        Err(_) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(PACE).await;
                        }
                    }
                    assert!(begun.elapsed() < Duration::from_secs(7), "a publish took {:?}", begun.elapsed());
                    n += 1;
                }
            });
        }
        Self { stop, refused, tasks }
    }

    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a publisher");
        }
    }
}

fn gaps(told: &[Notice]) -> Vec<&Position> {
    told.iter()
        .filter_map(|notice| match notice {
            Notice::Gap { position, .. } => Some(position),
            Notice::Event(_) => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_loses_nothing() {
    let mut server = Server::start();
    let name = server.database().await;
    let scene = Scene::start(&server, &name).await;
    for _ in 0..2 {
        scene.accept(100).await;
        server.kill();
        scene.refuse(4).await;
        server.resume();
        scene.accept(100).await;
    }
    let told = scene.end().await;
    assert_eq!(gaps(&told), Vec::<&Position>::new());
}

async fn stopped(how_long: Duration) {
    let server = Server::start();
    let name = server.database().await;
    let scene = Scene::start(&server, &name).await;
    scene.accept(100).await;
    server.signal(libc::SIGSTOP);
    let stopped = Instant::now();
    scene.refuse(4).await;
    tokio::time::sleep_until(stopped + how_long).await;
    server.signal(libc::SIGCONT);
    scene.accept(100).await;
    assert_eq!(gaps(&scene.end().await), Vec::<&Position>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_loses_nothing() {
    stopped(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 20 s"]
async fn a_server_that_stands_still_for_20_seconds_loses_nothing() {
    stopped(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_swallows_everything_is_noticed() {
    let server = shared().await;
    let name = server.database().await;
    let scene = Scene::start(server, &name).await;
    scene.accept(100).await;
    for proxy in &scene.proxies {
        proxy.hole(true);
    }
    scene.refuse(4).await;
    let waiting = async {
        while scene.nodes[2].unavailable().is_none() {
            tokio::time::sleep(PACE).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it says so");
    for proxy in &scene.proxies {
        proxy.hole(false);
    }
    scene.accept(100).await;
    assert_eq!(gaps(&scene.end().await), Vec::<&Position>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_reset_lose_nothing() {
    let server = shared().await;
    let name = server.database().await;
    let scene = Scene::start(server, &name).await;
    for _ in 0..10 {
        for proxy in &scene.proxies {
            scene.accept(20).await;
            proxy.cut();
        }
    }
    assert_eq!(gaps(&scene.end().await), Vec::<&Position>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_leaves_the_others() {
    let server = shared().await;
    let name = server.database().await;
    let scene = Scene::start(server, &name).await;
    for _ in 0..3 {
        let third = connect(&server.url(&name), histories()).await;
        let _subscribed = subscribe(&third, "a").await;
        scene.accept(30).await;
        drop(third);
        scene.accept(30).await;
    }
    assert_eq!(gaps(&scene.end().await), Vec::<&Position>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_lost_its_tail_is_told() {
    let mut primary = Server::start();
    let name = primary.database().await;
    let standby = primary.standby();
    let scene = Scene::start(&primary, &name).await;
    scene.accept(100).await;
    // From here on the standby falls behind.
    let there = standby.sql(&name).await;
    there.batch_execute("SELECT pg_wal_replay_pause()").await.expect("a standby");
    standby.signal_receiver(libc::SIGSTOP);
    scene.accept(100).await;
    primary.kill();
    standby.signal_receiver(libc::SIGKILL);
    let (seen, before) = (scene.seen.clone(), scene.subscription.position().expect("history").clone());
    for proxy in &scene.proxies {
        proxy.lead_to(standby.address());
    }
    let there = standby.sql_when_ready(&name).await;
    there.batch_execute("SELECT pg_wal_replay_resume()").await.expect("a standby");
    there.batch_execute("SELECT pg_promote()").await.expect("a primary");
    seen.when(|told| !gaps(told).is_empty()).await;
    scene.accept(100).await;
    let told = scene.end().await;
    assert!(gaps(&told).iter().all(|position| position.epoch != before.epoch), "{:?}", gaps(&told));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_that_lost_what_was_accepted_is_told() {
    let server = shared().await;
    let name = server.database().await;
    let (one, two) =
        (connect(&server.url(&name), histories()).await, connect(&server.url(&name), histories()).await);
    let (first, _one) = subscribe(&one, "a").await;
    let (second, _two) = subscribe(&two, "a").await;
    let published = publish(&one, "a", 1).await.position.expect("history");
    publish(&one, "a", 2).await;
    for seen in [&first, &second] {
        seen.events(2).await;
    }
    // As if the server had crashed with synchronous_commit off.
    let lost = "DELETE FROM tidings_events WHERE data::text = '2'; SELECT setval('tidings_events_id_seq', 1)";
    server.sql(&name).await.batch_execute(lost).await.expect("deleted");
    for seen in [&first, &second] {
        let told = seen.when(|told| told.len() == 3).await;
        let [position] = gaps(&told)[..] else { panic!("{told:?}") };
        assert!(position.epoch != published.epoch && position.offset == published.offset, "{position:?}");
    }
    let again = publish(&two, "a", 3).await.position.expect("history");
    assert_eq!(again.offset, published.offset + 1);
    for seen in [&first, &second] {
        let told = seen.when(|told| told.len() == 4).await;
        let Some(Notice::Event(event)) = told.last() else { panic!("{told:?}") };
        assert_eq!(event.place.as_ref().expect("history").position, again);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_that_is_repeated_by_its_key_arrives_once() {
    let server = shared().await;
    let name = server.database().await;
    let proxy = Proxy::start(server.address()).await;
    let node = Arc::new(connect(&url(proxy.address(), &name), histories()).await);
    let listener = connect(&server.url(&name), histories()).await;
    let (seen, _subscription) = subscribe(&listener, "a").await;
    for n in 0..100_u64 {
        let event = || Event::new("e", json!(n)).with_key(n.to_string());
        // The first attempt is cut, anywhere on its way.
        let first = node.publish("a", event());
        let cut = async {
            tokio::time::sleep(Duration::from_micros(fastrand::u64(..8_000))).await;
            proxy.cut();
        };
        let (mut said, ()) = futures_util::join!(first, cut);
        let published = async {
            while said.is_err() {
                tokio::time::sleep(PACE).await;
                said = node.publish("a", event()).await;
            }
        };
        timeout(PATIENCE, published).await.expect("published at last");
    }
    let told = seen.events(100).await;
    assert_eq!(told.iter().map(crate::node::number).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
}
