//! The end of the gateway.

use crate::harness::{Client, Raw, Running, Said, Serving, both_ways, open_gateway, request, sub, until};
use serde_json::json;
use std::time::{Duration, Instant};
use tidings_server::{BroadcastError, Event, Gateway};

both_ways!(
    every_client_is_told,
    a_second_time_does_nothing,
    upgrades_are_refused,
    a_client_that_does_not_answer_is_not_waited_for_long,
    the_server_stops_with_clients_connected,
);

/// How often a gateway is closed, each time with clients that answer.
const ROUNDS: u32 = 10;

/// How long a gateway waits for a client that does not answer its close frame.
const UNANSWERED: Duration = Duration::from_secs(2);

async fn every_client_is_told(serving: Serving) {
    let mut took = Duration::ZERO;
    for _ in 0..ROUNDS {
        took += close(serving).await;
    }
    // Once or twice the machine may have been busy with something else.
    assert!(took < ROUNDS / 2 * UNANSWERED, "who has answered is waited for: {took:?}");
}

/// How long it takes to close a gateway whose clients answer. Embedded, actix-web ends their connections a second later.
async fn close(serving: Serving) -> Duration {
    let server = Running::start(serving, open_gateway());
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(&server).await;
        client.subscribe("a").await;
        clients.push(client);
    }
    server.gateway.publish("a", Event::new("last", json!(1))).await.expect("open");
    let closing = async {
        let begun = Instant::now();
        server.gateway.close().await;
        begun.elapsed()
    };
    let told = futures_util::future::join_all(clients.iter_mut().map(async |client: &mut Client| {
        assert!(client.next().await.starts_with(r#"{"t":"msg","c":"a","e":"last""#));
        assert_eq!(client.said().await, Said::Close(1012, "restarting".to_owned()));
        assert_eq!(client.said().await, Said::End);
    }));
    let (took, _) = futures_util::join!(closing, told);
    assert_eq!((server.gateway.client_count(), server.gateway.channel_count()), (0, 0));
    took
}

async fn a_second_time_does_nothing(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    let told = async {
        assert_eq!(client.said().await, Said::Close(1012, "restarting".to_owned()));
        assert_eq!(client.said().await, Said::End);
    };
    let other: Gateway = server.gateway.clone();
    futures_util::join!(server.gateway.close(), other.close(), told);
    server.gateway.close().await;
    let refused = server.gateway.publish("a", Event::new("e", json!(1))).await.expect_err("closed");
    assert!(matches!(refused, BroadcastError::Closed));
    assert_eq!(refused.code(), "broadcast.closed");
}

async fn upgrades_are_refused(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    server.gateway.close().await;
    let upgrade = ["connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13"];
    let headers = [&upgrade[..], &["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="]].concat();
    let answer = request(server.address, "GET /_broadcast", &headers, "").await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
}

async fn a_client_that_does_not_answer_is_not_waited_for_long(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Raw::connect(&server).await;
    let begun = Instant::now();
    server.gateway.close().await;
    until("it is forgotten", || server.gateway.client_count() == 0).await;
    // The gateway counts whole milliseconds.
    assert!(begun.elapsed() + Duration::from_millis(1) >= UNANSWERED, "it could have answered");
    assert_eq!(client.frame().await, (0x88, [&1012_u16.to_be_bytes()[..], b"restarting"].concat()));
}

async fn the_server_stops_with_clients_connected(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.send(sub("a")).await;
    let ended = tokio::task::spawn_blocking(move || drop(server));
    // Embedded, the application stops its server without a word to the gateway.
    let code = loop {
        match client.said().await {
            Said::Text(_) | Said::Pong(_) => {}
            Said::Close(code, _) => break Some(code),
            Said::End => break None,
        }
    };
    assert_eq!(code, (serving == Serving::Own).then_some(1012));
    while client.said().await != Said::End {}
    ended.await.expect("a server that stops");
}
