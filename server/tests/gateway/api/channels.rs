//! Which channels have subscribers on a gateway, and where a channel is.

use super::{JSON, get, histories, json_of, post, problem_of, recovering};
use crate::harness::{Client, Probe, Running, Serving, Stream, both_ways, open_gateway, request, until};
use serde_json::{Value, json};
use tidings_server::Gateway;

both_ways!(
    those_with_subscribers,
    page_by_page,
    a_channel_and_where_it_is,
    what_is_wrong_is_said,
    a_channel_that_cannot_be_read,
    only_get,
);

/// Channels and how many subscribers they have.
fn counts(page: &Value) -> Vec<(&str, u64)> {
    let count = |entry: &Value| entry["subscribers"].as_u64().expect("a number");
    let channels = page["channels"].as_array().expect("channels");
    channels.iter().map(|entry| (entry["channel"].as_str().expect("text"), count(entry))).collect()
}

async fn those_with_subscribers(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    assert_eq!(json_of(&get(&server, "").await, 200), json!({"scope": "node", "channels": []}));
    let (mut first, mut second) = (Client::connect(&server).await, Client::connect(&server).await);
    for channel in ["room.2", "room.1", "news", "комната"] {
        first.subscribe(channel).await;
    }
    second.subscribe("room.1").await;
    assert_eq!(post(&server, &[JSON], r#"{"channel":"quiet","event":"e"}"#).await.status, 200);
    let page = json_of(&get(&server, "").await, 200);
    assert_eq!(counts(&page), [("news", 1), ("room.1", 2), ("room.2", 1), ("комната", 1)]);
    assert_eq!((&page["scope"], page.get("next")), (&json!("node"), None));
    for (query, expected) in [
        ("?prefix=room.", &["room.1", "room.2"][..]),
        ("?prefix=%D0%BA%D0%BE", &["комната"]),
        ("?prefix=room.1", &["room.1"]),
        ("?prefix=room.11", &[]),
        ("?prefix=", &["news", "room.1", "room.2", "комната"]),
        ("?prefix=room.&after=room.1", &["room.2"]),
        ("?after=zzz", &["комната"]),
    ] {
        let page = json_of(&get(&server, query).await, 200);
        assert_eq!(
            counts(&page).iter().map(|(channel, _)| *channel).collect::<Vec<_>>(),
            expected,
            "{query}"
        );
    }
    second.leave().await;
    until("one has left", || server.gateway.subscriber_count("room.1") == 1).await;
    assert_eq!(counts(&json_of(&get(&server, "?prefix=room.1").await, 200)), [("room.1", 1)]);
    first.leave().await;
    server.empty().await;
    assert_eq!(json_of(&get(&server, "").await, 200)["channels"], json!([]));
}

async fn page_by_page(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    let names: Vec<String> = (0..105).map(|n| format!("c{n:03}")).collect();
    for channel in names.iter().rev() {
        client.subscribe(channel).await;
    }
    for (limit, pages) in [("", 2), ("limit=1000", 1), ("limit=105", 1), ("limit=104", 2), ("limit=10", 11)] {
        let (mut seen, mut read, mut after) = (Vec::new(), 0, String::new());
        loop {
            let page = json_of(&get(&server, &format!("?{limit}{after}")).await, 200);
            seen.extend(counts(&page).into_iter().map(|(channel, _)| channel.to_owned()));
            read += 1;
            let Some(next) = page.get("next") else { break };
            let next = next.as_str().expect("text");
            assert_eq!(seen.last().map(String::as_str), Some(next));
            after = format!("&after={next}");
        }
        assert_eq!((&seen, read), (&names, pages), "{limit}");
    }
}

async fn a_channel_and_where_it_is(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let nobody = json_of(&get(&server, "/a").await, 200);
    assert_eq!((&nobody["subscribers"], &nobody["offset"]), (&json!(0), &json!(0)));
    let mut client = Client::connect(&server).await;
    client.send(crate::harness::sub("a")).await;
    client.next().await;
    let reader = Stream::open(&server, "channel=a").await;
    until("both are subscribed", || server.gateway.subscriber_count("a") == 2).await;
    let published = json_of(&post(&server, &[JSON], r#"{"channel":"a","event":"e"}"#).await, 200);
    let state = json_of(&get(&server, "/a").await, 200);
    let (epoch, offset) = (&published["epoch"], &published["offset"]);
    let expected =
        json!({"channel": "a", "scope": "node", "subscribers": 2, "epoch": epoch, "offset": offset});
    assert_eq!(state, expected);
    drop(reader);
    let state = json_of(&get(&server, "/quick.%2F").await, 200);
    assert_eq!(state, json!({"channel": "quick./", "scope": "node", "subscribers": 0}));
}

async fn what_is_wrong_is_said(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    for (path, part) in [
        ("?limit=0", "from 1 to 1000"),
        ("?limit=1001", "from 1 to 1000"),
        ("?limit=%2B1", "limit"),
        ("?before=1", "prefix, after and limit"),
        ("?prefix=a&prefix=b", "prefix"),
        ("/a?limit=1", "none"),
        ("/a%20b", "invalid channel"),
        ("/%FF", "invalid channel"),
        ("/%FF/history", "invalid channel"),
    ] {
        let problem = problem_of(&get(&server, path).await, 400, "request.invalid");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{path}: {problem}");
    }
}

async fn a_channel_that_cannot_be_read(serving: Serving) {
    let probe = Probe::over(histories(10));
    probe.refuse_history(true);
    let server = Running::start(serving, Gateway::builder(probe));
    let answer = get(&server, "/a").await;
    problem_of(&answer, 503, "broadcast.history");
    assert!(answer.header("retry-after").is_some());
}

async fn only_get(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    for path in ["", "/a", "/a/history"] {
        for method in ["POST", "PUT", "DELETE"] {
            let line = format!("{method} /api/channels{path}");
            let answer = request(server.address, &line, &[JSON], "{}").await;
            problem_of(&answer, 405, "request.method");
            assert_eq!(answer.header("allow"), Some("get, options"), "{method}");
        }
        let answer = request(server.address, &format!("OPTIONS /api/channels{path}"), &[], "").await;
        assert_eq!((answer.status, answer.header("allow")), (204, Some("get, options")));
    }
}
