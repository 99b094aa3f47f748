//! What has to be there before anything can be built: checked each time, installed when missing.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    stamp::{Inputs, Stamp},
    step::{quiet, read, show, step},
    workspace::Workspace,
};

pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// The oldest Node.js that the tools and the tests work with.
const NODE: u32 = 20;

/// Adds Rust's wasm target by rustup when it is missing.
pub(crate) fn wasm_target(workspace: &Workspace) -> Result<()> {
    let libraries = read(workspace.command("rustc").args(["--print=target-libdir", "--target", WASM_TARGET]));
    if libraries.is_some_and(|path| Path::new(&path).is_dir()) {
        return Ok(());
    }
    step("adding the wasm target (rustup)", || {
        quiet(workspace.command("rustup").args(["target", "add", WASM_TARGET])).with_context(|| {
            format!("install Rust's target {WASM_TARGET}, with rustup: rustup target add {WASM_TARGET}")
        })
    })
}

/// Checks that Node.js and npm are there and recent enough.
pub(crate) fn node() -> Result<()> {
    let Some(version) = read(Command::new("node").arg("--version")) else {
        bail!(
            "Node.js is missing: install version {NODE} or later, from your system's packages or https://nodejs.org"
        );
    };
    let major = version.trim_start_matches('v').split('.').next();
    if major.and_then(|major| major.parse().ok()).unwrap_or(0) < NODE {
        bail!("Node.js {version} is too old: install version {NODE} or later");
    }
    if read(npm().arg("--version")).is_none() {
        bail!("npm is missing: install it beside Node.js {version}");
    }
    Ok(())
}

/// npm, which is a script on Windows.
pub(crate) fn npm() -> Command {
    Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
}

/// An executable that a package in `project` brings.
pub(crate) fn npm_program(project: &Path, name: &str) -> PathBuf {
    let extension = if cfg!(windows) { ".cmd" } else { "" };
    project.join("node_modules/.bin").join(format!("{name}{extension}"))
}

/// Installs the packages that a project's lock file names, when they are not there yet.
pub(crate) fn npm_packages(project: &Path) -> Result<()> {
    let name = project.file_name().unwrap_or_default().to_string_lossy();
    let inputs =
        Inputs::default().path(&project.join("package.json"))?.path(&project.join("package-lock.json"))?;
    let stamp = Stamp::new(project.join("node_modules/.stamp"), &inputs);
    if stamp.is_current() {
        return Ok(());
    }
    step(&format!("installing the npm packages of {name}/"), || {
        quiet(npm().args(["ci", "--prefer-offline"]).current_dir(project))?;
        std::fs::create_dir_all(project.join("node_modules"))?;
        stamp.write()
    })
}

/// Builds the gateway's binary and returns its path.
pub(crate) fn server(workspace: &Workspace) -> Result<PathBuf> {
    step("building the gateway", || {
        show(workspace.cargo().args(["build", "--package", "tidings-server", "--bin", "tidings"]))
    })?;
    Ok(workspace.server())
}

/// Finds a Chromium for the tests; installs Debian's when allowed to.
pub(crate) fn chromium() -> Result<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM") {
        let path = PathBuf::from(named);
        if path.is_file() {
            return Ok(path);
        }
        bail!("CHROMIUM names {}, which does not exist", path.display());
    }
    if let Some(found) = installed_chromium() {
        return Ok(found);
    }
    if may_install() {
        install(&["chromium"])?;
        if let Some(found) = installed_chromium() {
            return Ok(found);
        }
    }
    bail!(
        "the browser tests need Chromium or Chrome: install it (on Debian: sudo apt-get install chromium), \
         or set CHROMIUM to the path of its executable"
    );
}

/// A virtual environment for Python in `folder`, with what pip makes of `packages`; the folder of its programs.
pub(crate) fn python(folder: &Path, name: &str, packages: &[&OsStr], inputs: &Inputs) -> Result<PathBuf> {
    let programs = folder.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let stamp = Stamp::new(folder.join(".stamp"), inputs);
    if stamp.is_current() {
        return Ok(programs);
    }
    step(&format!("installing {name} (pip)"), || {
        let python = if cfg!(windows) { "python" } else { "python3" };
        if read(Command::new(python).args(["-c", "import ensurepip, venv"])).is_none() && may_install() {
            install(&["python3-venv"])?;
        }
        quiet(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder)).context(
            "Python 3 with venv is missing: install it (on Debian: sudo apt-get install python3-venv)",
        )?;
        quiet(
            Command::new(programs.join("python"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(packages),
        )?;
        stamp.write()
    })?;
    Ok(programs)
}

/// What the backplanes' tests run: a program or a file of each, and Debian's package that has it.
const BACKPLANES: [(&str, &str); 5] = [
    ("redis-server", "redis-server"),
    ("nats-server", "nats-server"),
    ("postgres", "postgresql"),
    ("pgbouncer", "pgbouncer"),
    ("/usr/lib/python3/dist-packages/psycopg2/__init__.py", "python3-psycopg2"),
];

/// Checks that the servers of the backplanes' tests are there; installs Debian's when allowed to.
pub(crate) fn backplanes() -> Result<()> {
    let missing: Vec<&str> = BACKPLANES
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if may_install() {
        return install(&missing);
    }
    bail!(
        "the backplanes' tests (tests/rust/backplanes) need servers that are not installed: {}; on Debian: sudo \
         apt-get install {}",
        missing.join(", "),
        missing.join(" ")
    );
}

/// The oldest Python that Schemathesis works with.
const PYTHON: (u32, u32) = (3, 11);

/// Schemathesis, which tries the HTTP API by its description: what `tests/http/requirements.txt` names, in a folder of its
/// own under `target/`.
pub(crate) fn schemathesis(workspace: &Workspace) -> Result<PathBuf> {
    let version = read(Command::new("python3").arg("--version")).unwrap_or_default();
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut numbers = version.trim_start_matches("Python ").split('.');
    if (number(numbers.next()), number(numbers.next())) < PYTHON {
        let (major, minor) = PYTHON;
        bail!("Python {major}.{minor} or later is missing, which the tests of the HTTP API need: install it");
    }
    let requirements = workspace.tests().join("http/requirements.txt");
    let packages = ["--no-deps".as_ref(), "--requirement".as_ref(), requirements.as_os_str()];
    let inputs = Inputs::default().text(&version).path(&requirements)?;
    let programs = python(&workspace.target.join("schemathesis"), "Schemathesis", &packages, &inputs)?;
    Ok(programs.join("schemathesis"))
}

/// PostgreSQL's own programs are not on the path of Debian.
fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    folders.extend(
        std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .map(|v| v.path().join("bin")),
    );
    folders.iter().any(|folder| folder.join(program).is_file())
}

fn may_install() -> bool {
    is_debian() && is_root()
}

/// Installs Debian's packages.
fn install(packages: &[&str]) -> Result<()> {
    step(&format!("installing {} (apt)", packages.join(", ")), || {
        quiet(Command::new("apt-get").args(["update", "-q"]))?;
        quiet(
            Command::new("apt-get")
                .args(["install", "-q", "-y", "--no-install-recommends"])
                .args(packages)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
    })
}

fn installed_chromium() -> Option<PathBuf> {
    const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    const MACOS: [&str; 2] = [
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ];
    let path: OsString = env::var_os("PATH")?;
    NAMES
        .iter()
        .flat_map(|name| env::split_paths(&path).map(move |folder| folder.join(name)))
        .chain(MACOS.iter().map(PathBuf::from))
        .find(|candidate| candidate.is_file())
}

fn is_debian() -> bool {
    std::fs::read_to_string("/etc/os-release").is_ok_and(|text| text.lines().any(|line| line == "ID=debian"))
}

fn is_root() -> bool {
    read(Command::new("id").arg("-u")).as_deref() == Some("0")
}
