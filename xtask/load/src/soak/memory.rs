//! A server's memory over time.

/// How much more the last third of a run may take than the first one.
const GROWTH: f64 = 0.1;

/// Of which so many KiB are noise.
const NOISE_KB: f64 = 4.0 * 1024.0;

/// Samples in KiB, at an even pace.
#[derive(Default)]
pub(crate) struct Memory(Vec<f64>);

impl Memory {
    pub(crate) fn note(&mut self, kb: f64) {
        self.0.push(kb);
    }

    /// The mean of the first and the last third.
    pub(crate) fn thirds(&self) -> (f64, f64) {
        let third = self.0.len().div_ceil(3);
        let mean = |samples: &[f64]| samples.iter().sum::<f64>() / samples.len().max(1) as f64;
        (mean(&self.0[..third]), mean(&self.0[self.0.len() - third..]))
    }

    pub(crate) fn is_flat(&self) -> bool {
        let (first, last) = self.thirds();
        last <= first * (1.0 + GROWTH) + NOISE_KB
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(sample: impl Fn(usize) -> f64) -> Memory {
        Memory((0..90).map(sample).collect())
    }

    #[test]
    fn what_goes_up_and_down_is_flat_and_what_only_goes_up_is_not() {
        let saw = memory(|n| 100_000.0 + (n % 10) as f64 * 5_000.0);
        assert!(saw.is_flat());
        assert_eq!(memory(|n| n as f64).thirds(), (14.5, 74.5));
        assert!(!memory(|n| 100_000.0 + n as f64 * 500.0).is_flat());
        assert!(memory(|n| 100_000.0 - n as f64 * 500.0).is_flat());
    }
}
