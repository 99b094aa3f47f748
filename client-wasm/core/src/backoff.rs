//! How long to wait before the next attempt to connect.

use crate::Options;

/// Where chance comes from: any function that gives numbers will do. It is no `dyn`, for a page would download what
/// calls go through when nobody knows where.
pub trait Random {
    /// A number from 0 up to but not including 1.
    fn random(&mut self) -> f64;
}

impl<F: FnMut() -> f64> Random for F {
    fn random(&mut self) -> f64 {
        self()
    }
}

/// Full jitter: a random part of a ceiling that doubles with each attempt. `attempt` counts from 1; `random` is at
/// least 0 and below 1. Nobody looks at a hidden page: it waits a part of the longest delay from the first attempt
/// on, so that pages in the background do not all call at the moment a gateway comes back.
pub(crate) fn delay_ms(options: &Options, attempt: u32, hidden: bool, random: f64) -> u64 {
    let max = options.reconnect_max_delay_ms as f64;
    let doubled =
        options.reconnect_initial_delay_ms as f64 * f64::from(1_u32 << attempt.saturating_sub(1).min(31));
    let ceiling = if hidden || doubled > max { max } else { doubled };
    (ceiling * random) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum() {
        let options = Options::default();
        for (attempt, ceiling) in [
            (0, 250),
            (1, 250),
            (2, 500),
            (3, 1_000),
            (6, 8_000),
            (7, 10_000),
            (40, 10_000),
            (u32::MAX, 10_000),
        ] {
            assert_eq!(delay_ms(&options, attempt, false, 0.5), ceiling / 2, "attempt {attempt}");
            assert_eq!(delay_ms(&options, attempt, false, 0.0), 0, "attempt {attempt}");
            assert_eq!(delay_ms(&options, attempt, true, 0.5), 5_000, "attempt {attempt}, hidden");
        }
    }

    #[test]
    fn an_initial_delay_above_the_maximum_is_cut() {
        let options =
            Options { reconnect_initial_delay_ms: 60_000, reconnect_max_delay_ms: 100, ..Options::default() };
        assert_eq!(delay_ms(&options, 1, false, 0.5), 50);
    }

    proptest! {
        #[test]
        fn never_above_the_ceiling(
            initial in 0u64..=2_147_483_647, max in 0u64..=2_147_483_647, attempt: u32, hidden: bool,
            random in 0.0f64..1.0,
        ) {
            let options = Options {
                reconnect_initial_delay_ms: initial, reconnect_max_delay_ms: max, ..Options::default()
            };
            prop_assert!(delay_ms(&options, attempt, hidden, random) <= max);
        }
    }
}
