//! What goes on beside reading and writing: hearing of what other gateways have written, and dropping what is too old.

use super::{
    Shared,
    link::{Link, within},
};
use crate::backoff::Backoff;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tokio_postgres::types::Type;
use tracing::{debug, warn};

/// A connection that hears nothing says so in this time, or it is dead.
const PROBE_EVERY: Duration = Duration::from_secs(15);

/// How often partitions are made and dropped.
const ROTATE_EVERY: Duration = Duration::from_secs(10);

/// Events are kept longer than any history promises, so that a reader that was away for a little misses none.
const MARGIN: Duration = Duration::from_secs(60);

/// What the protocol promises of idempotency keys.
const KEYS: Duration = Duration::from_secs(300);

/// Listens for the other gateways. Polling is the net below: failures are not told.
pub(super) async fn listen(shared: Arc<Shared>) {
    // Nobody tells what an application writes.
    if shared.config.existing {
        return;
    }
    let mut backoff = Backoff::default();
    loop {
        let reason = tokio::select! {
            reason = listen_once(&shared, &mut backoff) => reason,
            () = shared.closed() => return,
        };
        debug!(reason, "not woken by NOTIFY");
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = shared.closed() => return,
        }
    }
}

async fn listen_once(shared: &Shared, backoff: &mut Backoff) -> String {
    let asked = async {
        let wake = Some((shared.wake.clone(), shared.node.clone()));
        let link = Link::open(&shared.config, wake).await?;
        within(link.client.batch_execute(&shared.ledger.listen)).await?;
        backoff.reset();
        loop {
            sleep(PROBE_EVERY).await;
            within(link.client.batch_execute("")).await?;
        }
    };
    let ended: Result<(), String> = asked.await;
    ended.err().unwrap_or_default()
}

/// Has the ledger make and drop its partitions.
pub(super) async fn rotate(shared: Arc<Shared>) {
    if shared.config.existing {
        return;
    }
    let keep = (shared.histories.longest().max(KEYS) + MARGIN).as_secs_f64();
    let mut told = false;
    loop {
        let work = async {
            let link = Link::open(&shared.config, None).await?;
            loop {
                within(link.client.query_typed(&shared.ledger.rotate, &[(&keep, Type::FLOAT8)])).await?;
                sleep(ROTATE_EVERY).await;
            }
        };
        let ended: Result<(), String> = tokio::select! {
            ended = work => ended,
            () = shared.closed() => return,
        };
        // A lost link is told by the reader.
        if let (Err(reason), false, true) = (ended, told, shared.down.lock().is_none()) {
            told = true;
            warn!(%reason, "old events are not dropped");
        }
        tokio::select! {
            () = sleep(ROTATE_EVERY) => {}
            () = shared.closed() => return,
        }
    }
}
