//! The Tidings client for JavaScript: a thin shell that gives [`tidings_client_core::Core`] a WebSocket, timers,
//! the page's events and the application's listeners.
//!
//! It exports two classes, [`BroadcastClient`] and [`BroadcastChannel`]. What they promise is written in the types
//! of the npm package. Nothing touches the environment until a client is constructed, and none of `window`,
//! `document` and `WebSocket` has to exist.
//!
//! Two rules hold in every file: the application's functions are called while nothing is borrowed, and whatever
//! keeps a client alive is let go when the client closes.

mod channel;
mod client;
mod driver;
mod frames;
mod js;
mod link;
mod listeners;
mod page;
mod promise;
mod settings;
mod socket;

pub use channel::BroadcastChannel;
pub use client::BroadcastClient;
pub use link::Link;

#[cfg(target_arch = "wasm32")]
use lol_alloc::{AssumeSingleThreaded, FreeListAllocator};

// SAFETY: wasm without threads has one.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: AssumeSingleThreaded<FreeListAllocator> =
    unsafe { AssumeSingleThreaded::new(FreeListAllocator::new()) };
