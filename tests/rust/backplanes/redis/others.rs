//! Other programs on the same Redis, and what Redis does with our keys.

use super::prefixed;
use crate::node::{histories, number, publish, subscribe, until};
use serde_json::json;
use std::time::Duration;
use tidings_server::{Broadcaster, Event, Histories, History, Range};

const ALL: Range = Range::After { offset: 0, limit: 1_000 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_other_programs_publish_is_delivered() {
    let backplane = prefixed().await;
    let node = backplane.node(histories()).await;
    for name in ["a", "live.a"] {
        let (seen, _subscription) = subscribe(&node, name).await;
        let subject = format!("{}{name}", backplane.prefix);
        let say = |text: &str| assert_eq!(backplane.redis.cli(&["publish", &subject, text]), "1");
        let first = publish(&node, name, 1).await;
        say(r#"{"id":"0190a0b1-c2d3-7e4f-8a9b-0c1d2e3f4a5b","event":"order.paid","data":{"amount":4900}}"#);
        for malformed in ["hello", "", "{}", "@", "@x 1", "@x 1 {}", "@x one {\"event\":\"e\"}", "\u{7f}"] {
            say(malformed);
        }
        say(r#"{"event":"short"}"#);
        let last = publish(&node, name, 2).await;
        let told = seen.events(4).await;
        assert_eq!(u128::from(told[1].id), 0x0190_a0b1_c2d3_7e4f_8a9b_0c1d_2e3f_4a5b);
        assert_eq!(
            (told[1].event.name(), told[1].event.data().as_str()),
            ("order.paid", r#"{"amount":4900}"#)
        );
        assert_eq!((told[2].event.name(), told[2].event.data().as_str()), ("short", "null"));
        assert_eq!((&told[1].place, &told[2].place), (&None, &None));
        assert_eq!((told[0].id, told[3].id), (first.id, last.id));
        let place = told[3].place.as_ref();
        assert_eq!(place.map(|place| &place.position), last.position.as_ref());
        assert_eq!(place.map(|place| place.previous), first.position.map(|position| position.offset));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_has_dropped_is_known_to_be_gone() {
    let backplane = prefixed().await;
    let node = backplane.node(histories()).await;
    let (seen, _subscription) = subscribe(&node, "a").await;
    for n in 1..=5 {
        publish(&node, "a", n).await;
    }
    assert_eq!(backplane.redis.cli(&["del", &format!("{}{{a}}.s", backplane.prefix)]), "1");
    let page = node.history("a", ALL).await.expect("open").expect("history");
    assert_eq!((page.events.len(), page.floor, page.end.offset), (0, 5, 5));
    publish(&node, "a", 6).await;
    let page = node.history("a", ALL).await.expect("open").expect("history");
    assert_eq!((page.events.iter().map(number).collect::<Vec<_>>(), page.floor), (vec![6], 5));
    seen.events(6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_go_by_age_and_size() {
    let backplane = prefixed().await;
    let all = History { events: 100, age: Duration::from_secs(3_600), bytes: 1 << 20 };
    let histories = Histories::new(all)
        .with("small", History { bytes: 250, ..all })
        .and_then(|h| h.with("brief", History { age: Duration::from_millis(400), ..all }))
        .expect("patterns");
    let (node, patient) = (backplane.node(histories).await, backplane.node(Histories::new(all)).await);
    for n in 1..=9 {
        publish(&node, "small", n).await;
        publish(&node, "brief", n).await;
    }
    let page = node.history("small", ALL).await.expect("open").expect("history");
    let kept = page.events.len() as u64;
    assert!((2..=5).contains(&kept) && page.floor == 9 - kept, "{page:?}");
    until("it is too old", async || {
        let page = node.history("brief", ALL).await.expect("open").expect("history");
        assert_eq!(page.floor + page.events.len() as u64, 9);
        page.events.is_empty()
    })
    .await;
    // By who keeps it for long, so that it is not too old when it is looked at.
    publish(&patient, "brief", 10).await;
    let page = patient.history("brief", ALL).await.expect("open").expect("history");
    assert_eq!((page.events.len(), page.floor), (1, 9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_for_ever() {
    let backplane = prefixed().await;
    let node = backplane.node(histories()).await;
    for channel in ["a", "live.a"] {
        node.publish(channel, Event::new("e", json!(1)).with_key("k")).await.expect("published");
    }
    let keys = backplane.redis.cli(&["keys", &format!("{}*", backplane.prefix)]);
    assert_eq!(keys.lines().count(), 4, "a hash, a stream and two keys: {keys}");
    for key in keys.lines() {
        let ttl: u64 = backplane.redis.cli(&["ttl", key]).parse().expect("an age");
        assert!(ttl <= if key.contains(".k.") { 300 } else { 3_600 + 86_400 }, "{key} {ttl}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_subscribed_without_a_subscription() {
    let backplane = prefixed().await;
    let node = backplane.node(histories()).await;
    let subject = format!("{}a", backplane.prefix);
    let subscribers =
        || backplane.redis.cli(&["pubsub", "numsub", &subject]).lines().last().map(str::to_owned);
    for _ in 0..3 {
        let (seen, subscription) = subscribe(&node, "a").await;
        assert_eq!(subscribers().as_deref(), Some("1"));
        drop((seen, subscription));
        // A subscription that is not waited for.
        let (seen, _) = subscribe(&node, "b").await;
        drop(node.subscribe("a".into(), seen.sink()));
        let started = node.subscribe("a".into(), seen.sink());
        let _ = tokio::time::timeout(Duration::ZERO, started).await;
        until("nobody is subscribed", async || subscribers().as_deref() == Some("0")).await;
    }
}
