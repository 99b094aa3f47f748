//! The gateway over real TCP, with a WebSocket client that is not ours. Every test runs over both ways of serving.

mod acknowledging;
mod api;
mod attacks;
mod authorization;
mod breach;
mod delivery;
mod disconnecting;
mod draining;
mod expiring;
mod harness;
mod identifying;
mod leaving;
mod limits;
mod listening;
mod liveness;
mod metrics;
mod operator;
mod pacing;
mod paging;
mod publishing;
mod recovery;
mod revoking;
mod shutdown;
mod slow;
mod sse;
mod subscribing;
#[cfg(feature = "tokens")]
mod tokens;
mod transport;
mod upgrading;
#[cfg(feature = "webhooks")]
mod webhook;
mod welcome;
