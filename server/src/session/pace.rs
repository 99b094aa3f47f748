//! How a client that waits for answers is kept below the limit of commands: it gets them later.
//!
//! A client has so many publishes without an answer and no more ([`MAX_IN_FLIGHT`](tidings_protocol::MAX_IN_FLIGHT)), so
//! that each answer lets it send another one. Of the commands in its bucket, those above a mark
//! ([`Limits::paced_above`](crate::Limits::paced_above)) are publishes whose answer is held back, as far as there are any:
//! so the bucket has at most that mark, what the client may have in flight, and what it does besides publishing.
//! While it leaks, it lets go of one answer for each command.

use super::{Effect, Session, send, send_err};
use std::{collections::VecDeque, sync::Arc};
use tidings_protocol::ServerFrame;
use ulid::Ulid;

/// An answer to a publish.
#[derive(Debug)]
pub(super) enum Answer {
    Accepted { request: u64, id: Ulid, offset: Option<u64> },
    Refused { request: u64, channel: Arc<str>, reason: &'static str },
}

impl Answer {
    fn send(self, effects: &mut VecDeque<Effect>) {
        match self {
            Self::Accepted { request, id, offset } => {
                send(effects, &ServerFrame::Ack { request, id: &id.to_string(), offset });
            }
            Self::Refused { request, channel, reason } => send_err(effects, &channel, reason, Some(request)),
        }
    }
}

/// Answers that are held back, in the order of publishing. Never more than commands have room in the bucket.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "most clients have none, and are to take no room for it")]
pub(super) struct Held(Option<Box<VecDeque<Answer>>>);

impl Held {
    fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |answers| answers.len())
    }

    fn push(&mut self, answer: Answer) {
        self.0.get_or_insert_default().push_back(answer);
    }

    /// Sends the first ones, until so many are left.
    pub(super) fn release(&mut self, left: usize, effects: &mut VecDeque<Effect>) {
        while self.len() > left
            && let Some(answer) = self.0.as_mut().and_then(|answers| answers.pop_front())
        {
            answer.send(effects);
        }
        if self.len() == 0 {
            self.0 = None;
        }
    }
}

impl Session {
    /// Answers a publish, behind the answers that are held back.
    pub(super) fn answer(&mut self, answer: Answer, now: u64, effects: &mut VecDeque<Effect>) {
        let hold = self.answers_to_hold(now);
        if hold == 0 && self.held.len() == 0 {
            return answer.send(effects);
        }
        self.held.push(answer);
        self.held.release(hold, effects);
        if hold > 0 {
            effects.push_back(Effect::Paced);
        }
    }

    /// Sends the answers that have been held back long enough.
    pub(super) fn release_answers(&mut self, now: u64, effects: &mut VecDeque<Effect>) {
        let hold = self.answers_to_hold(now);
        self.held.release(hold, effects);
    }

    /// When the next answer has been held back long enough; `u64::MAX` when none is.
    pub(super) fn next_answer_at(&self) -> u64 {
        let limits = &self.config.limits;
        match self.held.len() as u64 {
            0 => u64::MAX,
            held => self.commands.falls_to(limits.paced_above() + held - 1, limits.commands_per_second),
        }
    }

    /// By how much there is more in the bucket than a client of ours may be let to add to at once.
    fn answers_to_hold(&self, now: u64) -> usize {
        let limits = &self.config.limits;
        if limits.commands_per_second == 0 {
            return 0;
        }
        let level = self.commands.level(now, limits.commands_per_second);
        level.saturating_sub(limits.paced_above()) as usize
    }
}
