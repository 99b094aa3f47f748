//! Heads of requests that no browser sends.

use super::{Bystander, handshake_with, status, statuses};
use crate::harness::{Client, Running, Serving, both_ways, config, handshake, open_gateway};

both_ways!(
    heads_without_measure,
    heads_that_are_malformed,
    headers_that_come_twice,
    keys_that_are_none,
    handshakes_with_a_body,
    upgrades_to_something_else,
    origins_that_are_close,
);

async fn heads_without_measure(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut bystander = Bystander::join(&server).await;
    let much = "x".repeat(200_000);
    let many = "x: y\r\n".repeat(3_000);
    for path in ["/_broadcast", "/_broadcast/sse", "/api/publish", "/"] {
        for (what, head) in [
            ("a line without end", format!("GET {path}{much}")),
            ("a header without end", format!("GET {path} HTTP/1.1\r\nhost: a\r\nx: {much}")),
            ("a name without end", format!("GET {path} HTTP/1.1\r\nhost: a\r\n{much}")),
            ("headers without end", format!("GET {path} HTTP/1.1\r\nhost: a\r\n{many}")),
            ("too many headers", format!("GET {path} HTTP/1.1\r\nhost: a\r\n{}\r\n", &many[..600])),
        ] {
            assert_eq!(statuses(&server, head.as_bytes()).await, [431], "{what} for {path}");
        }
    }
    let handshake = handshake_with(&server, &["x: y"; 200]);
    assert_eq!(statuses(&server, handshake.as_bytes()).await, [431]);
    bystander.is_served(&server).await;
}

async fn heads_that_are_malformed(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    for (what, from, to) in [
        ("a null byte in the path", "/_broadcast ", "/_broad\0cast "),
        ("a null byte in a name", "host: ", "x\0: y\r\nhost: "),
        ("a null byte in a value", "host: ", "x: a\0b\r\nhost: "),
        ("a bare return in a value", "host: ", "x: a\rb\r\nhost: "),
        ("a space before the colon", "host: ", "x : y\r\nhost: "),
        ("a folded line", "host: ", "x: a\r\n b\r\nhost: "),
        ("a line without a colon", "host: ", "x\r\nhost: "),
        ("a header without a name", "host: ", ": y\r\nhost: "),
        ("no version", " HTTP/1.1", ""),
        ("a version that is none", " HTTP/1.1", " HTTP/9.9"),
        ("HTTP/2", "GET /_broadcast HTTP/1.1", "PRI * HTTP/2.0"),
        ("no path", "GET /_broadcast ", "GET "),
        ("no host", "host: ", "x-host: "),
        ("two hosts", "host: ", "host: evil.example\r\nhost: "),
    ] {
        let head = handshake(server.address).replacen(from, to, 1);
        assert_eq!(statuses(&server, head.as_bytes()).await, [400], "{what}");
    }
    assert_eq!(server.gateway.client_count(), 0);
    Client::connect(&server).await.subscribe("a").await;
}

async fn headers_that_come_twice(serving: Serving) {
    let server =
        Running::start(serving, open_gateway().config(config(|c| c.allowed_origins = vec!["*".into()])));
    for (line, expected) in [
        ("upgrade: websocket", 400),
        ("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", 400),
        ("sec-websocket-version: 13", 400),
        ("sec-websocket-version: 8", 400),
        ("connection: keep-alive", 101),
        ("sec-websocket-protocol: a\r\nsec-websocket-protocol: b", 101),
        ("sec-websocket-extensions: permessage-deflate", 101),
        ("origin: https://a.example", 101),
        ("origin: https://a.example\r\norigin: https://a.example", 403),
        ("origin: https://a.example\r\norigin: https://b.example", 403),
    ] {
        assert_eq!(status(&server, handshake_with(&server, &[line]).as_bytes()).await, expected, "{line}");
    }
}

async fn keys_that_are_none(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let plain = handshake(server.address);
    for key in [
        "",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25j*Q==",
        "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        let head = plain.replacen("dGhlIHNhbXBsZSBub25jZQ==", key, 1);
        assert_eq!(status(&server, head.as_bytes()).await, 400, "{key}");
    }
}

async fn handshakes_with_a_body(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    for (lines, body, expected) in [
        (&["content-length: 5"][..], "hello", 400),
        (&["content-length: 100000"], "hello", 400),
        (&["transfer-encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n", 400),
        (&["content-length: 5", "transfer-encoding: chunked"], "0\r\n\r\n", 400),
        (&["content-length: 0"], "", 101),
    ] {
        let bytes = handshake_with(&server, lines) + body;
        assert_eq!(status(&server, bytes.as_bytes()).await, expected, "{lines:?}");
    }
}

async fn upgrades_to_something_else(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let settings = "http2-settings: AAMAAABkAARAAAAAAAIAAAAA";
    for (upgrade, expected) in [
        ("h2c", 400),
        ("h2c, websocket", 400),
        ("websocket, h2c", 400),
        ("websockets", 400),
        ("tls/1.0", 400),
        ("WebSocket", 101),
    ] {
        let head = handshake_with(&server, &[settings]);
        let head = head.replacen("upgrade: websocket", &format!("upgrade: {upgrade}"), 1);
        assert_eq!(status(&server, head.as_bytes()).await, expected, "{upgrade}");
        let elsewhere = head.replacen("/_broadcast", "/", 1);
        assert_eq!(status(&server, elsewhere.as_bytes()).await, 404, "{upgrade}");
    }
}

async fn origins_that_are_close(serving: Serving) {
    let listed = config(|c| c.allowed_origins = vec!["https://app.example.com".into()]);
    let server = Running::start(serving, open_gateway().config(listed));
    let own = server.address;
    for origin in [
        "https://app.example.com.".to_owned(),
        "https://app.example.com:444".to_owned(),
        "https://app.example.com/".to_owned(),
        "https://app.example.com@evil.example".to_owned(),
        "https://evil.example#app.example.com".to_owned(),
        "https://evilapp.example.com".to_owned(),
        "https://app.example.com, https://evil.example".to_owned(),
        "app.example.com".to_owned(),
        "*".to_owned(),
        "".to_owned(),
        "null".to_owned(),
        "file://".to_owned(),
        "https://app.example.com\u{e9}".to_owned(),
        format!("http://{own}.evil.example"),
        format!("http://x@{own}"),
        format!("http://{own}/"),
        format!("//{own}"),
        own.to_string(),
    ] {
        for path in ["/_broadcast", "/_broadcast/sse?channel=a"] {
            let head = handshake_with(&server, &[&format!("origin: {origin}")]);
            let head = head.replacen("/_broadcast", path, 1);
            let plain =
                head.replacen("upgrade: websocket\r\n", "", 1).replacen("connection: Upgrade\r\n", "", 1);
            let head = if path.contains("sse") { plain } else { head };
            assert_eq!(status(&server, head.as_bytes()).await, 403, "{origin:?} for {path}");
        }
    }
    assert_eq!(server.gateway.client_count(), 0);
}
