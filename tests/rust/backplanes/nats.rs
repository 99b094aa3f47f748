//! JetStream of NATS.

mod faults;
mod life;

use crate::{
    conformance::conforms,
    faults::survives,
    gateways::clients_stay_while_the_backplane_is_away,
    killed,
    node::{Backplane, Fragile, Remote, at_last, histories},
    servers::nats::Server,
    storm::weathers,
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
        patient(&self.server.url()).with_prefix(self.prefix.clone())
    }
}

impl Backplane for Nats {
    async fn connect(&self, histories: Histories) -> Arc<dyn Broadcaster> {
        Arc::new(NatsBroadcaster::connect(self.options(), histories).await.expect("connected"))
    }
}

conforms!(ready(Nats::new()));
conforms!(ready(Nats::new()); one_node_that_closes_leaves_the_others);

impl Remote for Server {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn url(&self) -> String {
        self.url()
    }

    async fn connect_by(&self, address: SocketAddr) -> Arc<dyn Broadcaster> {
        connect(&options(&[format!("nats://{address}")])).await
    }
}

impl Fragile for Server {
    fn kill(&mut self) {
        Self::kill(self);
    }

    fn start_again(&mut self) {
        self.restart();
    }

    fn freeze(&self, frozen: bool) {
        Self::freeze(self, frozen);
    }
}

/// Of a test that takes no answer for a failure.
fn patient(server: &str) -> NatsOptions {
    NatsOptions::new(server).with_timeout(Duration::from_secs(20))
}

/// With little patience, so that a fault is soon noticed.
fn options(servers: &[String]) -> NatsOptions {
    let mut options = NatsOptions::new("").with_timeout(Duration::from_secs(2));
    options.servers = servers.to_vec();
    options
}

async fn connect(options: &NatsOptions) -> Arc<dyn Broadcaster> {
    let connected = async || NatsBroadcaster::connect(options.clone(), histories()).await;
    Arc::new(at_last("it is connected", connected).await)
}

survives!(ready(Server::start()), ready(Server::start()));
weathers!(nothing_is_lost(async || Server::start()); storm long_storm);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_stay() {
    clients_stay_while_the_backplane_is_away(Server::start()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_killed_while_others_publish() {
    killed::a_gateway_is_killed_while_others_publish(module_path!(), async || Server::start()).await;
}
