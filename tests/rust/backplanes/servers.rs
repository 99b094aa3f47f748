//! The real servers, each from Debian's package.

pub(crate) mod nats;
pub(crate) mod postgres;
pub(crate) mod redis;

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::Child,
    sync::atomic::{AtomicU32, Ordering},
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

/// Stops a process (SIGSTOP), or lets it go on (SIGCONT).
fn freeze(process: &Child, frozen: bool) {
    let signal = if frozen { libc::SIGSTOP } else { libc::SIGCONT };
    // SAFETY: a signal to a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(process.id().cast_signed(), signal) }, 0);
}
