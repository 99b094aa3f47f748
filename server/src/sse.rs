//! Server-sent events: channels over plain HTTP, for an `EventSource` or `curl`.
//!
//! A stream is a client of the hub like any other, to which an adaptor here speaks version 2 of the protocol: it
//! subscribes, answers pings as long as its reader takes what it is sent, and turns the frames into events. So order,
//! recovery, limits and draining are the hub's.

mod body;
mod feed;

use crate::{
    Subject,
    connections::Transport,
    gateway::Shared,
    hub::Hub,
    job::identify,
    names::check_channel,
    origin,
    problem::{only, problem},
    upgrade::{refuse_page, room, turn_away, turned_away},
};
use actix_http::ws::Frame;
use actix_web::{
    HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    http::{
        Method, StatusCode, Version,
        header::{HeaderMap, UPGRADE},
    },
    web::{self, Query, ServiceConfig},
};
use body::Stream;
use bytes::BytesMut;
use feed::Feed;
use futures_util::{
    FutureExt,
    future::{join_all, ready},
};
use std::{rc::Rc, sync::Arc};
use tracing::warn;

/// Methods that are answered.
const ALLOWED: &str = "GET, OPTIONS";

/// Headers that a page of another origin may set, where its own client is no `EventSource`.
const ALLOWED_HEADERS: &str = "authorization, cache-control, last-event-id";

/// Where an `EventSource` says what it has had, when it comes back.
const LAST_EVENT_ID: &str = "last-event-id";

/// How long a browser may remember what it may, in seconds.
const PREFLIGHT_AGE: &str = "600";

/// Mounts the streams under `path`.
pub(crate) fn route(config: &mut ServiceConfig, path: &str, hub: impl Fn() -> Rc<Hub> + Clone + 'static) {
    let of_options = hub.clone();
    let open = move |request| answer(hub(), request);
    let preflight = move |request: HttpRequest| {
        let hub = of_options();
        let response = preflight(&hub.shared, &request);
        async move { response }
    };
    config.service(
        web::resource(format!("{}/sse", path.trim_end_matches('/')))
            .route(web::get().to(open))
            .route(web::method(Method::OPTIONS).to(preflight))
            .default_service(web::to(|| async { only(ALLOWED) })),
    );
}

async fn answer(hub: Rc<Hub>, request: HttpRequest) -> HttpResponse {
    let refused = |refusal: HttpResponse| match request.headers().get(LAST_EVENT_ID) {
        // An `EventSource` that gets anything but a stream gives up for good.
        Some(_) if refusal.status() == StatusCode::SERVICE_UNAVAILABLE => stream(feed::come_again()),
        _ => refusal,
    };
    let mut response = open(&hub, &request).await.unwrap_or_else(refused);
    // Some proxies speak HTTP/1.0, which has no chunks: there the end of the connection is the end of the stream.
    response.head_mut().no_chunking(request.version() < Version::HTTP_11);
    origin::share(request.headers(), &hub.shared.config.allowed_origins, response.headers_mut());
    response
}

fn preflight(shared: &Shared, request: &HttpRequest) -> HttpResponse {
    let mut response = refuse_page(shared, request).unwrap_or_else(|| {
        HttpResponse::NoContent()
            .insert_header(("allow", ALLOWED))
            .insert_header(("access-control-allow-methods", "GET"))
            .insert_header(("access-control-allow-headers", ALLOWED_HEADERS))
            .insert_header(("access-control-max-age", PREFLIGHT_AGE))
            .finish()
    });
    origin::share(request.headers(), &shared.config.allowed_origins, response.headers_mut());
    response
}

/// The stream that is asked for, or why there is none.
async fn open(hub: &Rc<Hub>, request: &HttpRequest) -> Result<HttpResponse, HttpResponse> {
    let shared = &hub.shared;
    if request.headers().get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        let detail = format!("this is no WebSocket endpoint: that is {}", shared.config.path);
        return Err(problem(StatusCode::BAD_REQUEST, &detail));
    }
    let seat = turn_away(shared, request).map_err(turned_away)?;
    let bad = |detail: String| problem(StatusCode::BAD_REQUEST, &detail);
    let Query(query) = Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map_err(|error| bad(error.to_string()))?;
    let channels = channels(&query, shared.config.limits.channels_per_connection).map_err(bad)?;
    let subject = identify(shared, shared.identify(request.clone())).await.ok().flatten();
    let subject = subject.filter(|subject| shared.admits(subject));
    let asked = channels.iter().map(|channel| shared.authorize(channel.clone(), subject.clone()));
    for (channel, answer) in channels.iter().zip(join_all(asked).await) {
        match answer {
            Ok(answer) if answer.authorized => {}
            Ok(_) => {
                let detail = format!("not authorized for channel {channel:?}");
                return Err(problem(StatusCode::FORBIDDEN, &detail));
            }
            Err(error) => {
                warn!(channel = &**channel, error, "an authorizer failed");
                let detail = format!("the authorizer of channel {channel:?} failed: try again later");
                return Err(problem(StatusCode::SERVICE_UNAVAILABLE, &detail));
            }
        }
    }
    // The gateway may have filled up, or begun to close, while the application was asked.
    room(shared).map_err(|refusal| {
        shared.counters.refused(refusal, None);
        turned_away(refusal)
    })?;
    let feed = Feed::new(channels, last_event_id(request.headers(), &query));
    let expires_at = subject.as_ref().and_then(Subject::expires_at);
    let answer = ready(Ok(subject)).boxed_local();
    let peer = request.peer_addr().map(|peer| peer.ip());
    let body = |_, _: &_| Transport::Body { waker: None, peer };
    let token = hub.open(body, &[], &mut BytesMut::new(), Some(answer), seat);
    let subscriptions = feed.subscriptions();
    let body = Stream::new(hub.clone(), token, feed, shared.config.sse_heartbeat, expires_at);
    for frame in subscriptions {
        hub.receive(token, Ok(Frame::Text(frame.into())));
    }
    Ok(stream(body))
}

/// A stream with the text of `body`. Its connection ends with it: who comes back while the gateway closes is to knock
/// on a closed door, and not to be sent away on a connection of before.
fn stream(body: impl MessageBody + 'static) -> HttpResponse {
    HttpResponse::Ok()
        .force_close()
        .insert_header(("content-type", "text/event-stream; charset=utf-8"))
        .insert_header(("cache-control", "no-cache, no-transform"))
        .insert_header(("x-accel-buffering", "no"))
        .body(BoxBody::new(body))
}

/// The channels that are asked for, each once; or what is wrong with them.
fn channels(query: &[(String, String)], limit: usize) -> Result<Vec<Arc<str>>, String> {
    let mut channels: Vec<Arc<str>> = Vec::new();
    for (_, channel) in query.iter().filter(|(key, _)| key == "channel") {
        check_channel(channel).map_err(|error| error.to_string())?;
        if channels.iter().any(|known| **known == **channel) {
            continue;
        }
        if channels.len() == limit {
            return Err(format!("too many channels: allowed are {limit}"));
        }
        channels.push(channel.as_str().into());
    }
    if channels.is_empty() {
        return Err("no channel: wanted is ?channel=orders.42, and &channel=… for each more".to_owned());
    }
    Ok(channels)
}

/// What a client says that it has, when it was here before.
fn last_event_id<'a>(headers: &'a HeaderMap, query: &'a [(String, String)]) -> Option<&'a [u8]> {
    let header = headers.get(LAST_EVENT_ID).map(|id| id.as_bytes()).filter(|id| !id.is_empty());
    let given = query.iter().find(|(key, _)| key == "lastEventId").map(|(_, id)| id.as_bytes());
    header.or(given).filter(|id| !id.is_empty())
}
