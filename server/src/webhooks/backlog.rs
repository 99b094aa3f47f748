//! What the application has yet to hear. Without I/O.

use crate::upstream::Occupancy;
use serde::{Serialize, Serializer};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Changes that wait at most; above it the oldest go.
const MAX_WAITING: usize = 10_000;

/// Changes in one request at most.
const MAX_BATCH: usize = 100;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    #[serde(rename = "type")]
    occupancy: Occupancy,
    #[serde(serialize_with = "text")]
    channel: Arc<str>,
    /// In milliseconds since 1970.
    at: u64,
}

impl Change {
    pub(super) fn new(occupancy: Occupancy, channel: Arc<str>, now: SystemTime) -> Self {
        let at = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        Self { occupancy, channel, at }
    }
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// Changes that go in one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Batch {
    id: String,
    events: Vec<Change>,
    dropped: u64,
}

/// Changes that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: VecDeque<Change>,
    /// What is being sent, until it has arrived.
    sending: Option<Batch>,
    dropped: u64,
}

impl Backlog {
    pub(super) fn push(&mut self, change: Change) {
        self.waiting.push_back(change);
        if self.waiting.len() > MAX_WAITING {
            self.waiting.pop_front();
            self.dropped += 1;
        }
    }

    /// What is to be sent next: the same until it has arrived. A new one gets the id `id`.
    pub(super) fn next(&mut self, id: impl FnOnce() -> String) -> Option<Batch> {
        if self.sending.is_none() && !self.waiting.is_empty() {
            let count = self.waiting.len().min(MAX_BATCH);
            let events = self.waiting.drain(..count).collect();
            self.sending = Some(Batch { id: id(), events, dropped: self.dropped });
        }
        self.sending.clone()
    }

    /// What was to be sent has arrived.
    pub(super) fn arrived(&mut self) {
        self.sending = None;
    }

    /// Whether there are as many as go into one request.
    pub(super) fn has_batch(&self) -> bool {
        self.waiting.len() >= MAX_BATCH
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sending.is_none()
    }

    /// How many went because too many waited, since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// How long to wait before the `attempt`th repetition, from 0 on.
pub(super) fn pause(attempt: u32) -> Duration {
    Duration::from_millis(500).saturating_mul(1 << attempt.min(6)).min(Duration::from_secs(30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(n: usize) -> Change {
        Change::new(Occupancy::Occupied, n.to_string().into(), UNIX_EPOCH + Duration::from_secs(1))
    }

    fn next(backlog: &mut Backlog, id: &str) -> Option<(String, Vec<Change>)> {
        backlog.next(|| id.to_owned()).map(|batch| (batch.id, batch.events))
    }

    #[test]
    fn changes_go_in_order_and_in_batches_until_they_arrive() {
        let mut backlog = Backlog::default();
        (0..MAX_BATCH + 1).for_each(|n| backlog.push(change(n)));
        assert!(backlog.has_batch());
        let first = Some(("x".to_owned(), (0..MAX_BATCH).map(change).collect()));
        assert_eq!(next(&mut backlog, "x"), first);
        backlog.push(change(MAX_BATCH + 1));
        assert_eq!(next(&mut backlog, "y"), first);
        backlog.arrived();
        assert!(!backlog.has_batch() && !backlog.is_empty());
        assert_eq!(
            next(&mut backlog, "z"),
            Some(("z".to_owned(), vec![change(MAX_BATCH), change(MAX_BATCH + 1)]))
        );
        assert!(!backlog.is_empty());
        backlog.arrived();
        assert_eq!((next(&mut backlog, "z"), backlog.is_empty(), backlog.dropped()), (None, true, 0));
    }

    #[test]
    fn the_oldest_go_when_too_many_wait() {
        let mut backlog = Backlog::default();
        (0..MAX_WAITING + 5).for_each(|n| backlog.push(change(n)));
        assert_eq!((backlog.waiting.len(), backlog.dropped()), (MAX_WAITING, 5));
        let batch = backlog.next(String::new).expect("a batch");
        assert_eq!((&batch.events[0], batch.dropped), (&change(5), 5));
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let pauses = [0, 1, 2, 5, 6, 7, u32::MAX].map(|attempt| pause(attempt).as_millis());
        assert_eq!(pauses, [500, 1_000, 2_000, 16_000, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn as_json() {
        let json = serde_json::to_string(&change(7)).expect("JSON");
        assert_eq!(json, r#"{"type":"channel.occupied","channel":"7","at":1000}"#);
    }
}
