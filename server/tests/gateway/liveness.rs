//! Pings, and clients that do not answer them.

use crate::harness::{
    Client, PING, PONG, Raw, Running, Serving, both_ways, config, masked, ok, open_gateway, sub,
};
use futures_util::future::join_all;
use std::time::{Duration, Instant};
use tidings_server::Config;

const INTERVAL: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_millis(300);
/// For clients that answer: a busy machine takes its time.
const LONG_GRACE: Duration = Duration::from_secs(4);

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
