//! What clients send.

use super::State;
use crate::{
    connection::{Phase, Received, Transport},
    mailbox::Token,
    session::Effect,
    socket::READ_BYTES,
    wire,
};
use actix_http::ws::{Frame, ProtocolError};
use bytes::BytesMut;
use std::task::Poll;
use tidings_protocol::CloseCode;

/// A socket is read at most this often in one turn, so that the others get theirs.
const READS_PER_TURN: usize = 4;

impl State {
    pub(super) fn read_sockets(&mut self) {
        let now = self.now();
        let mut ready = std::mem::take(&mut self.unread);
        for token in ready.drain(..) {
            self.ready(token, now);
        }
        self.unread = ready;
    }

    /// A socket is ready to be read or written.
    pub(super) fn ready(&mut self, token: Token, now: u64) {
        if !self.live(token) {
            return;
        }
        let connection = &mut self.connections[token.slot as usize];
        if !connection.outbox.is_empty() && connection.flush(now).is_err() {
            return self.remove(token.slot);
        }
        if self.finished(token.slot) {
            return self.remove(token.slot);
        }
        let mut buffer = std::mem::take(&mut self.scratch);
        if let Transport::Socket(socket) = &mut self.connections[token.slot as usize].transport
            && let Some(mut early) = socket.early()
        {
            self.frames(token, &mut early, now);
        }
        let mut reads = 0;
        while self.live(token) {
            if reads == READS_PER_TURN {
                self.mailbox.ready(token);
                break;
            }
            reads += 1;
            let Transport::Socket(socket) = &mut self.connections[token.slot as usize].transport else {
                break;
            };
            match socket.read(&mut buffer) {
                Poll::Ready(Ok(1..)) => self.frames(token, &mut buffer, now),
                Poll::Ready(_) => self.remove(token.slot),
                Poll::Pending => break,
            }
            if buffer.capacity() > READ_BYTES {
                buffer = BytesMut::new();
            }
            buffer.clear();
        }
        self.scratch = buffer;
    }

    /// Takes the whole frames out of `buffer`; the connection keeps the rest.
    pub(super) fn frames(&mut self, token: Token, buffer: &mut BytesMut, now: u64) {
        let limit = self.shared.config.limits.frame_bytes;
        while self.live(token) {
            let Transport::Socket(socket) = &mut self.connections[token.slot as usize].transport else {
                return;
            };
            match socket.decode(buffer, limit) {
                Ok(Some(frame)) => self.frame(token.slot, frame, now),
                Ok(None) => return socket.keep(buffer),
                Err(error) => {
                    buffer.clear();
                    return self.close(token.slot, broken(&error), now);
                }
            }
        }
    }

    pub(super) fn receive(&mut self, token: Token, frame: Result<Frame, ProtocolError>) {
        if self.live(token) {
            let now = self.now();
            match frame {
                Ok(frame) => self.frame(token.slot, frame, now),
                Err(error) => self.close(token.slot, broken(&error), now),
            }
        }
    }

    pub(super) fn frame(&mut self, slot: u32, frame: Frame, now: u64) {
        let limit = self.shared.config.limits.frame_bytes;
        let connection = &mut self.connections[slot as usize];
        let message = match connection.assemble(frame, limit) {
            Ok(Some(message)) => message,
            Ok(None) => return connection.session.heard(now),
            Err(code) => return self.close(slot, code, now),
        };
        if let (Phase::Closing { deadline, .. }, Received::Close(_)) = (connection.phase, &message) {
            connection.phase = Phase::Closing { deadline, answered: true };
            if self.finished(slot) {
                self.remove(slot);
            }
            return;
        }
        if connection.phase != Phase::Open {
            return;
        }
        match message {
            Received::Text(text) => match std::str::from_utf8(&text) {
                Ok(text) => connection.session.text(text, now, &mut self.effects),
                Err(_) => return self.close(slot, CloseCode::InvalidText, now),
            },
            Received::Ping(payload) => {
                connection.session.heard(now);
                wire::put_pong(&mut self.reply, &payload);
            }
            Received::Pong => connection.session.heard(now),
            Received::Binary => {
                connection.session.heard(now);
                self.effects.push_back(Effect::Dropped);
            }
            Received::Close(code) => return self.answer_close(slot, code, now),
        }
        self.apply(slot, now);
    }
}

/// The close code for what a client did to the WebSocket protocol.
fn broken(error: &ProtocolError) -> CloseCode {
    match error {
        ProtocolError::Overflow => CloseCode::TooLarge,
        _ => CloseCode::Protocol,
    }
}
