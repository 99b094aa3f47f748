//! The promises, each as a function of a backplane.

pub(crate) use crate::gateways::operators_reach_every_gateway;
use crate::node::{Backplane, histories, number, publish, subscribe};
use futures_util::future::join_all;
use serde_json::json;
use tidings_server::{BroadcastError, Delivery, Event, Range};

const ALL: Range = Range::After { offset: 0, limit: 1_000 };

/// The tests of the module that calls it, over the backplane that `$start` gives.
macro_rules! conforms {
    ($start:expr; $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::conformance::$promise(&$start.await).await;
            }
        )*
    };
    ($start:expr) => {
        $crate::conformance::conforms! { $start;
            subscribers_of_every_node_get_every_event_in_one_order
            one_publisher_keeps_its_order_without_waiting
            a_subscription_begins_where_it_says
            a_subscription_that_is_dropped_is_told_nothing_more
            channels_are_strangers_to_each_other
            places_form_a_chain
            without_history_there_are_no_places
            a_key_is_accepted_once
            history_is_the_same_from_every_node
            history_ends_where_it_was_told_to
            an_event_is_in_the_history_before_anyone_has_it
            any_name_and_any_data_arrive_as_they_were
            after_close_everything_is_refused
            operators_reach_every_gateway
        }
    };
}
pub(crate) use conforms;

fn numbers(events: &[Delivery]) -> Vec<u64> {
    events.iter().map(number).collect()
}

pub(crate) async fn subscribers_of_every_node_get_every_event_in_one_order(backplane: &impl Backplane) {
    let nodes = [backplane.connect(histories()).await, backplane.connect(histories()).await];
    for channel in ["a", "live.a"] {
        let (first, _one) = subscribe(&nodes[0], channel).await;
        let (second, _two) = subscribe(&nodes[1], channel).await;
        let (third, _three) = subscribe(&nodes[1], channel).await;
        let publishers = nodes.iter().flat_map(|node| (0..4).map(move |part| (node, part)));
        join_all(publishers.map(|(node, part)| async move {
            for n in 0..25 {
                publish(node, channel, part * 100 + n).await;
            }
        }))
        .await;
        let told = first.events(200).await;
        assert_eq!(told, second.events(200).await);
        assert_eq!(told, third.events(200).await);
    }
}

pub(crate) async fn one_publisher_keeps_its_order_without_waiting(backplane: &impl Backplane) {
    let node = backplane.connect(histories()).await;
    for channel in ["a", "live.a"] {
        let (seen, _subscription) = subscribe(&node, channel).await;
        join_all((0..300).map(|n| publish(&node, channel, n))).await;
        assert_eq!(numbers(&seen.events(300).await), (0..300).collect::<Vec<_>>());
    }
}

pub(crate) async fn a_subscription_begins_where_it_says(backplane: &impl Backplane) {
    let (one, two) = (backplane.connect(histories()).await, backplane.connect(histories()).await);
    publish(&one, "a", 1).await;
    let second = publish(&one, "a", 2).await;
    for node in [&one, &two] {
        let (seen, subscription) = subscribe(node, "a").await;
        assert_eq!(subscription.position(), second.position.as_ref());
        publish(&one, "b", 0).await;
        drop((seen, subscription));
    }
    let (seen, _subscription) = subscribe(&two, "a").await;
    publish(&one, "a", 3).await;
    assert_eq!(numbers(&seen.events(1).await), [3]);
}

pub(crate) async fn a_subscription_that_is_dropped_is_told_nothing_more(backplane: &impl Backplane) {
    let node = backplane.connect(histories()).await;
    for channel in ["a", "live.a"] {
        let (gone, dropped) = subscribe(&node, channel).await;
        let (stays, _subscription) = subscribe(&node, channel).await;
        publish(&node, channel, 1).await;
        assert_eq!(numbers(&gone.events(1).await), [1]);
        drop(dropped);
        publish(&node, channel, 2).await;
        assert_eq!(numbers(&stays.events(2).await), [1, 2]);
        assert_eq!(numbers(&gone.events(1).await), [1]);
        // Subscribing again after everybody had gone.
        drop(_subscription);
        let (again, _subscription) = subscribe(&node, channel).await;
        publish(&node, channel, 3).await;
        assert_eq!(numbers(&again.events(1).await), [3]);
    }
}

pub(crate) async fn channels_are_strangers_to_each_other(backplane: &impl Backplane) {
    let node = backplane.connect(histories()).await;
    // What a driver makes of a name may not fall together with another name.
    let names = [
        "a", "A", "a.b", "a_b", "a=2Eb", "a*", "a>", "a.*", "{a}", "a\"b", "ä", "%61", "a/b", "a'b", "a:b",
        "$a",
    ];
    let mut seen = Vec::new();
    for name in names {
        seen.push(subscribe(&node, name).await);
    }
    for (n, name) in (0..).zip(names) {
        publish(&node, name, n).await;
    }
    for (n, (seen, _)) in (0..).zip(&seen) {
        let events = seen.events(1).await;
        assert_eq!((number(&events[0]), &*events[0].channel), (n, names[n as usize]));
    }
}

pub(crate) async fn places_form_a_chain(backplane: &impl Backplane) {
    let node = backplane.connect(histories()).await;
    let (seen, subscription) = subscribe(&node, "a").await;
    let mut before = subscription.position().expect("history").clone();
    for n in 0..5 {
        publish(&node, "other", n).await;
        let published = publish(&node, "a", n).await;
        let told = seen.events(n as usize + 1).await;
        let told = told.last().expect("an event");
        let place = told.place.as_ref().expect("history");
        assert_eq!((Some(&place.position), told.id), (published.position.as_ref(), published.id));
        assert_eq!((&place.position.epoch, place.previous), (&before.epoch, before.offset));
        assert!(place.position.offset > before.offset);
        before = place.position.clone();
    }
}

pub(crate) async fn without_history_there_are_no_places(backplane: &impl Backplane) {
    let node = backplane.connect(histories()).await;
    let (seen, subscription) = subscribe(&node, "live.a").await;
    assert_eq!(subscription.position(), None);
    assert_eq!(publish(&node, "live.a", 1).await.position, None);
    assert_eq!(seen.events(1).await[0].place, None);
    assert_eq!(node.history("live.a", ALL).await.expect("open"), None);
}

pub(crate) async fn a_key_is_accepted_once(backplane: &impl Backplane) {
    let (one, two) = (backplane.connect(histories()).await, backplane.connect(histories()).await);
    for channel in ["a", "live.a"] {
        let (seen, _subscription) = subscribe(&one, channel).await;
        let event = |n: u64, key: &str| Event::new("e", json!(n)).with_key(key);
        let first = one.publish(channel, event(1, "k")).await.expect("published");
        assert_eq!(one.publish(channel, event(2, "k")).await.expect("published"), first);
        assert_eq!(two.publish(channel, event(3, "k")).await.expect("published"), first);
        let other = one.publish("b", event(4, "k")).await.expect("another channel");
        assert_ne!(other.id, first.id);
        two.publish(channel, event(5, "l")).await.expect("another key");
        assert_eq!(numbers(&seen.events(2).await), [1, 5]);
        let together = join_all((0..20).map(|n| {
            let node = if n % 2 == 0 { &one } else { &two };
            node.publish(channel, event(6, "m"))
        }));
        let together: Vec<_> = together.await.into_iter().map(|p| p.expect("published")).collect();
        assert!(together.iter().all(|published| *published == together[0]), "{together:?}");
        publish(&one, channel, 7).await;
        assert_eq!(numbers(&seen.events(4).await), [1, 5, 6, 7]);
    }
}

pub(crate) async fn history_is_the_same_from_every_node(backplane: &impl Backplane) {
    let (one, two) = (backplane.connect(histories()).await, backplane.connect(histories()).await);
    let (seen, _subscription) = subscribe(&two, "a").await;
    let empty = one.history("a", ALL).await.expect("open").expect("history");
    assert_eq!((empty.events.len(), empty.more), (0, false));
    for n in 1..=6 {
        publish(if n % 2 == 0 { &one } else { &two }, "a", n).await;
        publish(&one, "b", n).await;
    }
    let told = seen.events(6).await;
    let offset = |n: usize| told[n - 1].place.as_ref().expect("history").position.offset;
    for node in [&one, &two] {
        for (range, numbers, more) in [
            (ALL, 1..=6, false),
            (Range::After { offset: offset(2), limit: 2 }, 3..=4, true),
            (Range::After { offset: offset(4), limit: 2 }, 5..=6, false),
            (Range::Before { offset: None, limit: 2 }, 5..=6, true),
            (Range::Before { offset: None, limit: 100 }, 1..=6, false),
            (Range::Before { offset: Some(offset(3)), limit: 1 }, 2..=2, true),
            (Range::Before { offset: Some(offset(3)), limit: 2 }, 1..=2, false),
        ] {
            let page = node.history("a", range).await.expect("open").expect("history");
            let wanted: Vec<_> = numbers.map(|n| told[n - 1].clone()).collect();
            assert_eq!((page.events, page.more), (wanted, more), "{range:?}");
            assert_eq!(page.end, told[5].place.as_ref().expect("history").position);
            assert!(page.floor < offset(1));
        }
    }
}

pub(crate) async fn history_ends_where_it_was_told_to(backplane: &impl Backplane) {
    let node = backplane.connect(histories()).await;
    for n in 1..=5 {
        publish(&node, "short.a", n).await;
    }
    let page = node.history("short.a", ALL).await.expect("open").expect("history");
    assert_eq!(numbers(&page.events), [4, 5]);
    let first = page.events[0].place.as_ref().expect("history");
    assert!(page.floor >= first.previous && page.floor < first.position.offset, "{page:?}");
}

pub(crate) async fn an_event_is_in_the_history_before_anyone_has_it(backplane: &impl Backplane) {
    let (one, two) = (backplane.connect(histories()).await, backplane.connect(histories()).await);
    let (seen, _subscription) = subscribe(&two, "a").await;
    for n in 1..=20 {
        let published = publish(&one, "a", n).await;
        let page = two.history("a", Range::Before { offset: None, limit: 1 }).await.expect("open");
        assert_eq!(page.expect("history").end, published.position.expect("history"));
        seen.events(n as usize).await;
    }
}

pub(crate) async fn any_name_and_any_data_arrive_as_they_were(backplane: &impl Backplane) {
    let (one, two) = (backplane.connect(histories()).await, backplane.connect(histories()).await);
    let long = "x".repeat(60_000);
    let events: Vec<Event> = [
        ("order.paid", json!({"amount": 4900, "of": [null, true, -1.5e300], "ß\u{0}\u{2028}": "\u{7}\"\\"})),
        ("'; DROP TABLE", json!("{}")),
        ("%s \u{1F600}", json!(null)),
        ("e", json!(9_007_199_254_740_993_u64)),
        ("e", json!(long)),
    ]
    .into_iter()
    .map(|(name, data)| Event::new(name, data))
    .collect();
    for channel in ["'a\\b\"", "live.'a\\b\""] {
        let (seen, _subscription) = subscribe(&two, channel).await;
        for event in &events {
            one.publish(channel, event.clone()).await.expect("published");
        }
        let told: Vec<_> = seen.events(events.len()).await.into_iter().map(|told| told.event).collect();
        assert_eq!(told, events);
    }
    let page = two.history("'a\\b\"", ALL).await.expect("open").expect("history");
    assert_eq!(page.events.into_iter().map(|told| told.event).collect::<Vec<_>>(), events);
}

pub(crate) async fn after_close_everything_is_refused(backplane: &impl Backplane) {
    let node = backplane.connect(histories()).await;
    let (seen, subscription) = subscribe(&node, "a").await;
    publish(&node, "a", 1).await;
    seen.events(1).await;
    node.close().await;
    assert!(matches!(node.publish("a", Event::new("e", json!(2))).await, Err(BroadcastError::Closed)));
    assert!(matches!(node.subscribe("a".into(), seen.sink()).await, Err(BroadcastError::Closed)));
    assert!(matches!(node.history("a", ALL).await, Err(BroadcastError::Closed)));
    drop(subscription);
    assert_eq!(numbers(&seen.events(1).await), [1]);
}

/// Not of memory, whose nodes are one.
pub(crate) async fn one_node_that_closes_leaves_the_others(backplane: &impl Backplane) {
    let (one, two) = (backplane.connect(histories()).await, backplane.connect(histories()).await);
    let (gone, _ended) = subscribe(&one, "a").await;
    let (seen, _subscription) = subscribe(&two, "a").await;
    one.close().await;
    publish(&two, "a", 1).await;
    assert_eq!(numbers(&seen.events(1).await), [1]);
    assert!(gone.events(0).await.is_empty());
}
