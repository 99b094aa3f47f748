//! How long things took, in buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The upper ends of the buckets, in seconds: from what memory takes to where somebody has given up.
pub(super) const BOUNDS: [&str; 15] = [
    "0.0001", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1",
    "2.5", "5", "10",
];

/// The same in microseconds.
const MICROSECONDS: [u64; BOUNDS.len()] = [
    100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// Times, of which only the number in each bucket and the sum are kept.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// What is longer than the last bound comes last.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, time: Duration) {
        let bucket = MICROSECONDS.partition_point(|bound| u128::from(*bound) * 1_000 < time.as_nanos());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }
}

/// What several histograms hold together.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// How many times were as long as each bound or shorter, and at the end how many there were.
    pub(super) up_to: [u64; BOUNDS.len() + 1],
    pub(super) seconds: f64,
}

impl<'a> FromIterator<&'a Histogram> for Sum {
    fn from_iter<I: IntoIterator<Item = &'a Histogram>>(histograms: I) -> Self {
        let mut sum = Self::default();
        for histogram in histograms {
            let mut before = 0;
            for (up_to, bucket) in sum.up_to.iter_mut().zip(&histogram.buckets) {
                before += bucket.load(Relaxed);
                *up_to += before;
            }
            sum.seconds += Duration::from_nanos(histogram.nanoseconds.load(Relaxed)).as_secs_f64();
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_every_bucket_that_it_fits_in() {
        let (one, other) = (Histogram::default(), Histogram::default());
        for micros in [0, 100, 101, 9_999_999] {
            one.observe(Duration::from_micros(micros));
        }
        other.observe(Duration::from_secs(60));
        other.observe(Duration::from_nanos(100_001));
        let sum: Sum = [&one, &other].into_iter().collect();
        assert_eq!(sum.up_to[..3], [2, 4, 4]);
        assert_eq!(sum.up_to[BOUNDS.len() - 2..], [4, 5, 6]);
        assert!((sum.seconds - 70.000_300_001).abs() < 1e-6, "{}", sum.seconds);
    }

    #[test]
    fn the_bounds_are_said_as_they_are() {
        for (text, micros) in BOUNDS.iter().zip(MICROSECONDS) {
            let seconds: f64 = text.parse().expect("a number");
            assert_eq!((seconds * 1e6).round() as u64, micros);
        }
    }
}
