//! Counting what arrives.

use std::{sync::LazyLock, time::Instant};

/// Every 16th subscriber is looked at closely.
pub(crate) const SAMPLE: usize = 16;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now() -> u64 {
    START.elapsed().as_nanos() as u64
}

/// Writes an event's data of `size` bytes: when it was sent and its number, within a JSON object.
pub(crate) fn data(size: usize, sequence: u64) -> String {
    let stamp = format!("@T{:020}S{sequence:012}", now());
    let fill = size.saturating_sub(stamp.len() + r#"{"p":""}"#.len());
    format!(r#"{{"p":"{stamp}{:x<fill$}"}}"#, "")
}

/// When the data in `message` was sent, and its number.
fn stamp(message: &[u8]) -> Option<(u64, u64)> {
    let at = memchr::memmem::find(message, b"@T")? + 2;
    let number = |from: usize, digits: usize| {
        std::str::from_utf8(message.get(at + from..at + from + digits)?).ok()?.parse().ok()
    };
    Some((number(0, 20)?, number(21, 12)?))
}

/// What all subscribers together got.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) delivered: u64,
    pub(crate) gaps: u64,
    pub(crate) duplicates: u64,
    /// Nanoseconds from publishing to delivery, of sampled subscribers.
    pub(crate) latencies: Vec<u64>,
}

impl Tally {
    /// Looks at a message closely. `next` is the number that its subscriber expects, if it expects one; a
    /// channel's numbers grow by `step`.
    pub(crate) fn note(&mut self, message: &[u8], next: &mut Option<u64>, step: u64) {
        let Some((sent, sequence)) = stamp(message) else { return };
        self.latencies.push(now().saturating_sub(sent));
        match *next {
            Some(next) if sequence > next => self.gaps += 1,
            Some(next) if sequence < next => self.duplicates += 1,
            _ => {}
        }
        *next = Some(sequence + step);
    }

    /// The latency in milliseconds that a share of the deliveries stays within; 0 when none was measured.
    pub(crate) fn within(&mut self, share: f64) -> f64 {
        let Some(last) = self.latencies.len().checked_sub(1) else { return 0.0 };
        let (_, value, _) = self.latencies.select_nth_unstable((last as f64 * share) as usize);
        *value as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_json_of_the_size_asked_for() {
        for size in [64, 128, 4_096] {
            let text = data(size, 7);
            assert_eq!(text.len(), size);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            assert_eq!(stamp(text.as_bytes()).map(|(_, sequence)| sequence), Some(7));
        }
        assert_eq!(stamp(b"@T123"), None);
    }

    #[test]
    fn what_is_missing_or_comes_twice_is_seen() {
        let mut tally = Tally::default();
        let mut next = None;
        for sequence in [3, 6, 12, 12, 15] {
            tally.note(data(64, sequence).as_bytes(), &mut next, 3);
        }
        assert_eq!((tally.gaps, tally.duplicates, tally.latencies.len()), (1, 1, 5));
        tally.latencies = (1..=100).map(|ms| ms * 1_000_000).collect();
        assert_eq!((tally.within(0.5), tally.within(0.99), tally.within(1.0)), (50.0, 99.0, 100.0));
    }
}
