//! A connection's stream, of which something may have been read already, and which is not waited for without end.

use crate::{patience::Patience, worker::Place};
use bytes::Bytes;
use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads `read` first, then the stream.
pub(crate) struct Peeked<S> {
    pub(crate) read: Bytes,
    pub(crate) stream: S,
    pub(crate) patience: Patience,
    /// Held as long as the stream is.
    pub(crate) place: Rc<Place>,
}

impl<S> Peeked<S> {
    pub(crate) fn new(read: Bytes, stream: S, place: Place) -> Self {
        Self { read, stream, patience: Patience::default(), place: Rc::new(place) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Peeked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
            if read.is_pending() && self.patience.poll(cx).is_ready() {
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
            return read;
        }
        let taken = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Peeked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
