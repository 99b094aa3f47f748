//! What the application said, for a while, and what it is being asked. Without I/O.

use crate::Authorization;
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// What a question is known by: the SHA-256 of its text.
pub(super) type Question = [u8; 32];

/// Answers that are kept at most.
const MAX_KNOWN: usize = 10_000;

/// Answers, and questions under way, each with an `F` by which to wait for it.
#[derive(Debug)]
pub(super) struct Answers<F> {
    keep: Duration,
    entries: HashMap<Question, Entry<F>>,
    /// The end of what is known, in the order of time.
    ends: VecDeque<(Instant, Question)>,
}

#[derive(Debug)]
enum Entry<F> {
    Asked(F),
    Known(Authorization),
}

/// What there is of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<F> {
    Known(Authorization),
    Asked(F),
}

impl<F: Clone> Answers<F> {
    /// Nothing, of which each answer is kept for `keep`.
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, entries: HashMap::new(), ends: VecDeque::new() }
    }

    pub(super) fn find(&mut self, question: &Question, now: Instant) -> Option<Found<F>> {
        self.expire(now);
        Some(match self.entries.get(question)? {
            Entry::Known(answer) => Found::Known(answer.clone()),
            Entry::Asked(flight) => Found::Asked(flight.clone()),
        })
    }

    /// A question for which nothing was found is under way.
    pub(super) fn asked(&mut self, question: Question, flight: F) {
        self.entries.insert(question, Entry::Asked(flight));
    }

    /// A question was answered, or not.
    pub(super) fn settle(&mut self, question: &Question, answer: Option<Authorization>, now: Instant) {
        self.entries.remove(question);
        let Some(answer) = answer else { return };
        self.entries.insert(*question, Entry::Known(answer));
        self.ends.push_back((now + self.keep, *question));
        if self.ends.len() > MAX_KNOWN {
            self.forget_first();
        }
    }

    fn expire(&mut self, now: Instant) {
        while self.ends.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, question)) = self.ends.pop_front() {
            self.entries.remove(&question);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(10);

    fn question(n: usize) -> Question {
        let mut question = Question::default();
        question[..8].copy_from_slice(&n.to_be_bytes());
        question
    }

    #[test]
    fn an_answer_is_kept_for_a_while() {
        let (mut answers, now, q) = (Answers::new(KEEP), Instant::now(), question(1));
        assert_eq!(answers.find(&q, now), None);
        answers.asked(q, "flight");
        assert_eq!(answers.find(&q, now), Some(Found::Asked("flight")));
        answers.settle(&q, Some(true.into()), now);
        assert_eq!(answers.find(&q, now + KEEP - Duration::from_nanos(1)), Some(Found::Known(true.into())));
        assert_eq!(answers.find(&q, now + KEEP), None);
        answers.asked(q, "another");
        answers.settle(&q, Some(false.into()), now + KEEP);
        assert_eq!(answers.find(&q, now + KEEP), Some(Found::Known(false.into())));
    }

    #[test]
    fn a_failure_is_not_kept_and_with_a_time_of_zero_nothing_is() {
        for (keep, outcome) in [(KEEP, None), (Duration::ZERO, Some(true.into()))] {
            let (mut answers, now, q) = (Answers::new(keep), Instant::now(), question(1));
            answers.asked(q, ());
            answers.settle(&q, outcome, now);
            assert_eq!(answers.find(&q, now), None);
            assert!(answers.entries.is_empty() && answers.ends.is_empty());
        }
    }

    #[test]
    fn nothing_grows_without_bound() {
        let (mut answers, now) = (Answers::new(KEEP), Instant::now());
        for n in 0..2 * MAX_KNOWN {
            answers.asked(question(n), ());
            answers.settle(&question(n), Some(true.into()), now);
        }
        assert_eq!((answers.entries.len(), answers.ends.len()), (MAX_KNOWN, MAX_KNOWN));
        assert_eq!(answers.find(&question(0), now), None);
        assert_eq!(answers.find(&question(2 * MAX_KNOWN - 1), now), Some(Found::Known(true.into())));
        assert_eq!(answers.find(&question(2 * MAX_KNOWN), now + KEEP), None);
        assert!(answers.entries.is_empty() && answers.ends.is_empty());
    }
}
