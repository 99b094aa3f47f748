//! Every backplane keeps the promises of [`Broadcaster`](tidings_server::Broadcaster), whatever fails: one suite over all of
//! them, each with its real server.

mod authority;
mod checker;
mod client;
mod conformance;
mod faults;
mod gateways;
mod killed;
mod memory;
mod nats;
mod node;
mod postgres;
mod proxy;
mod redis;
mod rig;
#[path = "../served.rs"]
mod served;
mod servers;
mod speed;
mod storm;
