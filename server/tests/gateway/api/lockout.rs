//! Sending clients away, and locking out users and tokens.

use super::{JSON, json_of, problem_of};
use crate::harness::{Answer, Client, Probe, Running, Serving, both_ways, err, knowing, known, request};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidings_server::{Gateway, MemoryBroadcaster, protocol::reason};

both_ways!(
    whoever_is_meant_is_disconnected,
    a_token_is_locked_out,
    a_user_is_locked_out,
    what_is_wrong_is_said,
    refused_by_the_backplane,
);

async fn order(server: &Running, path: &str, body: &Value) -> Answer {
    request(server.address, &format!("POST /api/{path}"), &[JSON], &body.to_string()).await
}

/// Seconds since 1970, some time from now.
fn later(by: Duration) -> u64 {
    (SystemTime::now() + by).duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

async fn whoever_is_meant_is_disconnected(serving: Serving) {
    let memory = MemoryBroadcaster::default();
    let [near, far] = [(); 2].map(|()| Running::start(serving, knowing(memory.clone())));
    let mut stays = known(&far, "bob.1").await;
    let mut ann = [known(&near, "ann.2").await, known(&far, "ann.3").await];
    let mut token = known(&far, "cid.4").await;
    let mut client = known(&far, "dot.5").await;
    assert_eq!(json_of(&order(&near, "disconnect", &json!({"user": "ann"})).await, 202), json!({}));
    for gone in &mut ann {
        assert_eq!(gone.expect_close().await, 4003);
    }
    json_of(&order(&near, "disconnect", &json!({"token_id": "4"})).await, 202);
    assert_eq!(token.expect_close().await, 4003);
    json_of(&order(&near, "disconnect", &json!({"client": client.id})).await, 202);
    assert_eq!(client.expect_close().await, 4003);
    stays.silence().await;
    // They may come back.
    known(&near, "ann.2").await;
}

async fn expect_refused(server: &Running, token: &str) {
    let mut client = Client::connect_with(server, &format!("?token={token}")).await;
    client.expect(&err("", reason::UNAUTHORIZED)).await;
}

async fn a_token_is_locked_out(serving: Serving) {
    let server = Running::start(serving, knowing(MemoryBroadcaster::default()));
    let mut gone = known(&server, "ann.1").await;
    let until = later(Duration::from_secs(60));
    let body = json!({"token_id": "1", "until": until});
    assert_eq!(json_of(&order(&server, "revoke", &body).await, 202), json!({}));
    assert_eq!(gone.expect_close().await, 4003);
    expect_refused(&server, "ann.1").await;
    known(&server, "ann.2").await;
}

async fn a_user_is_locked_out(serving: Serving) {
    let server = Running::start(serving, knowing(MemoryBroadcaster::default()));
    let mut old = known(&server, "ann.1.1000").await;
    let mut new = known(&server, "ann.2.2000").await;
    json_of(&order(&server, "revoke", &json!({"user": "ann", "issued_before": 1_500})).await, 202);
    assert_eq!(old.expect_close().await, 4003);
    new.silence().await;
    // Without a time: whatever was issued until now.
    json_of(&order(&server, "revoke", &json!({"user": "ann"})).await, 202);
    assert_eq!(new.expect_close().await, 4003);
    expect_refused(&server, "ann.2.2000").await;
}

async fn what_is_wrong_is_said(serving: Serving) {
    let server = Running::start(serving, knowing(MemoryBroadcaster::default()));
    let long = "x".repeat(257);
    let time = later(Duration::from_secs(60));
    for (path, body, field, part) in [
        ("disconnect", json!({}), None, "one of client, user and token_id"),
        ("disconnect", json!({"user": "a", "token_id": "b"}), None, "one of"),
        ("disconnect", json!({"user": null}), Some("user"), "wanted is a string of 1 to 256 bytes"),
        ("disconnect", json!({"user": ""}), Some("user"), "allowed are 1 to 256"),
        ("disconnect", json!({"token_id": long}), Some("token_id"), "allowed are 1 to 256"),
        ("disconnect", json!({"client": "me"}), Some("client"), "a ULID"),
        ("disconnect", json!({"usr": "a"}), Some("usr"), "unknown field"),
        ("revoke", json!({}), None, "user, with or without issued_before, or token_id and until"),
        ("revoke", json!({"token_id": "a"}), None, "token_id and until"),
        ("revoke", json!({"user": "a", "until": time}), None, "wanted is"),
        ("revoke", json!({"user": long}), Some("user"), "allowed are 1 to 256"),
        ("revoke", json!({"user": "a", "issued_before": -1}), Some("issued_before"), "whole seconds"),
        (
            "revoke",
            json!({"user": "a", "issued_before": 253_402_300_800_u64}),
            Some("issued_before"),
            "allowed",
        ),
        ("revoke", json!({"token_id": "a", "until": "soon"}), Some("until"), "whole seconds"),
        ("revoke", json!({"token_id": "a", "until": 1_000}), Some("until"), "a time to come"),
        ("revoke", json!({"token_id": "", "until": time}), Some("token_id"), "allowed are 1 to 256"),
    ] {
        let problem = problem_of(&order(&server, path, &body).await, 400, "request.invalid");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{body}: {problem}");
        assert_eq!(problem.get("field").and_then(Value::as_str), field, "{body}: {problem}");
    }
    let most = json!({"user": "x".repeat(256), "issued_before": 253_402_300_799_u64});
    json_of(&order(&server, "revoke", &most).await, 202);
}

async fn refused_by_the_backplane(serving: Serving) {
    let probe = Probe::default();
    probe.refuse_publish(true);
    let server = Running::start(serving, Gateway::builder(probe));
    let token = json!({"token_id": "a", "until": later(Duration::from_secs(60))});
    for (path, body) in [("disconnect", json!({"user": "a"})), ("revoke", token)] {
        problem_of(&order(&server, path, &body).await, 503, "broadcast.publish");
    }
}
