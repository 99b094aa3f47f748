use super::{PING, Running};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A WebSocket connection whose bytes are made by hand, for what a well-made client never sends.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

/// A frame as clients send it. Any mask is as good as this one.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..126 => frame.push(0x80 | n as u8),
        n @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0x37, 0xfa, 0x21, 0x3d]);
    frame.extend(payload.iter().zip([0x37, 0xfa, 0x21, 0x3d].iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The request of an upgrade.
pub(crate) fn handshake(address: SocketAddr) -> String {
    format!(
        "GET /_broadcast HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

impl Raw {
    /// Upgrades, and takes `welcome`.
    pub(crate) async fn connect(server: &Running) -> Self {
        Self::connect_with(server, b"").await
    }

    /// Upgrades with `early` in the packet of the request, and takes `welcome`.
    pub(crate) async fn connect_with(server: &Running, early: &[u8]) -> Self {
        let mut stream = TcpStream::connect(server.address).await.expect("a listening gateway");
        stream.set_nodelay(true).expect("a TCP socket");
        let mut bytes = handshake(server.address).into_bytes();
        bytes.extend_from_slice(early);
        stream.write_all(&bytes).await.expect("an open connection");
        Self::upgraded(stream).await
    }

    /// Takes the answer to a handshake, and `welcome`.
    pub(crate) async fn upgraded(mut stream: TcpStream) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an upgrade"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        let mut raw = Self { stream };
        assert!(raw.text().await.starts_with(r#"{"t":"welcome""#));
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("an open connection");
    }

    /// The next frame: its first byte and its payload. Pings are passed over.
    pub(crate) async fn frame(&mut self) -> (u8, Vec<u8>) {
        frame(&mut self.stream).await
    }

    /// The same, whatever it is.
    pub(crate) async fn any_frame(&mut self) -> (u8, Vec<u8>) {
        any_frame(&mut self.stream).await
    }

    /// The next frame, which is text.
    pub(crate) async fn text(&mut self) -> String {
        text(&mut self.stream).await
    }

    /// The next frame is a close frame with this code. It is answered, and the gateway ends the connection.
    pub(crate) async fn expect_close(&mut self) -> u16 {
        let (first, payload) = self.frame().await;
        assert_eq!(first, 0x88, "{:?}", String::from_utf8_lossy(&payload));
        // What was breached may be such that an answer is not read; then the gateway does not wait for it.
        let _ = self.stream.write_all(&masked(0x88, &payload[..2])).await;
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "something after the close frame");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    loop {
        let (first, payload) = any_frame(stream).await;
        if payload != PING.as_bytes() {
            return (first, payload);
        }
    }
}

async fn any_frame(stream: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let first = stream.read_u8().await.expect("a frame");
    let length = match stream.read_u8().await.expect("a frame") {
        126 => u64::from(stream.read_u16().await.expect("a frame")),
        127 => stream.read_u64().await.expect("a frame"),
        n => u64::from(n),
    };
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.expect("a frame");
    (first, payload)
}

/// The next frame of `stream`, which is text.
pub(crate) async fn text(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let (first, payload) = frame(stream).await;
    assert_eq!(first, 0x81, "{:?}", String::from_utf8_lossy(&payload));
    String::from_utf8(payload).expect("UTF-8")
}
