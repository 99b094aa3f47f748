//! Which users and tokens are refused before their time is over. Without I/O, and without a clock.

use crate::Subject;
use ahash::RandomState;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tracing::warn;

/// How many are remembered.
const MOST: usize = 10_000;

/// The longest id of a user or a token, in bytes.
const MAX_ID: usize = 256;

/// For how long a user's revocation is remembered: longer than tokens should live.
const USERS_FOR: Duration = Duration::from_secs(31 * 24 * 3_600);

/// What nobody has said for so long is said again. See [`crate::control`].
const SAID_FOR: Duration = Duration::from_secs(120);

/// About how many bytes of revocations are in one event: every backplane takes that.
const EVENT_BYTES: usize = 48 * 1024;

/// Whom [`Gateway::revoke`](crate::Gateway::revoke) locks out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// A user, as far as it is known by what was issued before some time. Remembered for 31 days: tokens should not live
    /// longer. Tokens say in whole seconds when they were issued, so one of the very second of `issued_before` may be
    /// refused as well.
    User {
        /// The subject's id.
        id: Arc<str>,
        /// A subject whose [`issued_at`](Subject::issued_at) is this or later is let in. One without it never is.
        issued_before: SystemTime,
    },
    /// One token.
    Token {
        /// Its [`token_id`](Subject::token_id).
        id: Arc<str>,
        /// When it can be forgotten: when the token expires.
        until: SystemTime,
    },
}

/// A revocation as gateways tell it each other. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// What was issued before is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<u64>,
    until: u64,
}

impl Record {
    /// The record of a revocation that is made now; or what is wrong with it.
    pub(crate) fn new(revocation: &Revocation, now: SystemTime) -> Result<Self, String> {
        match revocation {
            Revocation::User { id, issued_before } => {
                check_id("user", id)?;
                let (before, until) = (Some(millis(*issued_before)), millis(now + USERS_FOR));
                Ok(Self { user: Some(id.to_string()), before, until, ..Self::default() })
            }
            Revocation::Token { id, until } => {
                check_id("token", id)?;
                if *until <= now {
                    return Err("invalid until: it is over, allowed is a time to come".to_owned());
                }
                Ok(Self { token: Some(id.to_string()), until: millis(*until), ..Self::default() })
            }
        }
    }

    /// The records as JSON arrays, each small enough for one event.
    pub(crate) fn batches(records: &[Self]) -> Vec<String> {
        let mut batches: Vec<String> = Vec::new();
        for record in records {
            let text = serde_json::to_string(record).expect("texts and numbers are JSON");
            match batches.last_mut() {
                Some(batch) if batch.len() + text.len() < EVENT_BYTES => {
                    batch.push(',');
                    batch.push_str(&text);
                }
                _ => batches.push(format!("[{text}")),
            }
        }
        batches.iter_mut().for_each(|batch| batch.push(']'));
        batches
    }
}

/// Whether `id` can be an id of `what`; if not, why.
pub(crate) fn check_id(what: &str, id: &str) -> Result<(), String> {
    if (1..=MAX_ID).contains(&id.len()) {
        return Ok(());
    }
    Err(format!("invalid {what} of {} bytes: allowed are 1 to {MAX_ID}", id.len()))
}

/// Milliseconds since 1970.
fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(since).unwrap_or(u64::MAX)
}

/// The revocations in force.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    users: Entries,
    tokens: Entries,
}

type Entries = HashMap<Box<str>, Entry, RandomState>;

#[derive(Debug)]
struct Entry {
    before: u64,
    until: u64,
    /// When a gateway has said it last; `None` when it was found in the past.
    said_at: Option<Instant>,
}

impl Revocations {
    /// Whether `subject` is locked out.
    pub(crate) fn refuses(&self, subject: &Subject, now: SystemTime) -> bool {
        let now = millis(now);
        let of_token = subject.token_id().and_then(|id| self.tokens.get(id));
        let of_user = self.users.get(subject.id());
        let older = |before: u64| subject.issued_at().is_none_or(|at| millis(at) < before);
        of_token.is_some_and(|entry| entry.until > now)
            || of_user.is_some_and(|entry| entry.until > now && older(entry.before))
    }

    /// Whether there is no room for another one.
    pub(crate) fn is_full(&mut self, now: SystemTime) -> bool {
        if self.users.len() + self.tokens.len() >= MOST {
            self.forget(now);
        }
        self.users.len() + self.tokens.len() >= MOST
    }

    /// Takes in a revocation that was said at `said_at`, or found in the past; whether it is news.
    pub(crate) fn learn(&mut self, record: Record, now: SystemTime, said_at: Option<Instant>) -> bool {
        let Record { user, token, before, until } = record;
        let (id, of_user) = match (user, token) {
            (Some(id), None) => (id, true),
            (None, Some(id)) => (id, false),
            // Of a gateway that knows more than this one.
            _ => return false,
        };
        if check_id("", &id).is_err() || until <= millis(now) {
            return false;
        }
        let before = before.unwrap_or(u64::MAX);
        let entries = if of_user { &mut self.users } else { &mut self.tokens };
        if let Some(entry) = entries.get_mut(&*id) {
            let news = entry.before < before || entry.until < until;
            entry.before = entry.before.max(before);
            entry.until = entry.until.max(until);
            entry.said_at = entry.said_at.max(said_at);
            return news;
        }
        if self.is_full(now) {
            self.forget_the_first();
        }
        let entries = if of_user { &mut self.users } else { &mut self.tokens };
        entries.insert(id.into(), Entry { before, until, said_at });
        true
    }

    /// What has to be said again, by whoever finds out first.
    pub(crate) fn due(&mut self, now: SystemTime, at: Instant) -> Vec<Record> {
        self.forget(now);
        let due = |entry: &Entry| {
            entry.said_at.is_none_or(|said_at| at.saturating_duration_since(said_at) >= SAID_FOR)
        };
        let users = self.users.iter().filter(|(_, entry)| due(entry)).map(|(id, entry)| Record {
            user: Some(id.to_string()),
            before: Some(entry.before),
            until: entry.until,
            ..Record::default()
        });
        let tokens = self.tokens.iter().filter(|(_, entry)| due(entry)).map(|(id, entry)| Record {
            token: Some(id.to_string()),
            until: entry.until,
            ..Record::default()
        });
        users.chain(tokens).collect()
    }

    fn forget(&mut self, now: SystemTime) {
        let now = millis(now);
        self.users.retain(|_, entry| entry.until > now);
        self.tokens.retain(|_, entry| entry.until > now);
    }

    fn forget_the_first(&mut self) {
        let first = |entries: &Entries| {
            let first = entries.iter().min_by_key(|(_, entry)| entry.until);
            first.map(|(id, entry)| (entry.until, id.clone()))
        };
        match (first(&self.users), first(&self.tokens)) {
            (Some((user_until, id)), token)
                if token.as_ref().is_none_or(|(until, _)| user_until < *until) =>
            {
                self.users.remove(&id);
            }
            (_, Some((_, id))) => drop(self.tokens.remove(&id)),
            _ => {}
        }
        warn!(most = MOST, "more revocations are in force than are remembered: one is forgotten");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_790_000_000)
    }

    fn ann() -> Subject {
        Subject::new("ann").with_token_id("t1")
    }

    fn token(id: &str, until: SystemTime) -> Record {
        Record::new(&Revocation::Token { id: id.into(), until }, now()).expect("a token")
    }

    fn user(id: &str, issued_before: SystemTime) -> Record {
        Record::new(&Revocation::User { id: id.into(), issued_before }, now()).expect("a user")
    }

    fn learn(revocations: &mut Revocations, record: Record) -> bool {
        revocations.learn(record, now(), None)
    }

    #[test]
    fn a_token_is_refused_until_it_would_have_expired() {
        let mut revocations = Revocations::default();
        assert!(!revocations.refuses(&ann(), now()));
        assert!(learn(&mut revocations, token("t1", now() + DAY)));
        assert!(!learn(&mut revocations, token("t1", now() + DAY / 2)), "nothing new");
        assert!(revocations.refuses(&ann(), now() + DAY / 2));
        assert!(!revocations.refuses(&ann(), now() + DAY));
        assert!(!revocations.refuses(&Subject::new("t1"), now()));
        assert!(!revocations.refuses(&Subject::new("ann").with_token_id("t2"), now()));
        assert!(learn(&mut revocations, token("t1", now() + 2 * DAY)));
        assert!(revocations.refuses(&ann(), now() + DAY));
    }

    #[test]
    fn a_user_is_refused_by_what_was_issued_before() {
        let mut revocations = Revocations::default();
        assert!(learn(&mut revocations, user("ann", now())));
        let issued = |at: SystemTime| ann().with_issued_at(at);
        let moment = Duration::from_millis(1);
        for (subject, refused) in [
            (ann(), true),
            (issued(now() - moment), true),
            (issued(now()), false),
            (issued(now() + DAY), false),
            (Subject::new("bob"), false),
        ] {
            assert_eq!(revocations.refuses(&subject, now()), refused, "{:?}", subject.issued_at());
        }
        assert!(learn(&mut revocations, user("ann", now() + moment)));
        assert!(!learn(&mut revocations, user("ann", now())));
        assert!(revocations.refuses(&issued(now()), now()));
        assert!(!revocations.refuses(&ann(), now() + 31 * DAY));
    }

    #[test]
    fn what_is_said_is_said_again_before_it_is_forgotten() {
        let mut revocations = Revocations::default();
        let at = Instant::now();
        assert!(revocations.learn(token("t1", now() + DAY), now(), Some(at)));
        assert!(revocations.learn(user("ann", now()), now(), None));
        assert_eq!(revocations.due(now(), at), [user("ann", now())], "found in the past");
        assert!(!revocations.learn(user("ann", now()), now(), Some(at)));
        assert_eq!(revocations.due(now(), at + SAID_FOR - Duration::from_secs(1)), []);
        assert_eq!(revocations.due(now(), at + SAID_FOR).len(), 2);
        assert_eq!(revocations.due(now() + DAY, at + SAID_FOR), [user("ann", now())]);
        assert!(!revocations.learn(token("t2", now() + DAY), now() + DAY, None), "over");
    }

    #[test]
    fn those_that_end_first_are_forgotten_first() {
        let mut revocations = Revocations::default();
        for n in 0..MOST {
            let until = now() + DAY + Duration::from_secs(n as u64);
            assert!(learn(&mut revocations, token(&n.to_string(), until)));
        }
        assert!(revocations.is_full(now()));
        let refuses = |revocations: &Revocations, id: &str| {
            revocations.refuses(&Subject::new("x").with_token_id(id), now())
        };
        assert!(refuses(&revocations, "0"));
        assert!(learn(&mut revocations, user("ann", now())));
        assert_eq!(["0", "1"].map(|id| refuses(&revocations, id)), [false, true]);
        assert!(learn(&mut revocations, token("soon", now() + DAY / 2)));
        assert!(learn(&mut revocations, user("bob", now())));
        assert_eq!(["soon", "1", "2"].map(|id| refuses(&revocations, id)), [false, false, true]);
        assert_eq!(revocations.users.len() + revocations.tokens.len(), MOST);
        assert!(!revocations.is_full(now() + DAY + Duration::from_secs(10)));
    }

    #[test]
    fn what_cannot_be_revoked_is_named() {
        let long = "x".repeat(257);
        for (revocation, names) in [
            (Revocation::Token { id: "t".into(), until: now() }, "until"),
            (Revocation::Token { id: "".into(), until: now() + DAY }, "token"),
            (Revocation::User { id: (&*long).into(), issued_before: now() }, "user"),
        ] {
            let refusal = Record::new(&revocation, now()).expect_err("invalid");
            assert!(refusal.contains(names) && refusal.contains("allowed"), "{refusal}");
        }
        let mut revocations = Revocations::default();
        for strange in [r#"{"until":1790000001000}"#, r#"{"token":"","until":1790000001000}"#] {
            assert!(!learn(&mut revocations, serde_json::from_str(strange).expect("a record")), "{strange}");
        }
        let both = r#"{"token":"a","user":"b","until":1790000001000}"#;
        assert!(!learn(&mut revocations, serde_json::from_str(both).expect("a record")));
    }

    #[test]
    fn many_are_told_in_events_of_a_fair_size() {
        let id = |n: u64| format!("{n:0>200}");
        let records: Vec<_> = (0..1_000).map(|n| token(&id(n), now() + DAY)).collect();
        let batches = Record::batches(&records);
        assert!(batches.len() > 1 && batches.iter().all(|batch| batch.len() <= EVENT_BYTES));
        let read: Vec<Record> = batches
            .iter()
            .flat_map(|batch| serde_json::from_str::<Vec<Record>>(batch).expect("an array"))
            .collect();
        assert_eq!(read, records);
        assert!(Record::batches(&[]).is_empty());
    }
}
