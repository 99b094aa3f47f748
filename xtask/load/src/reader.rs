//! Takes apart what a server sends.

use crate::{
    dialect::Split,
    frame::{CLOSE, Header},
};

/// How closely the messages of a socket are looked at.
pub(crate) enum Reader {
    /// Only their lengths: bodies are skipped.
    Lengths(Rest),
    /// Each message is one frame.
    Frames(Vec<u8>),
    /// Frames carry a stream, which is split into messages.
    Stream { frames: Vec<u8>, stream: Vec<u8>, split: Split },
}

/// What is left from the last read.
#[derive(Default)]
pub(crate) struct Rest {
    /// The beginning of a header.
    header: Vec<u8>,
    /// Bytes of a body that are still to come.
    body: usize,
}

impl Reader {
    /// Calls `message` with the length of each message and, unless only lengths are looked at, with its text.
    pub(crate) fn read(&mut self, data: &[u8], mut message: impl FnMut(usize, &[u8])) {
        match self {
            Self::Lengths(rest) => rest.read(data, message),
            Self::Frames(buffer) => take_frames(buffer, data, |body| message(body.len(), body)),
            Self::Stream { frames, stream, split } => {
                take_frames(frames, data, |body| stream.extend_from_slice(body));
                let mut used = 0;
                while let Some((size, body)) = split(&stream[used..]) {
                    if let Some(body) = body {
                        message(body.len(), body);
                    }
                    used += size;
                }
                stream.drain(..used);
            }
        }
    }
}

impl Rest {
    fn read(&mut self, data: &[u8], mut message: impl FnMut(usize, &[u8])) {
        let joined;
        let mut data = data;
        if !self.header.is_empty() {
            self.header.extend_from_slice(data);
            joined = std::mem::take(&mut self.header);
            data = &joined;
        }
        loop {
            let skipped = self.body.min(data.len());
            self.body -= skipped;
            data = &data[skipped..];
            if self.body > 0 {
                return;
            }
            let Some(header) = Header::parse(data) else {
                self.header.extend_from_slice(data);
                return;
            };
            message(header.payload, &[]);
            self.body = header.payload;
            data = &data[header.size..];
        }
    }
}

/// Calls `each` with the body of every whole data frame in `buffer` and `data`; keeps the rest in `buffer`.
fn take_frames(buffer: &mut Vec<u8>, data: &[u8], mut each: impl FnMut(&[u8])) {
    buffer.extend_from_slice(data);
    let mut used = 0;
    while let Some(header) = Header::parse(&buffer[used..]) {
        let body = used + header.size;
        let Some(bytes) = buffer.get(body..body + header.payload) else { break };
        if header.opcode < CLOSE {
            each(bytes);
        }
        used = body + header.payload;
    }
    buffer.drain(..used);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: &[u8] = b"\x81\x03abc\x82\x00\x89\x01p\x81\x7e\x00\x04defg\x81\x02hi";

    #[test]
    fn pieces_of_any_size_make_the_same_messages() {
        for size in 1..=FRAMES.len() {
            let mut lengths = Vec::new();
            let mut reader = Reader::Lengths(Rest::default());
            FRAMES.chunks(size).for_each(|piece| reader.read(piece, |length, _| lengths.push(length)));
            assert_eq!(lengths, [3, 0, 1, 4, 2]);

            let mut bodies = Vec::new();
            let mut reader = Reader::Frames(Vec::new());
            FRAMES.chunks(size).for_each(|piece| reader.read(piece, |_, body| bodies.push(body.to_vec())));
            assert_eq!(bodies, [&b"abc"[..], b"", b"defg", b"hi"]);

            let split: Split = |stream| Some((2, Some(stream.get(..2)?)));
            let mut pairs = Vec::new();
            let mut reader = Reader::Stream { frames: Vec::new(), stream: Vec::new(), split };
            FRAMES.chunks(size).for_each(|piece| reader.read(piece, |_, body| pairs.push(body.to_vec())));
            assert_eq!(pairs, [b"ab", b"cd", b"ef", b"gh"]);
        }
    }
}
