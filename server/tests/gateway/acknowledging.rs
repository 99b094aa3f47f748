//! Publishes that are acknowledged, and published once.

use crate::harness::{Client, Probe, Running, Serving, both_ways, sub};
use serde_json::{Value, json};
use tidings_server::{Builder, Event, Gateway, Histories, History, MemoryBroadcaster, protocol::reason};

both_ways!(
    a_publish_with_a_number_is_acknowledged,
    a_publish_without_one_is_not,
    a_refusal_carries_the_number,
    a_repeat_is_acknowledged_like_the_first_and_not_published,
    a_key_is_its_channels_own,
    keys_of_backends_work_as_well,
    what_the_backplane_refuses_is_not_acknowledged,
    the_order_of_acknowledgements_is_that_of_the_publishes,
);

fn open(histories: Histories) -> Builder {
    Gateway::builder(MemoryBroadcaster::new(histories))
        .allow_client_publish(|context| async move { !context.channel.starts_with("read-only") })
}

fn publish(channel: &str, data: u64, number: Option<u64>, key: Option<&str>) -> String {
    let mut frame = json!({"t": "pub", "c": channel, "e": "e", "d": data});
    if let Some(number) = number {
        frame["n"] = json!(number);
    }
    if let Some(key) = key {
        frame["k"] = json!(key);
    }
    frame.to_string()
}

async fn told(client: &mut Client) -> Value {
    serde_json::from_str(&client.next().await).expect("JSON")
}

async fn a_publish_with_a_number_is_acknowledged(serving: Serving) {
    let quick = Histories::default().with("quick", History::OFF).expect("a pattern");
    let server = Running::start(serving, open(quick));
    let mut client = Client::connect(&server).await;
    client.send(publish("a", 1, Some(17), None)).await;
    let ack = told(&mut client).await;
    assert_eq!((&ack["t"], &ack["n"], &ack["o"]), (&json!("ack"), &json!(17), &json!(1)));
    assert_eq!(ack["i"].as_str().map(str::len), Some(26));
    client.send(publish("quick", 1, Some(18), None)).await;
    let ack = told(&mut client).await;
    assert_eq!((&ack["n"], &ack["o"]), (&json!(18), &Value::Null), "no history, no offset");
    // A subscriber has its event before the acknowledgement, or after: both come.
    client.send(sub("a")).await;
    client.send(publish("a", 2, Some(19), None)).await;
    let mut tags = [told(&mut client).await, told(&mut client).await, told(&mut client).await]
        .map(|frame| frame["t"].as_str().expect("a tag").to_owned());
    tags.sort();
    assert_eq!(tags, ["ack", "msg", "ok"]);
}

async fn a_publish_without_one_is_not(serving: Serving) {
    let server = Running::start(serving, open(Histories::default()));
    let mut client = Client::connect(&server).await;
    client.send(publish("a", 1, None, Some("k1"))).await;
    client.silence().await;
    client.send(publish("a", 1, Some(1), Some("k1"))).await;
    assert_eq!(told(&mut client).await["o"], json!(1), "its key counts all the same");
}

async fn a_refusal_carries_the_number(serving: Serving) {
    let server = Running::start(serving, open(Histories::default()));
    let mut client = Client::connect(&server).await;
    let long = "k".repeat(65);
    for (frame, reason) in [
        (publish("read-only", 1, Some(5), None), reason::PUBLISH_DENIED),
        (publish("private-a", 1, Some(5), None), reason::UNAUTHORIZED),
        (publish("a b", 1, Some(5), None), reason::INVALID_CHANNEL),
        (publish("a", 1, Some(5), Some(&long)), reason::INVALID_KEY),
    ] {
        client.send(frame).await;
        let err = told(&mut client).await;
        assert_eq!((&err["t"], &err["r"], &err["n"]), (&json!("err"), &json!(reason), &json!(5)));
    }
}

async fn a_repeat_is_acknowledged_like_the_first_and_not_published(serving: Serving) {
    for histories in [Histories::default(), Histories::off()] {
        let server = Running::start(serving, open(histories));
        let mut client = Client::connect(&server).await;
        client.send(publish("a", 1, Some(1), Some("k1"))).await;
        let first = told(&mut client).await;
        client.leave().await;
        let mut other = Client::connect(&server).await;
        other.send(sub("a")).await;
        assert_eq!(told(&mut other).await["t"], json!("ok"));
        other.send(publish("a", 1, Some(9), Some("k1"))).await;
        let again = told(&mut other).await;
        assert_eq!((&again["t"], &again["n"]), (&json!("ack"), &json!(9)));
        assert_eq!((&again["i"], &again["o"]), (&first["i"], &first["o"]));
        other.silence().await;
    }
}

async fn a_key_is_its_channels_own(serving: Serving) {
    let server = Running::start(serving, open(Histories::default()));
    let mut client = Client::connect(&server).await;
    client.send(sub("b")).await;
    told(&mut client).await;
    client.send(publish("a", 1, Some(1), Some("k1"))).await;
    let first = told(&mut client).await;
    client.send(publish("b", 2, Some(2), Some("k1"))).await;
    let (one, two) = (told(&mut client).await, told(&mut client).await);
    let (event, ack) = if one["t"] == json!("msg") { (one, two) } else { (two, one) };
    assert_eq!((&event["d"], &ack["n"]), (&json!(2), &json!(2)));
    assert_ne!(ack["i"], first["i"]);
}

async fn keys_of_backends_work_as_well(serving: Serving) {
    let server = Running::start(serving, open(Histories::default()));
    let event = || Event::new("e", json!(1)).with_key("order-42-paid");
    let first = server.gateway.publish("a", event()).await.expect("open");
    assert_eq!(server.gateway.publish("a", event()).await.expect("open"), first);
    let refused =
        server.gateway.publish("a", Event::new("e", json!(1)).with_key("")).await.expect_err("no key");
    assert!(refused.to_string().contains("invalid key"), "{refused}");
    let page = server.gateway.history("a", None, 10).await.expect("open").expect("history");
    assert_eq!(page.events.len(), 1);
}

async fn what_the_backplane_refuses_is_not_acknowledged(serving: Serving) {
    let probe = Probe::default();
    let server =
        Running::start(serving, Gateway::builder(probe.clone()).allow_client_publish(|_| async { true }));
    let mut client = Client::connect(&server).await;
    probe.refuse_publish(true);
    client.send(publish("a", 1, Some(1), Some("k1"))).await;
    let err = told(&mut client).await;
    assert_eq!((&err["r"], &err["n"]), (&json!(reason::PUBLISH_FAILED), &json!(1)));
    probe.refuse_publish(false);
    client.send(publish("a", 1, Some(2), Some("k1"))).await;
    assert_eq!(told(&mut client).await["t"], json!("ack"), "a refusal does not use the key up");
}

async fn the_order_of_acknowledgements_is_that_of_the_publishes(serving: Serving) {
    let server = Running::start(serving, open(Histories::default()));
    let mut client = Client::connect(&server).await;
    for n in 1..=100 {
        client.send(publish(if n % 2 == 0 { "a" } else { "b" }, n, Some(n), None)).await;
    }
    for n in 1..=100 {
        assert_eq!(told(&mut client).await["n"], json!(n));
    }
}
