//! A gateway that is served on a port of its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZero,
    sync::mpsc,
    thread::JoinHandle,
    time::Duration,
};
use tidings_server::{Config, Gateway, Histories, History, MemoryBroadcaster, Server};
use tokio::sync::oneshot;

const WORKERS: NonZero<usize> = NonZero::new(2).expect("two");

/// Stops when it is dropped.
pub(crate) struct Running {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// A gateway over memory that keeps everything and lets everybody publish.
    pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let history = History { events: 1_000_000, age: Duration::from_secs(3_600), bytes: usize::MAX };
        let gateway = Gateway::builder(MemoryBroadcaster::new(Histories::new(history)))
            .allow_client_publish(|_| async { true })
            .config(config)
            .build()
            .expect("valid settings");
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, starting) = mpsc::channel();
        let served = gateway.clone();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = Server::bind(served, (Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
                started.send(server.address().expect("an address")).expect("a test that waits");
                let stopped = async { drop(stopped.await) };
                server.workers(WORKERS).run(|_| {}, stopped).await.expect("a server that stops");
            });
        });
        let address = starting.recv().expect("the server starts");
        Self { gateway, address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server ends well");
        }
    }
}
