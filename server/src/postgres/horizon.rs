//! How far a ledger without the lock can be read, whose ids are not taken in the order of commits.
//!
//! Who inserts holds a lock on the table (`RowExclusiveLock`) from before it takes an id until its row can be seen. So when
//! everyone who held it after an id was seen has gone, each lower id that is still missing was rolled back. An id
//! that was taken before, by a `nextval` of its own, or that has waited too long, is watched for.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// How long an event waits for lower ids.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a missing id is watched for.
const WATCH: Duration = Duration::from_secs(300);

/// More missing ids than this are not watched for: the oldest go.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Horizon {
    /// Ids up to this one are there by now or never.
    settled: i64,
    marks: VecDeque<Mark>,
    missing: VecDeque<(Instant, i64)>,
}

/// The highest id that was seen at some time, and who may have had lower ones.
#[derive(Debug)]
struct Mark {
    id: i64,
    since: Instant,
    holders: Option<HashSet<String>>,
}

impl Horizon {
    /// Begins after `ids`, the newest of the ledger in ascending order.
    pub(super) fn begin(ids: &[i64], now: Instant) -> Self {
        let mut horizon = Self::default();
        if let (Some(first), Some(last)) = (ids.first(), ids.last()) {
            horizon.settled = *last;
            horizon.miss(first - 1, ids, now);
        }
        horizon
    }

    /// These hold the lock, before the next rows are read.
    pub(super) fn holders(&mut self, now: &HashSet<String>, at: Instant) {
        for mark in &mut self.marks {
            match &mut mark.holders {
                None => mark.holders = Some(now.clone()),
                Some(holders) => holders.retain(|holder| now.contains(holder)),
            }
        }
        let over = |mark: &Mark| {
            mark.holders.as_ref().is_some_and(HashSet::is_empty) || at.duration_since(mark.since) >= PATIENCE
        };
        while let Some(mark) = self.marks.pop_front_if(|mark| over(mark)) {
            self.settled = mark.id;
        }
    }

    /// How many of the rows with these ascending ids, all after `after`, may be handed on.
    pub(super) fn read(&mut self, after: i64, ids: &[i64], now: Instant) -> usize {
        let mut last = after;
        let open = |id: &i64| {
            let hole = *id > last + 1;
            last = *id;
            hole && *id > self.settled + 1
        };
        let ready = ids.iter().position(open).unwrap_or(ids.len());
        if let (true, Some(id)) = (ready < ids.len(), ids.last())
            && self.marks.back().map_or(self.settled, |mark| mark.id) < *id
        {
            self.marks.push_back(Mark { id: *id, since: now, holders: None });
        }
        self.miss(after, &ids[..ready], now);
        ready
    }

    fn miss(&mut self, after: i64, ids: &[i64], now: Instant) {
        let mut last = after;
        for id in ids {
            self.missing.extend((last + 1..*id).rev().take(MOST).map(|id| (now, id)));
            last = *id;
        }
        let many = self.missing.len().saturating_sub(MOST);
        self.missing.drain(..many);
    }

    /// The ids that were passed over and may yet come.
    pub(super) fn missing(&mut self, now: Instant) -> Vec<i64> {
        while self.missing.pop_front_if(|(since, _)| now.duration_since(*since) >= WATCH).is_some() {}
        self.missing.iter().map(|(_, id)| *id).collect()
    }

    /// These have come.
    pub(super) fn found(&mut self, ids: &[i64]) {
        self.missing.retain(|(_, id)| !ids.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> HashSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_event_waits_for_a_lower_id_as_long_as_somebody_may_have_it() {
        let (mut horizon, now) = (Horizon::default(), Instant::now());
        assert_eq!(horizon.read(0, &[1, 2, 4, 5], now), 2);
        horizon.holders(&set(&["a", "b"]), now);
        assert_eq!(horizon.read(2, &[4, 5], now), 0);
        horizon.holders(&set(&["b", "c"]), now);
        assert_eq!(horizon.read(2, &[4, 5, 6], now), 0);
        horizon.holders(&set(&["c"]), now);
        assert_eq!(horizon.read(2, &[3, 4, 5, 6], now), 4, "b committed 3");
    }

    #[test]
    fn what_was_rolled_back_is_passed_over_and_watched_for() {
        let (mut horizon, now) = (Horizon::default(), Instant::now());
        assert_eq!(horizon.read(0, &[1, 4, 8], now), 1);
        horizon.holders(&set(&["a"]), now);
        horizon.holders(&set(&[]), now);
        assert_eq!(horizon.read(1, &[4, 8, 10], now), 2, "9 was not missed before");
        assert_eq!(horizon.missing(now), [3, 2, 7, 6, 5]);
        horizon.found(&[3, 6]);
        assert_eq!(horizon.missing(now), [2, 7, 5]);
        assert!(horizon.missing(now + WATCH).is_empty());
    }

    #[test]
    fn nobody_is_waited_for_longer_than_five_seconds() {
        let (mut horizon, now) = (Horizon::default(), Instant::now());
        assert_eq!(horizon.read(0, &[2], now), 0);
        horizon.holders(&set(&["a"]), now);
        assert_eq!(horizon.read(0, &[2], now), 0);
        horizon.holders(&set(&["a"]), now + PATIENCE);
        assert_eq!(horizon.read(0, &[2], now), 1);
        assert_eq!(horizon.missing(now), [1]);
    }

    #[test]
    fn it_begins_by_watching_for_what_is_missing() {
        let now = Instant::now();
        let mut horizon = Horizon::begin(&[7, 9], now);
        assert_eq!(horizon.missing(now), [8]);
        assert_eq!(horizon.read(9, &[10], now), 1);
    }
}
