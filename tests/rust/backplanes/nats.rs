//! JetStream of NATS.

mod faults;
mod life;

use crate::{
    conformance::{self, conforms},
    gateways::{Fragile, clients_stay_while_the_backplane_is_away},
    node::{Backplane, PATIENCE, histories},
    servers::nats::Server,
    storm::{Stormy, nothing_is_lost_in_silence},
};
use parking_lot::Mutex;
use std::{
    future::ready,
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidings_server::{Broadcaster, Histories, NatsBroadcaster, NatsOptions};

/// A backplane of its own on a server that other tests use too.
struct Nats {
    server: Arc<Server>,
    prefix: String,
}

impl Nats {
    fn new() -> Self {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mut shared = SHARED.lock();
        let server = shared.upgrade().unwrap_or_else(|| Arc::new(Server::start()));
        *shared = Arc::downgrade(&server);
        Self { server, prefix: format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed)) }
    }

    fn options(&self) -> NatsOptions {
        NatsOptions::new(self.server.url()).with_prefix(self.prefix.clone())
    }
}

impl Backplane for Nats {
    async fn connect(&self, histories: Histories) -> Arc<dyn Broadcaster> {
        Arc::new(NatsBroadcaster::connect(self.options(), histories).await.expect("connected"))
    }
}

conforms!(ready(Nats::new()));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_that_closes_leaves_the_others() {
    conformance::one_node_that_closes_leaves_the_others(&Nats::new()).await;
}

/// Tries until it is so.
async fn until<F: Future<Output = bool>>(is_so: impl Fn() -> F) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it never was so");
}

/// A server of its own.
struct Own(Server);

impl Fragile for Own {
    async fn connect(&self) -> Arc<dyn Broadcaster> {
        self.connect_by(self.0.address).await
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    fn start_again(&mut self) {
        self.0.restart();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_stay() {
    clients_stay_while_the_backplane_is_away(Own(Server::start())).await;
}

impl Stormy for Own {
    fn address(&self) -> SocketAddr {
        self.0.address
    }

    async fn connect_by(&self, address: SocketAddr) -> Arc<dyn Broadcaster> {
        let options = NatsOptions::new(format!("nats://{address}")).with_timeout(Duration::from_secs(2));
        Arc::new(NatsBroadcaster::connect(options, histories()).await.expect("connected"))
    }

    fn freeze(&self, frozen: bool) {
        self.0.signal(if frozen { "STOP" } else { "CONT" });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm() {
    nothing_is_lost_in_silence(async || Own(Server::start())).await;
}
