//! The contract between the gateway and a backplane.

use crate::{BroadcastError, Delivery, Event, Published};
use futures_util::future::BoxFuture;
use std::{any::Any, fmt, sync::Arc};

/// Where a broadcaster hands the events of one subscription to. Called from any thread, with the events of the
/// channel one after the other in the channel's order; it returns at once, never blocks and never calls back
/// into the broadcaster.
pub type Sink = Arc<dyn Fn(&Delivery) + Send + Sync>;

/// Carries events from publishers to subscribers: within one process ([`crate::MemoryBroadcaster`]) or between many.
///
/// What every implementation promises:
/// - **Order.** The subscribers of a channel get its events in one and the same order. Publishes on one channel
///   whose futures are first polled one after the other keep that order.
/// - **Acceptance.** `publish` resolves when the backplane has accepted the event, and never before. An error
///   means that the event was not accepted, or that nobody can tell.
/// - **From now on.** A subscription gets each event accepted after `subscribe` has resolved.
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

    /// Ends every subscription and lets go of the backplane. Later calls fail with [`BroadcastError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Keeps a subscription alive; dropping it unsubscribes. After the drop the sink may still be in the middle of
/// one last call on another thread, and is not called again.
pub struct Subscription {
    _guard: Box<dyn Any + Send + Sync>,
}

impl Subscription {
    /// A subscription that ends by dropping `guard`.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self { _guard: Box::new(guard) }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}
