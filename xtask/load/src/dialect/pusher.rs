use super::{Dialect, Role, Step, channel, contains};
use crate::frame::{self, TEXT};

use anyhow::{Context, Result, bail};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Clients may publish on private channels that they are members of, so each joins one; the publisher joins the
/// first.
pub(super) struct Pusher;

impl Dialect for Pusher {
    fn path(&self, _role: Role) -> Option<String> {
        Some("/app/app-key?protocol=7&client=bench&version=1".to_owned())
    }

    fn answer(&self, message: &[u8], role: Role) -> Result<Step> {
        if contains(message, "pusher:error") || contains(message, "subscription_error") {
            bail!("refused: {}", String::from_utf8_lossy(message));
        }
        if contains(message, "connection_established") {
            let Role::Subscriber(number) = role else { return subscribe(message, 0) };
            return subscribe(message, number);
        }
        Ok(if contains(message, "subscription_succeeded") { Step::Ready } else { Step::Wait })
    }

    fn publish(&self, number: usize, data: &str, out: &mut Vec<u8>) {
        let channel = channel(number);
        let text = format!(r#"{{"event":"client-bench","channel":"private-{channel}","data":{data}}}"#);
        frame::put(TEXT, text.as_bytes(), out);
    }
}

/// Joins a private channel: the secret signs the socket's id and the channel.
fn subscribe(established: &[u8], number: usize) -> Result<Step> {
    let channel = format!("private-{}", channel(number));
    let text = std::str::from_utf8(established)?;
    let (_, rest) = text.split_once("socket_id").context("a connection has a socket_id")?;
    let id: String = rest
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"app-secret")?;
    mac.update(format!("{id}:{channel}").as_bytes());
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Step::Send(frame::text(&format!(
        r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}","auth":"app-key:{signature}"}}}}"#
    ))))
}
