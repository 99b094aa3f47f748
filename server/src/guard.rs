//! Hands actix-ws one frame at a time, so that nothing behind a breach is heard, and stops a frame that is too large
//! before any of it is read: the codec behind actix-ws finds out only when it has all of a frame, however long, in memory.

use crate::socket::announced_len;
use actix_http::error::PayloadError;
use actix_web::dev::Payload;
use bytes::Bytes;
use futures_util::Stream;
use std::{
    mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::sync::Notify;

/// The longest header of a frame.
const MAX_HEADER: usize = 14;

/// A client's bytes, frame by frame, up to the first one whose header says that it is longer than the limit. What comes
/// behind is taken from the client, so that it can hear why it is closed, and thrown away.
///
/// Behind each whole frame it is pending once: the stream of actix-ws reads all that there is before it takes frames out,
/// and where one of them is a breach, it tells of that before the frames in front, and then goes on behind it.
pub(crate) struct Guard {
    payload: Payload,
    frames: Frames,
    /// What has come and is not handed on yet.
    chunk: Bytes,
    /// Whether a whole frame has just been handed on.
    paused: bool,
    /// Notified when a frame comes that is too long.
    overflow: Rc<Notify>,
    overflown: bool,
}

impl Guard {
    pub(crate) fn new(payload: Payload, limit: usize, overflow: Rc<Notify>) -> Self {
        let frames = Frames::new(limit);
        Self { payload, frames, chunk: Bytes::new(), paused: false, overflow, overflown: false }
    }
}

impl Stream for Guard {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if mem::take(&mut self.paused) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if self.overflown || self.chunk.is_empty() {
                let next = ready!(Pin::new(&mut self.payload).poll_next(cx));
                let Some(Ok(chunk)) = next else { return Poll::Ready(next) };
                self.chunk = chunk;
                continue;
            }
            let this = &mut *self;
            match this.frames.follow(&this.chunk) {
                Ok((len, whole)) => {
                    this.paused = whole;
                    return Poll::Ready(Some(Ok(this.chunk.split_to(len))));
                }
                Err(TooLong) => {
                    this.overflown = true;
                    this.overflow.notify_one();
                }
            }
        }
    }
}

/// Follows the frames of a stream of bytes by their headers.
pub(crate) struct Frames {
    limit: u64,
    header: [u8; MAX_HEADER],
    filled: usize,
    /// How much of the payload at hand is still to come.
    rest: u64,
}

/// A frame's header says that it is longer than the limit.
#[derive(Debug)]
pub(crate) struct TooLong;

impl Frames {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit as u64, header: [0; MAX_HEADER], filled: 0, rest: 0 }
    }

    /// How many of the next bytes belong to the frame at hand, and whether it ends with them.
    pub(crate) fn follow(&mut self, chunk: &[u8]) -> Result<(usize, bool), TooLong> {
        let mut at = 0;
        while self.rest == 0 && at < chunk.len() {
            self.header[self.filled] = chunk[at];
            self.filled += 1;
            at += 1;
            if self.filled == header_len(&self.header[..self.filled]) {
                self.rest = announced_len(&self.header[..self.filled]);
                self.filled = 0;
                if self.rest > self.limit {
                    return Err(TooLong);
                }
                if self.rest == 0 {
                    return Ok((at, true));
                }
            }
        }
        let taken = self.rest.min((chunk.len() - at) as u64);
        self.rest -= taken;
        Ok((at + taken as usize, taken > 0 && self.rest == 0))
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

    /// How long the frames are that pass when they come `step` by `step`, and how much of another one.
    fn passed(bytes: &[u8], step: usize, limit: usize) -> (Vec<usize>, usize) {
        let mut frames = Frames::new(limit);
        let (mut passed, mut part) = (Vec::new(), 0);
        for mut chunk in bytes.chunks(step) {
            while !chunk.is_empty() {
                let Ok((len, whole)) = frames.follow(chunk) else { return (passed, part) };
                part += len;
                if whole {
                    passed.push(mem::take(&mut part));
                }
                chunk = &chunk[len..];
            }
        }
        (passed, part)
    }

    #[test]
    fn frames_are_told_by_their_headers_however_they_are_cut() {
        let frames = |payloads: &[usize]| payloads.iter().map(|payload| frame(*payload)).collect::<Vec<_>>();
        let lengths = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).collect::<Vec<_>>();
        let small = frames(&[0, 5, 0, 0, 125, 126, 1_000, 3]);
        let large = frames(&[5, 70_000]);
        for step in [1, 2, 3, 7, 100, 4_096, 1_000_000] {
            assert_eq!(passed(&small.concat(), step, 1_000), (lengths(&small), 0), "{step}");
            assert_eq!(passed(&large.concat(), step, 70_000), (lengths(&large), 0), "{step}");
            let (before, part) = passed(&large.concat(), step, 69_999);
            assert!(before == lengths(&large[..1]) && part < MAX_HEADER, "{step}: {part}");
        }
        assert_eq!(passed(&large.concat(), 1_000_000, 69_999), (lengths(&large[..1]), 0));
        let huge = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(passed(&huge, 14, 65_536), (vec![], 0));
    }
}
