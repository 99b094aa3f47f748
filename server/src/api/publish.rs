//! Publishing: one event on one channel or on many, or a batch of events.

use super::body::{self, List, Object, Text, given};
use crate::{
    Event, Gateway, Published, RawJson,
    names::{check_channel, check_event, check_key},
    problem::Problem,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Payload};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};
use serde_json::value::RawValue;
use std::collections::HashSet;

/// Channels that one event is published on at once.
const MAX_CHANNELS: usize = 100;

/// Events of a batch.
const MAX_EVENTS: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    channel: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "given")]
    channels: Option<List<Text<'a>, MAX_CHANNELS>>,
    #[serde(borrow, default, deserialize_with = "given")]
    event: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    events: Option<List<Object<Item<'a>>, MAX_EVENTS>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    channel: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "given")]
    event: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<Text<'a>>,
}

/// What the fields of a publish may be.
fn allowed(field: &str) -> &'static str {
    match field {
        "" => {
            r#"an object such as {"channel": "orders.42", "event": "order.paid", "data": {"amount": 4900}}"#
        }
        "channel" => "a string of 1 to 200 bytes, printable, without white space",
        "channels" => "an array of 1 to 100 different channels",
        "event" => "a string of 1 to 200 bytes without control characters",
        "key" => "a string of 1 to 64 bytes without control characters, or null",
        "events" => {
            "an array of 1 to 1000 objects, each with channel and event, and data and key if you like"
        }
        _ => "any JSON",
    }
}

/// What the fields of a batch may be.
fn allowed_in_batch(field: &str) -> &'static str {
    match field {
        "" => r#"an object such as {"events": [{"channel": "orders.42", "event": "order.paid"}]}"#,
        field => allowed(field),
    }
}

/// A field of a publish, or of the event `at` of a batch.
fn path(at: Option<usize>, field: &str) -> String {
    at.map_or_else(|| field.to_owned(), |at| format!("events[{at}].{field}"))
}

fn missing(at: Option<usize>, field: &str) -> Problem {
    let path = path(at, field);
    let detail = format!("missing {path}: wanted is {}", allowed(field));
    Problem::new(StatusCode::BAD_REQUEST, detail).at(path)
}

/// `POST /api/publish`
pub(super) async fn one(
    gateway: &Gateway,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let body = body::read(request, payload, gateway.shared.config.limits.api_body_bytes).await?;
    let Publish { channel, channels, event: name, data, key } = body::parse(&body, allowed)?;
    let name = name.ok_or_else(|| missing(None, "event"))?;
    let event = || event(gateway, None, &name, data, key.as_ref());
    match (channel, channels) {
        (Some(channel), None) => {
            check_channel(channel.as_ref()).map_err(|error| Problem::from(error).at("channel"))?;
            let published = gateway.publish(channel.as_ref(), event()?).await?;
            Ok(HttpResponse::Ok().json(Accepted(published)))
        }
        (None, Some(List(channels))) => {
            let event = event()?;
            let mut known = HashSet::with_capacity(channels.len());
            if let Some(at) = channels.iter().position(|channel| !known.insert(channel.as_ref())) {
                let path = format!("channels[{at}]");
                let detail = format!("{path} was named before: wanted is {}", allowed("channels"));
                return Err(Problem::new(StatusCode::BAD_REQUEST, detail).at(path));
            }
            let wanted = channels.iter().enumerate().map(|(at, channel)| {
                let refused = |error| Problem::from(error).at(format!("channels[{at}]"));
                let checked = check_channel(channel.as_ref()).map_err(refused);
                (channel.as_ref(), checked.map(|()| event.clone()))
            });
            Ok(publish_all(gateway, wanted).await.respond())
        }
        (Some(_), Some(_)) => {
            let detail = "channel and channels at once: wanted is one of them";
            Err(Problem::new(StatusCode::BAD_REQUEST, detail).at("channels"))
        }
        (None, None) => Err(missing(None, "channel")),
    }
}

/// `POST /api/publish/batch`
pub(super) async fn batch(
    gateway: &Gateway,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let body = body::read(request, payload, gateway.shared.config.limits.api_body_bytes).await?;
    let Batch { events } = body::parse(&body, allowed_in_batch)?;
    let List(items) = events.ok_or_else(|| missing(None, "events"))?;
    let mut wanted = Vec::with_capacity(items.len());
    for (at, Object(item)) in items.iter().enumerate() {
        let at = Some(at);
        let channel = item.channel.as_ref().ok_or_else(|| missing(at, "channel"))?.as_ref();
        let name = item.event.as_ref().ok_or_else(|| missing(at, "event"))?;
        let checked = check_channel(channel)
            .map_err(|error| Problem::from(error).at(path(at, "channel")))
            .and_then(|()| event(gateway, at, name, item.data, item.key.as_ref()));
        wanted.push((channel, checked));
    }
    Ok(publish_all(gateway, wanted).await.respond())
}

/// The event of these fields, which are those of the event `at` of a batch, when they are valid.
fn event(
    gateway: &Gateway,
    at: Option<usize>,
    name: &Text<'_>,
    data: Option<&RawValue>,
    key: Option<&Text<'_>>,
) -> Result<Event, Problem> {
    let refused = |field| move |error| Problem::from(error).at(path(at, field));
    check_event(name.as_ref()).map_err(refused("event"))?;
    let data = data.map_or("null", RawValue::get);
    let most = gateway.shared.config.limits.resume_bytes();
    if data.len() > most {
        let path = path(at, "data");
        let detail = format!("{path} is too large: it has {} bytes, and allowed are {most}", data.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).at(path));
    }
    let event = Event::new(name.as_ref(), RawJson::trusted(data));
    let Some(key) = key else { return Ok(event) };
    check_key(key.as_ref()).map_err(refused("key"))?;
    Ok(event.with_key(key.as_ref()))
}

/// Publishes what is not refused yet.
async fn publish_all<'a>(
    gateway: &Gateway,
    wanted: impl IntoIterator<Item = (&'a str, Result<Event, Problem>)>,
) -> Outcomes<'a> {
    let (mut events, mut refusals) = (Vec::new(), Vec::new());
    for (channel, event) in wanted {
        match event {
            Ok(event) => {
                events.push((channel, event));
                refusals.push((channel, None));
            }
            Err(problem) => refusals.push((channel, Some(problem))),
        }
    }
    let mut published = gateway.publish_all(&events).await.into_iter();
    let outcome = |(channel, refusal): (&'a str, Option<Problem>)| {
        let said = match refusal {
            Some(problem) => Said::Refused { problem },
            None => match published.next().expect("each event has its outcome") {
                Ok(published) => Said::Accepted(Accepted(published)),
                Err(error) => Said::Refused { problem: error.into() },
            },
        };
        Outcome { channel, said }
    };
    let results: Vec<_> = refusals.into_iter().map(outcome).collect();
    let failed = results.iter().filter(|outcome| matches!(outcome.said, Said::Refused { .. })).count();
    Outcomes { failed, results }
}

/// What became of events, in their order.
#[derive(Serialize)]
struct Outcomes<'a> {
    failed: usize,
    results: Vec<Outcome<'a>>,
}

impl Outcomes<'_> {
    /// 200 says that everything was accepted.
    fn respond(&self) -> HttpResponse {
        let status = if self.failed == 0 { StatusCode::OK } else { StatusCode::MULTI_STATUS };
        HttpResponse::build(status).json(self)
    }
}

/// What became of an event on a channel.
#[derive(Serialize)]
struct Outcome<'a> {
    channel: &'a str,
    #[serde(flatten)]
    said: Said,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Said {
    Accepted(Accepted),
    Refused { problem: Problem },
}

/// An event that was accepted, and where it is.
struct Accepted(Published);

impl Serialize for Accepted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(Published { id, position }) = self;
        let mut answer = serializer.serialize_struct("Accepted", 3)?;
        answer.serialize_field("id", id.array_to_str(&mut [0; ulid::ULID_LEN]))?;
        if let Some(position) = position {
            answer.serialize_field("epoch", &*position.epoch)?;
            answer.serialize_field("offset", &position.offset)?;
        }
        answer.end()
    }
}
