//! The channels that have subscribers, and how many events a second each of them has. Without I/O.

use crate::upstream::Traffic;
use ahash::RandomState;
use serde::{Serialize, Serializer};
use std::{cmp::Reverse, collections::HashMap, sync::Arc};

/// It is looked again no sooner than after so many milliseconds, so that many operators cost no more than one.
const FRESH: u64 = 900;

/// A look of longer ago says nothing of what goes on now.
const STALE: u64 = 15_000;

/// What was seen when it was last looked.
#[derive(Debug, Default)]
pub(super) struct Board {
    seen_at: Option<u64>,
    lines: Vec<Line>,
}

/// A channel.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    #[serde(serialize_with = "as_text")]
    pub(super) channel: Arc<str>,
    pub(super) subscribers: usize,
    /// Events a second; `None` until it was looked twice.
    pub(super) rate: Option<f64>,
    #[serde(skip)]
    events: u64,
}

/// Which channels come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Subscribers,
    Rate,
    Name,
}

/// Some of them.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    pub(super) total: usize,
    pub(super) matching: usize,
    pub(super) rows: Vec<Line>,
}

impl Board {
    /// Looks again, unless somebody just has. `now` is in milliseconds.
    pub(super) fn look(&mut self, now: u64, traffic: impl FnOnce() -> Vec<Traffic>) {
        let age = self.seen_at.map(|at| now - at);
        if age.is_some_and(|age| age < FRESH) {
            return;
        }
        let before: HashMap<Arc<str>, u64, RandomState> =
            self.lines.drain(..).map(|line| (line.channel, line.events)).collect();
        let seconds = age.filter(|age| *age <= STALE).map(|age| age as f64 / 1_000.0);
        let line = |Traffic { channel, subscribers, events }| {
            // A channel that was vacated meanwhile has begun to count anew, and one that is new had none.
            let known = before.get(&channel).copied().filter(|known| *known <= events).unwrap_or(0);
            let rate = seconds.map(|seconds| (events - known) as f64 / seconds);
            Line { channel, subscribers, rate, events }
        };
        self.lines = traffic().into_iter().map(line).collect();
        self.seen_at = Some(now);
    }

    /// The first `limit` channels whose name has `text` in it, which is in small letters.
    pub(super) fn page(&self, text: &str, sort: Sort, limit: usize) -> Page {
        let meant = |line: &&Line| text.is_empty() || line.channel.to_lowercase().contains(text);
        let mut found: Vec<&Line> = self.lines.iter().filter(meant).collect();
        let rate = |line: &Line| line.rate.map_or(0, |rate| (rate * 1_000.0) as u64);
        match sort {
            Sort::Subscribers => {
                found.sort_unstable_by_key(|line| (Reverse((line.subscribers, rate(line))), &line.channel));
            }
            Sort::Rate => {
                found.sort_unstable_by_key(|line| (Reverse((rate(line), line.subscribers)), &line.channel));
            }
            Sort::Name => found.sort_unstable_by_key(|line| &line.channel),
        }
        let rows = found.iter().take(limit).map(|line| (*line).clone()).collect();
        Page { total: self.lines.len(), matching: found.len(), rows }
    }

    /// What is known of one channel.
    pub(super) fn line(&self, channel: &str) -> Option<&Line> {
        self.lines.iter().find(|line| &*line.channel == channel)
    }
}

fn as_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(all: &[(&str, usize, u64)]) -> Vec<Traffic> {
        let one = |(channel, subscribers, events): &(&str, usize, u64)| Traffic {
            channel: (*channel).into(),
            subscribers: *subscribers,
            events: *events,
        };
        all.iter().map(one).collect()
    }

    fn names(page: &Page) -> Vec<&str> {
        page.rows.iter().map(|line| &*line.channel).collect()
    }

    #[test]
    fn a_rate_is_what_went_by_between_two_looks() {
        let mut board = Board::default();
        board.look(10_000, || traffic(&[("a", 1, 100), ("gone", 1, 5), ("again", 1, 50)]));
        assert_eq!(board.line("a").expect("seen").rate, None);
        board.look(10_500, || panic!("somebody just has"));
        board.look(12_000, || traffic(&[("a", 1, 110), ("again", 1, 8), ("new", 1, 4)]));
        let rate = |channel| board.line(channel).and_then(|line| line.rate);
        assert_eq!(
            [rate("a"), rate("again"), rate("new"), rate("gone")],
            [Some(5.0), Some(4.0), Some(2.0), None]
        );
    }

    #[test]
    fn a_look_of_long_ago_makes_no_rate() {
        let mut board = Board::default();
        board.look(0, || traffic(&[("a", 1, 0)]));
        board.look(60_000, || traffic(&[("a", 1, 1_000)]));
        assert_eq!(board.line("a").expect("seen").rate, None);
        board.look(61_000, || traffic(&[("a", 1, 1_003)]));
        assert_eq!(board.line("a").expect("seen").rate, Some(3.0));
    }

    #[test]
    fn pages_are_sorted_filtered_and_bounded() {
        let mut board = Board::default();
        let all = [("Orders.1", 5, 0), ("orders.2", 9, 0), ("news", 7, 0), ("orders.3", 5, 0)];
        board.look(0, || traffic(&all));
        board.look(1_000, || {
            traffic(&[("Orders.1", 5, 3), ("orders.2", 9, 0), ("news", 7, 9), ("orders.3", 5, 0)])
        });
        let page = board.page("", Sort::Subscribers, 3);
        assert_eq!((page.total, page.matching, names(&page)), (4, 4, vec!["orders.2", "news", "Orders.1"]));
        let page = board.page("orders", Sort::Rate, 10);
        assert_eq!(
            (page.total, page.matching, names(&page)),
            (4, 3, vec!["Orders.1", "orders.2", "orders.3"])
        );
        assert_eq!(names(&board.page("", Sort::Name, 2)), ["Orders.1", "news"]);
    }
}
