//! WebSocket frames from the gateway: never masked, never fragmented, so that all subscribers share one copy.

use crate::socket::announced_len;
use bytes::{BufMut, Bytes, BytesMut};
use tidings_protocol::CloseCode;

pub(crate) const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
pub(crate) const PONG: u8 = 0x8a;

/// The longest header of a frame that is not masked.
const MAX_HEADER: usize = 10;

fn put_header(out: &mut impl BufMut, kind: u8, len: usize) {
    out.put_u8(kind);
    match len {
        0..126 => out.put_u8(len as u8),
        126..0x1_0000 => {
            out.put_u8(126);
            out.put_u16(len as u16);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(len as u64);
        }
    }
}

/// Appends a text frame.
pub(crate) fn put_text(out: &mut BytesMut, text: &[u8]) {
    out.reserve(MAX_HEADER + text.len());
    put_header(out, TEXT, text.len());
    out.put_slice(text);
}

/// Appends a binary frame.
pub(crate) fn put_binary(out: &mut BytesMut, data: &[u8]) {
    out.reserve(MAX_HEADER + data.len());
    put_header(out, BINARY, data.len());
    out.put_slice(data);
}

/// Appends the answer to a ping.
pub(crate) fn put_pong(out: &mut BytesMut, payload: &[u8]) {
    put_header(out, PONG, payload.len());
    out.put_slice(payload);
}

/// Appends a close frame.
pub(crate) fn put_close(out: &mut BytesMut, code: u16, reason: &str) {
    put_header(out, CLOSE, 2 + reason.len());
    out.put_u16(code);
    out.put_slice(reason.as_bytes());
}

/// Appends the close frame of `code`.
pub(crate) fn put_close_code(out: &mut BytesMut, code: CloseCode) {
    put_close(out, code.code(), code.reason());
}

/// A text frame around what `encode` writes, in one allocation of about `capacity` bytes.
pub(crate) fn text(capacity: usize, encode: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut buffer = Vec::with_capacity(MAX_HEADER + capacity);
    buffer.resize(MAX_HEADER, 0);
    encode(&mut buffer);
    let mut header = [0; MAX_HEADER];
    let mut rest = &mut header[..];
    put_header(&mut rest, TEXT, buffer.len() - MAX_HEADER);
    let len = MAX_HEADER - rest.len();
    let start = MAX_HEADER - len;
    buffer[start..MAX_HEADER].copy_from_slice(&header[..len]);
    Bytes::from(buffer).slice(start..)
}

/// Takes the first of the whole frames in `bytes`: its kind and its payload.
pub(crate) fn take(bytes: &mut Bytes) -> Option<(u8, Bytes)> {
    let (kind, header) = match **bytes {
        [kind, 126, ..] => (kind, 4),
        [kind, 127, ..] => (kind, MAX_HEADER),
        [kind, ..] => (kind, 2),
        [] => return None,
    };
    let len = header + usize::try_from(announced_len(bytes)).ok()?;
    if bytes.len() < len {
        return None;
    }
    let mut frame = bytes.split_to(len);
    Some((kind, frame.split_off(header)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_frames_have_the_shortest_header() {
        for (len, header) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let payload = vec![b'x'; len];
            let mut appended = BytesMut::new();
            put_text(&mut appended, &payload);
            let frame = text(0, |out| out.extend_from_slice(&payload));
            assert_eq!(frame, appended, "{len}");
            assert_eq!((&frame[..header.len()], &frame[header.len()..]), (header, &payload[..]), "{len}");
            put_close_code(&mut appended, CloseCode::TooSlow);
            let mut bytes = appended.freeze();
            assert_eq!(take(&mut bytes), Some((TEXT, payload.into())), "{len}");
            assert_eq!(take(&mut bytes), Some((CLOSE, Bytes::from_static(b"\x0f\xa8too slow"))));
            assert_eq!(take(&mut bytes), None);
        }
    }

    #[test]
    fn close_frames_carry_code_and_reason() {
        let mut out = BytesMut::new();
        put_close_code(&mut out, CloseCode::TooSlow);
        assert_eq!(&out[..], b"\x88\x0a\x0f\xa8too slow");
    }
}
