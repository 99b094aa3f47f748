//! Reads a channel's past, on a connection of its own that all readers share.

use super::{
    PATIENCE, Shared, boxed,
    link::{Link, within},
    words,
};
use crate::{
    BroadcastError, Delivery, Event, History, Page, Place, Position, Range, RawJson, backoff::Backoff,
    event::event_id,
};
use std::sync::Arc;
use tokio::{
    runtime::Handle,
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_postgres::{Row, types::Type};

pub(super) struct Past {
    shared: Arc<Shared>,
    /// Where connections live: the runtime of who asks may end before they do.
    runtime: Handle,
    state: Mutex<State>,
}

struct State {
    link: Option<Arc<Link>>,
    backoff: Backoff,
    retry_at: Instant,
    reason: String,
    /// How often the reader's link had come back at the last attempt.
    returns: u64,
}

impl Past {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let state = State {
            link: None,
            backoff: Backoff::default(),
            retry_at: Instant::now(),
            reason: String::new(),
            returns: 0,
        };
        Self { shared, runtime: Handle::current(), state: Mutex::new(state) }
    }

    pub(super) async fn close(&self) {
        self.state.lock().await.link = None;
    }

    /// The connection, or why there is none; who asks while it is made waits for it.
    async fn link(&self) -> Result<Arc<Link>, String> {
        let state = &mut *self.state.lock().await;
        if let Some(link) = state.link.as_ref().filter(|link| !link.client.is_closed()) {
            return Ok(link.clone());
        }
        // Where the reader gets through, so does this one.
        let returns = self.shared.returns();
        if returns == state.returns && Instant::now() < state.retry_at {
            return Err(state.reason.clone());
        }
        state.returns = returns;
        let shared = self.shared.clone();
        let opened = self.runtime.spawn(async move { Link::open(&shared.config, None).await }).await;
        match opened.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(link) => {
                state.backoff.reset();
                Ok(state.link.insert(Arc::new(link)).clone())
            }
            Err(reason) => {
                state.retry_at = Instant::now() + state.backoff.next();
                state.reason.clone_from(&reason);
                Err(reason)
            }
        }
    }

    pub(super) async fn page(&self, channel: &str, range: Range) -> Result<Option<Page>, BroadcastError> {
        let history = self.shared.histories.get(channel);
        if history.is_off() {
            return Ok(None);
        }
        let failed = |reason: String| BroadcastError::History(boxed(reason));
        let link = timeout(PATIENCE, self.link())
            .await
            .map_err(|_| failed("PostgreSQL does not answer".to_owned()))?
            .map_err(failed)?;
        match self.read(&link, channel, range, history).await {
            Ok(page) => Ok(Some(page)),
            Err(reason) => {
                // Whatever it was, the next one is asked anew.
                let mut state = self.state.lock().await;
                if state.link.as_ref().is_some_and(|current| Arc::ptr_eq(current, &link)) {
                    state.link = None;
                }
                Err(failed(reason))
            }
        }
    }

    async fn read(&self, link: &Link, channel: &str, range: Range, kept: History) -> Result<Page, String> {
        let most = |n: usize| i64::try_from(n).unwrap_or(i64::MAX / 2).min(i64::MAX / 2);
        let (after, before, limit, last) = match range {
            Range::After { offset, limit } => (offset, u64::MAX, limit, false),
            Range::Before { offset, limit } => (0, offset.unwrap_or(u64::MAX), limit, true),
        };
        let id = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
        let (events, bytes, seconds) = (most(kept.events), most(kept.bytes), kept.age.as_secs_f64());
        // One more than wanted tells whether there are more.
        let (after, before, asked) = (id(after), id(before), most(limit.saturating_add(1)));
        let rows = within(link.client.query_typed(
            &self.shared.ledger.history,
            &[
                (&channel, Type::TEXT),
                (&events, Type::INT8),
                (&bytes, Type::INT8),
                (&seconds, Type::FLOAT8),
                (&after, Type::INT8),
                (&before, Type::INT8),
                (&asked, Type::INT8),
                (&last, Type::BOOL),
            ],
        ))
        .await?;
        self.assemble(channel, &rows, limit, last)
            .map_err(|error| format!("a row of the ledger cannot be read: {}", words(&error)))
    }

    fn assemble(
        &self,
        channel: &str,
        rows: &[Row],
        limit: usize,
        last: bool,
    ) -> Result<Page, tokio_postgres::Error> {
        let channel: Arc<str> = channel.into();
        let Some(first) = rows.first() else {
            let end = Position { epoch: self.shared.epoch(), offset: 0 };
            return Ok(Page { end, floor: 0, events: Vec::new(), more: false });
        };
        let epoch = self.shared.dress(first.try_get(0)?);
        let end = Position { epoch: epoch.clone(), offset: first.try_get::<_, i64>(1)? as u64 };
        let floor = first.try_get::<_, i64>(2)? as u64;
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(id) = row.try_get::<_, Option<i64>>(3)? else { continue };
            let position = Position { epoch: epoch.clone(), offset: id as u64 };
            let previous = row.try_get::<_, i64>(8)? as u64;
            events.push(Delivery {
                channel: channel.clone(),
                event: Event::new(row.try_get::<_, &str>(5)?, RawJson::trusted(row.try_get(7)?)),
                id: event_id(row.try_get(6)?),
                place: Some(Place { position, previous }),
            });
        }
        let more = events.len() > limit;
        if more && last {
            events.remove(0);
        }
        events.truncate(limit);
        Ok(Page { end, floor, events, more })
    }
}
