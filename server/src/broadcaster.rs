//! The contract between the gateway and a backplane.

use crate::{BroadcastError, Delivery, Event, Page, Position, Published, Range};
use futures_util::future::BoxFuture;
use std::{any::Any, fmt, sync::Arc};
use tidings_protocol::Why;

/// What a subscription is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The channel's next event.
    Event(Delivery),
    /// Events may be missing: what follows comes after `position`.
    Gap {
        /// Where the stream goes on.
        position: Position,
        /// What happened.
        why: Why,
    },
}

/// Where a broadcaster hands what one subscription is told. Called from any thread, with one notice of the channel after
/// the other in the channel's order; it returns at once, never blocks and never calls back into the broadcaster.
pub type Sink = Arc<dyn Fn(&Notice) + Send + Sync>;

/// Carries events from publishers to subscribers: within one process ([`crate::MemoryBroadcaster`]) or between many.
///
/// What every implementation promises:
/// - **Order.** The subscribers of a channel get its events in one and the same order. Publishes on one channel
///   whose futures are first polled one after the other keep that order.
/// - **Acceptance.** `publish` resolves when the backplane has accepted the event, and never before. An error
///   means that the event was not accepted, or that nobody can tell.
/// - **Once.** An event with an idempotency key that the channel has accepted in the last five minutes is not accepted
///   again: `publish` resolves with what it said of the first one.
/// - **From here on.** A subscription gets each event accepted after `subscribe` has resolved; on a channel with
///   history, each event above [`Subscription::position`].
/// - **Positions.** On a channel with history each event has a place. Within an epoch offsets grow, and
///   [`Place::previous`](crate::Place::previous) is the offset of the event before. When offsets can no longer be
///   compared, the epoch is another one.
/// - **No gap in silence.** Where a subscription may have missed an event, it is told so by [`Notice::Gap`] before any
///   later event.
/// - **History.** An event is in the history before any subscription gets it, or the publish resolves.
/// - **Cancellation.** A future that is dropped leaves nothing behind but, for `publish`, an event that may
///   still be accepted.
pub trait Broadcaster: Send + Sync + 'static {
    /// Publishes `event` on `channel`. Fails with [`BroadcastError::Publish`] or [`BroadcastError::Closed`].
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        event: Event,
    ) -> BoxFuture<'a, Result<Published, BroadcastError>>;

    /// Subscribes `sink` to `channel`, until the returned [`Subscription`] is dropped. Fails with
    /// [`BroadcastError::Subscribe`] or [`BroadcastError::Closed`].
    fn subscribe(&self, channel: Arc<str>, sink: Sink)
    -> BoxFuture<'_, Result<Subscription, BroadcastError>>;

    /// Reads from the past of `channel`; `None` when it has no history. Fails with [`BroadcastError::History`] or
    /// [`BroadcastError::Closed`].
    fn history<'a>(
        &'a self,
        channel: &'a str,
        range: Range,
    ) -> BoxFuture<'a, Result<Option<Page>, BroadcastError>>;

    /// Why the backplane cannot be used at this moment, in words; `None` when it can, which is the default.
    fn unavailable(&self) -> Option<String> {
        None
    }

    /// Ends every subscription and lets go of the backplane. Later calls fail with [`BroadcastError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

impl<B: Broadcaster + ?Sized> Broadcaster for Arc<B> {
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        event: Event,
    ) -> BoxFuture<'a, Result<Published, BroadcastError>> {
        (**self).publish(channel, event)
    }

    fn subscribe(
        &self,
        channel: Arc<str>,
        sink: Sink,
    ) -> BoxFuture<'_, Result<Subscription, BroadcastError>> {
        (**self).subscribe(channel, sink)
    }

    fn history<'a>(
        &'a self,
        channel: &'a str,
        range: Range,
    ) -> BoxFuture<'a, Result<Option<Page>, BroadcastError>> {
        (**self).history(channel, range)
    }

    fn unavailable(&self) -> Option<String> {
        (**self).unavailable()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        (**self).close()
    }
}

/// Keeps a subscription alive; dropping it unsubscribes. After the drop the sink may still be in the middle of
/// one last call on another thread, and is not called again.
pub struct Subscription {
    position: Option<Position>,
    _guard: Box<dyn Any + Send + Sync>,
}

impl Subscription {
    /// A subscription that ends by dropping `guard`. On a channel with history it gets the events after `position`.
    pub fn new(guard: impl Any + Send + Sync, position: Option<Position>) -> Self {
        Self { position, _guard: Box::new(guard) }
    }

    /// Where it begins; `None` on a channel without history.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("position", &self.position).finish_non_exhaustive()
    }
}
