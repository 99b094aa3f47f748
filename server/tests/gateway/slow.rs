//! Clients that do not keep up, and clients that want too much.

use crate::harness::{
    Client, Door, Raw, Running, Said, Serving, both_ways, config, masked, open_gateway, publish, sub,
};
use serde_json::json;
use std::time::Duration;
use tidings_server::{Event, RawJson};

both_ways!(
    a_reader_that_stands_still_is_closed_and_holds_up_nobody,
    a_queue_that_stands_still_is_closed,
    too_many_waiting_publishes,
    too_many_waiting_bytes,
    a_burst_within_the_queue_is_no_harm,
);

async fn a_reader_that_stands_still_is_closed_and_holds_up_nobody(serving: Serving) {
    const MORE: usize = 100;
    let server = Running::start(
        serving,
        open_gateway().config(config(|c| {
            c.limits.queue_bytes = 256 * 1024;
            c.limits.queue_stall = Duration::from_secs(60);
        })),
    );
    let mut still = Vec::new();
    let mut readers = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(&server).await;
        raw.send(&masked(0x81, sub("a").as_bytes())).await;
        assert_eq!(raw.text().await, crate::harness::ok("a"));
        still.push(raw);
        for _ in 0..2 {
            let mut client = Client::connect(&server).await;
            client.subscribe("a").await;
            readers.push(client);
        }
    }
    let data = RawJson::serialize(&"x".repeat(50_000)).expect("JSON");
    // However much fits between the gateway and one who does not read, and some more.
    let (mut n, mut more) = (0, MORE);
    while more > 0 {
        if server.gateway.subscriber_count("a") == readers.len() {
            more -= 1;
        }
        server.gateway.publish("a", Event::new(n.to_string(), data.clone())).await.expect("open");
        // Not faster than those who read get it, else all are slow.
        for client in &mut readers {
            let frame = client.next().await;
            assert!(frame.starts_with(&format!(r#"{{"t":"msg","c":"a","e":"{n}","d":"#)), "{frame:.60}");
        }
        n += 1;
    }
    for mut raw in still {
        let last = loop {
            let (first, payload) = raw.frame().await;
            if first == 0x88 {
                break payload;
            }
            assert_eq!((first, payload.len() > 50_000), (0x81, true));
        };
        assert_eq!(last, [&4008_u16.to_be_bytes()[..], b"too slow"].concat());
    }
    for client in &mut readers {
        client.silence().await;
    }
}

async fn a_queue_that_stands_still_is_closed(serving: Serving) {
    let server = Running::start(
        serving,
        open_gateway().config(config(|c| {
            c.limits.queue_bytes = 64 * 1024 * 1024;
            c.limits.queue_stall = Duration::from_millis(200);
        })),
    );
    let mut still = Raw::connect(&server).await;
    still.send(&masked(0x81, sub("a").as_bytes())).await;
    assert_eq!(still.text().await, crate::harness::ok("a"));
    let data = RawJson::serialize(&"x".repeat(500_000)).expect("JSON");
    // Embedded, what actix-web has taken is out of the gateway's sight; what comes behind it is not.
    while server.gateway.subscriber_count("a") > 0 {
        server.gateway.publish("a", Event::new("e", data.clone())).await.expect("open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(still);
    server.empty().await;
}

async fn too_many_waiting_publishes(serving: Serving) {
    let door = Door::default();
    let waiting = door.clone();
    let builder = open_gateway()
        .authorize("slow", move |_, _| waiting.behind(true))
        .config(config(|c| c.limits.waiting_publishes = 5));
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    // One that runs, and five that wait.
    for n in 0..6 {
        client.send(publish("slow", "e", &n.to_string())).await;
    }
    client.silence().await;
    client.send(publish("a", "e", "6")).await;
    assert_eq!(client.said().await, Said::Close(4029, "too many commands".to_owned()));
    assert_eq!(client.said().await, Said::End);
    server.empty().await;
}

async fn too_many_waiting_bytes(serving: Serving) {
    let door = Door::default();
    let waiting = door.clone();
    let builder = open_gateway()
        .authorize("slow", move |_, _| waiting.behind(true))
        .config(config(|c| c.limits.waiting_bytes = 10_000));
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    let data = format!(r#""{}""#, "x".repeat(3_000));
    for _ in 0..4 {
        client.send(publish("slow", "e", &data)).await;
    }
    client.silence().await;
    client.send(publish("slow", "e", &data)).await;
    assert_eq!(client.expect_close().await, 4029);
    server.empty().await;
}

async fn a_burst_within_the_queue_is_no_harm(serving: Serving) {
    const EVENTS: usize = 5_000;
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    for n in 0..EVENTS {
        server.gateway.publish("a", Event::new("e", json!(n))).await.expect("open");
    }
    for n in 0..EVENTS {
        let frame = client.next().await;
        assert!(frame.contains(&format!(r#""d":{n},"#)), "{frame}");
    }
}
