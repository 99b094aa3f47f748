//! How long a driver waits before it connects again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits between attempts that double from 50 ms to 5 s, each shortened by up to half, so that gateways that lost their
/// backplane together do not come back together.
#[derive(Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// How long to wait before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let longest = FIRST.saturating_mul(1 << self.attempts.min(10)).min(LONGEST);
        self.attempts += 1;
        longest.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// After an attempt that succeeded.
    #[cfg(feature = "postgres")]
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_seconds() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..40).map(|_| backoff.next()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST);
        assert!(waits[20..].iter().all(|wait| *wait >= LONGEST / 2 && *wait <= LONGEST));
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn success_begins_anew() {
        let mut backoff = Backoff { attempts: 40 };
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
