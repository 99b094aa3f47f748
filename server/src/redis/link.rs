//! One connection to Redis, for commands and for what is pushed.

use super::{info::Info, message, message::Past, options::RedisOptions, sentinel};
use crate::{BroadcastError, Event, History, Published, Range, envelope};
use futures_util::{join, try_join};
use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, PushInfo, RedisError, Value, aio::MultiplexedConnection, cmd,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

/// Commands that wait for the socket; those beyond it wait in their own futures.
const PIPELINE: usize = 1_024;

/// How long a channel's epoch is remembered after its last event was dropped.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// No age is longer: a hundred years.
const FOR_EVER: Duration = Duration::from_secs(3_155_760_000);

/// Why a command has no good answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("the link to Redis is lost: {0}")]
    Lost(String),
    #[error("Redis refuses: {0}")]
    Refused(RedisError),
    #[error("Redis answers: {0}")]
    Unreadable(String),
}

/// A connection, until it is lost.
pub(super) struct Link {
    options: Arc<RedisOptions>,
    connection: MultiplexedConnection,
    info: Info,
    /// Whether it has all that it ever accepted.
    kept_all: bool,
    scripts: Scripts,
    loss: Loss,
}

/// The names under which the server has our scripts.
#[derive(Default)]
struct Scripts {
    publish: String,
    live: String,
    read: String,
    renew: String,
}

/// Whether a link is lost, and why. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Loss {
    token: CancellationToken,
    why: Arc<Mutex<Option<String>>>,
}

impl Loss {
    /// The first reason stays.
    pub(super) fn set(&self, why: impl Into<String>) {
        self.why.lock().get_or_insert_with(|| why.into());
        self.token.cancel();
    }

    fn error(&self) -> LinkError {
        LinkError::Lost(self.why.lock().clone().unwrap_or_default())
    }
}

impl Link {
    /// Connects; `push` gets what Redis sends on its own account, one after the other.
    ///
    /// # Errors
    /// What is wrong with the address, the password, the server or our rights.
    pub(super) async fn connect(
        options: Arc<RedisOptions>,
        push: impl Fn(PushInfo, &Loss) + Send + Sync + 'static,
    ) -> Result<Arc<Self>, BroadcastError> {
        let loss = Loss::default();
        let lost = loss.clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE)
            .set_push_sender(move |info| {
                push(info, &lost);
                Ok::<_, ()>(())
            });
        let wrong = |what: String| BroadcastError::Config(format!("Redis at {}: {what}", options.address));
        let unheard = |error: LinkError| wrong(error.to_string());
        let connecting = async {
            let client = options.client(sentinel::master(&options).await.map_err(wrong)?)?;
            let opened = client.get_multiplexed_async_connection_with_config(&config).await;
            opened.map_err(|error| wrong(refusal(&error)))
        };
        let Ok(connection) = tokio::time::timeout(options.timeout, connecting).await else {
            return Err(wrong(format!("no answer within {:?}", options.timeout)));
        };
        let (connection, scripts, info) = (connection?, Scripts::default(), Info::parse(""));
        let mut link = Self { options: options.clone(), connection, info, kept_all: false, scripts, loss };
        // Asked at once: each question may take as long as any other.
        let (info, scripts) = join!(link.info(), link.load());
        link.info = info.map_err(unheard)?;
        link.info.check().map_err(wrong)?;
        link.scripts = scripts.map_err(unheard)?;
        link.kept_all = link.info.may_have_all && link.syncs_always().await;
        Ok(Arc::new(link))
    }

    async fn load(&self) -> Result<Scripts, LinkError> {
        let load = async |text: String| {
            let answer = self.call(cmd("SCRIPT").arg("LOAD").arg(text)).await?;
            redis::from_redis_value(answer).map_err(|error| LinkError::Unreadable(error.to_string()))
        };
        let common = include_str!("common.lua");
        let (publish, live, read, renew) = try_join!(
            load([common, include_str!("publish.lua")].concat()),
            load(include_str!("live.lua").to_owned()),
            load([common, include_str!("read.lua")].concat()),
            load([common, include_str!("renew.lua")].concat()),
        )?;
        Ok(Scripts { publish, live, read, renew })
    }

    async fn info(&self) -> Result<Info, LinkError> {
        match self.call(&cmd("INFO")).await? {
            Value::BulkString(text) => Ok(Info::parse(&String::from_utf8_lossy(&text))),
            Value::VerbatimString { text, .. } => Ok(Info::parse(&text)),
            other => Err(LinkError::Unreadable(format!("to INFO {other:?}"))),
        }
    }

    /// Whether what is accepted is on disk by then. With `everysec` a killed process may lose what it has accepted: it does
    /// not write while the disk is busy. Without the right to ask, nobody can tell.
    async fn syncs_always(&self) -> bool {
        let answer = self.call(cmd("CONFIG").arg("GET").arg("appendfsync")).await;
        let settings = answer.ok().and_then(|answer| redis::from_redis_value(answer).ok());
        settings.is_some_and(|settings: HashMap<String, String>| settings.values().eq(["always"]))
    }

    /// Does once whatever we shall do, on a channel of our own that nobody has.
    ///
    /// # Errors
    /// What we have no right to.
    pub(super) async fn try_rights(&self) -> Result<(), BroadcastError> {
        let wrong = |error: LinkError| {
            let names = &self.options.names;
            BroadcastError::Config(format!(
                "Redis at {}: {error}; wanted are the rights to use the keys {}* and the channels {}*",
                self.options.address, names.keys, names.channels
            ))
        };
        let channel: Arc<str> = format!("tidings.start.{}", Ulid::generate()).into();
        let names = &self.options.names;
        let (meta, stream) = (names.meta(&channel), names.stream(&channel));
        let (said, subject) = (names.said(&channel, "start"), names.subject(&channel));
        self.subscribe("SUBSCRIBE", std::slice::from_ref(&channel)).await.map_err(wrong)?;
        self.subscribe("UNSUBSCRIBE", std::slice::from_ref(&channel)).await.map_err(wrong)?;
        // From within a script, Redis would not say which command it is.
        for command in [
            &["PUBLISH", &subject, ""][..],
            &["TIME"],
            &["SET", &said, "", "EX", "1"],
            &["GET", &said],
            &["HSET", &meta, "epoch", "start"],
            &["HMGET", &meta, "epoch"],
            &["PEXPIRE", &meta, "1000"],
            &["XADD", &stream, "1-1", "event", ""],
            &["XLEN", &stream],
            &["XRANGE", &stream, "-", "+", "COUNT", "1"],
            &["XREVRANGE", &stream, "+", "-", "COUNT", "1"],
            &["XDEL", &stream, "1-1"],
            &["DEL", &said, &meta, &stream],
        ] {
            self.call(cmd(command[0]).arg(&command[1..])).await.map_err(wrong)?;
        }
        let history = History { events: 1, age: Duration::from_secs(1), bytes: 1_000 };
        let event = Event::new("start", serde_json::Value::Null).with_key("start");
        self.publish(&channel, event, history).await.map_err(wrong)?;
        self.read(&channel, Range::After { offset: 0, limit: 1 }, history).await.map_err(wrong)?;
        self.call(cmd("DEL").arg(&[said, meta, stream])).await.map_err(wrong)?;
        Ok(())
    }

    /// Sends a command when it is first polled, after those that were sent before, and waits for the answer. No answer, or
    /// one that says that this is not the server any longer, ends the link.
    async fn call(&self, command: &Cmd) -> Result<Value, LinkError> {
        let mut connection = self.connection.clone();
        let answer = self.loss.token.run_until_cancelled(connection.send_packed_command(command));
        // A task that has used up its budget would be overtaken by the next one.
        let answer = tokio::task::unconstrained(answer);
        let Ok(answer) = tokio::time::timeout(self.options.timeout, answer).await else {
            self.loss.set(format!("no answer within {:?}", self.options.timeout));
            return Err(self.loss.error());
        };
        let Some(answer) = answer else { return Err(self.loss.error()) };
        answer.and_then(Value::extract_error).map_err(|error| {
            let text = error.to_string();
            // What a script runs into is only in the text.
            let is = |code| error.code() == Some(code) || text.contains(code);
            let elsewhere = ["NOSCRIPT", "READONLY", "LOADING", "MASTERDOWN", "NOAUTH"].into_iter().any(is);
            if error.is_io_error() || error.is_unrecoverable_error() || elsewhere {
                self.loss.set(text);
                return self.loss.error();
            }
            LinkError::Refused(error)
        })
    }

    pub(super) fn alive(&self) -> Result<(), LinkError> {
        if self.loss.token.is_cancelled() { Err(self.loss.error()) } else { Ok(()) }
    }

    /// Waits until the link is lost, and says why.
    pub(super) async fn lost(&self) -> String {
        self.loss.token.cancelled().await;
        self.loss.why.lock().clone().unwrap_or_default()
    }

    /// Ends the link.
    pub(super) fn lose(&self, why: impl Into<String>) {
        self.loss.set(why);
    }

    /// Whether the server at the other end is still there, and still the one that it was.
    pub(super) async fn probe(&self) {
        let Ok(info) = self.info().await else { return };
        if let Err(problem) = info.check_role() {
            self.lose(problem);
        } else if info.identity != self.info.identity {
            self.lose("it is another server now");
        }
    }

    /// `SUBSCRIBE` or `UNSUBSCRIBE`, until it is confirmed.
    pub(super) async fn subscribe(&self, command: &str, channels: &[Arc<str>]) -> Result<(), LinkError> {
        let mut connection = self.connection.clone();
        let subjects: Vec<String> =
            channels.iter().map(|channel| self.options.names.subject(channel)).collect();
        let confirmed = async {
            match command {
                "SUBSCRIBE" => connection.subscribe(subjects).await,
                _ => connection.unsubscribe(subjects).await,
            }
        };
        let confirmed = self.loss.token.run_until_cancelled(confirmed);
        match tokio::time::timeout(self.options.timeout, confirmed).await {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(error))) if error.is_io_error() => {
                self.loss.set(error.to_string());
                Err(self.loss.error())
            }
            Ok(Some(Err(error))) => Err(LinkError::Refused(error)),
            Ok(None) => Err(self.loss.error()),
            Err(_) => {
                self.loss.set(format!("no answer within {:?}", self.options.timeout));
                Err(self.loss.error())
            }
        }
    }

    /// A command that runs `script` on the keys of `channel`, with what `common.lua` wants.
    fn script(&self, script: &str, channel: &str, key: Option<&str>, history: History) -> Cmd {
        let names = &self.options.names;
        let mut command = cmd("EVALSHA");
        command.arg(script).arg(2 + usize::from(key.is_some()));
        command.arg(names.meta(channel)).arg(names.stream(channel));
        if let Some(key) = key {
            command.arg(names.said(channel, key));
        }
        let age = history.age.min(FOR_EVER);
        command
            .arg(&self.info.identity)
            .arg(u8::from(self.kept_all))
            .arg(epoch())
            .arg(history.events)
            .arg(age.as_millis().max(1) as u64)
            .arg(history.bytes)
            .arg((age + REMEMBERED).as_millis() as u64);
        command
    }

    pub(super) async fn publish(
        &self,
        channel: &str,
        event: Event,
        history: History,
    ) -> Result<Published, LinkError> {
        let id = Ulid::generate();
        let (subject, text) = (self.options.names.subject(channel), envelope::encode(&event, id));
        let key = event.key();
        let command = match key {
            _ if !history.is_off() => {
                let mut command = self.script(&self.scripts.publish, channel, key, history);
                command.arg(subject).arg(id.to_string()).arg(text);
                command
            }
            Some(key) => {
                let mut command = cmd("EVALSHA");
                command.arg(&self.scripts.live).arg(1).arg(self.options.names.said(channel, key));
                command.arg(subject).arg(id.to_string()).arg(text);
                command
            }
            None => {
                self.call(cmd("PUBLISH").arg(subject).arg(text)).await?;
                return Ok(Published::new(id, None));
            }
        };
        message::published(&self.call(&command).await?).map_err(LinkError::Unreadable)
    }

    pub(super) async fn read(
        &self,
        channel: &Arc<str>,
        range: Range,
        history: History,
    ) -> Result<Past, LinkError> {
        let mut command = self.script(&self.scripts.read, channel, None, history);
        command.arg(&message::bounds(range));
        message::past(channel, range, &self.call(&command).await?).map_err(LinkError::Unreadable)
    }

    /// Gives `channel` a new epoch, if its epoch is `over`.
    pub(super) async fn renew(&self, channel: &str, over: &str, history: History) -> Result<(), LinkError> {
        let mut command = self.script(&self.scripts.renew, channel, None, history);
        command.arg(over);
        self.call(&command).await.map(drop)
    }
}

/// Fifty random bits.
fn epoch() -> String {
    Ulid::generate().to_string()[16..].to_ascii_lowercase()
}

/// Why there is no connection.
fn refusal(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::RESP3NotSupported => "it does not speak RESP3: wanted is Redis 6.2 or later".to_owned(),
        ErrorKind::AuthenticationFailed => format!("the user or the password is wrong: {error}"),
        _ if error.code() == Some("NOAUTH") => "it wants a password".to_owned(),
        _ => format!("no connection: {error}"),
    }
}
