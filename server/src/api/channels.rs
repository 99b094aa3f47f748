//! Channels: which have subscribers, where they are, what was published on them.

use super::query::{number, query};
use crate::{Gateway, Page, history::EntryKeys, names::check_channel, problem::Problem};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::ContentType},
};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use tidings_protocol::{DEFAULT_PAGE, MAX_INTEGER, MAX_PAGE};

/// The keys of an event in a page.
const KEYS: EntryKeys = ["event", "data", "id", "offset"];

/// What the numbers of subscribers are of.
const SCOPE: &str = "node";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    #[serde(default)]
    prefix: String,
    after: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
struct Channels<'a> {
    scope: &'static str,
    channels: Vec<Occupied<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct Occupied<'a> {
    channel: &'a str,
    subscribers: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Serialize)]
struct State<'a> {
    channel: &'a str,
    scope: &'static str,
    subscribers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    limit: Option<String>,
    before: Option<String>,
}

/// `GET /api/channels`
pub(super) async fn list(gateway: &Gateway, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let Listing { prefix, after, limit } = query(request, "prefix, after and limit")?;
    let limit = limit_of(limit.as_deref())?;
    let mut found = gateway.shared.upstreams.list(&prefix, after.as_deref(), limit + 1);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(channel, _)| &**channel);
    let channels =
        found.iter().map(|(channel, subscribers)| Occupied { channel, subscribers: *subscribers }).collect();
    Ok(HttpResponse::Ok().json(Channels { scope: SCOPE, channels, next }))
}

/// `GET /api/channels/{channel}`
pub(super) async fn one(gateway: &Gateway, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let channel = channel(request, 0)?;
    let Nothing {} = query(request, "none")?;
    let page = gateway.history(&channel, None, 1).await?;
    let end = page.as_ref().map(|page| &page.end);
    Ok(HttpResponse::Ok().json(State {
        channel: &channel,
        scope: SCOPE,
        subscribers: gateway.subscriber_count(&channel),
        epoch: end.map(|end| &*end.epoch),
        offset: end.map(|end| end.offset),
    }))
}

/// `GET /api/channels/{channel}/history`
pub(super) async fn history(gateway: &Gateway, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let channel = channel(request, 1)?;
    let Wanted { limit, before } = query(request, "limit and before")?;
    let limit = limit_of(limit.as_deref())?;
    let before = number("before", before.as_deref(), 0..=MAX_INTEGER)?;
    let page = gateway.history(&channel, before, limit).await?.ok_or_else(|| {
        let detail = format!("channel {channel:?} keeps no history");
        Problem::new(StatusCode::NOT_FOUND, detail).code("channel.no_history")
    })?;
    let body = text(&channel, &page, gateway.shared.config.limits.resume_bytes());
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body))
}

/// A page as JSON; `limit` bounds its events in bytes.
fn text(channel: &str, page: &Page, limit: usize) -> String {
    let quoted = |text: &str| serde_json::to_string(text).expect("a string is JSON");
    let (channel, epoch, offset) = (quoted(channel), quoted(&page.end.epoch), page.end.offset);
    let events = page.to_json_with(limit, KEYS);
    format!(r#"{{"channel":{channel},"epoch":{epoch},"offset":{offset},"events":{events}}}"#)
}

/// The channel that the path names in its segment `from_end`. Not by way of the router, which mends what is no UTF-8.
fn channel(request: &HttpRequest, from_end: usize) -> Result<String, Problem> {
    let segment = request.uri().path().rsplit('/').nth(from_end).unwrap_or_default();
    let refused = |problem: Problem| problem.at("channel");
    let channel = percent_decode_str(segment).decode_utf8().map_err(|_| {
        refused(Problem::new(StatusCode::BAD_REQUEST, "invalid channel in the path: it is not UTF-8"))
    })?;
    check_channel(&channel).map_err(|error| refused(error.into()))?;
    Ok(channel.into_owned())
}

fn limit_of(text: Option<&str>) -> Result<usize, Problem> {
    Ok(number("limit", text, 1..=MAX_PAGE)?.unwrap_or(DEFAULT_PAGE) as usize)
}
