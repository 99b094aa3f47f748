//! `cargo xtask soak`: a gateway under load for a long time.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    step::{show, step},
    workspace::Workspace,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Minutes of the measurement, once all clients are connected
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// How many clients there are at any time
    #[arg(long, default_value_t = 15_000)]
    connections: usize,
}

/// A gateway; killed when it is dropped.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The optimized build, which operators run: the other one is too slow for so many clients beside their load.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    step("building server and load (release)", || {
        let packages = ["--package", "tidings-server", "--bin", "tidings", "--package", "tidings-load"];
        show(workspace.cargo().args(["build", "--release", "--bin", "tidings-load"]).args(packages))
    })?;
    let release = workspace.target.join("release");
    let child = workspace
        .command(release.join("tidings"))
        .args(["serve", "--bind", "127.0.0.1:0", "--connections-per-second", "1000000"])
        .args(["--commands-per-second", "0"])
        .args(["--allow-client-publish", "soak.*", "--history", "soak.*=32,60"])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the gateway")?;
    let mut gateway = Gateway(child);
    let mut stdout = BufReader::new(gateway.0.stdout.take().context("its output is read")?);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    let address = line.trim().rsplit("http://").next().unwrap_or_default().to_owned();
    ensure!(
        address.parse::<std::net::SocketAddr>().is_ok(),
        "the gateway does not say where it is: {line:?}"
    );
    step("soaking", || {
        show(
            workspace
                .command(release.join("tidings-load"))
                .args(["soak", "--address", &address, "--pid", &gateway.0.id().to_string()])
                .args(["--minutes", &options.minutes.to_string()])
                .args(["--connections", &options.connections.to_string()]),
        )
    })
}
