//! The API with keys: open to whoever has one, from anywhere.

use super::{JSON, problem_of, raw};
use crate::harness::{Running, Serving, answer, both_ways, open_gateway, request};
use tidings_server::ApiKeys;
use tokio::{io::AsyncWriteExt, net::TcpStream};

both_ways!(a_key_opens_from_everywhere, nothing_without_a_key, a_strangers_body_is_not_read);

const BODY: &str = r#"{"channel":"a","event":"e"}"#;

fn start(serving: Serving) -> Running {
    let keys = ["shop=0123456789abcdef", "till=fedcba9876543210"].map(|key| key.parse().expect("a key"));
    Running::start_with(serving, open_gateway(), Some(ApiKeys::new(keys).expect("keys")))
}

async fn a_key_opens_from_everywhere(serving: Serving) {
    let server = start(serving);
    for key in [
        "authorization: Bearer 0123456789abcdef",
        "authorization: Bearer fedcba9876543210",
        "Authorization: bearer  0123456789abcdef",
    ] {
        for other in ["x-a: b", "x-forwarded-for: 203.0.113.7", "origin: https://app.example.com"] {
            let answer = request(server.address, "POST /api/publish", &[JSON, key, other], BODY).await;
            assert_eq!(answer.status, 200, "{key} {other}: {}", answer.body);
            assert!(!answer.head.contains("access-control"), "pages are no backends");
        }
        let elsewhere = format!("GET /api/channels HTTP/1.1\r\nhost: gateway.example\r\n{key}\r\n\r\n");
        assert_eq!(raw(&server, &elsewhere).await.status, 200);
    }
}

async fn nothing_without_a_key(serving: Serving) {
    let server = start(serving);
    for line in [
        "POST /api/publish",
        "POST /api/publish/batch",
        "GET /api/channels",
        "GET /api/channels/a",
        "GET /api/channels/a/history",
        "GET /api/openapi.json",
        "POST /api/disconnect",
        "POST /api/revoke",
    ] {
        for (header, challenge) in [
            ("x-a: b", r#"bearer realm="tidings""#),
            ("authorization: Bearer", r#"bearer realm="tidings", error="invalid_token""#),
            ("authorization: Bearer ", r#"bearer realm="tidings", error="invalid_token""#),
            ("authorization: Bearer 0123456789abcdeg", r#"bearer realm="tidings", error="invalid_token""#),
            ("authorization: Bearer 0123456789abcdef0", r#"bearer realm="tidings", error="invalid_token""#),
            ("authorization: Basic 0123456789abcdef", r#"bearer realm="tidings", error="invalid_token""#),
            ("authorization: 0123456789abcdef", r#"bearer realm="tidings", error="invalid_token""#),
            ("x-api-key: 0123456789abcdef", r#"bearer realm="tidings""#),
        ] {
            let answer = request(server.address, line, &[JSON, header], BODY).await;
            let problem = problem_of(&answer, 401, "request.unauthorized");
            assert_eq!(answer.header("www-authenticate"), Some(challenge), "{line} {header}");
            assert!(!problem.to_string().contains("0123"), "{problem}");
            let detail =
                if header.contains("Bearer 0") { "not valid" } else { "Authorization: Bearer SECRET" };
            assert!(problem.to_string().contains(detail), "{header}: {problem}");
        }
    }
    assert_eq!(server.gateway.channel_count(), 0);
}

async fn a_strangers_body_is_not_read(serving: Serving) {
    let server = start(serving);
    let mut stream = TcpStream::connect(server.address).await.expect("a listening gateway");
    let head = format!("POST /api/publish HTTP/1.1\r\nhost: a\r\n{JSON}\r\ncontent-length: 1000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("an open connection");
    assert_eq!(answer(&mut stream, false).await.0.status, 401);
}
