//! Servers that die, sleep and forget, and links that fail: two nodes publish, they and a third one listen.

use super::until;
use crate::{
    checker::Checker,
    node::{Seen, histories, publish, subscribe},
    proxy::Proxy,
    servers::nats::{Server, copy, free_ports},
};
use futures_util::future::join_all;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidings_server::{
    BroadcastError, Broadcaster, Event, NatsBroadcaster, NatsOptions, Notice, Position, Published,
    Subscription,
};
use tokio::{task::JoinHandle, time::Instant};

const TIMEOUT: Duration = Duration::from_secs(2);

fn options(servers: &[String]) -> NatsOptions {
    let mut options = NatsOptions::new("").with_timeout(TIMEOUT);
    options.servers = servers.to_vec();
    options
}

async fn connect(options: &NatsOptions) -> Arc<dyn Broadcaster> {
    Arc::new(NatsBroadcaster::connect(options.clone(), histories()).await.expect("connected"))
}

struct Listener {
    seen: Seen,
    start: Position,
    _subscription: Subscription,
}

/// Nodes that publish on channel `a` without end, and listen to it.
struct Rig {
    nodes: Vec<Arc<dyn Broadcaster>>,
    checker: Arc<Checker>,
    /// How many events each publisher has had accepted.
    progress: Arc<[AtomicUsize; 2]>,
    stop: Arc<AtomicBool>,
    publishers: Vec<JoinHandle<()>>,
    listeners: Vec<Listener>,
}

impl Rig {
    async fn start(options: &[NatsOptions; 3]) -> Self {
        let nodes = join_all(options.iter().map(connect)).await;
        let mut listeners = Vec::new();
        for node in &nodes {
            let (seen, subscription) = subscribe(&**node, "a").await;
            let start = subscription.position().expect("history").clone();
            listeners.push(Listener { seen, start, _subscription: subscription });
        }
        let mut rig = Self {
            checker: Arc::default(),
            progress: Arc::default(),
            stop: Arc::default(),
            publishers: Vec::new(),
            listeners,
            nodes,
        };
        for publisher in 0..2 {
            let node = rig.nodes[publisher].clone();
            let (checker, progress, stop) = (rig.checker.clone(), rig.progress.clone(), rig.stop.clone());
            rig.publishers.push(tokio::spawn(async move {
                let mut n = publisher as u64 * 1_000_000;
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    let event = Event::new("e", json!(n)).with_key(n.to_string());
                    // A client tries again, with its key.
                    while !stop.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        let published = node.publish("a", event.clone()).await;
                        assert!(begun.elapsed() < 2 * TIMEOUT, "a publish takes too long");
                        if let Ok(published) = published {
                            checker.accepted(n, &published);
                            progress[publisher].fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                }
            }));
        }
        rig.goes_on().await;
        rig
    }

    /// Waits until both publishers have got further.
    async fn goes_on(&self) {
        let now = || [0, 1].map(|publisher: usize| self.progress[publisher].load(Ordering::Relaxed));
        let before = now();
        until(async || now().iter().zip(before).all(|(now, before)| *now > before + 20)).await;
    }

    async fn are_down(&self) {
        until(async || self.nodes.iter().all(|node| node.unavailable().is_some())).await;
    }

    /// Every listener has all that was accepted, or was told; how many gaps there were.
    async fn ends_well(self) -> usize {
        self.goes_on().await;
        self.stop.store(true, Ordering::Relaxed);
        for publisher in self.publishers {
            publisher.await.expect("a publisher");
        }
        let mut gaps = 0;
        for Listener { seen, start, .. } in &self.listeners {
            let told = seen.when(|notices| self.checker.is_complete(start, notices)).await;
            gaps += told.iter().filter(|notice| matches!(notice, Notice::Gap { .. })).count();
        }
        println!("{} events, {gaps} gaps", self.checker.count());
        gaps
    }
}

async fn one(server: &Server) -> (Proxy, Rig) {
    let proxy = Proxy::start(server.address).await;
    let options = options(&[format!("nats://{}", proxy.address())]);
    let rig = Rig::start(&[options.clone(), options.clone(), options]).await;
    (proxy, rig)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_killed_and_started_again() {
    let mut server = Server::start();
    let (_proxy, rig) = one(&server).await;
    for _ in 0..3 {
        server.kill();
        rig.are_down().await;
        server.restart();
        rig.goes_on().await;
    }
    assert_eq!(rig.ends_well().await, 0, "the files are all there");
}

async fn stops_for(at_least: Duration) {
    let server = Server::start();
    let (_proxy, rig) = one(&server).await;
    server.signal("STOP");
    let stopped = tokio::time::sleep(at_least);
    rig.are_down().await;
    stopped.await;
    server.signal("CONT");
    assert_eq!(rig.ends_well().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stops_until_the_nodes_give_up_and_goes_on() {
    stops_for(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 20 s"]
async fn a_server_stops_for_twenty_seconds_and_goes_on() {
    stops_for(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_reset_in_mid_publish() {
    let server = Server::start();
    let (proxy, rig) = one(&server).await;
    for _ in 0..10 {
        proxy.cut();
        rig.goes_on().await;
    }
    assert_eq!(rig.ends_well().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_swallows_everything() {
    let server = Server::start();
    let (proxy, rig) = one(&server).await;
    proxy.hole(true);
    rig.are_down().await;
    proxy.hole(false);
    assert_eq!(rig.ends_well().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_is_cut_off_while_the_others_go_on() {
    let server = Server::start();
    let proxy = Proxy::start(server.address).await;
    let near = options(&[server.url()]);
    let far = options(&[format!("nats://{}", proxy.address())]);
    let mut rig = Rig::start(&[near.clone(), near.clone(), far]).await;
    proxy.hole(true);
    until(async || rig.nodes[2].unavailable().is_some()).await;
    rig.goes_on().await;
    proxy.hole(false);
    until(async || rig.nodes[2].unavailable().is_none()).await;
    // Another one goes for good.
    let gone = connect(&near).await;
    let (_seen, _subscription) = subscribe(&*gone, "a").await;
    drop(gone);
    rig.goes_on().await;
    rig.listeners.rotate_left(1);
    assert_eq!(rig.ends_well().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_away_publishes_are_refused_in_time_and_subscribers_stay() {
    let mut server = Server::start();
    let node = connect(&options(&[server.url()])).await;
    let (seen, _subscription) = subscribe(&*node, "a").await;
    publish(&*node, "a", 1).await;
    server.kill();
    until(async || node.unavailable().is_some()).await;
    let begun = Instant::now();
    let refused = join_all((0..100).map(|n| node.publish("a", Event::new("e", json!(100 + n))))).await;
    assert!(begun.elapsed() < 2 * TIMEOUT);
    assert!(refused.iter().all(|refused| matches!(refused, Err(BroadcastError::Publish(_)))));
    assert!(matches!(node.subscribe("new".into(), seen.sink()).await, Err(BroadcastError::Subscribe(_))));
    server.restart();
    until(async || node.unavailable().is_none()).await;
    publish(&*node, "a", 2).await;
    assert_eq!(seen.events(2).await.len(), 2);
}

/// A cluster, and the streams on all three.
async fn cluster() -> ([Server; 3], NatsOptions) {
    with_streams(Server::cluster()).await
}

async fn with_streams(servers: [Server; 3]) -> ([Server; 3], NatsOptions) {
    let options = options(&servers.each_ref().map(Server::url)).with_replicas(3);
    until(async || NatsBroadcaster::connect(options.clone(), histories()).await.is_ok()).await;
    (servers, options)
}

/// The nodes begin with different servers.
fn rotated(options: &NatsOptions) -> [NatsOptions; 3] {
    [0, 1, 2].map(|by| {
        let mut options = options.clone();
        options.servers.rotate_left(by);
        options
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_three_servers_is_killed_and_so_is_the_leader() {
    let (mut servers, options) = cluster().await;
    let rig = Rig::start(&rotated(&options)).await;
    for server in &mut servers {
        server.kill();
        rig.goes_on().await;
        server.restart();
        rig.goes_on().await;
    }
    rig.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_a_majority_accepts_nothing_and_goes_on_with_one() {
    let (mut servers, options) = cluster().await;
    let rig = Rig::start(&rotated(&options)).await;
    servers[1].kill();
    servers[2].kill();
    let begun = Instant::now();
    let refused = rig.nodes[2].publish("a", Event::new("e", json!(5_000_000))).await;
    assert!(matches!(refused, Err(BroadcastError::Publish(_))), "{refused:?}");
    assert!(begun.elapsed() < 2 * TIMEOUT);
    servers[1].restart();
    rig.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_between_servers_are_reset_and_their_clients_stay() {
    let routes = free_ports();
    let proxies = join_all(routes.map(|port| Proxy::start(([127, 0, 0, 1], port).into()))).await;
    let from = [0, 1, 2].map(|n: usize| proxies[n].address().port());
    let (servers, mut options) = with_streams(Server::cluster_over(routes, from)).await;
    let listener = {
        let mut options = options.clone();
        options.servers = vec![servers[2].url()];
        options
    };
    options.servers.pop();
    let rig = Rig::start(&[options.clone(), options, listener]).await;
    for _ in 0..10 {
        proxies.iter().for_each(Proxy::cut);
        rig.goes_on().await;
    }
    rig.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_last_events_begins_another_epoch() {
    let mut server = Server::start();
    let proxy = Proxy::start(server.address).await;
    let options = options(&[format!("nats://{}", proxy.address())]);
    let (one, two) = (connect(&options).await, connect(&options).await);
    let (seen, subscription) = subscribe(&*one, "a").await;
    let start = subscription.position().expect("history").clone();
    for n in 0..5 {
        publish(&*two, "a", n).await;
    }
    // A copy of what an orderly end leaves.
    server.kill();
    let old = server.store().with_extension("old");
    copy(&server.store(), &old);
    server.restart();
    until(async || two.unavailable().is_none()).await;
    for n in 5..10 {
        publish(&*two, "a", n).await;
    }
    seen.events(10).await;
    server.kill();
    copy(&old, &server.store());
    server.restart();
    until(async || one.unavailable().is_none() && two.unavailable().is_none()).await;
    let published = publish(&*two, "a", 10).await.position.expect("history");
    assert_ne!(published.epoch, start.epoch);
    let told = seen
        .when(|told| matches!(told.last(), Some(Notice::Event(e)) if e.event.data().as_str() == "10"))
        .await;
    let gap = &told[told.len() - 2];
    assert!(matches!(gap, Notice::Gap { position, .. } if position.epoch == published.epoch), "{told:?}");
    let page = one.history("a", tidings_server::Range::After { offset: 0, limit: 100 }).await.expect("open");
    let page = page.expect("history");
    assert_eq!((page.events.len(), page.end), (6, published));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_last_events_and_got_others_begins_another_epoch() {
    let mut server = Server::start();
    let proxy = Proxy::start(server.address).await;
    let near = options(&[server.url()]);
    let node = connect(&options(&[format!("nats://{}", proxy.address())])).await;
    let (seen, subscription) = subscribe(&*node, "a").await;
    publish(&*node, "a", 0).await;
    server.kill();
    let old = server.store().with_extension("old");
    copy(&server.store(), &old);
    server.restart();
    until(async || node.unavailable().is_none()).await;
    publish(&*node, "a", 1).await;
    seen.events(2).await;
    proxy.refuse(true);
    server.kill();
    copy(&old, &server.store());
    server.restart();
    // Somebody who knows nothing of it puts other events where they were.
    let other = connect(&near).await;
    for n in 2..6 {
        publish(&*other, "a", n).await;
    }
    proxy.refuse(false);
    until(async || node.unavailable().is_none()).await;
    let told = seen.when(|told| told.len() > 2).await;
    let start = subscription.position().expect("history");
    assert!(matches!(&told[2], Notice::Gap { position, .. } if position.epoch != start.epoch), "{told:?}");
    // The other node follows.
    let publish = || other.publish("a", Event::new("e", json!(99)));
    let other_epoch = |published: Published| published.position.is_some_and(|p| p.epoch != start.epoch);
    until(async || publish().await.is_ok_and(other_epoch)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_deleted_and_made_again_has_another_epoch() {
    let server = Server::start();
    let node = connect(&options(&[server.url()])).await;
    let (seen, _subscription) = subscribe(&*node, "a").await;
    let first = publish(&*node, "a", 1).await.position.expect("history");
    let client = async_nats::connect(server.url()).await.expect("connected");
    async_nats::jetstream::new(client).delete_stream("tidings").await.expect("deleted");
    let told = seen.when(|told| told.len() > 1).await;
    assert!(matches!(&told[1], Notice::Gap { position, .. } if position.epoch != first.epoch), "{told:?}");
    let second = publish(&*node, "a", 2).await.position.expect("history");
    assert_ne!(second.epoch, first.epoch);
    let told = seen.when(|told| told.len() > 2).await;
    assert!(matches!(&told[2], Notice::Event(event) if event.event.data().as_str() == "2"), "{told:?}");
}
