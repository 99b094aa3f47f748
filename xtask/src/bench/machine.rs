//! What the figures depend on.

use std::{fs, process::Command};

use anyhow::Result;

use super::{contestant::Contestant, install::Installed, workload::Effort};
use crate::{step::read, workspace::Workspace};

/// The machine, the date and the versions, as words for the report.
pub(super) fn facts(
    workspace: &Workspace,
    installed: &Installed,
    effort: Effort,
) -> Result<Vec<(String, String)>> {
    let mut facts = vec![
        ("date".to_owned(), run("date", &["-u", "+%Y-%m-%d"])),
        ("Tidings".to_owned(), format!("{} ({})", workspace.version, revision(workspace))),
        ("processor".to_owned(), processor()?),
        ("memory".to_owned(), memory()?),
        ("kernel".to_owned(), format!("Linux {}", run("uname", &["-r"]))),
        ("Rust".to_owned(), run("rustc", &["--version"])),
    ];
    let versions = [
        (Contestant::Bun, "Bun", read(Command::new(installed.bun()).arg("--version"))),
        (Contestant::Ws, "Node.js", read(Command::new("node").arg("--version"))),
        (Contestant::Ws, "ws", npm_version(installed, "ws")),
        (Contestant::SocketIo, "Socket.IO", npm_version(installed, "socket.io")),
        (
            Contestant::Nats,
            "NATS",
            read(Command::new(installed.debian().join("usr/sbin/nats-server")).arg("--version")),
        ),
        (Contestant::Nchan, "nginx", archive(installed, "nginx")),
        (Contestant::Nchan, "nchan", archive(installed, "libnginx-mod-nchan")),
    ];
    for (contestant, name, version) in versions {
        if let Some(version) = version.filter(|_| installed.has(contestant)) {
            facts.push((name.to_owned(), version));
        }
    }
    if effort == Effort::Quick {
        facts.push(("effort".to_owned(), "quick: figures without meaning".to_owned()));
    }
    Ok(facts)
}

fn run(program: &str, arguments: &[&str]) -> String {
    read(Command::new(program).args(arguments)).unwrap_or_else(|| "unknown".to_owned())
}

fn revision(workspace: &Workspace) -> String {
    let git = |arguments: &[&str]| read(workspace.command("git").args(arguments));
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "no git".to_owned() };
    let sources = ["status", "--porcelain", "--", "server/src", "protocol/src", "Cargo.toml"];
    let changed = git(&sources).is_some_and(|changes| !changes.is_empty());
    if changed { format!("{commit} and changes") } else { commit }
}

fn processor() -> Result<String> {
    let text = fs::read_to_string("/proc/cpuinfo")?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let count = text.lines().filter(|line| line.starts_with("processor")).count();
    let model = field("model name").unwrap_or_else(|| "unknown".to_owned());
    let virtual_machine = field("flags").is_some_and(|flags| flags.contains("hypervisor"));
    Ok(format!("{model}, {count} cores{}", if virtual_machine { ", virtual machine" } else { "" }))
}

fn memory() -> Result<String> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kb = text.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    Ok(format!("{:.0} GiB", kb.unwrap_or(0.0) / f64::from(1 << 20)))
}

fn npm_version(installed: &Installed, package: &str) -> Option<String> {
    let path = installed.peers().join("node_modules").join(package).join("package.json");
    let manifest: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    manifest["version"].as_str().map(str::to_owned)
}

/// A package's version, by the name of its archive.
fn archive(installed: &Installed, package: &str) -> Option<String> {
    let names = fs::read_dir(installed.folder.join("archives")).ok()?;
    names.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let version = name.strip_prefix(package)?.strip_prefix('_')?.split('_').next()?;
        Some(format!("{} (Debian)", version.replace("%3a", ":")))
    })
}
