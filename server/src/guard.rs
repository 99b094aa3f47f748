//! Stops a frame that is too large before any of it is read. The codec behind actix-ws finds out only when it has all
//! of a frame, however long, in memory.

use crate::socket::announced_len;
use actix_http::error::PayloadError;
use actix_web::dev::Payload;
use bytes::Bytes;
use futures_util::Stream;
use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::sync::Notify;

/// The longest header of a frame.
const MAX_HEADER: usize = 14;

/// A client's bytes, up to the first frame whose header says that it is longer than the limit. What comes behind is
/// taken from the client, so that it can hear why it is closed, and thrown away.
pub(crate) struct Guard {
    payload: Payload,
    lengths: Lengths,
    /// Notified when such a frame comes.
    overflow: Rc<Notify>,
    overflown: bool,
}

impl Guard {
    pub(crate) fn new(payload: Payload, limit: usize, overflow: Rc<Notify>) -> Self {
        Self { payload, lengths: Lengths::new(limit), overflow, overflown: false }
    }
}

impl Stream for Guard {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let next = ready!(Pin::new(&mut self.payload).poll_next(cx));
            let Some(Ok(chunk)) = next else { return Poll::Ready(next) };
            if self.overflown {
                continue;
            }
            let Err(before) = self.lengths.follow(&chunk) else { return Poll::Ready(Some(Ok(chunk))) };
            self.overflown = true;
            self.overflow.notify_one();
            if before > 0 {
                return Poll::Ready(Some(Ok(chunk.slice(..before))));
            }
        }
    }
}

/// Follows the frames of a stream of bytes by their headers.
pub(crate) struct Lengths {
    limit: u64,
    header: [u8; MAX_HEADER],
    filled: usize,
    /// How much of the payload at hand is still to come.
    rest: u64,
}

impl Lengths {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit as u64, header: [0; MAX_HEADER], filled: 0, rest: 0 }
    }

    /// Follows the next bytes. An error says how many of them come before a frame that is too long.
    pub(crate) fn follow(&mut self, chunk: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        let mut frame_at = 0;
        while at < chunk.len() {
            if self.rest > 0 {
                let skipped = self.rest.min((chunk.len() - at) as u64);
                self.rest -= skipped;
                at += skipped as usize;
                continue;
            }
            if self.filled == 0 {
                frame_at = at;
            }
            self.header[self.filled] = chunk[at];
            self.filled += 1;
            at += 1;
            if self.filled == header_len(&self.header[..self.filled]) {
                self.rest = announced_len(&self.header[..self.filled]);
                self.filled = 0;
                if self.rest > self.limit {
                    return Err(frame_at);
                }
            }
        }
        Ok(())
    }
}

/// How long the header is that begins so.
fn header_len(start: &[u8]) -> usize {
    let Some(second) = start.get(1) else { return MAX_HEADER };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 == 0 { 0 } else { 4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: usize) -> Vec<u8> {
        let mut frame = vec![0x81];
        match payload {
            0..126 => frame.push(0x80 | payload as u8),
            126..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(payload as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[1, 2, 3, 4]);
        // A payload full of what would be a header of a huge frame.
        frame.resize(frame.len() + payload, 0xff);
        frame
    }

    /// How many bytes pass when they come `step` by `step`; of a chunk, only whole frames do.
    fn passed(bytes: &[u8], step: usize, limit: usize) -> usize {
        let mut lengths = Lengths::new(limit);
        let mut passed = 0;
        for chunk in bytes.chunks(step) {
            match lengths.follow(chunk) {
                Ok(()) => passed += chunk.len(),
                Err(before) => return passed + before,
            }
        }
        passed
    }

    #[test]
    fn frames_are_told_by_their_headers_however_they_are_cut() {
        let small: Vec<u8> = [0, 5, 125, 126, 1_000, 3].into_iter().flat_map(frame).collect();
        let large: Vec<u8> = [5, 70_000].into_iter().flat_map(frame).collect();
        for step in [1, 2, 3, 7, 100, 4_096, 1_000_000] {
            assert_eq!(passed(&small, step, 1_000), small.len(), "{step}");
            assert_eq!(passed(&large, step, 70_000), large.len(), "{step}");
            let before = frame(5).len();
            let passed = passed(&large, step, 69_999);
            assert!((before..before + MAX_HEADER).contains(&passed), "{step}: {passed}");
        }
        assert_eq!(passed(&large, large.len(), 69_999), frame(5).len());
        let huge = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(passed(&huge, 14, 65_536), 0);
    }
}
