//! `sub` and `unsub`, and what they are answered.

use crate::harness::{
    Client, Door, Probe, Running, Serving, both_ways, config, err, ok, open_gateway, sub, unsub, until,
};
use serde_json::json;
use tidings_server::{Event, Gateway, protocol::reason};

both_ways!(
    a_sub_is_answered_each_time,
    two_subs_while_authorizing_are_two_answers,
    two_subs_of_a_refused_channel_are_two_errors,
    an_unsub_is_never_answered,
    an_unsub_while_authorizing_leaves_nothing,
    sub_unsub_sub_is_live_once,
    sub_unsub_sub_while_subscribing_upstream,
    a_refusing_backplane_is_an_error_and_may_be_tried_again,
    invalid_channels,
    too_many_channels,
    subscriptions_are_counted,
);

/// A gateway whose authorizer of `slow*` waits at a door.
fn waiting_at(door: &Door) -> tidings_server::Builder {
    let door = door.clone();
    open_gateway().authorize("slow*", move |channel, _| {
        let door = door.clone();
        async move {
            door.pass().await;
            !channel.ends_with("-no")
        }
    })
}

async fn a_sub_is_answered_each_time(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    for _ in 0..3 {
        client.subscribe("a").await;
    }
    assert_eq!(server.gateway.subscriber_count("a"), 1);
    server.gateway.publish("a", Event::new("e", json!(1))).await.expect("open");
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"a""#));
    client.silence().await;
}

async fn two_subs_while_authorizing_are_two_answers(serving: Serving) {
    let door = Door::default();
    let server = Running::start(serving, waiting_at(&door));
    let mut client = Client::connect(&server).await;
    client.send(sub("slow")).await;
    client.send(sub("slow")).await;
    client.subscribe("other").await;
    door.open(2);
    assert_eq!(client.take(2).await, [ok("slow"), ok("slow")]);
    client.silence().await;
    assert_eq!(server.gateway.subscriber_count("slow"), 1);
}

async fn two_subs_of_a_refused_channel_are_two_errors(serving: Serving) {
    let door = Door::default();
    let server = Running::start(serving, waiting_at(&door));
    let mut client = Client::connect(&server).await;
    client.send(sub("slow-no")).await;
    client.send(sub("slow-no")).await;
    client.silence().await;
    door.open(1);
    let refused = err("slow-no", reason::UNAUTHORIZED);
    assert_eq!(client.take(2).await, [refused.clone(), refused]);
    client.silence().await;
    assert_eq!(server.gateway.channel_count(), 0);
}

async fn an_unsub_is_never_answered(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    client.send(unsub("unknown")).await;
    client.subscribe("a").await;
    client.send(unsub("a")).await;
    client.send(unsub("a")).await;
    client.silence().await;
    assert_eq!((server.gateway.channel_count(), server.gateway.subscriber_count("a")), (0, 0));
    server.gateway.publish("a", Event::new("e", json!(1))).await.expect("open");
    client.silence().await;
    client.subscribe("a").await;
}

async fn an_unsub_while_authorizing_leaves_nothing(serving: Serving) {
    let door = Door::default();
    let server = Running::start(serving, waiting_at(&door));
    let mut client = Client::connect(&server).await;
    client.send(sub("slow")).await;
    door.knocked().await;
    client.send(unsub("slow")).await;
    client.silence().await;
    door.open(1);
    until("the authorizer is done", || door.waiting() == 0).await;
    // The next answer of the same client's worker comes after the one that nobody waits for.
    client.subscribe("a").await;
    client.silence().await;
    assert_eq!((server.gateway.channel_count(), server.gateway.subscriber_count("slow")), (1, 0));
}

async fn sub_unsub_sub_is_live_once(serving: Serving) {
    let door = Door::default();
    let server = Running::start(serving, waiting_at(&door));
    let mut client = Client::connect(&server).await;
    client.send(sub("slow")).await;
    client.send(unsub("slow")).await;
    client.send(sub("slow")).await;
    door.knocked().await;
    door.knocked().await;
    client.silence().await;
    door.open(2);
    client.expect(&ok("slow")).await;
    until("both authorizers are done", || door.waiting() == 0).await;
    client.subscribe("a").await;
    assert_eq!(server.gateway.subscriber_count("slow"), 1);
    server.gateway.publish("slow", Event::new("e", json!(1))).await.expect("open");
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"slow""#));
    client.silence().await;
    client.send(unsub("slow")).await;
    client.silence().await;
    assert_eq!(server.gateway.channel_count(), 1);
}

async fn sub_unsub_sub_while_subscribing_upstream(serving: Serving) {
    let probe = Probe::default();
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut client = Client::connect(&server).await;
    client.send(sub("slow")).await;
    probe.subscribing().knocked().await;
    client.send(unsub("slow")).await;
    client.send(sub("slow")).await;
    client.send(sub("slow")).await;
    client.silence().await;
    probe.subscribing().open(2);
    assert_eq!(client.take(2).await, [ok("slow"), ok("slow")]);
    client.silence().await;
    assert_eq!(server.gateway.subscriber_count("slow"), 1);
    assert_eq!((probe.counts("slow").open, probe.counts("slow").most), (1, 1));
    client.leave().await;
    server.empty().await;
    until("unsubscribed", || probe.counts("slow").open == 0).await;
}

async fn a_refusing_backplane_is_an_error_and_may_be_tried_again(serving: Serving) {
    let probe = Probe::default();
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut clients = [Client::connect(&server).await, Client::connect(&server).await];
    probe.refuse_subscribe(true);
    for client in &mut clients {
        client.send(sub("a")).await;
        client.expect(&err("a", reason::SUBSCRIBE_FAILED)).await;
    }
    server.gateway.publish("a", Event::new("e", json!(1))).await.expect("open");
    assert_eq!((server.gateway.channel_count(), server.gateway.subscriber_count("a")), (0, 0));
    probe.refuse_subscribe(false);
    for client in &mut clients {
        client.subscribe("a").await;
    }
    assert_eq!(server.gateway.subscriber_count("a"), 2);
}

async fn invalid_channels(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    let long = "x".repeat(201);
    for bad in ["a b", "a\\tb", "a\\u0000", "\u{a0}", &long] {
        client.send(sub(bad)).await;
        client.expect(&err(bad, reason::INVALID_CHANNEL)).await;
        client.send(format!(r#"{{"t":"pub","c":"{bad}","e":"e"}}"#)).await;
        client.expect(&err(bad, reason::INVALID_CHANNEL)).await;
    }
    client.subscribe(&"x".repeat(200)).await;
    client.subscribe("комната*🦀").await;
    assert_eq!(server.gateway.channel_count(), 2);
}

async fn too_many_channels(serving: Serving) {
    let server =
        Running::start(serving, open_gateway().config(config(|c| c.limits.channels_per_connection = 3)));
    let mut client = Client::connect(&server).await;
    for channel in ["a", "b", "c"] {
        client.subscribe(channel).await;
    }
    client.send(sub("d")).await;
    client.expect(&err("d", reason::TOO_MANY_CHANNELS)).await;
    client.subscribe("a").await;
    client.send(unsub("b")).await;
    client.subscribe("d").await;
    Client::connect(&server).await.subscribe("b").await;
}

async fn subscriptions_are_counted(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut clients = Vec::new();
    for n in 1..=6 {
        let mut client = Client::connect(&server).await;
        client.subscribe("a").await;
        client.subscribe(&format!("own.{n}")).await;
        clients.push(client);
        assert_eq!((server.gateway.client_count(), server.gateway.channel_count()), (n, n + 1));
        assert_eq!(server.gateway.subscriber_count("a"), n);
    }
    for client in clients {
        client.leave().await;
    }
    server.empty().await;
    assert_eq!(server.gateway.subscriber_count("a"), 0);
}
