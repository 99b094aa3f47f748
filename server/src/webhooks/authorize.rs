//! Asks the application who may use a channel.

use super::{
    answers::{Answers, Found, Question},
    signature::Signer,
};
use crate::{
    Authorization, BoxError, BroadcastError, Claims, RawJson, Subject,
    fetch::{Endpoint, FetchError},
};
use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
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
    sync::{Semaphore, oneshot},
    task::spawn,
    time::timeout,
};

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 4 * 1024;

/// Questions at the same time.
const AT_ONCE: usize = 64;

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
/// The same question is asked once while it is being answered, and not again while the answer is kept; of all questions 64
/// are asked at a time. The last 10,000 answers are kept.
pub struct AuthorizeWebhook {
    endpoint: Endpoint,
    signer: Signer,
    timeout: Duration,
    answers: Mutex<Answers<Flight>>,
    places: Semaphore,
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
            places: Semaphore::new(AT_ONCE),
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
        match self.look(question, text.into()) {
            Found::Known(answer) => Ok(answer),
            Found::Asked(flight) => Ok(flight.await?),
            Found::Full | Found::Nothing => Err(AskError::Full.into()),
        }
    }

    /// What is known, or from now on asked: whether or not whoever wants to know waits for it.
    fn look(self: &Arc<Self>, question: Question, text: Bytes) -> Found<Flight> {
        let mut answers = self.answers.lock();
        let found = answers.find(&question, Instant::now());
        if !matches!(found, Found::Nothing) {
            return found;
        }
        let (tell, told) = oneshot::channel();
        let told = told.map(|told| told.unwrap_or_else(|_| Err(Arc::new(AskError::Ended))));
        let flight = told.boxed().shared();
        answers.asked(question, flight.clone());
        drop(answers);
        let mut settling = Settling { webhook: self.clone(), question, answer: None };
        spawn(async move {
            let outcome = settling.webhook.post(text).await;
            settling.answer = outcome.as_ref().ok().cloned();
            drop(settling);
            drop(tell.send(outcome.map_err(Arc::new)));
        });
        Found::Asked(flight)
    }

    async fn post(&self, text: Bytes) -> Result<Authorization, AskError> {
        let answer = async {
            let _place = self.places.acquire().await.expect("the semaphore is never closed");
            let headers = self.signer.headers(&text, SystemTime::now());
            self.endpoint.post(headers, text, MAX_ANSWER, self.timeout).await
        };
        let late = FetchError::Timeout(self.timeout);
        let json = timeout(self.timeout, answer).await.unwrap_or(Err(late))?;
        let Answer { allow, presence } = serde_json::from_slice(&json).map_err(|_| AskError::Answer)?;
        if let Some(presence) = &presence {
            let member = serde_json::from_str::<Member>(presence.get());
            member.ok().filter(|member| !member.id.is_empty()).ok_or(AskError::Presence)?;
        }
        Ok(Authorization { authorized: allow, presence: presence.map(RawJson::from) })
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
