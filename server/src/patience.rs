//! How long a connection may go without a whole request.
//!
//! actix-web times the head of a connection's first request, and the silence behind an answer. Who then sends the
//! beginning of another head is waited for without end; here it is not.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;
use std::{
    cell::Cell,
    error::Error,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest time between a connection's answer and the whole head of its next request: the 5 s of silence that
/// actix-web allows, and 5 s for the head.
const LONGEST: Duration = Duration::from_secs(10);

/// Counts a connection's answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answering(Rc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: Cell<u64>,
    ended: Cell<u64>,
}

/// An answer under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Answer(Answering);

impl Answering {
    pub(crate) fn begin(&self) -> Answer {
        self.0.begun.set(self.0.begun.get() + 1);
        Answer(self.clone())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let ended = &self.0.0.ended;
        ended.set(ended.get() + 1);
    }
}

/// What a connection is waited for with.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    answering: Answering,
    /// How many answers had been given when the wait began.
    answers: u64,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(crate) fn answering(&self) -> Answering {
        self.answering.clone()
    }

    /// To be asked whenever there is nothing to read; ready when it has been so for too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Counts { begun, ended } = &*self.answering.0;
        if begun.get() > ended.get() {
            self.alarm = None;
            return Poll::Pending;
        }
        if self.answers != ended.get() {
            self.answers = ended.get();
            self.alarm = None;
        }
        self.alarm.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + LONGEST))).as_mut().poll(cx)
    }
}

/// The body of an answer under way.
pub(crate) struct Answered {
    body: BoxBody,
    _answer: Option<Answer>,
}

impl Answered {
    pub(crate) fn new(body: BoxBody, answer: Option<Answer>) -> Self {
        Self { body, _answer: answer }
    }
}

impl MessageBody for Answered {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        let Self { body, _answer } = self;
        body.try_into_bytes().map_err(|body| Self { body, _answer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;
    use std::future::poll_fn;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_no_request_comes() {
        let mut patience = Patience::default();
        let answering = patience.answering();
        for _ in 0..3 {
            assert!(poll!(poll_fn(|cx| patience.poll(cx))).is_pending());
            advance(LONGEST / 2).await;
            assert!(poll!(poll_fn(|cx| patience.poll(cx))).is_pending());
            // However quick the answer is: it counts.
            drop(answering.begin());
        }
        assert!(poll!(poll_fn(|cx| patience.poll(cx))).is_pending());
        advance(LONGEST).await;
        assert!(poll!(poll_fn(|cx| patience.poll(cx))).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_as_long_as_it_takes() {
        let mut patience = Patience::default();
        let answer = patience.answering().begin();
        assert!(poll!(poll_fn(|cx| patience.poll(cx))).is_pending());
        advance(100 * LONGEST).await;
        assert!(poll!(poll_fn(|cx| patience.poll(cx))).is_pending());
        drop(answer);
        assert!(poll!(poll_fn(|cx| patience.poll(cx))).is_pending());
        advance(LONGEST).await;
        assert!(poll!(poll_fn(|cx| patience.poll(cx))).is_ready());
    }
}
