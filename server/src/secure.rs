//! A worker's connections over TLS. What is inside goes through the HTTP service, WebSockets too: their bytes have to be
//! encrypted one connection at a time, so the hub cannot have the socket.

use crate::{
    patience::Patience,
    tls::Tls,
    worker::{Place, Reception},
};
use actix_http::Protocol;
use actix_service::Service;
use std::{
    convert::Infallible,
    future::poll_fn,
    io::{self, ErrorKind, IoSlice},
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::mpsc::{Receiver, Sender, channel},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a client has for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What an HTTP service takes.
pub(crate) type Encrypted = (Secured, Protocol, Option<SocketAddr>);

/// A connection over TLS, and the place that it has until it is a WebSocket.
pub(crate) struct Secured {
    stream: TlsStream<TcpStream>,
    place: Rc<Place>,
    pub(crate) patience: Patience,
}

impl Secured {
    pub(crate) fn place(&self) -> Rc<Place> {
        self.place.clone()
    }
}

/// Shakes hands, and speaks HTTP then.
pub(crate) struct SecureReception<S> {
    acceptor: TlsAcceptor,
    http: Rc<S>,
    /// Held by each connection, so that the end of the last one is seen.
    working: Sender<Infallible>,
    ended: Receiver<Infallible>,
}

impl<S> SecureReception<S> {
    pub(crate) fn new(tls: &Tls, http: S) -> Self {
        let (working, ended) = channel(1);
        Self { acceptor: tls.config().into(), http: Rc::new(http), working, ended }
    }
}

impl<S> Reception for SecureReception<S>
where
    S: Service<Encrypted> + 'static,
{
    fn take(&mut self, stream: TcpStream, peer: SocketAddr, place: Place) {
        let (http, working) = (self.http.clone(), self.working.clone());
        let handshake = self.acceptor.accept(stream);
        actix_rt::spawn(async move {
            let _working = working;
            // Strangers fail here all day: that is no news.
            let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, handshake).await else { return };
            let secured = Secured { stream, place: Rc::new(place), patience: Patience::default() };
            // It logs its errors itself.
            if poll_fn(|cx| http.poll_ready(cx)).await.is_ok() {
                let _ = http.call((secured, Protocol::Http1, Some(peer))).await;
            }
        });
    }

    async fn emptied(self) {
        let Self { working, mut ended, .. } = self;
        drop(working);
        let None = ended.recv().await;
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_pending() && self.patience.poll(cx).is_ready() {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Secured {
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
