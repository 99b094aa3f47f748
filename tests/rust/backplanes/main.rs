//! Every backplane keeps the promises of [`Broadcaster`](tidings_server::Broadcaster): one suite over all of them, each
//! with its real server.

mod checker;
mod conformance;
mod memory;
mod node;
mod postgres;
mod proxy;
mod servers;
