//! Frames of a gateway, read and handed on field by field.

use crate::{
    fields::{Fields, Key, Tag},
    frame::{Position, Recovery, ServerFrame, position},
};

/// Who acts on the frames of a gateway: a method for each, with its fields. One that acts on them at once need not have
/// a [`ServerFrame`] made first.
pub trait Receiver<T, V>: Sized {
    /// [`ServerFrame::Welcome`].
    fn welcome(self, id: T, version: Option<u64>, keepalive_ms: Option<u64>);
    /// [`ServerFrame::Ok`].
    fn ok(self, channel: T, position: Option<Position<T>>, recovery: Option<Recovery<T>>);
    /// [`ServerFrame::Err`].
    fn err(self, channel: T, reason: T, request: Option<u64>);
    /// [`ServerFrame::Msg`].
    fn msg(self, channel: T, event: T, data: V, id: T, offset: Option<u64>, previous: Option<u64>);
    /// [`ServerFrame::Ping`].
    fn ping(self);
    /// [`ServerFrame::Gap`].
    fn gap(self, channel: T, position: Position<T>, why: T);
    /// [`ServerFrame::Pos`].
    fn pos(self, channel: T, offset: u64);
    /// [`ServerFrame::Ack`].
    fn ack(self, request: u64, id: T, offset: Option<u64>);
    /// [`ServerFrame::Presence`].
    fn presence(self, channel: T, joined: Option<V>, left: Option<V>, updated: Option<V>);
    /// [`ServerFrame::Auth`].
    fn auth(self, expires: Option<u64>);
    /// [`ServerFrame::Bye`].
    fn bye(self, code: u64, after_ms: u64);
    /// [`ServerFrame::History`].
    fn history(self, channel: T, request: u64, position: Position<T>, events: V);
}

/// Makes a frame of what it is handed.
struct Keep<'a, T, V>(&'a mut Option<ServerFrame<T, V>>);

impl<T, V> Receiver<T, V> for Keep<'_, T, V> {
    fn welcome(self, id: T, version: Option<u64>, keepalive_ms: Option<u64>) {
        *self.0 = Some(ServerFrame::Welcome { id, version, keepalive_ms });
    }

    fn ok(self, channel: T, position: Option<Position<T>>, recovery: Option<Recovery<T>>) {
        *self.0 = Some(ServerFrame::Ok { channel, position, recovery });
    }

    fn err(self, channel: T, reason: T, request: Option<u64>) {
        *self.0 = Some(ServerFrame::Err { channel, reason, request });
    }

    fn msg(self, channel: T, event: T, data: V, id: T, offset: Option<u64>, previous: Option<u64>) {
        *self.0 = Some(ServerFrame::Msg { channel, event, data, id, offset, previous });
    }

    fn ping(self) {
        *self.0 = Some(ServerFrame::Ping);
    }

    fn gap(self, channel: T, position: Position<T>, why: T) {
        *self.0 = Some(ServerFrame::Gap { channel, position, why });
    }

    fn pos(self, channel: T, offset: u64) {
        *self.0 = Some(ServerFrame::Pos { channel, offset });
    }

    fn ack(self, request: u64, id: T, offset: Option<u64>) {
        *self.0 = Some(ServerFrame::Ack { request, id, offset });
    }

    fn presence(self, channel: T, joined: Option<V>, left: Option<V>, updated: Option<V>) {
        *self.0 = Some(ServerFrame::Presence { channel, joined, left, updated });
    }

    fn auth(self, expires: Option<u64>) {
        *self.0 = Some(ServerFrame::Auth { expires });
    }

    fn bye(self, code: u64, after_ms: u64) {
        *self.0 = Some(ServerFrame::Bye { code, after_ms });
    }

    fn history(self, channel: T, request: u64, position: Position<T>, events: V) {
        *self.0 = Some(ServerFrame::History { channel, request, position, events });
    }
}

impl<T, V> ServerFrame<T, V> {
    /// Reads a frame. `None` means that it is dropped, as in [`crate::ClientFrame::read`].
    pub fn read<F: Fields<Text = T, Value = V>>(fields: &F) -> Option<Self> {
        let mut frame = None;
        Self::receive(fields, Keep(&mut frame));
        frame
    }

    /// Reads a frame and hands it on. A frame that is dropped, as in [`crate::ClientFrame::read`], is not handed on.
    pub fn receive<F: Fields<Text = T, Value = V>>(fields: &F, receiver: impl Receiver<T, V>) {
        let _ = hand_on(fields, receiver);
    }

    /// Hands a frame on.
    pub fn tell(self, receiver: impl Receiver<T, V>) {
        match self {
            Self::Welcome { id, version, keepalive_ms } => receiver.welcome(id, version, keepalive_ms),
            Self::Ok { channel, position, recovery } => receiver.ok(channel, position, recovery),
            Self::Err { channel, reason, request } => receiver.err(channel, reason, request),
            Self::Msg { channel, event, data, id, offset, previous } => {
                receiver.msg(channel, event, data, id, offset, previous);
            }
            Self::Ping => receiver.ping(),
            Self::Gap { channel, position, why } => receiver.gap(channel, position, why),
            Self::Pos { channel, offset } => receiver.pos(channel, offset),
            Self::Ack { request, id, offset } => receiver.ack(request, id, offset),
            Self::Presence { channel, joined, left, updated } => {
                receiver.presence(channel, joined, left, updated);
            }
            Self::Auth { expires } => receiver.auth(expires),
            Self::Bye { code, after_ms } => receiver.bye(code, after_ms),
            Self::History { channel, request, position, events } => {
                receiver.history(channel, request, position, events);
            }
        }
    }
}

fn hand_on<F: Fields>(fields: &F, receiver: impl Receiver<F::Text, F::Value>) -> Option<()> {
    match fields.tag()? {
        Tag::Welcome => receiver.welcome(
            fields.name(Key::ClientId)?,
            fields.integer(Key::Version),
            fields.integer(Key::Keepalive),
        ),
        Tag::Ok => receiver.ok(
            fields.name(Key::Channel)?,
            position(fields),
            match fields.flag(Key::Recovered) {
                Some(true) => Some(Recovery::Recovered { count: fields.integer(Key::Number)? }),
                Some(false) => Some(Recovery::Lost { why: fields.text(Key::Why)? }),
                None => None,
            },
        ),
        Tag::Err => {
            receiver.err(fields.text(Key::Channel)?, fields.text(Key::Reason)?, fields.integer(Key::Number));
        }
        Tag::Msg => receiver.msg(
            fields.name(Key::Channel)?,
            fields.name(Key::Event)?,
            fields.value(Key::Data).unwrap_or_else(F::null),
            fields.text(Key::EventId)?,
            fields.integer(Key::Offset),
            fields.integer(Key::Previous),
        ),
        Tag::Ping => receiver.ping(),
        Tag::Gap => {
            receiver.gap(fields.name(Key::Channel)?, position(fields)?, fields.text(Key::Why)?);
        }
        Tag::Pos => receiver.pos(fields.name(Key::Channel)?, fields.integer(Key::Offset)?),
        Tag::Ack => receiver.ack(
            fields.integer(Key::Number)?,
            fields.text(Key::EventId)?,
            fields.integer(Key::Offset),
        ),
        Tag::Pres => receiver.presence(
            fields.name(Key::Channel)?,
            fields.value(Key::Joined),
            fields.value(Key::Left),
            fields.value(Key::Updated),
        ),
        Tag::Auth => receiver.auth(fields.integer(Key::Expires)),
        Tag::Bye => receiver.bye(fields.integer(Key::Code)?, fields.integer(Key::After)?),
        Tag::Hist => receiver.history(
            fields.name(Key::Channel)?,
            fields.integer(Key::Number)?,
            position(fields)?,
            fields.value(Key::Events)?,
        ),
        _ => return None,
    }
    Some(())
}
