//! Tells the application which channels have subscribers.

use super::{
    backlog::{Backlog, Batch, Change, pause},
    signature::Signer,
};
use crate::{
    BroadcastError,
    fetch::{Endpoint, FetchError},
    upstream::Occupancy,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tracing::warn;
use ulid::Ulid;

/// How long changes are gathered for one request.
const GATHER: Duration = Duration::from_millis(100);

/// How long an answer may take, and how many bytes it may have; nobody reads them.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 64 * 1024;

/// Tells the application over HTTP when a channel gets its first subscriber on this gateway, and when its last one has gone.
///
/// It is sent `POST` with `{"id", "events": [{"type": "channel.occupied", "channel", "at"}, …], "dropped"}`, signed as an
/// [`AuthorizeWebhook`](crate::AuthorizeWebhook)'s question is. `type` is `channel.occupied` or `channel.vacated`, and `at` is
/// in milliseconds since 1970. Changes of 100 ms go in one request, in order, up to 100. Any answer that is no success (2xx
/// in 5 s) makes it send the same again with the same `id`, after 0.5 s, then twice as long, up to 30 s. Meanwhile 10,000
/// changes wait; above that the oldest go, and `dropped` is how many since the gateway started.
pub struct NotifyWebhook {
    sender: Arc<Sender>,
    task: Mutex<Option<AbortHandle>>,
}

struct Sender {
    endpoint: Endpoint,
    signer: Signer,
    backlog: Mutex<Backlog>,
    pushed: Notify,
    /// Whether the application has yet to hear of something.
    behind: watch::Sender<bool>,
}

impl NotifyWebhook {
    /// Tells `url`, and signs with `secret`, which is 32 bytes or longer.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] for what is no URL over HTTP or HTTPS, and for a short secret.
    pub fn new(url: &str, secret: &[u8]) -> Result<Self, BroadcastError> {
        let sender = Sender {
            endpoint: Endpoint::new(url, "URL of the webhook")?,
            signer: Signer::new(secret)?,
            backlog: Mutex::default(),
            pushed: Notify::new(),
            behind: watch::Sender::new(false),
        };
        Ok(Self { sender: Arc::new(sender), task: Mutex::default() })
    }

    /// How many changes the application was never told, because too many waited.
    pub fn dropped_count(&self) -> u64 {
        self.sender.backlog.lock().dropped()
    }

    /// Never waits.
    pub(crate) fn push(&self, channel: &Arc<str>, occupancy: Occupancy) {
        let change = Change::new(occupancy, channel.clone(), SystemTime::now());
        self.sender.backlog.lock().push(change);
        self.sender.behind.send_replace(true);
        self.sender.pushed.notify_one();
        self.go_on();
    }

    /// Sees to it that somebody sends: a worker thread's runtime may have ended, with who did.
    fn go_on(&self) {
        let task = &mut *self.task.lock();
        if task.as_ref().is_none_or(AbortHandle::is_finished)
            && let Ok(runtime) = Handle::try_current()
        {
            *task = Some(runtime.spawn(self.sender.clone().run()).abort_handle());
        }
    }

    /// Waits until the application has heard of everything, but no longer than `within`.
    pub(crate) async fn flush(&self, within: Duration) {
        let mut behind = self.sender.behind.subscribe();
        if *behind.borrow() {
            self.go_on();
        }
        if timeout(within, behind.wait_for(|behind| !behind)).await.is_err() {
            warn!(host = self.sender.endpoint.host(), "the webhook has not heard of everything");
        }
    }
}

impl Sender {
    async fn run(self: Arc<Self>) {
        loop {
            if !self.backlog.lock().has_batch() {
                sleep(GATHER).await;
            }
            while let Some(batch) = self.next() {
                self.deliver(&batch).await;
                self.backlog.lock().arrived();
            }
            self.behind.send_if_modified(|behind| {
                let still = !self.backlog.lock().is_empty();
                std::mem::replace(behind, still) != still
            });
            self.pushed.notified().await;
        }
    }

    fn next(&self) -> Option<Batch> {
        self.backlog.lock().next(|| Ulid::generate().to_string())
    }

    /// Sends it until it has arrived.
    async fn deliver(&self, batch: &Batch) {
        let body = Bytes::from(serde_json::to_vec(batch).expect("texts and numbers are JSON"));
        for attempt in 0.. {
            let Err(error) = self.post(body.clone()).await else { return };
            let wait = pause(attempt);
            warn!(host = self.endpoint.host(), %error, ?wait, "the webhook was not told; it will be again");
            sleep(wait).await;
        }
    }

    async fn post(&self, body: Bytes) -> Result<(), FetchError> {
        let headers = self.signer.headers(&body, SystemTime::now());
        match self.endpoint.post(headers, body, MAX_ANSWER, PATIENCE).await {
            Ok(_) | Err(FetchError::TooLong(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for NotifyWebhook {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut() {
            task.abort();
        }
    }
}

impl fmt::Debug for NotifyWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifyWebhook").field("endpoint", &self.sender.endpoint).finish_non_exhaustive()
    }
}
