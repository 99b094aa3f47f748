//! Prometheus' text format, version 0.0.4.

use super::histogram::{BOUNDS, Sum};
use std::fmt::{Display, Write};

/// Metrics as text.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

/// A metric that is being written. No name, help or label of ours has anything in it that would have to be escaped.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Exposition {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// A number that only grows.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// Times.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let text = &mut self.text;
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { text, name }
    }
}

impl Family<'_> {
    /// One value, by its labels.
    pub(super) fn put(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, value);
    }

    /// Each of `values`, by its value of the one label.
    pub(super) fn each<'l>(&mut self, label: &str, values: impl IntoIterator<Item = (&'l str, u64)>) {
        for (of_label, value) in values {
            self.put(&[(label, of_label)], value);
        }
    }

    /// A histogram's values, by its labels.
    pub(super) fn times(&mut self, labels: &[(&str, &str)], sum: &Sum) {
        let bounds = BOUNDS.into_iter().chain(["+Inf"]);
        for (bound, count) in bounds.zip(sum.up_to) {
            self.line("_bucket", &[labels, &[("le", bound)]].concat(), count);
        }
        self.line("_sum", labels, sum.seconds);
        self.line("_count", labels, sum.up_to[BOUNDS.len()]);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let (mut before, after) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        for (label, value) in labels {
            self.text.push_str(&format!("{before}{label}=\"{value}\""));
            before = ",";
        }
        writeln!(self.text, "{after} {value}").expect("a string takes what is written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Histogram;
    use std::time::Duration;

    #[test]
    fn as_prometheus_reads_it() {
        let mut out = Exposition::default();
        out.gauge("tidings_a", "How it is.").put(&[], 7);
        out.counter("tidings_b_total", "How often.").each("why", [("one", 1), ("two", 0)]);
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(2));
        out.histogram("tidings_c_seconds", "How long.")
            .times(&[("x", "y")], &[&histogram].into_iter().collect());
        let text = out.into_text();
        let (head, times) = text.split_at(text.find("# HELP tidings_c").expect("three"));
        assert_eq!(
            head,
            "# HELP tidings_a How it is.\n# TYPE tidings_a gauge\ntidings_a 7\n\
             # HELP tidings_b_total How often.\n# TYPE tidings_b_total counter\n\
             tidings_b_total{why=\"one\"} 1\ntidings_b_total{why=\"two\"} 0\n"
        );
        for line in [
            r#"tidings_c_seconds_bucket{x="y",le="0.001"} 0"#,
            r#"tidings_c_seconds_bucket{x="y",le="0.0025"} 1"#,
            r#"tidings_c_seconds_bucket{x="y",le="+Inf"} 1"#,
            r#"tidings_c_seconds_sum{x="y"} 0.002"#,
            r#"tidings_c_seconds_count{x="y"} 1"#,
        ] {
            assert!(times.lines().any(|found| found == line), "{line} in {times}");
        }
    }
}
