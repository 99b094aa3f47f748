//! What else a node's subscribers hear of when Redis or the way to it fails.

use super::{DURABLE, connect, connect_hastily};
use crate::{
    node::{gaps, publish, subscribe, until, until_down, until_up},
    proxy::Proxy,
    rig::Rig,
    servers::{copy, redis::Redis},
};
use futures_util::{
    FutureExt,
    future::{join, join_all},
};
use serde_json::json;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tidings_server::{Broadcaster, Event, Notice, Range, RedisOptions, protocol::Why};

const ALL: Range = Range::After { offset: 0, limit: 1_000 };

/// Everybody is told once that the epoch is another one.
async fn ends_with_another_epoch(rig: Rig) {
    for told in rig.ends().await {
        let gaps = gaps(&told);
        assert!(matches!(gaps[..], [(_, Why::Epoch)]), "{gaps:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_may_have_forgotten_some_is_a_gap() {
    // As Redis is installed, and with what it calls "append only", which a killed process may lose some of.
    for arguments in [&[][..], &["--appendonly", "yes"]] {
        let mut redis = Redis::start(arguments);
        let rig = Rig::over(&redis).await;
        redis.kill();
        rig.is_down().await;
        redis.start_again();
        ends_with_another_epoch(rig).await;
    }
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
    until_down(&node).await;
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

/// While it reads what is on disk it says that it writes nothing there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_slow_to_start_again_goes_on() {
    let mut redis = Redis::start(&[&DURABLE[..], &["--key-load-delay", "200"]].concat());
    redis.cli(&["eval", "for n = 1, 5000 do redis.call('set', 'other:' .. n, n) end", "0"]);
    let rig = Rig::over(&redis).await;
    for _ in 0..3 {
        redis.kill();
        rig.is_down().await;
        redis.start_again();
        rig.is_up().await;
    }
    rig.ends_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_subscribed_stays_while_redis_is_down() {
    let mut redis = Redis::start(&DURABLE);
    let (node, other) = (connect(redis.address()).await, connect(redis.address()).await);
    let (seen, subscription) = subscribe(&node, "a").await;
    let (live, _live) = subscribe(&node, "live.a").await;
    publish(&node, "a", 1).await;
    redis.kill();
    join(until_down(&node), until_down(&other)).await;
    // Refused at once: nothing is waited for.
    assert!(matches!(node.publish("a", Event::new("e", json!(0))).now_or_never(), Some(Err(_))));
    assert!(matches!(node.history("a", ALL).now_or_never(), Some(Err(_))));
    assert!(matches!(node.subscribe("b".into(), seen.sink()).now_or_never(), Some(Err(_))));
    // A channel that is there takes another subscriber meanwhile.
    let (second, _second) = subscribe(&node, "a").await;
    redis.start_again();
    until_up(&node).await;
    until_up(&other).await;
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
        until("it has copied", async || {
            this.replica.cli(&["info", "replication"]).contains("master_link_status:up")
        })
        .await;
        this
    }

    /// Lets the replica have all that there is, and nothing that follows.
    async fn fall_behind(&self) {
        // Redis waits for what the same connection has written.
        let said = self.master.cli_all("set last 1\nwait 1 100000\n");
        assert_eq!(said, "OK\n1");
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
    let rig = Rig::over(&servers.master).await;
    servers.fall_behind().await;
    rig.goes_on().await;
    servers.promote();
    rig.links.iter().for_each(|link| link.lead_to(servers.replica.address()));
    ends_with_another_epoch(rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_is_where_the_sentinel_says() {
    let mut master = Redis::start(&[]);
    let port = master.address().port();
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &port.to_string()]);
    until("it has copied", async || replica.cli(&["info", "replication"]).contains("master_link_status:up"))
        .await;
    let sentinel = Redis::start_sentinel(&format!(
        // It fails over when the test says so, and not when the machine is busy.
        "sentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 3600000\n"
    ));
    until("it is known", async || sentinel.cli(&["sentinel", "replicas", "main"]).contains("127.0.0.1"))
        .await;
    let options =
        RedisOptions::from_url(&format!("redis://main?sentinel=127.0.0.1:1,{}", sentinel.address()))
            .expect("an address")
            .probe_every(Duration::from_millis(300));
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(connect_hastily(options.clone()).await);
    }
    let rig = Rig::of(nodes).await;
    master.kill();
    rig.is_down().await;
    until("it fails over", async || sentinel.cli(&["sentinel", "failover", "main"]) == "OK").await;
    ends_with_another_epoch(rig).await;
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
    let folder = redis.folder();
    let (there, older) = (folder.join("appendonlydir"), folder.join("older"));
    copy(&there, &older);
    for n in 8..=10 {
        publish(&node, "a", n).await;
    }
    seen.events(10).await;
    door.refuse(true);
    redis.kill();
    copy(&older, &there);
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
    until("it is left", async || node.unavailable().is_some_and(|why| why.contains("role"))).await;
    assert!(node.publish("a", Event::new("e", json!(1))).await.is_err());
    redis.cli(&["replicaof", "no", "one"]);
    until_up(&node).await;
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
    until("it is probed", async || probes() >= first + asked.fetch_add(1, Ordering::Relaxed) + 3).await;
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
    until_up(&node).await;
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
