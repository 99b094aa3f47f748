//! `cargo xtask soak`: a gateway under load for a long time.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    setup,
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

/// The development build: it checks its own arithmetic and assertions, which the optimized one does not.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let server = setup::server(workspace)?;
    step("building the load", || show(workspace.cargo().args(["build", "--package", "tidings-load"])))?;
    let child = workspace
        .command(server)
        .args(["serve", "--bind", "127.0.0.1:0", "--connections-per-second", "1000000"])
        .args(["--commands-per-second", "0"])
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
                .command(workspace.target.join("debug/tidings-load"))
                .args(["soak", "--address", &address, "--pid", &gateway.0.id().to_string()])
                .args(["--minutes", &options.minutes.to_string()])
                .args(["--connections", &options.connections.to_string()]),
        )
    })
}
