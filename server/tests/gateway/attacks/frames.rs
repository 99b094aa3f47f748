//! Frames that no client sends. Those that every client's tests know are in [`breach`](crate::breach).

use super::{Bystander, are_closed};
use crate::harness::{Raw, Running, Serving, both_ways, config, masked, ok, open_gateway, publish, sub};

both_ways!(
    lengths_beyond_measure,
    every_reserved_bit_and_opcode,
    control_frames_in_parts,
    closes_that_are_none,
    text_cut_anywhere,
    text_that_is_broken_anywhere,
    fragments_without_end,
);

const LIMIT: usize = 1_000;

async fn lengths_beyond_measure(serving: Serving) {
    let server = Running::start(serving, open_gateway().config(config(|c| c.limits.frame_bytes = LIMIT)));
    let mut bystander = Bystander::join(&server).await;
    let lengths = [LIMIT as u64 + 1, 1 << 16, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX];
    let attack = |(first, length): (u8, u64)| {
        let bytes = [&[first, 0xff], &length.to_be_bytes()[..], &[1, 2, 3, 4], b"abc"].concat();
        (format!("{length:#x} of {first:#x}"), bytes)
    };
    let every = [0x81, 0x82, 0x01, 0x02].into_iter().flat_map(|first| lengths.map(|length| (first, length)));
    are_closed(&server, 1009, every.map(attack)).await;
    bystander.is_served(&server).await;
}

async fn every_reserved_bit_and_opcode(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut bystander = Bystander::join(&server).await;
    let bits = (1..8).flat_map(|bits| [0x1, 0x2, 0x9, 0xa].map(|opcode| 0x80 | bits << 4 | opcode));
    let opcodes = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(|opcode| 0x80 | opcode);
    let attack = |first| (format!("{first:#x}"), masked(first, sub("a").as_bytes()));
    are_closed(&server, 1002, bits.chain(opcodes).map(attack)).await;
    assert_eq!(server.gateway.subscriber_count("a"), 0);
    bystander.is_served(&server).await;
}

async fn control_frames_in_parts(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let large = [3; 126];
    let attacks = [
        ("the first part of a ping", masked(0x09, b"x")),
        ("the first part of a pong", masked(0x0a, b"x")),
        ("the first part of a close", masked(0x08, &1000_u16.to_be_bytes())),
        ("a large ping", masked(0x89, &large)),
        ("a large pong", masked(0x8a, &large)),
        ("a large close", masked(0x88, &large)),
    ];
    let within = |(what, frame): &(&str, Vec<u8>)| {
        (format!("{what} inside a message"), [masked(0x01, b"{"), frame.clone()].concat())
    };
    let alone = |(what, frame): &(&str, Vec<u8>)| ((*what).to_owned(), frame.clone());
    are_closed(&server, 1002, attacks.iter().map(within).chain(attacks.iter().map(alone))).await;
    server.empty().await;
}

async fn closes_that_are_none(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let code = |code: u16| code.to_be_bytes().to_vec();
    let reason = |reason: &[u8]| [&1000_u16.to_be_bytes()[..], reason].concat();
    let mut closes = vec![vec![3], reason(b"\xff"), reason(b"\xed\xa0\x80"), reason(b"\xc3")];
    closes.extend([0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535].map(code));
    let attack = |payload: Vec<u8>| (format!("{payload:?}"), masked(0x88, &payload));
    are_closed(&server, 1002, closes.into_iter().map(attack)).await;
    for good in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        let mut client = Raw::connect(&server).await;
        client.send(&masked(0x88, &[code(good), "\u{e9}".into()].concat())).await;
        assert_eq!(client.frame().await, (0x88, code(good)));
    }
    server.empty().await;
}

/// A message in two parts, cut at `at`.
fn cut(text: &[u8], at: usize) -> Vec<u8> {
    [masked(0x01, &text[..at]), masked(0x80, &text[at..])].concat()
}

async fn text_cut_anywhere(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Raw::connect(&server).await;
    let channel = "\u{e9}\u{4e00}\u{1f980}";
    let text = sub(channel);
    for at in 0..=text.len() {
        client.send(&cut(text.as_bytes(), at)).await;
        assert_eq!(client.text().await, ok(channel), "{at}");
    }
    let in_bytes: Vec<Vec<u8>> = text.bytes().map(|byte| masked(0x00, &[byte])).collect();
    client.send(&[masked(0x01, b""), in_bytes.concat(), masked(0x80, b"")].concat()).await;
    assert_eq!(client.text().await, ok(channel));
}

async fn text_that_is_broken_anywhere(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut bystander = Bystander::join(&server).await;
    let broken: [&[u8]; 10] = [
        b"\x80",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"\xce",
        b"\xf0\x9f\xa6",
    ];
    let start = br#"{"t":"sub","c":"a"#;
    let attacks = broken.into_iter().flat_map(|broken| {
        let text = [&start[..], broken, br#""}"#].concat();
        let (from, to) = (start.len(), start.len() + broken.len());
        let whole =
            (from..=to).map(|at| (format!("{broken:?} cut at {at}"), cut(&text, at))).collect::<Vec<_>>();
        let at_the_end = (format!("{broken:?} at the end"), cut(&text[..to], from));
        whole.into_iter().chain([at_the_end])
    });
    are_closed(&server, 1007, attacks).await;
    bystander.is_served(&server).await;
}

async fn fragments_without_end(serving: Serving) {
    let server = Running::start(serving, open_gateway().config(config(|c| c.limits.frame_bytes = LIMIT)));
    let mut bystander = Bystander::join(&server).await;
    // Empty ones add nothing: whoever sends them is not idle, and costs no more than one who pings.
    let mut client = Raw::connect(&server).await;
    let message = publish("news", "e", "2");
    client.send(&masked(0x01, message.as_bytes())).await;
    client.send(&masked(0x00, b"").repeat(20_000)).await;
    client.send(&masked(0x80, b"")).await;
    client.send(&masked(0x89, b"done")).await;
    assert_eq!(client.frame().await, (0x8a, b"done".to_vec()));
    assert!(bystander.0.next().await.contains(r#""d":2,"#), "it was one message");
    // Those that are not empty come to an end.
    for size in [1, 7, 100] {
        let mut client = Raw::connect(&server).await;
        client.send(&masked(0x01, b"x")).await;
        client.send(&masked(0x00, &vec![b'x'; size]).repeat(LIMIT / size + 1)).await;
        assert_eq!(client.expect_close().await, 1009, "parts of {size}");
    }
    bystander.is_served(&server).await;
}
