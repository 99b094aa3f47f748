//! Reads the ledger in the order of its ids and hands every event to who listens; the one place where subscriptions begin.

use super::{
    Shared, Unsubscribe,
    horizon::Horizon,
    ledger::ROWS,
    link::{Link, within},
};
use crate::{
    Delivery, Event, Place, Position, RawJson, Sink, Subscription, backoff::Backoff, event::event_id,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tidings_protocol::{Why, is_valid_event};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};
use tokio_postgres::{Row, types::Type};
use tracing::{info, warn};

/// How long rows of an existing ledger are there at least.
const KEPT_AT_LEAST: Duration = Duration::from_secs(60);

/// How soon to look again while an event waits for lower ids.
const SOON: Duration = Duration::from_millis(5);

/// How often to look for ids that were passed over.
const LOOK_BACK: Duration = Duration::from_secs(1);

/// Subscriptions that begin with one question.
const AT_ONCE: usize = 1_000;

/// A subscription to begin.
pub(super) struct Wish {
    pub(super) channel: Arc<str>,
    pub(super) sink: Sink,
    pub(super) begun: oneshot::Sender<Subscription>,
}

pub(super) struct Reader {
    shared: Arc<Shared>,
    wishes: mpsc::Receiver<Wish>,
    waiting: Vec<Wish>,
    /// What follows this id is to be read.
    at: i64,
    /// As the server says it.
    root: String,
    read_at: Instant,
    /// Of an existing ledger.
    horizon: Option<Horizon>,
    looked_back_at: Instant,
}

/// What one look brought.
enum Look {
    /// There is more at once.
    More,
    /// Everything was read.
    All,
    /// An event waits for lower ids.
    Blocked,
}

impl Reader {
    /// Reads from the end of the ledger on.
    pub(super) async fn begin(
        shared: Arc<Shared>,
        wishes: mpsc::Receiver<Wish>,
        link: &Link,
    ) -> Result<Self, String> {
        let now = Instant::now();
        let (at, root, waiting) = (0, String::new(), Vec::new());
        let mut reader =
            Self { shared, wishes, waiting, at, root, read_at: now, horizon: None, looked_back_at: now };
        if reader.shared.config.existing {
            let rows = within(link.client.query_typed(&reader.shared.ledger.newest, &[])).await?;
            let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
            reader.horizon = Some(Horizon::begin(&ids, now));
        }
        let (root, at) = reader.end(link).await?;
        reader.shared.set_epoch(&root);
        (reader.root, reader.at) = (root, at);
        Ok(reader)
    }

    /// Reads until the broadcaster is closed, over one connection after the other.
    pub(super) async fn run(mut self, link: Link) {
        let mut backoff = Backoff::default();
        let mut link = Some(link);
        loop {
            let opened = match link.take() {
                Some(link) => Ok(link),
                None => Link::open(&self.shared.config, None).await,
            };
            let reason = match opened {
                Ok(link) => self.follow(&link, &mut backoff).await,
                Err(reason) => reason,
            };
            if self.shared.is_closed() {
                return;
            }
            if self.shared.down.lock().replace(reason.clone()).is_none() {
                warn!(%reason, "the link to the backplane is lost");
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = self.shared.closed() => return,
            }
        }
    }

    /// Reads over this connection until it fails; why it did.
    async fn follow(&mut self, link: &Link, backoff: &mut Backoff) -> String {
        let shared = self.shared.clone();
        loop {
            while self.waiting.len() < AT_ONCE
                && let Ok(wish) = self.wishes.try_recv()
            {
                self.waiting.push(wish);
            }
            let look = tokio::select! {
                look = self.look(link) => look,
                () = shared.closed() => return String::new(),
            };
            let pause = match look {
                Ok(Look::More) => continue,
                Ok(Look::All) => shared.config.poll,
                Ok(Look::Blocked) => SOON.min(shared.config.poll),
                Err(reason) => return reason,
            };
            backoff.reset();
            if shared.down.lock().is_some() {
                // Before anybody is told: who hears of it may connect at once.
                shared.returns.fetch_add(1, Ordering::Relaxed);
                shared.down.lock().take();
                info!("the link to the backplane is back");
            }
            if !self.waiting.is_empty()
                && let Err(reason) = self.grant(link).await
            {
                return reason;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = shared.wake.notified() => {}
                wish = self.wishes.recv() => self.waiting.extend(wish),
                () = shared.closed() => return String::new(),
            }
        }
    }

    /// Reads what follows and hands it on.
    async fn look(&mut self, link: &Link) -> Result<Look, String> {
        let client = &link.client;
        let ledger = &self.shared.ledger;
        if let Some(horizon) = &mut self.horizon {
            let rows = within(client.query_typed(&ledger.holders, &[])).await?;
            let holders: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
            horizon.holders(&holders, Instant::now());
        }
        let known = self.shared.known.lock().clone();
        let known_id = known.as_ref().map_or(0, |known| known.id);
        let rows =
            within(client.query_typed(&ledger.read, &[(&self.at, Type::INT8), (&known_id, Type::INT8)]))
                .await?;
        let Some(first) = rows.first() else {
            return Err("the ledger's table of meta data is empty".to_owned());
        };
        let (root, gone): (String, i64) = (get(first, 0)?, get(first, 1)?);
        if root != self.root {
            self.restart(link, "the backplane has failed over or was restored").await?;
            return Ok(Look::More);
        }
        if let Some(known) = known {
            let there: Option<String> = get(first, 2)?;
            let lost = match there {
                Some(event_id) => event_id != known.event_id,
                None => !self.shared.config.existing || known.at.elapsed() < KEPT_AT_LEAST,
            };
            if lost {
                self.renew(link).await?;
                self.restart(link, "the backplane has lost events that it had accepted").await?;
                return Ok(Look::More);
            }
        }
        let away = self.horizon.is_some() && self.read_at.elapsed() >= KEPT_AT_LEAST;
        if away || (self.horizon.is_none() && gone > self.at) {
            self.restart(link, "events were dropped before this gateway had read them").await?;
            return Ok(Look::More);
        }
        self.read_at = Instant::now();
        let ids: Vec<i64> = rows.iter().filter_map(|row| row.get(3)).collect();
        let ready = match &mut self.horizon {
            Some(horizon) => horizon.read(self.at, &ids, Instant::now()),
            None => ids.len(),
        };
        for row in &rows[..ready] {
            let id: i64 = get(row, 3)?;
            self.hand_on(id, row)?;
            self.at = id;
        }
        if let (Some(row), Some(id)) = (rows[..ready].last(), ids[..ready].last()) {
            self.shared.know(*id, get(row, 6)?);
        }
        if self.horizon.is_some() && self.looked_back_at.elapsed() >= LOOK_BACK {
            self.look_back(link).await?;
        }
        Ok(match ready {
            _ if ready < ids.len() => Look::Blocked,
            ROWS => Look::More,
            _ => Look::All,
        })
    }

    fn hand_on(&self, id: i64, row: &Row) -> Result<(), String> {
        let channel: &str = get(row, 4)?;
        let name: &str = get(row, 5)?;
        let shared = &*self.shared;
        let off = shared.histories.get(channel).is_off();
        let previous = shared.listeners.position(channel);
        if previous.is_none() && !off {
            return Ok(());
        }
        if !is_valid_event(name) {
            warn!(id, channel, event = name, "an event of the ledger has a name that is none");
            return Ok(());
        }
        let place = previous.map(|previous| Place {
            position: Position { epoch: shared.epoch(), offset: id as u64 },
            previous: previous.offset,
        });
        let event = Event::new(name, RawJson::trusted(get::<&str>(row, 7)?));
        let id = event_id(get(row, 6)?);
        shared.listeners.event(Delivery { channel: channel.into(), event, id, place });
        Ok(())
    }

    /// Begins the subscriptions that wait: everything that was accepted before them has been read.
    async fn grant(&mut self, link: &Link) -> Result<(), String> {
        self.waiting.retain(|wish| !wish.begun.is_closed());
        let new: Vec<Arc<str>> = self.waiting.iter().map(|wish| wish.channel.clone()).collect();
        let new: Vec<_> = new
            .into_iter()
            .filter(|channel| {
                !self.shared.histories.get(channel).is_off()
                    && self.shared.listeners.position(channel).is_none()
            })
            .collect();
        let tops = self.tops(link, &new).await?;
        for wish in self.waiting.drain(..) {
            let listeners = &self.shared.listeners;
            let (key, _) = listeners.add(&wish.channel, wish.sink);
            let guard = Unsubscribe { shared: self.shared.clone(), channel: wish.channel.clone(), key };
            let start =
                tops.get(&*wish.channel).map(|top| Position { epoch: self.shared.epoch(), offset: *top });
            listeners.start(&wish.channel, start);
            let position = listeners.position(&wish.channel);
            // Who does not wait any longer drops it at once.
            let _ = wish.begun.send(Subscription::new(guard, position));
        }
        Ok(())
    }

    /// The last id of each channel, of those that were read.
    async fn tops(&self, link: &Link, channels: &[Arc<str>]) -> Result<HashMap<String, u64>, String> {
        if channels.is_empty() {
            return Ok(HashMap::new());
        }
        let channels: Vec<&str> = channels.iter().map(|channel| &**channel).collect();
        let types = [(&channels as _, Type::TEXT_ARRAY), (&self.at as _, Type::INT8)];
        let rows = within(link.client.query_typed(&self.shared.ledger.tops, &types)).await?;
        rows.iter().map(|row| Ok((get(row, 0)?, get::<i64>(row, 1)? as u64))).collect()
    }

    /// Goes on at the end of a ledger that is not the one it was: everybody is told.
    async fn restart(&mut self, link: &Link, reason: &str) -> Result<(), String> {
        warn!(reason, "clients are told of a gap");
        let (root, at) = self.end(link).await?;
        let channels: Vec<_> =
            self.shared.listeners.channels().into_iter().filter(|(_, at)| at.is_some()).collect();
        let channels: Vec<_> = channels.into_iter().map(|(channel, _)| channel).collect();
        let before = std::mem::replace(&mut self.at, at);
        let tops = match self.tops(link, &channels).await {
            Ok(tops) => tops,
            Err(reason) => {
                self.at = before;
                return Err(reason);
            }
        };
        self.shared.set_epoch(&root);
        self.root = root;
        self.read_at = Instant::now();
        if let Some(horizon) = &mut self.horizon {
            *horizon = Horizon::begin(&[at], Instant::now());
        }
        for (channel, top) in tops {
            self.shared.listeners.gap(
                &channel,
                Position { epoch: self.shared.epoch(), offset: top },
                Why::Backplane,
            );
        }
        Ok(())
    }

    /// The epoch and the last id, which is known from here on.
    async fn end(&self, link: &Link) -> Result<(String, i64), String> {
        let rows = within(link.client.query_typed(&self.shared.ledger.end, &[])).await?;
        let row = rows.first().ok_or("the ledger's table of meta data is empty")?;
        let (root, at, event_id): (String, i64, Option<String>) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        self.shared.know_only(at, event_id);
        Ok((root, at))
    }

    /// Ends the epoch, for every gateway, unless another one has.
    async fn renew(&self, link: &Link) -> Result<(), String> {
        if self.horizon.is_some() {
            self.shared.renew_locally();
            return Ok(());
        }
        let over = [(&self.root as _, Type::TEXT)];
        within(link.client.query_typed(&self.shared.ledger.renew, &over)).await.map(drop)
    }

    /// Whether an id has come that was passed over: its channel is told of a gap.
    async fn look_back(&mut self, link: &Link) -> Result<(), String> {
        self.looked_back_at = Instant::now();
        let Some(horizon) = &mut self.horizon else { return Ok(()) };
        let missing = horizon.missing(Instant::now());
        if missing.is_empty() {
            return Ok(());
        }
        let ids = [(&missing as _, Type::INT8_ARRAY)];
        let rows = within(link.client.query_typed(&self.shared.ledger.late, &ids)).await?;
        let found: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        horizon.found(&found);
        for row in &rows {
            let channel: &str = get(row, 1)?;
            if let Some(position) = self.shared.listeners.position(channel) {
                warn!(channel, id = get::<i64>(row, 0)?, "an event was committed too late to be delivered");
                self.shared.listeners.gap(channel, position, Why::Backplane);
            }
        }
        Ok(())
    }
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, String> {
    row.try_get(column)
        .map_err(|error| format!("a row of the ledger cannot be read: {}", super::words(&error)))
}
