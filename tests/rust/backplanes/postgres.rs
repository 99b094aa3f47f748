//! PostgreSQL.

mod faults;
mod sql;

use crate::{
    conformance::{conforms, one_node_that_closes_leaves_the_others},
    gateways::{Fragile, clients_stay_while_the_backplane_is_away},
    node::{Backplane, histories},
    servers::postgres::{Server, shared, url},
    storm::{Stormy, nothing_is_lost_in_silence},
};
use std::{net::SocketAddr, sync::Arc};
use tidings_server::{Broadcaster, Histories, PostgresBroadcaster, PostgresOptions};

/// A database with a ledger.
struct Postgres(String);

async fn connect(url: &str, histories: Histories) -> PostgresBroadcaster {
    let config: PostgresOptions = url.parse().expect("a URL");
    config.connect(histories).await.expect("a ledger")
}

impl Backplane for Postgres {
    async fn connect(&self, histories: Histories) -> Arc<dyn Broadcaster> {
        Arc::new(connect(&self.0, histories).await)
    }
}

async fn database(server: &Server) -> Postgres {
    Postgres(server.url(&server.database().await))
}

async fn start() -> Postgres {
    database(shared().await).await
}

conforms!(start());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_that_closes() {
    one_node_that_closes_leaves_the_others(&start().await).await;
}

/// A server of its own, and the name of a database on it.
struct Own(Server, String);

async fn own() -> Own {
    let server = Server::start();
    let name = server.database().await;
    Own(server, name)
}

impl Fragile for Own {
    async fn connect(&self) -> Arc<dyn Broadcaster> {
        self.connect_by(self.0.address()).await
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    fn start_again(&mut self) {
        self.0.resume();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_stay() {
    clients_stay_while_the_backplane_is_away(own().await).await;
}

impl Stormy for Own {
    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    async fn connect_by(&self, address: SocketAddr) -> Arc<dyn Broadcaster> {
        Arc::new(connect(&url(address, &self.1), histories()).await)
    }

    fn freeze(&self, frozen: bool) {
        self.0.signal(if frozen { libc::SIGSTOP } else { libc::SIGCONT });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm() {
    nothing_is_lost_in_silence(own).await;
}
