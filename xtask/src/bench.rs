//! The benchmark: our server, the least that any server could do, and its peers, under the same load.
//!
//! One server at a time, on processor 0; the load on processor 1. Every round measures all servers in turn, so
//! that a machine that grows slower in the meantime does so for all of them, and only figures of one round are
//! compared.

mod contestant;
mod install;
mod machine;
mod plot;
mod report;
mod results;
mod running;
mod workload;

use std::{collections::BTreeMap, fs, thread};

use anyhow::{Context, Result, ensure};

use crate::{
    setup,
    step::{output, show, step},
    workspace::Workspace,
};
use contestant::Contestant;
use install::Installed;
use results::{Measurement, Results};
use running::Running;
use workload::{Effort, Workload};

/// The processor of the load; the servers have the first.
const LOAD_CORE: &str = "1";

/// What lies so close together that the machine's noise decides about a round: it is measured in rounds of its own, too.
const CLOSE: ([Workload; 4], [Contestant; 3]) = (
    [Workload::Single, Workload::Burst, Workload::Many, Workload::Idle],
    [Contestant::Floor, Contestant::Tidings, Contestant::Bun],
);

/// How many of these rounds follow each round of everything.
const CLOSE_ROUNDS: u16 = 3;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often everything is measured; the medians count
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Measure one workload, or one server beside ours and the floor; may be repeated
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(names()))]
    only: Vec<String>,
    /// Prove that everything runs: one short round with few connections, figures without meaning
    #[arg(long)]
    quick: bool,
    /// Write the report of the last whole run again
    #[arg(long, conflicts_with_all = ["rounds", "only", "quick"])]
    report: bool,
}

fn names() -> Vec<&'static str> {
    let workloads = Workload::ALL.map(Workload::name);
    workloads.into_iter().chain(Contestant::ALL.map(Contestant::name)).collect()
}

impl Options {
    fn workloads(&self) -> Vec<Workload> {
        let named = |workload: &Workload| self.only.iter().any(|name| name == workload.name());
        let chosen: Vec<_> = Workload::ALL.into_iter().filter(named).collect();
        if chosen.is_empty() { Workload::ALL.to_vec() } else { chosen }
    }

    fn contestants(&self) -> Vec<Contestant> {
        let named = |contestant: &Contestant| self.only.iter().any(|name| name == contestant.name());
        let all = Contestant::ALL.into_iter();
        if Contestant::ALL.iter().any(named) {
            all.filter(|contestant| !contestant.is_peer() || named(contestant)).collect()
        } else {
            all.collect()
        }
    }

    /// Only a whole run is worth to be published.
    fn is_whole(&self) -> bool {
        self.only.is_empty() && !self.quick
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let last =
        workspace.target.join("bench").join(if options.is_whole() { "results.json" } else { "part.json" });
    if options.report {
        let results = Results::read(&last).context("no results of an earlier run: cargo xtask bench")?;
        return report::write(&results, &workspace.root.join("docs"));
    }
    ensure!(cfg!(target_os = "linux"), "the benchmark reads /proc and pins processes: it needs Linux");
    let processors = thread::available_parallelism()?.get();
    ensure!(processors >= 2, "the benchmark needs two processors, one for the server and one for the load");
    // Each connection is a file; servers and load inherit the limit.
    rlimit::increase_nofile_limit(u64::MAX)?;

    build(workspace)?;
    let contestants = options.contestants();
    let installed = install::all(workspace, &contestants)?;
    let effort = if options.quick { Effort::Quick } else { Effort::Full };
    let mut results = Results::new(machine::facts(workspace, &installed, effort)?);
    for (contestant, reason) in installed.missing() {
        eprintln!("  without {}: {reason}", contestant.title());
        results.miss(contestant, reason);
    }
    let rounds = if options.quick { 1 } else { options.rounds };
    let close = if options.is_whole() { CLOSE_ROUNDS } else { 0 };
    results.add_fact("rounds", &format!("{rounds}, and {} of what lies close together", rounds * close));
    let mut round = |title: &str, workloads: &[Workload], contestants: &[Contestant]| {
        results.add(step(title, || measure(workspace, workloads, &installed, contestants, effort))?);
        results.write(&last)
    };
    for whole in 1..=rounds {
        round(&format!("round {whole} of {rounds}"), &options.workloads(), &contestants)?;
        for part in 1..=close {
            round(&format!("close ones, round {part} of {close}"), &CLOSE.0, &CLOSE.1)?;
        }
    }

    let folder = workspace.root.join("docs");
    let folder = if options.is_whole() { folder } else { workspace.target.join("bench/docs") };
    report::write(&results, &folder)
}

fn build(workspace: &Workspace) -> Result<()> {
    step("building server and load (release)", || {
        let packages = ["--package", "tidings-server", "--bin", "tidings", "--package", "tidings-load"];
        show(workspace.cargo().args(["build", "--release", "--bin", "tidings-load"]).args(packages))
    })
}

/// Everything once.
fn measure(
    workspace: &Workspace,
    workloads: &[Workload],
    installed: &Installed,
    contestants: &[Contestant],
    effort: Effort,
) -> Result<BTreeMap<String, Measurement>> {
    let mut measured = BTreeMap::new();
    for &workload in workloads {
        if workload == Workload::Backplanes {
            measured.extend(backplanes(workspace, effort)?);
        }
        for case in workload.cases(effort) {
            for &contestant in contestants {
                if !workload.includes(contestant) || !installed.has(contestant) {
                    continue;
                }
                let key = results::key(workload, contestant, &case.name);
                match load(workspace, installed, contestant, &case) {
                    Ok(measurement) => {
                        eprintln!("  {key}: {}", workload.headline(&measurement));
                        measured.insert(key, measurement);
                    }
                    // A peer that fails is a gap in a table; ours failing is for whoever runs this.
                    Err(error) if contestant.is_peer() => eprintln!("  {key}: failed: {error:#}"),
                    Err(error) => return Err(error.context(key)),
                }
            }
        }
    }
    Ok(measured)
}

/// Starts a server, puts one case's load on it, stops it.
fn load(
    workspace: &Workspace,
    installed: &Installed,
    contestant: Contestant,
    case: &workload::Case,
) -> Result<Measurement> {
    let server = Running::start(installed, contestant, case.cores)?;
    let program = workspace.target.join("release/tidings-load");
    let text = output(
        workspace
            .command("taskset")
            .args(["-c", LOAD_CORE])
            .arg(program)
            .args([case.command, "--dialect", contestant.dialect()])
            .args(["--address", &server.address.to_string(), "--pid", &server.pid().to_string()])
            .args(&case.arguments),
    )?;
    serde_json::from_str(&text).with_context(|| format!("the load said {text:?}"))
}

/// Two gateways over each backplane, by the tests' own servers.
fn backplanes(workspace: &Workspace, effort: Effort) -> Result<Vec<(String, Measurement)>> {
    setup::backplanes()?;
    let release = workspace.target.join("release");
    let mut command = workspace.cargo();
    command
        .args(["test", "--quiet", "--package", "tidings-tests", "--test", "backplanes"])
        .args(["--", "--ignored", "--nocapture", "--exact", "speed::speed"])
        .env("TIDINGS_BIN", release.join("tidings"))
        .env("TIDINGS_LOAD", release.join("tidings-load"));
    if effort == Effort::Quick {
        command.env("TIDINGS_QUICK", "1");
    }
    let text = output(&mut command)?;
    let mut measured = Vec::new();
    for line in text.lines().filter_map(|line| line.split_once("measured\t")) {
        let (case, json) =
            line.1.split_once('\t').with_context(|| format!("the measurement said {line:?}"))?;
        let measurement: Measurement = serde_json::from_str(json)?;
        let key = results::key(Workload::Backplanes, Contestant::Tidings, case);
        eprintln!("  {key}: {}", Workload::Backplanes.headline(&measurement));
        measured.push((key, measurement));
    }
    Ok(measured)
}

/// A folder, made when it is not there.
fn folder(path: std::path::PathBuf) -> Result<std::path::PathBuf> {
    fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    Ok(path)
}
