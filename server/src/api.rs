//! Publishing over HTTP, for backends of any language.

use crate::{BroadcastError, Event, Gateway, RawJson, origin, problem::problem};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::CONTENT_TYPE},
    web::{self, Bytes, PayloadConfig, ServiceConfig},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

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
}

impl Gateway {
    /// The HTTP API, for [`App::configure`](actix_web::App::configure): `POST /api/publish` with
    /// `{"channel": "orders.42", "event": "order.paid", "data": …}`, answered by `{"id": "01J…"}` once the
    /// backplane has accepted the event. `data` may be left out and is then `null`.
    ///
    /// It is open, so it answers only to programs on this machine: the peer's address is a loopback address,
    /// the request came through no proxy, and from no page but one that was loaded from this machine.
    pub fn local_api(&self) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let gateway = self.clone();
        move |config| {
            let publish = web::post().to(move |request: HttpRequest, body: Bytes| {
                let gateway = gateway.clone();
                async move { publish(&gateway, &request, &body).await }
            });
            config.service(
                web::resource("/api/publish")
                    .app_data(PayloadConfig::new(MAX_BODY))
                    .route(publish)
                    .default_service(web::to(|| async {
                        problem(StatusCode::METHOD_NOT_ALLOWED, "only POST is allowed here")
                    })),
            );
        }
    }
}

async fn publish(gateway: &Gateway, request: &HttpRequest, body: &[u8]) -> HttpResponse {
    if let Err(detail) = local(request) {
        return problem(StatusCode::FORBIDDEN, detail);
    }
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !content_type.trim_start().to_ascii_lowercase().starts_with("application/json") {
        let detail = "the content type must be application/json";
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    }
    let Publish { channel, event, data } = match serde_json::from_slice(body) {
        Ok(publish) => publish,
        Err(error) => {
            let detail = format!(r#"{error}: wanted is {{"channel": "…", "event": "…", "data": …}}"#);
            return problem(StatusCode::BAD_REQUEST, &detail);
        }
    };
    let data = data.map_or_else(|| RawJson::trusted("null"), RawJson::from);
    match gateway.publish(&channel, Event::new(event, data)).await {
        Ok(published) => HttpResponse::Ok().json(json!({"id": published.id.to_string()})),
        Err(error @ BroadcastError::Config(_)) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

fn local(request: &HttpRequest) -> Result<(), &'static str> {
    if !request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
        return Err("publishing is open to programs on the gateway's own machine only");
    }
    if FORWARDED.iter().any(|name| request.headers().contains_key(*name)) {
        return Err("publishing is not open through a proxy: call the gateway directly");
    }
    if !origin::is_of_this_machine(request.headers()) {
        return Err("publishing is not open to pages of another origin");
    }
    Ok(())
}
