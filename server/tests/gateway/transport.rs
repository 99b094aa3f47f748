//! However the bytes come.

use crate::harness::{
    Client, Raw, Running, Serving, both_ways, config, masked, ok, open_gateway, publish, sub,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

both_ways!(
    a_ping_is_answered_with_its_payload,
    a_message_in_fragments,
    byte_by_byte,
    many_frames_in_one_write,
    in_the_packet_of_the_handshake,
    the_peers_close_is_answered_with_its_code,
    a_close_without_a_code,
    the_gateway_ends_a_connection_that_both_have_closed,
    nothing_is_heard_after_a_close,
    the_end_of_the_stream,
);

async fn a_ping_is_answered_with_its_payload(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Raw::connect(&server).await;
    for payload in [&b""[..], b"x", &[0xff; 125]] {
        client.send(&masked(0x89, payload)).await;
        assert_eq!(client.frame().await, (0x8a, payload.to_vec()));
    }
    client.send(&masked(0x8a, b"nobody asked")).await;
    client.send(&masked(0x81, sub("a").as_bytes())).await;
    assert_eq!(client.text().await, ok("a"));
    let mut client = Client::connect(&server).await;
    client.message(Message::Ping("payload".into())).await;
    assert_eq!(client.said().await, crate::harness::Said::Pong(b"payload".to_vec()));
}

async fn a_message_in_fragments(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Raw::connect(&server).await;
    client.send(&masked(0x01, br#"{"t":"s"#)).await;
    client.send(&masked(0x89, b"between")).await;
    assert_eq!(client.frame().await, (0x8a, b"between".to_vec()));
    client.send(&masked(0x00, b"")).await;
    client.send(&masked(0x00, "ub\",\"c\":\"\u{1f980}".as_bytes().split_at(9).0)).await;
    client.send(&masked(0x80, &[&"ub\",\"c\":\"\u{1f980}".as_bytes()[9..], b"\"}"].concat())).await;
    assert_eq!(client.text().await, ok("\u{1f980}"));
    client.send(&masked(0x02, b"binary")).await;
    client.send(&masked(0x80, b" too")).await;
    client.send(&masked(0x81, sub("a").as_bytes())).await;
    assert_eq!(client.text().await, ok("a"));
    assert_eq!(server.gateway.dropped_frame_count(), 1);
}

async fn byte_by_byte(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Raw::connect(&server).await;
    let frames = [masked(0x81, sub("a").as_bytes()), masked(0x89, b"p"), masked(0x81, sub("b").as_bytes())];
    for byte in frames.concat() {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    let mut answers = [client.frame().await, client.frame().await, client.frame().await];
    answers.sort();
    let expected = [(0x81, ok("a").into_bytes()), (0x81, ok("b").into_bytes()), (0x8a, b"p".to_vec())];
    assert_eq!(answers, expected);
}

async fn many_frames_in_one_write(serving: Serving) {
    const COUNT: usize = 1_000;
    let unlimited = config(|c| c.limits.commands_per_second = 0);
    let server = Running::start(serving, open_gateway().config(unlimited));
    let client = Raw::connect(&server).await;
    let mut bytes = masked(0x81, sub("a").as_bytes());
    for n in 0..COUNT {
        bytes.extend(masked(0x81, publish("a", "e", &n.to_string()).as_bytes()));
    }
    // Read while it is written: the answers are more than the buffers between the two hold.
    let (reading, mut writing) = client.stream.into_split();
    let writing = async { writing.write_all(&bytes).await };
    let reading = async {
        let mut reading = tokio::io::BufReader::new(reading);
        assert_eq!(crate::harness::text(&mut reading).await, ok("a"));
        for n in 0..COUNT {
            let frame = crate::harness::text(&mut reading).await;
            assert!(frame.starts_with(&format!(r#"{{"t":"msg","c":"a","e":"e","d":{n},"i":""#)), "{frame}");
        }
    };
    let (written, ()) = futures_util::join!(writing, reading);
    written.expect("an open connection");
}

async fn in_the_packet_of_the_handshake(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let early = [masked(0x81, sub("a").as_bytes()), masked(0x89, b"p")].concat();
    let mut client = Raw::connect_with(&server, &early).await;
    // A pong waits for nothing, a subscription may.
    let mut answers = [client.frame().await, client.frame().await];
    answers.sort();
    assert_eq!(answers, [(0x81, ok("a").into_bytes()), (0x8a, b"p".to_vec())]);
    // A frame of which the beginning only comes early.
    let frame = masked(0x81, sub("b").as_bytes());
    for at in [1, 2, 5, frame.len() - 1] {
        let mut client = Raw::connect_with(&server, &frame[..at]).await;
        client.send(&frame[at..]).await;
        assert_eq!(client.text().await, ok("b"));
    }
}

async fn the_peers_close_is_answered_with_its_code(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    for code in [1000, 1001, 3000, 4999] {
        let mut client = Client::connect(&server).await;
        client.subscribe("a").await;
        assert_eq!(client.close_with(code).await, code);
    }
    server.empty().await;
}

async fn a_close_without_a_code(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Raw::connect(&server).await;
    client.send(&masked(0x88, b"")).await;
    let (first, payload) = client.frame().await;
    assert_eq!((first, payload), (0x88, 1000_u16.to_be_bytes().to_vec()));
    server.empty().await;
}

async fn the_gateway_ends_a_connection_that_both_have_closed(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Raw::connect(&server).await;
    client.send(&masked(0x88, &1000_u16.to_be_bytes())).await;
    assert_eq!(client.frame().await, (0x88, 1000_u16.to_be_bytes().to_vec()));
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).await.expect("the end of the connection");
    assert!(rest.is_empty(), "something after the close frame");
}

async fn nothing_is_heard_after_a_close(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Raw::connect(&server).await;
    let close = masked(0x88, &1000_u16.to_be_bytes());
    client.send(&[close, masked(0x81, sub("a").as_bytes())].concat()).await;
    assert_eq!(client.frame().await, (0x88, 1000_u16.to_be_bytes().to_vec()));
    server.empty().await;
    assert_eq!(server.gateway.subscriber_count("a"), 0);
}

/// A client that only stops to write is gone, whether or not it reads on.
async fn the_end_of_the_stream(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Raw::connect(&server).await;
    client.send(&masked(0x81, sub("a").as_bytes())).await;
    assert_eq!(client.text().await, ok("a"));
    client.stream.shutdown().await.expect("an open connection");
    server.empty().await;
}
