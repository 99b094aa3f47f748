//! Reads a channel's past, on a connection of its own that all readers share.

use super::{
    PATIENCE, Shared, boxed,
    link::{Link, within},
    reconnecting::Reconnecting,
    words,
};
use crate::{
    BroadcastError, Delivery, Event, History, Page, Place, Position, Range, RawJson, event::event_id,
};
use std::sync::Arc;
use tokio::{sync::Mutex, time::timeout};
use tokio_postgres::{Row, types::Type};

pub(super) struct Past {
    shared: Arc<Shared>,
    /// Who asks while it is made waits for it.
    link: Mutex<Reconnecting>,
}

impl Past {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, link: Mutex::new(Reconnecting::new(None)) }
    }

    pub(super) async fn close(&self) {
        self.link.lock().await.close();
    }

    pub(super) async fn page(&self, channel: &str, range: Range) -> Result<Option<Page>, BroadcastError> {
        let history = self.shared.histories.get(channel);
        if history.is_off() {
            return Ok(None);
        }
        let failed = |reason: String| BroadcastError::History(boxed(reason));
        let link = timeout(PATIENCE, async { self.link.lock().await.get(&self.shared).await })
            .await
            .map_err(|_| failed("PostgreSQL does not answer".to_owned()))?
            .map_err(failed)?;
        match self.read(&link, channel, range, history).await {
            Ok(page) => Ok(Some(page)),
            Err(reason) => {
                // Whatever it was, the next one is asked anew.
                self.link.lock().await.lose(&link);
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
