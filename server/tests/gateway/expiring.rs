//! What becomes of a client whose subject expires.

use crate::harness::{
    Client, Running, Said, Serving, Stream, auth, both_ways, config, err, open_gateway, sub, until,
};
use serde_json::json;
use std::time::{Duration, Instant, SystemTime};
use tidings_server::{Builder, Config, Event, Expiry, Subject, protocol::reason};

both_ways!(
    a_client_is_closed_after_its_grace,
    a_new_token_in_time_keeps_it,
    a_client_by_token_is_closed_too,
    a_client_becomes_nobody,
    an_expired_token_is_refused,
    an_event_stream_ends_at_once,
    an_event_stream_of_nobody_goes_on,
);

/// A request or a token says for how many milliseconds it makes ann of a client.
fn lasting(change: impl FnOnce(&mut Config)) -> Builder {
    let ann = |time: Option<&str>| {
        let time = Duration::from_millis(time?.parse().ok()?);
        Some(Subject::new("ann").with_expiry(SystemTime::now() + time))
    };
    open_gateway()
        .config(config(change))
        .authorize("private-ann", |_, subject| async move { subject.is_some() })
        .resolve_subject(move |request| async move { ann(request.query_string().split(['=', '&']).nth(1)) })
        .resolve_token(move |token| async move { ann(Some(&*token)) })
}

fn closing(grace: u64) -> Builder {
    lasting(|c| c.expiry_grace = Duration::from_millis(grace))
}

async fn a_client_is_closed_after_its_grace(serving: Serving) {
    let server = Running::start(serving, closing(100));
    let began = Instant::now();
    let mut client = Client::connect_with(&server, "?ms=1000").await;
    assert_eq!(client.said().await, Said::Close(4005, "token expired".to_owned()));
    // The gateway counts whole milliseconds: of what is left, and of its own time.
    assert!(began.elapsed() >= Duration::from_millis(1_100 - 2), "{:?}", began.elapsed());
    server.empty().await;
}

async fn a_new_token_in_time_keeps_it(serving: Serving) {
    let server = Running::start(serving, closing(1_000));
    let mut client = Client::connect_with(&server, "?ms=3600000").await;
    client.subscribe("private-ann").await;
    // In time, however long this test may be held up: one that ends soon, and its successor.
    client.send_together([auth("2000"), auth("3600000")]).await;
    for _ in 0..2 {
        assert!(client.next().await.starts_with(r#"{"t":"auth","exp":"#));
    }
    // The first one is over before that of one who has come later.
    let mut idle = Client::connect_with(&server, "?ms=2000").await;
    assert_eq!(idle.expect_close().await, 4005);
    server.gateway.publish("private-ann", Event::new("e", json!(1))).await.expect("open");
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"private-ann""#));
    client.silence().await;
}

async fn a_client_by_token_is_closed_too(serving: Serving) {
    let server = Running::start(serving, closing(50));
    let mut client = Client::connect(&server).await;
    client.send(auth("1000")).await;
    assert!(client.next().await.starts_with(r#"{"t":"auth","exp":"#));
    assert_eq!(client.expect_close().await, 4005);
}

async fn a_client_becomes_nobody(serving: Serving) {
    let server = Running::start(serving, lasting(|c| c.expiry = Expiry::Downgrade));
    let mut client = Client::connect_with(&server, "?ms=3600000").await;
    client.subscribe("private-ann").await;
    client.subscribe("open").await;
    client.send(auth("1000")).await;
    assert!(client.next().await.starts_with(r#"{"t":"auth","exp":"#));
    client.expect(&err("private-ann", reason::UNAUTHORIZED)).await;
    for channel in ["private-ann", "open"] {
        server.gateway.publish(channel, Event::new("e", json!(1))).await.expect("open");
    }
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"open""#));
    client.send(auth("3600000")).await;
    assert!(client.next().await.starts_with(r#"{"t":"auth","exp":"#));
    client.subscribe("private-ann").await;
}

async fn an_expired_token_is_refused(serving: Serving) {
    let server = Running::start(serving, closing(1_000));
    let mut client = Client::connect_with(&server, "?ms=3600000").await;
    client.send(auth("0")).await;
    client.expect(&err("", reason::UNAUTHORIZED)).await;
    client.subscribe("private-ann").await;
    let mut nobody = Client::connect_with(&server, "?ms=0").await;
    nobody.expect(&err("", reason::UNAUTHORIZED)).await;
    nobody.send(sub("private-ann")).await;
    nobody.expect(&err("private-ann", reason::UNAUTHORIZED)).await;
}

async fn an_event_stream_ends_at_once(serving: Serving) {
    for expiry in [Expiry::Close, Expiry::Downgrade] {
        let change = |c: &mut Config| (c.expiry, c.expiry_grace) = (expiry, Duration::from_secs(3_600));
        let server = Running::start(serving, lasting(change));
        let began = Instant::now();
        let mut stream = Stream::open(&server, "ms=2000&channel=open&channel=private-ann").await;
        stream.expect_end().await;
        // The gateway counts whole milliseconds.
        assert!(began.elapsed() >= Duration::from_millis(2_000 - 2), "{:?}", began.elapsed());
        until("nothing is left", || server.gateway.client_count() == 0).await;
    }
}

async fn an_event_stream_of_nobody_goes_on(serving: Serving) {
    let server = Running::start(serving, closing(0));
    let mut stream = Stream::open(&server, "ms=0&channel=open").await;
    let mut client = Client::connect_with(&server, "?ms=1000").await;
    assert_eq!(client.expect_close().await, 4005);
    until("subscribed", || server.gateway.subscriber_count("open") == 1).await;
    server.gateway.publish("open", Event::new("e", json!(1))).await.expect("open");
    stream.expect("e", "1").await;
}
