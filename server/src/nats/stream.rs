//! A JetStream stream: how it has to be, and the calls that read it. Every call asks the stream's leader.

use super::options::NatsOptions;
use crate::{BoxError, Histories};
use async_nats::jetstream::{Context, message::StreamMessage, response::Response, stream::RawMessage};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{collections::HashMap, time::Duration};

/// How long a channel's position is known after its last event, however soon its events are gone. A guess: as long as
/// a laptop sleeps between two meetings.
const POSITION_AGE: Duration = Duration::from_secs(3_600);

/// How long keys are kept: what the protocol promises.
const KEY_AGE: Duration = Duration::from_secs(300);

const NO_SUCH_STREAM: u64 = 10_059;
const NO_SUCH_MESSAGE: u64 = 10_037;

#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("the stream is not there")]
    Missing,
    #[error("JetStream refuses: {0}")]
    Refused(String),
    #[error("JetStream does not answer: {0}")]
    Silent(#[source] BoxError),
}

/// A stream as it is.
#[derive(Deserialize)]
pub(super) struct Info {
    pub(super) created: String,
    pub(super) config: Value,
    pub(super) state: State,
    #[serde(default)]
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
pub(super) struct State {
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    #[serde(default)]
    subjects: Option<HashMap<String, u64>>,
}

#[derive(Deserialize)]
struct Cluster {
    #[serde(default)]
    leader: Option<String>,
}

#[derive(Deserialize)]
struct Got {
    message: RawMessage,
}

impl Info {
    /// How many events of a subject may be kept; `None` when all are.
    pub(super) fn most(&self) -> Option<u64> {
        self.config["max_msgs_per_subject"]
            .as_i64()
            .and_then(|most| u64::try_from(most).ok())
            .filter(|n| *n > 0)
    }

    /// How many events there are of the subjects that were asked for.
    pub(super) fn count(&self) -> u64 {
        self.state.subjects.iter().flatten().map(|(_, count)| count).sum()
    }

    pub(super) fn leader(&self) -> Option<&str> {
        self.cluster.as_ref()?.leader.as_deref()
    }
}

/// One of the two streams of a backplane.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    context: Context,
}

impl Stream {
    pub(super) fn new(name: String, context: Context) -> Self {
        Self { name, context }
    }

    async fn call<T: DeserializeOwned>(&self, verb: &str, what: &Value) -> Result<T, StreamError> {
        let subject = format!("STREAM.{verb}.{}", self.name);
        match self.context.request(subject, what).await.map_err(|error| StreamError::Silent(error.into()))? {
            Response::Ok(answer) => Ok(answer),
            Response::Err { error } if error.error_code().0 == NO_SUCH_STREAM => Err(StreamError::Missing),
            Response::Err { error } => Err(StreamError::Refused(error.to_string())),
        }
    }

    pub(super) async fn info(&self) -> Result<Info, StreamError> {
        self.call("INFO", &json!({})).await
    }

    /// The same with the number of `subject`'s events.
    pub(super) async fn info_of(&self, subject: &str) -> Result<Info, StreamError> {
        self.call("INFO", &json!({"subjects_filter": subject})).await
    }

    pub(super) async fn create(&self, config: &Value) -> Result<Info, StreamError> {
        self.call("CREATE", config).await
    }

    pub(super) async fn update(&self, config: &Value) -> Result<Info, StreamError> {
        self.call("UPDATE", config).await
    }

    async fn get(&self, which: Value) -> Result<Option<StreamMessage>, StreamError> {
        let subject = format!("STREAM.MSG.GET.{}", self.name);
        let answer = self.context.request(subject, &which).await;
        match answer.map_err(|error| StreamError::Silent(error.into()))? {
            Response::Ok(Got { message }) => {
                StreamMessage::try_from(message).map(Some).map_err(StreamError::Silent)
            }
            Response::Err { error } => match error.error_code().0 {
                NO_SUCH_MESSAGE => Ok(None),
                NO_SUCH_STREAM => Err(StreamError::Missing),
                _ => Err(StreamError::Refused(error.to_string())),
            },
        }
    }

    pub(super) async fn at(&self, sequence: u64) -> Result<Option<StreamMessage>, StreamError> {
        self.get(json!({"seq": sequence})).await
    }

    pub(super) async fn last_of(&self, subject: &str) -> Result<Option<StreamMessage>, StreamError> {
        self.get(json!({"last_by_subj": subject})).await
    }

    /// The first event of `subject` at `sequence` or after it.
    pub(super) async fn next_of(
        &self,
        subject: &str,
        sequence: u64,
    ) -> Result<Option<StreamMessage>, StreamError> {
        self.get(json!({"seq": sequence.max(1), "next_by_subj": subject})).await
    }
}

/// How the stream of the channels with history has to be.
pub(super) fn kept(
    name: &str,
    [taken, sent]: [String; 2],
    options: &NatsOptions,
    histories: &Histories,
) -> Value {
    let most = histories.largest();
    let age = most.age.max(POSITION_AGE);
    stream(name, taken, sent, options, most.events.clamp(1, i64::MAX as usize), age)
}

/// How the stream of the channels without history has to be: it keeps the last event of each key as long as the key.
pub(super) fn live(name: &str, [taken, sent]: [String; 2], options: &NatsOptions) -> Value {
    stream(name, taken, sent, options, 1, KEY_AGE)
}

fn stream(
    name: &str,
    taken: String,
    sent: String,
    options: &NatsOptions,
    most: usize,
    age: Duration,
) -> Value {
    let nanoseconds =
        |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(i64::MAX as u64);
    json!({
        "name": name,
        "subjects": [taken.clone()],
        "republish": {"src": taken, "dest": sent},
        "retention": "limits",
        "discard": "old",
        "storage": if options.memory == Some(true) { "memory" } else { "file" },
        "num_replicas": options.replicas.unwrap_or(1),
        "max_msgs_per_subject": most,
        "max_age": nanoseconds(age),
        "duplicate_window": nanoseconds(KEY_AGE),
        "max_msgs": -1,
        "max_bytes": -1,
        "max_consumers": -1,
    })
}

/// What of a stream that is there must be otherwise, in words.
pub(super) fn misfits(is: &Value, wanted: &Value, options: &NatsOptions) -> Vec<String> {
    let mut misfits = Vec::new();
    let mut differs = |name: &str, rule: &str| {
        misfits.push(format!("{name} is {}, wanted is {rule}{}", is[name], wanted[name]));
    };
    for name in ["subjects", "retention", "discard"] {
        if is[name] != wanted[name] {
            differs(name, "");
        }
    }
    if is["republish"]["src"] != wanted["republish"]["src"]
        || is["republish"]["dest"] != wanted["republish"]["dest"]
    {
        differs("republish", "");
    }
    for (name, unlimited) in [("max_msgs_per_subject", true), ("max_age", true), ("duplicate_window", false)]
    {
        let value = is[name].as_i64().unwrap_or_default();
        if !(unlimited && value <= 0) && value < wanted[name].as_i64().unwrap_or_default() {
            differs(name, "at least ");
        }
    }
    if options.replicas.is_some() && is["num_replicas"] != wanted["num_replicas"] {
        differs("num_replicas", "");
    }
    if options.memory.is_some() && is["storage"] != wanted["storage"] {
        differs("storage", "");
    }
    misfits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::History;

    #[test]
    fn a_stream_may_keep_more_and_not_less() {
        let options = NatsOptions::new("nats://a").with_replicas(3);
        let histories = Histories::new(History { events: 700, ..History::default() });
        let wanted = kept("t", ["t.in.>".into(), "t.out.>".into()], &options, &histories);
        assert_eq!(wanted["max_msgs_per_subject"], 700);
        assert_eq!(misfits(&wanted, &wanted, &options), [""; 0]);
        for (name, value, fits) in [
            ("max_msgs_per_subject", json!(701), true),
            ("max_msgs_per_subject", json!(-1), true),
            ("max_msgs_per_subject", json!(699), false),
            ("max_age", json!(0), true),
            ("max_age", json!(1), false),
            ("duplicate_window", json!(0), false),
            ("num_replicas", json!(1), false),
            ("storage", json!("memory"), true),
            ("subjects", json!(["other.>"]), false),
            ("republish", Value::Null, false),
            ("max_bytes", json!(1_000), true),
        ] {
            let mut is = wanted.clone();
            is[name] = value;
            let misfits = misfits(&is, &wanted, &options);
            assert_eq!(misfits.is_empty(), fits, "{misfits:?}");
            assert!(misfits.iter().all(|misfit| misfit.starts_with(name)), "{misfits:?}");
        }
    }
}
