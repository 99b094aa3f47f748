//! One connection to NATS, from the moment on at which its streams are known to be what they were.

use super::{
    options::{NatsLogin, NatsOptions},
    stream::{self, Info, Stream, StreamError},
    subject::Subjects,
    witness::Witnesses,
};
use crate::{Histories, authorities, envelope, event::event_id};
use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr,
    connection::State,
    jetstream::{Context, context::ContextBuilder},
};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::{Semaphore, watch};
use ulid::Ulid;

/// The first server that has republishing and reads the next event of a subject.
const OLDEST: (i64, i64, i64) = (2, 9, 0);

/// Three of these without an answer, and the connection is lost.
const PING_EVERY: Duration = Duration::from_secs(1);

/// So many events of one channel wait to be handed on; more are dropped and then read from the stream.
const WAITING_EVENTS: usize = 8_192;

/// So many commands wait for the socket; what comes then waits in the queue of publishes.
const WAITING_COMMANDS: usize = 256;

/// So many publishes are on their way at once.
const UNANSWERED: usize = 8_192;

/// So many events are read from the stream at once. A server that is asked for more than it has room for forgets all of it.
const READS: usize = 256;

/// How often, and after which time, a stream that is behind is looked at again before its events count as lost.
const LOOKS: usize = 4;
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A connection. It ends with its last clone; nothing is sent again over another one.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) context: Context,
    /// Of the channels with history.
    pub(super) kept: Stream,
    /// Of the channels without.
    pub(super) live: Stream,
    pub(super) epoch: Arc<str>,
    /// When the stream was made: with a sequence it names an event that has no id.
    created: String,
    pub(super) signals: Arc<Signals>,
    /// The turns of those who read events from the stream.
    pub(super) reads: Semaphore,
}

/// What the connection says of itself.
#[derive(Default)]
pub(super) struct Signals {
    /// Whether it was lost.
    pub(super) dead: watch::Sender<bool>,
    /// Raised when events may have been missed though it was not.
    pub(super) resync: watch::Sender<u64>,
    /// The last complaint of the server.
    complaint: Mutex<Option<String>>,
}

impl Link {
    /// Connects, makes the streams where they are missing, and finds out whether the events that `witnesses` has seen are
    /// still where they were: if not, the stream gets another epoch.
    ///
    /// # Errors
    /// What is wrong and what is wanted, in words.
    pub(super) async fn establish(
        options: &NatsOptions,
        histories: &Histories,
        subjects: &Subjects,
        witnesses: &Mutex<Witnesses>,
    ) -> Result<Self, String> {
        let signals = Arc::new(Signals::default());
        let client = connect(options, &signals).await?;
        if !client.is_server_compatible(OLDEST.0, OLDEST.1, OLDEST.2) {
            return Err(format!(
                "the server is version {}, wanted is 2.9 or later",
                client.server_info().version
            ));
        }
        let context = ContextBuilder::new()
            .timeout(options.timeout)
            .ack_timeout(options.timeout)
            .max_ack_inflight(UNANSWERED)
            .build(client.clone());
        let name = options.prefix.replace('.', "-");
        let kept = Stream::new(name.clone(), context.clone());
        let live = Stream::new(format!("{name}-live"), context.clone());
        let wanted = stream::kept(&kept.name, subjects.kept(), options, histories);
        let words = |error| signals.words(&error);
        let mut info = open(&kept, &wanted, options).await.map_err(words)?;
        let wanted = stream::live(&live.name, subjects.live(), options);
        open(&live, &wanted, options).await.map_err(words)?;
        if is_rolled_back(&kept, &mut info, witnesses).await.map_err(|error| signals.words(&error))? {
            // Every node that notices it makes the same of it, and another one of the next time.
            let generation = event_id(&format!("{} {}", epoch(&info), client.server_info().server_id));
            info.config["description"] =
                format!("Tidings: events were lost, so this is generation {generation}").into();
            info = kept.update(&info.config).await.map_err(|error| {
                format!("events were lost, and the stream takes no mark of it: {}", signals.words(&error))
            })?;
        }
        let epoch = epoch(&info);
        let reads = Semaphore::new(READS);
        Ok(Self { client, context, kept, live, epoch, created: info.created, signals, reads })
    }

    /// Whether it is of no use any longer.
    pub(super) fn is_lost(&self) -> bool {
        *self.signals.dead.borrow()
            || self.client.connection_state() != State::Connected
            || self.client.statistics().connects.load(Ordering::Relaxed) > 1
    }

    /// Resolves when the connection is lost.
    pub(super) async fn lost(&self) {
        let mut dead = self.signals.dead.subscribe();
        // The sender lives as long as the link.
        let _ = dead.wait_for(|dead| *dead).await;
    }

    /// The id of an event that came without one, the same on every node.
    pub(super) fn event_id(&self, sequence: u64) -> Ulid {
        event_id(&format!("{} {sequence}", self.created))
    }
}

impl Signals {
    fn hear(&self, event: Event) {
        match event {
            Event::Disconnected | Event::Closed => {
                self.dead.send_replace(true);
            }
            Event::SlowConsumer(_) => self.resync.send_modify(|count| *count += 1),
            Event::ServerError(error) => *self.complaint.lock() = Some(error.to_string()),
            Event::Connected | Event::LameDuckMode | Event::Draining | Event::ClientError(_) => {}
        }
    }

    /// The error, with what the server said of its own accord: missing rights are only told so.
    pub(super) fn words(&self, error: &StreamError) -> String {
        match (error, &*self.complaint.lock()) {
            (StreamError::Silent(_), Some(complaint)) => format!("{error}; the server said: {complaint}"),
            _ => error.to_string(),
        }
    }
}

async fn connect(options: &NatsOptions, signals: &Arc<Signals>) -> Result<Client, String> {
    // Without a choice of its own rustls panics when more than one provider is built in; a choice made earlier stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hearing = signals.clone();
    let base = ConnectOptions::new()
        .name("tidings")
        .connection_timeout(options.timeout)
        .request_timeout(Some(options.timeout))
        .ping_interval(PING_EVERY)
        .subscription_capacity(WAITING_EVENTS)
        .client_capacity(WAITING_COMMANDS)
        // It never comes back by itself: another one takes its place.
        .max_reconnects(options.servers.len())
        .event_callback(move |event| {
            hearing.hear(event);
            std::future::ready(())
        });
    let base = match &options.ca {
        None => base,
        Some(path) => {
            // The library takes a file without certificates, and trusts nobody.
            authorities::read(path).map_err(|problem| format!("ca={}: {problem}", path.display()))?;
            base.add_root_certificates(path.clone())
        }
    };
    let base = match &options.login {
        NatsLogin::None => base,
        NatsLogin::User(user, password) => base.user_and_password(user.clone(), password.clone()),
        NatsLogin::Token(token) => base.token(token.clone()),
        NatsLogin::Credentials(path) => base
            .credentials_file(path)
            .await
            .map_err(|error| format!("the credentials in {} cannot be read: {error}", path.display()))?,
    };
    let servers = options.servers.join(", ");
    let addresses = options
        .servers
        .iter()
        .map(|server| {
            server.parse::<ServerAddr>().map_err(|error| format!("invalid address {server:?}: {error}"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    match tokio::time::timeout(options.timeout, base.connect(addresses)).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                format!(
                    "{servers} refuses the login: wanted are a user and password, a token or credentials that it knows"
                )
            }
            _ => format!("{servers} cannot be reached: {error}"),
        }),
        Err(_) => Err(format!("{servers} does not answer within {:?}", options.timeout)),
    }
}

async fn open(stream: &Stream, wanted: &Value, options: &NatsOptions) -> Result<Info, StreamError> {
    let info = match stream.info().await {
        Err(StreamError::Missing) => match stream.create(wanted).await {
            // Somebody else may just have made it.
            Err(StreamError::Refused(why)) => {
                stream.info().await.map_err(|_| StreamError::Refused(format!("{}: {why}", stream.name)))?
            }
            made => made?,
        },
        there => there?,
    };
    let misfits = stream::misfits(&info.config, wanted, options);
    if misfits.is_empty() {
        return Ok(info);
    }
    Err(StreamError::Refused(format!("the stream {} does not fit: {}", stream.name, misfits.join("; "))))
}

/// Another one whenever offsets of before say nothing any longer: when the stream was made again, when events were
/// lost, and when it keeps another number of events, for then nobody can tell what is missing.
pub(super) fn epoch(info: &Info) -> Arc<str> {
    let Info { created, config, .. } = info;
    let text = format!("epoch {created} {} {}", config["max_msgs_per_subject"], config["description"]);
    event_id(&text).to_string()[10..].to_ascii_lowercase().into()
}

async fn is_rolled_back(
    stream: &Stream,
    info: &mut Info,
    witnesses: &Mutex<Witnesses>,
) -> Result<bool, StreamError> {
    let known = epoch(info);
    let (top, seen, doubted) = {
        let witnesses = witnesses.lock();
        (witnesses.top(&known), witnesses.of(&known), witnesses.is_doubted(&known))
    };
    // A server that has just become the leader may not have read all it has.
    for _ in 0..LOOKS {
        if info.state.last_seq >= top {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        *info = stream.info().await?;
        if epoch(info) != known {
            // Somebody else was faster.
            return Ok(false);
        }
    }
    if info.state.last_seq < top || doubted {
        return Ok(true);
    }
    for (sequence, id) in seen {
        if let Some(message) = stream.at(sequence).await? {
            return Ok(envelope::decode_or(&message.payload, || id).map_or(true, |(_, found)| found != id));
        }
    }
    Ok(false)
}
