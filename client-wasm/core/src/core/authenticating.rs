//! The path of a token: from the application to the gateway, and what follows from the answer.

use super::{Core, Next};
use crate::{
    backoff::{self, Random},
    effect::{Effect, reason},
    outbox::Weight,
    phase::{Open, Phase, SocketId},
    token::{Identity, MAX_REFUSALS, Token, TokenReason},
};
use tidings_protocol::CloseCode;

impl<C: Clone, T: Clone + From<&'static str> + PartialEq, V, P: Clone + Weight, R: Random>
    Core<C, T, V, P, R>
{
    /// The answer to [`Effect::GetToken`]; `None` when the application could not give one.
    pub fn token(&mut self, now: u64, socket: SocketId, answer: Option<T>) {
        if socket != self.socket {
            return;
        }
        let until = self.answer_until(now);
        match (&mut self.phase, answer) {
            (Phase::Connecting { token, welcome, .. }, Some(answer)) => {
                *token = Some(answer);
                if let Some(welcome) = welcome.take() {
                    self.open(now, welcome);
                }
            }
            (Phase::Connecting { .. }, None) => {
                self.effects.push(Effect::Error { channel: None, reason: reason::TOKEN_FAILED.into() });
                self.give_up_socket(now, CloseCode::Normal, reason::TOKEN_FAILED, Next::Backoff);
            }
            (Phase::Open(Open { identity, .. }), answer) => {
                if let Token::Asked { reason, .. } = identity.token {
                    match answer {
                        Some(token) => identity.token = Token::Due { token, until },
                        None => self.ask_later(now, reason, reason::TOKEN_FAILED.into()),
                    }
                }
            }
            _ => {}
        }
    }

    /// By when whoever is asked about a token has to answer.
    pub(super) fn answer_until(&self, now: u64) -> u64 {
        now + self.options.connect_timeout_ms
    }

    /// Something is to be done about the token.
    pub(super) fn identify(&mut self, now: u64) {
        let until = self.answer_until(now);
        let Phase::Open(open) = &mut self.phase else { return };
        match open.identity.token {
            Token::Later { at, reason } if at <= now => {
                open.identity.token = Token::Asked { until, reason };
                self.effects.push(Effect::GetToken { socket: self.socket, reason });
            }
            Token::Asked { until, reason } if until <= now => {
                self.ask_later(now, reason, reason::TOKEN_FAILED.into());
            }
            Token::Sent { until } if until <= now => {
                self.give_up_socket(now, CloseCode::Normal, reason::TOKEN_TIMEOUT, Next::Backoff);
            }
            _ => {}
        }
    }

    /// The gateway has accepted a token. A channel that it refused before may be allowed now.
    pub(super) fn accepted(&mut self, now: u64, expires: Option<u64>) {
        if let Phase::Open(open) = &mut self.phase {
            open.identity.accept(now, expires);
            self.channels.pardon();
        }
    }

    /// The gateway refuses something that is no channel: the token, when one is under way.
    pub(super) fn refused(&mut self, now: u64, why: T) {
        if let Phase::Open(Open { identity, .. }) = &mut self.phase
            && let Token::Sent { .. } = identity.token
        {
            if !identity.settled {
                self.channels.doubt();
            }
            identity.refusals += 1;
            if identity.refusals <= MAX_REFUSALS {
                return self.ask_again(now, TokenReason::Refused);
            }
            *identity = Identity::new(None, now);
        }
        self.effects.push(Effect::Error { channel: None, reason: why });
    }

    /// There is no token: says so, and asks again.
    fn ask_later(&mut self, now: u64, reason: TokenReason, why: T) {
        self.effects.push(Effect::Error { channel: None, reason: why });
        self.ask_again(now, reason);
    }

    /// Asks again with the backoff of reconnects.
    fn ask_again(&mut self, now: u64, reason: TokenReason) {
        let random = self.random.random();
        if let Phase::Open(Open { identity, .. }) = &mut self.phase {
            identity.failures += 1;
            let delay = backoff::delay_ms(&self.options, identity.failures, !self.page.visible, random);
            identity.token = Token::Later { at: now + delay, reason };
        }
    }
}
