//! How much is posted to the hubs and not yet handed on, and who waits while that is too much.

use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Above this many bytes, publishers wait. A guess, not measured: a tenth of a second of one worker's fan-out.
pub(crate) const FULL: usize = 16 * 1024 * 1024;

/// Bytes that are posted and not handed on, over all hubs.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: AtomicUsize,
    relieved: Notify,
}

impl Backlog {
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > FULL
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Whether this has ended its being full: then the hubs that do not read their sockets have to be told.
    pub(crate) fn remove(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        let relieved = before > FULL && before - bytes <= FULL;
        if relieved {
            self.relieved.notify_waiters();
        }
        relieved
    }

    /// Waits while it is full.
    pub(crate) async fn room(&self) {
        loop {
            let relieved = self.relieved.notified();
            if !self.is_full() {
                return;
            }
            relieved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, poll};

    #[actix_web::test]
    async fn publishers_wait_while_it_is_full() {
        let backlog = Backlog::default();
        backlog.add(FULL);
        assert!(backlog.room().now_or_never().is_some());
        backlog.add(2);
        let mut room = std::pin::pin!(backlog.room());
        assert!(poll!(&mut room).is_pending());
        assert!(!backlog.remove(1));
        assert!(poll!(&mut room).is_pending());
        assert!(backlog.remove(1), "told once, when it stops being full");
        assert!(!backlog.remove(1));
        room.await;
    }
}
