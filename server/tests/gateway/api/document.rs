//! The OpenAPI document: it names every answer of the API, and no other.

use super::{JSON, histories};
use crate::harness::{Answer, Probe, Running, Serving, both_ways, config, request};
use serde_json::Value;
use std::collections::BTreeSet;
use tidings_server::{ApiKeys, Gateway};

both_ways!(it_is_served, every_answer_in_it_exists_and_no_other);

const KEY: &str = "authorization: Bearer 0123456789abcdef";

fn keys() -> ApiKeys {
    ApiKeys::new(["test=0123456789abcdef".parse().expect("a key")]).expect("keys")
}

async fn document(server: &Running) -> Value {
    let answer = request(server.address, "GET /api/openapi.json", &[KEY], "").await;
    super::json_of(&answer, 200)
}

/// What a `$ref` names, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value.get("$ref") else { return value };
    let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).expect("a reference within");
    document.pointer(pointer).expect("what is referred to")
}

async fn it_is_served(serving: Serving) {
    let server = Running::start_with(serving, Gateway::builder(Probe::default()), Some(keys()));
    let document = document(&server).await;
    assert_eq!(
        (&document["openapi"], &document["info"]["version"]),
        (&"3.1.0".into(), &env!("CARGO_PKG_VERSION").into())
    );
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        resolved(&document, value);
        match value {
            Value::Object(fields) => open.extend(fields.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

/// An answer that was seen: of which operation, with which status and content type.
type Seen = (&'static str, &'static str, u16, String);

/// What the gateway answers, for each operation.
async fn seen(with_keys: &Running, probe: &Probe, without: &Running) -> BTreeSet<Seen> {
    let one = r#"{"channel":"a","event":"e"}"#;
    let none = r#"{"channel":"a b","event":"e"}"#;
    let many = |body: &str| format!(r#"{{"events":[{body}]}}"#);
    let large = format!(r#"{{"channel":"a","event":"e","data":"{}"}}"#, "x".repeat(2_000));
    let (batch, bad_batch, large_batch) = (many(one), many(none), many(&large));
    let mut seen = BTreeSet::new();
    let mut see = |method, path, answer: Answer| {
        let content = answer.header("content-type").expect("a content type").to_owned();
        seen.insert((method, path, answer.status, content));
    };
    for (path, bodies) in [
        ("/api/publish", [one, r#"{"channels":["a"," "],"event":"e"}"#, "{}", &large]),
        ("/api/publish/batch", [&batch, &bad_batch, "{}", &large_batch]),
        ("/api/disconnect", [r#"{"user":"a"}"#, r#"{"token_id":"a"}"#, "{}", &large]),
        ("/api/revoke", [r#"{"user":"a"}"#, r#"{"user":"b","issued_before":1}"#, "{}", &large]),
    ] {
        let line = format!("POST {path}");
        for body in bodies {
            see("post", path, request(with_keys.address, &line, &[KEY, JSON], body).await);
        }
        see("post", path, request(with_keys.address, &line, &[KEY], one).await);
        see("post", path, request(with_keys.address, &line, &[JSON], one).await);
        see("post", path, request(without.address, &line, &[JSON, "x-real-ip: ::1"], one).await);
        probe.refuse_publish(true);
        see("post", path, request(with_keys.address, &line, &[KEY, JSON], bodies[0]).await);
        probe.refuse_publish(false);
    }
    for (path, good, bad) in [
        ("/api/channels", "/api/channels", "/api/channels?limit=0"),
        ("/api/channels/{channel}", "/api/channels/a", "/api/channels/%20"),
        ("/api/channels/{channel}/history", "/api/channels/a/history", "/api/channels/a/history?limit=0"),
        ("/api/channels/{channel}/history", "/api/channels/quick.1/history", "/api/channels/%20/history"),
        ("/api/openapi.json", "/api/openapi.json", "/api/openapi.json"),
    ] {
        for asked in [good, bad] {
            see("get", path, request(with_keys.address, &format!("GET {asked}"), &[KEY], "").await);
        }
        let line = format!("GET {good}");
        see("get", path, request(with_keys.address, &line, &[], "").await);
        see("get", path, request(without.address, &line, &["x-real-ip: ::1"], "").await);
        probe.refuse_history(true);
        see("get", path, request(with_keys.address, &line, &[KEY], "").await);
        probe.refuse_history(false);
    }
    seen
}

async fn every_answer_in_it_exists_and_no_other(serving: Serving) {
    let probe = Probe::over(histories(10));
    let settings = config(|config| config.limits.api_body_bytes = 1_000);
    let builder = Gateway::builder(probe.clone()).config(settings);
    let with_keys = Running::start_with(serving, builder, Some(keys()));
    let without = Running::start(serving, Gateway::builder(Probe::default()));
    let seen = seen(&with_keys, &probe, &without).await;
    let document = document(&with_keys).await;
    let mut written = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            for (status, answer) in operation["responses"].as_object().expect("answers") {
                let content = resolved(&document, answer)["content"].as_object().expect("a content");
                for kind in content.keys() {
                    let status: u16 = status.parse().expect("a status");
                    written.insert((method.as_str(), path.as_str(), status, kind.clone()));
                }
            }
        }
    }
    assert_eq!(seen, written);
}
