use super::{Dialect, Role, Step, channel, contains};
use crate::frame::{self, TEXT};

use anyhow::{Result, bail};

pub(super) struct SocketIo;

impl Dialect for SocketIo {
    fn path(&self, _role: Role) -> Option<String> {
        Some("/socket.io/?EIO=4&transport=websocket".to_owned())
    }

    /// `0` opens the engine, `40` connects to the namespace, `42` is an event.
    fn answer(&self, message: &[u8], role: Role) -> Result<Step> {
        Ok(match (message, role) {
            ([b'0', ..], _) => Step::Send(frame::text("40")),
            ([b'4', b'4', ..], _) => bail!("refused: {}", String::from_utf8_lossy(message)),
            ([b'4', b'0', ..], Role::Publisher) => Step::Ready,
            ([b'4', b'0', ..], Role::Subscriber(number)) => {
                Step::Send(frame::text(&format!(r#"42["sub","{}"]"#, channel(number))))
            }
            _ if contains(message, r#""ok""#) => Step::Ready,
            _ => Step::Wait,
        })
    }

    fn publish(&self, number: usize, data: &str, out: &mut Vec<u8>) {
        frame::put(TEXT, format!(r#"42["pub","{}",{data}]"#, channel(number)).as_bytes(), out);
    }
}
