//! Time that does not run backwards.

/// A time that does not come.
pub(crate) const NEVER: u64 = u64::MAX;

/// Turns a wall clock into milliseconds that never go back. The wall clock is wanted, for it goes on while a
/// machine sleeps; but one that is set back by an hour must not make a timer wait for that hour.
#[derive(Debug, Default)]
pub struct Clock {
    last: u64,
    skew: u64,
}

impl Clock {
    /// The time now, `wall_ms` being what the wall clock shows.
    pub fn read(&mut self, wall_ms: u64) -> u64 {
        let now = wall_ms.saturating_add(self.skew);
        if now < self.last {
            self.skew += self.last - now;
        } else {
            self.last = now;
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_goes_on_from_where_it_was() {
        let mut clock = Clock::default();
        let read: Vec<u64> =
            [1_000, 1_500, 200, 300, 300, 10_000].into_iter().map(|wall| clock.read(wall)).collect();
        assert_eq!(read, [1_000, 1_500, 1_500, 1_600, 1_600, 11_300]);
    }
}
