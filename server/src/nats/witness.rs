//! The last events that this node knows of, so that it notices when the stream has forgotten them.

use std::{collections::VecDeque, sync::Arc};
use ulid::Ulid;

/// Of so many, one should still be kept after a while away.
const MOST: usize = 64;

#[derive(Default)]
pub(super) struct Witnesses {
    epoch: Option<Arc<str>>,
    events: VecDeque<(u64, Ulid)>,
    /// The stream has reached this sequence.
    top: u64,
    /// Whether an event was found to be another one.
    doubted: bool,
}

impl Witnesses {
    fn begin(&mut self, epoch: &Arc<str>) {
        if self.epoch.as_ref() != Some(epoch) {
            *self = Self { epoch: Some(epoch.clone()), ..Self::default() };
        }
    }

    /// The stream has reached `sequence`.
    pub(super) fn saw(&mut self, epoch: &Arc<str>, sequence: u64) {
        self.begin(epoch);
        self.top = self.top.max(sequence);
    }

    /// An event of `epoch` has become another one.
    pub(super) fn doubt(&mut self, epoch: &Arc<str>) {
        self.begin(epoch);
        self.doubted = true;
    }

    /// There is an event `id` at `sequence`.
    pub(super) fn add(&mut self, epoch: &Arc<str>, sequence: u64, id: Ulid) {
        self.saw(epoch, sequence);
        if self.events.back().is_none_or(|(last, _)| *last < sequence) {
            self.events.push_back((sequence, id));
            if self.events.len() > MOST {
                self.events.pop_front();
            }
        }
    }

    /// Those of `epoch`, the last one first.
    pub(super) fn of(&self, epoch: &Arc<str>) -> Vec<(u64, Ulid)> {
        let same = self.epoch.as_ref() == Some(epoch);
        self.events.iter().rev().filter(|_| same).copied().collect()
    }

    /// The last sequence that the stream had in `epoch`; 0 when nothing is known.
    pub(super) fn top(&self, epoch: &Arc<str>) -> u64 {
        if self.epoch.as_ref() == Some(epoch) { self.top } else { 0 }
    }

    /// Whether an event of `epoch` was found to be another one.
    pub(super) fn is_doubted(&self, epoch: &Arc<str>) -> bool {
        self.doubted && self.epoch.as_ref() == Some(epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_of_one_epoch_are_known() {
        let (mut witnesses, one, two) = (Witnesses::default(), Arc::from("1"), Arc::from("2"));
        assert_eq!(witnesses.top(&one), 0);
        for sequence in [5, 7, 6, 8] {
            witnesses.add(&one, sequence, Ulid::nil());
        }
        assert_eq!(witnesses.of(&one), [8, 7, 5].map(|sequence| (sequence, Ulid::nil())));
        assert_eq!((witnesses.of(&two), witnesses.top(&one), witnesses.top(&two)), (vec![], 8, 0));
        witnesses.saw(&one, 9);
        witnesses.doubt(&one);
        assert_eq!(
            (witnesses.top(&one), witnesses.is_doubted(&one), witnesses.is_doubted(&two)),
            (9, true, false)
        );
        (1..200).for_each(|sequence| witnesses.add(&two, sequence, Ulid::nil()));
        assert!(!witnesses.is_doubted(&one));
        assert_eq!((witnesses.of(&two).len(), witnesses.top(&two), witnesses.top(&one)), (MOST, 199, 0));
    }
}
