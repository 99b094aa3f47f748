//! Publishing many events at once.

use crate::{BroadcastError, Event, Gateway, Published, names::check};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::task::unconstrained;

/// Events of one call that wait for the backplane at the same time.
const IN_FLIGHT: usize = 256;

impl Gateway {
    /// Publishes `events`, each on its channel: those of one channel in this order, and without waiting for one before the
    /// next. Resolves with what [`publish`](Self::publish) would say of each when the backplane has said so of all. One
    /// that fails does not hold back the others.
    pub async fn publish_all<C: AsRef<str>>(
        &self,
        events: &[(C, Event)],
    ) -> Vec<Result<Published, BroadcastError>> {
        let mut outcomes: Vec<_> = events.iter().map(|_| None).collect();
        let mut running = FuturesUnordered::new();
        for (at, (channel, event)) in events.iter().enumerate() {
            let channel = channel.as_ref();
            if let Err(error) = check(channel, event) {
                outcomes[at] = Some(Err(error));
                continue;
            }
            self.shared.upstreams.backlog.room().await;
            // A channel's order is the order of the first polls, which nothing but the broadcaster may hold up.
            let mut publish = unconstrained(Box::pin(self.shared.publish(channel, event.clone())));
            match (&mut publish).now_or_never() {
                Some(outcome) => outcomes[at] = Some(outcome),
                None => running.push(async move { (at, publish.await) }),
            }
            if running.len() == IN_FLIGHT
                && let Some((at, outcome)) = running.next().await
            {
                outcomes[at] = Some(outcome);
            }
        }
        while let Some((at, outcome)) = running.next().await {
            outcomes[at] = Some(outcome);
        }
        let outcomes =
            outcomes.into_iter().map(|outcome| outcome.expect("each event was published or refused"));
        outcomes.inspect(|outcome| self.shared.count_published(outcome)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Broadcaster, Page, Range, Sink, Subscription};
    use futures_util::{
        future::{BoxFuture, ready},
        poll,
    };
    use parking_lot::Mutex;
    use serde_json::json;
    use std::{pin::pin, sync::Arc};
    use tokio::sync::{Semaphore, oneshot};
    use ulid::Ulid;

    /// Takes an event at the first poll that finds room in its queue, and answers when it is told to.
    struct Slow {
        room: Semaphore,
        taken: Mutex<Vec<(String, oneshot::Sender<Published>)>>,
    }

    impl Broadcaster for Slow {
        fn publish<'a>(
            &'a self,
            _: &'a str,
            event: Event,
        ) -> BoxFuture<'a, Result<Published, BroadcastError>> {
            Box::pin(async move {
                self.room.acquire().await.expect("an open queue").forget();
                if event.name() == "bad" {
                    return Err(BroadcastError::Publish("bad".into()));
                }
                let (said, answer) = oneshot::channel();
                self.taken.lock().push((event.data().as_str().to_owned(), said));
                answer.await.map_err(|_| BroadcastError::Closed)
            })
        }

        fn subscribe(&self, _: Arc<str>, _: Sink) -> BoxFuture<'_, Result<Subscription, BroadcastError>> {
            Box::pin(ready(Err(BroadcastError::Closed)))
        }

        fn history<'a>(
            &'a self,
            _: &'a str,
            _: Range,
        ) -> BoxFuture<'a, Result<Option<Page>, BroadcastError>> {
            Box::pin(ready(Ok(None)))
        }

        fn close(&self) -> BoxFuture<'_, ()> {
            Box::pin(ready(()))
        }
    }

    fn gateway(room: usize) -> (Arc<Slow>, Gateway) {
        let slow = Arc::new(Slow { room: Semaphore::new(room), taken: Mutex::default() });
        (slow.clone(), Gateway::builder(slow).build().expect("valid settings"))
    }

    fn taken(slow: &Slow) -> Vec<usize> {
        slow.taken.lock().iter().map(|(data, _)| data.parse().expect("a number")).collect()
    }

    #[actix_web::test]
    async fn events_are_handed_in_in_order_and_answered_in_any() {
        // More than what tokio lets a task do in one go.
        const COUNT: usize = 1_000;
        let (slow, gateway) = gateway(COUNT);
        let events: Vec<_> = (0..COUNT).map(|n| ("a", Event::new("e", json!(n)))).collect();
        let mut publish = pin!(gateway.publish_all(&events));
        let mut ids = Vec::new();
        while ids.len() < COUNT {
            assert!(poll!(&mut publish).is_pending());
            let waiting = taken(&slow);
            assert_eq!(waiting, (ids.len()..COUNT.min(ids.len() + IN_FLIGHT)).collect::<Vec<_>>());
            let mut answers: Vec<_> = std::mem::take(&mut *slow.taken.lock());
            let mut answered: Vec<_> = answers.iter().map(|_| Ulid::generate()).collect();
            for ((_, said), id) in answers.drain(..).zip(&answered).rev() {
                said.send(Published::new(*id, None)).expect("somebody waits");
            }
            ids.append(&mut answered);
        }
        let outcomes = publish.await;
        assert!(outcomes.iter().zip(&ids).all(|(outcome, id)| outcome.as_ref().is_ok_and(|p| p.id == *id)));
    }

    #[actix_web::test]
    async fn a_queue_without_room_keeps_the_order() {
        let (slow, gateway) = gateway(1);
        let events: Vec<_> = (0..300).map(|n| ("a", Event::new("e", json!(n)))).collect();
        let mut publish = pin!(gateway.publish_all(&events));
        assert!(poll!(&mut publish).is_pending());
        assert_eq!(taken(&slow), [0]);
        slow.room.add_permits(200);
        assert!(poll!(&mut publish).is_pending());
        assert_eq!(taken(&slow), (0..=200).collect::<Vec<_>>());
    }

    #[actix_web::test]
    async fn what_fails_holds_up_nothing() {
        let (slow, gateway) = gateway(10);
        let event = |name: &str| Event::new(name, json!(7));
        let events = [("a", event("bad")), ("a b", event("e")), ("a", event("")), ("a", event("e"))];
        let mut publish = pin!(gateway.publish_all(&events));
        assert!(poll!(&mut publish).is_pending());
        let (_, said) = slow.taken.lock().pop().expect("one was taken");
        said.send(Published::new(Ulid::generate(), None)).expect("somebody waits");
        let outcomes = publish.await;
        assert!(matches!(outcomes[0], Err(BroadcastError::Publish(_))));
        assert!(matches!(
            (&outcomes[1], &outcomes[2]),
            (Err(BroadcastError::Config(_)), Err(BroadcastError::Config(_)))
        ));
        assert!(outcomes[3].is_ok());
    }
}
