//! The body of a stream's response.

use super::feed::{Feed, Then};
use crate::{hub::Hub, mailbox::Token, metrics::OpenStream, wire};
use actix_http::ws::Frame;
use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, Sleep, sleep};

/// About how much text is handed on at once: what is not, stays in its frames, which all subscribers share.
const CHUNK: usize = 16 * 1024;

/// What a silent stream says: a comment, which clients ignore.
const HEARTBEAT: &[u8] = b":\n\n";

/// The answer to a ping: whoever takes frames is there.
const PONG: &str = r#"{"t":"pong"}"#;

/// Turns what waits in a connection's outbox into text. Dropped with the response, when the peer is gone.
pub(super) struct Stream {
    hub: Rc<Hub>,
    token: Token,
    feed: Feed,
    /// Frames that were taken out of the outbox.
    frames: Bytes,
    text: Vec<u8>,
    ended: bool,
    silence: Duration,
    heartbeat: Pin<Box<Sleep>>,
    /// When the reader's subject expires. It comes back by itself, and is looked at anew.
    end: Option<Pin<Box<Sleep>>>,
    _counted: OpenStream,
}

impl Stream {
    /// The stream of the connection `token`, which says something at least every `silence`, until `expires_at`.
    pub(super) fn new(
        hub: Rc<Hub>,
        token: Token,
        feed: Feed,
        silence: Duration,
        expires_at: Option<SystemTime>,
    ) -> Self {
        let mut text = Vec::new();
        feed.begin(&mut text);
        let heartbeat = Box::pin(sleep(silence));
        let left = |at: SystemTime| at.duration_since(SystemTime::now()).unwrap_or_default();
        let end = expires_at.map(|at| Box::pin(sleep(left(at))));
        let counted = hub.shared.counters.stream();
        let frames = Bytes::new();
        Self { hub, token, feed, frames, text, ended: false, silence, heartbeat, end, _counted: counted }
    }

    /// Turns frames into text, until there is enough of it or nothing waits.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while !self.ended && self.text.len() < CHUNK {
            if self.frames.is_empty() {
                match self.hub.poll_outbox(self.token, cx) {
                    Poll::Ready(Some(frames)) => self.frames = frames,
                    Poll::Ready(None) => self.ended = true,
                    Poll::Pending => break,
                }
                continue;
            }
            let then = match wire::take(&mut self.frames) {
                Some((wire::TEXT, frame)) => match std::str::from_utf8(&frame) {
                    Ok(frame) => self.feed.take(frame, &mut self.text),
                    Err(_) => Then::End,
                },
                Some((wire::PONG, _)) => Then::GoOn,
                _ => Then::End,
            };
            match then {
                Then::GoOn => {}
                Then::Pong => self.hub.receive(self.token, Ok(Frame::Text(PONG.into()))),
                Then::End => self.ended = true,
            }
        }
        self.feed.settle(&mut self.text);
        if self.ended {
            self.hub.gone(self.token);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hub.gone(self.token);
    }
}

impl MessageBody for Stream {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.end.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready()) {
            self.ended = true;
        }
        self.fill(cx);
        if self.text.is_empty() {
            if self.ended {
                return Poll::Ready(None);
            }
            if self.heartbeat.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.text.extend_from_slice(HEARTBEAT);
        }
        let next = Instant::now() + self.silence;
        self.heartbeat.as_mut().reset(next);
        Poll::Ready(Some(Ok(std::mem::take(&mut self.text).into())))
    }
}
