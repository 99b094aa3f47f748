//! The `tidings` command as its operator sees it: metrics, probes and limits.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio_tungstenite::tungstenite::{
    Error, Message, WebSocket,
    client::{IntoClientRequest, client},
};

/// No test waits this long, unless what it waits for never comes.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running gateway. Killed when it is dropped.
struct Serve {
    child: Child,
    address: SocketAddr,
    /// Where its metrics are, as it says.
    metrics: SocketAddr,
}

impl Serve {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.args(["serve", "--bind", "127.0.0.1:0"]).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the command");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut address = |what: &str| {
            let line = lines.by_ref().map(|line| line.expect("text")).find(|line| line.contains(what));
            let line = line.unwrap_or_else(|| panic!("nothing of {what}"));
            let url = line.split("http://").nth(1).expect("an address");
            url.split('/').next().expect("a host").parse().expect("an address")
        };
        let (address, metrics) = (address(" listening on "), address("/metrics"));
        Self { child, address, metrics }
    }

    fn connect(&self) -> WebSocket<TcpStream> {
        let url = format!("ws://{}/_broadcast", self.address);
        let (mut socket, _) = client(url, stream(self.address)).expect("an upgrade");
        assert!(text(&mut socket).starts_with(r#"{"t":"welcome""#));
        socket
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stream(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a listening gateway");
    stream.set_read_timeout(Some(DEADLINE)).expect("a TCP socket");
    stream
}

/// The answer to a request: its status and everything.
fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = stream(address);
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n")
        .expect("an open connection");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer[9..12].parse().expect("a status"), answer)
}

fn text(socket: &mut WebSocket<TcpStream>) -> String {
    socket.read().expect("a frame").into_text().expect("text").as_str().to_owned()
}

/// The code of the close that comes next.
fn closed(socket: &mut WebSocket<TcpStream>) -> u16 {
    loop {
        match socket.read() {
            Ok(Message::Close(Some(frame))) => return frame.code.into(),
            Ok(_) => {}
            Err(error) => panic!("no close: {error}"),
        }
    }
}

#[test]
fn metrics_where_clients_come_for_this_machine_only() {
    let serve = Serve::start(&[]);
    assert_eq!(serve.metrics, serve.address);
    let (status, answer) = get(serve.address, "/metrics", "");
    assert!(status == 200 && answer.contains("\ntidings_backplane_up 1\n"), "{answer}");
    let (status, answer) = get(serve.address, "/metrics", "x-forwarded-for: 192.0.2.1\r\n");
    assert!(status == 403 && !answer.contains("tidings_"), "{answer}");
}

#[test]
fn a_listener_for_operators() {
    let serve = Serve::start(&["--admin-bind", "127.0.0.1:0", "--workers", "1"]);
    assert_ne!(serve.metrics, serve.address);
    let _client = serve.connect();
    // A scraper may come by way of a proxy.
    let (status, answer) = get(serve.metrics, "/metrics", "x-forwarded-for: 192.0.2.1\r\n");
    assert!(status == 200 && answer.contains("\ntidings_connections 1\n"), "{answer}");
    for (path, expected) in
        [("/livez", 200), ("/readyz", 200), ("/api/publish", 404), ("/_broadcast", 404), ("/", 404)]
    {
        assert_eq!(get(serve.metrics, path, "").0, expected, "{path}");
    }
}

#[test]
fn the_operators_page_is_there_with_a_key() {
    let without = Serve::start(&["--admin-bind", "127.0.0.1:0"]);
    let (status, answer) = get(without.metrics, "/", "");
    assert!(
        status == 404 && answer.contains("--admin-keys-file") && answer.contains("NAME=SECRET"),
        "{answer}"
    );
    assert_eq!(get(without.metrics, "/operator/figures", "").0, 404);

    let flags = ["--admin-bind", "127.0.0.1:0", "--admin-key", "ann=0123456789abcdef", "--workers", "1"];
    let serve = Serve::start(&flags);
    let (status, answer) = get(serve.metrics, "/", "");
    assert!(status == 200 && answer.contains("<title>Tidings: operators</title>"), "{answer}");
    assert_eq!(get(serve.metrics, "/operator/figures", "").0, 401);
    let key = "authorization: Bearer 0123456789abcdef\r\n";
    let (status, answer) = get(serve.metrics, "/operator/figures", key);
    assert!(status == 200 && answer.contains(r#""backplane":"memory""#), "{answer}");
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(get(serve.metrics, path, "").0, 200, "{path}");
    }
    for path in ["/", "/page/main.js", "/operator/figures"] {
        assert_eq!(get(serve.address, path, key).0, 404, "{path}");
    }
}

#[test]
fn limits_are_as_the_options_say() {
    let arguments = "--frame-bytes 100 --channels-per-connection 2 --commands-per-second 1 --commands-burst 291 \
        --connections 3 --connections-per-address 2 --trusted-proxy 127.0.0.1";
    let serve = Serve::start(&arguments.split_whitespace().collect::<Vec<_>>());
    let mut large = serve.connect();
    large.send(Message::text("x".repeat(100))).expect("an open connection");
    large.send(Message::text("x".repeat(101))).expect("an open connection");
    assert_eq!(closed(&mut large), 1009);
    assert!(matches!(large.read(), Err(Error::ConnectionClosed)));
    let mut busy = serve.connect();
    for channel in ["a", "b", "c"] {
        busy.send(Message::text(format!(r#"{{"t":"sub","c":"{channel}"}}"#))).expect("an open connection");
    }
    let mut answers = [text(&mut busy), text(&mut busy), text(&mut busy)];
    answers.sort();
    assert_eq!(answers[0], r#"{"t":"err","c":"c","r":"too many channels"}"#);
    assert!(answers[1].starts_with(r#"{"t":"ok","c":"a""#) && answers[2].starts_with(r#"{"t":"ok","c":"b""#));
    let _other = serve.connect();
    let from = |address: &str| {
        let headers = format!("x-forwarded-for: {address}\r\n");
        get(serve.address, "/_broadcast/sse", &headers)
    };
    // Let in, and then refused for what it asks; and not let in.
    assert_eq!(from("192.0.2.1").0, 400);
    assert_eq!(get(serve.address, "/_broadcast/sse", "").0, 503);
    let _third = {
        let url = format!("ws://{}/_broadcast", serve.address);
        let mut request = url.into_client_request().expect("a URL");
        request.headers_mut().insert("x-forwarded-for", "192.0.2.1".parse().expect("a value"));
        client(request, stream(serve.address)).expect("an upgrade")
    };
    assert_eq!(from("192.0.2.2").0, 503);
    for _ in 0..320 {
        // It may be closed in the middle.
        let _ = busy.send(Message::text("nonsense"));
    }
    assert_eq!(closed(&mut busy), 4029);
}

#[test]
fn limits_that_are_only_watched() {
    let arguments =
        "--commands-per-second 1 --commands-burst 417 --connections-per-address 1 --dry-run-limits";
    let serve = Serve::start(&arguments.split_whitespace().collect::<Vec<_>>());
    let (_one, mut two) = (serve.connect(), serve.connect());
    for _ in 0..600 {
        two.send(Message::text("nonsense")).expect("an open connection");
    }
    two.send(Message::text(r#"{"t":"sub","c":"a"}"#)).expect("an open connection");
    assert!(text(&mut two).starts_with(r#"{"t":"ok","c":"a""#));
    let (_, answer) = get(serve.metrics, "/metrics", "");
    assert!(answer.contains("tidings_dry_run_excess_total{limit=\"address\"} 1\n"), "{answer}");
    assert!(!answer.contains("tidings_dry_run_excess_total{limit=\"commands\"} 0\n"), "{answer}");
}

#[test]
fn what_is_wrong_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("an address").to_string();
    for (arguments, parts) in [
        (&["--admin-bind", &*taken][..], &["--admin-bind", &*taken][..]),
        (&["--admin-bind", "nowhere"], &["--admin-bind", "nowhere", "ADDR:PORT"]),
        (&["--admin-key", "ann=0123456789abcdef"], &["--admin-key", "--admin-bind"]),
        (
            &["--admin-bind", "127.0.0.1:0", "--admin-key", "ann=hunter2"],
            &["--admin-key number 1", "16 to 256"],
        ),
        (&["--admin-keys-file", "/nowhere/keys"], &["--admin-keys-file", "/nowhere/keys"]),
        (&["--frame-bytes", "0"], &["--frame-bytes", "0"]),
        (
            &["--commands-burst", "416"],
            &["commands_burst", "416", "417 or more", "channels_per_connection = 128"],
        ),
        (&["--trusted-proxy", "proxy.example"], &["trusted proxy", "proxy.example", "10.0.0.0/8"]),
        (&["--connections-per-address", "-1"], &["-1"]),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        let output = command.args(["serve", "--bind", "127.0.0.1:0"]).args(arguments).output();
        let output = output.expect("the command");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
        assert!(parts.iter().all(|part| stderr.contains(part)), "{arguments:?}: {stderr}");
    }
}
