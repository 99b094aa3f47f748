//! What a client publishes: one after the other, in its order.

use super::{Effect, Session, Stage, channels::Membership, pace::Answer, send_err};
use crate::{PublishContext, Published, RawJson};
use std::{collections::VecDeque, sync::Arc};
use tidings_protocol::{
    CloseCode, MAX_CHANNEL_BYTES, Text, is_valid_channel, is_valid_event, is_valid_key, reason,
};

#[derive(Debug, Default)]
pub(super) struct Publishes {
    running: Option<Running>,
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

/// What a client wants published, as it says it.
pub(super) struct Offer<'a> {
    pub(super) channel: Text<'a>,
    pub(super) event: Text<'a>,
    pub(super) data: Option<&'a str>,
    pub(super) request: Option<u64>,
    pub(super) key: Option<Text<'a>>,
}

/// The publish that is under way.
#[derive(Debug)]
struct Running {
    channel: Arc<str>,
    request: Option<u64>,
}

#[derive(Debug)]
struct Waiting {
    channel: Arc<str>,
    event: Arc<str>,
    data: RawJson,
    request: Option<u64>,
    key: Option<Arc<str>>,
}

impl Session {
    /// The outcome of an [`Effect::Publish`], or the reason why there is none.
    pub fn published(
        &mut self,
        outcome: Result<Published, &'static str>,
        now: u64,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(Running { channel, request }) = self.publishes.running.take() else { return };
        if self.closed {
            return;
        }
        match (outcome, request) {
            (Ok(Published { id, position }), Some(request)) => {
                let offset = position.map(|position| position.offset);
                self.answer(Answer::Accepted { request, id, offset }, now, effects);
            }
            (Ok(_), None) => {}
            (Err(reason), request) => self.refuse_publish(channel, reason, request, now, effects),
        }
        self.publish_next(effects);
    }

    fn refuse_publish(
        &mut self,
        channel: Arc<str>,
        reason: &'static str,
        request: Option<u64>,
        now: u64,
        effects: &mut VecDeque<Effect>,
    ) {
        match request {
            Some(request) => self.answer(Answer::Refused { request, channel, reason }, now, effects),
            None => send_err(effects, &channel, reason, None),
        }
    }

    pub(super) fn publish(&mut self, offer: Offer<'_>, now: u64, effects: &mut VecDeque<Effect>) {
        let Offer { channel, event, data, request, key } = offer;
        let mistake = if !is_valid_channel(&channel) {
            Some(reason::INVALID_CHANNEL)
        } else if !is_valid_event(&event) {
            Some(reason::INVALID_EVENT)
        } else if !key.as_deref().is_none_or(is_valid_key) {
            Some(reason::INVALID_KEY)
        } else {
            None
        };
        if let Some(reason) = mistake {
            // What is held back has a bound in bytes as well.
            if channel.len() > MAX_CHANNEL_BYTES {
                return send_err(effects, &channel, reason, request);
            }
            return self.refuse_publish(channel.into(), reason, request, now, effects);
        }
        let data = RawJson::trusted(data.unwrap_or("null"));
        let queue = &mut self.publishes;
        queue.bytes += data.as_str().len();
        let (channel, event, key) = (channel.into(), event.into(), key.map(Into::into));
        queue.waiting.push_back(Waiting { channel, event, data, request, key });
        let limits = &self.config.limits;
        if queue.waiting.len() > limits.waiting_publishes || queue.bytes > limits.waiting_bytes {
            return self.close(CloseCode::TooManyCommands, effects);
        }
        self.publish_next(effects);
    }

    pub(super) fn publish_next(&mut self, effects: &mut VecDeque<Effect>) {
        let queue = &mut self.publishes;
        if !self.identity.is_settled() || queue.running.is_some() || self.closed {
            return;
        }
        // A client that subscribes and publishes in one breath is meant to get its own event.
        let joining =
            |m: &Membership, to: &Waiting| m.channel == to.channel && !matches!(m.stage, Stage::Live { .. });
        if queue.waiting.front().is_some_and(|next| self.channels.iter().any(|m| joining(m, next))) {
            return;
        }
        let Some(Waiting { channel, event, data, request, key }) = queue.waiting.pop_front() else { return };
        queue.running = Some(Running { channel: channel.clone(), request });
        queue.bytes -= data.as_str().len();
        let subject = self.identity.subject().cloned();
        let context = PublishContext { channel, event, data, subject, client_id: self.id };
        effects.push_back(Effect::Publish { context, key });
    }
}
