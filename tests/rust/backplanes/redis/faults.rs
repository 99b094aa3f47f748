//! What a node's subscribers hear of when Redis or the way to it fails.

use super::{connect, options};
use crate::{
    checker::Checker,
    node::{Seen, histories, publish, subscribe, until},
    proxy::Proxy,
    servers::redis::Redis,
};
use futures_util::future::join_all;
use serde_json::json;
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tidings_server::{
    Broadcaster, Event, Notice, Position, Range, RedisBroadcaster, RedisOptions, Subscription, protocol::Why,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, interval, sleep},
};

/// What is accepted is on disk.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

const ALL: Range = Range::After { offset: 0, limit: 1_000 };

/// Three nodes, of which two publish all the time on a channel to which all three are subscribed.
struct Storm {
    nodes: Vec<Arc<RedisBroadcaster>>,
    subscribers: Vec<(Seen, Subscription)>,
    checker: Arc<Checker>,
    failed: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    publishers: Vec<JoinHandle<()>>,
}

impl Storm {
    /// With `again`, a publish that failed is tried again with its key until it is accepted.
    async fn start(options: RedisOptions, again: bool) -> Self {
        let mut storm = Self {
            nodes: Vec::new(),
            subscribers: Vec::new(),
            checker: Arc::default(),
            failed: Arc::default(),
            over: Arc::default(),
            publishers: Vec::new(),
        };
        for _ in 0..3 {
            let node = RedisBroadcaster::connect(options.clone(), histories()).await.expect("connected");
            let node = Arc::new(node);
            storm.subscribers.push(subscribe(&node, "a").await);
            storm.nodes.push(node);
        }
        for (part, node) in (0..).zip(&storm.nodes[..2]) {
            let publisher = publish_all_the_time(
                node.clone(),
                part,
                again,
                storm.checker.clone(),
                storm.failed.clone(),
                storm.over.clone(),
            );
            storm.publishers.push(tokio::spawn(publisher));
        }
        storm.more(50).await;
        storm
    }

    /// Waits until so many more have been accepted.
    async fn more(&self, count: usize) {
        let enough = self.checker.count() + count;
        until(|| self.checker.count() >= enough).await;
    }

    async fn down(&self) {
        until(|| self.nodes.iter().all(|node| node.unavailable().is_some())).await;
    }

    async fn up(&self) {
        until(|| self.nodes.iter().all(|node| node.unavailable().is_none())).await;
    }

    /// Every subscriber has heard of everything. What each was told.
    async fn end(self) -> Vec<Vec<Notice>> {
        self.up().await;
        self.more(50).await;
        self.over.store(true, Ordering::Relaxed);
        for publisher in self.publishers {
            publisher.await.expect("a publisher");
        }
        let mut told = Vec::new();
        for (seen, subscription) in &self.subscribers {
            let start: &Position = subscription.position().expect("history");
            told.push(seen.when(|notices| self.checker.is_complete(start, notices)).await);
        }
        told
    }
}

async fn publish_all_the_time(
    node: Arc<RedisBroadcaster>,
    part: u64,
    again: bool,
    checker: Arc<Checker>,
    failed: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
) {
    let mut pace = interval(Duration::from_millis(2));
    for n in 0.. {
        let n = part * 1_000_000 + n;
        loop {
            pace.tick().await;
            let asked = Instant::now();
            let event = Event::new("e", json!(n)).with_key(n.to_string());
            match node.publish("a", event).await {
                Ok(published) => break checker.accepted(n, &published),
                Err(_) => drop(failed.fetch_add(1, Ordering::Relaxed)),
            }
            assert!(asked.elapsed() < Duration::from_secs(5), "refused too late");
            if !again {
                break;
            }
        }
        if over.load(Ordering::Relaxed) {
            return;
        }
    }
}

fn epoch(notice: &Notice) -> &Arc<str> {
    match notice {
        Notice::Gap { position, .. } => &position.epoch,
        Notice::Event(delivery) => &delivery.place.as_ref().expect("history").position.epoch,
    }
}

fn gaps(notices: &[Notice]) -> Vec<(&Position, Why)> {
    let gap = |notice| match notice {
        &Notice::Gap { ref position, why } => Some((position, why)),
        Notice::Event(_) => None,
    };
    notices.iter().filter_map(gap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_had_written_all_down_goes_on() {
    let mut redis = Redis::start(&DURABLE);
    let storm = Storm::start(options(redis.address()), true).await;
    for _ in 0..2 {
        redis.kill();
        storm.down().await;
        redis.start_again();
        storm.up().await;
        storm.more(20).await;
    }
    for told in storm.end().await {
        assert_eq!(gaps(&told), [], "nothing was lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_may_have_forgotten_some_is_a_gap() {
    // As Redis is installed, and with what it calls "append only", which a killed process may lose some of.
    for arguments in [&[][..], &["--appendonly", "yes"]] {
        let mut redis = Redis::start(arguments);
        let storm = Storm::start(options(redis.address()), false).await;
        redis.kill();
        storm.down().await;
        redis.start_again();
        for told in storm.end().await {
            let gaps = gaps(&told);
            assert!(matches!(gaps[..], [(_, Why::Epoch)]), "{gaps:?}");
        }
    }
}

async fn frozen_for(time: Duration) {
    let redis = Redis::start(&[]);
    let storm = Storm::start(options(redis.address()), true).await;
    redis.freeze(true);
    storm.down().await;
    sleep(time).await;
    redis.freeze(false);
    for told in storm.end().await {
        assert_eq!(gaps(&told), [], "nothing was lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_frozen_goes_on() {
    frozen_for(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes half a minute"]
async fn a_server_that_is_frozen_for_20_seconds_goes_on() {
    frozen_for(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_reset_in_mid_publish_lose_nothing() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address()).await;
    let storm = Storm::start(options(proxy.address()), true).await;
    for _ in 0..10 {
        proxy.cut();
        storm.more(20).await;
    }
    proxy.refuse(true);
    proxy.cut();
    storm.down().await;
    proxy.refuse(false);
    for told in storm.end().await {
        assert_eq!(gaps(&told), [], "nothing was lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_swallows_everything_is_noticed() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address()).await;
    let storm = Storm::start(options(proxy.address()), true).await;
    proxy.hole(true);
    let fell = Instant::now();
    storm.down().await;
    assert!(fell.elapsed() < Duration::from_secs(5), "a probe and a timeout");
    proxy.hole(false);
    for told in storm.end().await {
        assert_eq!(gaps(&told), [], "nothing was lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute"]
async fn no_fault_of_many_loses_what_is_on_disk() {
    for told in many_faults(Redis::start(&DURABLE), true).await {
        // A gap that covers nothing accepted breaks no promise.
        println!("told of {:?}", gaps(&told));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute"]
async fn no_fault_of_many_loses_anything_in_silence() {
    for told in many_faults(Redis::start(&[]), false).await {
        assert_ne!(gaps(&told), [], "whatever was killed");
    }
}

async fn many_faults(mut redis: Redis, again: bool) -> Vec<Vec<Notice>> {
    let proxy = Proxy::start(redis.address()).await;
    let storm = Storm::start(options(proxy.address()), again).await;
    let seed = fastrand::get_seed();
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..40 {
        let fault = random.u8(..5);
        match fault {
            0 => proxy.cut(),
            1 => proxy.hole(true),
            2 => redis.freeze(true),
            3 => redis.kill(),
            _ => proxy.refuse(true),
        }
        sleep(Duration::from_millis(random.u64(..2_000))).await;
        match fault {
            1 => proxy.hole(false),
            2 => redis.freeze(false),
            3 => redis.start_again(),
            4 => proxy.refuse(false),
            _ => {}
        }
        storm.up().await;
        storm.more(random.usize(..40)).await;
        // A gap tells of what came before it, not of an epoch between two others.
        let page = storm.nodes[0].history("a", ALL).await.expect("open").expect("history");
        for (seen, _) in &storm.subscribers {
            seen.when(|notices| notices.last().is_some_and(|last| *epoch(last) == page.end.epoch)).await;
        }
    }
    println!("{} accepted, {} refused", storm.checker.count(), storm.failed.load(Ordering::Relaxed));
    storm.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_channels_come_back() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.address()).await;
    let (node, other) = (connect(proxy.address()).await, connect(redis.address()).await);
    let name = |n: usize| format!("a{n}");
    let subscribed = join_all((0..2_000).map(async |n| subscribe(&node, &name(n)).await)).await;
    proxy.refuse(true);
    proxy.cut();
    until(|| node.unavailable().is_some()).await;
    join_all((0..2_000).map(async |n| publish(&other, &name(n), 1).await)).await;
    proxy.refuse(false);
    for (seen, _) in &subscribed {
        seen.events(1).await;
    }
    join_all((0..2_000).map(async |n| publish(&other, &name(n), 2).await)).await;
    for (seen, _) in &subscribed {
        seen.events(2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_leaves_the_others() {
    let redis = Redis::start(&[]);
    let mut storm = Storm::start(options(redis.address()), true).await;
    storm.subscribers.pop();
    let gone = Arc::into_inner(storm.nodes.pop().expect("three")).expect("nobody else's");
    drop(gone);
    until(|| redis.cli(&["client", "list"]).lines().filter(|line| line.contains("resp=3")).count() <= 2)
        .await;
    for told in storm.end().await {
        assert_eq!(gaps(&told), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_subscribed_stays_while_redis_is_down() {
    let mut redis = Redis::start(&DURABLE);
    let (node, other) = (connect(redis.address()).await, connect(redis.address()).await);
    let (seen, subscription) = subscribe(&node, "a").await;
    let (live, _live) = subscribe(&node, "live.a").await;
    publish(&node, "a", 1).await;
    redis.kill();
    until(|| node.unavailable().is_some()).await;
    let asked = Instant::now();
    let event = || Event::new("e", json!(0));
    assert!(node.publish("a", event()).await.is_err());
    assert!(node.history("a", ALL).await.is_err());
    assert!(node.subscribe("b".into(), seen.sink()).await.is_err());
    assert!(asked.elapsed() < Duration::from_secs(1), "refused at once");
    // A channel that is there takes another subscriber meanwhile.
    let (second, _second) = subscribe(&node, "a").await;
    redis.start_again();
    until(|| node.unavailable().is_none() && other.unavailable().is_none()).await;
    publish(&other, "a", 2).await;
    publish(&other, "live.a", 3).await;
    assert_eq!(seen.events(2).await[1], second.events(1).await[0]);
    live.events(1).await;
    drop(subscription);
}

/// Two servers, of which the second one copies the first until the tests let it fall behind.
struct Failover {
    master: Redis,
    replica: Redis,
    /// Between the two servers.
    copying: Proxy,
    /// Where the nodes connect.
    door: Proxy,
}

impl Failover {
    async fn start() -> Self {
        let master = Redis::start(&["--repl-diskless-sync-delay", "0"]);
        let copying = Proxy::start(master.address()).await;
        let door = Proxy::start(master.address()).await;
        let port = copying.address().port().to_string();
        let replica = Redis::start(&["--replicaof", "127.0.0.1", &port]);
        let this = Self { master, replica, copying, door };
        until(|| this.replica.cli(&["info", "replication"]).contains("master_link_status:up")).await;
        this
    }

    /// Lets the replica have all that there is, and nothing that follows.
    async fn fall_behind(&self) {
        assert_eq!(self.master.cli(&["wait", "1", "10000"]), "1");
        self.copying.hole(true);
    }

    fn promote(&mut self) {
        self.master.kill();
        assert_eq!(self.replica.cli(&["replicaof", "no", "one"]), "OK");
    }

    fn lead_to_replica(&self) {
        self.door.lead_to(self.replica.address());
        self.door.cut();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_takes_over_without_the_tail_is_a_gap() {
    let mut servers = Failover::start().await;
    let storm = Storm::start(options(servers.door.address()), false).await;
    servers.fall_behind().await;
    storm.more(20).await;
    servers.promote();
    servers.lead_to_replica();
    for told in storm.end().await {
        let gaps = gaps(&told);
        assert!(matches!(gaps[..], [(_, Why::Epoch)]), "{gaps:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_is_where_the_sentinel_says() {
    let mut master = Redis::start(&[]);
    let port = master.address().port();
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &port.to_string()]);
    until(|| replica.cli(&["info", "replication"]).contains("master_link_status:up")).await;
    let sentinel = Redis::start_sentinel(&format!(
        "sentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 300\n"
    ));
    until(|| sentinel.cli(&["sentinel", "replicas", "main"]).contains("127.0.0.1")).await;
    let options =
        RedisOptions::from_url(&format!("redis://main?sentinel=127.0.0.1:1,{}", sentinel.address()))
            .expect("an address")
            .timeout(Duration::from_secs(1))
            .probe_every(Duration::from_millis(300));
    let storm = Storm::start(options, false).await;
    master.kill();
    storm.down().await;
    for told in storm.end().await {
        let gaps = gaps(&told);
        assert!(matches!(gaps[..], [(_, Why::Epoch)]), "{gaps:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_was_lost_and_overtaken_is_a_gap() {
    let mut servers = Failover::start().await;
    let node = connect(servers.door.address()).await;
    let (seen, subscription) = subscribe(&node, "a").await;
    let epoch = subscription.position().expect("history").epoch.clone();
    for n in 1..=7 {
        publish(&node, "a", n).await;
    }
    servers.fall_behind().await;
    for n in 8..=10 {
        publish(&node, "a", n).await;
    }
    seen.events(10).await;
    servers.promote();
    let other = connect(servers.replica.address()).await;
    for n in 11..=15 {
        publish(&other, "a", n).await;
    }
    // Whoever comes back with a position of before is told, wherever that is.
    let page = other.history("a", ALL).await.expect("open").expect("history");
    assert_ne!(page.end.epoch, epoch);
    servers.lead_to_replica();
    let told = seen.when(|notices| notices.len() > 10).await;
    assert_eq!(gaps(&told), [(&page.end, Why::Epoch)]);
    publish(&other, "a", 16).await;
    seen.when(|notices| matches!(notices.last(), Some(Notice::Event(_)))).await;
}

/// A server that comes back with an older state, and cannot know it: only who has seen more can tell. Others publish so many
/// events before the node is back.
async fn older_state(others: u64) {
    let mut redis = Redis::start(&DURABLE);
    let door = Proxy::start(redis.address()).await;
    let node = connect(door.address()).await;
    let (seen, subscription) = subscribe(&node, "a").await;
    let epoch = subscription.position().expect("history").epoch.clone();
    for n in 1..=7 {
        publish(&node, "a", n).await;
    }
    let folder = redis.folder().to_owned();
    let copy = |from: &str, to: &str| {
        let (from, to) = (folder.join(from), folder.join(to));
        let _ = fs::remove_dir_all(&to);
        fs::create_dir(&to).expect("a folder");
        for file in fs::read_dir(from).expect("a folder") {
            let file = file.expect("a file");
            fs::copy(file.path(), to.join(file.file_name())).expect("copied");
        }
    };
    copy("appendonlydir", "older");
    for n in 8..=10 {
        publish(&node, "a", n).await;
    }
    seen.events(10).await;
    door.refuse(true);
    redis.kill();
    copy("older", "appendonlydir");
    redis.start_again();
    let other = connect(redis.address()).await;
    for n in 0..others {
        let published = publish(&other, "a", 100 + n).await;
        assert_eq!(&published.position.expect("history").epoch, &epoch, "nobody knows yet");
    }
    door.refuse(false);
    let told = seen.when(|notices| notices.len() > 10).await;
    let page = other.history("a", ALL).await.expect("open").expect("history");
    assert_ne!(page.end.epoch, epoch, "for everybody");
    assert_eq!(gaps(&told), [(&page.end, Why::Epoch)]);
    publish(&other, "a", 200).await;
    seen.when(|notices| matches!(notices.last(), Some(Notice::Event(_)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_an_older_state_is_a_gap() {
    for others in [0, 2, 3, 6] {
        older_state(others).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_emptied_is_a_gap() {
    let redis = Redis::start(&[]);
    let (node, other) = (connect(redis.address()).await, connect(redis.address()).await);
    let (seen, _subscription) = subscribe(&node, "a").await;
    publish(&other, "a", 1).await;
    seen.events(1).await;
    redis.cli(&["flushall"]);
    let published = publish(&other, "a", 2).await;
    let told = seen.when(|notices| notices.len() >= 2).await;
    assert_eq!(gaps(&told), [(&published.position.expect("history"), Why::Epoch)]);
    publish(&other, "a", 3).await;
    seen.when(|notices| notices.len() >= 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_becomes_a_replica_is_left() {
    let (redis, other) = (Redis::start(&[]), Redis::start(&[]));
    let node = connect(redis.address()).await;
    redis.cli(&["replicaof", "127.0.0.1", &other.address().port().to_string()]);
    until(|| node.unavailable().is_some_and(|why| why.contains("role"))).await;
    assert!(node.publish("a", Event::new("e", json!(1))).await.is_err());
    redis.cli(&["replicaof", "no", "one"]);
    until(|| node.unavailable().is_none()).await;
    publish(&node, "a", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_replication_id_is_no_new_server() {
    let redis = Redis::start(&["--enable-debug-command", "yes"]);
    let node = connect(redis.address()).await;
    let before = publish(&node, "a", 1).await.position.expect("history");
    assert_eq!(redis.cli(&["debug", "change-repl-id"]), "OK");
    let probes = || {
        let stats = redis.cli(&["info", "commandstats"]);
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_info:calls="));
        // One of them is our own, and not counted yet.
        calls.and_then(|calls| calls.split(',').next()?.parse::<u64>().ok()).unwrap_or_default()
    };
    let (first, asked) = (probes(), AtomicU64::new(0));
    until(|| probes() >= first + asked.fetch_add(1, Ordering::Relaxed) + 3).await;
    let other = connect(redis.address()).await;
    for node in [&node, &other] {
        assert_eq!(node.unavailable(), None);
        assert_eq!(publish(node, "a", 2).await.position.expect("history").epoch, before.epoch);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_were_forgotten_are_loaded_again() {
    let redis = Redis::start(&[]);
    let node = connect(redis.address()).await;
    redis.cli(&["script", "flush"]);
    assert!(node.publish("a", Event::new("e", json!(1))).await.is_err());
    until(|| node.unavailable().is_none()).await;
    publish(&node, "a", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_memory_refuses() {
    let redis = Redis::start(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]);
    let node = connect(redis.address()).await;
    let (seen, subscription) = subscribe(&node, "a").await;
    let begin = subscription.position().expect("history").offset;
    let event = || Event::new("e", json!("x".repeat(60_000)));
    let mut accepted = 0;
    let refused = loop {
        match node.publish("a", event()).await {
            Ok(_) => accepted += 1,
            Err(error) => break error.to_string(),
        }
        assert!(accepted < 200, "more than there is room for");
    };
    assert!(refused.contains("OOM") || refused.contains("maxmemory"), "{refused}");
    assert_eq!(node.unavailable(), None);
    redis.cli(&["config", "set", "maxmemory", "100mb"]);
    let last = node.publish("a", event()).await.expect("published").position.expect("history");
    assert_eq!(last.offset, begin + accepted + 1);
    seen.events(accepted as usize + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures: publishes a second of two nodes, 200 at a time each"]
async fn throughput() {
    let redis = Redis::start(&[]);
    let nodes = [connect(redis.address()).await, connect(redis.address()).await];
    let (seen, _subscription) = subscribe(&nodes[1], "a0").await;
    let begun = Instant::now();
    join_all(nodes.iter().map(async |node| {
        for _ in 0..100 {
            join_all((0..200).map(|n| publish(node, if n % 2 == 0 { "a0" } else { "a1" }, n))).await;
        }
    }))
    .await;
    println!("{:.0} publishes a second", 40_000.0 / begun.elapsed().as_secs_f64());
    seen.events(20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures: publish to delivery, 1,000 publishes a second, two nodes"]
async fn latency() {
    let redis = Redis::start(&[]);
    let nodes = [options(redis.address()), options(redis.address())];
    let mut connected = Vec::new();
    for options in nodes {
        connected.push(RedisBroadcaster::connect(options, histories()).await.expect("connected"));
    }
    let begun = Instant::now();
    let delays = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let log = delays.clone();
    let sink = move |notice: &Notice| {
        let Notice::Event(delivery) = notice else { panic!("{notice:?}") };
        let sent: u64 = delivery.event.data().as_str().parse().expect("a number");
        log.lock().push(begun.elapsed().as_micros() as u64 - sent);
    };
    let _subscription = connected[1].subscribe("a".into(), Arc::new(sink)).await.expect("subscribed");
    let mut pace = interval(Duration::from_millis(1));
    let mut publishes = Vec::new();
    for _ in 0..10_000 {
        pace.tick().await;
        let node = connected[publishes.len() % 2].clone();
        publishes.push(tokio::spawn(async move {
            let event = Event::new("e", json!(begun.elapsed().as_micros() as u64));
            node.publish("a", event).await.expect("published");
        }));
    }
    for publish in publishes {
        publish.await.expect("published");
    }
    until(|| delays.lock().len() == 10_000).await;
    let mut delays = delays.lock().clone();
    delays.sort_unstable();
    let at = |share: usize| delays[delays.len() * share / 1_000];
    println!("{:?}: p50 {} µs, p99 {} µs, p99.9 {} µs", begun.elapsed(), at(500), at(990), at(999));
}
