//! How many commands a client may send: a leaky bucket in eight bytes. Without I/O.

/// What a command adds, in the bucket's unit: milliseconds times commands per second.
const COMMAND: u64 = 1_000;

/// A bucket that leaks `per_second` commands in a second and holds `burst` of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    /// When it will be empty, unless more is added.
    empty_at: u64,
}

impl Bucket {
    /// Adds a command at the time `now`, in milliseconds; whether there was room. Without room nothing is added.
    pub(crate) fn add(&mut self, now: u64, per_second: u32, burst: u32) -> bool {
        let now = now.saturating_mul(per_second.into());
        let empty_at = self.empty_at.max(now).saturating_add(COMMAND);
        let room = empty_at - now <= u64::from(burst) * COMMAND;
        if room {
            self.empty_at = empty_at;
        }
        room
    }

    /// How many commands are in it at the time `now`, the last one as a whole.
    pub(crate) fn level(&self, now: u64, per_second: u32) -> u64 {
        self.empty_at.saturating_sub(now.saturating_mul(per_second.into())).div_ceil(COMMAND)
    }

    /// When no more than `level` commands are in it, unless more are added; `per_second` is above 0.
    pub(crate) fn falls_to(&self, level: u64, per_second: u32) -> u64 {
        self.empty_at.saturating_sub(level.saturating_mul(COMMAND)).div_ceil(per_second.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `commands` at the time `now` there is room for.
    fn taken(bucket: &mut Bucket, now: u64, commands: usize) -> usize {
        (0..commands).filter(|_| bucket.add(now, 100, 512)).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = Bucket::default();
        assert_eq!(taken(&mut bucket, 7, 1_000), 512);
        assert_eq!(taken(&mut bucket, 16, 1_000), 0, "not yet");
        assert_eq!(taken(&mut bucket, 17, 1_000), 1);
        assert_eq!(taken(&mut bucket, 1_017, 1_000), 100);
        assert_eq!(taken(&mut bucket, 3_600_000, 1_000), 512, "it holds no more than that");
    }

    #[test]
    fn the_rate_may_go_on_for_ever() {
        let mut bucket = Bucket::default();
        assert_eq!(taken(&mut bucket, 0, 511), 511);
        assert!((1..100_000).all(|n| bucket.add(n * 10, 100, 512)));
        assert_eq!(taken(&mut bucket, 999_990, 3), 1, "one was left over from the burst");
    }

    #[test]
    fn it_says_how_full_it_is_and_when_it_is_less_so() {
        for per_second in [1, 3, 100, 999, 50_000] {
            let mut bucket = Bucket::default();
            let added = (0..40).filter(|n| bucket.add(7 + n % 2, per_second, 1_000)).count() as u64;
            assert!((added - 1..=added).contains(&bucket.level(8, per_second)) || per_second > 999);
            for level in 0..added {
                let at = bucket.falls_to(level, per_second);
                assert!(bucket.level(at, per_second) <= level, "{per_second} a second, {level}");
                assert!(
                    at == 0 || bucket.level(at - 1, per_second) > level,
                    "{per_second} a second, {level}"
                );
            }
        }
    }

    #[test]
    fn neither_the_end_of_time_nor_a_rate_of_any_size_is_a_panic() {
        for (now, per_second, burst) in [(u64::MAX, 1, 1), (u64::MAX, u32::MAX, u32::MAX), (0, u32::MAX, 1)] {
            let mut bucket = Bucket::default();
            bucket.add(now, per_second, burst);
            bucket.level(now, per_second);
            bucket.falls_to(u64::MAX, per_second);
        }
    }
}
