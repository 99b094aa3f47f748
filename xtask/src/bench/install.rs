//! Installing the peers into `target/bench`. What cannot be had is missing, and that is no error.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{contestant::Contestant, folder};
use crate::{
    setup,
    stamp::{Inputs, Stamp},
    step::{quiet, read, step},
    workspace::Workspace,
};

/// Taken from Debian's archive and unpacked, not installed.
const DEBIAN: [(&str, Contestant); 3] = [
    ("nats-server", Contestant::Nats),
    ("nginx", Contestant::Nchan),
    ("libnginx-mod-nchan", Contestant::Nchan),
];

/// Where everything is, and what is not there.
pub(super) struct Installed {
    /// `target/bench`.
    pub(super) folder: PathBuf,
    /// Cargo's release folder.
    pub(super) release: PathBuf,
    missing: BTreeMap<Contestant, String>,
}

/// Installs what these need.
pub(super) fn all(workspace: &Workspace, contestants: &[Contestant]) -> Result<Installed> {
    let folder = folder(workspace.target.join("bench"))?;
    let release = workspace.target.join("release");
    let mut installed = Installed { folder, release, missing: BTreeMap::new() };
    copy_peers(&workspace.root.join("xtask/peers"), &installed.peers())?;
    let wanted = |some: &[Contestant]| contestants.iter().any(|contestant| some.contains(contestant));

    let node = [Contestant::Bun, Contestant::Ws, Contestant::SocketIo];
    if wanted(&node)
        && let Err(error) = npm(&installed)
    {
        node.into_iter().for_each(|contestant| installed.miss(contestant, &error));
    }
    if wanted(&[Contestant::Bun]) && read(Command::new(installed.bun()).arg("--version")).is_none() {
        let error = anyhow::anyhow!("npm installed a bun that does not start");
        installed.miss(Contestant::Bun, &error);
    }
    for (package, contestant) in DEBIAN {
        if wanted(&[contestant])
            && let Err(error) = debian(&installed, package)
        {
            installed.miss(contestant, &error);
        }
    }
    Ok(installed)
}

impl Installed {
    pub(super) fn has(&self, contestant: Contestant) -> bool {
        !self.missing.contains_key(&contestant)
    }

    /// Who is missing, and why.
    pub(super) fn missing(&self) -> impl Iterator<Item = (Contestant, &str)> {
        self.missing.iter().map(|(contestant, reason)| (*contestant, reason.as_str()))
    }

    /// The programs and configurations of the peers.
    pub(super) fn peers(&self) -> PathBuf {
        self.folder.join("peers")
    }

    pub(super) fn bun(&self) -> PathBuf {
        self.peers().join("node_modules/bun/bin/bun.exe")
    }

    /// The root of what was unpacked from Debian's packages.
    pub(super) fn debian(&self) -> PathBuf {
        self.folder.join("debian")
    }

    fn miss(&mut self, contestant: Contestant, error: &anyhow::Error) {
        self.missing.entry(contestant).or_insert_with(|| format!("{error:#}"));
    }
}

/// npm runs in the copy, so that no `node_modules` come into the sources.
fn copy_peers(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn npm(installed: &Installed) -> Result<()> {
    setup::node()?;
    let peers = installed.peers();
    let inputs =
        Inputs::default().path(&peers.join("package.json"))?.path(&peers.join("package-lock.json"))?;
    let stamp = Stamp::new(peers.join("node_modules/.stamp"), &inputs);
    if stamp.is_current() {
        return Ok(());
    }
    step("installing Bun, ws and Socket.IO (npm)", || {
        quiet(setup::npm().args(["ci", "--no-audit", "--no-fund"]).current_dir(&peers))?;
        stamp.write()
    })
}

fn debian(installed: &Installed, package: &str) -> Result<()> {
    let root = folder(installed.debian())?;
    let marker = root.join(format!("{package}.unpacked"));
    if marker.is_file() {
        return Ok(());
    }
    let archives = folder(installed.folder.join("archives"))?;
    step(&format!("unpacking {package} (apt)"), || {
        let mut download = Command::new("apt-get");
        download.args(["download", "-q", package]).current_dir(&archives);
        ensure!(read(&mut download).is_some(), "apt-get download {package} failed; apt-get update may help");
        let archive = newest(&archives, package)?;
        quiet(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&root))?;
        fs::write(&marker, "")?;
        Ok(())
    })
}

/// A package's archive: its name is followed by an underscore and the version.
fn newest(archives: &Path, package: &str) -> Result<PathBuf> {
    let prefix = format!("{package}_");
    let mut found = Vec::new();
    for entry in fs::read_dir(archives)? {
        let path = entry?.path();
        if path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(&prefix)) {
            found.push(path);
        }
    }
    found.sort();
    found.pop().with_context(|| format!("apt-get left no archive of {package}"))
}
