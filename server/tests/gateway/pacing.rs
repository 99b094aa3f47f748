//! A client that waits for the answers to its publishes gets them later, near the limit of commands, and is not closed.

use crate::harness::{Raw, Running, Serving, both_ways, config, masked, open_gateway, sub, until};
use std::time::{Duration, Instant};
use tidings_server::{Builder, Metrics, Subject, Target, protocol::MAX_IN_FLIGHT};

both_ways!(
    a_fast_publisher_gets_its_answers_at_the_rate_that_is_allowed,
    answers_that_were_held_back_come_before_the_close,
    a_client_that_leaves_is_waited_for_no_longer,
);

/// The least burst that is allowed with five channels.
const BURST: u32 = 5 + 289;

fn limited(per_second: u32) -> Builder {
    open_gateway().resolve_subject(|_| async { Some(Subject::new("u")) }).config(config(|c| {
        c.limits.channels_per_connection = 5;
        (c.limits.commands_per_second, c.limits.commands_burst) = (per_second, BURST);
    }))
}

fn publish(number: usize) -> Vec<u8> {
    masked(0x81, format!(r#"{{"t":"pub","c":"a","e":"e","n":{number}}}"#).as_bytes())
}

/// The number of the publish that is acknowledged next.
async fn acknowledged(client: &mut Raw) -> usize {
    let text = client.text().await;
    let rest = text.strip_prefix(r#"{"t":"ack","n":"#).unwrap_or_else(|| panic!("{text}"));
    rest.split(',').next().and_then(|number| number.parse().ok()).expect("a number")
}

fn metric(server: &Running, series: &str) -> u64 {
    let text = Metrics::new(&server.gateway).text();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.expect("the metric").parse().expect("a number")
}

async fn a_fast_publisher_gets_its_answers_at_the_rate_that_is_allowed(serving: Serving) {
    const COUNT: usize = 600;
    const PER_SECOND: u32 = 200;
    let server = Running::start(serving, limited(PER_SECOND));
    let mut client = Raw::connect(&server).await;
    let began = Instant::now();
    let mut sent = 0;
    for answered in 0..COUNT {
        let more = COUNT.min(answered + MAX_IN_FLIGHT);
        client.send(&(sent..more).flat_map(publish).collect::<Vec<_>>()).await;
        sent = more;
        assert_eq!(acknowledged(&mut client).await, answered, "in order");
    }
    let least = Duration::from_secs((COUNT - BURST as usize) as u64) / PER_SECOND;
    assert!(began.elapsed() >= least, "{:?} for {COUNT}", began.elapsed());
    assert!(metric(&server, "tidings_paced_answers_total") > 300);
}

/// A client with 50 publishes that are accepted, of which hardly any was answered yet.
async fn unanswered(server: &Running) -> Raw {
    let mut client = Raw::connect(server).await;
    client.send(&(0..50).flat_map(publish).collect::<Vec<_>>()).await;
    let accepted = r#"tidings_publishes_total{source="client",outcome="accepted"}"#;
    until("all are accepted", || metric(server, accepted) == 50).await;
    assert!(metric(server, "tidings_paced_answers_total") > 40);
    client
}

async fn answers_that_were_held_back_come_before_the_close(serving: Serving) {
    for (end, code) in [("disconnect", 4003), ("drain", 1012), ("flood", 4029), ("no UTF-8", 1007)] {
        let server = Running::start(serving, limited(1));
        let mut client = unanswered(&server).await;
        match end {
            "disconnect" => server.gateway.disconnect(Target::User("u".into())).await.expect("open"),
            "drain" => server.gateway.drain().await,
            "flood" => client.send(&masked(0x81, sub("\n").as_bytes()).repeat(BURST as usize)).await,
            _ => client.send(&masked(0x81, b"\xff")).await,
        }
        let mut next = 0;
        let closed = loop {
            let (first, payload) = client.frame().await;
            if first == 0x88 {
                break u16::from_be_bytes([payload[0], payload[1]]);
            }
            if payload.starts_with(br#"{"t":"ack""#) {
                let expected = format!(r#"{{"t":"ack","n":{next},"#);
                assert!(payload.starts_with(expected.as_bytes()), "{end}: {next} comes next");
                next += 1;
            }
        };
        assert_eq!((next, closed), (50, code), "{end}");
    }
}

async fn a_client_that_leaves_is_waited_for_no_longer(serving: Serving) {
    let server = Running::start(serving, limited(1));
    drop(unanswered(&server).await);
    server.empty().await;
}
