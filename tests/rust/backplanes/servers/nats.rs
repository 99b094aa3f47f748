//! `nats-server`: one, or a cluster, each with a folder of its own.

use super::{Port, folder, freeze, until};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A server. It ends, with its folder, when it is dropped.
pub(crate) struct Server {
    folder: PathBuf,
    pub(crate) address: SocketAddr,
    /// The one for its clients, and the one for the other servers of its cluster.
    _ports: Vec<Port>,
    process: Option<Child>,
}

impl Server {
    /// One server.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// One server, with `settings` besides JetStream.
    pub(crate) fn with(settings: &str) -> Self {
        Self::at(Vec::new(), settings)
    }

    /// Three servers that know each other.
    pub(crate) fn cluster() -> [Self; 3] {
        let routes = [Port::hold(), Port::hold(), Port::hold()];
        let from = routes.each_ref().map(Port::number);
        Self::cluster_over(routes, from)
    }

    /// Three servers that listen for each other at `routes`, and are found there at the ports `from` outside.
    pub(crate) fn cluster_over(routes: [Port; 3], from: [u16; 3]) -> [Self; 3] {
        let known = from.map(|port| format!("nats://127.0.0.1:{port}")).join(", ");
        let mut outside = from.into_iter();
        routes.map(|route| {
            let (port, outside) = (route.number(), outside.next().expect("as many"));
            let settings = format!(
                "server_name: s{port}\nping_interval: \"1s\"\ncluster {{ name: c, listen: \"127.0.0.1:{port}\", \
                 advertise: \"127.0.0.1:{outside}\", routes: [{known}], no_advertise: true }}\n"
            );
            Self::at(vec![route], &settings)
        })
    }

    fn at(mut ports: Vec<Port>, settings: &str) -> Self {
        let (folder, port) = (folder("nats"), Port::hold());
        let address = port.address();
        ports.push(port);
        let store = folder.join("store");
        let config = format!(
            "listen: \"{address}\"\n{settings}\njetstream {{ store_dir: {store:?}, max_mem: 256M, max_file: 1G }}\n"
        );
        fs::write(folder.join("nats.conf"), config).expect("a configuration");
        let mut server = Self { folder, address, _ports: ports, process: None };
        server.restart();
        server
    }

    /// `nats://` and the address.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Where the streams are.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Starts it, again: until it answers.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let process = Command::new("nats-server")
            .arg("-c")
            .arg(self.folder.join("nats.conf"))
            .args(["-l".as_ref(), self.folder.join("log").as_os_str()])
            .stdin(Stdio::null())
            .spawn()
            .expect("nats-server is installed (Debian: apt-get install nats-server)");
        self.process = Some(process);
        until(|| self.answers(), &self.folder.join("log"));
    }

    fn answers(&self) -> bool {
        let Ok(stream) = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)) else {
            return false;
        };
        stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket option");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).is_ok_and(|_| line.starts_with("INFO"))
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("SIGKILL");
            process.wait().expect("an end");
        }
    }

    /// Stops the process (SIGSTOP), or lets it go on (SIGCONT).
    pub(crate) fn freeze(&self, frozen: bool) {
        freeze(self.process.as_ref().expect("a process"), frozen);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
