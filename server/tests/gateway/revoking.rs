//! An operator locks out users and tokens, on every gateway.

use crate::harness::{
    Client, Running, Serving, Stream, auth, both_ways, err, knowing, known, request, until,
};
use futures_util::future::BoxFuture;
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tidings_server::{
    BroadcastError, Broadcaster, Event, MemoryBroadcaster, Notice, Page, Position, Published, Range,
    Revocation, Sink, Subscription,
    protocol::{Why, reason},
};

both_ways!(
    a_token_is_closed_and_refused_everywhere,
    a_user_is_known_by_what_was_issued_later,
    an_event_stream_ends_and_does_not_come_back,
    a_gateway_that_starts_later_knows,
    a_gateway_that_has_missed_it_reads_it,
    a_revocation_is_forgotten_in_time,
    what_cannot_be_revoked_is_refused,
);

const HOUR: Duration = Duration::from_secs(3_600);

fn token(id: &str) -> Revocation {
    Revocation::Token { id: id.into(), until: SystemTime::now() + HOUR }
}

/// A client that comes by this token is told that it is nobody.
async fn expect_refused(server: &Running, token: &str) -> Client {
    let mut client = Client::connect_with(server, &format!("?token={token}")).await;
    client.expect(&err("", reason::UNAUTHORIZED)).await;
    client
}

async fn a_token_is_closed_and_refused_everywhere(serving: Serving) {
    let memory = MemoryBroadcaster::default();
    let [near, far] = [(); 2].map(|()| Running::start(serving, knowing(memory.clone())));
    let mut gone = [known(&near, "ann.1").await, known(&far, "ann.1").await];
    let mut stays = known(&far, "ann.2").await;
    near.gateway.revoke(token("1")).await.expect("accepted");
    for client in &mut gone {
        assert_eq!(client.expect_close().await, 4003);
    }
    for server in [&near, &far] {
        let mut refused = expect_refused(server, "ann.1").await;
        refused.send(auth("ann.1")).await;
        refused.expect(&err("", reason::UNAUTHORIZED)).await;
        refused.send(auth("ann.2")).await;
        refused.expect(r#"{"t":"auth"}"#).await;
        known(server, "ann.2").await;
    }
    near.gateway.publish("private-a", Event::new("e", json!(1))).await.expect("open");
    assert!(stays.next().await.starts_with(r#"{"t":"msg","c":"private-a""#));
}

async fn a_user_is_known_by_what_was_issued_later(serving: Serving) {
    let server = Running::start(serving, knowing(MemoryBroadcaster::default()));
    let mut gone = [known(&server, "ann.1.1000").await, known(&server, "ann.2").await];
    let mut stays = [known(&server, "ann.3.2000").await, known(&server, "bob.4.1000").await];
    let issued_before = UNIX_EPOCH + Duration::from_secs(2_000);
    server.gateway.revoke(Revocation::User { id: "ann".into(), issued_before }).await.expect("accepted");
    for client in &mut gone {
        assert_eq!(client.expect_close().await, 4003);
    }
    for client in &mut stays {
        client.silence().await;
    }
    for old in ["ann.1.1999", "ann.2"] {
        expect_refused(&server, old).await;
    }
    for new in ["ann.5.2001", "bob.6"] {
        known(&server, new).await;
    }
}

async fn an_event_stream_ends_and_does_not_come_back(serving: Serving) {
    let server = Running::start(serving, knowing(MemoryBroadcaster::default()));
    let query = "token=ann.1&channel=private-a";
    let mut stream = Stream::open(&server, query).await.live().await;
    server.gateway.revoke(token("1")).await.expect("accepted");
    stream.expect_end().await;
    let answer = request(server.address, &format!("GET /_broadcast/sse?{query}"), &[], "").await;
    assert_eq!(answer.status, 403);
}

async fn a_gateway_that_starts_later_knows(serving: Serving) {
    let memory = MemoryBroadcaster::default();
    let near = Running::start(serving, knowing(memory.clone()));
    // Nobody is connected anywhere, and nobody listens.
    for n in 0..1_500 {
        near.gateway.revoke(token(&n.to_string())).await.expect("accepted");
    }
    expect_refused(&near, "ann.0").await;
    let far = Running::start(serving, knowing(memory));
    // A thousand events are kept; what is older is said again in a minute.
    for n in [500, 1_000, 1_499] {
        expect_refused(&far, &format!("ann.{n}")).await;
    }
    known(&far, "ann.1500").await;
}

/// A broadcaster over memory whose subscribers hear nothing.
#[derive(Clone)]
struct Deaf {
    memory: MemoryBroadcaster,
    sinks: Arc<Mutex<HashMap<Arc<str>, Sink>>>,
}

impl Broadcaster for Deaf {
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        event: Event,
    ) -> BoxFuture<'a, Result<Published, BroadcastError>> {
        self.memory.publish(channel, event)
    }

    fn subscribe(
        &self,
        channel: Arc<str>,
        sink: Sink,
    ) -> BoxFuture<'_, Result<Subscription, BroadcastError>> {
        self.sinks.lock().expect("no panic").insert(channel, sink);
        Box::pin(async { Ok(Subscription::new((), None)) })
    }

    fn history<'a>(
        &'a self,
        channel: &'a str,
        range: Range,
    ) -> BoxFuture<'a, Result<Option<Page>, BroadcastError>> {
        self.memory.history(channel, range)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.memory.close()
    }
}

async fn a_gateway_that_has_missed_it_reads_it(serving: Serving) {
    let memory = MemoryBroadcaster::default();
    let near = Running::start(serving, knowing(memory.clone()));
    let deaf = Deaf { memory, sinks: Arc::default() };
    let far = Running::start(serving, knowing(deaf.clone()));
    let mut client = Client::connect_with(&far, "?token=ann.1").await;
    client.send(auth("ann.1")).await;
    client.expect(r#"{"t":"auth"}"#).await;
    near.gateway.revoke(token("1")).await.expect("accepted");
    client.silence().await;
    let position = Position { epoch: "e".into(), offset: 1 };
    let gap = Notice::Gap { position, why: Why::Backplane };
    let sink = deaf.sinks.lock().expect("no panic")["tidings revoke"].clone();
    sink(&gap);
    assert_eq!(client.expect_close().await, 4003);
    expect_refused(&far, "ann.1").await;
}

async fn a_revocation_is_forgotten_in_time(serving: Serving) {
    let server = Running::start(serving, knowing(MemoryBroadcaster::default()));
    let mut client = known(&server, "ann.1").await;
    let end = SystemTime::now() + Duration::from_secs(3);
    server.gateway.revoke(Revocation::Token { id: "1".into(), until: end }).await.expect("accepted");
    assert_eq!(client.expect_close().await, 4003);
    until("it is over", || SystemTime::now() > end).await;
    known(&server, "ann.1").await;
}

async fn what_cannot_be_revoked_is_refused(serving: Serving) {
    let server = Running::start(serving, knowing(MemoryBroadcaster::default()));
    for (revocation, named) in [
        (token(""), "token"),
        (Revocation::Token { id: "1".into(), until: UNIX_EPOCH }, "until"),
        (Revocation::User { id: "".into(), issued_before: UNIX_EPOCH }, "user"),
    ] {
        let refused = server.gateway.revoke(revocation).await.expect_err("invalid");
        assert!(matches!(&refused, BroadcastError::Config(text) if text.contains(named)), "{refused}");
    }
    for n in 0..10_000 {
        server.gateway.revoke(token(&n.to_string())).await.expect("accepted");
    }
    let refused = server.gateway.revoke(token("one more")).await.expect_err("too many");
    assert!(refused.to_string().contains("10,000"), "{refused}");
}
