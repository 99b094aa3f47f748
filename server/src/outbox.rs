//! What waits to be sent on one connection.

use bytes::{Bytes, BytesMut};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

/// At most this many chunks go into one vectored write.
const MAX_SLICES: usize = 64;

/// An empty queue keeps room for at most this many chunks.
const KEEP: usize = 16;

/// A client's own answers are joined to chunks of up to this many bytes. Alone they would take far more memory than they
/// count for: an empty pong is two bytes, and a chunk takes some fifty.
const JOINED: usize = 4 * 1024;

/// Chunks of whole WebSocket frames, shared with other connections, of which the first may be partly written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// Whether the first chunk is the rest of one that was partly written.
    begun: bool,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        self.chunks.push_back(chunk);
    }

    /// Queues bytes that no other connection shares.
    pub(crate) fn push_own(&mut self, bytes: &[u8]) {
        // Whatever was not begun can still be dropped, so nothing is joined to what was.
        let free = self.chunks.len() > usize::from(self.begun);
        let last = self.chunks.pop_back_if(|last| free && last.len() + bytes.len() <= JOINED);
        let chunk = match last.map(Bytes::try_into_mut) {
            Some(Ok(mut joined)) => {
                joined.extend_from_slice(bytes);
                joined.freeze()
            }
            Some(Err(shared)) => {
                self.chunks.push_back(shared);
                Bytes::copy_from_slice(bytes)
            }
            None => Bytes::copy_from_slice(bytes),
        };
        self.bytes += bytes.len();
        self.chunks.push_back(chunk);
    }

    /// Queues the rest of a chunk that was partly written; nothing else waits.
    pub(crate) fn push_rest(&mut self, rest: Bytes) {
        self.begun = true;
        self.push(rest);
    }

    /// Drops what was not begun. What remains ends at the end of a frame.
    pub(crate) fn drop_unsent(&mut self) {
        self.chunks.truncate(usize::from(self.begun));
        self.bytes = self.chunks.iter().map(Bytes::len).sum();
    }

    /// Everything, as one contiguous buffer.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let all = match self.chunks.len() {
            0 => return None,
            1 => self.chunks.pop_front(),
            _ => {
                let mut joined = BytesMut::with_capacity(self.bytes);
                self.chunks.drain(..).for_each(|chunk| joined.extend_from_slice(&chunk));
                Some(joined.freeze())
            }
        };
        self.bytes = 0;
        self.begun = false;
        self.trim();
        all
    }

    /// Writes until nothing is left or `write` fails; how many bytes went.
    pub(crate) fn write(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> (usize, io::Result<()>) {
        let mut total = 0;
        while !self.chunks.is_empty() {
            let written = if let (Some(one), 1) = (self.chunks.front(), self.chunks.len()) {
                write(&[IoSlice::new(one)])
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let mut used = 0;
                for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                    *slice = IoSlice::new(chunk);
                    used += 1;
                }
                write(&slices[..used])
            };
            match written {
                Ok(n) => {
                    self.advance(n);
                    total += n;
                }
                Err(error) => return (total, Err(error)),
            }
        }
        self.trim();
        (total, Ok(()))
    }

    fn advance(&mut self, mut n: usize) {
        self.bytes -= n;
        while let Some(chunk) = self.chunks.front_mut() {
            if n < chunk.len() {
                self.begun |= n > 0;
                let _ = chunk.split_to(n);
                return;
            }
            n -= chunk.len();
            self.begun = false;
            self.chunks.pop_front();
        }
    }

    fn trim(&mut self) {
        if self.chunks.capacity() > KEEP {
            self.chunks = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(chunks: &[&'static str]) -> Outbox {
        let mut outbox = Outbox::default();
        chunks.iter().for_each(|chunk| outbox.push(Bytes::from_static(chunk.as_bytes())));
        outbox
    }

    #[test]
    fn short_writes_lose_and_repeat_nothing() {
        for step in 1..12 {
            let mut outbox = filled(&["abc", "d", "efghij"]);
            let mut sent = Vec::new();
            let (n, result) = outbox.write(|slices| {
                let joined: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).take(step).collect();
                sent.extend_from_slice(&joined);
                Ok(joined.len())
            });
            assert!(result.is_ok());
            assert_eq!(
                (n, sent.as_slice(), outbox.bytes(), outbox.is_empty()),
                (10, &b"abcdefghij"[..], 0, true)
            );
        }
    }

    #[test]
    fn a_blocked_write_keeps_the_rest() {
        let mut outbox = filled(&["abc", "def"]);
        let mut room = 4;
        let (n, result) = outbox.write(|_| match std::mem::take(&mut room) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        });
        assert_eq!((n, result.map_err(|e| e.kind()), outbox.bytes()), (4, Err(io::ErrorKind::WouldBlock), 2));
        assert_eq!(outbox.take().as_deref(), Some(&b"ef"[..]));
    }

    #[test]
    fn small_answers_take_few_chunks() {
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        for n in 0..10_000_u16 {
            outbox.push_own(&n.to_be_bytes());
            expected.extend_from_slice(&n.to_be_bytes());
        }
        assert_eq!((outbox.chunks.len(), outbox.bytes()), (20_000_usize.div_ceil(JOINED), 20_000));
        let shared = Bytes::from_static(b"an event");
        outbox.push(shared.clone());
        outbox.push_own(b"ab");
        outbox.push_own(b"cd");
        outbox.push_own(&[b'x'; JOINED]);
        expected.extend_from_slice(b"an eventabcd");
        expected.extend_from_slice(&[b'x'; JOINED]);
        assert_eq!(outbox.take().as_deref(), Some(&expected[..]));
        assert_eq!(shared, "an event");
    }

    #[test]
    fn nothing_is_joined_to_what_was_begun() {
        let mut outbox = Outbox::default();
        outbox.push_rest(Bytes::copy_from_slice(b"bc"));
        outbox.push_own(b"d");
        outbox.push_own(b"e");
        outbox.drop_unsent();
        assert_eq!((outbox.bytes(), outbox.take().as_deref()), (2, Some(&b"bc"[..])));
    }

    #[test]
    fn what_was_begun_survives_dropping_the_rest() {
        let mut outbox = filled(&["abc", "def"]);
        outbox.drop_unsent();
        assert!(outbox.is_empty() && outbox.bytes() == 0);
        let mut outbox = Outbox::default();
        outbox.push_rest(Bytes::from_static(b"bc"));
        outbox.push(Bytes::from_static(b"def"));
        outbox.drop_unsent();
        assert_eq!((outbox.bytes(), outbox.take().as_deref()), (2, Some(&b"bc"[..])));
    }
}
