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
    fn neither_the_end_of_time_nor_a_rate_of_any_size_is_a_panic() {
        for (now, per_second, burst) in [(u64::MAX, 1, 1), (u64::MAX, u32::MAX, u32::MAX), (0, u32::MAX, 1)] {
            Bucket::default().add(now, per_second, burst);
        }
    }
}
