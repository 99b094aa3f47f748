//! Where things are.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::Value;

pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Cargo's target directory; `CARGO_TARGET_DIR` is respected.
    pub(crate) target: PathBuf,
    /// The version of the workspace, and so of the npm package.
    pub(crate) version: String,
}

impl Workspace {
    pub(crate) fn locate() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies in the workspace")?
            .to_path_buf();
        let output = cargo()
            .args(["metadata", "--format-version=1", "--no-deps"])
            .current_dir(&root)
            .output()
            .context("running cargo metadata")?;
        anyhow::ensure!(
            output.status.success(),
            "cargo metadata failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let target =
            metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
        Ok(Self { root, target: PathBuf::from(target), version: env!("CARGO_PKG_VERSION").to_owned() })
    }

    /// The npm package's sources.
    pub(crate) fn package(&self) -> PathBuf {
        self.root.join("pkg-npm")
    }

    /// The npm project that holds the tests' tools.
    pub(crate) fn tests(&self) -> PathBuf {
        self.root.join("tests")
    }

    pub(crate) fn demo(&self) -> PathBuf {
        self.root.join("demo")
    }

    /// Where the npm package is put together.
    pub(crate) fn npm(&self) -> PathBuf {
        self.target.join("npm")
    }

    /// The gateway as built by [`crate::setup::server`].
    pub(crate) fn server(&self) -> PathBuf {
        self.target.join("debug").join(format!("tidings{}", std::env::consts::EXE_SUFFIX))
    }

    /// A command that runs at the root of the workspace.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }
}

/// The cargo that runs this program.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
