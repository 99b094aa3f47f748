//! Two broadcasters on one backplane, and what their subscribers are told.

use serde_json::json;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tidings_server::{
    BroadcastError, Broadcaster, Delivery, Event, Histories, History, Notice, Position, Published, Sink,
    Subscription, protocol::Why,
};
use tokio::{
    sync::{Mutex, mpsc},
    time::timeout,
};

/// How long anything may take before a test fails: far longer than on a machine that is busy with much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A backplane with its server, for the tests to connect to.
pub(crate) trait Backplane {
    /// One more node's broadcaster, as `histories` says.
    async fn connect(&self, histories: Histories) -> Arc<dyn Broadcaster>;
}

/// A backplane that is reached by an address, which may be a link's that leads there.
pub(crate) trait Remote {
    fn address(&self) -> SocketAddr;

    /// For a gateway in another process.
    fn url(&self) -> String;

    /// One more node by way of `address`, with little patience.
    async fn connect_by(&self, address: SocketAddr) -> Arc<dyn Broadcaster>;
}

/// A server of the test's own.
pub(crate) trait Fragile: Remote {
    /// By SIGKILL.
    fn kill(&mut self);

    /// With what it has on disk, and waits until it answers.
    fn start_again(&mut self);

    /// By SIGSTOP, or lets it go on.
    fn freeze(&self, frozen: bool);
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
#[derive(Clone)]
pub(crate) struct Seen {
    sender: mpsc::UnboundedSender<Notice>,
    told: Arc<Mutex<Told>>,
}

struct Told {
    coming: mpsc::UnboundedReceiver<Notice>,
    notices: Vec<Notice>,
}

impl Told {
    fn all(&mut self) -> &[Notice] {
        while let Ok(notice) = self.coming.try_recv() {
            self.notices.push(notice);
        }
        &self.notices
    }
}

impl Default for Seen {
    fn default() -> Self {
        let (sender, coming) = mpsc::unbounded_channel();
        Self { sender, told: Arc::new(Mutex::new(Told { coming, notices: Vec::new() })) }
    }
}

impl Seen {
    /// Never waits for who looks at what it was told: that would hold up the driver.
    pub(crate) fn sink(&self) -> Sink {
        let sender = self.sender.clone();
        Arc::new(move |notice| {
            // Nobody may look any longer.
            let _ = sender.send(notice.clone());
        })
    }

    /// What was told until now.
    pub(crate) async fn look<T>(&self, look: impl FnOnce(&[Notice]) -> T) -> T {
        look(self.told.lock().await.all())
    }

    /// What was told, once `enough` says so.
    pub(crate) async fn when(&self, enough: impl Fn(&[Notice]) -> bool) -> Vec<Notice> {
        let told = &mut *self.told.lock().await;
        let wait = async {
            while !enough(told.all()) {
                let next = told.coming.recv().await;
                told.notices.extend(next);
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        assert!(
            waited.is_ok(),
            "{} notices were told, at last {:?}",
            told.notices.len(),
            last(&told.notices)
        );
        told.notices.clone()
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

/// Publishes an event with a key as a client does: again and again, until it is accepted.
pub(crate) async fn publish_at_last(node: &dyn Broadcaster, channel: &str, event: Event) -> Published {
    at_last("it is accepted", async || node.publish(channel, event.clone()).await).await
}

pub(crate) fn number(delivery: &Delivery) -> u64 {
    delivery.event.data().as_str().parse().expect("a number")
}

/// The last few of many.
pub(crate) fn last(notices: &[Notice]) -> &[Notice] {
    &notices[notices.len().saturating_sub(10)..]
}

/// The gaps, with what they say.
pub(crate) fn gaps(notices: &[Notice]) -> Vec<(&Position, Why)> {
    let gap = |notice| match notice {
        &Notice::Gap { ref position, why } => Some((position, why)),
        Notice::Event(_) => None,
    };
    notices.iter().filter_map(gap).collect()
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    until_nothing(what, async || (!is_so().await).then(String::new)).await;
}

/// Waits until nothing is in the way any longer.
pub(crate) async fn until_nothing(what: &str, in_the_way: impl AsyncFn() -> Option<String>) {
    let last = Mutex::new(String::new());
    let wait = async {
        while let Some(reason) = in_the_way().await {
            *last.lock().await = reason;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(PATIENCE, wait).await.is_err() {
        panic!("never: {what}: {}", last.lock().await);
    }
}

/// Tries until it succeeds: that a machine is busy is no fault.
pub(crate) async fn at_last<T>(what: &str, attempt: impl AsyncFn() -> Result<T, BroadcastError>) -> T {
    let done = Mutex::new(None);
    until_nothing(what, async || match attempt().await {
        Ok(value) => {
            *done.lock().await = Some(value);
            None
        }
        Err(error) => Some(error.to_string()),
    })
    .await;
    done.into_inner().expect("nothing was in the way")
}

/// What `work` says, when that is said in time. However late the machine is, who is ready is not too late.
pub(crate) async fn within<T>(time: Duration, work: impl Future<Output = T>) -> T {
    timeout(time, work).await.unwrap_or_else(|_| panic!("not within {time:?}"))
}

pub(crate) async fn until_up(node: &dyn Broadcaster) {
    until("it is up", async || node.unavailable().is_none()).await;
}

pub(crate) async fn until_down(node: &dyn Broadcaster) {
    until("it is down", async || node.unavailable().is_some()).await;
}
