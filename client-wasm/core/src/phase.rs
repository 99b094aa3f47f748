//! Where the connection stands.

use crate::{liveness::Liveness, token::Identity};

/// How long a connection has to last before the count of attempts starts again, in milliseconds: a gateway that
/// accepts and drops is not hammered.
pub const STABLE_MS: u64 = 5_000;

/// Tells one socket of a client from the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketId(pub u32);

/// What an application sees of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Never connected.
    Idle,
    /// Connecting, or waiting to reconnect.
    Connecting,
    /// Welcomed by the gateway.
    Open,
    /// Over, until `connect()` is called.
    Closed,
}

/// The connection, with what belongs to each phase of it.
#[derive(Debug)]
pub(crate) enum Phase<C, T> {
    Idle,
    /// Until the next attempt; without a network there is no time for it.
    Waiting {
        until: Option<u64>,
    },
    /// Since a socket was asked for, and at the longest until then.
    Connecting {
        until: u64,
        /// What the application has given.
        token: Option<T>,
        /// The gateway has welcomed this client, which waits for the token.
        welcome: Option<Welcome<T>>,
    },
    Open(Open<C, T>),
    Closed,
}

/// What a gateway says first.
#[derive(Debug)]
pub(crate) struct Welcome<T> {
    pub(crate) id: T,
    /// The gateway speaks version 2.
    pub(crate) v2: bool,
    pub(crate) keepalive_ms: Option<u64>,
}

/// A connection that was welcomed.
#[derive(Debug)]
pub(crate) struct Open<C, T> {
    pub(crate) id: T,
    pub(crate) since: u64,
    pub(crate) identity: Identity<T>,
    pub(crate) liveness: Liveness,
    /// The gateway speaks version 2.
    pub(crate) v2: bool,
    /// It has said that it will close.
    pub(crate) draining: bool,
    pub(crate) due: Due<C>,
    /// The socket takes no frames any more and its end is about to be reported.
    pub(crate) stalled: bool,
}

/// Frames that go out before any other.
#[derive(Debug)]
pub(crate) struct Due<C> {
    pub(crate) pong: bool,
    /// The channel to subscribe once more, because the gateway answers that.
    pub(crate) probe: Option<C>,
}

impl<C, T> Phase<C, T> {
    pub(crate) const fn state(&self) -> State {
        match self {
            Self::Idle => State::Idle,
            Self::Waiting { .. } | Self::Connecting { .. } => State::Connecting,
            Self::Open(_) => State::Open,
            Self::Closed => State::Closed,
        }
    }
}
