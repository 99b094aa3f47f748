//! Pings, and clients that do not answer them.

use crate::harness::{Client, Raw, Running, Said, Serving, both_ways, config, masked, ok, open_gateway, sub};
use std::time::{Duration, Instant};
use tidings_server::Config;

const INTERVAL: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_millis(300);
/// For clients that answer: a busy machine takes its time.
const LONG_GRACE: Duration = Duration::from_secs(1);

both_ways!(
    a_silent_client_is_closed,
    a_client_that_answers_stays,
    anything_is_a_sign_of_life,
    no_pings_when_off
);

fn brisk(grace: Duration) -> Config {
    config(|c| {
        c.ping_interval = INTERVAL;
        c.ping_grace = grace;
    })
}

async fn a_silent_client_is_closed(serving: Serving) {
    let server = Running::start(serving, open_gateway().config(brisk(GRACE)));
    let begun = Instant::now();
    let mut client = Client::connect(&server).await;
    client.send(sub("a")).await;
    client.expect(&ok("a")).await;
    client.expect(r#"{"t":"ping"}"#).await;
    assert!(begun.elapsed() >= INTERVAL);
    loop {
        match client.said().await {
            Said::Text(text) => assert_eq!(text, r#"{"t":"ping"}"#),
            said => {
                assert_eq!(said, Said::Close(4001, "ping timeout".to_owned()));
                break;
            }
        }
    }
    assert!(begun.elapsed() >= INTERVAL + GRACE);
    server.empty().await;
}

async fn a_client_that_answers_stays(serving: Serving) {
    let server = Running::start(serving, open_gateway().config(brisk(LONG_GRACE)));
    let mut client = Client::connect(&server).await;
    let begun = Instant::now();
    while begun.elapsed() < 2 * (INTERVAL + LONG_GRACE) {
        client.expect(r#"{"t":"ping"}"#).await;
        client.send(r#"{"t":"pong"}"#).await;
    }
    assert_eq!(server.gateway.dropped_frame_count(), 0);
    assert_eq!(client.close_with(1000).await, 1000);
}

async fn anything_is_a_sign_of_life(serving: Serving) {
    let server = Running::start(serving, open_gateway().config(brisk(LONG_GRACE)));
    for sign in [masked(0x8a, b""), masked(0x82, b"binary"), masked(0x81, b"nonsense")] {
        let mut client = Raw::connect(&server).await;
        let begun = Instant::now();
        while begun.elapsed() < 2 * (INTERVAL + LONG_GRACE) {
            assert_eq!(client.text().await, r#"{"t":"ping"}"#);
            client.send(&sign).await;
        }
    }
    let mut client = Raw::connect(&server).await;
    client.send(&masked(0x01, b"a message")).await;
    let begun = Instant::now();
    while begun.elapsed() < 2 * (INTERVAL + LONG_GRACE) {
        assert_eq!(client.text().await, r#"{"t":"ping"}"#);
        client.send(&masked(0x00, b" in parts")).await;
    }
}

async fn no_pings_when_off(serving: Serving) {
    let off = config(|c| {
        c.ping_interval = Duration::ZERO;
        c.ping_grace = Duration::from_millis(1);
    });
    let server = Running::start(serving, open_gateway().config(off));
    let mut client = Client::connect(&server).await;
    assert_eq!(client.next_within(Duration::from_millis(200)).await, None);
    client.subscribe("a").await;
}
