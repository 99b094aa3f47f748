//! What was measured, round by round.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{contestant::Contestant, workload::Workload};

/// What the load says, by name.
pub(super) type Measurement = BTreeMap<String, f64>;

#[derive(Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) facts: Vec<(String, String)>,
    missing: BTreeMap<String, String>,
    /// By [`key`].
    rounds: Vec<BTreeMap<String, Measurement>>,
}

/// One case of a workload, with one server.
pub(super) fn key(workload: Workload, contestant: Contestant, case: &str) -> String {
    format!("{}/{}/{case}", workload.name(), contestant.name())
}

/// One figure of a case.
#[derive(Clone, Copy)]
pub(super) struct Figure<'a> {
    pub(super) workload: Workload,
    pub(super) case: &'a str,
    pub(super) field: &'a str,
}

impl Results {
    pub(super) fn new(facts: Vec<(String, String)>) -> Self {
        Self { facts, missing: BTreeMap::new(), rounds: Vec::new() }
    }

    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("understanding {}", path.display()))
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("writing {}", path.display()))
    }

    pub(super) fn add_fact(&mut self, name: &str, value: &str) {
        self.facts.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn miss(&mut self, contestant: Contestant, reason: &str) {
        self.missing.insert(contestant.name().to_owned(), reason.to_owned());
    }

    pub(super) fn add(&mut self, round: BTreeMap<String, Measurement>) {
        self.rounds.push(round);
    }

    pub(super) fn rounds(&self) -> usize {
        self.rounds.len()
    }

    /// Why a server was not measured.
    pub(super) fn missing(&self, contestant: Contestant) -> Option<&str> {
        self.missing.get(contestant.name()).map(String::as_str)
    }

    /// The median over the rounds.
    pub(super) fn median(&self, figure: Figure<'_>, contestant: Contestant) -> Option<f64> {
        median((0..self.rounds()).filter_map(|round| self.value(round, figure, contestant)))
    }

    /// The largest over the rounds.
    pub(super) fn worst(&self, figure: Figure<'_>, contestant: Contestant) -> Option<f64> {
        (0..self.rounds()).filter_map(|round| self.value(round, figure, contestant)).reduce(f64::max)
    }

    /// The median of the ratios of the rounds: `contestant` to `other`.
    pub(super) fn ratio(&self, figure: Figure<'_>, contestant: Contestant, other: Contestant) -> Option<f64> {
        self.ratio_of((figure, contestant), (figure, other))
    }

    /// The same of two figures.
    pub(super) fn ratio_of(
        &self,
        (figure, contestant): (Figure<'_>, Contestant),
        (base, other): (Figure<'_>, Contestant),
    ) -> Option<f64> {
        median((0..self.rounds()).filter_map(|round| {
            Some(self.value(round, figure, contestant)? / self.value(round, base, other)?)
        }))
    }

    fn value(&self, round: usize, figure: Figure<'_>, contestant: Contestant) -> Option<f64> {
        let measurement = self.rounds[round].get(&key(figure.workload, contestant, figure.case))?;
        // After standing still there is nothing to say about speed.
        let whole = measurement.get("stood_still").is_none_or(|stood| *stood == 0.0);
        measurement.get(figure.field).copied().filter(|value| value.is_finite() && whole)
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_compare_within_a_round() {
        let figure = Figure { workload: Workload::Single, case: "", field: "cpu_us" };
        let mut results = Results::new(Vec::new());
        for (floor, ours) in [(1.0, 2.0), (10.0, 10.0), (2.0, 3.0)] {
            let entry = |contestant, value| {
                (key(Workload::Single, contestant, ""), Measurement::from([("cpu_us".to_owned(), value)]))
            };
            results.add([entry(Contestant::Floor, floor), entry(Contestant::Tidings, ours)].into());
        }
        assert_eq!(results.median(figure, Contestant::Tidings), Some(3.0));
        assert_eq!(results.worst(figure, Contestant::Tidings), Some(10.0));
        assert_eq!(results.ratio(figure, Contestant::Tidings, Contestant::Floor), Some(1.5));
        assert_eq!(results.median(figure, Contestant::Bun), None);
    }

    #[test]
    fn the_median_of_two_lies_between_them() {
        assert_eq!(median([3.0, 1.0].into_iter()), Some(2.0));
        assert_eq!(median([].into_iter()), None);
    }
}
