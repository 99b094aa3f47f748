//! Clients that are sent away, one after the other.

use crate::harness::{Client, Running, Said, Serving, Standstill, both_ways, config, open_gateway, request};
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tidings_server::Event;

both_ways!(
    everyone_is_told_first_and_served_until_the_close,
    the_pace_is_kept,
    the_longest_time_is_kept,
    nobody_is_let_in,
    nobody_there_is_nothing_to_wait_for,
);

/// When the gateway has asked the client to come back, in milliseconds.
async fn bye(client: &mut Client) -> u64 {
    let bye: Value = serde_json::from_str(&client.next().await).expect("JSON");
    assert_eq!((&bye["t"], &bye["code"]), (&json!("bye"), &json!(1012)));
    bye["after"].as_u64().expect("milliseconds")
}

async fn clients(server: &Running, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect_in_time(server).await;
        client.subscribe("a").await;
        clients.push(client);
    }
    clients
}

async fn everyone_is_told_first_and_served_until_the_close(serving: Serving) {
    let settings = config(|config| config.limits.connections_per_second = 20);
    let (server, mut standstill) = Standstill::prepare(serving, open_gateway().config(settings)).await;
    let mut clients = clients(&server, 10).await;
    let gateway = server.gateway.clone();
    let mut draining = Box::pin(gateway.drain());
    // The workers are told, and then handed an event, before they look at whose time has come.
    standstill.begin().await;
    assert!(futures_util::poll!(&mut draining).is_pending());
    gateway.publish("a", Event::new("late", json!(1))).await.expect("open");
    drop(standstill);
    let draining = async {
        draining.await;
        assert_eq!(gateway.client_count(), 0);
    };
    let talking = async {
        let mut hints = Vec::new();
        for client in &mut clients {
            hints.push(bye(client).await);
            assert!(client.next().await.contains("late"));
        }
        for client in &mut clients {
            assert_eq!(client.expect_close().await, 1012);
        }
        hints.sort_unstable();
        hints.dedup();
        assert!(hints.len() > 5, "not all at once: {hints:?}");
    };
    futures_util::join!(draining, talking);
    gateway.drain().await;
}

async fn the_pace_is_kept(serving: Serving) {
    let settings = config(|config| config.limits.connections_per_second = 50);
    let server = Running::start(serving, open_gateway().config(settings));
    let mut clients = clients(&server, 20).await;
    let begun = Instant::now();
    let gateway = server.gateway.clone();
    let talking = futures_util::future::join_all(clients.iter_mut().map(async |client: &mut Client| {
        let after = bye(client).await;
        assert_eq!(client.said().await, Said::Close(1012, "restarting".to_owned()));
        // The gateway counts whole milliseconds.
        assert!(
            begun.elapsed() + Duration::from_millis(1) >= Duration::from_millis(after),
            "not before its time"
        );
        assert_eq!(client.said().await, Said::End);
        after
    }));
    let ((), hints) = futures_util::join!(gateway.drain(), talking);
    assert!(hints.iter().all(|after| *after < 400), "twenty at fifty a second: {hints:?}");
    assert!(hints.iter().any(|after| *after >= 200), "{hints:?}");
}

async fn the_longest_time_is_kept(serving: Serving) {
    let settings = config(|config| {
        config.limits.connections_per_second = 5;
        config.drain = Duration::from_millis(100);
    });
    let server = Running::start(serving, open_gateway().config(settings));
    let mut clients = clients(&server, 5).await;
    let gateway = server.gateway.clone();
    let talking = async {
        for client in &mut clients {
            assert!(bye(client).await < 100);
            assert_eq!(client.expect_close().await, 1012);
        }
    };
    futures_util::join!(gateway.drain(), talking);
}

async fn nobody_is_let_in(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    server.gateway.drain().await;
    let headers = [
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let answer = request(server.address, "GET /_broadcast", &headers, "").await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
}

async fn nobody_there_is_nothing_to_wait_for(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    assert_eq!(server.gateway.drain().now_or_never(), Some(()));
}
