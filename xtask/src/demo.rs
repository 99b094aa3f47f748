//! The demo: package, page and gateway, served in the foreground.

use std::{net::TcpListener, process::Command};

use anyhow::{Context, Result};

use crate::{
    pack, setup,
    stamp::{Inputs, Stamp},
    step::{quiet, step},
    workspace::Workspace,
};

/// What the page shows as a message in its first room.
const EXAMPLE: &str =
    r#"{"channel":"demo.lobby","event":"chat","data":{"from":"curl","text":"Hello from the terminal"}}"#;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The port to serve on, at 127.0.0.1
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let port = options.port;
    let address = format!("127.0.0.1:{port}");
    TcpListener::bind(&address).with_context(|| {
        format!(
            "{address} is not free; choose another port: cargo xtask demo --port {}",
            port.wrapping_add(1)
        )
    })?;

    pack::run(workspace)?;
    build(workspace)?;
    let server = setup::server(workspace)?;

    println!();
    println!("The demo: http://{address}/   (stop it with Ctrl-C)");
    println!("Publish from another terminal:");
    println!();
    println!("curl -X POST http://{address}/api/publish -H 'content-type: application/json' \\");
    println!("  -d '{EXAMPLE}'");
    println!();
    foreground(
        workspace
            .command(server)
            .args(["serve", "--bind", &address, "--static-dir"])
            .arg(workspace.demo().join("dist"))
            .args(["--allow-client-publish", "demo.*", "--history", "demo.pointers.*=0"]),
    )
}

/// Builds `demo/dist`, or finds that nothing has changed.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let demo = workspace.demo();
    setup::npm_packages(&demo)?;
    let inputs = Inputs::default().path(&demo)?.path(&workspace.package().join("dist"))?;
    let stamp = Stamp::new(demo.join("node_modules/.built"), &inputs);
    if demo.join("dist/index.html").is_file() && stamp.is_current() {
        return Ok(());
    }
    step("building the demo page (vite)", || {
        quiet(setup::npm().args(["run", "build"]).current_dir(&demo))?;
        stamp.write()
    })
}

/// Hands the terminal over to the command, signals included.
#[cfg(unix)]
fn foreground(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec()).context("cannot start the gateway")
}

#[cfg(not(unix))]
fn foreground(command: &mut Command) -> Result<()> {
    crate::step::show(command)
}
