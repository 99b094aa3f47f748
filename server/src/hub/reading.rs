//! What clients send.

use super::State;
use crate::{
    connections::{Phase, Received, Transport},
    mailbox::Token,
    socket::READ_BYTES,
    wire,
};
use actix_http::ws::{Frame, ProtocolError};
use bytes::BytesMut;
use std::{str::Utf8Error, task::Poll};
use tidings_protocol::CloseCode;

impl State {
    /// Reads a socket that is ready, once; whether there may be more.
    pub(super) fn read(&mut self, token: Token) -> bool {
        if !self.live(token) {
            return false;
        }
        let now = self.now();
        let flushed = self.connections.flush(token.slot, now);
        if flushed != Some(Ok(())) || self.finished(token.slot) {
            self.remove(token.slot);
            return false;
        }
        let Transport::Socket(socket) = &mut self.connections[token.slot].transport else {
            return false;
        };
        let mut buffer = std::mem::take(&mut self.scratch);
        let read = socket.read(&mut buffer);
        match read {
            Poll::Ready(Ok(1..)) => self.frames(token, &mut buffer, now),
            Poll::Ready(_) => self.remove(token.slot),
            Poll::Pending => {}
        }
        if buffer.capacity() > READ_BYTES {
            buffer = BytesMut::new();
        }
        buffer.clear();
        self.scratch = buffer;
        read.is_ready()
    }

    /// Takes the whole frames out of `buffer`; the connection keeps the rest.
    pub(super) fn frames(&mut self, token: Token, buffer: &mut BytesMut, now: u64) {
        let limit = self.shared.config.limits.frame_bytes;
        while self.live(token) {
            let Transport::Socket(socket) = &mut self.connections[token.slot].transport else {
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

    fn frame(&mut self, slot: u32, frame: Frame, now: u64) {
        let limit = self.shared.config.limits.frame_bytes;
        let connection = &mut self.connections[slot];
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
                Ok(text) if self.shared.echoes() => wire::put_text(&mut self.reply, text.as_bytes()),
                Ok(text) => connection.session.text(text, now, &mut self.effects),
                Err(_) => return self.close(slot, CloseCode::InvalidText, now),
            },
            Received::Ping(payload) => {
                if connection.session.command(now, &mut self.effects) {
                    wire::put_pong(&mut self.reply, &payload);
                }
            }
            Received::Pong => connection.session.heard(now),
            Received::Binary(data) if self.shared.echoes() => wire::put_binary(&mut self.reply, &data),
            Received::Binary(_) => {
                if connection.session.command(now, &mut self.effects) {
                    self.tally.binary_frames.add(1);
                }
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
        ProtocolError::Io(error) if error.get_ref().is_some_and(|e| e.is::<Utf8Error>()) => {
            CloseCode::InvalidText
        }
        _ => CloseCode::Protocol,
    }
}
