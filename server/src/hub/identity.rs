//! Who is behind a connection, and what follows when that ends before its time.

use super::State;
use crate::{Subject, Target, job::Refused, mailbox::Token, session::Session};
use std::time::SystemTime;
use tidings_protocol::CloseCode;

/// A subject that expires later, in milliseconds from now, expires then: ten years are for ever.
const FAR: u64 = 10 * 365 * 24 * 3_600 * 1_000;

impl State {
    /// It is known who is behind a connection's request; `Err` when that was refused.
    pub(super) fn identified(&mut self, token: Token, answer: Result<Option<Subject>, Refused>, now: u64) {
        let answer = match answer {
            Ok(Some(subject)) if !self.shared.admits(&subject) => Err(Refused),
            answer => answer,
        };
        self.resume(token, now, |session, effects| match answer {
            Ok(subject) => {
                let until = subject.as_ref().and_then(|subject| until(subject, now));
                session.identified(subject, until, effects);
            }
            Err(Refused) => session.unidentified(effects),
        });
        self.schedule_if_live(token);
    }

    /// It is known who is behind a token of a connection; `None` when it was refused.
    pub(super) fn authenticated(&mut self, token: Token, subject: Option<Subject>, now: u64) {
        let subject = subject.filter(|subject| self.shared.admits(subject));
        let until = subject.as_ref().and_then(|subject| until(subject, now));
        self.resume(token, now, |session, effects| session.authenticated(subject, until, effects));
        self.schedule_if_live(token);
    }

    /// An operator wants these connections closed, of those that were opened `before`.
    pub(super) fn disconnect(&mut self, target: &Target, before: u64, now: u64) {
        let meant = |session: &Session| {
            session.id().timestamp_ms() < before && target.is(session.id(), session.subject())
        };
        self.close_those(CloseCode::Disconnected, meant, now);
    }

    /// Closes the connections whose subject is revoked by now.
    pub(super) fn review(&mut self, now: u64) {
        let shared = self.shared.clone();
        let at = SystemTime::now();
        let revoked =
            |session: &Session| session.subject().is_some_and(|subject| shared.control.refuses(subject, at));
        self.close_those(CloseCode::Disconnected, revoked, now);
    }
}

/// When `subject` expires, in the hub's time.
fn until(subject: &Subject, now: u64) -> Option<u64> {
    let left = subject.expires_at()?.duration_since(SystemTime::now()).unwrap_or_default();
    Some(now + u64::try_from(left.as_millis()).unwrap_or(FAR).min(FAR))
}
