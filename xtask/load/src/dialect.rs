//! What each kind of server wants to hear.

mod nats;
mod nchan;
mod socketio;
mod tidings;

use anyhow::{Result, bail};
use clap::ValueEnum;

/// The dialects by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Version 1 of the protocol of Tidings, on /_broadcast
    Tidings,
    /// NATS over WebSocket
    Nats,
    /// nchan: subscribers at /sub, publishing by HTTP at /pub
    Nchan,
    /// Socket.IO 4; a client says sub and pub, the server msg
    SocketIo,
}

impl Language {
    pub(crate) fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::Tidings => &tidings::Tidings,
            Self::Nats => &nats::Nats,
            Self::Nchan => &nchan::Nchan,
            Self::SocketIo => &socketio::SocketIo,
        }
    }
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Subscribes to the channel of this number.
    Subscriber(usize),
    Publisher,
}

/// A channel's name by its number.
pub(crate) fn channel(number: usize) -> String {
    format!("bench.{number}")
}

/// What to do after the server has said something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Wait,
    /// Send these bytes.
    Send(Vec<u8>),
    /// The client is connected, and subscribed when it wants to be.
    Ready,
}

/// Splits the first message off a stream: how many bytes it takes and, when it is an event, its text. `None`
/// while it is not complete.
pub(crate) type Split = fn(&[u8]) -> Option<(usize, Option<&[u8]>)>;

/// How to talk to one kind of server.
pub(crate) trait Dialect {
    /// The path and the query of the upgrade request; `None` for a publisher that needs no WebSocket.
    fn path(&self, role: Role) -> Option<String>;

    /// What follows the upgrade.
    fn upgraded(&self, _role: Role) -> Step {
        Step::Wait
    }

    /// What follows a message from the server, until the client is ready.
    fn answer(&self, message: &[u8], role: Role) -> Result<Step>;

    /// Writes an event to the channel of this number into `out`. `data` is a JSON object.
    fn publish(&self, channel: usize, data: &str, out: &mut Vec<u8>);

    /// How frames are split into messages, where a frame may hold several or a part of one.
    fn split(&self) -> Option<Split> {
        None
    }

    /// Fails when the server tells the publisher that it was refused.
    fn check(&self, replies: &[u8]) -> Result<()> {
        if replies.starts_with(b"HTTP/1.1 4") || contains(replies, r#""t":"err""#) {
            bail!("publish refused: {}", String::from_utf8_lossy(replies));
        }
        Ok(())
    }
}

fn contains(message: &[u8], text: &str) -> bool {
    memchr::memmem::find(message, text.as_bytes()).is_some()
}
