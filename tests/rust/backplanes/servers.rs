//! The real servers, each from Debian's package.

pub(crate) mod nats;
pub(crate) mod postgres;
pub(crate) mod redis;

use crate::node::PATIENCE;
use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port").port()
}

/// A new one, for who removes it in the end.
pub(crate) fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("tidings-{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Makes `to` what `from` is.
pub(crate) fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.expect("cp").success());
}

/// Waits for a server that was started.
fn until(answers: impl Fn() -> bool, log: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !answers() {
        let log = || fs::read_to_string(log).unwrap_or_default();
        assert!(Instant::now() < deadline, "the server does not answer: {}", log());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Stops a process (SIGSTOP), or lets it go on (SIGCONT).
fn freeze(process: &Child, frozen: bool) {
    let signal = if frozen { libc::SIGSTOP } else { libc::SIGCONT };
    // SAFETY: a signal to a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(process.id().cast_signed(), signal) }, 0);
}
