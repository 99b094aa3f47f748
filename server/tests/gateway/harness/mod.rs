//! A running gateway, its clients, and things to wait for.

mod client;
mod crowd;
mod http;
mod probe;
mod raw;
mod standstill;
mod stream;
mod wait;

pub(crate) use client::{Client, PING, PONG, Said, auth, err, ok, publish, sub, unsub};
pub(crate) use crowd::{knowing, known};
pub(crate) use http::{Answer, answer, request};
pub(crate) use probe::{Door, Probe};
pub(crate) use raw::{Raw, handshake, masked, text};
pub(crate) use standstill::Standstill;
pub(crate) use stream::{Heard, Stream};
pub(crate) use wait::{run, until};

use actix_web::{App, HttpServer, dev::ServerHandle, web::ServiceConfig};
use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZero,
    sync::mpsc,
    thread::JoinHandle,
};
use tidings_server::{ApiKeys, Builder, Config, Gateway, Histories, MemoryBroadcaster, Server};
use tokio::sync::oneshot;

/// Enough for channels and clients to spread over.
const WORKERS: usize = 2;

/// Who holds the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serving {
    /// [`Server`]: the gateway's hubs.
    Own,
    /// An application's `HttpServer`: actix-web.
    Embedded,
}

/// Makes two tests of each function: one for each way of serving.
macro_rules! both_ways {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            #[test]
            fn own() {
                crate::harness::run(super::$name(crate::harness::Serving::Own));
            }

            #[test]
            fn embedded() {
                crate::harness::run(super::$name(crate::harness::Serving::Embedded));
            }
        }
    )* };
}
pub(crate) use both_ways;

/// The default settings, changed by `change`.
pub(crate) fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

/// A gateway over memory, without history, that lets clients publish.
pub(crate) fn open_gateway() -> Builder {
    Gateway::builder(MemoryBroadcaster::new(Histories::off())).allow_client_publish(|_| async { true })
}

/// A gateway that is being served. Stops when it is dropped.
pub(crate) struct Running {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    stop: Option<Stop>,
    thread: Option<JoinHandle<()>>,
}

enum Stop {
    Own(oneshot::Sender<()>),
    Embedded(ServerHandle),
}

impl Running {
    pub(crate) fn start(serving: Serving, builder: Builder) -> Self {
        Self::start_with(serving, builder, None)
    }

    /// With these keys for the HTTP API.
    pub(crate) fn start_with(serving: Serving, builder: Builder, keys: Option<ApiKeys>) -> Self {
        let gateway = builder.build().expect("valid settings");
        let (started, starting) = mpsc::channel();
        let served = gateway.clone();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                match serving {
                    Serving::Own => own(served, keys, &started).await,
                    Serving::Embedded => embedded(served, keys, &started).await,
                }
            });
        });
        let (address, stop) = starting.recv().expect("the server starts");
        Self { gateway, address, stop: Some(stop), thread: Some(thread) }
    }

    /// Waits until no client, channel or subscription is left.
    pub(crate) async fn empty(&self) {
        until("nothing is left", || self.gateway.client_count() == 0 && self.gateway.channel_count() == 0)
            .await;
    }
}

fn api(config: &mut ServiceConfig, gateway: &Gateway, keys: Option<ApiKeys>) {
    match keys {
        Some(keys) => config.configure(gateway.api(keys)),
        None => config.configure(gateway.local_api()),
    };
    config.configure(gateway.local_metrics());
}

async fn own(gateway: Gateway, keys: Option<ApiKeys>, started: &mpsc::Sender<(SocketAddr, Stop)>) {
    let routes = gateway.clone();
    let server = Server::bind(gateway, (Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let server = server.workers(NonZero::new(WORKERS).expect("some"));
    let (stop, stopped) = oneshot::channel();
    started.send((server.address().expect("an address"), Stop::Own(stop))).expect("a test that waits");
    let configure = move |config: &mut ServiceConfig| api(config, &routes, keys.clone());
    let stopped = async { drop(stopped.await) };
    server.run(configure, stopped).await.expect("a server that stops");
}

async fn embedded(gateway: Gateway, keys: Option<ApiKeys>, started: &mpsc::Sender<(SocketAddr, Stop)>) {
    let server = HttpServer::new(move || {
        let (routes, keys) = (gateway.routes(), keys.clone());
        App::new().configure(routes).configure(|config| api(config, &gateway, keys))
    });
    let server = server
        .workers(WORKERS)
        .shutdown_timeout(1)
        .disable_signals()
        .bind((Ipv4Addr::LOCALHOST, 0))
        .expect("a free port");
    let address = server.addrs()[0];
    let server = server.run();
    started.send((address, Stop::Embedded(server.handle()))).expect("a test that waits");
    server.await.expect("a server that stops");
}

impl Drop for Running {
    fn drop(&mut self) {
        match self.stop.take() {
            Some(Stop::Own(stop)) => drop(stop.send(())),
            // The command is sent by the call; its future only waits for the end.
            Some(Stop::Embedded(handle)) => drop(handle.stop(false)),
            None => {}
        }
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server ends well");
        }
    }
}
