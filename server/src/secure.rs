//! A worker's connections over TLS. What is inside goes through the HTTP service, WebSockets too: their bytes have to be
//! encrypted one connection at a time, so the hub cannot have the socket.

use crate::{
    peeked::Peeked,
    tls::Tls,
    worker::{Place, Readable, Reception, serve},
};
use actix_service::Service;
use bytes::Bytes;
use std::{convert::Infallible, net::SocketAddr, rc::Rc, time::Duration};
use tokio::{
    net::TcpStream,
    sync::mpsc::{Receiver, Sender, channel},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a client has for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Boxed, as it is large, and the futures that it goes through have room for it each.
type Stream = Box<TlsStream<TcpStream>>;

/// A connection over TLS; its place is its own until it is a WebSocket.
pub(crate) type Secured = Peeked<Stream>;

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
    S: Service<Readable<Stream>> + 'static,
{
    fn take(&mut self, stream: TcpStream, peer: SocketAddr, place: Place) {
        let (http, working) = (self.http.clone(), self.working.clone());
        let handshake = Box::pin(self.acceptor.accept(stream));
        actix_rt::spawn(async move {
            let _working = working;
            // Strangers fail here all day: that is no news.
            let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, handshake).await else { return };
            serve(&*http, Secured::new(Bytes::new(), Box::new(stream), place), peer).await;
        });
    }

    async fn emptied(self) {
        let Self { working, mut ended, .. } = self;
        drop(working);
        let None = ended.recv().await;
    }
}
