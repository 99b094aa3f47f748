//! All of it, once and in order, or told.

use crate::node::{last, number};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use tidings_server::{Delivery, Notice, Position, Published};

/// What was published on one channel with history, each event with a number of its own. Publishes that failed need not be
/// recorded: they may arrive, once.
#[derive(Default)]
pub(crate) struct Checker {
    accepted: Mutex<BTreeMap<u64, Position>>,
}

impl Checker {
    /// The event with `n` in its data was accepted.
    pub(crate) fn accepted(&self, n: u64, published: &Published) {
        let position = published.position.clone().expect("a channel with history");
        assert!(self.accepted.lock().insert(n, position).is_none(), "{n} twice");
    }

    /// How many were accepted.
    pub(crate) fn count(&self) -> usize {
        self.accepted.lock().len()
    }

    /// Where the last one of them is; of one epoch.
    pub(crate) fn end(&self) -> u64 {
        self.accepted.lock().values().map(|position| position.offset).max().unwrap_or_default()
    }

    /// Whether a subscription that began at `start` has heard of everything that was accepted after it.
    ///
    /// # Panics
    /// When it was told anything twice, out of order, or with a hole.
    pub(crate) fn is_complete(&self, start: &Position, notices: &[Notice]) -> bool {
        let missing = self.missing(start, notices);
        if let Some(first) = missing.first() {
            println!("{} are missing, at first {first:?}", missing.len());
        }
        missing.is_empty()
    }

    /// What was accepted after `start`, and neither told nor covered by a gap.
    pub(crate) fn missing(&self, start: &Position, notices: &[Notice]) -> Vec<(u64, Position)> {
        let (mut at, mut told, mut gaps) = (start.clone(), BTreeSet::new(), Vec::new());
        let mut of_this_epoch = BTreeSet::new();
        // Events may come before the subscription says where it began.
        if let Some(Notice::Event(Delivery { place: Some(first), .. })) = notices.first()
            && first.position.epoch == start.epoch
        {
            at.offset = at.offset.min(first.previous);
        }
        for (index, notice) in notices.iter().enumerate() {
            let near = last(&notices[..=index]);
            let to = match notice {
                Notice::Gap { position, .. } => {
                    // Who has lost events may have lost keys as well, and then a repeat is a new event.
                    if position.epoch != at.epoch {
                        of_this_epoch.clear();
                    }
                    gaps.push((at, position.clone()));
                    position.clone()
                }
                Notice::Event(delivery) => {
                    let n = number(delivery);
                    assert!(of_this_epoch.insert(n), "{n} was told twice: {near:?}");
                    told.insert(n);
                    let place = delivery.place.as_ref().expect("a channel with history");
                    let to = place.position.clone();
                    assert_eq!(to.epoch, at.epoch, "another epoch without a gap before {n}: {near:?}");
                    assert_eq!(place.previous, at.offset, "a hole before {n}: {near:?}");
                    assert!(to.offset > at.offset, "{n} goes back: {near:?}");
                    to
                }
            };
            at = to;
        }
        let within = |position: &Position, after: &Position, up_to: &Position| {
            let begun = position.epoch != after.epoch || position.offset > after.offset;
            let ended = position.epoch != up_to.epoch || position.offset <= up_to.offset;
            begun && ended && (position.epoch == after.epoch || position.epoch == up_to.epoch)
        };
        let covered = |position: &Position| gaps.iter().any(|(after, up_to)| within(position, after, up_to));
        let before = |position: &Position| position.epoch == start.epoch && position.offset <= start.offset;
        let accepted = self.accepted.lock();
        let missing = accepted.iter().filter(|(n, at)| !told.contains(n) && !before(at) && !covered(at));
        missing.map(|(n, at)| (*n, at.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tidings_protocol::Why;
    use tidings_server::{Event, Place};
    use ulid::Ulid;

    fn at(epoch: &str, offset: u64) -> Position {
        Position { epoch: epoch.into(), offset }
    }

    fn event(n: u64, previous: u64, position: Position) -> Notice {
        let place = Some(Place { position, previous });
        let event = Event::new("e", json!(n));
        Notice::Event(Delivery { channel: "a".into(), event, id: Ulid::nil(), place })
    }

    fn gap(position: Position) -> Notice {
        Notice::Gap { position, why: Why::Backplane }
    }

    #[test]
    fn what_is_missing_is_found_unless_a_gap_covers_it() {
        let checker = Checker::default();
        for (n, position) in
            [(1, at("x", 11)), (2, at("x", 12)), (3, at("x", 13)), (4, at("y", 1)), (5, at("y", 2))]
        {
            checker.accepted(n, &Published::new(Ulid::nil(), Some(position)));
        }
        let missing = |start, notices: &[Notice]| {
            checker.missing(&start, notices).into_iter().map(|(n, _)| n).collect::<Vec<_>>()
        };
        let first = event(1, 10, at("x", 11));
        assert_eq!(missing(at("x", 10), std::slice::from_ref(&first)), [2, 3, 4, 5]);
        assert_eq!(missing(at("x", 10), &[first.clone(), gap(at("x", 12))]), [3, 4, 5]);
        let third = event(3, 12, at("x", 13));
        assert_eq!(missing(at("x", 10), &[first.clone(), gap(at("x", 12)), third]), [4, 5]);
        assert_eq!(missing(at("x", 10), &[first, gap(at("y", 1)), event(5, 1, at("y", 2))]), [0; 0]);
        assert_eq!(missing(at("x", 12), &[gap(at("y", 0))]), [4, 5]);
    }

    #[test]
    #[should_panic(expected = "a hole before 3")]
    fn a_hole_is_found() {
        Checker::default().is_complete(&at("x", 1), &[event(3, 2, at("x", 3))]);
    }

    #[test]
    #[should_panic(expected = "told twice")]
    fn a_repetition_is_found() {
        Checker::default().is_complete(&at("x", 1), &[event(3, 1, at("x", 2)), event(3, 2, at("x", 3))]);
    }
}
