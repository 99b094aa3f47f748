//! The real servers, each from Debian's package.

pub(crate) mod nats;
pub(crate) mod postgres;
pub(crate) mod redis;

use crate::node::PATIENCE;
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};
use tokio::net::TcpSocket;

/// A port of 127.0.0.1 that is the test's for as long as this is there, between two lives of a server too: the kernel gives
/// it to nobody else, and no connection begins there. Nobody listens until a server does, by `SO_REUSEADDR`, as all
/// of ours do.
pub(crate) struct Port {
    address: SocketAddr,
    _held: TcpSocket,
}

impl Port {
    pub(crate) fn hold() -> Self {
        let hold = || {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
            io::Result::Ok(Self { address: socket.local_addr()?, _held: socket })
        };
        hold().expect("a free port")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn number(&self) -> u16 {
        self.address.port()
    }
}

/// A new one, for who removes it in the end.
pub(crate) fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let name = format!("tidings-{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        match fs::create_dir(&folder) {
            Ok(()) => return folder,
            // A process that had this number was killed and has left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => panic!("{}: {error}", folder.display()),
        }
    }
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
