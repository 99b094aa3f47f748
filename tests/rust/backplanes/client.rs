//! A client of a gateway, by its frames.

use crate::node::PATIENCE;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

pub(crate) struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub(crate) async fn connect(gateway: SocketAddr) -> Self {
        Self(connect_async(format!("ws://{gateway}/_broadcast?v=2")).await.expect("connected").0)
    }

    /// Connects and hands in a token; what that is answered.
    pub(crate) async fn by_token(gateway: SocketAddr, token: &str) -> (Self, Value) {
        let mut client = Self::connect(gateway).await;
        client.until("welcome").await;
        assert!(client.send(&json!({"t": "auth", "tk": token})).await);
        let answer = client.next().await.expect("an answer");
        (client, answer)
    }

    /// Whether it may have been sent: the connection is not known to be lost.
    pub(crate) async fn send(&mut self, frame: &Value) -> bool {
        self.0.send(Message::text(frame.to_string())).await.is_ok()
    }

    /// The next frame; `None` when the connection is lost.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            let frame: Value = match timeout(PATIENCE, self.0.next()).await.expect("a frame") {
                Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("JSON"),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(other)) => panic!("{other:?}"),
            };
            if frame["t"] != "ping" {
                return Some(frame);
            }
            self.send(&json!({"t": "pong"})).await;
        }
    }

    /// The code that it is closed with.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("a frame") {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(Message::Text(_))) => {}
                other => panic!("{other:?} instead of a close frame"),
            }
        }
    }

    /// The next frame of a kind.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("no {kind} came"));
            if frame["t"] == kind {
                return frame;
            }
        }
    }

    /// Subscribes, after the position that `resume` says; what the gateway answers.
    pub(crate) async fn subscribe(&mut self, channel: &str, resume: Option<Value>) -> Value {
        let mut frame = json!({"t": "sub", "c": channel});
        if let Some(position) = resume {
            frame["rc"] = position;
        }
        assert!(self.send(&frame).await);
        self.until("ok").await
    }
}
