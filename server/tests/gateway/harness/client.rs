use super::Running;
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, protocol::CloseFrame},
};

/// What the gateway asks whether a client is there, and what that answers.
pub(crate) const PING: &str = r#"{"t":"ping"}"#;
pub(crate) const PONG: &str = r#"{"t":"pong"}"#;

/// A WebSocket client.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    /// The id that `welcome` gave.
    pub(crate) id: String,
}

/// What the gateway said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Text(String),
    Pong(Vec<u8>),
    Close(u16, String),
    /// The end of the connection, without a close frame right before.
    End,
}

impl Client {
    /// Connects, and takes `welcome`.
    pub(crate) async fn connect(server: &Running) -> Self {
        Self::connect_with(server, "").await
    }

    /// The same, with this query.
    pub(crate) async fn connect_with(server: &Running, query: &str) -> Self {
        let mut client = Self::open_with(server.address, query).await;
        let welcome = client.next().await;
        let rest = welcome.strip_prefix(r#"{"t":"welcome","id":""#).expect("welcome first");
        rest[..26].clone_into(&mut client.id);
        client
    }

    /// Connects with this query and these headers, and takes `welcome`.
    pub(crate) async fn connect_as(server: &Running, query: &str, headers: &[(&'static str, &str)]) -> Self {
        let url = format!("ws://{}/_broadcast?{query}", server.address);
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("a header's value"));
        }
        let stream = TcpStream::connect(server.address).await.expect("a listening gateway");
        let (socket, _) = client_async(request, stream).await.expect("an upgrade");
        let mut client = Self { socket, id: String::new() };
        assert!(client.next().await.starts_with(r#"{"t":"welcome""#));
        client
    }

    /// Connects as soon as the gateway lets it in.
    pub(crate) async fn connect_in_time(server: &Running) -> Self {
        let url = format!("ws://{}/_broadcast", server.address);
        loop {
            let stream = TcpStream::connect(server.address).await.expect("a listening gateway");
            if let Ok((socket, _)) = client_async(&url, stream).await {
                let mut client = Self { socket, id: String::new() };
                client.next().await;
                return client;
            }
        }
    }

    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, "").await
    }

    async fn open_with(address: SocketAddr, query: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("a listening gateway");
        stream.set_nodelay(true).expect("a TCP socket");
        let url = format!("ws://{address}/_broadcast{query}");
        let (socket, response) = client_async(url, stream).await.expect("an upgrade");
        assert_eq!(response.status(), 101);
        Self { socket, id: String::new() }
    }

    pub(crate) async fn message(&mut self, message: Message) {
        self.socket.send(message).await.expect("an open connection");
    }

    /// Sends a text frame.
    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.message(Message::text(text.into())).await;
    }

    /// Sends text frames, all in one write.
    pub(crate) async fn send_together(&mut self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            self.socket.feed(Message::text(text)).await.expect("an open connection");
        }
        self.socket.flush().await.expect("an open connection");
    }

    /// What comes next. Pings are answered and not told: on a slow machine they may come anywhere.
    pub(crate) async fn said(&mut self) -> Said {
        loop {
            match self.heard().await {
                // A connection that has ended says so by itself.
                Said::Text(text) if text == PING => drop(self.socket.send(Message::text(PONG)).await),
                said => return said,
            }
        }
    }

    async fn heard(&mut self) -> Said {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => Said::Text(text.as_str().to_owned()),
            Some(Ok(Message::Pong(payload))) => Said::Pong(payload.to_vec()),
            Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                Said::Close(code.into(), reason.as_str().to_owned())
            }
            Some(Ok(Message::Close(None))) => Said::Close(1005, String::new()),
            Some(Ok(other)) => panic!("the gateway never sends {other:?}"),
            Some(Err(_)) | None => Said::End,
        }
    }

    /// The next thing is a ping. It is answered.
    pub(crate) async fn ping(&mut self) {
        assert_eq!(self.heard().await, Said::Text(PING.to_owned()));
        self.send(PONG).await;
    }

    /// The next text frame.
    pub(crate) async fn next(&mut self) -> String {
        match self.said().await {
            Said::Text(text) => text,
            other => panic!("wanted a text frame, got {other:?}"),
        }
    }

    /// The next text frame is `text`.
    pub(crate) async fn expect(&mut self, text: &str) {
        assert_eq!(self.next().await, text);
    }

    /// The next `count` text frames.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<String> {
        let mut frames = Vec::with_capacity(count);
        for _ in 0..count {
            frames.push(self.next().await);
        }
        frames
    }

    /// Subscribes, and takes the `ok`.
    pub(crate) async fn subscribe(&mut self, channel: &str) {
        self.send(sub(channel)).await;
        self.expect(&ok(channel)).await;
    }

    /// The gateway says nothing more to what it was sent. The second ping is read when all that the first one came
    /// behind is done.
    pub(crate) async fn silence(&mut self) {
        for payload in ["first", "second"] {
            self.message(Message::Ping(payload.into())).await;
            assert_eq!(self.said().await, Said::Pong(payload.into()));
        }
    }

    /// The close code that comes, whatever text comes before it, and then the end.
    pub(crate) async fn expect_close(&mut self) -> u16 {
        loop {
            match self.said().await {
                Said::Text(_) | Said::Pong(_) => {}
                Said::Close(code, _) => {
                    assert_eq!(self.said().await, Said::End);
                    return code;
                }
                Said::End => panic!("an end without a close frame"),
            }
        }
    }

    /// Closes with `code`; the code that the gateway answers with.
    pub(crate) async fn close_with(&mut self, code: u16) -> u16 {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.socket.close(Some(frame)).await.expect("an open connection");
        self.expect_close().await
    }

    /// Closes cleanly and waits for the end.
    pub(crate) async fn leave(mut self) {
        assert_eq!(self.close_with(1000).await, 1000);
    }

    /// Resets the TCP connection.
    pub(crate) fn reset(self) {
        let stream = self.socket.into_inner();
        stream.set_zero_linger().expect("a TCP socket");
    }
}

pub(crate) fn sub(channel: &str) -> String {
    format!(r#"{{"t":"sub","c":"{channel}"}}"#)
}

pub(crate) fn auth(token: &str) -> String {
    format!(r#"{{"t":"auth","tk":"{token}"}}"#)
}

pub(crate) fn unsub(channel: &str) -> String {
    format!(r#"{{"t":"unsub","c":"{channel}"}}"#)
}

pub(crate) fn publish(channel: &str, event: &str, data: &str) -> String {
    format!(r#"{{"t":"pub","c":"{channel}","e":"{event}","d":{data}}}"#)
}

pub(crate) fn ok(channel: &str) -> String {
    format!(r#"{{"t":"ok","c":"{channel}"}}"#)
}

pub(crate) fn err(channel: &str, reason: &str) -> String {
    format!(r#"{{"t":"err","c":"{channel}","r":"{reason}"}}"#)
}
