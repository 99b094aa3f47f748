//! What can go wrong in the library's own calls.

use std::error::Error;

/// The cause of a failure in a driver or in the application.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a call of the library failed. [`code`](Self::code) is stable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// A setting or an argument is wrong; the text names it and says what is allowed.
    #[error("{0}")]
    Config(String),
    /// The backplane did not take the event.
    #[error("the event was not published: {0}")]
    Publish(#[source] BoxError),
    /// The backplane did not take the subscription.
    #[error("the channel was not subscribed: {0}")]
    Subscribe(#[source] BoxError),
    /// The channel's past could not be read.
    #[error("the history was not read: {0}")]
    History(#[source] BoxError),
    /// The subject may not use the channel.
    #[error("not authorized for channel {channel:?}")]
    Unauthorized {
        /// The channel.
        channel: String,
    },
    /// The authorizer itself failed.
    #[error("the authorizer of channel {channel:?} failed: {source}")]
    Authorizer {
        /// The channel.
        channel: String,
        /// What it failed with.
        #[source]
        source: BoxError,
    },
    /// The gateway or the broadcaster was closed.
    #[error("closed")]
    Closed,
}

impl BroadcastError {
    /// A stable code for logs and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "broadcast.config",
            Self::Publish(_) => "broadcast.publish",
            Self::Subscribe(_) => "broadcast.subscribe",
            Self::History(_) => "broadcast.history",
            Self::Unauthorized { .. } => "broadcast.unauthorized",
            Self::Authorizer { .. } => "broadcast.authorizer",
            Self::Closed => "broadcast.closed",
        }
    }
}
