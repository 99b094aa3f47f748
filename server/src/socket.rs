//! A TCP socket that belongs to its worker's hub, from the end of the WebSocket handshake on.

use crate::mailbox::{Mailbox, SocketWaker, Token};
use actix_codec::Decoder;
use actix_http::ws::{Codec, Frame, ProtocolError};
use bytes::BytesMut;
use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// How much a hub reads at once, into one buffer for all of its sockets.
pub(crate) const READ_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    waker: Waker,
    codec: Codec,
    /// The beginning of a frame whose end has not come yet.
    partial: Option<Box<BytesMut>>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, frame_bytes: usize, token: Token, mailbox: Arc<Mailbox>) -> Self {
        Self {
            stream,
            waker: Waker::from(Arc::new(SocketWaker { mailbox, token })),
            codec: Codec::new().max_size(frame_bytes),
            partial: None,
        }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes what the kernel takes. [`ErrorKind::WouldBlock`] means nothing, and that the hub is woken when it
    /// takes more.
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            let written = match slices {
                [one] => self.stream.try_write(one),
                many => self.stream.try_write_vectored(many),
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    match self.stream.poll_write_ready(&mut Context::from_waker(&self.waker)) {
                        Poll::Pending => return Err(error),
                        Poll::Ready(ready) => ready?,
                    }
                }
                written => return written,
            }
        }
    }

    /// Reads into `buffer`, which is empty, behind what is left of an unfinished frame. `Pending` means that the
    /// hub is woken when there is more.
    pub(crate) fn read(&mut self, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        let mut cx = Context::from_waker(&self.waker);
        match self.partial.take() {
            Some(mut partial) => {
                partial.reserve(READ_BYTES.min(2 * partial.len()));
                let read = poll_read_buf(Pin::new(&mut self.stream), &mut cx, &mut *partial);
                if let Poll::Ready(Ok(1..)) = read {
                    *buffer = *partial;
                } else {
                    self.partial = Some(partial);
                }
                read
            }
            None => {
                buffer.reserve(READ_BYTES);
                poll_read_buf(Pin::new(&mut self.stream), &mut cx, buffer)
            }
        }
    }

    /// Whether there may be something to read. If not, the hub is woken when there is.
    pub(crate) fn is_ready(&self) -> bool {
        self.stream.poll_read_ready(&mut Context::from_waker(&self.waker)).is_ready()
    }

    /// Takes one whole frame of at most `limit` bytes from the front of `buffer`.
    pub(crate) fn decode(
        &mut self,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Result<Option<Frame>, ProtocolError> {
        decode(&mut self.codec, buffer, limit)
    }

    /// Keeps what [`decode`](Self::decode) left for the next [`read`](Self::read).
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.partial = Some(Box::new(BytesMut::from(rest)));
        }
    }
}

/// Takes one whole frame of at most `limit` bytes from the front of `buffer`. The codec alone would wait for the whole
/// of a frame, however long, before it finds it too long.
pub(crate) fn decode(
    codec: &mut Codec,
    buffer: &mut BytesMut,
    limit: usize,
) -> Result<Option<Frame>, ProtocolError> {
    if announced_len(buffer) > limit as u64 {
        return Err(ProtocolError::Overflow);
    }
    codec.decode(buffer)
}

/// The length of the payload as the frame's header says; 0 while the header is not complete.
pub(crate) fn announced_len(frame: &[u8]) -> u64 {
    match *frame {
        [_, short, ..] if short & 0x7f < 126 => u64::from(short & 0x7f),
        [_, short, a, b, ..] if short & 0x7f == 126 => u64::from(u16::from_be_bytes([a, b])),
        [_, _, a, b, c, d, e, f, g, h, ..] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_will_be_too_long_is_refused_by_its_header() {
        let mut codec = Codec::new().max_size(1_000);
        for (header, refused) in [
            (&[0x81, 0xfe][..], false),
            (&[0x81, 0xfe, 3, 0xe8], false),
            (&[0x81, 0xfe, 3, 0xe9], true),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 3], false),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 3, 0xe8], false),
            (&[0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0], true),
            (&[0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0], true),
        ] {
            let decoded = decode(&mut codec, &mut BytesMut::from(header), 1_000);
            assert_eq!(matches!(decoded, Err(ProtocolError::Overflow)), refused, "{header:?}");
            assert!(refused || matches!(decoded, Ok(None)), "{header:?}");
        }
    }
}
