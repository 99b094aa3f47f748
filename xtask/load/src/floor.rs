//! The server to compare with: what one write(2) per delivery costs, and nothing else. It understands what the
//! load says in the dialect of Tidings, by position rather than by parsing, and knows no limits.

use std::{
    collections::HashMap,
    convert::Infallible,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
};

use anyhow::{Context, Result};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

use crate::frame;

const LISTENER: Token = Token(usize::MAX);

const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-accept: x\r\n\r\n\x81\x1f{\"t\":\"welcome\",\"id\":\"01234567\"}";
const SUBSCRIBED: &[u8] = b"\x81\x12{\"t\":\"ok\",\"c\":\"x\"}";

const SUBSCRIBE: &[u8] = br#"{"t":"sub","c":""#;
const PUBLISH: &[u8] = br#"{"t":"pub","c":""#;

/// In place of an event's id, so that its frame is as long as a real one.
const ID: &[u8] = br#","i":"00000000000000000000000000"}"#;

struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
    upgraded: bool,
}

/// An event: its channel and its frame.
struct Event {
    channel: Vec<u8>,
    frame: Vec<u8>,
}

#[derive(Default)]
struct Floor {
    clients: Vec<Option<Client>>,
    channels: HashMap<Vec<u8>, Vec<usize>>,
    scratch: Vec<u8>,
}

/// Serves until the process ends.
pub(crate) fn serve<T>(address: SocketAddr) -> Result<T> {
    match run(address)? {}
}

fn run(address: SocketAddr) -> Result<Infallible> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(4_096);
    let mut listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor { scratch: vec![0; 64 * 1024], ..Floor::default() };
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            if event.token() != LISTENER {
                floor.serve(event.token().0);
                continue;
            }
            while let Ok((mut socket, _)) = listener.accept() {
                socket.set_nodelay(true)?;
                let token = Token(floor.clients.len());
                poll.registry().register(&mut socket, token, Interest::READABLE)?;
                floor.clients.push(Some(Client { socket, buffer: Vec::new(), upgraded: false }));
            }
        }
    }
}

impl Floor {
    fn serve(&mut self, index: usize) {
        let Some(client) = &mut self.clients[index] else { return };
        if client.read(&mut self.scratch).is_none() {
            self.clients[index] = None;
            return;
        }
        let mut events = Vec::new();
        while let Some(text) = client.next_text() {
            if let Some(rest) = text.strip_prefix(SUBSCRIBE) {
                self.channels.entry(name(rest).to_vec()).or_default().push(index);
                client.write(SUBSCRIBED);
            } else if let Some(rest) = text.strip_prefix(PUBLISH) {
                events.push(Event { channel: name(rest).to_vec(), frame: message(rest) });
            }
        }
        for Event { channel, frame } in events {
            for &subscriber in self.channels.get(&channel).into_iter().flatten() {
                if let Some(client) = &mut self.clients[subscriber] {
                    client.write(&frame);
                }
            }
        }
    }
}

impl Client {
    /// Reads what there is; `None` when the peer is gone.
    fn read(&mut self, scratch: &mut [u8]) -> Option<()> {
        loop {
            match self.socket.read(scratch) {
                Ok(0) => return None,
                Ok(size) => {
                    self.buffer.extend_from_slice(&scratch[..size]);
                    if size < scratch.len() {
                        return Some(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(()),
                Err(_) => return None,
            }
        }
    }

    /// One write, and no more: what does not fit is lost. A load in a closed loop leaves room.
    fn write(&mut self, bytes: &[u8]) {
        let _ = self.socket.write(bytes);
    }

    /// The next whole message, unmasked. Answers the upgrade request before.
    fn next_text(&mut self) -> Option<Vec<u8>> {
        if !self.upgraded {
            let end = frame::head_end(&self.buffer)?;
            self.buffer.drain(..end);
            self.upgraded = true;
            self.write(UPGRADED);
        }
        let (header, length) = match *self.buffer {
            [_, long, a, b, ..] if long & 0x7f == 126 => (4, usize::from(u16::from_be_bytes([a, b]))),
            [_, short, ..] if short & 0x7f < 126 => (2, usize::from(short & 0x7f)),
            _ => return None,
        };
        let mask: [u8; 4] = *self.buffer.get(header..)?.first_chunk()?;
        let body = self.buffer.get(header + 4..header + 4 + length)?;
        let text = body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        self.buffer.drain(..header + 4 + length);
        Some(text)
    }
}

/// A channel's name, at the front of `rest`.
fn name(rest: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'"', rest).unwrap_or(rest.len());
    &rest[..end]
}

/// The frame for the subscribers, from what a `pub` frame says from the channel's name on.
fn message(rest: &[u8]) -> Vec<u8> {
    let start: &[u8] = br#"{"t":"msg","c":""#;
    let data = rest.strip_suffix(b"}").unwrap_or(rest);
    let mut frame = vec![0x81];
    frame::put_length(0, start.len() + data.len() + ID.len(), &mut frame);
    for part in [start, data, ID] {
        frame.extend_from_slice(part);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Header;

    #[test]
    fn an_event_is_as_long_as_a_real_one() {
        let frame = message(br#"bench.0","e":"bench","d":{"p":1}}"#);
        let header = Header::parse(&frame).unwrap();
        let text = &frame[header.size..];
        assert_eq!(text.len(), header.payload);
        assert_eq!(
            std::str::from_utf8(text).unwrap(),
            r#"{"t":"msg","c":"bench.0","e":"bench","d":{"p":1},"i":"00000000000000000000000000"}"#
        );
        assert_eq!(name(br#"bench.0","e":"#), b"bench.0");
    }
}
