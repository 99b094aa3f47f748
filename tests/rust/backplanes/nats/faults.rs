//! What else servers of NATS do: they die, sleep and forget, alone and in a cluster.

use super::{connect, options, patient};
use crate::{
    node::{histories, publish, publish_at_last, subscribe, until, until_down, until_up, within},
    proxy::Proxy,
    rig::Rig,
    servers::{Port, copy, nats::Server},
};
use futures_util::future::{join, join_all};
use serde_json::json;
use std::time::Duration;
use tidings_server::{
    BroadcastError, Broadcaster, Event, NatsBroadcaster, NatsOptions, Notice, Published, Range,
};

/// A publish that cannot be decided is refused by then.
const REFUSED_WITHIN: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_away_publishes_are_refused_in_time_and_subscribers_stay() {
    let mut server = Server::start();
    let node = connect(&options(&[server.url()])).await;
    let (seen, _subscription) = subscribe(&*node, "a").await;
    publish(&*node, "a", 1).await;
    server.kill();
    until_down(&*node).await;
    let publishes = (0..100).map(|n| node.publish("a", Event::new("e", json!(100 + n))));
    let refused = within(REFUSED_WITHIN, join_all(publishes)).await;
    assert!(refused.iter().all(|refused| matches!(refused, Err(BroadcastError::Publish(_)))));
    assert!(matches!(node.subscribe("new".into(), seen.sink()).await, Err(BroadcastError::Subscribe(_))));
    server.restart();
    publish_at_last(&*node, "a", Event::new("e", json!(2)).with_key("2")).await;
    assert_eq!(seen.events(2).await.len(), 2);
}

/// A cluster, and the streams on all three.
async fn cluster() -> ([Server; 3], NatsOptions) {
    with_streams(Server::cluster()).await
}

async fn with_streams(servers: [Server; 3]) -> ([Server; 3], NatsOptions) {
    let options = options(&servers.each_ref().map(Server::url)).with_replicas(3);
    let connected = async || NatsBroadcaster::connect(options.clone(), histories()).await.is_ok();
    until("a cluster is there", connected).await;
    (servers, options)
}

/// The nodes begin with different servers.
async fn rotated(options: &NatsOptions) -> Rig {
    let nodes = [0, 1, 2].map(async |by| {
        let mut options = options.clone();
        options.servers.rotate_left(by);
        connect(&options).await
    });
    Rig::of(join_all(nodes).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_three_servers_is_killed_and_so_is_the_leader() {
    let (mut servers, options) = cluster().await;
    let rig = rotated(&options).await;
    for server in &mut servers {
        server.kill();
        rig.goes_on().await;
        server.restart();
        rig.goes_on().await;
    }
    rig.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_a_majority_accepts_nothing_and_goes_on_with_one() {
    let (mut servers, options) = cluster().await;
    let rig = rotated(&options).await;
    servers[1].kill();
    servers[2].kill();
    let event = Event::new("e", json!(5_000_000));
    let refused = within(REFUSED_WITHIN, rig.nodes[2].publish("a", event)).await;
    assert!(matches!(refused, Err(BroadcastError::Publish(_))), "{refused:?}");
    servers[1].restart();
    rig.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_between_servers_are_reset_and_their_clients_stay() {
    let routes = [Port::hold(), Port::hold(), Port::hold()];
    let proxies = join_all(routes.each_ref().map(|port| Proxy::start(port.address()))).await;
    let from = [0, 1, 2].map(|n: usize| proxies[n].address().port());
    let (servers, mut options) = with_streams(Server::cluster_over(routes, from)).await;
    let listener = {
        let mut options = options.clone();
        options.servers = vec![servers[2].url()];
        options
    };
    options.servers.pop();
    let rig = Rig::of(join_all([&options, &options, &listener].map(connect)).await).await;
    for _ in 0..10 {
        proxies.iter().for_each(Proxy::cut);
        rig.goes_on().await;
    }
    rig.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_last_events_begins_another_epoch() {
    let mut server = Server::start();
    let proxy = Proxy::start(server.address).await;
    let options = patient(&format!("nats://{}", proxy.address()));
    let (one, two) = (connect(&options).await, connect(&options).await);
    let (seen, subscription) = subscribe(&*one, "a").await;
    let start = subscription.position().expect("history").clone();
    for n in 0..5 {
        publish(&*two, "a", n).await;
    }
    // A copy of what an orderly end leaves.
    server.kill();
    join(until_down(&*one), until_down(&*two)).await;
    let old = server.store().with_extension("old");
    copy(&server.store(), &old);
    server.restart();
    until_up(&*two).await;
    for n in 5..10 {
        publish(&*two, "a", n).await;
    }
    seen.events(10).await;
    server.kill();
    join(until_down(&*one), until_down(&*two)).await;
    copy(&old, &server.store());
    server.restart();
    until_up(&*one).await;
    until_up(&*two).await;
    // A node is up before its channels are: what is published until they are is told by the gap.
    seen.when(|told| told.len() > 10).await;
    let published = publish(&*two, "a", 10).await.position.expect("history");
    assert_ne!(published.epoch, start.epoch);
    let told = seen
        .when(|told| matches!(told.last(), Some(Notice::Event(e)) if e.event.data().as_str() == "10"))
        .await;
    let gap = &told[told.len() - 2];
    assert!(matches!(gap, Notice::Gap { position, .. } if position.epoch == published.epoch), "{told:?}");
    let page = one.history("a", Range::After { offset: 0, limit: 100 }).await.expect("open");
    let page = page.expect("history");
    assert_eq!((page.events.len(), page.end), (6, published));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_last_events_and_got_others_begins_another_epoch() {
    let mut server = Server::start();
    let proxy = Proxy::start(server.address).await;
    let near = patient(&server.url());
    let node = connect(&patient(&format!("nats://{}", proxy.address()))).await;
    let (seen, subscription) = subscribe(&*node, "a").await;
    publish(&*node, "a", 0).await;
    server.kill();
    until_down(&*node).await;
    let old = server.store().with_extension("old");
    copy(&server.store(), &old);
    server.restart();
    until_up(&*node).await;
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
    until_up(&*node).await;
    let told = seen.when(|told| told.len() > 2).await;
    let start = subscription.position().expect("history");
    assert!(matches!(&told[2], Notice::Gap { position, .. } if position.epoch != start.epoch), "{told:?}");
    // The other node follows.
    let publish = || other.publish("a", Event::new("e", json!(99)));
    let other_epoch = |published: Published| published.position.is_some_and(|p| p.epoch != start.epoch);
    until("the epoch is another one", async || publish().await.is_ok_and(other_epoch)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_deleted_and_made_again_has_another_epoch() {
    let server = Server::start();
    let node = connect(&patient(&server.url())).await;
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
