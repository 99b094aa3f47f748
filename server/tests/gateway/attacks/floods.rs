//! More than anybody needs, from one client.

use super::Bystander;
use crate::harness::{
    Client, Raw, Running, Serving, both_ways, config, err, masked, ok, open_gateway, publish, sub, unsub,
};
use std::time::Duration;
use tidings_server::{Gateway, Histories, MemoryBroadcaster, Metrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

both_ways!(
    pings_whose_answers_are_not_read,
    answers_that_are_not_read,
    subscriptions_that_come_and_go,
    publishes_that_are_denied,
    connections_that_come_and_go,
);

/// How many connections were closed as too slow.
fn too_slow(server: &Running) -> usize {
    let text = Metrics::new(&server.gateway).text();
    let name = r#"tidings_connections_closed_total{side="gateway",code="4008"} "#;
    let count = text.lines().find_map(|line| line.strip_prefix(name)).expect("the metric");
    count.parse().expect("a number")
}

/// Sends `frame` until the answers are too much for one who reads none, however much of them the buffers of the system
/// hold. The gateway says that with a close frame behind what it had begun to send.
async fn flood_unread(server: &Running, frame: &[u8]) {
    let before = too_slow(server);
    let mut client = Raw::connect(server).await;
    let some = frame.repeat(64 * 1024 / frame.len());
    while too_slow(server) == before {
        client.send(&some).await;
    }
    let last = [&[0x88, 2 + 8][..], &4008_u16.to_be_bytes(), b"too slow"].concat();
    // Not frame by frame: the gateway waits for half a minute until so much is read.
    let mut rest = Vec::new();
    while !rest.ends_with(&last) {
        assert!(client.stream.read_buf(&mut rest).await.expect("an open connection") > 0, "no close frame");
    }
}

/// Without the limit of commands, which would end a flood before it costs anything; and without pings, for the bystander
/// answers none while a flood takes its time.
fn unlimited() -> tidings_server::Config {
    config(|c| {
        c.limits.commands_per_second = 0;
        c.ping_interval = Duration::ZERO;
    })
}

fn small_queue() -> tidings_server::Builder {
    open_gateway().config(config(|c| {
        c.limits.commands_per_second = 0;
        c.ping_interval = Duration::ZERO;
        c.limits.queue_bytes = 64 * 1024;
        c.limits.queue_stall = Duration::from_secs(60);
    }))
}

async fn pings_whose_answers_are_not_read(serving: Serving) {
    let server = Running::start(serving, small_queue());
    let mut bystander = Bystander::join(&server).await;
    flood_unread(&server, &masked(0x89, &[b'x'; 125])).await;
    bystander.is_served(&server).await;
}

async fn answers_that_are_not_read(serving: Serving) {
    let server = Running::start(serving, small_queue());
    let mut bystander = Bystander::join(&server).await;
    let channel = "x".repeat(200);
    flood_unread(&server, &masked(0x81, sub(&channel).as_bytes())).await;
    let invalid = "\u{7f}".repeat(5_000);
    flood_unread(&server, &masked(0x81, sub(&invalid).as_bytes())).await;
    bystander.is_served(&server).await;
}

async fn subscriptions_that_come_and_go(serving: Serving) {
    const ROUNDS: usize = 5_000;
    let gateway = Gateway::builder(MemoryBroadcaster::new(Histories::off()));
    let server = Running::start(serving, gateway.config(unlimited()));
    let mut bystander = Bystander::join(&server).await;
    let (reading, mut writing) = Raw::connect(&server).await.stream.into_split();
    let write = async {
        for n in 0..ROUNDS {
            let channel = format!("c.{n}");
            let frames = [sub(&channel), unsub(&channel), sub("same"), unsub("same")];
            let bytes: Vec<u8> = frames.iter().flat_map(|text| masked(0x81, text.as_bytes())).collect();
            writing.write_all(&bytes).await.expect("an open connection");
        }
        let last = masked(0x81, sub("last").as_bytes());
        writing.write_all(&last).await.expect("an open connection");
    };
    let read = async {
        let mut reading = BufReader::new(reading);
        while crate::harness::text(&mut reading).await != ok("last") {}
    };
    futures_util::join!(write, read);
    drop(writing);
    bystander.is_served(&server).await;
    crate::harness::until("nothing is left", || server.gateway.channel_count() == 1).await;
}

async fn publishes_that_are_denied(serving: Serving) {
    const PUBLISHES: usize = 3_000;
    let gateway = Gateway::builder(MemoryBroadcaster::new(Histories::off()));
    let server = Running::start(serving, gateway.config(unlimited()));
    let mut bystander = Bystander::join(&server).await;
    let (reading, mut writing) = Raw::connect(&server).await.stream.into_split();
    let frames = masked(0x81, publish("news", "e", "2").as_bytes()).repeat(PUBLISHES);
    let write = async { writing.write_all(&frames).await.expect("an open connection") };
    let read = async {
        let mut reading = BufReader::new(reading);
        for _ in 0..PUBLISHES {
            assert_eq!(crate::harness::text(&mut reading).await, err("news", "publish denied"));
        }
    };
    futures_util::join!(write, read);
    bystander.is_served(&server).await;
}

async fn connections_that_come_and_go(serving: Serving) {
    const ROUNDS: usize = 300;
    let server = Running::start(
        serving,
        open_gateway().config(config(|c| {
            c.limits.connections_per_second = 1_000_000;
            c.ping_interval = Duration::ZERO;
        })),
    );
    let mut bystander = Bystander::join(&server).await;
    for n in 0..ROUNDS {
        let mut client = Client::connect(&server).await;
        client.send(sub(&format!("c.{}", n % 7))).await;
        if n % 3 == 0 {
            client.reset();
        }
    }
    bystander.is_served(&server).await;
    crate::harness::until("all have gone", || {
        server.gateway.client_count() == 1 && server.gateway.channel_count() == 1
    })
    .await;
}
