//! A server that runs for one measurement.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{contestant::Contestant, folder, install::Installed};

/// Below the ports that clients connect from.
const PORTS: std::ops::Range<u16> = 19_200..19_800;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(15);

/// nchan makes /var/lib/nginx/body, whatever its configuration says: it gets a /var/lib of its own.
const PRIVATE_VAR_LIB: &str = r#"mount -t tmpfs none /var/lib && mkdir /var/lib/nginx && exec "$@""#;

/// Stopped when it is dropped.
pub(super) struct Running {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Running {
    /// Starts a server on these processors and waits until it listens.
    pub(super) fn start(installed: &Installed, contestant: Contestant, cores: &[usize]) -> Result<Self> {
        let address = free_address()?;
        let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
        let mut command = Command::new("taskset");
        command.args(["-c", &cores.join(",")]);
        tell(&mut command, installed, contestant, address, cores.len())?;
        let logs = folder(installed.folder.join("log"))?;
        let log = logs.join(contestant.name());
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .context("cannot start taskset, of util-linux")?;
        let mut running = Self { child, address };
        running.wait(&log)?;
        Ok(running)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait(&mut self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}:\n{}", fs::read_to_string(log).unwrap_or_default());
            }
            if Instant::now() > deadline {
                bail!("it does not listen after {PATIENCE:?}; see {}", log.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        // Some listen before they have finished starting.
        thread::sleep(Duration::from_millis(300));
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Adds the program that is to run and what it has to know.
fn tell(
    command: &mut Command,
    installed: &Installed,
    contestant: Contestant,
    address: SocketAddr,
    workers: usize,
) -> Result<()> {
    let peers = installed.peers();
    let port = address.port().to_string();
    command.env("PORT", &port);
    match contestant {
        Contestant::Floor => {
            command.arg(installed.release.join("tidings-load")).args(["floor", &address.to_string()]);
        }
        Contestant::Tidings => {
            command
                .arg(installed.release.join("tidings"))
                .args(["serve", "--bind", &address.to_string(), "--workers", &workers.to_string()])
                .args(["--allow-client-publish", "bench.*", "--connections-per-second", "1000000"])
                .args(["--commands-per-second", "0"]);
        }
        Contestant::Bun => {
            command.arg(installed.bun()).arg(peers.join("bun.js"));
        }
        Contestant::Ws => {
            command.arg("node").arg(peers.join("ws.mjs"));
        }
        Contestant::SocketIo => {
            command.arg("node").arg(peers.join("socketio.mjs"));
        }
        Contestant::Nats => {
            command
                .arg(installed.debian().join("usr/sbin/nats-server"))
                .arg("-c")
                .arg(peers.join("nats.conf"));
        }
        Contestant::Nchan => {
            let debian = installed.debian();
            folder(debian.join("tmp"))?;
            let template = fs::read_to_string(peers.join("nginx.conf"))?;
            let configuration = debian.join("nginx.conf");
            let text = template.replace("FOLDER", &debian.to_string_lossy()).replace("PORT", &port);
            fs::write(&configuration, text)?;
            command
                .args(["unshare", "--map-root-user", "--mount", "sh", "-c", PRIVATE_VAR_LIB, "sh"])
                .arg(debian.join("usr/sbin/nginx"))
                .arg("-p")
                .arg(&debian)
                .args(["-e", "stderr", "-c"])
                .arg(&configuration);
        }
    }
    Ok(())
}

fn free_address() -> Result<SocketAddr> {
    PORTS
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .context("no free port")
}
