//! The token that tells a gateway who this is: whether it was accepted, and when the next one is wanted.

use crate::clock::NEVER;

/// How often in a row the gateway may refuse a token before the client does without.
pub const MAX_REFUSALS: u32 = 3;

/// The shortest time between a token and the one after it, in milliseconds: a clock that is ahead of the gateway's must
/// not make the application fetch one token after the other.
const SHORTEST_MS: u64 = 5_000;

/// Why the application is asked for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenReason {
    /// A connection is being made.
    Connect,
    /// The one in use is about to expire.
    Expiring,
    /// The gateway has refused the one before.
    Refused,
}

/// Where the next token of a connection is.
#[derive(Debug)]
pub(crate) enum Token<T> {
    /// There will be none.
    Unwanted,
    /// It will be wanted then.
    Later { at: u64, reason: TokenReason },
    /// The application was asked for it, and has until then.
    Asked { until: u64, reason: TokenReason },
    /// It is sent before any other frame, and the gateway has until then.
    Due { token: T, until: u64 },
    /// It was sent, and the gateway has until then.
    Sent { until: u64 },
}

/// Who a connection is to its gateway.
#[derive(Debug)]
pub(crate) struct Identity<T> {
    pub(crate) token: Token<T>,
    /// The gateway knows who this is, or will not be told.
    pub(crate) settled: bool,
    /// How many tokens in a row were refused.
    pub(crate) refusals: u32,
    /// How many attempts in a row brought none that was accepted.
    pub(crate) failures: u32,
}

impl<T> Identity<T> {
    /// Without a token there is nothing to settle.
    pub(crate) fn new(token: Option<T>, until: u64) -> Self {
        let settled = token.is_none();
        let token = token.map_or(Token::Unwanted, |token| Token::Due { token, until });
        Self { token, settled, refusals: 0, failures: 0 }
    }

    /// Whether channels may be asked for: behind a token on its way, for the gateway makes them wait for its answer.
    pub(crate) const fn may_subscribe(&self) -> bool {
        self.settled || matches!(self.token, Token::Sent { .. })
    }

    /// The token to send. From here on it is sent.
    pub(crate) fn send(&mut self) -> Option<T> {
        let Token::Due { until, .. } = self.token else { return None };
        match std::mem::replace(&mut self.token, Token::Sent { until }) {
            Token::Due { token, .. } => Some(token),
            _ => None,
        }
    }

    /// When something is to be done about it, or [`NEVER`].
    pub(crate) const fn deadline(&self) -> u64 {
        match self.token {
            Token::Later { at: time, .. }
            | Token::Asked { until: time, .. }
            | Token::Sent { until: time } => time,
            Token::Unwanted | Token::Due { .. } => NEVER,
        }
    }

    /// The gateway has accepted the token, which expires at this time, in seconds since 1970.
    pub(crate) fn accept(&mut self, now: u64, expires: Option<u64>) {
        self.settled = true;
        (self.refusals, self.failures) = (0, 0);
        if !matches!(self.token, Token::Due { .. }) {
            self.token = match expires.and_then(|expires| refresh_at(now, expires)) {
                Some(at) => Token::Later { at, reason: TokenReason::Expiring },
                None => Token::Unwanted,
            };
        }
    }
}

/// When to ask for the next token: when a tenth of the time is left, but 10 seconds at least, or half of the time when
/// that is shorter. `None` when by this clock the token has expired already: then the clock is wrong, for the gateway has
/// accepted it, and the gateway's close is what tells.
fn refresh_at(now: u64, expires: u64) -> Option<u64> {
    let left = (expires * 1_000).saturating_sub(now);
    let before = (left / 10).max(10_000).min(left / 2);
    (left > 0).then(|| now + (left - before).max(SHORTEST_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_expires() {
        let now = 1_790_000_000_000;
        for (left, after) in [
            (3_600, Some(3_240_000)),
            (100, Some(90_000)),
            (60, Some(50_000)),
            (20, Some(10_000)),
            (12, Some(6_000)),
            (1, Some(5_000)),
            (0, None),
        ] {
            let at = refresh_at(now, now / 1_000 + left);
            assert_eq!(at, after.map(|after| now + after), "{left} seconds left");
        }
        assert_eq!(refresh_at(now, 0), None);
        assert!(refresh_at(now, (1 << 53) - 1).is_some_and(|at| at > now));
    }
}
