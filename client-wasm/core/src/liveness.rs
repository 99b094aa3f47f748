//! Whether the gateway is still there.

use crate::clock::NEVER;
use tidings_protocol::KEEPALIVE_GRACE_MS;

/// How long a probe may go unanswered before the connection is replaced, in milliseconds.
pub const PROBE_MS: u64 = 2_000;

/// A timer that fires this much too late tells that the machine slept, in milliseconds.
pub const LATE_MS: u64 = 5_000;

/// What was heard, and by when something must be.
#[derive(Debug)]
pub(crate) struct Liveness {
    heard: u64,
    /// Something was heard since, and nobody has looked at the clock.
    untimed: bool,
    /// How long the gateway is silent at the most; 0 when it promises nothing.
    interval: u64,
    /// When a probe has to be answered, or [`NEVER`].
    probe: u64,
}

/// Why a silent connection is taken for dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    Keepalive,
    Probe,
}

impl Liveness {
    pub(crate) fn new(now: u64, keepalive_ms: Option<u64>) -> Self {
        let keepalive = keepalive_ms.unwrap_or(0);
        let interval = if keepalive > 0 { keepalive + KEEPALIVE_GRACE_MS } else { 0 };
        Self { heard: now, untimed: false, interval, probe: NEVER }
    }

    /// Anything that was received is a sign of life.
    pub(crate) fn hear(&mut self, now: u64) {
        self.heard = now;
        self.untimed = false;
        self.probe = NEVER;
    }

    /// The same without a look at the clock, which the next timer has: it is wanted a quarter of the interval after
    /// what was heard with one, so that silence is noticed by so much too late at most.
    pub(crate) fn hear_untimed(&mut self) {
        self.untimed = true;
        self.probe = NEVER;
    }

    /// Somebody has looked at the clock: what was heard without it counts as heard now.
    pub(crate) fn time(&mut self, now: u64) {
        if std::mem::take(&mut self.untimed) {
            self.heard = now;
        }
    }

    /// Something must be heard within [`PROBE_MS`]. A probe under way is not prolonged.
    pub(crate) fn probe(&mut self, now: u64) {
        self.time(now);
        self.probe = self.probe.min(now + PROBE_MS);
    }

    /// By when something must be heard, or [`NEVER`]. A probe comes before the keepalive interval: after a sleep that one
    /// is over, while what was received meanwhile may not have been seen yet.
    pub(crate) fn deadline(&self) -> u64 {
        if self.probe != NEVER || self.interval == 0 {
            return self.probe;
        }
        self.heard + if self.untimed { self.interval / 4 } else { self.interval }
    }

    pub(crate) fn silence(&self, now: u64) -> Option<Silence> {
        if self.deadline() > now {
            return None;
        }
        Some(if self.probe == NEVER { Silence::Keepalive } else { Silence::Probe })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_without_keepalive_is_never_taken_for_dead() {
        for keepalive in [None, Some(0)] {
            assert_eq!(Liveness::new(0, keepalive).deadline(), NEVER);
        }
    }

    #[test]
    fn silence_for_the_interval_and_ten_seconds_is_death() {
        let mut liveness = Liveness::new(1_000, Some(30_000));
        assert_eq!(liveness.deadline(), 41_000);
        assert_eq!(liveness.silence(40_999), None);
        assert_eq!(liveness.silence(41_000), Some(Silence::Keepalive));
        liveness.hear(41_000);
        assert_eq!(liveness.silence(41_000), None);
        assert_eq!(liveness.deadline(), 81_000);
    }

    #[test]
    fn a_probe_takes_two_seconds_and_any_sign_of_life_ends_it() {
        let mut liveness = Liveness::new(0, Some(1_000));
        liveness.probe(50_000);
        liveness.probe(51_000);
        assert_eq!(liveness.silence(51_999), None);
        assert_eq!(liveness.silence(52_000), Some(Silence::Probe));
        liveness.hear(51_999);
        assert_eq!(liveness.silence(52_000), None);
    }

    #[test]
    fn what_is_heard_without_a_clock_counts_from_the_next_timer() {
        let mut liveness = Liveness::new(1_000, Some(30_000));
        liveness.probe(2_000);
        liveness.hear_untimed();
        assert_eq!(liveness.deadline(), 11_000);
        liveness.time(11_000);
        assert_eq!((liveness.silence(11_000), liveness.deadline()), (None, 51_000));
        liveness.time(51_000);
        assert_eq!(liveness.silence(51_000), Some(Silence::Keepalive));
    }

    #[test]
    fn what_was_heard_before_a_probe_does_not_answer_it() {
        let mut liveness = Liveness::new(1_000, Some(30_000));
        liveness.hear_untimed();
        liveness.probe(5_000);
        liveness.time(7_000);
        assert_eq!(liveness.silence(7_000), Some(Silence::Probe));
        liveness.hear_untimed();
        liveness.time(7_001);
        assert_eq!(liveness.silence(7_001), None);
    }

    #[test]
    fn the_longest_interval_on_the_wire_does_not_overflow() {
        let longest = tidings_protocol::MAX_INTEGER;
        assert_eq!(Liveness::new(longest, Some(longest)).deadline(), 2 * longest + KEEPALIVE_GRACE_MS);
    }
}
