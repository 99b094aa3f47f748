//! Frames that make no sense, and breaches of the WebSocket protocol.

use crate::harness::{
    Client, Raw, Running, Serving, both_ways, config, masked, open_gateway, publish, sub, until,
};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

both_ways!(
    nonsense_is_dropped_and_counted,
    a_frame_that_is_too_large,
    fragments_that_add_up,
    the_largest_frame_is_taken,
    text_that_is_not_utf8,
    protocol_errors,
    what_comes_before_a_breach_is_no_harm,
    what_comes_behind_a_breach_is_not_heard,
    who_does_not_answer_a_close_is_forgotten,
);

async fn nonsense_is_dropped_and_counted(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    let nonsense = [
        "",
        "x",
        "[]",
        "null",
        "1",
        r#""sub""#,
        "{}",
        r#"{"t":1,"c":"a"}"#,
        r#"{"t":"unknown","c":"a"}"#,
        r#"{"t":"SUB","c":"a"}"#,
        r#"{"t":"ok","c":"a"}"#,
        r#"{"t":"msg","c":"a","e":"e","d":1,"i":"x"}"#,
        r#"{"t":"sub"}"#,
        r#"{"t":"sub","c":""}"#,
        r#"{"t":"sub","c":7}"#,
        r#"{"t":"unsub"}"#,
        r#"{"t":"pub","c":"a"}"#,
        r#"{"t":"pub","c":"a","e":""}"#,
        r#"{"t":"pub","c":"a","e":{}}"#,
        r#"{"t":"sub","c":"a""#,
        r#"{"t":"sub","c":"a"} x"#,
        "{\"t\":\"sub\",\"c\":\"a\",}",
        &"[".repeat(10_000),
    ];
    for text in nonsense {
        client.send(text).await;
    }
    client.message(Message::binary(sub("a").into_bytes())).await;
    client.silence().await;
    assert_eq!(server.gateway.dropped_frame_count(), nonsense.len() as u64 + 1);
    client.send(r#"{"t":"pong"}"#).await;
    client.subscribe("a").await;
    assert_eq!(server.gateway.dropped_frame_count(), nonsense.len() as u64 + 1);
}

async fn a_frame_that_is_too_large(serving: Serving) {
    let server = Running::start(serving, open_gateway().config(config(|c| c.limits.frame_bytes = 1_000)));
    for first in [0x81, 0x82, 0x01] {
        let mut client = Raw::connect(&server).await;
        client.send(&masked(first, &[b'x'; 1_001])).await;
        assert_eq!(client.expect_close().await, 1009, "{first:#x}");
    }
    // It is refused by its header: the rest need not come.
    let mut client = Raw::connect(&server).await;
    client.send(&[0x81, 0xff, 0, 0, 0x7f, 0, 0, 0, 0, 0, 1, 2, 3, 4]).await;
    assert_eq!(client.expect_close().await, 1009);
    server.empty().await;
}

async fn fragments_that_add_up(serving: Serving) {
    let server = Running::start(serving, open_gateway().config(config(|c| c.limits.frame_bytes = 1_000)));
    for first in [0x01, 0x02] {
        let mut client = Raw::connect(&server).await;
        client.send(&masked(first, &[b'x'; 600])).await;
        client.send(&masked(0x00, &[b'x'; 400])).await;
        client.send(&masked(0x89, b"still there")).await;
        assert_eq!(client.frame().await, (0x8a, b"still there".to_vec()));
        client.send(&masked(0x00, b"x")).await;
        assert_eq!(client.expect_close().await, 1009);
    }
    server.empty().await;
}

async fn the_largest_frame_is_taken(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    let frame = |size: usize| format!(r#"{{"t":"pub","c":"a","e":"e","d":"{}"}}"#, "x".repeat(size));
    let room = 64 * 1024 - frame(0).len();
    client.send(frame(room)).await;
    assert!(client.next().await.len() > room);
    client.send(frame(room + 1)).await;
    assert_eq!(client.expect_close().await, 1009);
}

async fn text_that_is_not_utf8(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    for payload in [&b"\xff"[..], b"{\"t\":\"sub\",\"c\":\"\xc3\"}", b"\xed\xa0\x80"] {
        let mut client = Raw::connect(&server).await;
        client.send(&masked(0x81, payload)).await;
        assert_eq!(client.expect_close().await, 1007);
    }
    let mut client = Raw::connect(&server).await;
    client.send(&masked(0x01, b"\xf0\x9f")).await;
    client.send(&masked(0x80, b"\xa6")).await;
    assert_eq!(client.expect_close().await, 1007);
    server.empty().await;
}

async fn protocol_errors(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let text = sub("a").into_bytes();
    let unmasked = [&[0x81, text.len() as u8], &text[..]].concat();
    let twice_begun = [masked(0x01, b"{"), masked(0x01, b"{")].concat();
    let inside = [masked(0x01, b"{"), masked(0x81, b"{}")].concat();
    for (what, bytes) in [
        ("not masked", unmasked),
        ("reserved bit 1", masked(0xc1, &text)),
        ("reserved bit 2", masked(0xa1, &text)),
        ("reserved bit 3", masked(0x91, &text)),
        ("opcode 3", masked(0x83, &text)),
        ("opcode 11", masked(0x8b, b"")),
        ("a continuation of nothing", masked(0x80, b"x")),
        ("a part of nothing", masked(0x00, b"x")),
        ("a message begun inside another", twice_begun),
        ("a message inside another", inside),
        ("a ping in parts", masked(0x09, b"x")),
        ("a large ping", masked(0x89, &[b'x'; 126])),
        ("a large close", masked(0x88, &[3; 126])),
    ] {
        let mut client = Raw::connect(&server).await;
        client.send(&bytes).await;
        let (first, payload) = client.frame().await;
        assert_eq!((first, payload.get(..2)), (0x88, Some(&1002_u16.to_be_bytes()[..])), "{what}");
    }
    until("all are gone", || server.gateway.client_count() == 0).await;
}

async fn what_comes_before_a_breach_is_no_harm(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    let mut raw = Raw::connect(&server).await;
    raw.send(&[masked(0x81, publish("a", "e", "1").as_bytes()), masked(0x83, b"")].concat()).await;
    assert_eq!(raw.expect_close().await, 1002);
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"a""#));
}

/// Whether it comes in one piece or byte by byte.
async fn what_comes_behind_a_breach_is_not_heard(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    let before = masked(0x81, publish("a", "before", "1").as_bytes());
    let behind = masked(0x81, publish("a", "behind", "1").as_bytes());
    for (code, breach) in [
        (1002, masked(0x80, b"x")),
        (1002, masked(0x00, b"x")),
        (1002, [masked(0x01, b"{"), masked(0x81, b"{}")].concat()),
        (1002, [masked(0x01, b"{"), masked(0x02, b"{")].concat()),
        (1002, masked(0x89, &[b'x'; 126])),
        (1002, masked(0x88, b"x")),
        (1002, masked(0x88, &5_u16.to_be_bytes())),
        (1002, masked(0x83, b"")),
        (1007, masked(0x81, b"\xff")),
        (1000, masked(0x88, &1000_u16.to_be_bytes())),
    ] {
        for step in [1, usize::MAX] {
            let mut raw = Raw::connect(&server).await;
            let bytes = [&before[..], &breach, &behind, &behind].concat();
            for piece in bytes.chunks(step.min(bytes.len())) {
                // Behind a breach the gateway may have closed already.
                let _ = raw.stream.write_all(piece).await;
            }
            assert!(client.next().await.contains(r#""e":"before""#), "{breach:x?} by {step}");
            let (first, payload) = raw.frame().await;
            let code = u16::to_be_bytes(code);
            assert_eq!((first, payload.get(..2)), (0x88, Some(&code[..])), "{breach:x?} by {step}");
        }
    }
    until("only one is left", || server.gateway.client_count() == 1).await;
    client.silence().await;
}

async fn who_does_not_answer_a_close_is_forgotten(serving: Serving) {
    let no_other_timer = config(|c| c.ping_interval = std::time::Duration::ZERO);
    let server = Running::start(serving, open_gateway().config(no_other_timer));
    let mut client = Raw::connect(&server).await;
    client.send(&masked(0x83, b"")).await;
    assert_eq!(client.frame().await.0, 0x88);
    server.empty().await;
}
