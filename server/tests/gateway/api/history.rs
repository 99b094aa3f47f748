//! A channel's past over HTTP.

use super::{JSON, get, histories, json_of, post, problem_of, recovering};
use crate::harness::{Probe, Running, Serving, both_ways, config, request};
use serde_json::{Value, json};
use tidings_server::{Event, Gateway};

both_ways!(
    the_past_is_read,
    the_past_is_carried_verbatim,
    a_page_is_bounded,
    what_is_wrong_with_a_page_is_said,
    no_history,
    history_that_cannot_be_read,
    the_past_is_for_programs_on_this_machine,
);

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

async fn the_past_is_read(serving: Serving) {
    let server = Running::start(serving, recovering(150));
    publish_numbers(&server, "a", 1..=160).await;
    let page = json_of(&get(&server, "/a/history").await, 200);
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
        let page = json_of(&get(&server, &format!("/a/history{query}")).await, 200);
        assert_eq!(numbers(&page), expected.collect::<Vec<_>>(), "{query}");
    }
    for query in ["?before=11", "?before=0"] {
        assert!(numbers(&json_of(&get(&server, &format!("/a/history{query}")).await, 200)).is_empty());
    }
    // A channel that nobody has spoken of yet has a past too: an empty one.
    assert!(numbers(&json_of(&get(&server, "/new/history").await, 200)).is_empty());
}

async fn the_past_is_carried_verbatim(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let (channel, path) = ("комната/1%?#\"", "%D0%BA%D0%BE%D0%BC%D0%BD%D0%B0%D1%82%D0%B0%2F1%25%3F%23%22");
    let data = r#"{ "b" : 123456789012345678901234567890, "a":"\u00e9" }"#;
    let body = format!(r#"{{"channel":{},"event":"a \"b\"","data":{data}}}"#, json!(channel));
    let answer = json_of(&post(&server, &[JSON], &body).await, 200);
    let page = get(&server, &format!("/{path}/history")).await;
    assert!(page.body.contains(data), "{}", page.body);
    let page = json_of(&page, 200);
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
        let answer = get(&server, &format!("/a/history?limit=1000{before}")).await;
        assert!(answer.body.len() < 60_000, "{}", answer.body.len());
        let page = json_of(&answer, 200);
        let events = page["events"].as_array().expect("events");
        let Some(first) = events.first() else { break };
        before = format!("&before={}", first["offset"]);
        read.splice(0..0, events.iter().map(|event| event["data"]["n"].as_u64().expect("a number")));
    }
    assert_eq!(read, (0..40).collect::<Vec<_>>());
    // One event is never too much.
    let huge = json!("x".repeat(200_000));
    server.gateway.publish("a", Event::new("e", huge)).await.expect("open");
    let page = json_of(&get(&server, "/a/history").await, 200);
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1));
}

async fn what_is_wrong_with_a_page_is_said(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    for (path, part) in [
        ("/a/history?limit=0", "limit"),
        ("/a/history?limit=1001", "from 1 to 1000"),
        ("/a/history?limit=ten", "limit"),
        ("/a/history?limit=", "limit"),
        ("/a/history?before=-1", "before"),
        ("/a/history?before=9007199254740992", "before"),
        ("/a/history?after=1", "after"),
        ("/a/history?limit=1&limit=2", "limit"),
        ("/a%20b/history", "invalid channel"),
    ] {
        let problem = problem_of(&get(&server, path).await, 400, "request.invalid");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{path}: {problem}");
    }
}

async fn no_history(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let answer = get(&server, "/quick.1/history").await;
    let problem = problem_of(&answer, 404, "channel.no_history");
    assert_eq!(problem["detail"], r#"channel "quick.1" keeps no history"#);
}

async fn history_that_cannot_be_read(serving: Serving) {
    let probe = Probe::over(histories(10));
    probe.refuse_history(true);
    let server = Running::start(serving, Gateway::builder(probe));
    let answer = get(&server, "/a/history").await;
    problem_of(&answer, 503, "broadcast.history");
    assert!(answer.header("retry-after").is_some());
}

async fn the_past_is_for_programs_on_this_machine(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    for header in ["x-forwarded-for: 203.0.113.7", "origin: https://evil.example"] {
        let answer = request(server.address, "GET /api/channels/a/history", &[header], "").await;
        assert_eq!(answer.status, 403, "{header}");
    }
}
