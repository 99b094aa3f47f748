//! Events on their way to subscribers.

use crate::harness::{Client, Running, Serving, both_ways, open_gateway, publish};
use serde_json::json;
use tidings_server::{Event, RawJson};

both_ways!(
    data_is_carried_verbatim,
    absent_data_is_null,
    names_are_escaped,
    large_events,
    every_subscriber_sees_one_order,
    only_the_channels_of_a_client,
);

async fn data_is_carried_verbatim(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    for data in [
        "1",
        "-0.0",
        "1e400",
        "123456789012345678901234567890.000",
        r#""\u00e9\ud83e\udd80\/\n""#,
        r#""é🦀""#,
        r#"{ "b" : [ 1 ,2,  3 ], "a":null , "a": {} }"#,
        "[]",
        "false",
        "null",
        r#"{"t":"msg","c":"b"}"#,
    ] {
        client.send(publish("a", "e", data)).await;
        let frame = client.next().await;
        let (head, id) = frame.split_at(frame.len() - 34);
        assert_eq!(head, format!(r#"{{"t":"msg","c":"a","e":"e","d":{data}"#));
        assert!(id.starts_with(r#","i":""#) && id.ends_with(r#""}"#), "{frame}");
    }
}

async fn absent_data_is_null(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    client.send(r#" { "e":"x" , "c":"a", "more":[1], "t":"pub" } "#).await;
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"a","e":"x","d":null,"i":""#));
}

async fn names_are_escaped(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe(r#"a\"\\"#).await;
    server.gateway.publish(r#"a"\"#, Event::new(r#""quoted" \"#, json!(1))).await.expect("open");
    let frame = client.next().await;
    assert!(frame.starts_with(r#"{"t":"msg","c":"a\"\\","e":"\"quoted\" \\","d":1,"i":""#), "{frame}");
}

async fn large_events(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    for size in [50, 100, 126, 1_000, 65_400, 65_536, 200_000, 900_000] {
        let data = RawJson::serialize(&"x".repeat(size)).expect("JSON");
        server.gateway.publish("a", Event::new("e", data.clone())).await.expect("open");
        let frame = client.next().await;
        assert!(frame.contains(data.as_str()), "{size}");
    }
}

async fn every_subscriber_sees_one_order(serving: Serving) {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 100;
    let server = Running::start(serving, open_gateway());
    let mut subscribers = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(&server).await;
        client.subscribe("a").await;
        subscribers.push(client);
    }
    let mut publishers = Vec::new();
    for _ in 0..PUBLISHERS {
        publishers.push(Client::connect(&server).await);
    }
    let by_socket = futures_util::future::join_all(publishers.iter_mut().enumerate().map(
        async |(publisher, client): (usize, &mut Client)| {
            for n in 0..EACH {
                client.send(publish("a", &format!("{publisher}"), &n.to_string())).await;
            }
        },
    ));
    let by_call = async {
        for n in 0..EACH {
            server.gateway.publish("a", Event::new("call", json!(n))).await.expect("open");
            tokio::task::yield_now().await;
        }
    };
    let total = (PUBLISHERS + 1) * EACH;
    let seen = futures_util::future::join_all(subscribers.iter_mut().map(|client| client.take(total)));
    let (_, (), seen) = futures_util::join!(by_socket, by_call, seen);
    assert!(seen.iter().all(|frames| *frames == seen[0]), "one order for all");
    for publisher in ["0", "1", "2", "3", "call"] {
        let marker = format!(r#""e":"{publisher}","d":"#);
        let own: Vec<&str> =
            seen[0].iter().filter_map(|f| f.split_once(&marker)?.1.split(',').next()).collect();
        assert_eq!(own, (0..EACH).map(|n| n.to_string()).collect::<Vec<_>>(), "{publisher} in its order");
    }
    for client in &mut subscribers {
        client.silence().await;
    }
}

async fn only_the_channels_of_a_client(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let (mut ann, mut ben) = (Client::connect(&server).await, Client::connect(&server).await);
    ann.subscribe("a").await;
    ann.subscribe("both").await;
    ben.subscribe("b").await;
    ben.subscribe("both").await;
    for channel in ["a", "b", "none", "both"] {
        server.gateway.publish(channel, Event::new("e", json!(1))).await.expect("open");
    }
    let channels = |frames: Vec<String>| -> Vec<String> {
        frames.iter().map(|f| f[16..].split('"').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(channels(ann.take(2).await), ["a", "both"]);
    assert_eq!(channels(ben.take(2).await), ["b", "both"]);
    ann.silence().await;
    ben.silence().await;
}
