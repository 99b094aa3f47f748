//! A listener for operators, apart from that of the clients: metrics and probes.

use super::{failure::Failure, listener::address};
use actix_web::{App, HttpServer, dev::ServerHandle};
use clap::Args;
use std::net::SocketAddr;
use tidings_server::Gateway;

/// Where operators ask.
#[derive(Args)]
#[command(next_help_heading = "Operators")]
pub(super) struct Operators {
    /// Another address to listen on, for operators alone: `/metrics`, `/livez` and `/readyz`, for everybody who reaches
    /// it. Without it `/metrics` answers at --bind, to programs on this machine.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    admin_bind: Option<SocketAddr>,
}

/// A running listener. It stops when this is dropped.
pub(super) struct Admin {
    pub(super) address: SocketAddr,
    handle: ServerHandle,
}

impl Operators {
    /// Listens, if that is wanted.
    pub(super) fn listen(&self, gateway: &Gateway) -> Result<Option<Admin>, Failure> {
        let Some(address) = self.admin_bind else { return Ok(None) };
        let gateway = gateway.clone();
        let server =
            HttpServer::new(move || App::new().configure(gateway.metrics()).configure(gateway.probes()))
                .workers(1)
                .disable_signals()
                .bind(address)
                .map_err(|source| Failure::AdminBind { address, source })?;
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the listener for operators has ended");
            }
        });
        Ok(Some(Admin { address, handle }))
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // The command is sent by the call; its future only waits for the end.
        drop(self.handle.stop(false));
    }
}
