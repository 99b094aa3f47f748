//! Positions, and clients that come back.

use crate::harness::{Client, Probe, Running, Serving, both_ways, config, publish, sub, unsub, until};
use serde_json::{Value, json};
use std::time::Duration;
use tidings_server::{
    Builder, Event, Gateway, Histories, History, MemoryBroadcaster, Notice, Position, protocol::Why,
};

both_ways!(
    a_quiet_channel_has_a_position,
    events_carry_their_offsets,
    a_channel_without_history_has_no_positions,
    who_comes_back_gets_what_was_missed_and_then_what_is_new,
    nothing_missed_is_a_recovery_of_nothing,
    an_event_while_history_is_read_comes_once_and_in_order,
    what_cannot_be_recovered_is_told_and_none_of_it_comes,
    positions_that_are_none_recover_nothing,
    a_crowd_at_one_position_costs_one_read,
    a_crowd_comes_back_while_events_go_on,
    a_hole_is_filled_on_a_live_channel,
    leaving_while_history_is_read_leaves_nothing,
    who_comes_back_to_a_new_subscription_waits_for_a_reading_of_its_own,
    a_gap_of_the_backplane_is_told_in_order,
    a_missing_event_of_the_backplane_is_told,
    a_repeated_event_of_the_backplane_is_dropped,
    a_large_replay_comes_whole,
    a_replay_that_is_too_large_is_told,
);

fn kept(events: usize) -> Histories {
    Histories::new(History { events, ..History::default() })
}

fn recovering(events: usize) -> Builder {
    Gateway::builder(MemoryBroadcaster::new(kept(events))).allow_client_publish(|_| async { true })
}

fn resume(channel: &str, at: &(String, u64)) -> String {
    json!({"t": "sub", "c": channel, "rc": {"ep": at.0, "o": at.1}}).to_string()
}

async fn told(client: &mut Client) -> Value {
    serde_json::from_str(&client.next().await).expect("JSON")
}

fn position(frame: &Value) -> (String, u64) {
    let epoch = frame["ep"].as_str().unwrap_or_else(|| panic!("no epoch: {frame}"));
    (epoch.to_owned(), frame["o"].as_u64().expect("an offset"))
}

/// Subscribes afresh; where the client is then.
async fn join(client: &mut Client, channel: &str) -> (String, u64) {
    client.send(sub(channel)).await;
    let ok = told(client).await;
    assert_eq!((&ok["t"], &ok["rec"]), (&json!("ok"), &Value::Null), "{ok}");
    position(&ok)
}

/// The next frames are these events: their names and offsets.
async fn expect_events(client: &mut Client, events: impl IntoIterator<Item = u64>) {
    for n in events {
        let event = told(client).await;
        assert_eq!((&event["t"], &event["d"], &event["o"]), (&json!("msg"), &json!(n), &json!(n)), "{event}");
    }
}

/// Publishes events whose data are their offsets.
async fn publish_events(server: &Running, channel: &str, events: impl IntoIterator<Item = u64>) {
    for n in events {
        let published = server.gateway.publish(channel, Event::new("e", json!(n))).await.expect("open");
        assert_eq!(published.position.map(|p| p.offset), Some(n));
    }
}

async fn expect_recovered(client: &mut Client, count: u64, offset: u64) {
    let ok = told(client).await;
    assert_eq!((&ok["t"], &ok["rec"], &ok["n"]), (&json!("ok"), &json!(true), &json!(count)), "{ok}");
    assert_eq!(position(&ok).1, offset, "{ok}");
}

async fn expect_lost(client: &mut Client, why: &str) -> Value {
    let ok = told(client).await;
    assert_eq!((&ok["t"], &ok["rec"], &ok["why"]), (&json!("ok"), &json!(false), &json!(why)), "{ok}");
    ok
}

async fn a_quiet_channel_has_a_position(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let mut client = Client::connect(&server).await;
    let first = join(&mut client, "a").await;
    assert_eq!(first.1, 0);
    client.leave().await;
    publish_events(&server, "a", 1..=2).await;
    let mut client = Client::connect(&server).await;
    client.send(resume("a", &first)).await;
    expect_recovered(&mut client, 2, 2).await;
    expect_events(&mut client, 1..=2).await;
    client.silence().await;
}

async fn events_carry_their_offsets(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let mut client = Client::connect(&server).await;
    join(&mut client, "a").await;
    publish_events(&server, "a", 1..=3).await;
    expect_events(&mut client, 1..=3).await;
    let mut later = Client::connect(&server).await;
    assert_eq!(join(&mut later, "a").await.1, 3);
    publish_events(&server, "a", [4]).await;
    expect_events(&mut later, [4]).await;
}

async fn a_channel_without_history_has_no_positions(serving: Serving) {
    let histories = kept(10).with("quick.*", History::OFF).expect("a pattern");
    let server = Running::start(serving, Gateway::builder(MemoryBroadcaster::new(histories)));
    let mut client = Client::connect(&server).await;
    client.subscribe("quick.1").await;
    server.gateway.publish("quick.1", Event::new("e", json!(1))).await.expect("open");
    assert_eq!(told(&mut client).await["o"], Value::Null);
    let mut other = Client::connect(&server).await;
    other.send(resume("quick.1", &("k3f9".to_owned(), 3))).await;
    let ok = expect_lost(&mut other, "unavailable").await;
    assert_eq!(ok["ep"], Value::Null);
    assert!(server.gateway.history("quick.1", None, 10).await.expect("open").is_none());
}

async fn who_comes_back_gets_what_was_missed_and_then_what_is_new(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let mut stays = Client::connect(&server).await;
    join(&mut stays, "a").await;
    let mut goes = Client::connect(&server).await;
    let (epoch, _) = join(&mut goes, "a").await;
    publish_events(&server, "a", 1..=2).await;
    expect_events(&mut goes, 1..=2).await;
    goes.reset();
    publish_events(&server, "a", 3..=5).await;
    let mut back = Client::connect(&server).await;
    back.send(resume("a", &(epoch, 2))).await;
    expect_recovered(&mut back, 3, 5).await;
    expect_events(&mut back, 3..=5).await;
    publish_events(&server, "a", 6..=7).await;
    expect_events(&mut back, 6..=7).await;
    expect_events(&mut stays, 1..=7).await;
}

async fn nothing_missed_is_a_recovery_of_nothing(serving: Serving) {
    let probe = Probe::over(kept(10));
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut client = Client::connect(&server).await;
    let first = join(&mut client, "a").await;
    client.send(unsub("a")).await;
    client.send(resume("a", &first)).await;
    expect_recovered(&mut client, 0, 0).await;
    client.silence().await;
    assert_eq!(probe.reads(), 0, "nothing to read");
}

async fn an_event_while_history_is_read_comes_once_and_in_order(serving: Serving) {
    let probe = Probe::over(kept(10));
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut stays = Client::connect(&server).await;
    let first = join(&mut stays, "slow-history").await;
    publish_events(&server, "slow-history", 1..=3).await;
    expect_events(&mut stays, 1..=3).await;
    let mut back = Client::connect(&server).await;
    back.send(resume("slow-history", &first)).await;
    // The page is read, and on its way.
    probe.reading().knocked().await;
    publish_events(&server, "slow-history", 4..=6).await;
    expect_events(&mut stays, 4..=6).await;
    back.silence().await;
    probe.reading().open(1);
    expect_recovered(&mut back, 6, 6).await;
    expect_events(&mut back, 1..=6).await;
    publish_events(&server, "slow-history", [7]).await;
    expect_events(&mut back, [7]).await;
    back.silence().await;
}

async fn what_cannot_be_recovered_is_told_and_none_of_it_comes(serving: Serving) {
    let probe = Probe::over(kept(3));
    let limits = config(|config| config.limits.resume_events = 2);
    let server = Running::start(serving, Gateway::builder(probe.clone()).config(limits));
    let mut stays = Client::connect(&server).await;
    let (epoch, _) = join(&mut stays, "a").await;
    publish_events(&server, "a", 1..=5).await;
    let at = |offset| (epoch.clone(), offset);
    for (from, why) in
        [(at(1), "expired"), (at(2), "limit"), (("other".to_owned(), 4), "epoch"), (at(6), "epoch")]
    {
        let mut back = Client::connect(&server).await;
        back.send(resume("a", &from)).await;
        assert_eq!(position(&expect_lost(&mut back, why).await), at(5), "{from:?}");
        back.silence().await;
        back.leave().await;
    }
    probe.refuse_history(true);
    let mut back = Client::connect(&server).await;
    back.send(resume("a", &at(4))).await;
    expect_lost(&mut back, "unavailable").await;
    probe.refuse_history(false);
    back.send(resume("a", &at(4))).await;
    expect_recovered(&mut back, 1, 5).await;
    expect_events(&mut back, [5]).await;
    back.silence().await;
}

async fn positions_that_are_none_recover_nothing(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let mut client = Client::connect(&server).await;
    let first = join(&mut client, "a").await;
    join(&mut client, "b").await;
    publish_events(&server, "b", 1..=2).await;
    expect_events(&mut client, 1..=2).await;
    client.send(unsub("b")).await;
    // The epoch of another channel.
    client.send(resume("b", &first)).await;
    expect_lost(&mut client, "epoch").await;
    // No positions at all: as if they were not there.
    for rc in [r#""x""#, "5", "{}", r#"{"ep":"x"}"#, r#"{"ep":1,"o":1}"#, r#"{"ep":"x","o":-1}"#, "null"] {
        client.send(unsub("b")).await;
        client.send(format!(r#"{{"t":"sub","c":"b","rc":{rc}}}"#)).await;
        let ok = told(&mut client).await;
        assert_eq!((&ok["t"], &ok["o"], &ok["rec"]), (&json!("ok"), &json!(2), &Value::Null), "{rc}");
    }
}

async fn a_crowd_at_one_position_costs_one_read(serving: Serving) {
    const CROWD: usize = 50;
    let probe = Probe::over(kept(10));
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut stays = Client::connect(&server).await;
    let first = join(&mut stays, "slow-history").await;
    publish_events(&server, "slow-history", 1..=3).await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut back = Client::connect(&server).await;
        back.send(resume("slow-history", &first)).await;
        back.silence().await;
        crowd.push(back);
    }
    probe.reading().knocked().await;
    probe.reading().open(CROWD);
    for back in &mut crowd {
        expect_recovered(back, 3, 3).await;
        expect_events(back, 1..=3).await;
    }
    assert_eq!(probe.reads(), 1);
    // What was read is still there for those who come a little later, and from a later position.
    publish_events(&server, "slow-history", [4]).await;
    let mut late = Client::connect(&server).await;
    late.send(resume("slow-history", &(first.0, 2))).await;
    expect_recovered(&mut late, 2, 4).await;
    expect_events(&mut late, 3..=4).await;
    assert_eq!(probe.reads(), 1);
}

async fn a_crowd_comes_back_while_events_go_on(serving: Serving) {
    let server = Running::start(serving, recovering(1_000));
    let mut stays = Client::connect(&server).await;
    let (epoch, _) = join(&mut stays, "a").await;
    publish_events(&server, "a", 1..=100).await;
    let publisher = async {
        for n in 101..=300 {
            publish_events(&server, "a", [n]).await;
            tokio::task::yield_now().await;
        }
    };
    let crowd = async {
        let back = (0..20).map(|n| {
            let (server, epoch) = (&server, epoch.clone());
            async move {
                let mut back = Client::connect(server).await;
                back.send(resume("a", &(epoch, n * 5))).await;
                let ok = told(&mut back).await;
                assert_eq!(ok["rec"], json!(true), "{ok}");
                expect_events(&mut back, n * 5 + 1..=300).await;
            }
        });
        futures_util::future::join_all(back).await;
    };
    futures_util::future::join(publisher, crowd).await;
    expect_events(&mut stays, 1..=300).await;
}

async fn a_hole_is_filled_on_a_live_channel(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let mut client = Client::connect(&server).await;
    let (epoch, _) = join(&mut client, "a").await;
    publish_events(&server, "a", 1..=4).await;
    expect_events(&mut client, 1..=4).await;
    client.send(resume("a", &(epoch, 2))).await;
    expect_recovered(&mut client, 2, 4).await;
    expect_events(&mut client, 3..=4).await;
    client.send(sub("a")).await;
    assert_eq!(told(&mut client).await["t"], json!("ok"));
    publish_events(&server, "a", [5]).await;
    expect_events(&mut client, [5]).await;
    client.silence().await;
    assert_eq!(server.gateway.subscriber_count("a"), 1);
}

async fn leaving_while_history_is_read_leaves_nothing(serving: Serving) {
    for goes in [true, false] {
        let probe = Probe::over(kept(10));
        let server = Running::start(serving, Gateway::builder(probe.clone()));
        let mut client = Client::connect(&server).await;
        let first = join(&mut client, "slow-history").await;
        publish_events(&server, "slow-history", [1]).await;
        expect_events(&mut client, [1]).await;
        client.send(unsub("slow-history")).await;
        client.send(resume("slow-history", &first)).await;
        probe.reading().knocked().await;
        if goes {
            client.reset();
        } else {
            client.send(unsub("slow-history")).await;
            client.silence().await;
        }
        until("the channel is left", || server.gateway.channel_count() == 0).await;
        probe.reading().open(1);
        until("the subscription ends", || probe.counts("slow-history").open == 0).await;
    }
}

async fn who_comes_back_to_a_new_subscription_waits_for_a_reading_of_its_own(serving: Serving) {
    let probe = Probe::over(kept(10));
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut client = Client::connect(&server).await;
    let first = join(&mut client, "slow-history").await;
    publish_events(&server, "slow-history", [1]).await;
    expect_events(&mut client, [1]).await;
    client.send(unsub("slow-history")).await;
    client.send(resume("slow-history", &first)).await;
    probe.reading().knocked().await;
    client.send(unsub("slow-history")).await;
    until("the channel is left", || server.gateway.channel_count() == 0).await;
    client.send(resume("slow-history", &first)).await;
    probe.reading().knocked().await;
    // The first one, whose subscription has gone, ends first.
    probe.reading().open(1);
    until("it has ended", || probe.reading().waiting() == 1).await;
    client.silence().await;
    probe.reading().open(1);
    expect_recovered(&mut client, 1, 1).await;
    expect_events(&mut client, [1]).await;
}

async fn a_gap_of_the_backplane_is_told_in_order(serving: Serving) {
    let probe = Probe::over(kept(10));
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut client = Client::connect(&server).await;
    let (old, _) = join(&mut client, "a").await;
    publish_events(&server, "a", [1]).await;
    let position = Position { epoch: "z1".into(), offset: 9 };
    probe.tell("a", &Notice::Gap { position, why: Why::Backplane });
    expect_events(&mut client, [1]).await;
    client.expect(r#"{"t":"gap","c":"a","ep":"z1","o":9,"why":"backplane"}"#).await;
    let mut other = Client::connect(&server).await;
    assert_eq!(join(&mut other, "a").await, ("z1".to_owned(), 9));
    other.send(unsub("a")).await;
    other.send(resume("a", &(old, 1))).await;
    expect_lost(&mut other, "epoch").await;
}

/// The event with `offset` as memory would deliver it, had it come after `previous`.
async fn delivered(server: &Running, offset: u64, previous: u64) -> Notice {
    let page = server.gateway.history("a", None, 100).await.expect("open").expect("history");
    let mut event = page.events.last().expect("an event").clone();
    let place = event.place.as_mut().expect("a place");
    (place.position.offset, place.previous) = (offset, previous);
    Notice::Event(event)
}

async fn a_missing_event_of_the_backplane_is_told(serving: Serving) {
    let probe = Probe::over(kept(10));
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut client = Client::connect(&server).await;
    let (epoch, _) = join(&mut client, "a").await;
    publish_events(&server, "a", [1]).await;
    expect_events(&mut client, [1]).await;
    probe.tell("a", &delivered(&server, 7, 5).await);
    client.expect(&format!(r#"{{"t":"gap","c":"a","ep":"{epoch}","o":5,"why":"backplane"}}"#)).await;
    let event = told(&mut client).await;
    assert_eq!((&event["o"], &event["p"]), (&json!(7), &json!(5)));
}

async fn a_repeated_event_of_the_backplane_is_dropped(serving: Serving) {
    let probe = Probe::over(kept(10));
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut client = Client::connect(&server).await;
    join(&mut client, "a").await;
    publish_events(&server, "a", 1..=2).await;
    probe.tell("a", &delivered(&server, 1, 0).await);
    probe.tell("a", &delivered(&server, 2, 1).await);
    publish_events(&server, "a", [3]).await;
    expect_events(&mut client, 1..=3).await;
    client.silence().await;
}

async fn a_large_replay_comes_whole(serving: Serving) {
    let server = Running::start(serving, recovering(100));
    let mut client = Client::connect(&server).await;
    let first = join(&mut client, "a").await;
    client.leave().await;
    let large = "x".repeat(10_000);
    for n in 1..=40 {
        server.gateway.publish("a", Event::new("e", json!([n, large]))).await.expect("open");
    }
    let mut back = Client::connect(&server).await;
    back.send(resume("a", &first)).await;
    expect_recovered(&mut back, 40, 40).await;
    for n in 1..=40 {
        assert_eq!(told(&mut back).await["d"][0], json!(n));
    }
    back.send(publish("a", "more", "1")).await;
    assert_eq!(told(&mut back).await["o"], json!(41));
    back.silence().await;
}

async fn a_replay_that_is_too_large_is_told(serving: Serving) {
    let server = Running::start(
        serving,
        recovering(100).config(config(|config| {
            config.limits.queue_bytes = 20_000;
            config.limits.queue_stall = Duration::from_secs(60);
        })),
    );
    let mut client = Client::connect(&server).await;
    let first = join(&mut client, "a").await;
    client.leave().await;
    let large = "x".repeat(1_000);
    for _ in 1..=20 {
        server.gateway.publish("a", Event::new("e", json!(large))).await.expect("open");
    }
    let mut back = Client::connect(&server).await;
    back.send(resume("a", &first)).await;
    expect_lost(&mut back, "limit").await;
    back.silence().await;
}
