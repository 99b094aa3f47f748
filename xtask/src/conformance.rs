//! `cargo xtask conformance`: how the gateway speaks WebSocket, judged by the cases of the Autobahn Testsuite.
//!
//! The cases are Autobahn's own files, run by kosoku under Python 3: Autobahn itself needs Python 2. The gateway is
//! served in both of its ways with an application that echoes: see `server/examples/echo.rs`.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    setup,
    stamp::Inputs,
    step::{quiet, show, step},
    workspace::Workspace,
};

/// The judge, as it was looked at.
const JUDGE: &str = "kosoku==0.1.0";

/// Framing, pings, reserved bits, opcodes, fragments, UTF-8, closes, and what is cut anywhere. Not 9, which is about
/// speed, nor 12 and 13: compression is not offered.
const CASES: [&str; 8] = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"];

/// Fewer are not all of them.
const LEAST: usize = 240;

/// Cases under way at the same time: most of them wait.
const PARALLEL: &str = "16";

/// What may be said of a case. `NON-STRICT` is to find broken text at the end of its message, not at once;
/// `INFORMATIONAL` is what the standard leaves open.
const PASSED: [&str; 3] = ["OK", "NON-STRICT", "INFORMATIONAL"];

/// What may be said of an end besides: both have closed, but the judge did not wait for the gateway to end the connection.
/// How long it waits is its own affair. That the gateway does end it is tested without a clock in
/// `server/tests/gateway/transport.rs`.
const IMPATIENT: &str = "FAILED BY CLIENT";

/// The gateway that echoes; killed when it is dropped.
struct Echo {
    child: Child,
    address: SocketAddr,
}

impl Echo {
    fn start(workspace: &Workspace, serving: &str) -> Result<Self> {
        let program = workspace.target.join(format!("debug/examples/echo{}", std::env::consts::EXE_SUFFIX));
        let mut child = workspace
            .command(program)
            .arg(serving)
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the gateway")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output is read")?).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("where the gateway is: {line:?}"));
        let address = address.inspect_err(|_| drop(child.kill()))?;
        Ok(Self { child, address })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("conformance/python");
    let judge =
        setup::python(&folder, JUDGE, &[JUDGE.as_ref()], &Inputs::default().text(JUDGE))?.join("kosoku");
    step("building the gateway that echoes", || {
        let build =
            ["build", "--package", "tidings-server", "--example", "echo", "--features", "conformance"];
        show(workspace.cargo().args(build))
    })?;
    for serving in ["own", "embedded"] {
        step(&format!("Autobahn's cases, sockets {serving}"), || {
            let reports = workspace.target.join("conformance").join(serving);
            if reports.is_dir() {
                fs::remove_dir_all(&reports)?;
            }
            let echo = Echo::start(workspace, serving)?;
            let mut command = workspace.command(&judge);
            command.args(CASES.iter().flat_map(|cases| ["--include", cases]));
            command.args(["--parallelism", PARALLEL]).arg("--outdir").arg(&reports);
            command.arg(format!("ws://{}/", echo.address));
            quiet(&mut command)?;
            let verdicts = read(&reports).and_then(|text| verdicts(&text))?;
            let total: usize = verdicts.values().sum();
            let told: Vec<String> =
                verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
            eprintln!("  {total} cases: {}", told.join(", "));
            ensure!(total >= LEAST, "{total} cases are not all of them");
            Ok(())
        })?;
    }
    Ok(())
}

fn read(reports: &Path) -> Result<String> {
    let path = reports.join("index.json");
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// How many cases have which verdict; an error when one does not pass.
fn verdicts(report: &str) -> Result<BTreeMap<String, usize>> {
    let report: Value = serde_json::from_str(report).context("the judge's report")?;
    let cases = report.as_object().into_iter().flat_map(serde_json::Map::values).filter_map(Value::as_object);
    let mut verdicts = BTreeMap::new();
    let mut failed = Vec::new();
    for (case, result) in cases.flatten() {
        let said = |what: &str| result[what].as_str().unwrap_or("nothing").to_owned();
        let (behaviour, close) = (said("behavior"), said("behaviorClose"));
        let ended = close == IMPATIENT || PASSED.contains(&close.as_str());
        let passed = PASSED.contains(&behaviour.as_str()) && ended;
        if !passed {
            failed.push(format!("{case} ({behaviour}, close {close})"));
        }
        *verdicts.entry(behaviour).or_default() += 1;
    }
    if !failed.is_empty() {
        bail!("not passed: {}", failed.join(", "));
    }
    Ok(verdicts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_to_pass() {
        let report = |one: &str, close: &str| {
            format!(
                r#"{{"a": {{"1.1": {{"behavior": "{one}", "behaviorClose": "{close}"}},
                "1.2": {{"behavior": "OK", "behaviorClose": "OK"}}}}}}"#
            )
        };
        let verdicts_of = |one: &str, close: &str| verdicts(&report(one, close));
        assert_eq!(verdicts_of("OK", "OK").unwrap(), BTreeMap::from([("OK".to_owned(), 2)]));
        assert_eq!(verdicts_of("NON-STRICT", "INFORMATIONAL").unwrap().len(), 2);
        assert_eq!(verdicts_of("OK", "FAILED BY CLIENT").unwrap().len(), 1);
        for (one, close) in [
            ("FAILED", "OK"),
            ("FAILED BY CLIENT", "OK"),
            ("OK", "WRONG CODE"),
            ("UNIMPLEMENTED", "OK"),
            ("OK", "UNCLEAN"),
        ] {
            assert!(verdicts_of(one, close).unwrap_err().to_string().contains("1.1"));
        }
        assert!(verdicts("{}").unwrap().is_empty());
    }
}
