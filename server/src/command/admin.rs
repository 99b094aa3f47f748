//! A listener for operators, apart from that of the clients: metrics, probes, and a page for whoever has a key.

use super::{failure::Failure, keys::Given, listener::address};
use actix_web::{
    App, HttpResponse, HttpServer,
    dev::ServerHandle,
    web::{self, ServiceConfig},
};
use clap::Args;
use std::{net::SocketAddr, path::PathBuf};
use tidings_server::{ApiKeys, Backplane, Gateway, OperatorPage};

/// What is at `/` when nobody has a key for the page.
const NO_PAGE: &str = "no operator's page: give the gateway a key for it, by --admin-keys-file FILE with a line NAME=SECRET \
                       or by --admin-key NAME=SECRET\n";

/// Where operators ask.
#[derive(Args)]
#[command(next_help_heading = "Operators")]
pub(super) struct Operators {
    /// Another address to listen on, for operators alone: `/metrics`, `/livez` and `/readyz`, for everybody who reaches
    /// it, and with --admin-keys-file the operator's page. Without it `/metrics` answers at --bind, to programs on this
    /// machine.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    admin_bind: Option<SocketAddr>,

    /// Serve the operator's page at --admin-bind, for whoever has this secret: what goes on, channels and their events,
    /// connections and a way to end them. NAME is the operator's, for the log; SECRET has 16 to 256 characters, such as
    /// those of `openssl rand -hex 32`. Without a key there is no page. May be repeated.
    // Text, so that an error does not repeat it.
    #[arg(long, value_name = "NAME=SECRET")]
    admin_key: Vec<String>,

    /// A file of such keys. One NAME=SECRET a line; empty lines and those that begin with # are skipped. Other users of
    /// this machine can read what a command is started with, but not such a file.
    #[arg(long, value_name = "FILE")]
    admin_keys_file: Option<PathBuf>,
}

/// A running listener. It stops when this is dropped.
pub(super) struct Admin {
    pub(super) address: SocketAddr,
    /// Whether the page is there.
    pub(super) page: bool,
    handle: ServerHandle,
}

impl Operators {
    /// The keys that open the page; with none there is no page.
    pub(super) fn keys(&self) -> Result<Option<ApiKeys>, Vec<Failure>> {
        let file = self.admin_keys_file.as_deref();
        let given =
            Given { flag: "--admin-key", keys: &self.admin_key, file_flag: "--admin-keys-file", file };
        match given.read()? {
            Some(_) if self.admin_bind.is_none() => Err(vec![Failure::NoAdminBind]),
            keys => Ok(keys),
        }
    }

    /// Listens, if that is wanted, with the page for whoever has one of `keys`.
    pub(super) fn listen(
        &self,
        gateway: &Gateway,
        keys: Option<ApiKeys>,
        backplane: &Backplane,
    ) -> Result<Option<Admin>, Failure> {
        let Some(address) = self.admin_bind else { return Ok(None) };
        let page = keys.map(|keys| OperatorPage::new(gateway, keys, backplane.name())).transpose()?;
        let (gateway, has_page) = (gateway.clone(), page.is_some());
        let configure = move |config: &mut ServiceConfig| {
            config.configure(gateway.metrics()).configure(gateway.probes());
            match &page {
                Some(page) => config.configure(page.routes()),
                None => config.route("/", web::get().to(|| async { HttpResponse::NotFound().body(NO_PAGE) })),
            };
        };
        let server = HttpServer::new(move || App::new().configure(configure.clone()))
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
        Ok(Some(Admin { address, page: has_page, handle }))
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // The command is sent by the call; its future only waits for the end.
        drop(self.handle.stop(false));
    }
}
