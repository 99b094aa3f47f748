//! `auth`: who a client is, and becomes.

use crate::harness::{
    Client, Door, Running, Serving, auth, both_ways, err, ok, open_gateway, publish, sub, until,
};
use serde_json::{Value, json};
use std::{
    cell::Cell,
    time::{Duration, UNIX_EPOCH},
};
use tidings_server::{Builder, Event, Gateway, MemoryBroadcaster, Subject, protocol::reason};

both_ways!(
    a_token_makes_somebody_of_nobody,
    a_token_and_what_needs_it_in_one_breath,
    a_token_that_is_refused_changes_nothing,
    without_a_resolver_every_token_is_refused,
    the_expiry_is_told,
    one_token_at_a_time,
    a_new_subject_loses_what_it_may_not_read,
    what_stays_goes_on_without_a_hole,
    a_client_that_goes_while_its_token_is_asked_about,
    the_request_comes_before_the_token,
);

const AUTH: &str = r#"{"t":"auth"}"#;

/// Everybody's channel is `private-NAME`, and a token is a name.
fn own_channels(builder: Builder) -> Builder {
    builder.authorize("private-*", |channel, subject| async move {
        subject.is_some_and(|subject| *channel == *format!("private-{}", subject.id()))
    })
}

fn named(builder: Builder) -> Builder {
    own_channels(builder).resolve_token(|token| async move {
        match &*token {
            "bad" => Err("forged"),
            "panic" => panic!("on purpose"),
            "" | "nobody" => Ok(None),
            name => Ok(Some(Subject::new(name))),
        }
    })
}

async fn a_token_makes_somebody_of_nobody(serving: Serving) {
    let server = Running::start(serving, named(open_gateway()));
    let mut client = Client::connect(&server).await;
    client.send(sub("private-ann")).await;
    client.expect(&err("private-ann", reason::UNAUTHORIZED)).await;
    client.send(auth("ann")).await;
    client.expect(AUTH).await;
    client.subscribe("private-ann").await;
    client.send(publish("private-ann", "e", "1")).await;
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"private-ann""#));
    client.silence().await;
}

async fn a_token_and_what_needs_it_in_one_breath(serving: Serving) {
    let door = Door::default();
    let waiting = door.clone();
    let builder =
        own_channels(open_gateway()).resolve_token(move |token| waiting.behind(Some(Subject::new(token))));
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    client.send(auth("ann")).await;
    client.send(sub("private-ann")).await;
    client.send(publish("private-ann", "e", "1")).await;
    client.send(r#"{"t":"hist","c":"private-ann","n":5}"#).await;
    door.knocked().await;
    client.silence().await;
    assert_eq!(server.gateway.channel_count(), 0);
    door.open(1);
    client.expect(AUTH).await;
    let mut rest = client.take(3).await;
    rest.sort();
    assert_eq!(rest[0], r#"{"t":"err","c":"private-ann","r":"no history","n":5}"#);
    assert!(rest[1].starts_with(r#"{"t":"msg","c":"private-ann""#), "{rest:?}");
    assert_eq!(rest[2], ok("private-ann"));
    client.silence().await;
}

async fn a_token_that_is_refused_changes_nothing(serving: Serving) {
    let server = Running::start(serving, named(open_gateway()));
    let mut client = Client::connect(&server).await;
    client.send(auth("ann")).await;
    client.expect(AUTH).await;
    client.subscribe("private-ann").await;
    for token in ["bad", "panic", "nobody"] {
        client.send(auth(token)).await;
        client.expect(&err("", reason::UNAUTHORIZED)).await;
    }
    server.gateway.publish("private-ann", Event::new("e", json!(1))).await.expect("open");
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"private-ann""#));
    client.send(sub("private-bob")).await;
    client.expect(&err("private-bob", reason::UNAUTHORIZED)).await;
    // A frame without a token is no `auth` at all.
    client.send(auth("")).await;
    client.silence().await;
    assert_eq!(server.gateway.dropped_frame_count(), 1);
}

async fn without_a_resolver_every_token_is_refused(serving: Serving) {
    let server = Running::start(serving, own_channels(open_gateway()));
    let mut client = Client::connect(&server).await;
    client.send(auth("ann")).await;
    client.send(sub("a")).await;
    assert_eq!(client.take(2).await, [err("", reason::UNAUTHORIZED), ok("a")]);
}

async fn the_expiry_is_told(serving: Serving) {
    let at = UNIX_EPOCH + Duration::from_secs(9_790_000_000);
    let builder =
        open_gateway().resolve_token(move |token| async move { Some(Subject::new(token).with_expiry(at)) });
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    client.send(auth("ann")).await;
    client.expect(r#"{"t":"auth","exp":9790000000}"#).await;
    client.subscribe("a").await;
}

async fn one_token_at_a_time(serving: Serving) {
    let door = Door::default();
    let waiting = door.clone();
    let builder =
        own_channels(open_gateway()).resolve_token(move |token| waiting.behind(Some(Subject::new(token))));
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    for token in ["ann", "bob", "eve", "joe"] {
        client.send(auth(token)).await;
    }
    let too_many = err("", reason::TOO_MANY_REQUESTS);
    assert_eq!(client.take(2).await, [too_many.clone(), too_many]);
    door.knocked().await;
    assert_eq!(door.waiting(), 1);
    client.send(sub("private-bob")).await;
    door.open(1);
    client.expect(AUTH).await;
    door.knocked().await;
    client.silence().await;
    door.open(1);
    assert_eq!(client.take(2).await, [AUTH.to_owned(), ok("private-bob")]);
}

async fn a_new_subject_loses_what_it_may_not_read(serving: Serving) {
    let server = Running::start(serving, named(open_gateway()));
    let mut client = Client::connect(&server).await;
    client.send(auth("ann")).await;
    client.expect(AUTH).await;
    for channel in ["private-ann", "open"] {
        client.subscribe(channel).await;
    }
    client.send(auth("bob")).await;
    assert_eq!(client.take(2).await, [AUTH.to_owned(), err("private-ann", reason::UNAUTHORIZED)]);
    assert_eq!(server.gateway.subscriber_count("private-ann"), 0);
    for channel in ["private-ann", "open"] {
        server.gateway.publish(channel, Event::new("e", json!(1))).await.expect("open");
    }
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"open""#));
    client.send(sub("private-ann")).await;
    client.expect(&err("private-ann", reason::UNAUTHORIZED)).await;
    client.subscribe("private-bob").await;
    client.silence().await;
    assert_eq!(server.gateway.channel_count(), 2);
}

async fn what_stays_goes_on_without_a_hole(serving: Serving) {
    const TOKENS: usize = 20;
    let server = Running::start(serving, named(Gateway::builder(MemoryBroadcaster::default())));
    let mut client = Client::connect(&server).await;
    client.send(sub("a")).await;
    client.next().await;
    let (published, read, done) = (Cell::new(0), Cell::new(0), Cell::new(false));
    let take = |frame: String| {
        let frame: Value = serde_json::from_str(&frame).expect("JSON");
        assert_eq!((&frame["t"], &frame["d"]), (&json!("msg"), &json!(read.get())), "{frame}");
        read.set(read.get() + 1);
    };
    let publisher = async {
        while !done.get() {
            if published.get() < read.get() + 100 {
                server.gateway.publish("a", Event::new("e", json!(published.get()))).await.expect("open");
                published.set(published.get() + 1);
            }
            tokio::task::yield_now().await;
        }
    };
    let reader = async {
        for n in 0..TOKENS {
            client.send(auth(&format!("user{n}"))).await;
            loop {
                match client.next().await {
                    answer if answer == AUTH => break,
                    event => take(event),
                }
            }
        }
        done.set(true);
    };
    futures_util::future::join(publisher, reader).await;
    while read.get() < published.get() {
        take(client.next().await);
    }
    client.silence().await;
    assert!(read.get() > TOKENS, "{} events", read.get());
    assert_eq!(server.gateway.subscriber_count("a"), 1);
}

async fn a_client_that_goes_while_its_token_is_asked_about(serving: Serving) {
    let door = Door::default();
    let waiting = door.clone();
    let builder = open_gateway().resolve_token(move |token| waiting.behind(Some(Subject::new(token))));
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    client.send(auth("ann")).await;
    client.send(sub("a")).await;
    door.knocked().await;
    client.reset();
    server.empty().await;
    door.open(1);
    until("the resolver is done", || door.waiting() == 0).await;
    for _ in 0..2 {
        Client::connect(&server).await.subscribe("b").await;
    }
    server.empty().await;
}

async fn the_request_comes_before_the_token(serving: Serving) {
    let door = Door::default();
    let waiting = door.clone();
    let builder = named(open_gateway()).resolve_subject(move |_| waiting.behind(Some(Subject::new("ann"))));
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    client.send(auth("bob")).await;
    client.send(sub("private-bob")).await;
    client.send(sub("private-ann")).await;
    door.knocked().await;
    client.silence().await;
    door.open(1);
    client.expect(AUTH).await;
    let mut answers = client.take(2).await;
    answers.sort();
    assert_eq!(answers, [err("private-ann", reason::UNAUTHORIZED), ok("private-bob")]);
}
