//! A received JSON object, seen through the tags and keys that the protocol knows.

/// The largest integer on the wire: 2^53 - 1, what a JavaScript number holds exactly.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

macro_rules! names {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$doc])* $variant,)* }

        impl $type {
            /// Every one, in order: `ALL[x as usize] == x`.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The text on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The one with this text on the wire.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

names! {
    /// What kind of frame: the value of `t`.
    Tag {
        /// Gateway: first frame of a connection.
        Welcome = "welcome",
        /// Gateway: a subscription is live.
        Ok = "ok",
        /// Gateway: a command failed.
        Err = "err",
        /// Gateway: an event.
        Msg = "msg",
        /// Gateway: are you there?
        Ping = "ping",
        /// Client: subscribe.
        Sub = "sub",
        /// Client: unsubscribe.
        Unsub = "unsub",
        /// Client: publish.
        Pub = "pub",
        /// Client: answer to `ping`.
        Pong = "pong",
        /// Gateway, version 2: continuity of a channel is lost.
        Gap = "gap",
        /// Gateway, version 2: an event not meant for this client went by.
        Pos = "pos",
        /// Gateway, version 2: a publish was accepted.
        Ack = "ack",
        /// Version 2: who is where.
        Pres = "pres",
        /// Version 2: a new token, and the answer.
        Auth = "auth",
        /// Gateway, version 2: it will close soon.
        Bye = "bye",
        /// Version 2: a page of history.
        Hist = "hist",
    }
}

names! {
    /// A key of a frame.
    Key {
        /// The tag.
        Tag = "t",
        /// The channel.
        Channel = "c",
        /// The event's name.
        Event = "e",
        /// The event's data.
        Data = "d",
        /// The event's id, a ULID.
        EventId = "i",
        /// The reason of an error.
        Reason = "r",
        /// The client's id, a ULID.
        ClientId = "id",
        /// The protocol version of the gateway.
        Version = "v",
        /// The keepalive interval, in milliseconds.
        Keepalive = "ka",
        /// The epoch of a stream.
        Epoch = "ep",
        /// The offset in a stream.
        Offset = "o",
        /// The offset of the event before this one.
        Previous = "p",
        /// The position to resume from.
        Resume = "rc",
        /// Whether a resume succeeded.
        Recovered = "rec",
        /// A count, or the number of a request.
        Number = "n",
        /// Why a resume failed or a channel has a gap.
        Why = "why",
        /// The idempotency key of a publish.
        IdempotencyKey = "k",
        /// The roster of a presence channel.
        Roster = "pr",
        /// How many members a presence channel has.
        RosterSize = "np",
        /// The own member id.
        Me = "me",
        /// Members who joined.
        Joined = "j",
        /// Ids of members who left.
        Left = "l",
        /// Members whose info changed.
        Updated = "u",
        /// A member's info.
        Info = "info",
        /// A token.
        Token = "tk",
        /// When a token expires, in seconds since 1970.
        Expires = "exp",
        /// A close code.
        Code = "code",
        /// How long to stay away, in milliseconds.
        After = "after",
        /// The size of a page.
        Limit = "limit",
        /// The offset that a page of history ends before.
        Before = "before",
        /// The events of a page of history.
        Events = "ev",
    }
}

/// One received JSON object. Whoever implements this says how values are looked up and what text and payload
/// are made of; the rules about them ([`crate::ClientFrame::read`], [`crate::ServerFrame::read`]) are shared.
pub trait Fields: Sized {
    /// A JSON string.
    type Text;
    /// Any JSON value.
    type Value;

    /// The tag, when `t` is a string that the protocol knows.
    fn tag(&self) -> Option<Tag>;
    /// The string under `key`; `None` when it is absent or no string.
    fn text(&self, key: Key) -> Option<Self::Text>;
    /// The string under `key`, when it is not empty.
    fn name(&self, key: Key) -> Option<Self::Text>;
    /// The integer under `key`, from 0 to [`MAX_INTEGER`].
    fn integer(&self, key: Key) -> Option<u64>;
    /// The boolean under `key`.
    fn flag(&self, key: Key) -> Option<bool>;
    /// The JSON value `null`.
    fn null() -> Self::Value;
    /// Whatever is under `key`.
    fn value(&self, key: Key) -> Option<Self::Value>;
    /// The object under `key`.
    fn object(&self, key: Key) -> Option<Self>;
}
