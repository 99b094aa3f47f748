//! Every test, set-up included.

use std::{ffi::OsStr, fs, path::PathBuf, process::Command};

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

use crate::{
    conformance, demo, pack, setup,
    step::{show, step},
    workspace::Workspace,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to run; everything when nothing is named
    #[arg(value_enum)]
    suites: Vec<Suite>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// cargo test --workspace
    Rust,
    /// Autobahn's cases against the gateway
    Conformance,
    /// The npm package in fresh projects: bundlers, servers, types
    Package,
    /// The HTTP API: fuzzed by its own description, and the examples of its document
    Http,
    /// Client, gateway and demo in a real browser
    E2e,
}

impl Suite {
    fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust tests (cargo test --workspace)",
            Self::Conformance => "WebSocket conformance (cargo xtask conformance)",
            Self::Package => "package tests (tests/package)",
            Self::Http => "tests of the HTTP API (tests/http)",
            Self::E2e => "end-to-end tests (tests/e2e)",
        }
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let suites: Vec<Suite> = Suite::value_variants()
        .iter()
        .copied()
        .filter(|suite| options.suites.is_empty() || options.suites.contains(suite))
        .collect();

    let in_browser = |suite: &Suite| matches!(suite, Suite::Package | Suite::E2e);
    let browser = if suites.iter().any(in_browser) { Some(Browser::set_up(workspace)?) } else { None };
    let http = if suites.contains(&Suite::Http) { Some(Http::set_up(workspace)?) } else { None };
    if suites.contains(&Suite::E2e) {
        demo::build(workspace)?;
    }
    if suites.contains(&Suite::Rust) {
        setup::backplanes()?;
    }
    let mut failed = Vec::new();
    let mut summary = Vec::new();
    for suite in suites {
        let outcome = step(suite.title(), || match (suite, &browser, &http) {
            (Suite::Package, Some(browser), _) => browser.run(workspace, "package"),
            (Suite::E2e, Some(browser), _) => browser.run(workspace, "e2e"),
            (Suite::Http, _, Some(http)) => http.run(workspace),
            (Suite::Conformance, ..) => conformance::run(workspace),
            _ => show(workspace.cargo().args(["test", "--workspace"])),
        });
        summary.push(match outcome {
            Ok(()) => format!("  passed  {}", suite.title()),
            Err(error) => {
                failed.push(suite.title());
                format!("  FAILED  {}: {}", suite.title(), error.root_cause())
            }
        });
    }

    println!("\nSummary");
    for line in summary {
        println!("{line}");
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// What the tests that run under Node.js need.
struct Browser {
    chromium: PathBuf,
    server: PathBuf,
    tarball: PathBuf,
}

impl Browser {
    fn set_up(workspace: &Workspace) -> Result<Self> {
        setup::node()?;
        let chromium = setup::chromium()?;
        setup::npm_packages(&workspace.tests())?;
        let tarball = pack::run(workspace)?.tarball;
        let server = setup::server(workspace)?;
        Ok(Self { chromium, server, tarball })
    }

    fn run(&self, workspace: &Workspace, folder: &str) -> Result<()> {
        let mut node = node_tests(workspace, folder)?;
        node.env("TIDINGS_BIN", &self.server)
            .env("TIDINGS_TARBALL", &self.tarball)
            .env("CHROMIUM", &self.chromium);
        show(&mut node)
    }
}

/// What the tests of the HTTP API need.
struct Http {
    server: PathBuf,
    schemathesis: PathBuf,
}

impl Http {
    fn set_up(workspace: &Workspace) -> Result<Self> {
        setup::node()?;
        let schemathesis = setup::schemathesis(workspace)?;
        Ok(Self { server: setup::server(workspace)?, schemathesis })
    }

    fn run(&self, workspace: &Workspace) -> Result<()> {
        let mut node = node_tests(workspace, "http")?;
        show(node.env("TIDINGS_BIN", &self.server).env("SCHEMATHESIS", &self.schemathesis))
    }
}

/// Node.js's test runner over a folder of `tests/`.
fn node_tests(workspace: &Workspace, folder: &str) -> Result<Command> {
    let folder = workspace.tests().join(folder);
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(&folder)? {
            files.push(entry?.path());
        }
    }
    files.retain(|file| {
        let name = file.file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| name.ends_with(".test.mjs"))
    });
    files.sort();
    ensure!(!files.is_empty(), "{} holds no *.test.mjs", folder.display());
    let mut node = workspace.command("node");
    // A test that hangs is a failure, not a night.
    node.args(["--test", "--test-reporter=spec", "--test-timeout=600000"])
        .args(files)
        .current_dir(workspace.tests());
    Ok(node)
}
