//! Whether the gateway is still there.

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
    /// From `welcome`, when the gateway promises to be heard.
    keepalive: Option<u64>,
    probe: Option<u64>,
}

/// Why a silent connection is taken for dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    Keepalive,
    Probe,
}

impl Liveness {
    pub(crate) fn new(now: u64, keepalive_ms: Option<u64>) -> Self {
        Self { heard: now, untimed: false, keepalive: keepalive_ms.filter(|&ms| ms > 0), probe: None }
    }

    /// Anything that was received is a sign of life.
    pub(crate) fn hear(&mut self, now: u64) {
        self.heard = now;
        self.untimed = false;
        self.probe = None;
    }

    /// The same without a look at the clock, which the next timer has: it is wanted a quarter of the interval after
    /// what was heard with one, so that silence is noticed by so much too late at most.
    pub(crate) fn hear_untimed(&mut self) {
        self.untimed = true;
        self.probe = None;
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
        self.probe.get_or_insert(now + PROBE_MS);
    }

    /// By when something must be heard. A probe comes before the keepalive interval: after a sleep that one is
    /// over, while what was received meanwhile may not have been seen yet.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.probe.or_else(|| {
            let interval = self.keepalive?.saturating_add(KEEPALIVE_GRACE_MS);
            Some(self.heard.saturating_add(if self.untimed { interval / 4 } else { interval }))
        })
    }

    pub(crate) fn silence(&self, now: u64) -> Option<Silence> {
        self.deadline().filter(|&deadline| deadline <= now)?;
        Some(if self.probe.is_some() { Silence::Probe } else { Silence::Keepalive })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_without_keepalive_is_never_taken_for_dead() {
        for keepalive in [None, Some(0)] {
            assert_eq!(Liveness::new(0, keepalive).deadline(), None);
        }
    }

    #[test]
    fn silence_for_the_interval_and_ten_seconds_is_death() {
        let mut liveness = Liveness::new(1_000, Some(30_000));
        assert_eq!(liveness.deadline(), Some(41_000));
        assert_eq!(liveness.silence(40_999), None);
        assert_eq!(liveness.silence(41_000), Some(Silence::Keepalive));
        liveness.hear(41_000);
        assert_eq!(liveness.silence(41_000), None);
        assert_eq!(liveness.deadline(), Some(81_000));
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
        assert_eq!(liveness.deadline(), Some(11_000));
        liveness.time(11_000);
        assert_eq!((liveness.silence(11_000), liveness.deadline()), (None, Some(51_000)));
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
    fn an_interval_beyond_all_time_does_not_overflow() {
        assert_eq!(Liveness::new(u64::MAX, Some(u64::MAX)).deadline(), Some(u64::MAX));
    }
}
