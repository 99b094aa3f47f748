//! Writes what is published, in batches: what comes while one is on its way is the next one.

use super::{
    Shared,
    link::{Link, within},
    reconnecting::Reconnecting,
};
use crate::{Event, Position, Published, event::event_id};
use futures_util::FutureExt;
use std::{collections::HashSet, sync::Arc};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::Type;
use ulid::Ulid;

/// Publishes that may wait for the writer; above it they are refused.
pub(super) const QUEUE: usize = 8_192;

/// The most events, and bytes of data, of one batch.
const EVENTS: usize = 500;
const BYTES: usize = 4 * 1024 * 1024;

/// An event to write.
pub(super) struct Job {
    pub(super) channel: String,
    pub(super) event: Event,
    pub(super) said: oneshot::Sender<Result<Published, String>>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
    /// Taken from the queue, and did not fit in the batch before.
    held: Option<Job>,
    link: Reconnecting,
}

/// Why a batch was not written.
struct Refusal {
    reason: String,
    /// Whether an event of it is to blame, so that the others would be written without it.
    event: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, jobs: mpsc::Receiver<Job>, link: Link) -> Self {
        Self { shared, jobs, held: None, link: Reconnecting::new(Some(link)) }
    }

    /// Writes until the broadcaster is closed and everything that was handed in is written.
    pub(super) async fn run(mut self) {
        loop {
            let first = match self.held.take() {
                Some(job) => Some(job),
                None => self.jobs.recv().await,
            };
            let Some(first) = first else { return };
            let batch = self.batch(first);
            let jobs = self.write(batch).await;
            // One event that the server cannot take spoils nothing but itself.
            for job in jobs {
                self.write(vec![job]).await;
            }
        }
    }

    fn batch(&mut self, first: Job) -> Vec<Job> {
        let (mut keys, mut bytes, mut batch) = (HashSet::new(), 0, Vec::new());
        let mut next = Some(first);
        while let Some(job) = next {
            let again =
                job.event.key().is_some_and(|key| !keys.insert((job.channel.clone(), key.to_owned())));
            bytes += job.event.data().as_str().len();
            if again || (bytes > BYTES && !batch.is_empty()) {
                self.held = Some(job);
                break;
            }
            // Who does not wait any longer was told that it failed.
            if !job.said.is_closed() {
                batch.push(job);
            }
            next = if batch.len() < EVENTS { self.jobs.try_recv().ok() } else { None };
        }
        batch
    }

    /// Writes a batch and tells who waits; those that are to be written one by one come back.
    async fn write(&mut self, batch: Vec<Job>) -> Vec<Job> {
        if batch.is_empty() {
            return batch;
        }
        match self.try_write(&batch).await {
            Ok(published) => {
                self.shared.wake.notify_one();
                for (job, published) in batch.into_iter().zip(published) {
                    let _ = job.said.send(Ok(published));
                }
                Vec::new()
            }
            Err(refusal) if refusal.event && batch.len() > 1 => batch,
            Err(refusal) => {
                for job in batch {
                    let _ = job.said.send(Err(refusal.reason.clone()));
                }
                Vec::new()
            }
        }
    }

    async fn try_write(&mut self, batch: &[Job]) -> Result<Vec<Published>, Refusal> {
        let whole = |reason| Refusal { reason, event: false };
        if self.shared.config.existing {
            return Err(whole("the ledger is only read: it is an application's own".to_owned()));
        }
        let link = self.link.get(&self.shared).await.map_err(whole)?;
        let client = &link.client;
        let ids: Vec<String> = batch.iter().map(|_| Ulid::generate().to_string()).collect();
        let column = |value: fn(&Job) -> &str| batch.iter().map(value).collect::<Vec<&str>>();
        let channels = column(|job| &job.channel);
        let names = column(|job| job.event.name());
        let data = column(|job| job.event.data().as_str());
        let keys: Vec<Option<String>> = batch.iter().map(|job| job.event.key().map(escape)).collect();
        let values = [
            (&channels as _, Type::TEXT_ARRAY),
            (&names as _, Type::TEXT_ARRAY),
            (&ids as _, Type::TEXT_ARRAY),
            (&data as _, Type::TEXT_ARRAY),
            (&keys as _, Type::TEXT_ARRAY),
        ];
        let ledger = &self.shared.ledger;
        // Sent at once, in this order. When one fails, what follows does too, and the last one rolls back.
        let (mut culprit, mut code) = (false, None);
        let transaction = async {
            let (begun, written, ended, ()) = futures_util::join!(
                client.batch_execute(&ledger.begin),
                client.query_typed(&ledger.write, &values),
                client.batch_execute("COMMIT"),
                // In a transaction of its own: it takes a lock of the whole server, which no commit may hold up. It is sent, and
                // its answer is not waited for.
                async { drop(client.batch_execute(&ledger.notify).now_or_never()) },
            );
            if let (Ok(()), Err(error)) = (&begun, &written) {
                code = error.code().cloned();
            }
            begun?;
            let written = written?;
            ended.map(|()| written)
        };
        let outcome = within(transaction).await;
        if let Some(code) = code {
            // Data that is none, a limit of the server, a check of the table.
            culprit = ["22", "23", "54"].iter().any(|class| code.code().starts_with(class));
        }
        let rows = match outcome {
            Ok(rows) if rows.len() == batch.len() => rows,
            Ok(_) => return Err(whole("the ledger has not taken every event".to_owned())),
            Err(reason) => {
                if !culprit {
                    self.link.lose(&link);
                }
                return Err(Refusal { reason, event: culprit });
            }
        };
        let mut last: Option<(i64, String)> = None;
        let mut all = Vec::with_capacity(batch.len());
        for (job, row) in batch.iter().zip(&rows) {
            let (id, text, root): (i64, String, String) = (row.get(1), row.get(2), row.get(3));
            let on = !self.shared.histories.get(&job.channel).is_off();
            let position = on.then(|| Position { epoch: root.into(), offset: id as u64 });
            all.push(Published::new(event_id(&text), position));
            if last.as_ref().is_none_or(|(highest, _)| *highest < id) {
                last = Some((id, text));
            }
        }
        if let Some((id, text)) = last {
            self.shared.know(id, &text);
        }
        Ok(all)
    }
}

/// PostgreSQL's text has no NUL.
fn escape(key: &str) -> String {
    key.replace('\\', "\\\\").replace('\0', "\\0")
}
