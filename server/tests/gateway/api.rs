//! The HTTP API.

mod channels;
mod document;
mod history;
mod keys;
mod lockout;
mod publishing;

use crate::harness::{Answer, Running, answer, request};
use serde_json::Value;
use tidings_server::{Builder, Gateway, Histories, History, MemoryBroadcaster};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const JSON: &str = "content-type: application/json";

/// What `quick.*` is called in these tests has no history.
fn histories(events: usize) -> Histories {
    let histories = Histories::new(History { events, ..History::default() });
    histories.with("quick.*", History::OFF).expect("a pattern")
}

/// A gateway that keeps this many events of a channel.
fn recovering(events: usize) -> Builder {
    Gateway::builder(MemoryBroadcaster::new(histories(events)))
}

async fn post(server: &Running, headers: &[&str], body: &str) -> Answer {
    request(server.address, "POST /api/publish", headers, body).await
}

async fn post_batch(server: &Running, body: &str) -> Answer {
    request(server.address, "POST /api/publish/batch", &[JSON], body).await
}

/// Asks for what is below `/api/channels`.
async fn get(server: &Running, path: &str) -> Answer {
    request(server.address, &format!("GET /api/channels{path}"), &[], "").await
}

/// Sends this and reads one answer.
async fn raw(server: &Running, text: &str) -> Answer {
    let mut stream = TcpStream::connect(server.address).await.expect("a listening gateway");
    stream.write_all(text.as_bytes()).await.expect("an open connection");
    answer(&mut stream, false).await.0
}

/// The body of an answer with this status.
fn json_of(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_str(&answer.body).expect("JSON")
}

/// The problem document of an answer with this status.
fn problem_of(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{problem}");
    assert_eq!(problem["type"], "about:blank");
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
    problem
}
