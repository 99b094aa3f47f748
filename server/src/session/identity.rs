//! Who a client is and until when, and what waits while that is being found out.

use super::{Effect, Session, Stage, channels::ask, paging::HistoryRequest, send, send_err};
use crate::{Expiry, Subject};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tidings_protocol::{CloseCode, MAX_INTEGER, ServerFrame, reason};

#[derive(Debug)]
pub(super) struct Identity {
    subject: Option<Subject>,
    /// When the subject is over, in the session's time; `u64::MAX` for never.
    ends_at: u64,
    asked: Asked,
    /// Boxed, for nothing waits for most clients.
    waiting: Option<Box<Waiting>>,
}

/// What is being asked about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    /// Who is behind the request that opened the connection.
    Request,
    /// Who is behind a token.
    Token,
}

#[derive(Debug, Default)]
struct Waiting {
    token: Option<Arc<str>>,
    history: Vec<HistoryRequest>,
}

/// What becomes of a token.
pub(super) enum Turn {
    /// It is to be asked about.
    Now,
    /// When what is asked already is answered.
    Later,
    /// Never: another one waits.
    Refused,
}

impl Identity {
    /// Of a client whose request is being asked about.
    pub(super) const fn unknown() -> Self {
        Self { subject: None, ends_at: u64::MAX, asked: Asked::Request, waiting: None }
    }

    pub(super) const fn subject(&self) -> Option<&Subject> {
        self.subject.as_ref()
    }

    pub(super) fn is_asked(&self, what: Asked) -> bool {
        self.asked == what
    }

    /// Whether what the client wants can be asked and done in its subject's name.
    pub(super) fn is_settled(&self) -> bool {
        self.is_asked(Asked::Nothing)
    }

    /// When something happens because the subject is over; `u64::MAX` for never.
    pub(super) const fn ends_at(&self) -> u64 {
        self.ends_at
    }

    pub(super) const fn is_over(&self, now: u64) -> bool {
        self.ends_at != u64::MAX && self.ends_at <= now
    }

    pub(super) fn set(&mut self, subject: Option<Subject>, ends_at: u64) {
        (self.subject, self.ends_at) = (subject, ends_at);
    }

    /// The client has another token.
    pub(super) fn offer(&mut self, token: &str) -> Turn {
        if self.is_settled() {
            self.asked = Asked::Token;
            return Turn::Now;
        }
        let waiting = self.waiting.get_or_insert_default();
        if waiting.token.is_some() {
            return Turn::Refused;
        }
        waiting.token = Some(token.into());
        Turn::Later
    }

    pub(super) fn wait(&mut self, request: HistoryRequest) {
        self.waiting.get_or_insert_default().history.push(request);
    }

    /// What was asked is answered: the token that is to be asked about next, or what has waited for the end of all this.
    pub(super) fn answered(&mut self) -> Result<Vec<HistoryRequest>, Arc<str>> {
        if let Some(token) = self.waiting.as_mut().and_then(|waiting| waiting.token.take()) {
            self.asked = Asked::Token;
            return Err(token);
        }
        self.asked = Asked::Nothing;
        Ok(self.waiting.take().map(|waiting| waiting.history).unwrap_or_default())
    }
}

impl Session {
    /// It is known who is behind the request that opened the connection, and that the client stops to be that at `until`
    /// in the session's time; or that it is nobody.
    pub fn identified(
        &mut self,
        subject: Option<Subject>,
        until: Option<u64>,
        effects: &mut VecDeque<Effect>,
    ) {
        if self.closed || !self.identity.is_asked(Asked::Request) {
            return;
        }
        self.identity.set(subject, self.ends_at(until));
        self.go_on(effects);
    }

    /// The request that opened the connection was refused: the client is told so, and is nobody.
    pub fn unidentified(&mut self, effects: &mut VecDeque<Effect>) {
        if self.closed || !self.identity.is_asked(Asked::Request) {
            return;
        }
        send_err(effects, "", reason::UNAUTHORIZED, None);
        self.go_on(effects);
    }

    /// The answer to an [`Effect::Resolve`]: as in [`identified`](Self::identified), but nobody means that the token is
    /// refused, and that all stays as it was.
    pub fn authenticated(
        &mut self,
        subject: Option<Subject>,
        until: Option<u64>,
        effects: &mut VecDeque<Effect>,
    ) {
        if self.closed || !self.identity.is_asked(Asked::Token) {
            return;
        }
        match subject {
            Some(subject) => {
                let since_1970 = |at: SystemTime| at.duration_since(UNIX_EPOCH).ok();
                let expires =
                    subject.expires_at().and_then(since_1970).map(|at| at.as_secs().min(MAX_INTEGER));
                send(effects, &ServerFrame::Auth { expires });
                self.identity.set(Some(subject), self.ends_at(until));
                self.ask_again(effects);
            }
            None => send_err(effects, "", reason::UNAUTHORIZED, None),
        }
        self.go_on(effects);
    }

    /// The subject is over.
    pub(super) fn expire(&mut self, effects: &mut VecDeque<Effect>) {
        match self.config.expiry {
            Expiry::Close => self.close(CloseCode::Expired, effects),
            Expiry::Downgrade => {
                self.identity.set(None, u64::MAX);
                self.ask_again(effects);
            }
        }
    }

    /// When something happens because a subject is over at `until`.
    fn ends_at(&self, until: Option<u64>) -> u64 {
        let grace = match self.config.expiry {
            Expiry::Close => self.config.expiry_grace.as_millis() as u64,
            Expiry::Downgrade => 0,
        };
        until.map_or(u64::MAX, |until| until.saturating_add(grace))
    }

    pub(super) fn authenticate(&mut self, token: &str, effects: &mut VecDeque<Effect>) {
        match self.identity.offer(token) {
            Turn::Now => effects.push_back(Effect::Resolve { token: token.into() }),
            Turn::Later => {}
            Turn::Refused => send_err(effects, "", reason::TOO_MANY_REQUESTS, None),
        }
    }

    /// The subject is another one: what the one before was allowed is asked again. Until the answer it stays as it is.
    fn ask_again(&mut self, effects: &mut VecDeque<Effect>) {
        let subject = self.identity.subject();
        for membership in self.channels.iter_mut().filter(|m| !matches!(m.stage, Stage::Waiting)) {
            ask(&mut self.next_ticket, membership, subject, effects);
        }
    }

    /// What was asked about the client is answered: what has waited for it goes on, unless a token comes first.
    fn go_on(&mut self, effects: &mut VecDeque<Effect>) {
        let requests = match self.identity.answered() {
            Ok(requests) => requests,
            Err(token) => return effects.push_back(Effect::Resolve { token }),
        };
        let subject = self.identity.subject();
        for HistoryRequest { request, channel, range } in requests {
            effects.push_back(Effect::History { request, channel, range, subject: subject.cloned() });
        }
        for membership in self.channels.iter_mut().filter(|m| matches!(m.stage, Stage::Waiting)) {
            ask(&mut self.next_ticket, membership, subject, effects);
        }
        self.publish_next(effects);
    }
}
