//! How other threads, and the sockets, reach a worker's hub.

use crate::{Position, Target, roll::Call};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};
use tidings_protocol::CloseCode;

/// Names a connection of one hub. A slot is used again; then its generation is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Names a channel of one hub, as a [`Token`] names a connection: an event finds its subscribers without its channel's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A message to a hub.
#[derive(Debug)]
pub(crate) enum Post {
    /// An event on a channel, as the frame for its subscribers, with its position where it has one.
    Event { spot: Spot, frame: Bytes, position: Option<Position> },
    /// A channel goes on after `position`, and what came before may be missing; the frame says so.
    Gap { spot: Spot, frame: Bytes, position: Position },
    /// Say goodbye to every connection and close it within this many milliseconds.
    Drain(u64),
    /// Close every connection.
    CloseAll(CloseCode),
    /// Close the connections that are meant, of those that were opened before this many milliseconds since 1970.
    Disconnect(Target, u64),
    /// Close the connections whose subject is revoked by now.
    Review,
    /// Say who is connected.
    Roll(Arc<Call>),
    /// The gateway's backlog is no longer full.
    Relieved,
}

impl Post {
    /// What it adds to the backlog.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Event { frame, .. } | Self::Gap { frame, .. } => frame.len(),
            Self::Drain(_)
            | Self::CloseAll(_)
            | Self::Disconnect(..)
            | Self::Review
            | Self::Roll(_)
            | Self::Relieved => 0,
        }
    }
}

/// What waits for a hub. Filled from anywhere, emptied by the hub's own task.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inbox: Mutex<Inbox>,
    task: AtomicWaker,
    /// Whether the hub's task is awake, or about to be.
    awake: AtomicBool,
}

/// Bounded by the gateway's [`Backlog`](crate::backlog::Backlog): while that is full, publishers are not read.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) posts: Vec<Post>,
    pub(crate) ready: Vec<Token>,
}

impl Inbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.posts.is_empty() && self.ready.is_empty()
    }
}

impl Mailbox {
    pub(crate) fn post(&self, post: Post) {
        self.inbox.lock().posts.push(post);
        self.wake();
    }

    pub(crate) fn ready(&self, token: Token) {
        self.inbox.lock().ready.push(token);
        self.wake();
    }

    /// Has the hub take a turn.
    pub(crate) fn wake(&self) {
        if !self.awake.swap(true, Ordering::AcqRel) {
            self.task.wake();
        }
    }

    /// Swaps what waits into `inbox`, which is empty. When nothing waits, the next message wakes the task of
    /// `waker`, and the answer is false.
    pub(crate) fn take(&self, inbox: &mut Inbox, waker: &Waker) -> bool {
        self.awake.store(true, Ordering::Release);
        std::mem::swap(&mut *self.inbox.lock(), inbox);
        if !inbox.is_empty() {
            return true;
        }
        self.task.register(waker);
        self.awake.store(false, Ordering::Release);
        std::mem::swap(&mut *self.inbox.lock(), inbox);
        !inbox.is_empty()
    }
}

/// A gateway's hubs, for who has something to say to all of them.
#[derive(Debug, Default)]
pub(crate) struct Hubs(Mutex<Vec<Arc<Mailbox>>>);

impl Hubs {
    pub(crate) fn add(&self, hub: Arc<Mailbox>) {
        self.0.lock().push(hub);
    }

    pub(crate) fn remove(&self, hub: &Arc<Mailbox>) {
        self.0.lock().retain(|other| !Arc::ptr_eq(other, hub));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(crate) fn tell(&self, post: impl Fn() -> Post) {
        for hub in self.0.lock().iter() {
            hub.post(post());
        }
    }
}

/// Wakes a hub for one of its sockets.
#[derive(Debug)]
pub(crate) struct SocketWaker {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) token: Token,
}

impl Wake for SocketWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mailbox.ready(self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker;

    #[test]
    fn nothing_that_is_posted_is_missed() {
        let mailbox = Arc::new(Mailbox::default());
        let mut taken = 0;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| mailbox.post(Post::CloseAll(CloseCode::Restart))));
            }
            while taken < 4_000 {
                let mut inbox = Inbox::default();
                if mailbox.take(&mut inbox, &noop_waker()) {
                    taken += inbox.posts.len();
                }
            }
        });
        assert_eq!(taken, 4_000);
    }
}
