//! The frames. `T` is text, `V` is an event's data or another payload that only its reader looks into.

use crate::fields::{Fields, Key, Tag};

/// The protocol version that a gateway speaks when it says so in `welcome`.
pub const VERSION: u64 = 2;

/// The most events in one page of history.
pub const MAX_PAGE: u64 = 1_000;

/// The events in a page of history, unless the client says how many it wants.
pub const DEFAULT_PAGE: u64 = 100;

/// How many publishes a client sends before the first of them is answered; further ones wait (version 2).
pub const MAX_IN_FLIGHT: usize = 256;

/// How many pages of history a client asks for at a time; a gateway refuses further ones.
pub const MAX_REQUESTS: usize = 32;

/// A place in a channel's stream of events (version 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position<T> {
    /// Changes when offsets can no longer be compared. Opaque.
    pub epoch: T,
    /// Grows with every event, by any step. At most [`crate::MAX_INTEGER`].
    pub offset: u64,
}

impl<T: AsRef<str>> Position<T> {
    /// The same, with the epoch borrowed.
    pub fn as_deref(&self) -> Position<&str> {
        Position { epoch: self.epoch.as_ref(), offset: self.offset }
    }
}

/// Why a channel could not be resumed, or lost continuity (version 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The stream's epoch is another one.
    Epoch,
    /// The events since that position are no longer kept.
    Expired,
    /// More events than a resume may carry.
    Limit,
    /// History could not be read.
    Unavailable,
    /// The backplane lost continuity.
    Backplane,
}

impl Why {
    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::Expired => "expired",
            Self::Limit => "limit",
            Self::Unavailable => "unavailable",
            Self::Backplane => "backplane",
        }
    }
}

/// What became of a resume (version 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery<T> {
    /// This many `msg` frames follow, then the channel is live.
    Recovered {
        /// How many.
        count: u64,
    },
    /// Nothing of what was missed follows; [`Why`] as text.
    Lost {
        /// A [`Why`], or a text of a newer gateway.
        why: T,
    },
}

/// From client to gateway.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientFrame<T, V> {
    /// Subscribe.
    Sub {
        /// The channel.
        channel: T,
        /// Version 2: resume from here.
        resume: Option<Position<T>>,
    },
    /// Unsubscribe. Never answered.
    Unsub {
        /// The channel.
        channel: T,
    },
    /// Publish an event.
    Pub {
        /// The channel.
        channel: T,
        /// The event's name.
        event: T,
        /// Its data; absent counts as `null`.
        data: Option<V>,
        /// Version 2: the client's number for this request, repeated in the answer.
        request: Option<u64>,
        /// Version 2: a repeat with the same key is not published again.
        key: Option<T>,
    },
    /// The answer to `ping`.
    Pong,
    /// Version 2: update the own presence info on a channel.
    Presence {
        /// The channel.
        channel: T,
        /// The new info.
        info: V,
    },
    /// Version 2: a new token for this connection.
    Auth {
        /// The token.
        token: T,
    },
    /// Version 2: ask for a page of history.
    History {
        /// The channel.
        channel: T,
        /// The client's number for this request.
        request: u64,
        /// At most this many events.
        limit: Option<u64>,
        /// Only events before this offset.
        before: Option<u64>,
    },
}

/// From gateway to client.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ServerFrame<T, V> {
    /// The first frame of a connection.
    Welcome {
        /// The client's id, a ULID.
        id: T,
        /// The gateway's protocol version; a version 1 gateway does not say.
        version: Option<u64>,
        /// The keepalive interval in milliseconds, 0 when there is none; a version 1 gateway does not say.
        keepalive_ms: Option<u64>,
    },
    /// A subscription is live.
    Ok {
        /// The channel.
        channel: T,
        /// Version 2: live begins after this position.
        position: Option<Position<T>>,
        /// Version 2: what became of the resume, when there was one.
        recovery: Option<Recovery<T>>,
    },
    /// A command failed.
    Err {
        /// The channel; empty when the error is about the connection.
        channel: T,
        /// Why: one of [`crate::reason`].
        reason: T,
        /// Version 2: the number of the request that failed.
        request: Option<u64>,
    },
    /// An event.
    Msg {
        /// The channel.
        channel: T,
        /// The event's name.
        event: T,
        /// Its data; absent counts as `null`.
        data: V,
        /// Its id, a ULID.
        id: T,
        /// Version 2: its offset in the channel's stream.
        offset: Option<u64>,
        /// Version 2: the offset of the event before it; absent means `offset - 1`.
        previous: Option<u64>,
    },
    /// Are you there?
    Ping,
    /// Version 2: continuity is lost; what follows begins after this position.
    Gap {
        /// The channel.
        channel: T,
        /// Where it goes on.
        position: Position<T>,
        /// A [`Why`] as text.
        why: T,
    },
    /// Version 2: an event that was not meant for this client went by.
    Pos {
        /// The channel.
        channel: T,
        /// Its offset.
        offset: u64,
    },
    /// Version 2: a publish was accepted by the backplane.
    Ack {
        /// The client's number for the request.
        request: u64,
        /// The event's id.
        id: T,
        /// The event's offset, on a channel with history.
        offset: Option<u64>,
    },
    /// Version 2: presence changes. Each is a JSON array.
    Presence {
        /// The channel.
        channel: T,
        /// Members who joined.
        joined: Option<V>,
        /// Ids of members who left.
        left: Option<V>,
        /// Members whose info changed.
        updated: Option<V>,
    },
    /// Version 2: the new token was taken.
    Auth {
        /// When it expires, in seconds since 1970.
        expires: Option<u64>,
    },
    /// Version 2: the gateway will close this connection soon.
    Bye {
        /// The close code that it will use.
        code: u64,
        /// Come back no sooner than this many milliseconds from now.
        after_ms: u64,
    },
    /// Version 2: a page of history.
    History {
        /// The channel.
        channel: T,
        /// The client's number for the request.
        request: u64,
        /// The end of the stream when the page was read.
        position: Position<T>,
        /// A JSON array of events with `e`, `d`, `i`, `o`, oldest first.
        events: V,
    },
}

pub(crate) fn position<F: Fields>(fields: &F) -> Option<Position<F::Text>> {
    Some(Position { epoch: fields.text(Key::Epoch)?, offset: fields.integer(Key::Offset)? })
}

impl<T, V> ClientFrame<T, V> {
    /// Reads a frame. `None` means that it is dropped: the tag is none of a client's, or a key that the frame
    /// needs is missing or of the wrong type. Keys that the frame does not need are not looked at.
    pub fn read<F: Fields<Text = T, Value = V>>(fields: &F) -> Option<Self> {
        Some(match fields.tag()? {
            Tag::Sub => Self::Sub {
                channel: fields.name(Key::Channel)?,
                resume: fields.object(Key::Resume).as_ref().and_then(position),
            },
            Tag::Unsub => Self::Unsub { channel: fields.name(Key::Channel)? },
            Tag::Pub => Self::Pub {
                channel: fields.name(Key::Channel)?,
                event: fields.name(Key::Event)?,
                data: fields.value(Key::Data),
                request: fields.integer(Key::Number),
                key: fields.name(Key::IdempotencyKey),
            },
            Tag::Pong => Self::Pong,
            Tag::Pres => {
                Self::Presence { channel: fields.name(Key::Channel)?, info: fields.value(Key::Info)? }
            }
            Tag::Auth => Self::Auth { token: fields.name(Key::Token)? },
            Tag::Hist => Self::History {
                channel: fields.name(Key::Channel)?,
                request: fields.integer(Key::Number)?,
                limit: fields.integer(Key::Limit),
                before: fields.integer(Key::Before),
            },
            _ => return None,
        })
    }
}
