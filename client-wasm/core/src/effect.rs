//! What the core asks of its owner.

use crate::{SocketId, State, TokenReason};
use tidings_protocol::Position;

/// Why something failed, in the words an application sees.
pub mod reason {
    /// The outbox had no room for it.
    pub const OUTBOX_FULL: &str = "outbox full";
    /// It was not sent within `outboxMaxAgeMs`.
    pub const EXPIRED: &str = "expired";
    /// It was sent, and no answer came: it may have been published or not.
    pub const UNACKNOWLEDGED: &str = "unacknowledged";
    /// The gateway takes no frame of this size.
    pub const TOO_LARGE: &str = "frame too large";
    /// The client is closed: by `disconnect()`, by its gateway, or because it gave up.
    pub const DISCONNECTED: &str = "disconnected";
    /// `maxReconnectAttempts` attempts in a row failed.
    pub const EXHAUSTED: &str = "reconnect attempts exhausted";
    /// The socket did not open, or no `welcome` came, within `connectTimeoutMs`.
    pub const CONNECT_TIMEOUT: &str = "connect timeout";
    /// A page of history was asked for, and the channel was left.
    pub const LEFT: &str = "left";
    /// The gateway speaks version 1 and has no history.
    pub const UNSUPPORTED: &str = "unsupported";
    /// The channel is live and has no history.
    pub const NO_HISTORY: &str = "no-history";
    /// The application gave no token, or not within `connectTimeoutMs`.
    pub const TOKEN_FAILED: &str = "token failed";
    /// The gateway did not answer a token within `connectTimeoutMs`.
    pub const TOKEN_TIMEOUT: &str = "token timeout";
    /// The gateway speaks version 1 and takes no tokens.
    pub const NO_TOKENS: &str = "tokens unsupported";
    /// Why there is a gap: events are missing, and the gateway did not send them when it was asked to.
    pub const HOLE: &str = "hole";
}

/// A frame to send. What a publish looks like is its owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing<C, T, P> {
    /// Subscribe to a channel.
    Subscribe {
        /// The channel.
        channel: C,
        /// Resume from here.
        resume: Option<Position<T>>,
    },
    /// Unsubscribe from this channel.
    Unsubscribe(C),
    /// Publish.
    Publish {
        /// What the application published.
        frame: P,
        /// The number of the request, for a gateway that acknowledges; the idempotency key then goes with it. Without
        /// one the publish is done with when it is sent.
        request: Option<u64>,
    },
    /// Ask for a page of history.
    History {
        /// The channel.
        channel: C,
        /// The number of the request.
        request: u64,
        /// At most this many events.
        limit: Option<u64>,
        /// Only events before this offset.
        before: Option<u64>,
    },
    /// The answer to a `ping`.
    Pong,
    /// Tell the gateway who this is.
    Authenticate {
        /// What the application gave.
        token: T,
    },
}

/// How an event stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It follows on, or the gateway speaks version 1 and there is nothing to tell by.
    InOrder,
    /// Events are missing before it: a gap with [`reason::HOLE`] comes first.
    AfterGap,
    /// It has no place in a stream. A repeat is known by its id.
    Unplaced,
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
    /// Ask the application for a token. When it has answered: [`crate::Core::token`].
    GetToken {
        /// The socket that it is for.
        socket: SocketId,
        /// Why it is wanted.
        reason: TokenReason,
    },
    /// Close the socket and listen to it no longer.
    Close {
        /// The close code.
        code: u16,
        /// The text that goes with it.
        reason: &'static str,
    },
    /// Send a frame. When that fails: [`crate::Core::unsent`].
    Send(Outgoing<C, T, P>),
    /// A publish was accepted by the backplane.
    Acknowledged {
        /// What was published.
        frame: P,
        /// The event's id.
        id: T,
        /// Its place in the channel's stream.
        offset: Option<u64>,
    },
    /// A publish failed: see [`reason`], or the gateway's reason.
    Dropped {
        /// What was to be published.
        frame: P,
        /// Why it was not, or nobody knows.
        reason: T,
    },
    /// The answer to [`crate::Core::history`].
    History {
        /// What that returned.
        request: u64,
        /// The end of the stream when the page was read and the events, or why there are none: see [`reason`], or the
        /// gateway's reason.
        page: Result<(Position<T>, V), T>,
    },
    /// An event for the listeners of a channel.
    Deliver {
        /// The channel.
        channel: C,
        /// The event's name.
        event: T,
        /// Its data.
        data: V,
        /// Its id, when it is [`Arrival::Unplaced`].
        id: Option<T>,
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
    /// Events of a channel are missing, after those delivered before and before those that follow.
    Gap {
        /// The channel.
        channel: C,
        /// A [`tidings_protocol::Why`] as text, or [`reason::HOLE`].
        why: T,
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
    /// The gateway will close the connection soon.
    Drain {
        /// It asks to be called again no sooner than this many milliseconds from now.
        after_ms: u64,
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
