//! Publishing and reading history over HTTP, for backends of any language.

use crate::{
    BroadcastError, Event, Gateway, RawJson, origin,
    problem::{only, problem},
};
use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    http::{StatusCode, header::CONTENT_TYPE},
    web::{self, Bytes, PayloadConfig, Query, ServiceConfig},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::ops::RangeInclusive;
use tidings_protocol::{DEFAULT_PAGE, MAX_INTEGER, MAX_PAGE};

/// The largest body of a publish, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// Headers that a reverse proxy adds.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish {
    channel: String,
    event: String,
    #[serde(default)]
    data: Option<Box<RawValue>>,
    key: Option<String>,
}

#[derive(Serialize)]
struct Accepted<'a> {
    id: String,
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

#[derive(Serialize)]
struct Past<'a> {
    channel: &'a str,
    epoch: &'a str,
    offset: u64,
    events: &'a RawValue,
}

impl Gateway {
    /// The HTTP API, for [`App::configure`](actix_web::App::configure).
    ///
    /// `POST /api/publish` takes `{"channel": "orders.42", "event": "order.paid", "data": …}` and answers `{"id": "01J…"}`
    /// once the backplane has accepted the event, on a channel with history with its `epoch` and `offset` too. `data` may
    /// be left out and is then `null`; `key` is an idempotency key, see [`Event::with_key`].
    ///
    /// `GET /api/channels/{channel}/history` answers `{"channel", "epoch", "offset", "events"}`: the last events, oldest
    /// first, each with `event`, `data`, `id` and `offset`. `limit` is how many, 1 to 1,000, by default 100, and fewer
    /// when they are large; `before` asks for those below an offset. A channel without history is answered by 404.
    ///
    /// It is open, so it answers only to programs on this machine: the peer's address is a loopback address,
    /// the request came through no proxy, and from no page but one that was loaded from this machine.
    pub fn local_api(&self) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let (publisher, reader) = (self.clone(), self.clone());
        move |config| {
            let publish = web::post().to(move |request: HttpRequest, body: Bytes| {
                let gateway = publisher.clone();
                async move { publish(&gateway, &request, &body).await.unwrap_or_else(|refusal| refusal) }
            });
            let read = web::get().to(move |request: HttpRequest| {
                let gateway = reader.clone();
                async move { history(&gateway, &request).await.unwrap_or_else(|refusal| refusal) }
            });
            config.service(
                web::resource("/api/publish")
                    .app_data(PayloadConfig::new(MAX_BODY))
                    .route(publish)
                    .default_service(web::to(|| async { only("POST") })),
            );
            config.service(
                web::resource("/api/channels/{channel}/history")
                    .route(read)
                    .default_service(web::to(|| async { only("GET") })),
            );
        }
    }
}

async fn publish(
    gateway: &Gateway,
    request: &HttpRequest,
    body: &[u8],
) -> Result<HttpResponse, HttpResponse> {
    local(request).map_err(|detail| problem(StatusCode::FORBIDDEN, detail))?;
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !content_type.trim_start().to_ascii_lowercase().starts_with("application/json") {
        let detail = "the content type must be application/json";
        return Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let Publish { channel, event, data, key } = serde_json::from_slice(body).map_err(|error| {
        bad(&format!(r#"{error}: wanted is {{"channel": "…", "event": "…", "data": …, "key": "…"}}"#))
    })?;
    let mut event = Event::new(event, data.map_or_else(|| RawJson::trusted("null"), RawJson::from));
    if let Some(key) = key {
        event = event.with_key(key);
    }
    let published = gateway.publish(&channel, event).await.map_err(failed)?;
    let position = published.position.as_ref();
    Ok(HttpResponse::Ok().json(Accepted {
        id: published.id.to_string(),
        epoch: position.map(|position| &*position.epoch),
        offset: position.map(|position| position.offset),
    }))
}

async fn history(gateway: &Gateway, request: &HttpRequest) -> Result<HttpResponse, HttpResponse> {
    local(request).map_err(|detail| problem(StatusCode::FORBIDDEN, detail))?;
    let channel = web::Path::<String>::extract(request)
        .await
        .map_err(|error| bad(&format!("invalid channel in the path: {error}")))?
        .into_inner();
    let Query(Wanted { limit, before }) = Query::from_query(request.query_string())
        .map_err(|error| bad(&format!("{error}: allowed are limit and before")))?;
    let limit = number("limit", limit.as_deref(), 1..=MAX_PAGE)
        .map_err(|detail| bad(&detail))?
        .unwrap_or(DEFAULT_PAGE);
    let before = number("before", before.as_deref(), 0..=MAX_INTEGER).map_err(|detail| bad(&detail))?;
    let page =
        gateway.history(&channel, before, limit as usize).await.map_err(failed)?.ok_or_else(|| {
            problem(StatusCode::NOT_FOUND, &format!("channel {channel:?} keeps no history"))
        })?;
    let events =
        page.to_json_with(gateway.shared.config.limits.resume_bytes(), ["event", "data", "id", "offset"]);
    Ok(HttpResponse::Ok().json(Past {
        channel: &channel,
        epoch: &page.end.epoch,
        offset: page.end.offset,
        events: serde_json::from_str(&events).expect("a page is JSON"),
    }))
}

/// A number of the query.
fn number(name: &str, text: Option<&str>, allowed: RangeInclusive<u64>) -> Result<Option<u64>, String> {
    let Some(text) = text else { return Ok(None) };
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    let (first, last) = (allowed.start(), allowed.end());
    let refusal = || format!("invalid {name} {text:?}: allowed is a whole number from {first} to {last}");
    number.map(Some).ok_or_else(refusal)
}

fn bad(detail: &str) -> HttpResponse {
    problem(StatusCode::BAD_REQUEST, detail)
}

fn failed(error: BroadcastError) -> HttpResponse {
    let status = match error {
        BroadcastError::Config(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    problem(status, &error.to_string())
}

fn local(request: &HttpRequest) -> Result<(), &'static str> {
    if !request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
        return Err("this API is open to programs on the gateway's own machine only");
    }
    if FORWARDED.iter().any(|name| request.headers().contains_key(*name)) {
        return Err("this API is not open through a proxy: call the gateway directly");
    }
    if !origin::is_of_this_machine(request.headers()) {
        return Err("this API is not open to pages of another origin");
    }
    Ok(())
}
