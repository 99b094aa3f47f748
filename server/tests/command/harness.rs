//! The command, run as a process, and what is around it.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};
use tokio_tungstenite::tungstenite::{WebSocket, client};

/// No test waits this long, unless what it waits for never comes.
const DEADLINE: Duration = Duration::from_secs(60);

/// The command with these arguments, and with no settings from this process's environment.
pub(crate) fn tidings(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TIDINGS_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running gateway. Killed when it is dropped.
pub(crate) struct Serve {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) stdout: BufReader<ChildStdout>,
}

impl Serve {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--bind", "127.0.0.1:0"], arguments].concat();
        Self::spawn(tidings(&arguments).stderr(Stdio::inherit()))
    }

    /// Starts what listens on a free port.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the command");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("text");
        let address = line.trim().rsplit("://").next().expect("an address");
        assert!(line.starts_with("tidings ") && line.contains(" listening on http"), "{line}");
        Self { child, address: address.parse().expect("an address"), stdout }
    }

    pub(crate) fn connect(&self) -> WebSocket<TcpStream> {
        let (mut socket, _) =
            client(format!("ws://{}/_broadcast", self.address), self.stream()).expect("an upgrade");
        assert!(text(&mut socket).starts_with(r#"{"t":"welcome""#));
        socket
    }

    pub(crate) fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a listening gateway");
        stream.set_read_timeout(Some(DEADLINE)).expect("a TCP socket");
        stream
    }

    /// The answer to a request: its status and everything.
    pub(crate) fn request(&self, line: &str, body: &str) -> (u16, String) {
        self.request_with(line, "accept: */*", body)
    }

    /// With one header more.
    pub(crate) fn request_with(&self, line: &str, header: &str, body: &str) -> (u16, String) {
        let mut stream = self.stream();
        let length = body.len();
        write!(
            stream,
            "{line} HTTP/1.1\r\nhost: {}\r\n{header}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}",
            self.address
        )
        .expect("an open connection");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (answer[9..12].parse().expect("a status"), answer)
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().expect("kill").success());
    }

    /// What it logs from now on, when that is piped.
    pub(crate) fn log(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.child.stderr.take().expect("piped"))
    }

    /// Waits for the end; the exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        let (ended, end) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| ended.send(self.child.wait().expect("a child")));
            end.recv_timeout(DEADLINE).expect("an end in time").code()
        })
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn text(socket: &mut WebSocket<TcpStream>) -> String {
    socket.read().expect("a frame").into_text().expect("text").as_str().to_owned()
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    tidings(arguments).output().expect("the command")
}

/// The command fails at once, and says something with each of `parts` in it.
pub(crate) fn assert_fails(arguments: &[&str], parts: &[&str]) {
    let output = run(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}");
    assert!(parts.iter().all(|part| stderr.contains(part)), "{arguments:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// A folder of this test's own. Removed when it is dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Folder {
    /// Makes a file in it; its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
