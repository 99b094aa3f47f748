use super::{Dialect, Role, Split, Step, channel, contains};
use crate::frame::{self, BINARY};

use anyhow::Result;

pub(super) struct Nats;

fn binary(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put(BINARY, text.as_bytes(), &mut out);
    out
}

impl Dialect for Nats {
    fn path(&self, _role: Role) -> Option<String> {
        Some("/".to_owned())
    }

    fn upgraded(&self, role: Role) -> Step {
        let subscribe = match role {
            Role::Subscriber(number) => format!("SUB {} 1\r\n", channel(number)),
            Role::Publisher => String::new(),
        };
        Step::Send(binary(&format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"echo\":false}}\r\n{subscribe}PING\r\n"
        )))
    }

    fn answer(&self, message: &[u8], _role: Role) -> Result<Step> {
        Ok(if contains(message, "PONG") { Step::Ready } else { Step::Wait })
    }

    fn publish(&self, number: usize, data: &str, out: &mut Vec<u8>) {
        let text = format!("PUB {} {}\r\n{data}\r\n", channel(number), data.len());
        frame::put(BINARY, text.as_bytes(), out);
    }

    fn split(&self) -> Option<Split> {
        Some(split)
    }
}

/// `MSG <subject> <sid> <bytes>`, a line end, that many bytes, a line end; or a line of another kind.
fn split(stream: &[u8]) -> Option<(usize, Option<&[u8]>)> {
    let line = memchr::memmem::find(stream, b"\r\n")?;
    if !stream.starts_with(b"MSG ") {
        return Some((line + 2, None));
    }
    let size: usize = std::str::from_utf8(&stream[..line]).ok()?.rsplit(' ').next()?.parse().ok()?;
    let end = line + 2 + size;
    (stream.len() >= end + 2).then(|| (end + 2, Some(&stream[line + 2..end])))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_message_is_split_off_when_it_is_whole() {
        let stream = b"MSG bench.0 1 5\r\nab\r\nc\r\nPING\r\n";
        assert_eq!(split(&stream[..22]), None);
        assert_eq!(split(stream), Some((24, Some(&b"ab\r\nc"[..]))));
        assert_eq!(split(&stream[24..]), Some((6, None)));
        assert_eq!(split(b"PIN"), None);
    }
}
