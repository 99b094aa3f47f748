use super::{Dialect, Role, Step, channel};

use anyhow::Result;

pub(super) struct Nchan;

impl Dialect for Nchan {
    fn path(&self, role: Role) -> Option<String> {
        match role {
            Role::Subscriber(number) => Some(format!("/sub?id={}", channel(number))),
            Role::Publisher => None,
        }
    }

    fn upgraded(&self, _role: Role) -> Step {
        Step::Ready
    }

    fn answer(&self, _message: &[u8], _role: Role) -> Result<Step> {
        Ok(Step::Wait)
    }

    fn publish(&self, number: usize, data: &str, out: &mut Vec<u8>) {
        let request = format!(
            "POST /pub?id={} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{data}",
            channel(number),
            data.len()
        );
        out.extend_from_slice(request.as_bytes());
    }
}
