//! Publishing over HTTP.

use crate::harness::{Answer, Client, Running, Serving, both_ways, open_gateway, request};
use tidings_server::protocol::ServerFrame;

both_ways!(
    an_event_arrives,
    data_is_carried_verbatim,
    what_is_wrong_is_said,
    only_json,
    only_programs_on_this_machine,
    only_post,
    only_so_much,
    closed,
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
