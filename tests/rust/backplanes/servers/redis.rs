//! A Redis of our own.

use super::{Port, folder, freeze, until};
use crate::node::PATIENCE;
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// `redis-server` on a port and in a folder of its own; it is killed when this is dropped.
pub(crate) struct Redis {
    port: Port,
    folder: PathBuf,
    /// With what it listens on this port.
    listens: &'static str,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Redis {
    /// Starts one that keeps nothing on disk, unless `arguments` say otherwise, and waits until it answers.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at("--port", arguments, "")
    }

    pub(crate) fn start_with_tls(arguments: &[&str]) -> Self {
        Self::start_at("--tls-port", &[&["--port", "0"], arguments].concat(), "")
    }

    /// A Sentinel; `settings` is its file.
    pub(crate) fn start_sentinel(settings: &str) -> Self {
        Self::start_at("sentinel", &["--sentinel"], settings)
    }

    fn start_at(listens: &'static str, arguments: &[&str], settings: &str) -> Self {
        let (port, folder) = (Port::hold(), folder("redis"));
        fs::write(folder.join("sentinel.conf"), settings).expect("a file");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut redis = Self { port, folder, listens, arguments, process: None };
        redis.start_again();
        redis
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts it after [`kill`](Self::kill), with what it has on disk.
    pub(crate) fn start_again(&mut self) {
        let mut command = Command::new("redis-server");
        let port = self.port.number().to_string();
        if self.listens == "sentinel" {
            command.args(["sentinel.conf", "--port", &port, "--bind", "127.0.0.1"]);
        } else {
            command.args([self.listens, &port, "--bind", "127.0.0.1", "--save", ""]);
        }
        let log = self.folder.join("log");
        let process = command
            .args(&self.arguments)
            .current_dir(&self.folder)
            .stdout(File::create(&log).expect("a file"))
            .process_group(0)
            .spawn()
            .expect("redis-server runs: install Debian's package redis-server");
        self.process = Some(process);
        until(|| self.answers(), &log);
    }

    /// Whether it has loaded what it has; one that wants a password answers too, and one that wants TLS takes connections.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address()) else { return false };
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        let mut answer = [0; 8];
        match stream.write_all(b"PING\r\n").and_then(|()| stream.read(&mut answer)) {
            Ok(read) => !answer[..read].starts_with(b"-LOADING"),
            Err(_) => true,
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it runs");
            process.wait().expect("it ends");
        }
    }

    /// Stops the process (SIGSTOP), or lets it go on (SIGCONT).
    pub(crate) fn freeze(&self, frozen: bool) {
        freeze(self.process.as_ref().expect("it runs"), frozen);
    }

    /// What `redis-cli` prints.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        self.run_cli(arguments, Stdio::null())
    }

    /// The same, of lines that are said over one connection.
    pub(crate) fn cli_all(&self, lines: &str) -> String {
        let file = self.folder.join("said");
        fs::write(&file, lines).expect("a file");
        self.run_cli(&[], File::open(file).expect("a file").into())
    }

    fn run_cli(&self, arguments: &[&str], input: Stdio) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.number().to_string()])
            .args(arguments)
            .stdin(input)
            .output()
            .expect("redis-cli runs: install Debian's package redis-tools");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
