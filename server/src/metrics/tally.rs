//! What one hub counts. Only the hub writes, so that counting is no more than adding; whoever asks may read.

use super::Histogram;
use crate::session::Attached;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tidings_protocol::{CloseCode, Why};

/// A number that one thread changes and all may read.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    /// Adds to it. Only its owner may: two threads at once would lose something.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// Takes from it. Only its owner may.
    pub(crate) fn subtract(&self, less: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(less), Relaxed);
    }

    fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The codes by which the gateway closes.
pub(super) const OUR_CODES: [CloseCode; 12] = [
    CloseCode::Normal,
    CloseCode::Away,
    CloseCode::Protocol,
    CloseCode::InvalidText,
    CloseCode::Policy,
    CloseCode::TooLarge,
    CloseCode::Restart,
    CloseCode::PingTimeout,
    CloseCode::Disconnected,
    CloseCode::Expired,
    CloseCode::TooSlow,
    CloseCode::TooManyCommands,
];

/// Where a code is among [`OUR_CODES`].
const fn place(code: CloseCode) -> usize {
    match code {
        CloseCode::Normal => 0,
        CloseCode::Away => 1,
        CloseCode::Protocol => 2,
        CloseCode::InvalidText => 3,
        CloseCode::Policy => 4,
        CloseCode::TooLarge => 5,
        CloseCode::Restart => 6,
        CloseCode::PingTimeout => 7,
        CloseCode::Disconnected => 8,
        CloseCode::Expired => 9,
        CloseCode::TooSlow => 10,
        CloseCode::TooManyCommands => 11,
    }
}

/// The codes by which clients close, as they are told apart; 1005 is none, and 1006 an end without a close.
pub(super) const THEIR_CODES: [&str; 5] = ["1000", "1001", "1005", "1006", "other"];

/// Where 1006 is among [`THEIR_CODES`].
const LOST: usize = 3;

/// What became of a client's wish to go on where it was.
pub(super) const RECOVERIES: [&str; 5] = ["recovered", "epoch", "expired", "limit", "unavailable"];

/// A hub's numbers.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Connections, as far as they were opened.
    pub(crate) opened: Number,
    /// Subscriptions at this moment.
    pub(crate) subscriptions: Number,
    /// Events handed to subscribers.
    pub(crate) deliveries: Number,
    /// Events handed to clients that had missed them.
    pub(crate) replayed: Number,
    /// Bytes handed to connections.
    pub(crate) sent_bytes: Number,
    /// Bytes that wait in outboxes at this moment.
    pub(crate) queued_bytes: Number,
    /// Answers to publishes that were held back.
    pub(crate) paced: Number,
    /// Text frames that made no sense.
    pub(crate) unknown_frames: Number,
    pub(crate) binary_frames: Number,
    pub(super) closed: [Number; OUR_CODES.len()],
    pub(super) left: [Number; THEIR_CODES.len()],
    pub(super) recoveries: [Number; RECOVERIES.len()],
    /// How long the hub's turns took.
    pub(crate) turns: Histogram,
}

impl Tally {
    /// The gateway closes a connection.
    pub(crate) fn closed(&self, code: CloseCode) {
        self.closed[place(code)].add(1);
    }

    /// A client closes its connection.
    pub(crate) fn left(&self, code: Option<u16>) {
        let at = match code {
            Some(1000) => 0,
            Some(1001) => 1,
            None => 2,
            Some(_) => 4,
        };
        self.left[at].add(1);
    }

    /// A connection is gone, and nobody has closed it.
    pub(crate) fn lost(&self) {
        self.left[LOST].add(1);
    }

    /// A client has become a subscriber.
    pub(crate) fn attached(&self, attached: &Attached) {
        let Attached::Live { resumed, .. } = attached else { return };
        self.subscriptions.add(1);
        let at = match resumed {
            None => return,
            Some(Ok(_)) => 0,
            Some(Err(Why::Epoch)) => 1,
            Some(Err(Why::Expired)) => 2,
            Some(Err(Why::Limit)) => 3,
            Some(Err(Why::Unavailable | Why::Backplane)) => 4,
        };
        self.recoveries[at].add(1);
    }

    /// The hub has ended, and what it held is gone.
    pub(crate) fn ended(&self) {
        self.subscriptions.set(0);
        self.queued_bytes.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_where_their_numbers_are() {
        assert!(OUR_CODES.iter().enumerate().all(|(at, code)| place(*code) == at));
        assert_eq!(THEIR_CODES[LOST], "1006");
    }
}
