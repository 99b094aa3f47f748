//! Reading a channel's past over the connection.

use crate::harness::{Client, Door, Probe, Running, Serving, both_ways, open_gateway};
use serde_json::{Value, json};
use tidings_server::{Event, Gateway, Histories, MemoryBroadcaster, protocol::reason};

both_ways!(
    pages_go_back_to_the_beginning,
    what_is_asked_before_the_subject_is_known,
    who_may_not_subscribe_may_not_read,
    requests_that_cannot_be_answered,
    a_page_holds_as_much_as_fits,
);

fn ask(channel: &str, rest: Value) -> String {
    let mut frame = json!({"t": "hist", "c": channel, "n": 3});
    for (key, value) in rest.as_object().expect("an object") {
        frame[key] = value.clone();
    }
    frame.to_string()
}

async fn told(client: &mut Client) -> Value {
    serde_json::from_str(&client.next().await).expect("JSON")
}

async fn filled(serving: Serving, events: u64) -> Running {
    let server = Running::start(serving, Gateway::builder(MemoryBroadcaster::default()));
    for n in 1..=events {
        server.gateway.publish("a", Event::new("e", json!({"n": n}))).await.expect("open");
    }
    server
}

fn offsets(page: &Value) -> Vec<u64> {
    let events = page["ev"].as_array().unwrap_or_else(|| panic!("no page: {page}"));
    for event in events {
        assert_eq!((&event["e"], &event["d"]["n"]), (&json!("e"), &event["o"]));
        assert_eq!(event["i"].as_str().map(str::len), Some(26));
    }
    events.iter().map(|event| event["o"].as_u64().expect("an offset")).collect()
}

async fn pages_go_back_to_the_beginning(serving: Serving) {
    let server = filled(serving, 5).await;
    let mut client = Client::connect(&server).await;
    for (rest, expected) in [
        (json!({}), vec![1, 2, 3, 4, 5]),
        (json!({"limit": 2}), vec![4, 5]),
        (json!({"limit": 2, "before": 4}), vec![2, 3]),
        (json!({"limit": 2, "before": 2}), vec![1]),
        (json!({"before": 1}), vec![]),
        (json!({"before": 0}), vec![]),
        (json!({"before": 1_000_000}), vec![1, 2, 3, 4, 5]),
    ] {
        client.send(ask("a", rest.clone())).await;
        let page = told(&mut client).await;
        assert_eq!(
            (&page["t"], &page["c"], &page["n"], &page["o"]),
            (&json!("hist"), &json!("a"), &json!(3), &json!(5))
        );
        assert!(page["ep"].is_string());
        assert_eq!(offsets(&page), expected, "{rest}");
    }
    client.send(ask("never-used", json!({}))).await;
    let page = told(&mut client).await;
    assert_eq!((&page["o"], &page["ev"]), (&json!(0), &json!([])));
}

async fn what_is_asked_before_the_subject_is_known(serving: Serving) {
    let door = Door::default();
    let resolving = door.clone();
    let builder = Gateway::builder(MemoryBroadcaster::default()).resolve_subject(move |_| {
        let door = resolving.clone();
        async move {
            door.pass().await;
            Some(tidings_server::Subject::new("ann"))
        }
    });
    let builder = builder.authorize("private-a", |_, subject| async move { subject.is_some() });
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    client.send(ask("private-a", json!({}))).await;
    client.silence().await;
    door.open(1);
    assert_eq!(told(&mut client).await["t"], json!("hist"));
}

async fn who_may_not_subscribe_may_not_read(serving: Serving) {
    let builder = open_gateway().authorize("sick", |_, _| async { Err::<bool, _>("down") });
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    for (channel, reason) in [("private-a", reason::UNAUTHORIZED), ("sick", reason::AUTHORIZATION_FAILED)] {
        client.send(ask(channel, json!({}))).await;
        let err = told(&mut client).await;
        assert_eq!((&err["t"], &err["r"], &err["n"]), (&json!("err"), &json!(reason), &json!(3)));
    }
}

async fn requests_that_cannot_be_answered(serving: Serving) {
    let probe =
        Probe::over(Histories::default().with("quick", tidings_server::History::OFF).expect("a pattern"));
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut client = Client::connect(&server).await;
    for (frame, reason) in [
        (ask("a b", json!({})), reason::INVALID_CHANNEL),
        (ask("a", json!({"limit": 0})), reason::INVALID_LIMIT),
        (ask("a", json!({"limit": 1_001})), reason::INVALID_LIMIT),
        (ask("quick", json!({})), reason::NO_HISTORY),
    ] {
        client.send(frame).await;
        let err = told(&mut client).await;
        assert_eq!((&err["t"], &err["r"], &err["n"]), (&json!("err"), &json!(reason), &json!(3)), "{err}");
    }
    // Without a number there is nothing to answer to.
    client.send(r#"{"t":"hist","c":"a"}"#).await;
    client.silence().await;
    probe.refuse_history(true);
    client.send(ask("a", json!({}))).await;
    assert_eq!(told(&mut client).await["r"], json!(reason::HISTORY_FAILED));
    probe.refuse_history(false);
    for _ in 0..33 {
        client.send(ask("slow-history", json!({}))).await;
    }
    assert_eq!(told(&mut client).await["r"], json!(reason::TOO_MANY_REQUESTS));
    probe.reading().open(32);
    for _ in 0..32 {
        assert_eq!(told(&mut client).await["t"], json!("hist"));
    }
}

async fn a_page_holds_as_much_as_fits(serving: Serving) {
    let server = Running::start(serving, Gateway::builder(MemoryBroadcaster::default()));
    let large = "x".repeat(100_000);
    for n in 1..=10 {
        server.gateway.publish("a", Event::new("e", json!({"n": n, "x": large}))).await.expect("open");
    }
    let mut client = Client::connect(&server).await;
    let mut seen = Vec::new();
    let mut rest = json!({});
    loop {
        client.send(ask("a", rest)).await;
        let page = offsets(&told(&mut client).await);
        let Some(first) = page.first() else { break };
        rest = json!({"before": first});
        seen.splice(0..0, page);
    }
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
}
