//! Pings, and clients that do not answer them.

use crate::harness::{
    Client, PING, PONG, Raw, Running, Serving, Standstill, both_ways, config, masked, ok, open_gateway, sub,
    until,
};
use futures_util::future::join_all;
use serde_json::json;
use std::time::{Duration, Instant};
use tidings_server::{Config, Event, Metrics};

const INTERVAL: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_millis(300);
/// For clients that answer: a busy machine takes its time.
const LONG_GRACE: Duration = Duration::from_secs(4);

both_ways!(
    a_silent_client_is_closed,
    a_client_that_answers_stays,
    anything_is_a_sign_of_life,
    an_answer_is_read_however_long_the_gateway_stood_still,
    a_queue_is_written_however_long_the_gateway_stood_still,
    no_pings_when_off
);

fn brisk(grace: Duration) -> Config {
    config(|c| {
        c.ping_interval = INTERVAL;
        c.ping_grace = grace;
    })
}

/// A client that says nothing is pinged until it is closed.
async fn silent(mut client: Raw) {
    let mut pings = 0;
    loop {
        match client.any_frame().await {
            (0x81, text) if text == PING.as_bytes() => pings += 1,
            (first, close) => {
                let expected = [&4001_u16.to_be_bytes()[..], b"ping timeout"].concat();
                assert_eq!((first, close), (0x88, expected), "after {pings} pings");
                break;
            }
        }
    }
    assert!(pings > 0);
}

async fn a_silent_client_is_closed(serving: Serving) {
    let server = Running::start(serving, open_gateway().config(brisk(GRACE)));
    let begun = Instant::now();
    silent(Raw::connect(&server).await).await;
    // The gateway counts whole milliseconds.
    assert!(begun.elapsed() + Duration::from_millis(1) >= INTERVAL + GRACE);
    server.empty().await;
}

/// Whoever answers each ping in this way is there when one who came later and does not is closed.
async fn outlive(server: &Running, mut answer: impl AsyncFnMut()) {
    let answering = async {
        loop {
            answer().await;
        }
    };
    tokio::select! {
        () = answering => {}
        () = async { silent(Raw::connect(server).await).await } => {}
    }
}

async fn a_client_that_answers_stays(serving: Serving) {
    let server = Running::start(serving, open_gateway().config(brisk(LONG_GRACE)));
    let mut client = Client::connect(&server).await;
    outlive(&server, async || client.ping().await).await;
    assert_eq!(server.gateway.dropped_frame_count(), 0);
    client.silence().await;
    assert_eq!(client.close_with(1000).await, 1000);
}

async fn anything_is_a_sign_of_life(serving: Serving) {
    let server = Running::start(serving, open_gateway().config(brisk(LONG_GRACE)));
    let signs = [
        (masked(0x8a, b""), None),
        (masked(0x81, PONG.as_bytes()), None),
        (masked(0x82, b"binary"), None),
        (masked(0x81, b"nonsense"), None),
        (masked(0x00, b" in parts"), Some(masked(0x01, b"a message"))),
    ];
    join_all(signs.map(async |(sign, first)| {
        let mut client = Raw::connect(&server).await;
        client.send(&first.unwrap_or_default()).await;
        outlive(&server, async || {
            assert_eq!(client.any_frame().await, (0x81, PING.as_bytes().to_vec()));
            client.send(&sign).await;
        })
        .await;
    }))
    .await;
}

/// Waits until whatever the gateway waited for is over.
async fn out_of_time(since: Instant) {
    until("the time is over", || since.elapsed() > INTERVAL + LONG_GRACE).await;
}

async fn an_answer_is_read_however_long_the_gateway_stood_still(serving: Serving) {
    let builder = open_gateway().config(brisk(LONG_GRACE));
    let (server, mut standstill) = Standstill::prepare(serving, builder).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Raw::connect(&server).await);
    }
    for client in &mut clients {
        assert_eq!(client.any_frame().await, (0x81, PING.as_bytes().to_vec()));
    }
    standstill.begin().await;
    let begun = Instant::now();
    for client in &mut clients {
        client.send(&masked(0x81, PONG.as_bytes())).await;
    }
    out_of_time(begun).await;
    drop(standstill);
    for client in &mut clients {
        client.send(&masked(0x81, sub("a").as_bytes())).await;
        assert_eq!(client.text().await, ok("a"));
    }
}

fn metric(server: &Running, name: &str) -> u64 {
    let text = Metrics::new(&server.gateway).text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.expect("the metric").parse().expect("a number")
}

async fn a_queue_is_written_however_long_the_gateway_stood_still(serving: Serving) {
    let builder = open_gateway().config(config(|c| {
        // Their time shows that the gateway stood still.
        (c.ping_interval, c.ping_grace) = (INTERVAL, Duration::from_secs(3_600));
        (c.limits.queue_bytes, c.limits.queue_stall) = (64 * 1024 * 1024, LONG_GRACE);
    }));
    let (server, mut standstill) = Standstill::prepare(serving, builder).await;
    let mut client = Raw::connect(&server).await;
    client.send(&masked(0x81, sub("a").as_bytes())).await;
    assert_eq!(client.text().await, ok("a"));
    let data = json!("x".repeat(100_000));
    let mut published = 0;
    // Many events: of the last one or two it may be that nobody has asked yet whether they are taken.
    while metric(&server, "tidings_queued_bytes") < 2_000_000 {
        server.gateway.publish("a", Event::new("e", data.clone())).await.expect("open");
        published += 1;
        until("it is handed on", || metric(&server, "tidings_deliveries_total") == published).await;
    }
    standstill.begin().await;
    out_of_time(Instant::now()).await;
    drop(standstill);
    for _ in 0..published {
        assert!(client.text().await.len() > 100_000);
    }
}

async fn no_pings_when_off(serving: Serving) {
    let off = config(|c| {
        c.ping_interval = Duration::ZERO;
        c.ping_grace = Duration::from_millis(1);
    });
    let server = Running::start(serving, open_gateway().config(off));
    let mut client = Raw::connect(&server).await;
    let waited = tokio::time::timeout(Duration::from_millis(200), client.any_frame()).await;
    assert!(waited.is_err(), "{waited:?}");
    client.send(&masked(0x81, sub("a").as_bytes())).await;
    assert_eq!(client.any_frame().await, (0x81, ok("a").into_bytes()));
}
