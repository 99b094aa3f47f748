//! What floods cost a `tidings` process in memory: no more than its limits allow, and a second one no more than the
//! first.
#![cfg(target_os = "linux")]

use socket2::{Domain, Socket, Type};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// No test waits this long, unless what it waits for never comes.
const DEADLINE: Duration = Duration::from_secs(120);

const KB: usize = 1024;

/// A running gateway. Killed when it is dropped.
struct Tidings {
    child: Child,
    address: SocketAddr,
    _stdout: BufReader<ChildStdout>,
}

impl Tidings {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .args(["serve", "--bind", "127.0.0.1:0", "--workers", "1", "--connections-per-second", "1000000"])
            // Which would end a flood before it costs anything.
            .args(["--commands-per-second", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("text");
        let address = line.trim().rsplit("http://").next().expect("an address").parse().expect("an address");
        let tidings = Self { child, address, _stdout: stdout };
        // What is needed once is there.
        for _ in 0..50 {
            tidings.connect().subscribe("warm");
        }
        tidings
    }

    fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a listening gateway");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(DEADLINE)).expect("a TCP socket");
        stream.set_write_timeout(Some(DEADLINE)).expect("a TCP socket");
        stream
    }

    fn connect(&self) -> Client {
        self.shake_hands(self.stream())
    }

    /// A client for which the system takes little that it does not read.
    fn connect_narrow(&self) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4 * KB).expect("a size");
        socket.connect(&self.address.into()).expect("a listening gateway");
        socket.set_read_timeout(Some(DEADLINE)).expect("a TCP socket");
        socket.set_write_timeout(Some(DEADLINE)).expect("a TCP socket");
        self.shake_hands(socket.into())
    }

    fn shake_hands(&self, stream: TcpStream) -> Client {
        let mut client = Client(stream);
        let head = format!(
            "GET /_broadcast HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        );
        client.send(head.as_bytes());
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.0.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        assert!(client.text().starts_with(r#"{"t":"welcome""#));
        client
    }

    /// Resident memory in bytes.
    fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * KB
    }

    /// Connections that were closed with 4008.
    fn closed_as_too_slow(&self) -> usize {
        let mut stream = self.stream();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("an open connection");
        let mut metrics = String::new();
        stream.read_to_string(&mut metrics).expect("text");
        let name = r#"tidings_connections_closed_total{side="gateway",code="4008"} "#;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("the metric");
        line.parse().expect("a number")
    }

    /// Memory does not stay above `most`, and others are served.
    fn settles_below(&self, most: usize, what: &str) {
        self.connect().subscribe("other");
        let resident = self.resident();
        println!("{what}: {} KB of at most {} KB", resident / KB, most / KB);
        assert!(resident <= most, "{what}: {} KB are more than {} KB", resident / KB, most / KB);
    }
}

impl Drop for Tidings {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Frames with a mask of zeros, which is a mask like any other.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..126 => frame.push(0x80 | n as u8),
        n => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(n).expect("a short payload").to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

struct Client(TcpStream);

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("an open connection");
    }

    /// The next frame's first byte and payload.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut header = [0; 2];
        self.0.read_exact(&mut header).expect("a frame");
        let length = match header[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).expect("a frame");
                usize::from(u16::from_be_bytes(length))
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).expect("a frame");
        (header[0], payload)
    }

    fn text(&mut self) -> String {
        let (first, payload) = self.frame();
        assert_eq!(first, 0x81);
        String::from_utf8(payload).expect("UTF-8")
    }

    fn subscribe(&mut self, channel: &str) {
        self.send(&frame(0x81, format!(r#"{{"t":"sub","c":"{channel}"}}"#).as_bytes()));
        let answer = self.text();
        assert!(answer.starts_with(&format!(r#"{{"t":"ok","c":"{channel}""#)), "{answer}");
    }

    /// The gateway has read all that was sent, and answers.
    fn is_heard(&mut self) {
        self.send(&frame(0x89, b"heard?"));
        while self.frame() != (0x8a, b"heard?".to_vec()) {}
    }
}

#[test]
fn pings_whose_answers_are_not_read() {
    const CLIENTS: usize = 2;
    let tidings = Tidings::start();
    let base = tidings.resident();
    let some = frame(0x89, b"eight by").repeat(1_000);
    let clients: Vec<Client> = (0..CLIENTS).map(|_| tidings.connect_narrow()).collect();
    let mut most = base;
    thread::scope(|scope| {
        for client in &clients {
            // Until the gateway takes no more of it, however much of the answers the system's buffers hold.
            scope.spawn(|| while (&client.0).write_all(&some).is_ok() {});
        }
        let started = Instant::now();
        while tidings.closed_as_too_slow() < CLIENTS {
            most = most.max(tidings.resident());
            assert!(started.elapsed() < DEADLINE, "{} are closed", tidings.closed_as_too_slow());
            // The flood needs the machine more.
            thread::sleep(Duration::from_millis(20));
        }
        tidings.settles_below(base + CLIENTS * 3 * KB * KB, "unread pongs");
        // The gateway may have done so already.
        clients.iter().for_each(|client| drop(client.0.shutdown(Shutdown::Both)));
    });
    // A queue has 1 MiB, and is closed when it is full.
    assert!(most <= base + CLIENTS * 3 * KB * KB, "{} KB while it was flooded", most / KB);
}

#[test]
fn frames_and_messages_that_are_never_whole() {
    const CLIENTS: usize = 200;
    let tidings = Tidings::start();
    let base = tidings.resident();
    let part = frame(0x01, &[b'x'; 40 * KB]);
    let more = frame(0x00, &[b'x'; 23 * KB]);
    let begun = [&[0x81, 0xfe], &u16::MAX.to_be_bytes()[..], &[0; 4], &[b'x'; 60 * KB]].concat();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| tidings.connect()).collect();
    for client in &mut clients {
        client.send(&[&part[..], &more].concat());
        client.is_heard();
        client.send(&begun);
    }
    // 64 KiB of a message and 64 KiB of a frame, in buffers of up to twice their size, and a connection each.
    tidings.settles_below(base + CLIENTS * 5 * 64 * KB, "unfinished frames");
}

#[test]
fn heads_that_are_never_whole() {
    const CLIENTS: usize = 200;
    let tidings = Tidings::start();
    let base = tidings.resident();
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "x".repeat(120 * KB));
    let mut streams: Vec<TcpStream> = (0..CLIENTS).map(|_| tidings.stream()).collect();
    for stream in &mut streams {
        stream.write_all(head.as_bytes()).expect("an open connection");
    }
    // 128 KiB of a head, in a buffer of up to twice that.
    let most = base + CLIENTS * 2 * 128 * KB;
    tidings.settles_below(most, "unfinished heads");
    for mut stream in streams {
        let mut answer = Vec::new();
        // What was not read of it may make the end a reset.
        let _ = stream.read_to_end(&mut answer);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "),
            "{:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    tidings.settles_below(most, "when they have gone");
}

/// By default the gateway remembers channels that were looked at, for those who come back; not as many as one likes.
#[test]
fn names_that_nobody_uses() {
    const NAMES: usize = 150_000;
    let tidings = Tidings::start();
    let mut client = tidings.connect();
    let mut base = 0;
    for round in 0..2 {
        for n in (0..NAMES).step_by(100) {
            let one = |n: usize| {
                let sub = format!(r#"{{"t":"sub","c":"round.{round}.{n}"}}"#);
                [frame(0x81, sub.as_bytes()), frame(0x81, sub.replace("sub", "unsub").as_bytes())].concat()
            };
            let some: Vec<u8> = (n..n + 100).flat_map(one).collect();
            client.send(&some);
            client.is_heard();
        }
        if round == 0 {
            base = tidings.resident();
        }
    }
    tidings.settles_below(base + base / 4, "names");
}

#[test]
fn connections_that_come_and_go() {
    const CONNECTIONS: usize = 2_000;
    let tidings = Tidings::start();
    let mut base = 0;
    for round in 0..3 {
        for n in 0..CONNECTIONS {
            match n % 4 {
                0 => drop(tidings.connect()),
                1 => tidings.connect().subscribe("a"),
                2 => drop(tidings.stream().write_all(b"GET / HTTP/1.1\r\n")),
                _ => {
                    let mut stream = tidings.stream();
                    let get = "GET /_broadcast/sse?channel=a HTTP/1.1\r\nhost: a\r\n\r\n";
                    stream.write_all(get.as_bytes()).expect("an open connection");
                    stream.read_exact(&mut [0; 12]).expect("an answer");
                }
            }
        }
        if round == 0 {
            base = tidings.resident();
        }
    }
    tidings.settles_below(base + base / 4, "connections");
}
