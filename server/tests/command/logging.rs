//! What is logged, and how.

use crate::harness::{Serve, assert_fails, tidings};
use std::io::BufRead;
use tokio_tungstenite::tungstenite::client;

/// What a gateway logs that is started with these flags, used by a client with a token, and told to stop.
fn log(flags: &[&str]) -> Vec<String> {
    let arguments = [&["serve", "--bind", "127.0.0.1:0"], flags].concat();
    let mut serve = Serve::spawn(&mut tidings(&arguments));
    let log = serve.log();
    for path in ["_broadcast?token=hunter2", "_broadcast"] {
        let url = format!("ws://{}/{path}", serve.address);
        drop(client(url, serve.stream()).expect("an upgrade"));
    }
    serve.request("GET /_broadcast/sse?channel=private-a&token=hunter2", "");
    serve.signal("TERM");
    let lines = log.lines().map(|line| line.expect("text")).collect();
    assert_eq!(serve.wait(), Some(0));
    lines
}

#[test]
fn as_text_or_as_json() {
    let text = log(&[]);
    assert!(text.iter().any(|line| line.contains(" INFO ") && line.contains("stopped")), "{text:?}");
    let json = log(&["--log-format", "json"]);
    assert!(!json.is_empty());
    for line in &json {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
}

#[test]
fn no_token_is_logged() {
    let lines = log(&["--log-level", "debug"]);
    assert!(lines.iter().any(|line| line.contains("stopped")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("hunter2")), "{lines:?}");
}

#[test]
fn as_much_as_is_wanted() {
    assert_eq!(log(&["--log-level", "off"]), [""; 0]);
    assert_fails(&["serve", "--log-level", "loud"], &["--log-level", "loud", "wanted is off, error, warn"]);
    assert_fails(&["serve", "--log-format", "xml"], &["--log-format", "xml", "json"]);
}

/// A browser tells its page nothing of why it may not connect, so the log does.
#[test]
fn who_is_not_let_in_and_why() {
    let mut serve = Serve::spawn(&mut tidings(&["serve", "--bind", "127.0.0.1:0", "--connections", "1"]));
    let log = serve.log();
    for origin in ["http://localhost:5173", "https://other.example"] {
        let header = format!("origin: {origin}");
        assert_eq!(serve.request_with("GET /_broadcast/sse?channel=a", &header, "").0, 403);
    }
    let client = serve.connect();
    for _ in 0..2 {
        assert_eq!(serve.request("GET /_broadcast/sse?channel=a", "").0, 503);
    }
    drop(client);
    serve.signal("TERM");
    let lines = log.lines().map(|line| line.expect("text"));
    let told: Vec<_> = lines.filter(|line| line.contains("clients are not let in")).collect();
    let [page, full] = &told[..] else { panic!("{told:?}") };
    assert!(page.contains(" WARN ") && page.contains(r#"origin="http://localhost:5173" count=1"#), "{page}");
    assert!(full.contains("as many connections as it may") && !full.contains("origin"), "{full}");
}

#[test]
fn what_an_operator_may_not_have_meant_is_logged() {
    let warned = |lines: &[String]| lines.iter().filter(|line| line.contains(" WARN ")).count();
    let lines = log(&[]);
    assert_eq!(warned(&lines), 0, "{lines:?}");
    let lines = log(&["--allow-origin", "*"]);
    assert!(warned(&lines) == 1 && lines.iter().any(|line| line.contains("every origin")), "{lines:?}");
}
