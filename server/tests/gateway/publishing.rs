//! Publishes of clients.

use crate::harness::{Client, Door, Probe, Running, Serving, both_ways, err, open_gateway, publish};
use serde_json::json;
use std::sync::{Arc, Mutex};
use tidings_server::{BroadcastError, Event, Gateway, Histories, MemoryBroadcaster, protocol::reason};

both_ways!(
    denied_by_default,
    the_gate_decides,
    the_gate_sees_what_is_published,
    a_refusing_backplane,
    invalid_events,
    without_a_subscription,
    the_publisher_gets_its_own_event,
    a_clients_publishes_keep_their_order,
    the_application_publishes,
);

async fn denied_by_default(serving: Serving) {
    let server = Running::start(serving, Gateway::builder(MemoryBroadcaster::new(Histories::off())));
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    client.send(publish("a", "e", "1")).await;
    client.expect(&err("a", reason::PUBLISH_DENIED)).await;
    client.silence().await;
}

async fn the_gate_decides(serving: Serving) {
    let builder = Gateway::builder(MemoryBroadcaster::new(Histories::off())).allow_client_publish(
        |context| async move {
            match &*context.event {
                "yes" => Ok(true),
                "no" => Ok(false),
                "panic" => panic!("on purpose"),
                _ => Err("down"),
            }
        },
    );
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    for event in ["no", "error", "panic"] {
        client.send(publish("a", event, "1")).await;
        client.expect(&err("a", reason::PUBLISH_DENIED)).await;
    }
    client.send(publish("a", "yes", "1")).await;
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"a","e":"yes","d":1,"i":""#));
}

async fn the_gate_sees_what_is_published(serving: Serving) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let builder = Gateway::builder(MemoryBroadcaster::new(Histories::off())).allow_client_publish(move |c| {
        let line = format!("{} {} {} {} {:?}", c.channel, c.event, c.data.as_str(), c.client_id, c.subject);
        log.lock().expect("no panic").push(line);
        async { false }
    });
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    client.send(r#"{"t":"pub","c":"a","e":"x","d":{ "n" : 1e400 }}"#).await;
    client.send(r#"{"t":"pub","c":"a","e":"y"}"#).await;
    client.take(2).await;
    let id = &client.id;
    let seen = seen.lock().expect("no panic");
    assert_eq!(*seen, [format!(r#"a x {{ "n" : 1e400 }} {id} None"#), format!("a y null {id} None")]);
}

async fn a_refusing_backplane(serving: Serving) {
    let probe = Probe::default();
    let builder = Gateway::builder(probe.clone()).allow_client_publish(|_| async { true });
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    probe.refuse_publish(true);
    client.send(publish("a", "e", "1")).await;
    client.expect(&err("a", reason::PUBLISH_FAILED)).await;
    let refused = server.gateway.publish("a", Event::new("e", json!(1))).await.expect_err("refused");
    assert_eq!(refused.code(), "broadcast.publish");
    probe.refuse_publish(false);
    client.send(publish("a", "e", "2")).await;
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"a","e":"e","d":2,"i":""#));
}

async fn invalid_events(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    for bad in ["a\\nb", "\\u0000", &"x".repeat(201)] {
        client.send(publish("a", bad, "1")).await;
        client.expect(&err("a", reason::INVALID_EVENT)).await;
    }
    client.send(publish("a", &"x".repeat(200), "1")).await;
    assert!(client.next().await.starts_with(r#"{"t":"msg""#));
}

async fn without_a_subscription(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let (mut publisher, mut subscriber) = (Client::connect(&server).await, Client::connect(&server).await);
    subscriber.subscribe("a").await;
    publisher.send(publish("a", "e", "1")).await;
    publisher.send(publish("nobody", "e", "1")).await;
    assert!(subscriber.next().await.starts_with(r#"{"t":"msg","c":"a","e":"e","d":1,"i":""#));
    publisher.silence().await;
}

async fn the_publisher_gets_its_own_event(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let (mut ann, mut ben) = (Client::connect(&server).await, Client::connect(&server).await);
    ann.subscribe("a").await;
    ben.subscribe("a").await;
    ann.send(publish("a", "e", "1")).await;
    let own = ann.next().await;
    assert!(own.starts_with(r#"{"t":"msg","c":"a","e":"e","d":1,"i":""#));
    ben.expect(&own).await;
    ann.silence().await;
}

/// Even when a later one is authorized before an earlier one.
async fn a_clients_publishes_keep_their_order(serving: Serving) {
    let door = Door::default();
    let waiting = door.clone();
    let builder = open_gateway().authorize("slow", move |_, _| waiting.behind(true));
    let server = Running::start(serving, builder);
    let mut subscriber = Client::connect(&server).await;
    subscriber.send(crate::harness::sub("slow")).await;
    door.open(1);
    subscriber.expect(&crate::harness::ok("slow")).await;
    subscriber.subscribe("fast").await;
    door.knocked().await;
    let mut publisher = Client::connect(&server).await;
    for n in 0..20 {
        let channel = if n % 4 == 0 { "slow" } else { "fast" };
        publisher.send(publish(channel, "e", &n.to_string())).await;
    }
    door.knocked().await;
    publisher.silence().await;
    subscriber.silence().await;
    door.open(5);
    let numbers: Vec<String> = subscriber.take(20).await.iter().map(|f| data(f).to_owned()).collect();
    assert_eq!(numbers, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

async fn the_application_publishes(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    let published = server.gateway.publish("a", Event::new("e", json!({"n": 1}))).await.expect("open");
    client.expect(&format!(r#"{{"t":"msg","c":"a","e":"e","d":{{"n":1}},"i":"{}"}}"#, published.id)).await;
    for (channel, event) in [("", "e"), ("a b", "e"), ("a", ""), ("a", "x\ny")] {
        let refused =
            server.gateway.publish(channel, Event::new(event, json!(1))).await.expect_err("invalid");
        assert!(matches!(refused, BroadcastError::Config(_)), "{refused:?}");
    }
    client.silence().await;
}

/// The data of a `msg` frame, when it has no objects in it.
fn data(frame: &str) -> &str {
    let (_, rest) = frame.split_once(r#","d":"#).expect("a msg frame");
    rest.split(',').next().expect("data")
}
