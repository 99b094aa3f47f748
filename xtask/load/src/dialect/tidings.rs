use super::{Dialect, Role, Step, channel, contains};
use crate::frame::{self, TEXT};

use anyhow::{Result, bail};

pub(super) struct Tidings;

impl Dialect for Tidings {
    fn path(&self, _role: Role) -> Option<String> {
        Some("/_broadcast".to_owned())
    }

    fn answer(&self, message: &[u8], role: Role) -> Result<Step> {
        if contains(message, r#""t":"err""#) {
            bail!("refused: {}", String::from_utf8_lossy(message));
        }
        let welcome = contains(message, r#""t":"welcome""#);
        Ok(match role {
            Role::Publisher if welcome => Step::Ready,
            Role::Subscriber(number) if welcome => {
                Step::Send(frame::text(&format!(r#"{{"t":"sub","c":"{}"}}"#, channel(number))))
            }
            Role::Subscriber(_) if contains(message, r#""t":"ok""#) => Step::Ready,
            _ => Step::Wait,
        })
    }

    fn publish(&self, number: usize, data: &str, out: &mut Vec<u8>) {
        let text = format!(r#"{{"t":"pub","c":"{}","e":"bench","d":{data}}}"#, channel(number));
        frame::put(TEXT, text.as_bytes(), out);
    }
}
