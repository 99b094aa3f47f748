//! Pages of a channel's past that a client asks for.

use super::{Effect, Session, send, send_err};
use crate::{Page, Range};
use std::{collections::VecDeque, sync::Arc};
use tidings_protocol::{DEFAULT_PAGE, MAX_PAGE, MAX_REQUESTS, ServerFrame, is_valid_channel, reason};

#[derive(Debug)]
pub(super) struct HistoryRequest {
    pub(super) request: u64,
    pub(super) channel: Arc<str>,
    pub(super) range: Range,
}

impl Session {
    /// The outcome of an [`Effect::History`], or the reason why there is none.
    pub fn history_read(
        &mut self,
        request: u64,
        channel: &str,
        outcome: Result<Page, &'static str>,
        effects: &mut VecDeque<Effect>,
    ) {
        self.history_requests -= 1;
        if self.closed {
            return;
        }
        match outcome {
            Ok(page) => send(
                effects,
                &ServerFrame::History {
                    channel,
                    request,
                    position: page.end.as_deref(),
                    events: &*page.to_json(self.config.limits.resume_bytes()),
                },
            ),
            Err(reason) => send_err(effects, channel, reason, Some(request)),
        }
    }

    pub(super) fn history(
        &mut self,
        channel: &str,
        request: u64,
        limit: Option<u64>,
        before: Option<u64>,
        effects: &mut VecDeque<Effect>,
    ) {
        let mistake = if !is_valid_channel(channel) {
            Some(reason::INVALID_CHANNEL)
        } else if limit.is_some_and(|limit| !(1..=MAX_PAGE).contains(&limit)) {
            Some(reason::INVALID_LIMIT)
        } else if self.history_requests as usize >= MAX_REQUESTS {
            Some(reason::TOO_MANY_REQUESTS)
        } else {
            None
        };
        if let Some(reason) = mistake {
            return send_err(effects, channel, reason, Some(request));
        }
        self.history_requests += 1;
        let limit = limit.unwrap_or(DEFAULT_PAGE) as usize;
        let (channel, range) = (channel.into(), Range::Before { offset: before, limit });
        if self.identity.is_settled() {
            let subject = self.identity.subject().cloned();
            effects.push_back(Effect::History { request, channel, range, subject });
        } else {
            self.identity.wait(HistoryRequest { request, channel, range });
        }
    }
}
