//! What a client's owner makes of a text frame.

use tidings_protocol::{Position, Recovery, ServerFrame};

/// The frame with texts of its own; `None` when it is of no use to the core.
pub(crate) fn read(text: &str) -> Option<ServerFrame<String, String>> {
    let owned =
        |at: Position<std::borrow::Cow<'_, str>>| Position { epoch: at.epoch.into(), offset: at.offset };
    Some(match ServerFrame::parse(text)? {
        ServerFrame::Welcome { id, version, keepalive_ms } => {
            ServerFrame::Welcome { id: id.into(), version, keepalive_ms }
        }
        ServerFrame::Ok { channel, position, recovery } => ServerFrame::Ok {
            channel: channel.into(),
            position: position.map(owned),
            recovery: recovery.map(|recovery| match recovery {
                Recovery::Recovered { count } => Recovery::Recovered { count },
                Recovery::Lost { why } => Recovery::Lost { why: why.into() },
            }),
        },
        ServerFrame::Err { channel, reason, request } => {
            ServerFrame::Err { channel: channel.into(), reason: reason.into(), request }
        }
        ServerFrame::Msg { channel, event, data, id, offset, previous } => ServerFrame::Msg {
            channel: channel.into(),
            event: event.into(),
            data: data.into(),
            id: id.into(),
            offset,
            previous,
        },
        ServerFrame::Ping => ServerFrame::Ping,
        ServerFrame::Gap { channel, position, why } => {
            ServerFrame::Gap { channel: channel.into(), position: owned(position), why: why.into() }
        }
        ServerFrame::Ack { request, id, offset } => ServerFrame::Ack { request, id: id.into(), offset },
        ServerFrame::Bye { code, after_ms } => ServerFrame::Bye { code, after_ms },
        _ => return None,
    })
}
