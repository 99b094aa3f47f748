use super::{Answer, Running, answer};
use std::collections::VecDeque;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A reader of server-sent events, which keeps what an `EventSource` keeps.
pub(crate) struct Stream {
    socket: TcpStream,
    /// The head of the answer.
    pub(crate) head: Answer,
    raw: Vec<u8>,
    text: String,
    blocks: VecDeque<String>,
    ended: bool,
    /// The last event id.
    pub(crate) id: String,
    /// How long to wait before coming back, in milliseconds.
    pub(crate) retry: Option<u64>,
}

/// An event as an `EventSource` dispatches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) event: String,
    pub(crate) data: String,
}

impl Stream {
    /// Opens `/_broadcast/sse` with this query.
    pub(crate) async fn open(server: &Running, query: &str) -> Self {
        Self::open_with(server, query, &[]).await
    }

    /// Comes back with the id that another one had.
    pub(crate) async fn resume(server: &Running, query: &str, id: &str) -> Self {
        Self::open_with(server, query, &[&format!("last-event-id: {id}")]).await
    }

    pub(crate) async fn open_with(server: &Running, query: &str, headers: &[&str]) -> Self {
        let mut socket = TcpStream::connect(server.address).await.expect("a listening gateway");
        let mut request = format!("GET /_broadcast/sse?{query} HTTP/1.1\r\nhost: {}\r\n", server.address);
        headers.iter().for_each(|header| request.push_str(&format!("{header}\r\n")));
        request.push_str("\r\n");
        socket.write_all(request.as_bytes()).await.expect("an open connection");
        let (head, raw) = answer(&mut socket, false).await;
        assert_eq!(head.status, 200, "{}", head.body);
        let (text, blocks, id) = (String::new(), VecDeque::new(), String::new());
        let mut stream = Self { socket, head, raw, text, blocks, ended: false, id, retry: None };
        if stream.head.header("content-length").is_some() {
            stream.ended = true;
            stream.text = std::mem::take(&mut stream.head.body);
            stream.take_blocks();
        }
        stream
    }

    /// The text up to the next blank line; `None` at the end of the stream.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(block) = self.blocks.pop_front() {
                return Some(block);
            }
            if self.ended {
                assert!(self.text.is_empty(), "half an event: {:?}", self.text);
                return None;
            }
            if !self.take_chunk() && self.socket.read_buf(&mut self.raw).await.unwrap_or(0) == 0 {
                self.ended = true;
            }
        }
    }

    /// Takes one whole chunk out of what was read.
    fn take_chunk(&mut self) -> bool {
        let Some(at) = self.raw.windows(2).position(|w| w == b"\r\n") else { return false };
        let size = std::str::from_utf8(&self.raw[..at]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if self.raw.len() < at + 2 + size + 2 {
            return false;
        }
        self.ended = size == 0;
        self.text.push_str(std::str::from_utf8(&self.raw[at + 2..][..size]).expect("whole characters"));
        self.raw.drain(..at + 2 + size + 2);
        self.take_blocks();
        true
    }

    fn take_blocks(&mut self) {
        while let Some(end) = self.text.find("\n\n") {
            self.blocks.push_back(self.text[..end].to_owned());
            self.text.drain(..end + 2);
        }
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        loop {
            let block = self.block().await?;
            if let Some(heard) = self.take(&block) {
                return Some(heard);
            }
        }
    }

    /// What an `EventSource` makes of a block.
    fn take(&mut self, block: &str) -> Option<Heard> {
        let (mut event, mut data) = ("message".to_owned(), Vec::new());
        for line in block.lines() {
            let (field, value) = line.split_once(':').expect("a field");
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => {}
                "event" => value.clone_into(&mut event),
                "id" => value.clone_into(&mut self.id),
                "data" => data.push(value),
                "retry" => self.retry = Some(value.parse().expect("milliseconds")),
                other => panic!("an unknown field {other}: {block}"),
            }
        }
        (!data.is_empty()).then(|| Heard { event, data: data.join("\n") })
    }

    /// The next event is this one.
    pub(crate) async fn expect(&mut self, event: &str, data: &str) {
        let heard = self.next().await.expect("an event");
        assert_eq!((&*heard.event, &*heard.data), (event, data));
    }

    /// Waits until the client knows where it is.
    pub(crate) async fn live(mut self) -> Self {
        while self.id.is_empty() {
            let block = self.block().await.expect("a stream");
            assert_eq!(self.take(&block), None);
        }
        self
    }

    /// The stream ends, and no event comes before.
    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.next().await, None);
    }

    /// Resets the TCP connection.
    pub(crate) fn reset(self) -> String {
        self.socket.set_zero_linger().expect("a TCP socket");
        self.id
    }

    /// Closes the TCP connection.
    pub(crate) fn close(self) -> String {
        self.id
    }
}
