//! What the gateway counts outside of its hubs: all of it rarer than deliveries.

use super::{Histogram, Tally};
use crate::{Authorization, BoxError};
use actix_web::http::header::HeaderValue;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use ulid::Ulid;

/// Why a client was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Closing,
    Full,
    Origin,
    Address,
    Pace,
}

impl Refusal {
    pub(super) const ALL: [Self; 5] = [Self::Closing, Self::Full, Self::Origin, Self::Address, Self::Pace];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Closing => "closing",
            Self::Full => "full",
            Self::Origin => "origin",
            Self::Address => "address",
            Self::Pace => "pace",
        }
    }

    /// What the client is told.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::Closing => "the gateway is closing",
            Self::Full => "the gateway has as many connections as it may",
            Self::Origin => {
                "this page's origin is not allowed: only pages of the gateway's own host and allowed origins are"
            }
            Self::Address => "the gateway has as many connections from this address as it may",
            Self::Pace => "the gateway takes no more new connections in this second",
        }
    }
}

/// Who published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A client, by its connection.
    Client,
    /// The application or the HTTP API.
    Backend,
}

impl Source {
    pub(super) const ALL: [Self; 2] = [Self::Client, Self::Backend];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
        }
    }
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    /// The authorizer, or the publish gate, said no.
    Denied,
    /// The backplane, or the authorizer, could not.
    Failed,
    Invalid,
}

impl Outcome {
    pub(super) const ALL: [Self; 4] = [Self::Accepted, Self::Denied, Self::Failed, Self::Invalid];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
        }
    }
}

/// What an authorizer answered.
pub(super) const ANSWERS: [&str; 3] = ["allowed", "denied", "failed"];

/// A limit that may only be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    Commands,
    Address,
}

impl Watched {
    pub(super) const ALL: [Self; 2] = [Self::Commands, Self::Address];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Address => "address",
        }
    }
}

/// What may come thousands of times a second is logged at most once in this time.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// As much of an origin as a line of the log has.
const ORIGIN_BYTES: usize = 100;

/// Says when a line may be logged again.
#[derive(Debug, Default)]
struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock();
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= LOG_EVERY);
        if due {
            *last = Some(now);
        }
        due
    }
}

/// An event whose id says that it is older, or by more than [`SKEW`] younger, has the id of another program, of which
/// the time is no part.
const OLDEST: u64 = 3_600_000;

/// How far the clocks of two machines may be apart, in milliseconds.
const SKEW: u64 = 60_000;

/// The gateway's numbers.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) hubs: Mutex<Vec<Arc<Tally>>>,
    pub(super) refused: [AtomicU64; Refusal::ALL.len()],
    pub(super) publishes: [[AtomicU64; Outcome::ALL.len()]; Source::ALL.len()],
    /// How long the backplane took to accept or refuse an event.
    pub(super) publish_time: Histogram,
    pub(super) authorizations: [Histogram; ANSWERS.len()],
    /// Event streams at this moment.
    pub(super) streams: AtomicU64,
    pub(super) gaps: AtomicU64,
    /// How old events were when the backplane handed them to this gateway.
    pub(super) lag: Histogram,
    pub(super) excess: [AtomicU64; Watched::ALL.len()],
    refusal_lines: [Seldom; Refusal::ALL.len()],
    excess_lines: [Seldom; Watched::ALL.len()],
}

impl Counters {
    /// The numbers of a hub that begins. They stay when it ends, so that no sum goes back.
    pub(crate) fn hub(&self) -> Arc<Tally> {
        let tally = Arc::<Tally>::default();
        self.hubs.lock().push(tally.clone());
        tally
    }

    /// A client was not let in, from a page of `origin` if from any. Whoever runs the gateway is told, for a browser
    /// tells its page nothing of it.
    pub(crate) fn refused(&self, refusal: Refusal, origin: Option<&HeaderValue>) {
        let count = 1 + self.refused[refusal as usize].fetch_add(1, Relaxed);
        if refusal != Refusal::Closing && self.refusal_lines[refusal as usize].is_due(Instant::now()) {
            let origin =
                origin.filter(|_| refusal == Refusal::Origin).and_then(|origin| origin.to_str().ok());
            let origin = origin.map(|origin| origin.get(..ORIGIN_BYTES).unwrap_or(origin));
            tracing::warn!(origin, count, why = refusal.detail(), "clients are not let in");
        }
    }

    pub(crate) fn published(&self, source: Source, outcome: Outcome) {
        self.publishes[source as usize][outcome as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn took_to_publish(&self, time: Duration) {
        self.publish_time.observe(time);
    }

    pub(crate) fn authorized(&self, answer: &Result<Authorization, BoxError>, time: Duration) {
        let at = match answer {
            Ok(Authorization { authorized: true, .. }) => 0,
            Ok(_) => 1,
            Err(_) => 2,
        };
        self.authorizations[at].observe(time);
    }

    pub(crate) fn gap(&self) {
        self.gaps.fetch_add(1, Relaxed);
    }

    /// An event comes from the backplane.
    pub(crate) fn arrived(&self, id: Ulid) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let published = id.timestamp_ms();
        if published <= now.saturating_add(SKEW) && now.saturating_sub(published) <= OLDEST {
            self.lag.observe(Duration::from_millis(now.saturating_sub(published)));
        }
    }

    /// Something was above a limit that is only watched.
    pub(crate) fn exceeded(&self, limit: Watched) {
        let count = 1 + self.excess[limit as usize].fetch_add(1, Relaxed);
        if self.excess_lines[limit as usize].is_due(Instant::now()) {
            tracing::warn!(limit = limit.label(), count, "a limit that is only watched was exceeded");
        }
    }

    /// An event stream that is open until the answer is dropped.
    pub(crate) fn stream(self: &Arc<Self>) -> OpenStream {
        self.streams.fetch_add(1, Relaxed);
        OpenStream(self.clone())
    }
}

/// Counts an event stream as long as it lives.
#[derive(Debug)]
pub(crate) struct OpenStream(Arc<Counters>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_where_their_numbers_are() {
        assert!(Refusal::ALL.iter().enumerate().all(|(at, refusal)| *refusal as usize == at));
        assert!(Source::ALL.iter().enumerate().all(|(at, source)| *source as usize == at));
        assert!(Outcome::ALL.iter().enumerate().all(|(at, outcome)| *outcome as usize == at));
        assert!(Watched::ALL.iter().enumerate().all(|(at, limit)| *limit as usize == at));
    }

    #[test]
    fn a_line_is_due_once_in_a_minute() {
        let (line, start) = (Seldom::default(), Instant::now());
        let due = [0, 0, 59_999, 60_000, 60_001].map(|ms| line.is_due(start + Duration::from_millis(ms)));
        assert_eq!(due, [true, false, false, true, false]);
    }

    #[test]
    fn only_an_id_with_a_time_tells_how_old_an_event_is() {
        let counters = Counters::default();
        let now = Ulid::generate().timestamp_ms();
        let seen = || counters.lag.count();
        for (time, counts) in
            [(now, true), (now - 60_000, true), (now + 1_000, true), (0, false), (1 << 47, false)]
        {
            let before = seen();
            counters.arrived(Ulid::from_parts(time, 1));
            assert_eq!(seen() > before, counts, "{time}");
        }
    }
}
