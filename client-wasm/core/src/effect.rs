//! What the core asks of its owner.

use crate::{SocketId, State};

/// Why a publish was not sent or a client stopped, in the words an application sees.
pub mod reason {
    /// The outbox had no room for it.
    pub const OUTBOX_FULL: &str = "outbox full";
    /// The client is closed: by `disconnect()`, by its gateway, or because it gave up.
    pub const DISCONNECTED: &str = "disconnected";
    /// `maxReconnectAttempts` attempts in a row failed.
    pub const EXHAUSTED: &str = "reconnect attempts exhausted";
    /// The socket did not open, or no `welcome` came, within `connectTimeoutMs`.
    pub const CONNECT_TIMEOUT: &str = "connect timeout";
}

/// A frame to send. What a publish looks like is its owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing<C, P> {
    /// Subscribe to this channel.
    Subscribe(C),
    /// Unsubscribe from this channel.
    Unsubscribe(C),
    /// Publish.
    Publish(P),
    /// The answer to a `ping`.
    Pong,
}

/// How a socket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed<T> {
    /// The close code; 1006 when there was none.
    pub code: u16,
    /// The text that came with it.
    pub reason: T,
    /// Whether the WebSocket was closed by both sides.
    pub clean: bool,
}

/// One thing to do, in order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect<C, T, V, P> {
    /// Open a socket. There is none at this moment.
    Connect {
        /// Goes with everything that this socket reports.
        socket: SocketId,
    },
    /// Close the socket and listen to it no longer.
    Close {
        /// The close code.
        code: u16,
        /// The text that goes with it.
        reason: &'static str,
    },
    /// Send a frame. When that fails: [`crate::Core::unsent`].
    Send(Outgoing<C, P>),
    /// A publish will not be sent: see [`reason`].
    Dropped {
        /// What was to be sent.
        frame: P,
        /// Why not.
        reason: &'static str,
    },
    /// An event for the listeners of a channel.
    Deliver {
        /// The channel.
        channel: C,
        /// The event's name.
        event: T,
        /// Its data.
        data: V,
    },
    /// A channel is live.
    Subscribed(C),
    /// The gateway refused a subscription. It is asked for again on the next connection.
    Denied {
        /// The channel.
        channel: C,
        /// Why.
        reason: T,
    },
    /// Nobody wants this channel any longer: its id will mean another one.
    Forget(C),
    /// The public state has changed.
    State {
        /// What it was.
        from: State,
        /// What it is.
        to: State,
    },
    /// Welcomed by the gateway.
    Opened,
    /// The socket is gone.
    Closed(Closed<T>),
    /// There will be an attempt to reconnect.
    Reconnecting {
        /// Counts from 1.
        attempt: u32,
        /// How long until then, in milliseconds.
        delay_ms: u64,
    },
    /// Something failed that the application should know of.
    Error {
        /// The channel's name, when it is about one.
        channel: Option<T>,
        /// Why.
        reason: T,
    },
}

/// What happened to the page around the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageChange {
    /// There is a network again.
    Online,
    /// There is no network.
    Offline,
    /// The user looks at it.
    Visible,
    /// The user looks elsewhere.
    Hidden,
    /// It came back from the browser's back/forward cache.
    Restored,
}
