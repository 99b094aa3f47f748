//! The plot: four panels of bars, as SVG.

use std::fmt::Write;

use anyhow::Result;

use super::{
    contestant::Contestant,
    report::thousands,
    results::{Figure, Results},
    workload::Workload,
};

const WIDTH: f64 = 900.0;
const PANEL_WIDTH: f64 = 430.0;
const ROW: f64 = 24.0;
const TOP: f64 = 48.0;
/// Where the bars begin, and how long the longest is.
const BARS: f64 = 84.0;
const LONGEST: f64 = 250.0;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.note{font-size:11px;fill:#59636e}
.bar{fill:#9aa4af}.ours{fill:#0a7d55}.floor{fill:#d0d7de}.page{fill:#fff}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}.bar{fill:#656d76}.ours{fill:#2ea77a}
.floor{fill:#3d444d}.page{fill:#0d1117}}";

struct Panel {
    title: &'static str,
    note: &'static str,
    workload: Workload,
    field: &'static str,
    show: fn(f64) -> String,
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "1 channel × 1,000, one event at a time",
        note: "server CPU µs per delivery, less is better",
        workload: Workload::Single,
        field: "cpu_us",
        show: |value| format!("{value:.2}"),
    },
    Panel {
        title: "1 channel × 1,000, 32 events in flight",
        note: "deliveries per second, more is better",
        workload: Workload::Burst,
        field: "deliveries_per_s",
        show: thousands,
    },
    Panel {
        title: "1,000 channels × 1, 16 events in flight",
        note: "server CPU µs per event, less is better",
        workload: Workload::Many,
        field: "cpu_us",
        show: |value| format!("{value:.2}"),
    },
    Panel {
        title: "10,000 silent connections",
        note: "server memory in KB per connection, less is better",
        workload: Workload::Idle,
        field: "kb_per_connection",
        show: |value| format!("{value:.2}"),
    },
];

pub(super) fn draw(results: &Results) -> Result<String> {
    let panel_height = TOP + ROW * Contestant::ALL.len() as f64 + 28.0;
    let height = 2.0 * panel_height + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Benchmarks\">\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n"
    );
    for (index, panel) in PANELS.iter().enumerate() {
        let x = 20.0 + (index % 2) as f64 * (PANEL_WIDTH + 10.0);
        let y = 12.0 + (index / 2) as f64 * panel_height;
        writeln!(svg, "<g transform=\"translate({x} {y})\">")?;
        panel.draw(results, &mut svg)?;
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

impl Panel {
    fn draw(&self, results: &Results, svg: &mut String) -> Result<()> {
        let Self { title, note, .. } = self;
        writeln!(svg, "<text class=\"title\" y=\"16\">{title}</text>")?;
        writeln!(svg, "<text class=\"note\" y=\"33\">{note}</text>")?;
        let figure = Figure { workload: self.workload, case: "", field: self.field };
        let values = Contestant::ALL.map(|contestant| results.median(figure, contestant));
        let largest = values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
        for (row, (contestant, value)) in Contestant::ALL.into_iter().zip(values).enumerate() {
            let y = TOP + row as f64 * ROW;
            let class = match contestant {
                Contestant::Tidings => "bar ours",
                Contestant::Floor => "bar floor",
                _ => "bar",
            };
            let label = contestant.short();
            writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>",
                BARS - 8.0,
                y + 13.0
            )?;
            let length = value.map_or(0.0, |value| (value / largest * LONGEST).max(1.0));
            let shown = value.map_or("missing".to_owned(), self.show);
            writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{BARS}\" y=\"{y}\" width=\"{length:.1}\" height=\"17\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{shown}</text>",
                BARS + length + 6.0,
                y + 13.0
            )?;
        }
        Ok(())
    }
}
