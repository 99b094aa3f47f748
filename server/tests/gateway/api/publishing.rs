//! Publishing, one event at a time or many.

use super::{JSON, json_of, post, post_batch, problem_of, raw, recovering};
use crate::harness::{Client, Probe, Running, Serving, answer, both_ways, config, open_gateway, request};
use serde_json::{Value, json};
use tidings_server::{Gateway, protocol::ServerFrame};
use tokio::{io::AsyncWriteExt, net::TcpStream};

both_ways!(
    an_event_arrives,
    data_is_carried_verbatim,
    what_is_wrong_is_said,
    what_is_wrong_with_a_batch_is_said,
    what_is_sent_is_not_repeated,
    only_json,
    only_programs_on_this_machine,
    only_post,
    only_so_much,
    closed,
    refused_by_the_backplane,
    a_position_is_answered,
    a_repeated_key_is_published_once,
    one_event_on_many_channels,
    a_batch_in_its_order,
    a_batch_of_which_some_fail,
    a_repeated_key_in_a_batch,
    as_many_as_allowed,
    many_requests_on_one_connection,
);

async fn an_event_arrives(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("private").await;
    for (headers, body) in [
        (&[JSON][..], r#"{"channel":"private","event":"e","data":{"n":1}}"#),
        (
            &["content-type: Application/JSON; charset=utf-8"],
            r#"{"event":"e","channel":"private","data":{"n":1},"key":null}"#,
        ),
        (&[JSON], r#"{"event":"\u0065","ch\u0061nnel":"priv\u0061te","data":{"n":1}}"#),
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
        let event = format!(r#"{{"channel":"a","event":"e","data":{data}}}"#);
        assert_eq!(post(&server, &[JSON], &event).await.status, 200);
        assert_eq!(post_batch(&server, &format!(r#"{{"events":[{event}]}}"#)).await.status, 200);
        for frame in client.take(2).await {
            let start = format!(r#"{{"t":"msg","c":"a","e":"e","d":{data},"i":""#);
            assert!(frame.starts_with(&start), "{frame}");
        }
    }
    assert_eq!(post(&server, &[JSON], r#"{"channel":"a","event":"e"}"#).await.status, 200);
    assert!(client.next().await.contains(r#","d":null,"#));
}

async fn what_is_wrong_is_said(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    for (body, field, part) in [
        ("", None, "wanted is"),
        ("{", None, "wanted is"),
        (r#"{"channel":"a","event":"e"} x"#, None, "no JSON"),
        ("[]", None, "wanted is an object"),
        (r#"["a",null,"e",1,"k"]"#, None, "wanted is an object"),
        (r#"{"channel":"a"}"#, Some("event"), "missing event: wanted is a string of 1 to 200 bytes"),
        (r#"{"event":"e"}"#, Some("channel"), "missing channel"),
        (r#"{"channel":"a","channels":["b"],"event":"e"}"#, Some("channels"), "one of them"),
        (r#"{"channel":"a","event":"e","dat":1}"#, Some("dat"), "unknown field `dat`, expected one of"),
        (r#"{"channel":"a","event":"e","event":"f"}"#, None, "duplicate field `event`"),
        (r#"{"channel":1,"event":"e"}"#, Some("channel"), "wanted is a string"),
        (r#"{"channel":null,"event":"e"}"#, Some("channel"), "wanted is a string"),
        (r#"{"channel":"a b","event":"e"}"#, Some("channel"), "invalid channel \"a b\": allowed are"),
        (r#"{"channel":"","event":"e"}"#, Some("channel"), "invalid channel"),
        (r#"{"channel":"a","event":""}"#, Some("event"), "invalid event"),
        (r#"{"channel":"a","event":"e","key":""}"#, Some("key"), "invalid key"),
        (r#"{"channel":"a","event":"e","key":"a\nb"}"#, Some("key"), "allowed are 1 to 64 bytes"),
        (r#"{"channel":"a","event":"e","key":7}"#, Some("key"), "wanted is a string"),
        (r#"{"channels":"a","event":"e"}"#, Some("channels"), "wanted is an array of 1 to 100"),
        (r#"{"channels":[],"event":"e"}"#, Some("channels"), "none: allowed are 1 to 100"),
        (r#"{"channels":["a",1],"event":"e"}"#, Some("channels[1]"), "wanted is"),
        (r#"{"channels":["a","b","a"],"event":"e"}"#, Some("channels[2]"), "different channels"),
        (r#"{"channels":["a"],"event":"\u0000"}"#, Some("event"), "invalid event"),
    ] {
        let problem = problem_of(&post(&server, &[JSON], body).await, 400, "request.invalid");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{body}: {problem}");
        assert_eq!(problem.get("field").and_then(Value::as_str), field, "{body}: {problem}");
    }
}

async fn what_is_wrong_with_a_batch_is_said(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    for (body, field, part) in [
        ("{}", Some("events"), "missing events: wanted is an array of 1 to 1000"),
        (r#"{"events":[]}"#, Some("events"), "none: allowed are 1 to 1000"),
        (r#"{"events":null}"#, Some("events"), "wanted is an array"),
        (r#"{"events":{}}"#, Some("events"), "wanted is an array"),
        (r#"{"events":[{"channel":"a","event":"e"},7]}"#, Some("events[1]"), "wanted is"),
        (r#"{"events":[["a","e"]]}"#, Some("events[0]"), "wanted is"),
        (r#"{"events":[{"channel":"a","event":"e"},{"event":"e"}]}"#, Some("events[1].channel"), "missing"),
        (r#"{"events":[{"channel":"a"}]}"#, Some("events[0].event"), "missing events[0].event"),
        (r#"{"events":[{"channel":"a","event":[]}]}"#, Some("events[0].event"), "wanted is a string"),
        (r#"{"events":[{"channels":["a"],"event":"e"}]}"#, Some("events[0].channels"), "unknown field"),
        (r#"[{"channel":"a","event":"e"}]"#, None, "wanted is an object such as {\"events\""),
    ] {
        let problem = problem_of(&post_batch(&server, body).await, 400, "request.invalid");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{body}: {problem}");
        assert_eq!(problem.get("field").and_then(Value::as_str), field, "{body}: {problem}");
    }
    let page = json_of(&super::get(&server, "/a/history").await, 200);
    assert_eq!(page["events"], json!([]), "nothing was published");
}

async fn what_is_sent_is_not_repeated(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let long = format!(r#"{{"channel":"{}","event":"e"}}"#, "x".repeat(100_000));
    for body in [r#"{"channels":"hunter2"}"#, r#""hunter2""#, r#"{"events":"hunter2"}"#, &long] {
        for path in ["/api/publish", "/api/publish/batch"] {
            let answer = request(server.address, &format!("POST {path}"), &[JSON], body).await;
            assert_eq!(answer.status, 400);
            assert!(!answer.body.contains("hunter2") && answer.body.len() < 1_000, "{}", answer.body);
        }
    }
}

async fn only_json(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let body = r#"{"channel":"a","event":"e"}"#;
    for headers in [
        &[][..],
        &["content-type: text/plain"],
        &["content-type: application/x-www-form-urlencoded"],
        &["content-type: application/jsonl"],
    ] {
        problem_of(&post(&server, headers, body).await, 415, "request.media_type");
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
        problem_of(&post(&server, &[JSON, header], body).await, 403, "request.forbidden");
    }
    let own = format!("origin: http://{}", server.address);
    assert_eq!(post(&server, &[JSON, &own], body).await.status, 200);
    // Without a key, a secret opens nothing.
    let header = "authorization: Bearer 0123456789abcdef";
    assert_eq!(post(&server, &[JSON, header, "x-real-ip: 127.0.0.1"], body).await.status, 403);
    let get = |host: &str| format!("GET /api/channels HTTP/1.1\r\nhost: {host}\r\n\r\n");
    for (host, status) in [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("rebound.example", 403),
        ("rebound.example:8080", 403),
        ("0.0.0.0:8080", 403),
        ("localhost.example", 403),
    ] {
        assert_eq!(raw(&server, &get(host)).await.status, status, "{host}");
    }
}

async fn only_post(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    for path in ["/api/publish", "/api/publish/batch"] {
        for method in ["GET", "PUT", "DELETE", "PATCH"] {
            let answer = request(server.address, &format!("{method} {path}"), &[JSON], "").await;
            problem_of(&answer, 405, "request.method");
            assert_eq!(answer.header("allow"), Some("post, options"));
        }
        let preflight = ["origin: https://app.example.com", "access-control-request-method: POST"];
        let answer = request(server.address, &format!("OPTIONS {path}"), &preflight, "").await;
        assert_eq!((answer.status, answer.header("allow")), (204, Some("post, options")));
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
    }
}

async fn only_so_much(serving: Serving) {
    let settings = config(|config| {
        config.limits.api_body_bytes = 3_000;
        config.limits.queue_bytes = 2_000;
    });
    let server = Running::start(serving, open_gateway().config(settings));
    // One event's data: half of a client's queue.
    let event = |size: usize| format!(r#"{{"channel":"a","event":"e","data":"{}"}}"#, "x".repeat(size - 2));
    assert_eq!(post(&server, &[JSON], &event(1_000)).await.status, 200);
    let problem = problem_of(&post(&server, &[JSON], &event(1_001)).await, 413, "request.too_large");
    assert_eq!(problem["field"], "data");
    let answer = post_batch(&server, &format!(r#"{{"events":[{},{}]}}"#, event(1_000), event(1_001))).await;
    let outcomes = json_of(&answer, 207);
    assert!(outcomes["results"][0]["id"].is_string());
    let problem = &outcomes["results"][1]["problem"];
    assert_eq!((&problem["status"], &problem["field"]), (&json!(413), &json!("events[1].data")));
    // The whole.
    let padded = |length: usize| {
        let batch = format!(r#"{{"events":[{}]}}"#, event(100));
        batch.clone() + &" ".repeat(length - batch.len())
    };
    assert_eq!(post_batch(&server, &padded(3_000)).await.status, 200);
    let problem = problem_of(&post_batch(&server, &padded(3_001)).await, 413, "request.too_large");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("3000")), "{problem}");
    // The same when its length is not announced.
    for (length, status) in [(3_000, 200), (3_001, 413)] {
        let head = format!("POST /api/publish/batch HTTP/1.1\r\nhost: {}\r\n{JSON}\r\n", server.address);
        let body = padded(length);
        let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n");
        assert_eq!(raw(&server, &chunked).await.status, status, "{length}");
    }
}

async fn closed(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    server.gateway.close().await;
    let answer = post(&server, &[JSON], r#"{"channel":"a","event":"e"}"#).await;
    problem_of(&answer, 503, "broadcast.closed");
    assert!(answer.header("retry-after").is_some());
}

async fn refused_by_the_backplane(serving: Serving) {
    let probe = Probe::default();
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    probe.refuse_publish(true);
    let body = r#"{"channel":"a","event":"e"}"#;
    let answer = post(&server, &[JSON], body).await;
    problem_of(&answer, 503, "broadcast.publish");
    assert!(answer.header("retry-after").is_some());
    let outcomes = json_of(&post_batch(&server, &format!(r#"{{"events":[{body},{body}]}}"#)).await, 207);
    assert_eq!(outcomes["failed"], 2);
    for result in outcomes["results"].as_array().expect("results") {
        assert_eq!((&result["channel"], &result["problem"]["status"]), (&json!("a"), &json!(503)));
        assert_eq!(result["problem"]["code"], "broadcast.publish");
    }
    probe.refuse_publish(false);
    assert_eq!(post(&server, &[JSON], body).await.status, 200);
}

async fn a_position_is_answered(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    for n in 1..=2 {
        let answer = json_of(&post(&server, &[JSON], r#"{"channel":"a","event":"e"}"#).await, 200);
        let page = json_of(&super::get(&server, "/a/history?limit=1").await, 200);
        assert_eq!((&answer["epoch"], &answer["offset"]), (&page["epoch"], &json!(n)));
        assert_eq!((&answer["id"], &page["offset"]), (&page["events"][0]["id"], &json!(n)));
    }
    let answer = json_of(&post(&server, &[JSON], r#"{"channel":"quick.1","event":"e"}"#).await, 200);
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

async fn one_event_on_many_channels(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let body = r#"{"channels":["a","b c","quick.1"],"event":"e","data":[1],"key":"k"}"#;
    let outcomes = json_of(&post(&server, &[JSON], body).await, 207);
    assert_eq!(outcomes["failed"], 1);
    let results = outcomes["results"].as_array().expect("results");
    let channels: Vec<_> = results.iter().map(|result| &result["channel"]).collect();
    assert_eq!(channels, ["a", "b c", "quick.1"]);
    assert_eq!((&results[0]["offset"], results[2].get("offset")), (&json!(1), None));
    let problem = &results[1]["problem"];
    assert_eq!((&problem["field"], &problem["code"]), (&json!("channels[1]"), &json!("request.invalid")));
    // The key counts for each channel.
    let again = r#"{"channels":["a","d"],"event":"e","data":[1],"key":"k"}"#;
    let again = json_of(&post(&server, &[JSON], again).await, 200);
    assert_eq!((&again["failed"], &again["results"][0]), (&json!(0), &results[0]));
    assert_eq!(again["results"][1]["offset"], 1);
}

async fn a_batch_in_its_order(serving: Serving) {
    let server = Running::start(serving, recovering(1_000));
    let event = |n: usize| json!({"channel": format!("c{}", n % 3), "event": "e", "data": n});
    let batch = json!({"events": (0..900).map(event).collect::<Vec<_>>()});
    let outcomes = json_of(&post_batch(&server, &batch.to_string()).await, 200);
    assert_eq!(outcomes["failed"], 0);
    let results = outcomes["results"].as_array().expect("results");
    assert_eq!(results.len(), 900);
    for channel in 0..3 {
        let page = json_of(&super::get(&server, &format!("/c{channel}/history?limit=1000")).await, 200);
        let events = page["events"].as_array().expect("events");
        assert_eq!(events.len(), 300);
        for (at, event) in events.iter().enumerate() {
            let n = at * 3 + channel;
            assert_eq!(event["data"], n);
            assert_eq!((&results[n]["id"], &results[n]["offset"]), (&event["id"], &event["offset"]));
            assert_eq!((&results[n]["channel"], &results[n]["epoch"]), (&page["channel"], &page["epoch"]));
        }
    }
}

async fn a_batch_of_which_some_fail(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let batch = json!({"events": [
        {"channel": "a", "event": "e", "data": 1},
        {"channel": "a b", "event": "e"},
        {"channel": "a", "event": ""},
        {"channel": "a", "event": "e", "key": ""},
        {"channel": "a", "event": "e", "data": 2},
    ]});
    let outcomes = json_of(&post_batch(&server, &batch.to_string()).await, 207);
    assert_eq!(outcomes["failed"], 3);
    let results = outcomes["results"].as_array().expect("results");
    assert_eq!((&results[0]["offset"], &results[4]["offset"]), (&json!(1), &json!(2)));
    for (at, field) in [(1, "events[1].channel"), (2, "events[2].event"), (3, "events[3].key")] {
        let problem = &results[at]["problem"];
        assert_eq!((&problem["status"], &problem["field"]), (&json!(400), &json!(field)), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("allowed are")));
    }
}

async fn a_repeated_key_in_a_batch(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let event = r#"{"channel":"a","event":"e","key":"k"}"#;
    let other = r#"{"channel":"b","event":"e","key":"k"}"#;
    let outcomes =
        json_of(&post_batch(&server, &format!(r#"{{"events":[{event},{event},{other}]}}"#)).await, 200);
    let results = outcomes["results"].as_array().expect("results");
    assert_eq!(results[0], results[1]);
    assert_ne!(results[0]["id"], results[2]["id"]);
    let single = json_of(&post(&server, &[JSON], event).await, 200);
    assert_eq!(single["id"], results[0]["id"]);
}

async fn as_many_as_allowed(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    for (count, status) in [(100, 200), (101, 400)] {
        let channels: Vec<_> = (0..count).map(|n| format!("c{n}")).collect();
        let answer = post(&server, &[JSON], &json!({"channels": channels, "event": "e"}).to_string()).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    for (count, status) in [(1_000, 200), (1_001, 400)] {
        let batch = json!({"events": vec![json!({"channel": "a", "event": "e"}); count]});
        let answer = post_batch(&server, &batch.to_string()).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
}

async fn many_requests_on_one_connection(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let mut stream = TcpStream::connect(server.address).await.expect("a listening gateway");
    for n in 1..=5 {
        let body = format!(r#"{{"channel":"a","event":"e","data":{n}}}"#);
        let head = format!("POST /api/publish HTTP/1.1\r\nhost: {}\r\n{JSON}", server.address);
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.expect("a connection that is kept");
        let (answer, _) = answer(&mut stream, false).await;
        assert_eq!(json_of(&answer, 200)["offset"], n);
    }
}
