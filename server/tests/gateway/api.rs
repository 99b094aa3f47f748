//! Publishing and reading history over HTTP.

use crate::harness::{Answer, Client, Probe, Running, Serving, both_ways, config, open_gateway, request};
use serde_json::{Value, json};
use tidings_server::{Builder, Event, Gateway, Histories, History, MemoryBroadcaster, protocol::ServerFrame};

both_ways!(
    an_event_arrives,
    data_is_carried_verbatim,
    what_is_wrong_is_said,
    only_json,
    only_programs_on_this_machine,
    only_post,
    only_so_much,
    closed,
    a_position_is_answered,
    a_repeated_key_is_published_once,
    the_past_is_read,
    the_past_is_carried_verbatim,
    a_page_is_bounded,
    what_is_wrong_with_a_page_is_said,
    no_history,
    history_that_cannot_be_read,
    the_past_is_for_programs_on_this_machine,
);

const JSON: &str = "content-type: application/json";

async fn post(server: &Running, headers: &[&str], body: &str) -> Answer {
    request(server.address, "POST /api/publish", headers, body).await
}

async fn an_event_arrives(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("private").await;
    for (headers, body) in [
        (&[JSON][..], r#"{"channel":"private","event":"e","data":{"n":1}}"#),
        (
            &["content-type: Application/JSON; charset=utf-8"],
            r#"{"event":"e","channel":"private","data":{"n":1}}"#,
        ),
    ] {
        let answer = post(&server, headers, body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let frame = client.next().await;
        let Some(ServerFrame::Msg { id, .. }) = ServerFrame::parse(&frame) else { panic!("{frame}") };
        assert_eq!(answer.body, format!(r#"{{"id":"{id}"}}"#));
        assert_eq!(frame, format!(r#"{{"t":"msg","c":"private","e":"e","d":{{"n":1}},"i":"{id}"}}"#));
    }
    // Backends are not clients: no authorizer stands between.
    assert_eq!(post(&server, &[JSON], r#"{"channel":"private-x","event":"e"}"#).await.status, 200);
}

async fn data_is_carried_verbatim(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    for data in ["123456789012345678901234567890", r#"{ "b" : 1, "a":"\u00e9" }"#, "null"] {
        let body = format!(r#"{{"channel":"a","event":"e","data":{data}}}"#);
        assert_eq!(post(&server, &[JSON], &body).await.status, 200);
        let frame = client.next().await;
        assert!(frame.starts_with(&format!(r#"{{"t":"msg","c":"a","e":"e","d":{data},"i":""#)), "{frame}");
    }
    assert_eq!(post(&server, &[JSON], r#"{"channel":"a","event":"e"}"#).await.status, 200);
    assert!(client.next().await.contains(r#","d":null,"#));
}

async fn what_is_wrong_is_said(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    for (body, part) in [
        ("", "wanted is"),
        ("{", "wanted is"),
        (r#"{"channel":"a"}"#, "event"),
        (r#"{"channel":"a","event":"e","dat":1}"#, "dat"),
        (r#"{"channel":1,"event":"e"}"#, "wanted is"),
        (r#"{"channel":"a b","event":"e"}"#, "invalid channel"),
        (r#"{"channel":"","event":"e"}"#, "invalid channel"),
        (r#"{"channel":"a","event":""}"#, "invalid event"),
        (r#"{"channel":"a","event":"e","key":""}"#, "invalid key"),
        (r#"{"channel":"a","event":"e","key":"a\nb"}"#, "allowed are 1 to 64 bytes"),
        (r#"{"channel":"a","event":"e","key":7}"#, "wanted is"),
    ] {
        let answer = post(&server, &[JSON], body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.body.contains(part), "{body}: {}", answer.body);
    }
}

async fn only_json(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let body = r#"{"channel":"a","event":"e"}"#;
    for headers in
        [&[][..], &["content-type: text/plain"], &["content-type: application/x-www-form-urlencoded"]]
    {
        assert_eq!(post(&server, headers, body).await.status, 415, "{headers:?}");
    }
}

async fn only_programs_on_this_machine(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let body = r#"{"channel":"a","event":"e"}"#;
    for header in [
        "x-forwarded-for: 203.0.113.7",
        "forwarded: for=203.0.113.7",
        "x-real-ip: 127.0.0.1",
        "origin: https://evil.example",
        "origin: null",
    ] {
        assert_eq!(post(&server, &[JSON, header], body).await.status, 403, "{header}");
    }
    let own = format!("origin: http://{}", server.address);
    assert_eq!(post(&server, &[JSON, &own], body).await.status, 200);
}

async fn only_post(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(request(server.address, &format!("{method} /api/publish"), &[JSON], "").await.status, 405);
    }
}

async fn only_so_much(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let body = |size: usize| format!(r#"{{"channel":"a","event":"e","data":"{}"}}"#, "x".repeat(size));
    let room = 1024 * 1024 - body(0).len();
    assert_eq!(post(&server, &[JSON], &body(room)).await.status, 200);
    assert_eq!(post(&server, &[JSON], &body(room + 1)).await.status, 413);
}

async fn closed(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    server.gateway.close().await;
    let answer = post(&server, &[JSON], r#"{"channel":"a","event":"e"}"#).await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
}

fn recovering(events: usize) -> Builder {
    let histories = Histories::new(History { events, ..History::default() });
    let histories = histories.with("quick.*", History::OFF).expect("a pattern");
    Gateway::builder(MemoryBroadcaster::new(histories))
}

async fn get(server: &Running, path: &str) -> Answer {
    request(server.address, &format!("GET /api/channels/{path}"), &[], "").await
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_str(&answer.body).expect("JSON")
}

/// The data of a page's events, which are also their offsets.
fn numbers(page: &Value) -> Vec<u64> {
    let events = page["events"].as_array().expect("events");
    let number = |event: &Value| {
        assert_eq!(event["data"], event["offset"], "{event}");
        event["offset"].as_u64().expect("a number")
    };
    events.iter().map(number).collect()
}

async fn publish_numbers(server: &Running, channel: &str, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        server.gateway.publish(channel, Event::new("e", json!(n))).await.expect("open");
    }
}

async fn a_position_is_answered(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    for n in 1..=2 {
        let answer = json_of(&post(&server, &[JSON], r#"{"channel":"a","event":"e"}"#).await);
        let page = json_of(&get(&server, "a/history?limit=1").await);
        assert_eq!((&answer["epoch"], &answer["offset"]), (&page["epoch"], &json!(n)));
        assert_eq!((&answer["id"], &page["offset"]), (&page["events"][0]["id"], &json!(n)));
    }
    let answer = json_of(&post(&server, &[JSON], r#"{"channel":"quick.1","event":"e"}"#).await);
    assert_eq!(answer.as_object().map(serde_json::Map::len), Some(1), "{answer}");
}

async fn a_repeated_key_is_published_once(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    for channel in ["a", "quick.1"] {
        let mut client = Client::connect(&server).await;
        client.send(crate::harness::sub(channel)).await;
        client.next().await;
        let body = |key: &str| format!(r#"{{"channel":"{channel}","event":"e","key":"{key}"}}"#);
        let first = post(&server, &[JSON], &body("k1")).await;
        let again = post(&server, &[JSON], &body("k1")).await;
        let other = post(&server, &[JSON], &body("k2")).await;
        assert_eq!((first.status, &first.body), (200, &again.body));
        assert_ne!(first.body, other.body);
        assert_eq!(client.take(2).await.len(), 2);
        client.silence().await;
    }
}

async fn the_past_is_read(serving: Serving) {
    let server = Running::start(serving, recovering(150));
    publish_numbers(&server, "a", 1..=160).await;
    let page = json_of(&get(&server, "a/history").await);
    assert_eq!((&page["channel"], &page["offset"]), (&json!("a"), &json!(160)));
    assert!(page["epoch"].as_str().is_some_and(|epoch| !epoch.is_empty()));
    assert_eq!(numbers(&page), (61..=160).collect::<Vec<_>>());
    let event = page["events"][0].as_object().expect("an event");
    assert_eq!(event.keys().collect::<Vec<_>>(), ["data", "event", "id", "offset"]);
    for (query, expected) in [
        ("?limit=2", 159..=160),
        ("?limit=2&before=100", 98..=99),
        ("?before=13&limit=1000", 11..=12),
        ("?limit=1000", 11..=160),
    ] {
        let page = json_of(&get(&server, &format!("a/history{query}")).await);
        assert_eq!(numbers(&page), expected.collect::<Vec<_>>(), "{query}");
    }
    for query in ["?before=11", "?before=0"] {
        assert!(numbers(&json_of(&get(&server, &format!("a/history{query}")).await)).is_empty());
    }
    // A channel that nobody has spoken of yet has a past too: an empty one.
    assert!(numbers(&json_of(&get(&server, "new/history").await)).is_empty());
}

async fn the_past_is_carried_verbatim(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let (channel, path) = ("комната/1%?#\"", "%D0%BA%D0%BE%D0%BC%D0%BD%D0%B0%D1%82%D0%B0%2F1%25%3F%23%22");
    let data = r#"{ "b" : 123456789012345678901234567890, "a":"\u00e9" }"#;
    let body = format!(r#"{{"channel":{},"event":"a \"b\"","data":{data}}}"#, json!(channel));
    let answer = json_of(&post(&server, &[JSON], &body).await);
    let page = get(&server, &format!("{path}/history")).await;
    assert!(page.body.contains(data), "{}", page.body);
    let page = json_of(&page);
    assert_eq!(page["channel"], channel);
    assert_eq!((&page["events"][0]["event"], &page["events"][0]["id"]), (&json!("a \"b\""), &answer["id"]));
}

async fn a_page_is_bounded(serving: Serving) {
    let server = Running::start(serving, recovering(100).config(config(|c| c.limits.queue_bytes = 100_000)));
    for n in 0..40 {
        let data = json!({"n": n, "filler": "x".repeat(5_000)});
        server.gateway.publish("a", Event::new("e", data)).await.expect("open");
    }
    let mut before = String::new();
    let mut read = Vec::new();
    loop {
        let answer = get(&server, &format!("a/history?limit=1000{before}")).await;
        assert!(answer.body.len() < 60_000, "{}", answer.body.len());
        let page = json_of(&answer);
        let events = page["events"].as_array().expect("events");
        let Some(first) = events.first() else { break };
        before = format!("&before={}", first["offset"]);
        read.splice(0..0, events.iter().map(|event| event["data"]["n"].as_u64().expect("a number")));
    }
    assert_eq!(read, (0..40).collect::<Vec<_>>());
    // One event is never too much.
    let huge = json!("x".repeat(200_000));
    server.gateway.publish("a", Event::new("e", huge)).await.expect("open");
    let page = json_of(&get(&server, "a/history").await);
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1));
}

async fn what_is_wrong_with_a_page_is_said(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    for (path, part) in [
        ("a/history?limit=0", "limit"),
        ("a/history?limit=1001", "from 1 to 1000"),
        ("a/history?limit=ten", "limit"),
        ("a/history?limit=", "limit"),
        ("a/history?before=-1", "before"),
        ("a/history?before=9007199254740992", "before"),
        ("a/history?after=1", "after"),
        ("a/history?limit=1&limit=2", "limit"),
        ("a%20b/history", "invalid channel"),
    ] {
        let answer = get(&server, path).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer =
            request(server.address, &format!("{method} /api/channels/a/history"), &[JSON], "{}").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("get")), "{method}");
    }
}

async fn no_history(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let answer = get(&server, "quick.1/history").await;
    assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/problem+json")));
    let problem: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(problem["detail"], r#"channel "quick.1" keeps no history"#);
}

async fn history_that_cannot_be_read(serving: Serving) {
    let probe = Probe::over(Histories::default());
    probe.refuse_history(true);
    let server = Running::start(serving, Gateway::builder(probe));
    let answer = get(&server, "a/history").await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
}

async fn the_past_is_for_programs_on_this_machine(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    for header in ["x-forwarded-for: 203.0.113.7", "origin: https://evil.example"] {
        let answer = request(server.address, "GET /api/channels/a/history", &[header], "").await;
        assert_eq!(answer.status, 403, "{header}");
    }
}
