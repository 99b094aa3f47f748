//! Every backplane keeps the promises of [`Broadcaster`](tidings_server::Broadcaster): one suite over all of them, each
//! with its real server.

mod checker;
mod conformance;
mod gateways;
mod memory;
mod nats;
mod node;
mod postgres;
mod proxy;
mod redis;
mod servers;
mod speed;
mod storm;
