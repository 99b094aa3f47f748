//! Asks the application who may use a channel.

use super::{
    answers::{Answers, Found, Question},
    signature::Signer,
    turns::{Turn, Turns},
};
use crate::{
    Authorization, BoxError, BroadcastError, Claims, RawJson, Subject,
    fetch::{Endpoint, FetchError},
};
use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, Shared, ready},
};
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    sync::oneshot::{self, error::RecvError},
    task::spawn,
    time::timeout,
};

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 4 * 1024;

/// Questions at the same time.
const AT_ONCE: usize = 64;

/// Questions that wait for their turn at most.
const MAX_WAITING: usize = 1_000;

/// Asks the application over HTTP who may use a channel.
///
/// It is sent `POST` with `{"channel": "private-orders.42", "user": "u1", "info": …}`, where `user` is `null` for a client
/// without a subject, and `info` is the token's. It answers 200 with `{"allow": true}` or `{"allow": false}`, and on a
/// `presence-*` channel with `"presence": {"id": …, "info": …}` if the member is not to be the user with the token's info.
/// Anything else, and no answer in time, is a failure: the client is told `authorization failed`.
///
/// `Tidings-Signature` is the HMAC-SHA256 of `Tidings-Timestamp` (seconds since 1970), a dot and the body, in hexadecimal
/// digits.
///
/// The same question is asked once while it is being answered, and not again while the answer is kept. The last 10,000
/// answers are kept. Of all questions 64 are asked at a time, and 1,000 wait. Users take turns then, each with one question,
/// and clients without a subject are one of them together; when 1,000 wait, who has most of them makes room.
pub struct AuthorizeWebhook {
    endpoint: Endpoint,
    signer: Signer,
    timeout: Duration,
    answers: Mutex<Answers<Flight>>,
    turns: Mutex<Turns<Place>>,
}

/// A question under way.
type Flight = Shared<BoxFuture<'static, Result<Authorization, Arc<AskError>>>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum AskError {
    #[error("the webhook was asked, and {0}")]
    Fetch(#[from] FetchError),
    #[error("the webhook's answer is neither {{\"allow\": true}} nor {{\"allow\": false}}")]
    Answer,
    #[error("the webhook's presence is no member: wanted is {{\"id\": \"…\", \"info\": …}}")]
    Presence,
    #[error("the webhook is too slow: too many questions wait for it")]
    Full,
    #[error("the webhook was being asked when its worker ended")]
    Ended,
}

#[derive(Serialize)]
struct Asked<'a> {
    channel: &'a str,
    user: Option<&'a str>,
    info: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Answer {
    allow: bool,
    presence: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Member {
    id: String,
}

impl AuthorizeWebhook {
    /// Asks `url`, and signs with `secret`, which is 32 bytes or longer.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] for what is no URL over HTTP or HTTPS, and for a short secret.
    pub fn new(url: &str, secret: &[u8]) -> Result<Self, BroadcastError> {
        Ok(Self {
            endpoint: Endpoint::new(url, "URL of the authorization webhook")?,
            signer: Signer::new(secret)?,
            timeout: Duration::from_secs(2),
            answers: Mutex::new(Answers::new(Duration::from_secs(10))),
            turns: Mutex::new(Turns::new(AT_ONCE, MAX_WAITING)),
        })
    }

    /// How long an answer may take, the wait for its turn included. Default 2 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long an answer holds; zero asks each time. Default 10 s.
    pub fn keep(self, keep: Duration) -> Self {
        Self { answers: Mutex::new(Answers::new(keep)), ..self }
    }

    /// Whether `subject` may use `channel`.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        channel: &str,
        subject: Option<&Subject>,
    ) -> Result<Authorization, BoxError> {
        let info = subject.and_then(|subject| subject.user::<Claims>()?.info());
        let info = info.map(|info| serde_json::from_str(info.as_str())).transpose()?;
        let asked = Asked { channel, user: subject.map(Subject::id), info };
        let text = serde_json::to_vec(&asked)?;
        let question = digest(&SHA256, &text).as_ref().try_into().expect("a SHA-256 sum has 32 bytes");
        match self.look(question, text.into(), asked.user)? {
            Found::Known(answer) => Ok(answer),
            Found::Asked(flight) => Ok(flight.await?),
        }
    }

    /// What is known, or from now on asked: whether or not whoever wants to know waits for it.
    fn look(
        self: &Arc<Self>,
        question: Question,
        text: Bytes,
        asker: Option<&str>,
    ) -> Result<Found<Flight>, AskError> {
        let mut answers = self.answers.lock();
        if let Some(found) = answers.find(&question, Instant::now()) {
            return Ok(found);
        }
        let turn = self.turns.lock().enter(asker);
        let turn = match turn {
            Turn::Now => Either::Left(ready(Ok(Place(self.clone())))),
            Turn::Later(given) => Either::Right(given),
            Turn::Full => return Err(AskError::Full),
        };
        let (tell, told) = oneshot::channel();
        let told = told.map(|told| told.unwrap_or_else(|_| Err(Arc::new(AskError::Ended))));
        let flight = told.boxed().shared();
        answers.asked(question, flight.clone());
        drop(answers);
        let mut settling = Settling { webhook: self.clone(), question, answer: None };
        spawn(async move {
            let outcome = settling.webhook.post(turn, text).await;
            settling.answer = outcome.as_ref().ok().cloned();
            drop(settling);
            drop(tell.send(outcome.map_err(Arc::new)));
        });
        Ok(Found::Asked(flight))
    }

    async fn post(
        &self,
        turn: impl Future<Output = Result<Place, RecvError>>,
        text: Bytes,
    ) -> Result<Authorization, AskError> {
        let answer = async {
            let _place = turn.await.map_err(|_| AskError::Full)?;
            let headers = self.signer.headers(&text, SystemTime::now());
            Ok::<_, AskError>(self.endpoint.post(headers, text, MAX_ANSWER, self.timeout).await?)
        };
        let late = FetchError::Timeout(self.timeout);
        let json = timeout(self.timeout, answer).await.unwrap_or_else(|_| Err(late.into()))?;
        let Answer { allow, presence } = serde_json::from_slice(&json).map_err(|_| AskError::Answer)?;
        if let Some(presence) = &presence {
            let member = serde_json::from_str::<Member>(presence.get());
            member.ok().filter(|member| !member.id.is_empty()).ok_or(AskError::Presence)?;
        }
        Ok(Authorization { authorized: allow, presence: presence.map(RawJson::from) })
    }
}

/// The right to ask one question; whose turn it is next has it when it is dropped.
struct Place(Arc<AuthorizeWebhook>);

impl Drop for Place {
    fn drop(&mut self) {
        let next = self.0.turns.lock().leave();
        // Who does not take it any more drops it, and so it goes on.
        next.map(|give| give.send(Self(self.0.clone())));
    }
}

/// Settles a question when it is dropped.
struct Settling {
    webhook: Arc<AuthorizeWebhook>,
    question: Question,
    answer: Option<Authorization>,
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.webhook.answers.lock().settle(&self.question, self.answer.take(), Instant::now());
    }
}

impl fmt::Debug for AuthorizeWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeWebhook").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
