//! What operators hear, as a broadcaster of a gateway of their own: the gateway's figures, and the events of any of its
//! channels under the name `tail:CHANNEL`.
//!
//! Such a channel is subscribed at the gateway's broadcaster, beside what the gateway itself subscribes there: its clients
//! are not slowed by it, and no operator counts as a subscriber of theirs.

use crate::{
    BroadcastError, Broadcaster, Delivery, Event, Gateway, Histories, History, MemoryBroadcaster, Notice,
    Page, Published, Range, Sink, Subscription, names::check_channel,
};
use futures_util::future::BoxFuture;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use parking_lot::Mutex;
use std::{collections::HashMap, num::NonZero, sync::Arc, time::Duration};

/// The channel of the figures, one event a second.
pub(super) const FIGURES: &str = "figures";

/// What comes before the name of a channel whose events are followed.
pub(super) const TAIL: &str = "tail:";

/// So many figures are kept: five minutes, which an operator sees who has only just come.
const KEPT: usize = 300;

/// What all operators together are handed of followed channels in a second. An event counts as one and for each KiB of
/// data as one more; what is above is skipped.
const PER_SECOND: NonZero<u32> = NonZero::new(1_000).expect("not zero");

/// The broadcaster of the operators' gateway.
pub(super) struct Desk {
    gateway: Gateway,
    own: MemoryBroadcaster,
    followed: Arc<Followed>,
}

/// Whether so much may be handed on now.
type Pace = Box<dyn Fn(NonZero<u32>) -> bool + Send + Sync>;

/// The channels that are followed.
pub(super) struct Followed {
    pace: Pace,
    skipped: Mutex<HashMap<Arc<str>, u64>>,
}

impl Desk {
    /// With the figures and channels of `gateway`.
    pub(super) fn new(gateway: Gateway) -> Self {
        let figures =
            History { events: KEPT, age: Duration::from_secs(KEPT as u64 + 10), ..History::default() };
        let histories = Histories::off().with(FIGURES, figures).expect("a name is a pattern");
        let followed = Arc::new(Followed { pace: pace(DefaultClock::default()), skipped: Mutex::default() });
        Self { gateway, own: MemoryBroadcaster::new(histories), followed }
    }

    pub(super) fn followed(&self) -> Arc<Followed> {
        self.followed.clone()
    }

    async fn follow(&self, tail: Arc<str>, sink: Sink) -> Result<Subscription, BroadcastError> {
        let channel: Arc<str> = tail[TAIL.len()..].into();
        check_channel(&channel)?;
        let following = Arc::new(Following::begin(self.followed.clone(), channel.clone()));
        let counts = following.clone();
        let sink: Sink = Arc::new(move |notice| match notice {
            Notice::Event(delivery) if counts.skips(delivery) => {}
            Notice::Event(delivery) => sink(&Notice::Event(renamed(delivery, &tail))),
            gap => sink(gap),
        });
        let subscription = self.gateway.shared.broadcaster.subscribe(channel, sink).await?;
        let position = subscription.position().cloned();
        Ok(Subscription::new((subscription, following), position))
    }
}

impl Broadcaster for Desk {
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        event: Event,
    ) -> BoxFuture<'a, Result<Published, BroadcastError>> {
        self.own.publish(channel, event)
    }

    fn subscribe(
        &self,
        channel: Arc<str>,
        sink: Sink,
    ) -> BoxFuture<'_, Result<Subscription, BroadcastError>> {
        if channel.starts_with(TAIL) {
            Box::pin(self.follow(channel, sink))
        } else {
            self.own.subscribe(channel, sink)
        }
    }

    fn history<'a>(
        &'a self,
        channel: &'a str,
        range: Range,
    ) -> BoxFuture<'a, Result<Option<Page>, BroadcastError>> {
        let Some(followed) = channel.strip_prefix(TAIL) else { return self.own.history(channel, range) };
        Box::pin(async move {
            let tail: Arc<str> = channel.into();
            let mut page = self.gateway.shared.broadcaster.history(followed, range).await?;
            for delivery in page.iter_mut().flat_map(|page| &mut page.events) {
                delivery.channel = tail.clone();
            }
            Ok(page)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.own.close()
    }
}

impl Followed {
    /// How many events of a channel were skipped since somebody follows it; `None` when nobody does.
    pub(super) fn skipped(&self, channel: &str) -> Option<u64> {
        self.skipped.lock().get(channel).copied()
    }
}

/// A channel that is followed, until this is dropped.
struct Following {
    followed: Arc<Followed>,
    channel: Arc<str>,
}

impl Following {
    fn begin(followed: Arc<Followed>, channel: Arc<str>) -> Self {
        followed.skipped.lock().insert(channel.clone(), 0);
        Self { followed, channel }
    }

    /// Whether an event is more than may be handed on now.
    fn skips(&self, delivery: &Delivery) -> bool {
        let kib = u32::try_from(delivery.event.data().as_str().len() / 1_024).unwrap_or(u32::MAX);
        let cost = NonZero::<u32>::MIN.saturating_add(kib);
        let skips = !(self.followed.pace)(cost);
        if skips && let Some(skipped) = self.followed.skipped.lock().get_mut(&self.channel) {
            *skipped += 1;
        }
        skips
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.followed.skipped.lock().remove(&self.channel);
    }
}

/// By the time of `clock`.
fn pace(clock: impl Clock + Send + Sync + 'static) -> Pace {
    let limiter = RateLimiter::direct_with_clock(Quota::per_second(PER_SECOND), clock);
    Box::new(move |cost| matches!(limiter.check_n(cost), Ok(Ok(()))))
}

fn renamed(delivery: &Delivery, channel: &Arc<str>) -> Delivery {
    Delivery { channel: channel.clone(), ..delivery.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use serde_json::json;

    /// What a sink was told: names of channel and event, or a gap.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    impl Told {
        fn sink(&self) -> Sink {
            let told = self.0.clone();
            Arc::new(move |notice| {
                told.lock().push(match notice {
                    Notice::Event(delivery) => format!("{} {}", delivery.channel, delivery.event.name()),
                    Notice::Gap { .. } => "gap".to_owned(),
                });
            })
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock())
        }
    }

    fn desk() -> (Gateway, Desk) {
        let gateway = Gateway::builder(MemoryBroadcaster::default()).build().expect("valid settings");
        (gateway.clone(), Desk::new(gateway))
    }

    async fn publish(gateway: &Gateway, channel: &str, event: &str, bytes: usize) {
        let event = Event::new(event, json!("x".repeat(bytes)));
        gateway.publish(channel, event).await.expect("published");
    }

    #[actix_web::test]
    async fn a_tail_has_the_events_of_its_channel_as_long_as_it_is_followed() {
        let (gateway, desk) = desk();
        publish(&gateway, "orders.1", "before", 1).await;
        let told = Told::default();
        let subscription = desk.subscribe("tail:orders.1".into(), told.sink()).await.expect("subscribed");
        assert_eq!(subscription.position().map(|position| position.offset), Some(1));
        publish(&gateway, "orders.1", "paid", 1).await;
        publish(&gateway, "orders.2", "paid", 1).await;
        publish(&gateway, "orders.1", "sent", 1).await;
        assert_eq!(told.take(), ["tail:orders.1 paid", "tail:orders.1 sent"]);
        let page = desk.history("tail:orders.1", Range::Before { offset: None, limit: 2 }).await;
        let page = page.expect("read").expect("history");
        assert!(page.events.iter().all(|event| &*event.channel == "tail:orders.1"));
        assert_eq!((page.events.len(), page.end.offset), (2, 3));
        assert_eq!(
            (gateway.channel_count(), gateway.subscriber_count("orders.1")),
            (0, 0),
            "no client is there"
        );
        assert_eq!(desk.followed.skipped("orders.1"), Some(0));
        drop(subscription);
        publish(&gateway, "orders.1", "late", 1).await;
        assert!(told.take().is_empty() && desk.followed.skipped("orders.1").is_none());
    }

    #[actix_web::test]
    async fn what_is_too_much_is_skipped_and_counted() {
        let (gateway, mut desk) = desk();
        let clock = FakeRelativeClock::default();
        desk.followed = Arc::new(Followed { pace: pace(clock.clone()), skipped: Mutex::default() });
        let told = Told::default();
        let _subscription = desk.subscribe("tail:busy".into(), told.sink()).await.expect("subscribed");
        publish(&gateway, "busy", "far too large", 1_024 * 1_024).await;
        assert!(told.take().is_empty());
        // Half of a second's worth each, and a little more.
        for (second, skipped) in (0..3).zip([1 + 4, 5 + 4, 9 + 4]) {
            for _ in 0..5 {
                publish(&gateway, "busy", "large", 512 * 1_024).await;
            }
            assert_eq!((told.take().len(), desk.followed.skipped("busy")), (1, Some(skipped)), "{second}");
            clock.advance(Duration::from_secs(1));
        }
    }

    #[actix_web::test]
    async fn no_other_channel_is_had_by_it() {
        let (_gateway, desk) = desk();
        for tail in ["tail:", "tail:two words", "tail:tidings disconnect"] {
            assert!(desk.subscribe(tail.into(), Told::default().sink()).await.is_err(), "{tail}");
        }
    }
}
