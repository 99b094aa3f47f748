//! A gateway that sends its clients back what they say, for a judge of the WebSocket protocol: everything is the gateway's
//! but what is made of a whole message. `cargo xtask conformance` runs it; the argument is `own` or `embedded`, and the
//! first line that it prints is where it listens.

use actix_web::{App, HttpServer};
use std::{future::pending, net::Ipv4Addr, time::Duration};
use tidings_server::{Config, Gateway, MemoryBroadcaster, Server};

/// As large as the largest message of Autobahn's cases.
const MESSAGE: usize = 16 * 1024 * 1024;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.path = "/".to_owned();
    config.ping_interval = Duration::ZERO;
    config.limits.frame_bytes = MESSAGE;
    config.limits.connections_per_second = 1_000_000;
    config.limits.queue_bytes = 4 * MESSAGE;
    let gateway = Gateway::builder(MemoryBroadcaster::default()).config(config).echo().build()?;
    let address = (Ipv4Addr::LOCALHOST, 0);
    match std::env::args().nth(1).as_deref() {
        Some("own") => {
            let server = Server::bind(gateway, address.into())?;
            println!("{}", server.address()?);
            server.run(|_| {}, pending()).await?;
        }
        Some("embedded") => {
            let server = HttpServer::new(move || App::new().configure(gateway.routes())).bind(address)?;
            println!("{}", server.addrs()[0]);
            server.run().await?;
        }
        _ => return Err("wanted is an argument: own or embedded".into()),
    }
    Ok(())
}
