//! What an operator orders on every gateway: whom to disconnect, and whom to lock out.
//!
//! Orders are events on two channels that no client and no caller can name, for their names have a space. Whom to
//! lock out a gateway that starts later must learn as well. So as long as any gateway runs, one of them says again every
//! few minutes what is still in force, which is sooner than any backplane forgets it.
//!
//! Whom to disconnect is an order of the moment. A gateway that may have missed some reads those of the last minutes again,
//! and closes who was there before them: who has come back since then may stay.

use crate::{
    BroadcastError, Event, Gateway, History, Notice, Range, RawJson, Revocation, Sink, Subject, Subscription,
    gateway::Shared,
    mailbox::{Hubs, Post},
    revocations::{Record, Revocations, check_id},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, watch},
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};
use ulid::Ulid;

/// The channel of those who are to be disconnected.
const DISCONNECT: &str = "tidings disconnect";

/// The channel of those who are locked out.
const REVOKE: &str = "tidings revoke";

/// How often a gateway looks for what nobody has said for a while, at most. It takes half of that or more by chance, so
/// that one gateway comes first and spares the others the work.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How long a client waits for a gateway that has just started to know who is locked out. After that it is let in; it
/// is closed when it turns out that it should not have been.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many orders to disconnect are kept, and carried out again where they may have been missed.
const ORDERS: usize = 256;

/// How many events are read at once.
const PAGE: usize = 1_000;

/// Whose connections [`Gateway::disconnect`] closes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// One connection, by the id that `welcome` gave it.
    Client(Ulid),
    /// Those of a user, by the id of their [`Subject`].
    User(Arc<str>),
    /// Those that came by a token, by its [`token_id`](Subject::token_id).
    Token(Arc<str>),
}

impl Target {
    /// Whether a connection is meant.
    pub(crate) fn is(&self, client: Ulid, subject: Option<&Subject>) -> bool {
        match self {
            Self::Client(id) => client == *id,
            Self::User(id) => subject.is_some_and(|subject| subject.id() == &**id),
            Self::Token(id) => subject.and_then(Subject::token_id) == Some(id),
        }
    }
}

/// A [`Target`] as gateways tell it each other.
#[derive(Default, Serialize, Deserialize)]
struct Named {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Named {
    fn new(target: &Target) -> Result<Self, String> {
        Ok(match target {
            Target::Client(id) => Self { client: Some(id.to_string()), ..Self::default() },
            Target::User(id) => {
                check_id("user", id)?;
                Self { user: Some(id.to_string()), ..Self::default() }
            }
            Target::Token(id) => {
                check_id("token", id)?;
                Self { token: Some(id.to_string()), ..Self::default() }
            }
        })
    }

    fn target(self) -> Option<Target> {
        match self {
            Self { client: Some(id), user: None, token: None } => id.parse().ok().map(Target::Client),
            Self { client: None, user: Some(id), token: None } => Some(Target::User(id.into())),
            Self { client: None, user: None, token: Some(id) } => Some(Target::Token(id.into())),
            _ => None,
        }
    }
}

/// How much is kept of the channels of this module, whatever else is set.
pub(crate) fn kept(channel: &str) -> Option<History> {
    match channel {
        DISCONNECT => Some(History { events: ORDERS, age: Duration::from_secs(300), bytes: 256 * 1024 }),
        REVOKE => {
            Some(History { events: 1_000, age: Duration::from_secs(24 * 3_600), bytes: 8 * 1024 * 1024 })
        }
        _ => None,
    }
}

/// The fewest events of a channel with which a backplane that keeps the same of all channels serves this module.
#[cfg(feature = "nats")]
pub(crate) const FEWEST: usize = 256;

/// What a gateway knows of the orders.
#[derive(Debug)]
pub(crate) struct Control {
    revocations: Mutex<Revocations>,
    /// Whether orders are heard, and those of the past are known.
    ready: watch::Sender<bool>,
    /// Events may have been missed.
    missed: Notify,
    /// Of the hubs of a gateway one listens, and another one when its worker ends.
    turn: AsyncMutex<()>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            revocations: Mutex::default(),
            ready: watch::Sender::new(false),
            missed: Notify::new(),
            turn: AsyncMutex::default(),
        }
    }
}

impl Control {
    /// Whether `subject` is locked out.
    pub(crate) fn refuses(&self, subject: &Subject, now: SystemTime) -> bool {
        self.revocations.lock().refuses(subject, now)
    }

    /// Waits until orders are heard and those of the past are known, for a while.
    pub(crate) async fn ready(&self) {
        if *self.ready.borrow() {
            return;
        }
        let mut ready = self.ready.subscribe();
        if timeout(PATIENCE, ready.wait_for(|ready| *ready)).await.is_err() {
            debug!("a client is let in before it is known who is locked out");
        }
    }

    /// Has the listener look at what there is to do.
    pub(crate) fn wake(&self) {
        self.missed.notify_one();
    }

    /// Takes in the revocations of an event; whether there is news among them.
    fn learn(&self, event: &Event, said_at: Option<Instant>) -> bool {
        let Ok(records) = serde_json::from_str::<Vec<Record>>(event.data().as_str()) else {
            warn!("a revocation of another program cannot be read");
            return false;
        };
        let (now, mut revocations, mut news) = (SystemTime::now(), self.revocations.lock(), false);
        for record in records {
            news |= revocations.learn(record, now, said_at);
        }
        news
    }
}

impl Gateway {
    /// Closes the connections of `target` with 4003, on every gateway of the backplane. Clients of ours stop then; others
    /// may come back, unless [`revoke`](Self::revoke) locks them out. Resolves when the backplane has accepted the order.
    ///
    /// A gateway that may have missed orders looks, when its backplane is back, at the latest 256 of 5 minutes (or as long as
    /// the backplane keeps what is published), and closes the connections that were opened before them, by the clocks.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] for an id that is empty or longer than 256 bytes, otherwise what the broadcaster says.
    pub async fn disconnect(&self, target: Target) -> Result<(), BroadcastError> {
        let shared = &self.shared;
        let named = Named::new(&target).map_err(BroadcastError::Config)?;
        if !shared.hubs.is_empty() {
            shared.control.ready().await;
        }
        let event = Event::new("disconnect", json(&named));
        shared.broadcaster.publish(DISCONNECT, event).await.map(drop)
    }

    /// Closes the connections of a user or a token with 4003, on every gateway of the backplane, and refuses both from
    /// now on: a connection or an `auth` frame by which the same subject comes is told `unauthorized`. Resolves when the
    /// backplane has accepted the order.
    ///
    /// Up to 10,000 revocations are remembered as long as one gateway runs, and some minutes longer (a day with Redis): of the
    /// gateways, one says them again every few minutes for those that start.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] for an id that is empty or longer than 256 bytes, an `until` that is over, or when 10,000
    /// are in force already; otherwise what the broadcaster says.
    pub async fn revoke(&self, revocation: Revocation) -> Result<(), BroadcastError> {
        let (shared, now) = (&self.shared, SystemTime::now());
        let record = Record::new(&revocation, now).map_err(BroadcastError::Config)?;
        if shared.control.revocations.lock().is_full(now) {
            let detail = "too many revocations: allowed are 10,000 in force at the same time";
            return Err(BroadcastError::Config(detail.to_owned()));
        }
        let event = Event::new("revoke", json(&[&record]));
        shared.broadcaster.publish(REVOKE, event).await?;
        // By the backplane it comes to those who listen. Nobody may listen here yet.
        if shared.control.revocations.lock().learn(record, now, Some(Instant::now())) {
            shared.tell_hubs(|| Post::Review);
        }
        Ok(())
    }
}

fn json(value: &impl Serialize) -> RawJson {
    RawJson::serialize(value).expect("texts and numbers are JSON")
}

/// Listens for the orders, for as long as the hub lives on whose thread this runs.
pub(crate) async fn listen(control: Arc<Control>, shared: Weak<Shared>) {
    let _turn = control.turn.lock().await;
    let mut told = false;
    let mut failed = |error: &BroadcastError| {
        if !std::mem::replace(&mut told, true) {
            warn!(%error, "operators' orders are not heard, nor is it known who is locked out");
        }
    };
    let _subscriptions = loop {
        let Some(gateway) = shared.upgrade() else { return };
        match subscribe(&gateway).await {
            Ok(subscriptions) => break subscriptions,
            Err(BroadcastError::Closed) => return,
            Err(error) => failed(&error),
        }
        drop(gateway);
        sleep(RETRY).await;
    };
    loop {
        let Some(gateway) = shared.upgrade() else { return };
        match read(&gateway).await {
            Ok(()) => break,
            Err(BroadcastError::Closed) => return,
            Err(error) => failed(&error),
        }
        drop(gateway);
        sleep(RETRY).await;
    }
    control.ready.send_replace(true);
    loop {
        let pause = SAY_EVERY.mul_f64(0.5 + fastrand::f64() / 2.0);
        let missed = timeout(pause, control.missed.notified()).await.is_ok();
        let Some(gateway) = shared.upgrade().filter(|gateway| !gateway.is_closed()) else { return };
        let done =
            if missed { repeat(&gateway).await.and(read(&gateway).await) } else { say(&gateway).await };
        match done {
            Err(BroadcastError::Closed) => return,
            Err(error) => {
                info!(%error, "revocations are told or heard later");
                if missed {
                    control.wake();
                    drop(gateway);
                    sleep(RETRY).await;
                }
            }
            Ok(()) => {}
        }
    }
}

async fn subscribe(gateway: &Shared) -> Result<Vec<Subscription>, BroadcastError> {
    let broadcaster = &gateway.broadcaster;
    let sink = disconnects(gateway.control.clone(), gateway.hubs.clone());
    let mut subscriptions = vec![broadcaster.subscribe(DISCONNECT.into(), sink).await?];
    if gateway.knows_subjects() {
        let sink = revocations(gateway.control.clone(), gateway.hubs.clone());
        subscriptions.push(broadcaster.subscribe(REVOKE.into(), sink).await?);
    }
    Ok(subscriptions)
}

fn disconnects(control: Arc<Control>, hubs: Arc<Hubs>) -> Sink {
    Arc::new(move |notice: &Notice| match notice {
        Notice::Event(delivery) => {
            if let Some(target) = ordered(&delivery.event) {
                hubs.tell(|| Post::Disconnect(target.clone(), u64::MAX));
            }
        }
        Notice::Gap { .. } => control.wake(),
    })
}

/// Whom an event says to disconnect.
fn ordered(event: &Event) -> Option<Target> {
    let named = serde_json::from_str::<Named>(event.data().as_str());
    let target = named.ok().and_then(Named::target);
    if target.is_none() {
        warn!("an order of another program to disconnect cannot be read");
    }
    target
}

fn revocations(control: Arc<Control>, hubs: Arc<Hubs>) -> Sink {
    Arc::new(move |notice: &Notice| match notice {
        Notice::Event(delivery) => {
            if control.learn(&delivery.event, Some(Instant::now())) {
                hubs.tell(|| Post::Review);
            }
        }
        Notice::Gap { .. } => control.wake(),
    })
}

/// Reads what was said before.
async fn read(gateway: &Shared) -> Result<(), BroadcastError> {
    if !gateway.knows_subjects() {
        return Ok(());
    }
    let (mut after, mut news) = (0, false);
    loop {
        let range = Range::After { offset: after, limit: PAGE };
        let Some(page) = gateway.broadcaster.history(REVOKE, range).await? else { break };
        for delivery in &page.events {
            news |= gateway.control.learn(&delivery.event, None);
        }
        match page.events.last().and_then(|last| last.place.as_ref()) {
            Some(place) if page.more => after = place.position.offset,
            _ => break,
        }
    }
    if news {
        gateway.tell_hubs(|| Post::Review);
    }
    Ok(())
}

/// Carries out the orders of the last minutes again, on connections that are older.
async fn repeat(gateway: &Shared) -> Result<(), BroadcastError> {
    let range = Range::Before { offset: None, limit: ORDERS };
    let latest = gateway.broadcaster.history(DISCONNECT, range).await?;
    for delivery in latest.iter().flat_map(|page| &page.events) {
        if let Some(target) = ordered(&delivery.event) {
            gateway.tell_hubs(|| Post::Disconnect(target.clone(), delivery.id.timestamp_ms()));
        }
    }
    Ok(())
}

/// Says what nobody has said for a while.
async fn say(gateway: &Shared) -> Result<(), BroadcastError> {
    let due = gateway.control.revocations.lock().due(SystemTime::now(), Instant::now());
    for batch in Record::batches(&due) {
        let event = Event::new("revoke", RawJson::trusted(&batch));
        gateway.broadcaster.publish(REVOKE, event).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Broadcaster, MemoryBroadcaster};

    #[test]
    fn a_target_is_what_it_says() {
        let (id, other) = (Ulid::from_parts(1, 2), Ulid::from_parts(1, 3));
        let ann = Subject::new("ann").with_token_id("t1");
        for (target, is, is_not) in [
            (Target::Client(id), (id, None), (other, Some(&ann))),
            (Target::User("ann".into()), (other, Some(&ann)), (id, None)),
            (Target::Token("t1".into()), (other, Some(&ann)), (id, None)),
        ] {
            let told = json(&Named::new(&target).expect("valid"));
            let heard: Named = serde_json::from_str(told.as_str()).expect("JSON");
            assert_eq!(heard.target(), Some(target.clone()));
            assert!(target.is(is.0, is.1), "{target:?}");
            assert!(!target.is(is_not.0, is_not.1), "{target:?}");
        }
        assert!(!Target::User("t1".into()).is(id, Some(&ann)));
        assert!(!Target::Token("ann".into()).is(id, Some(&ann)));
        assert!(!Target::Token("ann".into()).is(id, Some(&Subject::new("ann"))));
        for strange in ["{}", r#"{"user":"a","token":"b"}"#, r#"{"client":"no ulid"}"#] {
            let named: Named = serde_json::from_str(strange).expect("JSON");
            assert_eq!(named.target(), None, "{strange}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_force_is_said_again() {
        let memory = MemoryBroadcaster::default();
        let gateway =
            || Gateway::builder(memory.clone()).resolve_token(|_| async { None::<Subject> }).build();
        let (silent, listening) = (gateway().expect("settings"), gateway().expect("settings"));
        let until = SystemTime::now() + Duration::from_secs(3_600);
        let id = "t1".into();
        silent.revoke(Revocation::Token { id, until }).await.expect("accepted");
        let control = listening.shared.control.clone();
        let said = async {
            loop {
                let range = Range::After { offset: 0, limit: 10 };
                let page = memory.history(REVOKE, range).await.expect("open").expect("a history");
                match &page.events[..] {
                    [first, again, ..] => return (first.event.clone(), again.event.clone()),
                    _ => sleep(Duration::from_secs(1)).await,
                }
            }
        };
        let listens = listen(control.clone(), Arc::downgrade(&listening.shared));
        tokio::select! {
            () = listens => panic!("it listens as long as the gateway lives"),
            (first, again) = said => assert_eq!(first, again),
        }
        let subject = Subject::new("ann").with_token_id("t1");
        assert!(control.refuses(&subject, SystemTime::now()));
        assert!(!control.refuses(&subject, until));
    }

    #[test]
    fn no_caller_can_name_the_channels() {
        for channel in [DISCONNECT, REVOKE] {
            assert!(!tidings_protocol::is_valid_channel(channel));
            assert!(channel.parse::<tidings_protocol::Pattern>().is_err());
        }
    }
}
