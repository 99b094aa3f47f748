//! What is measured.

use super::{contestant::Contestant, results::Measurement};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// One channel, 1,000 subscribers, one event at a time.
    Single,
    /// The same with 32 events on their way.
    Burst,
    /// 1,000 channels of one subscriber, 16 events on their way.
    Many,
    /// 10,000 connections that are silent.
    Idle,
    /// One worker on one processor, two workers on two.
    Workers,
    /// From 100 to 15,000 subscribers of one channel.
    Scale,
    /// One client that never reads among 1,000.
    Slow,
    /// Two gateways over each backplane: see `tests/rust/backplanes/speed.rs`.
    Backplanes,
}

/// The backplanes of [`Workload::Backplanes`] as its cases name them, and how the report does.
pub(super) const BACKPLANES: [(&str, &str); 5] = [
    ("memory", "memory, one gateway"),
    ("redis", "Redis"),
    ("nats", "NATS"),
    ("postgres", "PostgreSQL"),
    ("polled", "PostgreSQL, asked every 250 ms"),
];

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    Full,
    Quick,
}

/// One run of the load against a fresh server.
pub(super) struct Case {
    pub(super) name: String,
    /// The server's processors.
    pub(super) cores: &'static [usize],
    /// The load's command.
    pub(super) command: &'static str,
    /// And its options.
    pub(super) arguments: Vec<String>,
}

/// The sizes of [`Workload::Scale`].
pub(super) const SIZES: [usize; 5] = [100, 300, 1_000, 5_000, 15_000];

impl Workload {
    pub(super) const ALL: [Self; 8] = [
        Self::Single,
        Self::Burst,
        Self::Many,
        Self::Idle,
        Self::Workers,
        Self::Scale,
        Self::Slow,
        Self::Backplanes,
    ];

    /// On the command line and in the results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Burst => "burst",
            Self::Many => "many",
            Self::Idle => "idle",
            Self::Workers => "workers",
            Self::Scale => "scale",
            Self::Slow => "slow",
            Self::Backplanes => "backplanes",
        }
    }

    pub(super) fn includes(self, contestant: Contestant) -> bool {
        match self {
            Self::Single | Self::Burst | Self::Many | Self::Idle => true,
            Self::Workers | Self::Backplanes => contestant == Contestant::Tidings,
            Self::Scale => matches!(contestant, Contestant::Floor | Contestant::Tidings | Contestant::Bun),
            // The floor loses what does not fit; nchan sends a client that is behind no more than it stores.
            Self::Slow => contestant != Contestant::Floor,
        }
    }

    pub(super) fn cases(self, effort: Effort) -> Vec<Case> {
        let quick = effort == Effort::Quick;
        let crowd = if quick { 100 } else { 1_000 };
        let fan_out = |name: &str, subscribers: usize, channels: usize, window: usize| {
            let (warmup, seconds) = if quick { ("0.2", "0.3") } else { ("1", "2") };
            let numbers = [("subscribers", subscribers), ("channels", channels), ("window", window)];
            let mut arguments: Vec<String> =
                numbers.iter().flat_map(|(name, value)| [format!("--{name}"), value.to_string()]).collect();
            arguments.extend(["--warmup", warmup, "--seconds", seconds].map(str::to_owned));
            Case { name: name.to_owned(), cores: &[0], command: "fan-out", arguments }
        };
        match self {
            Self::Single => vec![fan_out("", crowd, 1, 1)],
            Self::Burst => vec![fan_out("", crowd, 1, 32)],
            Self::Many => vec![fan_out("", crowd, crowd, 16)],
            Self::Idle => {
                let subscribers = if quick { "500" } else { "10000" };
                let arguments = ["--subscribers", subscribers].map(str::to_owned).to_vec();
                vec![Case { name: String::new(), cores: &[0], command: "connect", arguments }]
            }
            Self::Workers => {
                let cases = [("1 in flight", 1), ("32 in flight", 32)].into_iter();
                cases
                    .flat_map(|(name, window)| {
                        [(&[0][..], 1), (&[0, 1], 2)].map(|(cores, workers)| Case {
                            cores,
                            ..fan_out(&format!("{workers}, {name}"), crowd, 1, window)
                        })
                    })
                    .collect()
            }
            Self::Scale => {
                let sizes = SIZES.into_iter().filter(|size| !quick || *size <= 300);
                sizes.map(|size| fan_out(&size.to_string(), size, 1, 1)).collect()
            }
            Self::Slow => {
                let mut cases = vec![fan_out("alone", crowd, 1, 8), fan_out("stalled", crowd, 1, 8)];
                for case in &mut cases {
                    // Enough to fill the kernel's buffers and a server's queue.
                    let seconds = if quick { "1" } else { "5" };
                    case.arguments.extend(["--payload", "8192"].map(str::to_owned));
                    let place = case.arguments.len() - 3;
                    case.arguments[place] = seconds.to_owned();
                }
                cases[1].arguments.push("--stalled".to_owned());
                cases
            }
            // They start servers of their own.
            Self::Backplanes => Vec::new(),
        }
    }

    /// What a measurement says, in a few words for the terminal.
    pub(super) fn headline(self, measurement: &Measurement) -> String {
        let value = |name: &str| measurement.get(name).copied().unwrap_or(f64::NAN);
        if self == Self::Idle {
            return format!(
                "{:.2} KB and {:.1} us per connection",
                value("kb_per_connection"),
                value("handshake_us")
            );
        }
        format!(
            "{:.2} us CPU per delivery, {:.0} deliveries/s, p99 {:.2} ms, load busy {:.0} %",
            value("cpu_us"),
            value("deliveries_per_s"),
            value("p99_ms"),
            100.0 * value("load_busy")
        )
    }
}
