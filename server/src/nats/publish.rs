//! The way of events to JetStream. One task sends them, in the order in which they were handed in.

use super::{Inner, link::Link};
use crate::{BoxError, Published, envelope};
use async_nats::jetstream::{context::PublishAckFuture, message::PublishMessage};
use std::sync::Arc;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use ulid::Ulid;

/// So many events wait for the link; more are refused.
pub(super) const WAITING: usize = 8_192;

/// An event on its way to the stream.
pub(super) struct Job {
    pub(super) subject: String,
    pub(super) message: PublishMessage,
    pub(super) deadline: Instant,
    pub(super) sent: oneshot::Sender<Result<Sent, BoxError>>,
}

/// An event that was sent, and nothing is known of it yet.
pub(super) struct Sent {
    link: Arc<Link>,
    ack: PublishAckFuture,
}

/// What the task is told.
pub(super) enum Order {
    Send(Job),
    /// Say so when everything before is sent.
    Flush(oneshot::Sender<()>),
}

/// Sends what is ordered until nobody can order any longer.
pub(super) async fn run(inner: Arc<Inner>, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Flush(done) => {
                // Nobody may be waiting any longer.
                let _ = done.send(());
            }
            Order::Send(job) => {
                let Job { subject, message, deadline, sent } = job;
                if sent.is_closed() {
                    continue;
                }
                let send = async {
                    let link = inner.link().await?;
                    let ack = tokio::select! {
                        biased;
                        () = link.lost() => return Err("the link to NATS was lost".into()),
                        ack = link.context.send_publish(subject, message) => ack?,
                    };
                    Ok(Sent { link, ack })
                };
                let result = timeout_at(deadline, send).await.unwrap_or_else(|_| Err(inner.silence()));
                let _ = sent.send(result);
            }
        }
    }
}

impl Sent {
    /// What JetStream says of the event, which was sent as `id`.
    pub(super) async fn answer(
        self,
        id: Ulid,
        has_history: bool,
    ) -> Result<(Arc<Link>, Published), BoxError> {
        let Self { link, ack } = self;
        let ack = tokio::select! {
            biased;
            () = link.lost() => return Err("the link to NATS was lost before the answer".into()),
            ack = ack => ack?,
        };
        // An answer over a link that has gone is of a stream that may have become another one.
        if link.is_lost() {
            return Err("the link to NATS was lost with the answer".into());
        }
        let position =
            has_history.then(|| crate::Position { epoch: link.epoch.clone(), offset: ack.sequence });
        if !ack.duplicate {
            return Ok((link, Published::new(id, position)));
        }
        let stream = if has_history { &link.kept } else { &link.live };
        let first = stream.at(ack.sequence).await?.ok_or("it was accepted before, and is no longer kept")?;
        let (_, id) = envelope::decode_or(&first.payload, || link.event_id(ack.sequence))?;
        Ok((link, Published::new(id, position)))
    }
}
