//! Two broadcasters on one backplane, and what their subscribers are told.

use parking_lot::Mutex;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tidings_server::{
    Broadcaster, Delivery, Event, Histories, History, Notice, Published, Sink, Subscription,
};
use tokio::sync::Notify;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A backplane with its server, for the tests to connect to.
pub(crate) trait Backplane {
    /// One more node's broadcaster, as `histories` says.
    async fn connect(&self, histories: Histories) -> Arc<dyn Broadcaster>;
}

/// What the suite's channels keep: everything, but nothing of `live.*`, and two events of `short.*`.
pub(crate) fn histories() -> Histories {
    let all = History { events: 100_000, age: Duration::from_secs(3_600), bytes: usize::MAX };
    Histories::new(all)
        .with("live.*", History::OFF)
        .and_then(|h| h.with("short.*", History { events: 2, ..all }))
        .expect("patterns")
}

/// What one subscription was told.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    notices: Arc<Mutex<Vec<Notice>>>,
    more: Arc<Notify>,
}

impl Seen {
    pub(crate) fn sink(&self) -> Sink {
        let seen = self.clone();
        Arc::new(move |notice| {
            seen.notices.lock().push(notice.clone());
            seen.more.notify_waiters();
        })
    }

    /// What was told, once `enough` says so.
    pub(crate) async fn when(&self, enough: impl Fn(&[Notice]) -> bool) -> Vec<Notice> {
        let wait = async {
            loop {
                let more = self.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                let notices = self.notices.lock().clone();
                if enough(&notices) {
                    return notices;
                }
                more.await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(notices) => notices,
            Err(_) => panic!("only this was told: {:?}", self.notices.lock()),
        }
    }

    /// The first `count` events, when there are no more of them; a gap is a failure.
    pub(crate) async fn events(&self, count: usize) -> Vec<Delivery> {
        let notices = self.when(|notices| notices.len() >= count).await;
        let event = |notice| match notice {
            Notice::Event(delivery) => delivery,
            gap @ Notice::Gap { .. } => panic!("{gap:?}"),
        };
        let events: Vec<_> = notices.into_iter().map(event).collect();
        assert_eq!(events.len(), count, "{events:?}");
        events
    }
}

pub(crate) async fn subscribe(node: &dyn Broadcaster, channel: &str) -> (Seen, Subscription) {
    let seen = Seen::default();
    let subscription = node.subscribe(channel.into(), seen.sink()).await.expect("subscribed");
    (seen, subscription)
}

/// Publishes an event named `name` with `n` in its data.
pub(crate) async fn publish(node: &dyn Broadcaster, channel: &str, n: u64) -> Published {
    node.publish(channel, Event::new("e", json!(n))).await.expect("published")
}

pub(crate) fn number(delivery: &Delivery) -> u64 {
    delivery.event.data().as_str().parse().expect("a number")
}

/// Waits until it is so.
pub(crate) async fn until(reached: impl Fn() -> bool) {
    let wait = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("in time");
}
