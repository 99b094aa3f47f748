//! What a channel with subscribers goes through: one task takes its events, one after the other, and whenever some may be
//! missing reads them from the stream before it goes on.

use super::{Inner, Status, link::Link, past, stream::StreamError};
use crate::{Delivery, Place, Position, envelope, listeners::Arrival};
use async_nats::{Message, Subscriber};
use futures_util::{FutureExt, StreamExt};
use std::{sync::Arc, time::Duration};
use tidings_protocol::Why;
use tokio::sync::watch;
use tracing::warn;
use ulid::Ulid;

/// How long a channel waits that could not be compared with the stream, before it tries again.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Feed {
    pub(super) inner: Arc<Inner>,
    pub(super) channel: Arc<str>,
    pub(super) has_history: bool,
    pub(super) started: watch::Sender<bool>,
    pub(super) state: Known,
}

/// What is known of the channel's end.
#[derive(Default)]
pub(super) struct Known {
    /// The last event that was handed on.
    last: Option<(u64, Ulid)>,
    /// Up to this sequence of the stream nothing of the channel is missing.
    complete: u64,
    /// A message that is no event, and the event before it.
    skipped: Option<(u64, u64)>,
}

/// Why the feed does not go on with its link.
enum Broken {
    Lost,
    Stream(StreamError),
    RolledBack,
}

impl From<StreamError> for Broken {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl Feed {
    pub(super) async fn run(mut self) {
        let mut status = self.inner.status.subscribe();
        loop {
            let link = match status.wait_for(|status| !matches!(status, Status::Down(_))).await.as_deref() {
                Ok(Status::Up(link)) => link.clone(),
                _ => return,
            };
            match self.follow(&link).await {
                Ok(()) | Err(Broken::Lost) => {}
                Err(Broken::RolledBack) => {
                    // Whoever establishes the next link has to look at it, for the whole stream.
                    link.signals.dead.send_replace(true);
                }
                Err(Broken::Stream(error)) => {
                    warn!(channel = &*self.channel, %error, "the channel could not be compared with its stream");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            // The status changes when the link has been given up.
            let gone = |status: &Status| !matches!(status, Status::Up(up) if Arc::ptr_eq(up, &link));
            if status.wait_for(gone).await.is_err() {
                return;
            }
        }
    }

    /// Takes what comes over `link` until it is lost.
    async fn follow(&mut self, link: &Arc<Link>) -> Result<(), Broken> {
        let subject = self.inner.subjects.out(&self.channel, self.has_history);
        let mut resync = link.signals.resync.subscribe();
        let mut events = link.client.subscribe(subject).await.map_err(|_| Broken::Lost)?;
        loop {
            resync.borrow_and_update();
            tokio::select! {
                biased;
                () = link.lost() => return Err(Broken::Lost),
                synced = self.sync(link) => synced?,
            }
            self.take(link, &mut events, &mut resync).await?;
        }
    }

    async fn take(
        &mut self,
        link: &Arc<Link>,
        events: &mut Subscriber,
        resync: &mut watch::Receiver<u64>,
    ) -> Result<(), Broken> {
        let lost = link.lost();
        tokio::pin!(lost);
        loop {
            tokio::select! {
                biased;
                () = &mut lost => return Err(Broken::Lost),
                message = events.next() => {
                    let Some(message) = message else { return Err(Broken::Lost) };
                    if !self.hand_on(link, message) {
                        // A hole: the stream has what is missing.
                        return Ok(());
                    }
                    while let Some(Some(message)) = events.next().now_or_never() {
                        if !self.hand_on(link, message) {
                            return Ok(());
                        }
                    }
                }
                _ = resync.changed() => return Ok(()),
            }
        }
    }

    /// Compares the channel with its stream and hands on what is missing. Whoever made the stream answers after it has
    /// heard of the subscription, so what comes later arrives.
    async fn sync(&mut self, link: &Link) -> Result<(), Broken> {
        let inner = self.inner.clone();
        let _turn = inner.syncs.acquire().await.map_err(|_| Broken::Lost)?;
        if !self.has_history {
            link.live.info().await?;
            self.inner.listeners.start(&self.channel, None);
            self.started.send_replace(true);
            return Ok(());
        }
        let subject = self.inner.subjects.to_kept(&self.channel);
        let info = link.kept.info().await?;
        let last = link.kept.last_of(&subject).await?;
        let end = last.as_ref().map_or(info.state.last_seq, |last| last.sequence);
        let at = |offset| Position { epoch: link.epoch.clone(), offset };
        let last = last.and_then(|last| {
            let id = envelope::decode_or(&last.payload, || link.event_id(last.sequence)).ok()?.1;
            Some((last.sequence, id))
        });
        let begun = self.inner.listeners.position(&self.channel);
        let complete = info.state.last_seq.max(end);
        inner.witnesses.lock().saw(&link.epoch, complete);
        let Some(begun) = begun.filter(|begun| begun.epoch == link.epoch) else {
            // The first time, or after everything was forgotten.
            self.state = Known { last, complete, skipped: None };
            if *self.started.borrow() {
                self.inner.listeners.gap(&self.channel, at(end), Why::Backplane);
            } else {
                self.inner.listeners.start(&self.channel, Some(at(end)));
                self.started.send_replace(true);
            }
            return Ok(());
        };
        if complete < begun.offset.max(self.state.complete) {
            return Err(Broken::RolledBack);
        }
        if let Some((offset, id)) = self.state.last {
            let found = match last {
                Some((last, found)) if last == offset => Some(found),
                _ if end > offset => link.kept.at(offset).await?.map(|message| {
                    envelope::decode_or(&message.payload, || id).map_or(Ulid::nil(), |(_, found)| found)
                }),
                _ => None,
            };
            if found.is_some_and(|found| found != id) {
                inner.witnesses.lock().doubt(&link.epoch);
                return Err(Broken::RolledBack);
            }
        }
        let from = begun.offset.max(self.state.complete);
        if end > from {
            let entries = past::read(link, &subject, from, end).await?;
            if past::floor(link, &subject).await? > from {
                self.state.last = last;
                self.inner.listeners.gap(&self.channel, at(end), Why::Backplane);
            } else {
                let mut previous = begun.offset;
                for entry in entries {
                    let known = (entry.offset, entry.id);
                    self.told(link, known);
                    self.inner.listeners.event(past::deliver(
                        &self.channel,
                        &link.epoch,
                        &mut previous,
                        entry,
                    ));
                }
            }
        } else if info.state.first_seq > from + 1 {
            self.inner.listeners.gap(&self.channel, at(end.max(from)), Why::Backplane);
        }
        self.state.complete = complete.max(self.state.complete);
        Ok(())
    }

    fn told(&mut self, link: &Link, (offset, id): (u64, Ulid)) {
        self.state.last = Some((offset, id));
        self.state.complete = self.state.complete.max(offset);
        self.inner.witnesses.lock().add(&link.epoch, offset, id);
    }

    /// Whether the message was the next one of the channel.
    fn hand_on(&mut self, link: &Link, message: Message) -> bool {
        let header = |name| message.headers.as_ref()?.get(name)?.as_str().parse::<u64>().ok();
        let (Some(sequence), Some(before)) = (header("Nats-Sequence"), header("Nats-Last-Sequence")) else {
            warn!(channel = &*self.channel, "a message that did not come from the stream was left out");
            return true;
        };
        let decoded = envelope::decode_or(&message.payload, || link.event_id(sequence));
        let channel = self.channel.clone();
        if !self.has_history {
            match decoded {
                Ok((event, id)) => {
                    self.inner.listeners.event(Delivery { channel, event, id, place: None });
                }
                Err(problem) => warn!(channel = &*self.channel, problem, "left out"),
            }
            return true;
        }
        let previous = match self.skipped_before(before) {
            Some(event) => event,
            None => before,
        };
        let (event, id) = match decoded {
            Ok(decoded) => decoded,
            Err(problem) => {
                warn!(channel = &*self.channel, sequence, problem, "left out");
                self.state.skipped = Some((sequence, previous));
                return true;
            }
        };
        let place = Place { position: Position { epoch: link.epoch.clone(), offset: sequence }, previous };
        match self.inner.listeners.event(Delivery { channel, event, id, place: Some(place) }) {
            Arrival::Taken => {
                self.told(link, (sequence, id));
                true
            }
            Arrival::Idle => true,
            Arrival::Early(_) => false,
        }
    }

    /// The event before the message at `sequence`, when that was none.
    fn skipped_before(&self, sequence: u64) -> Option<u64> {
        self.state.skipped.filter(|(skipped, _)| *skipped == sequence).map(|(_, event)| event)
    }
}
