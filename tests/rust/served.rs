//! A gateway that is served on a port of its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZero,
    sync::mpsc,
    thread::JoinHandle,
};
use tidings_server::{Gateway, Server};
use tokio::sync::oneshot;

const WORKERS: NonZero<usize> = NonZero::new(2).expect("two");

/// Stops when it is dropped.
pub(crate) struct Served {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// With its probes.
    pub(crate) fn start(gateway: Gateway) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, starting) = mpsc::channel();
        let served = gateway.clone();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server =
                    Server::bind(served.clone(), (Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
                started.send(server.address().expect("an address")).expect("a test that waits");
                let probes = move |config: &mut actix_web::web::ServiceConfig| {
                    config.configure(served.probes());
                };
                let stopped = async { drop(stopped.await) };
                server.workers(WORKERS).run(probes, stopped).await.expect("a server that stops");
            });
        });
        let address = starting.recv().expect("the server starts");
        Self { gateway, address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server ends well");
        }
    }
}
