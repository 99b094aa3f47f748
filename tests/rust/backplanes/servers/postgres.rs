//! PostgreSQL in a temporary folder, on a free port.

use super::Port;
use std::{
    ffi::CString,
    fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tidings_server::PostgresOptions;
use tokio_postgres::{Client, NoTls};

/// A server. Killed when it is dropped, with its folder.
pub(crate) struct Server {
    folder: PathBuf,
    port: Port,
    child: Option<Child>,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// One server for the tests that do it no harm. It ends with this process.
pub(crate) async fn shared() -> &'static Server {
    tokio::task::spawn_blocking(|| {
        SHARED.get_or_init(|| {
            // SAFETY: a function that does not unwind.
            unsafe { libc::atexit(end_shared) };
            Server::start()
        })
    })
    .await
    .expect("a server")
}

static SHARED: OnceLock<Server> = OnceLock::new();

/// What is static is not dropped.
extern "C" fn end_shared() {
    if let Some(server) = SHARED.get() {
        server.signal(libc::SIGKILL);
        let _ = fs::remove_dir_all(&server.folder);
    }
}

fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> =
        versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no {name} in /usr/lib/postgresql: apt-get install postgresql"))
}

/// PostgreSQL does not run as root: then as the user that its package has made.
fn user() -> Option<(u32, u32)> {
    // SAFETY: no other thread of the tests reads the table of users.
    unsafe {
        if libc::geteuid() != 0 {
            return None;
        }
        let name = CString::new("postgres").expect("no NUL");
        let entry = libc::getpwnam(name.as_ptr());
        assert!(!entry.is_null(), "no user postgres: apt-get install postgresql");
        Some(((*entry).pw_uid, (*entry).pw_gid))
    }
}

pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = user() {
        command.uid(user).gid(group);
    }
    command.current_dir("/").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command.process_group(0);
    command
}

fn run(command: &mut Command) {
    let output = command.output().expect("a program");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn folder(name: &str) -> PathBuf {
    let folder = super::folder(name);
    own(&folder);
    folder
}

/// Makes it the server's.
fn own(path: &Path) {
    if let Some((user, group)) = user() {
        std::os::unix::fs::chown(path, Some(user), Some(group)).expect("root");
    }
}

impl Server {
    /// A new one, which keeps nothing when the machine fails, but does when its processes do.
    pub(crate) fn start() -> Self {
        Self::with(folder("postgres"), "")
    }

    /// One that encrypts, for who asks for it.
    pub(crate) fn start_with_tls(certificate: &Path, key: &Path) -> Self {
        let folder = folder("postgres");
        // The key has to be its own, and nobody else's.
        for (from, name) in [(certificate, "server.pem"), (key, "server.key")] {
            let to = folder.join(name);
            fs::copy(from, &to).expect("copied");
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("its own");
            own(&to);
        }
        let files =
            format!("ssl_cert_file = '{0}/server.pem'\nssl_key_file = '{0}/server.key'", folder.display());
        Self::with(folder, &format!("ssl = on\n{files}\n"))
    }

    fn with(folder: PathBuf, more: &str) -> Self {
        let data = folder.join("data");
        run(command(&program("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "-D"])
            .arg(&data));
        let mut settings = fs::read_to_string(data.join("postgresql.conf")).expect("settings");
        settings.push_str(
            "fsync = off\nmax_connections = 1000\nmax_wal_senders = 5\nunix_socket_directories = ''\n",
        );
        settings.push_str(more);
        fs::write(data.join("postgresql.conf"), settings).expect("settings");
        let mut server = Self { folder, port: Port::hold(), child: None };
        server.resume();
        server
    }

    /// A standby of this one, by asynchronous replication.
    pub(crate) fn standby(&self) -> Self {
        let folder = folder("postgres");
        run(command(&program("pg_basebackup"))
            .args(["--no-sync", "-c", "fast", "-R", "-X", "stream", "-d", &self.url("postgres"), "-D"])
            .arg(folder.join("data")));
        let mut server = Self { folder, port: Port::hold(), child: None };
        server.resume();
        server
    }

    /// Starts it again after it was killed.
    pub(crate) fn resume(&mut self) {
        let deadline = std::time::Instant::now() + crate::node::PATIENCE;
        let port = self.port.number().to_string();
        loop {
            // It ends at once while a process of the server before it has not.
            if self.child.as_mut().is_none_or(|child| child.try_wait().expect("a child").is_some()) {
                self.child = Some(self.spawn());
            }
            let mut ready = Command::new(program("pg_isready"));
            ready.args(["-q", "-h", "127.0.0.1", "-U", "postgres", "-p", &port]);
            if ready.status().expect("pg_isready").success() {
                return;
            }
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(std::time::Instant::now() < deadline, "{}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn spawn(&self) -> Child {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).expect("a log");
        let mut started = command(&program("postgres"));
        started.arg("-D").arg(self.folder.join("data")).args(["-c", "listen_addresses=127.0.0.1", "-p"]);
        started.arg(self.port.number().to_string()).stdout(Stdio::null()).stderr(log);
        started.spawn().expect("a server")
    }

    /// Sends a signal to all of its processes, which are a group each.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        let Some(child) = &self.child else { return };
        // SAFETY: a number of a process that this one has started, or that its child has.
        let send = |id: &str, signal| unsafe { libc::kill(id.parse().expect("a number"), signal) };
        let main = child.id().to_string();
        // Where it stands still it makes no more of them meanwhile.
        send(&main, libc::SIGSTOP);
        while self.state().is_some_and(|state| !['T', 'Z'].contains(&state)) {
            thread::sleep(Duration::from_millis(1));
        }
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap_or_default();
        for id in children.split_whitespace().chain([main.as_str()]) {
            send(id, signal);
        }
    }

    /// Of its main process, in a letter, as Linux has it.
    fn state(&self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.as_ref()?.id())).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    pub(crate) fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        if let Some(mut child) = self.child.take() {
            child.wait().expect("a child");
        }
    }

    /// Sends a signal to the process of a standby that hears of its primary.
    pub(crate) fn signal_receiver(&self, signal: libc::c_int) {
        let Some(child) = &self.child else { return };
        let main = child.id();
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).expect("a process");
        for id in children.split_whitespace() {
            let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            if line.contains("walreceiver") {
                // SAFETY: a process of a server that this one has started.
                unsafe { libc::kill(id.parse().expect("a number"), signal) };
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(crate) fn url(&self, database: &str) -> String {
        url(self.address(), database)
    }

    /// The name of a new database, with a ledger.
    pub(crate) async fn database(&self) -> String {
        let name = self.empty_database().await;
        let config: PostgresOptions = self.url(&name).parse().expect("a URL");
        config.migrate().await.expect("a ledger");
        name
    }

    pub(crate) async fn empty_database(&self) -> String {
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres")
            .await
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .expect("a database");
        name
    }

    /// A connection of another program, once the server takes connections.
    pub(crate) async fn sql_when_ready(&self, database: &str) -> Client {
        let ready = async {
            loop {
                if let Ok((client, connection)) = tokio_postgres::connect(&self.url(database), NoTls).await {
                    tokio::spawn(connection);
                    return client;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(crate::node::PATIENCE, ready).await.expect("a server")
    }

    /// A connection of another program.
    pub(crate) async fn sql(&self, database: &str) -> Client {
        let (client, connection) =
            tokio_postgres::connect(&self.url(database), NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// PgBouncer in transaction mode, in front of a server. Killed when it is dropped, with its folder.
pub(crate) struct Bouncer {
    child: Child,
    folder: PathBuf,
    port: Port,
}

impl Bouncer {
    pub(crate) async fn start(server: &Server, database: &str) -> Self {
        let (folder, port) = (folder("pgbouncer"), Port::hold());
        let users = folder.join("users");
        fs::write(&users, "\"postgres\" \"\"\n").expect("a file");
        let (behind, listens) = (server.address().port(), port.number());
        let settings = format!(
            "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {listens}\nunix_socket_dir =\nauth_type = any\n\
             auth_file = {}\npool_mode = transaction\ndefault_pool_size = 10\n\
             [databases]\n{database} = host=127.0.0.1 port={behind} user=postgres\n",
            users.display()
        );
        fs::write(folder.join("settings.ini"), settings).expect("a file");
        let program = Path::new("/usr/sbin/pgbouncer");
        assert!(program.exists(), "no {}: apt-get install pgbouncer", program.display());
        let child = command(program)
            .arg("-q")
            .arg(folder.join("settings.ini"))
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("pgbouncer");
        let bouncer = Self { child, folder, port };
        let ready = async {
            while tokio::net::TcpStream::connect(bouncer.port.address()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(crate::node::PATIENCE, ready).await.expect("it listens");
        bouncer
    }

    pub(crate) fn url(&self, database: &str) -> String {
        url(self.port.address(), database)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn url(address: SocketAddr, database: &str) -> String {
    format!("postgres://postgres@{address}/{database}?sslmode=disable")
}
