//! Requests that two programs may take for different ones, and many of them on one connection.

use super::{Bystander, connect, status, statuses};
use crate::harness::{Raw, Running, Serving, answer, both_ways, handshake, masked, ok, open_gateway, sub};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

both_ways!(
    bodies_of_two_lengths,
    nothing_is_smuggled,
    requests_before_a_handshake,
    a_request_behind_a_handshake,
    more_requests_than_are_read_at_once,
    methods_of_proxies,
);

const PUBLISH: &str = r#"{"channel":"news","event":"smuggled"}"#;

async fn bodies_of_two_lengths(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut bystander = Bystander::join(&server).await;
    let long = PUBLISH.len();
    for lengths in [
        format!("content-length: {long}\r\ntransfer-encoding: chunked"),
        format!("transfer-encoding: chunked\r\ncontent-length: {long}"),
        format!("content-length: {long}\r\ncontent-length: {long}"),
        format!("content-length: {long}\r\ncontent-length: 0"),
        format!("content-length: {long}, {long}"),
        format!("content-length: +{long}"),
        format!("content-length: -{long}"),
        format!("content-length: 0x{long:x}"),
        format!("content-length: {long} {long}"),
        format!("content-length : {long}"),
        "content-length: 99999999999999999999999".to_owned(),
        "content-length: ".to_owned(),
        "transfer-encoding: xchunked".to_owned(),
        "transfer-encoding: gzip, chunked".to_owned(),
        "transfer-encoding: chunked, identity".to_owned(),
        "transfer-encoding: identity".to_owned(),
        "transfer-encoding: \x0bchunked".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked".to_owned(),
        "transfer-encoding : chunked".to_owned(),
        "transfer-encoding:\r\n chunked".to_owned(),
    ] {
        let bytes = format!(
            "POST /api/publish HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{lengths}\r\n\r\n{PUBLISH}",
            server.address
        );
        assert_eq!(statuses(&server, bytes.as_bytes()).await, [400], "{lengths:?}");
    }
    let old = format!("POST /api/publish HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n{PUBLISH}");
    assert_eq!(statuses(&server, old.as_bytes()).await, [400]);
    bystander.is_served(&server).await;
}

/// What stands behind one whole request is another one for everybody; what stands within a body is none for anybody.
async fn nothing_is_smuggled(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut bystander = Bystander::join(&server).await;
    let host = server.address;
    let inner = format!(
        "POST /api/publish HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n\
         {PUBLISH}",
        PUBLISH.len()
    );
    for (what, body, statuses_expected) in [
        ("within a body", format!("content-length: {}\r\n\r\n{inner}", inner.len()), &[404][..]),
        (
            "within a chunk",
            format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
            &[404],
        ),
        (
            "in a chunk's extension",
            "transfer-encoding: chunked\r\n\r\n0;\nGET / HTTP/1.1\r\n\r\n".to_owned(),
            &[],
        ),
        ("a chunk of no length", format!("transfer-encoding: chunked\r\n\r\nz\r\n{inner}"), &[]),
        ("a chunk too long", format!("transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{inner}"), &[]),
    ] {
        let bytes = format!("POST /nowhere HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{body}");
        let got = statuses(&server, bytes.as_bytes()).await;
        // A body that is broken may be found out before its request is answered, or after.
        assert!(got == statuses_expected || got == [404] || got == [400], "{what}: {got:?}");
    }
    // Nothing was published: the next event is the bystander's own.
    bystander.is_served(&server).await;
}

async fn requests_before_a_handshake(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let get = format!("GET /nowhere HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    for before in [1, 3, 10] {
        let mut bytes = get.repeat(before).into_bytes();
        bytes.extend_from_slice(handshake(server.address).as_bytes());
        bytes.extend(masked(0x81, sub("a").as_bytes()));
        let mut stream = connect(&server).await;
        stream.write_all(&bytes).await.expect("an open connection");
        for _ in 0..before {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("an answer"));
            }
            assert!(head.starts_with(b"HTTP/1.1 404 "), "{}", String::from_utf8_lossy(&head));
        }
        assert_eq!(Raw::upgraded(stream).await.text().await, ok("a"), "behind {before}");
    }
}

async fn a_request_behind_a_handshake(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut bystander = Bystander::join(&server).await;
    let post = format!(
        "POST /api/publish HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{PUBLISH}",
        server.address,
        PUBLISH.len()
    );
    // To the gateway they are frames, and none that there are.
    let mut client = Raw::connect_with(&server, post.as_bytes()).await;
    assert_eq!(client.expect_close().await, 1002);
    bystander.is_served(&server).await;
}

async fn more_requests_than_are_read_at_once(serving: Serving) {
    const REQUESTS: usize = 500;
    let server = Running::start(serving, open_gateway());
    let get = format!("GET /nowhere HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    let last = get.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1);
    let bytes = get.repeat(REQUESTS - 1) + &last;
    assert_eq!(statuses(&server, bytes.as_bytes()).await, [404; REQUESTS]);
}

async fn methods_of_proxies(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let host = server.address;
    for (line, expected) in [
        ("CONNECT evil.example:443", 404),
        ("TRACE /", 404),
        ("TRACE /_broadcast", 404),
        ("OPTIONS *", 404),
        ("GET http://evil.example/", 404),
        ("POST /_broadcast", 404),
        ("DEBUG /_broadcast/sse", 405),
    ] {
        let bytes = format!("{line} HTTP/1.1\r\nhost: {host}\r\nx-secret: mine\r\nconnection: close\r\n\r\n");
        let mut stream = connect(&server).await;
        stream.write_all(bytes.as_bytes()).await.expect("an open connection");
        let (answer, _) = answer(&mut stream, false).await;
        assert_eq!(answer.status, expected, "{line}");
        assert!(!answer.body.contains("mine") && !answer.head.contains("mine"), "{line} is reflected");
    }
    assert_eq!(status(&server, handshake(host).replacen("GET", "HEAD", 1).as_bytes()).await, 404);
}
