//! What strangers try. Each attack has an exact answer, and others are served meanwhile and afterwards.

mod document;
mod floods;
mod frames;
mod heads;
mod requests;
mod slow;

use crate::harness::{Client, Raw, Running, answer, handshake};
use futures_util::future::join_all;
use serde_json::json;
use tidings_server::Event;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A client that has nothing to do with an attack.
struct Bystander(Client);

impl Bystander {
    async fn join(server: &Running) -> Self {
        let mut client = Client::connect(server).await;
        client.subscribe("news").await;
        Self(client)
    }

    /// It gets its events, whoever else is there.
    async fn is_served(&mut self, server: &Running) {
        server.gateway.publish("news", Event::new("e", json!(1))).await.expect("an open gateway");
        assert!(self.0.next().await.starts_with(r#"{"t":"msg","c":"news","e":"e","d":1,"#));
    }
}

async fn connect(server: &Running) -> TcpStream {
    let stream = TcpStream::connect(server.address).await.expect("a listening gateway");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

/// The statuses of the answers to `bytes` on a connection of their own, up to its end.
async fn statuses(server: &Running, bytes: &[u8]) -> Vec<u16> {
    let (mut reading, mut writing) = connect(server).await.into_split();
    let mut answers = Vec::new();
    // The gateway need not read all of it before it has said enough.
    let write = async { drop(writing.write_all(bytes).await) };
    let read = async { drop(reading.read_to_end(&mut answers).await) };
    futures_util::join!(write, read);
    let answers = String::from_utf8_lossy(&answers);
    let status = |line: &str| line.get(9..12)?.parse().ok();
    answers.split("HTTP/1.1 ").skip(1).filter_map(|rest| status(&format!("HTTP/1.1 {rest}"))).collect()
}

/// The status of the first answer to `bytes`.
async fn status(server: &Running, bytes: &[u8]) -> u16 {
    let mut stream = connect(server).await;
    stream.write_all(bytes).await.expect("an open connection");
    answer(&mut stream, false).await.0.status
}

/// Who sends any of these is closed with `code`. All at once: embedded, the gateway does not hear that its close was
/// answered, and waits a while.
async fn are_closed(server: &Running, code: u16, attacks: impl IntoIterator<Item = (String, Vec<u8>)>) {
    let attack = async |(what, bytes): (String, Vec<u8>)| {
        let mut client = Raw::connect(server).await;
        client.send(&bytes).await;
        assert_eq!(client.expect_close().await, code, "{what}");
    };
    join_all(attacks.into_iter().map(attack)).await;
}

/// A handshake with these lines more.
fn handshake_with(server: &Running, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    handshake(server.address).replacen("\r\n\r\n", &format!("\r\n{lines}\r\n"), 1)
}
