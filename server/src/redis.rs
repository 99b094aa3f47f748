//! The broadcaster over Redis or Valkey.

mod compare;
mod info;
mod link;
mod message;
mod names;
mod node;
mod options;
mod reader;
mod sentinel;

pub use options::RedisOptions;

use crate::{
    BroadcastError, Broadcaster, Event, Histories, Page, Published, Range, Sink, Subscription, listeners::Key,
};
use futures_util::future::BoxFuture;
use node::Node;
use std::{fmt, sync::Arc};

/// Carries events between the nodes that use the same Redis or Valkey (6.2 or later), and keeps the latest of each channel
/// there. A clone is the same broadcaster.
///
/// Other programs publish with `PUBLISH channel {"id": …, "event": …, "data": …}`, of which `id` and `data` may be left
/// out. Their events reach the subscribers that are there, and have no place in the channel's history.
///
/// A channel on which nothing was published or read for a day beyond its history's age is forgotten. Who comes back to it
/// later is told that its epoch is another one; so is everybody when Redis has lost what it had accepted, and when it was
/// restarted or replaced and may have. With `appendonly yes` and `appendfsync always` a restart loses nothing, and clients
/// go on where they were; for that the user needs the right to `CONFIG GET`.
///
/// While the link is down publishes and new subscriptions fail at once, and when Redis does not answer, after
/// [`RedisOptions::timeout`]. Those that are subscribed stay, and get what they have missed when the link is back, or are
/// told. Channels without history promise nothing across a lost link.
///
/// Cluster mode and replicas are refused.
#[derive(Clone)]
pub struct RedisBroadcaster {
    node: Arc<Running>,
}

/// Ends the node's tasks with its last handle.
struct Running(Arc<Node>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl fmt::Debug for RedisBroadcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroadcaster").field("options", self.node().options()).finish_non_exhaustive()
    }
}

impl RedisBroadcaster {
    /// Connects, and tries that everything works which it will do. Within a tokio runtime, which has to live as long as
    /// the broadcaster.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] names what is wrong: the address, the password, a right, the version, the kind of server.
    pub async fn connect(options: RedisOptions, histories: Histories) -> Result<Self, BroadcastError> {
        let node = Node::start(options, histories).await?;
        Ok(Self { node: Arc::new(Running(node)) })
    }

    fn node(&self) -> &Arc<Node> {
        &self.node.0
    }
}

impl Broadcaster for RedisBroadcaster {
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        event: Event,
    ) -> BoxFuture<'a, Result<Published, BroadcastError>> {
        Box::pin(self.node().publish(channel, event))
    }

    fn subscribe(
        &self,
        channel: Arc<str>,
        sink: Sink,
    ) -> BoxFuture<'_, Result<Subscription, BroadcastError>> {
        Box::pin(async move {
            let node = self.node();
            node.open()?;
            let key = node.listeners().add(&channel, sink).0;
            // From here on, leaving is up to the guard.
            let guard = Unsubscribe { node: node.clone(), channel: channel.clone(), key };
            node.join(&channel).await?;
            let position = node.listeners().position(&channel);
            Ok(Subscription::new(guard, position))
        })
    }

    fn history<'a>(
        &'a self,
        channel: &'a str,
        range: Range,
    ) -> BoxFuture<'a, Result<Option<Page>, BroadcastError>> {
        Box::pin(self.node().history(channel, range))
    }

    fn unavailable(&self) -> Option<String> {
        self.node().unavailable()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.node().close())
    }
}

struct Unsubscribe {
    node: Arc<Node>,
    channel: Arc<str>,
    key: Key,
}

impl Drop for Unsubscribe {
    fn drop(&mut self) {
        if self.node.listeners().remove(&self.channel, self.key) {
            self.node.leave(self.channel.clone());
        }
    }
}
