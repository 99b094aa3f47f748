//! PostgreSQL.

mod faults;
mod sql;

use crate::{
    conformance::conforms,
    faults::survives,
    gateways::clients_stay_while_the_backplane_is_away,
    killed,
    node::{Backplane, Fragile, Remote, at_last, histories},
    servers::postgres::{Server, shared, url},
    storm::weathers,
};
use std::{borrow::Borrow, net::SocketAddr, sync::Arc};
use tidings_server::{Broadcaster, Histories, PostgresBroadcaster, PostgresOptions};

/// A database with a ledger, on a server of its own or on one that others use.
struct Postgres<S> {
    server: S,
    name: String,
}

async fn connect(url: &str, histories: Histories) -> PostgresBroadcaster {
    let config: PostgresOptions = url.parse().expect("a URL");
    config.connect(histories).await.expect("a ledger")
}

async fn start() -> Postgres<&'static Server> {
    let server = shared().await;
    Postgres { server, name: server.database().await }
}

async fn own() -> Postgres<Server> {
    let server = Server::start();
    let name = server.database().await;
    Postgres { server, name }
}

impl Backplane for Postgres<&Server> {
    async fn connect(&self, histories: Histories) -> Arc<dyn Broadcaster> {
        Arc::new(connect(&self.url(), histories).await)
    }
}

impl<S: Borrow<Server>> Remote for Postgres<S> {
    fn address(&self) -> SocketAddr {
        self.server.borrow().address()
    }

    fn url(&self) -> String {
        url(self.address(), &self.name)
    }

    async fn connect_by(&self, address: SocketAddr) -> Arc<dyn Broadcaster> {
        let config: PostgresOptions = url(address, &self.name).parse().expect("a URL");
        let connected = async || config.clone().connect(histories()).await;
        Arc::new(at_last("it is connected", connected).await)
    }
}

impl Fragile for Postgres<Server> {
    fn kill(&mut self) {
        self.server.kill();
    }

    fn start_again(&mut self) {
        self.server.resume();
    }

    fn freeze(&self, frozen: bool) {
        self.server.signal(if frozen { libc::SIGSTOP } else { libc::SIGCONT });
    }
}

conforms!(start());
conforms!(start(); one_node_that_closes_leaves_the_others);
survives!(own(), start());
weathers!(nothing_is_lost(own); storm long_storm);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_stay() {
    clients_stay_while_the_backplane_is_away(own().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_killed_while_others_publish() {
    killed::a_gateway_is_killed_while_others_publish(module_path!(), start).await;
}
