use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// An HTTP response.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a request: its first line without the version, its headers, its body.
pub(crate) async fn request(address: SocketAddr, line: &str, headers: &[&str], body: &str) -> Answer {
    let mut text = format!("{line} HTTP/1.1\r\nhost: {address}\r\n");
    if !line.starts_with("GET ") {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    let mut stream = TcpStream::connect(address).await.expect("a listening gateway");
    stream.write_all(format!("{text}\r\n{body}").as_bytes()).await.expect("an open connection");
    answer(&mut stream, line.starts_with("HEAD")).await.0
}

/// Reads the head of an answer, and its body when its length is told, unless the head is all; and what has come behind.
pub(crate) async fn answer(stream: &mut TcpStream, head_only: bool) -> (Answer, Vec<u8>) {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        let n = stream.read_buf(&mut bytes).await.expect("an answer");
        assert!(n > 0, "an end before an answer: {:?}", String::from_utf8_lossy(&bytes));
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
    let status = head[9..12].parse().expect("a status");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let length: usize = if head_only { 0 } else { length.parse().expect("a length") };
    while bytes.len() < head_end + length {
        assert!(stream.read_buf(&mut bytes).await.expect("an answer") > 0, "a whole body");
    }
    let rest = bytes.split_off(head_end + length);
    let body = String::from_utf8_lossy(&bytes[head_end..]).into_owned();
    (Answer { status, head, body }, rest)
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}
