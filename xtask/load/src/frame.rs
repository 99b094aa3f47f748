//! WebSocket frames, as far as a load needs them.

/// A text frame.
pub(crate) const TEXT: u8 = 1;
/// A binary frame.
pub(crate) const BINARY: u8 = 2;
/// A close frame.
pub(crate) const CLOSE: u8 = 8;

/// The header of a frame from the server, which is not masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of the header itself.
    pub(crate) size: usize,
    /// Bytes that follow it.
    pub(crate) payload: usize,
    pub(crate) opcode: u8,
}

impl Header {
    /// `None` until all of the header is there.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (size, payload) = match *bytes {
            [_, 126, a, b, ..] => (4, usize::from(u16::from_be_bytes([a, b]))),
            [_, 127, a, b, c, d, e, f, g, h, ..] => {
                (10, u64::from_be_bytes([a, b, c, d, e, f, g, h]).try_into().ok()?)
            }
            [_, 126 | 127, ..] => return None,
            [_, short, ..] => (2, usize::from(short & 0x7f)),
            _ => return None,
        };
        Some(Self { size, payload, opcode: bytes[0] & 0x0f })
    }
}

/// Appends a client's frame of up to 65,535 bytes. Its mask is zero, which is allowed and costs nothing.
pub(crate) fn put(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    put_length(0x80, payload.len(), out);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// The second byte of a header, with `flag`, and the length behind it when it is a long one.
pub(crate) fn put_length(flag: u8, length: usize, out: &mut Vec<u8>) {
    debug_assert!(length <= usize::from(u16::MAX));
    match u8::try_from(length) {
        Ok(short @ 0..126) => out.push(flag | short),
        _ => {
            out.push(flag | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
}

/// A client's text frame.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 8);
    put(TEXT, payload.as_bytes(), &mut out);
    out
}

/// Where the HTTP head at the front of `bytes` ends.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_once_they_are_whole() {
        let header = |size, payload| Some(Header { size, payload, opcode: TEXT });
        assert_eq!(Header::parse(&[0x81]), None);
        assert_eq!(Header::parse(&[0x81, 5]), header(2, 5));
        assert_eq!(Header::parse(&[0x81, 126, 1]), None);
        assert_eq!(Header::parse(&[0x81, 126, 1, 0]), header(4, 256));
        assert_eq!(Header::parse(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0]), None);
        assert_eq!(Header::parse(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]), header(10, 65_536));
    }

    #[test]
    fn a_client_masks_with_zeros() {
        assert_eq!(text("ab"), [0x81, 0x82, 0, 0, 0, 0, b'a', b'b']);
        assert_eq!(text(&"x".repeat(126))[..8], [0x81, 0xfe, 0, 126, 0, 0, 0, 0]);
    }
}
