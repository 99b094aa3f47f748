//! One WebSocket: its session, what waits to be sent, and how it is sent.

use crate::{outbox::Outbox, peers::Seat, session::Session, socket::Socket};
use actix_http::ws::{Frame, Item};
use bytes::{Bytes, BytesMut};
use std::{
    io::{ErrorKind, IoSlice},
    net::IpAddr,
    task::Waker,
};
use tidings_protocol::CloseCode;
use tokio::net::TcpStream;

/// How bytes get to the client.
#[derive(Debug)]
pub(crate) enum Transport {
    /// A socket of the hub's own.
    Socket(Socket),
    /// The body of a response, which takes what waits when actix-web polls it.
    Body {
        /// Wakes it.
        waker: Option<Waker>,
        /// Where the request came from.
        peer: Option<IpAddr>,
    },
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The peer is gone.
    Gone,
    /// More waits than may.
    Full,
}

/// Where in its life a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// A close frame is sent, or waits. The peer has until `deadline` to answer it.
    Closing {
        deadline: u64,
        /// Whether the peer has sent its own: nothing is waited for once all is sent.
        answered: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) generation: u32,
    pub(crate) session: Session,
    /// Its place among the connections of its address, where these are counted. Free before the peer sees the end.
    seat: Option<Box<Seat>>,
    pub(crate) transport: Transport,
    pub(crate) phase: Phase,
    pub(crate) outbox: Outbox,
    /// When the outbox last moved, or began to fill.
    pub(crate) moved_at: u64,
    /// When it is to go, while the gateway drains; `u64::MAX` otherwise.
    pub(crate) leaves_at: u64,
    /// The entry of the hub's timers that counts; `u64::MAX` when there is none.
    pub(crate) timer_at: u64,
    /// Whether the hub will flush the outbox at the end of this turn.
    pub(crate) dirty: bool,
    /// What of the outbox is in the sum over all connections.
    pub(super) counted_bytes: u32,
    fragments: Option<Box<Fragments>>,
}

/// The parts of a message that came in several frames.
#[derive(Debug)]
struct Fragments {
    text: bool,
    bytes: BytesMut,
}

/// A whole message from the client.
#[derive(Debug)]
pub(crate) enum Received {
    Text(Bytes),
    Binary(Bytes),
    Ping(Bytes),
    Pong,
    Close(Option<u16>),
}

impl Connection {
    pub(crate) fn new(
        generation: u32,
        session: Session,
        transport: Transport,
        seat: Option<Box<Seat>>,
        now: u64,
    ) -> Self {
        Self {
            generation,
            session,
            seat,
            transport,
            phase: Phase::Open,
            outbox: Outbox::default(),
            moved_at: now,
            leaves_at: u64::MAX,
            timer_at: u64::MAX,
            dirty: false,
            counted_bytes: 0,
            fragments: None,
        }
    }

    /// Puts fragmented messages together. `Ok(None)` means that the message goes on.
    pub(crate) fn assemble(&mut self, frame: Frame, limit: usize) -> Result<Option<Received>, CloseCode> {
        let part = match frame {
            Frame::Text(text) => return Ok(Some(Received::Text(text))),
            Frame::Binary(bytes) => return Ok(Some(Received::Binary(bytes))),
            Frame::Ping(payload) => return Ok(Some(Received::Ping(payload))),
            Frame::Pong(_) => return Ok(Some(Received::Pong)),
            Frame::Close(reason) => return Ok(Some(Received::Close(reason.map(|r| r.code.into())))),
            Frame::Continuation(part) => part,
        };
        let (bytes, last) = match part {
            Item::FirstText(bytes) => return self.begin(true, &bytes),
            Item::FirstBinary(bytes) => return self.begin(false, &bytes),
            Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        let Some(fragments) = &mut self.fragments else { return Err(CloseCode::Protocol) };
        if fragments.bytes.len() + bytes.len() > limit {
            self.fragments = None;
            return Err(CloseCode::TooLarge);
        }
        fragments.bytes.extend_from_slice(&bytes);
        if !last {
            return Ok(None);
        }
        Ok(self.fragments.take().map(|whole| match *whole {
            Fragments { text: true, bytes } => Received::Text(bytes.freeze()),
            Fragments { text: false, bytes } => Received::Binary(bytes.freeze()),
        }))
    }

    fn begin(&mut self, text: bool, bytes: &[u8]) -> Result<Option<Received>, CloseCode> {
        if self.fragments.is_some() {
            return Err(CloseCode::Protocol);
        }
        self.fragments = Some(Box::new(Fragments { text, bytes: BytesMut::from(bytes) }));
        Ok(None)
    }

    /// Sends `chunk` at once when nothing waits before it and `direct` says that nothing comes right behind it;
    /// otherwise it waits for [`flush`](Self::flush). At most `limit` bytes wait.
    pub(super) fn send(&mut self, chunk: &Bytes, direct: bool, limit: usize, now: u64) -> Result<(), Fault> {
        if direct
            && self.outbox.is_empty()
            && let Transport::Socket(socket) = &self.transport
        {
            return match socket.write(&[IoSlice::new(chunk)]) {
                Ok(n) if n == chunk.len() => Ok(()),
                Ok(n) => {
                    self.keep_rest(chunk.slice(n..), now);
                    Ok(())
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.queue(chunk.clone(), limit, now),
                Err(_) => Err(Fault::Gone),
            };
        }
        self.queue(chunk.clone(), limit, now)
    }

    /// Like a direct [`send`](Self::send) of bytes that no other connection shares.
    pub(super) fn send_own(&mut self, bytes: &[u8], limit: usize, now: u64) -> Result<(), Fault> {
        let mut written = 0;
        if self.outbox.is_empty()
            && let Transport::Socket(socket) = &self.transport
        {
            match socket.write(&[IoSlice::new(bytes)]) {
                Ok(n) => written = n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Err(Fault::Gone),
            }
        }
        match written {
            0 => {
                self.make_room(bytes.len(), limit, now)?;
                self.outbox.push_own(bytes);
                self.wake();
                Ok(())
            }
            n if n < bytes.len() => {
                self.keep_rest(Bytes::copy_from_slice(&bytes[n..]), now);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Queues what the socket did not take of a chunk; nothing else waits.
    pub(super) fn keep_rest(&mut self, rest: Bytes, now: u64) {
        self.moved_at = now;
        self.outbox.push_rest(rest);
    }

    /// The socket, when nothing waits to be sent on it.
    pub(super) fn idle_socket(&self) -> Option<&TcpStream> {
        match &self.transport {
            Transport::Socket(socket) if self.outbox.is_empty() => Some(socket.stream()),
            _ => None,
        }
    }

    /// Where the client is: as its address is counted, or else the other end of its connection.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let peer = || match &self.transport {
            Transport::Socket(socket) => socket.stream().peer_addr().ok().map(|peer| peer.ip()),
            Transport::Body { peer, .. } => *peer,
        };
        let address = self.seat.as_ref().map(|seat| seat.address).or_else(peer);
        address.map(|address| address.to_canonical())
    }

    fn queue(&mut self, chunk: Bytes, limit: usize, now: u64) -> Result<(), Fault> {
        self.make_room(chunk.len(), limit, now)?;
        self.outbox.push(chunk);
        self.wake();
        Ok(())
    }

    /// Sees to it that so many bytes more may wait.
    fn make_room(&mut self, len: usize, limit: usize, now: u64) -> Result<(), Fault> {
        if self.outbox.is_empty() {
            self.moved_at = now;
        } else if self.outbox.bytes() + len > limit {
            // A socket may have room that nobody has asked it for yet.
            self.flush(now)?;
            if self.outbox.bytes() + len > limit {
                return Err(Fault::Full);
            }
        }
        Ok(())
    }

    fn wake(&mut self) {
        if let Transport::Body { waker, .. } = &mut self.transport {
            waker.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Writes what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self, now: u64) -> Result<(), Fault> {
        let Transport::Socket(socket) = &self.transport else { return Ok(()) };
        let (written, result) = self.outbox.write(|slices| socket.write(slices));
        if written > 0 {
            self.moved_at = now;
        }
        match result {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(Fault::Gone),
            _ => Ok(()),
        }
    }
}
