//! The HTTP API, for backends of any language.

mod body;
mod channels;
pub(crate) mod door;
mod keys;
mod lockout;
mod publish;
pub(crate) mod query;

pub use keys::{ApiKey, ApiKeys};
pub(crate) use lockout::{accepted, target};

use crate::{
    Gateway,
    problem::{Problem, only},
};
use actix_web::{
    HttpRequest, HttpResponse, Resource,
    http::{
        Method,
        header::{ALLOW, ContentType},
    },
    web::{self, Payload, ServiceConfig},
};
use door::Door;
use std::{future::ready, sync::Arc};

/// What the API can do, for programs to read.
const DOCUMENT: &str = include_str!("api/openapi.json");

impl Gateway {
    /// The HTTP API for whoever has one of `keys`, from anywhere, for [`App::configure`](actix_web::App::configure).
    ///
    /// A request says its key by `Authorization: Bearer SECRET`; one without a valid key is answered by 401. Every key may
    /// do everything. Errors are problem documents (RFC 9457) with a stable `code`.
    ///
    /// - `POST /api/publish` takes `{"channel": "orders.42", "event": "order.paid", "data": …}` and answers `{"id": "01J…"}`
    ///   once the backplane has accepted the event, on a channel with history with its `epoch` and `offset` too. `data` may
    ///   be left out and is then `null`; `key` is an idempotency key, see [`Event::with_key`](crate::Event::with_key).
    ///   With `channels` in place of `channel`, up to 100 of them, the answer is that of a batch.
    /// - `POST /api/publish/batch` takes `{"events": […]}`, up to 1,000 of them, and answers `{"failed": 0, "results": […]}`
    ///   with what became of each, see [`publish_all`](Self::publish_all); by 207 when one was not accepted.
    /// - `GET /api/channels` answers which channels have subscribers on this gateway: `prefix` says which to look for, `after`
    ///   and `limit` turn the pages.
    /// - `GET /api/channels/{channel}` answers how many subscribers it has on this gateway, and where it is.
    /// - `GET /api/channels/{channel}/history` answers `{"channel", "epoch", "offset", "events"}`: the last events, oldest
    ///   first, each with `event`, `data`, `id` and `offset`. `limit` is how many, 1 to 1,000, by default 100, and fewer
    ///   when they are large; `before` asks for those below an offset. A channel without history is answered by 404.
    /// - `POST /api/disconnect` takes `{"client": …}`, `{"user": …}` or `{"token_id": …}`, see
    ///   [`disconnect`](Self::disconnect); answered by 202.
    /// - `POST /api/revoke` takes `{"user": …, "issued_before": 1790000000}`, by default now, or `{"token_id": …, "until":
    ///   1790000000}`, in seconds since 1970, see [`revoke`](Self::revoke); answered by 202.
    /// - `GET /api/openapi.json` answers what the API can do, as an OpenAPI document.
    pub fn api(&self, keys: ApiKeys) -> impl FnOnce(&mut ServiceConfig) + use<> {
        routes(self.clone(), Door::keys(keys))
    }

    /// The HTTP API without keys: the same as [`api`](Self::api), for programs on this machine only. The peer's address is a
    /// loopback address and it calls the gateway by one, the request came through no proxy, and from no page but one that
    /// was loaded from this machine. Everything else is answered by 403.
    pub fn local_api(&self) -> impl FnOnce(&mut ServiceConfig) + use<> {
        routes(self.clone(), Door::Local)
    }
}

struct Api {
    gateway: Gateway,
    door: Door,
}

fn routes(gateway: Gateway, door: Door) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let api = Arc::new(Api { gateway, door });
        config
            .service(post("/api/publish", &api, async |api, request, body| {
                publish::one(&api.gateway, request, body).await
            }))
            .service(post("/api/publish/batch", &api, async |api, request, body| {
                publish::batch(&api.gateway, request, body).await
            }))
            .service(get("/api/channels", &api, async |api, request| {
                channels::list(&api.gateway, request).await
            }))
            .service(get("/api/channels/{channel}", &api, async |api, request| {
                channels::one(&api.gateway, request).await
            }))
            .service(get("/api/channels/{channel}/history", &api, async |api, request| {
                channels::history(&api.gateway, request).await
            }))
            .service(post("/api/disconnect", &api, async |api, request, body| {
                lockout::disconnect(&api.gateway, request, body).await
            }))
            .service(post("/api/revoke", &api, async |api, request, body| {
                lockout::revoke(&api.gateway, request, body).await
            }))
            .service(get("/api/openapi.json", &api, async |_, _| {
                Ok(HttpResponse::Ok().content_type(ContentType::json()).body(DOCUMENT))
            }));
    }
}

fn post<F>(path: &str, api: &Arc<Api>, answer: F) -> Resource
where
    F: AsyncFn(&Api, &HttpRequest, Payload) -> Result<HttpResponse, Problem> + Copy + 'static,
{
    let api = api.clone();
    let handler = move |request: HttpRequest, body: Payload| {
        let api = api.clone();
        async move {
            // Before the body is read: a stranger's is not.
            match api.door.refusal(&request) {
                Some(refusal) => refusal,
                None => answer(&api, &request, body).await.unwrap_or_else(|problem| problem.respond()),
            }
        }
    };
    resource(path, "POST, OPTIONS").route(web::post().to(handler))
}

fn get<F>(path: &str, api: &Arc<Api>, answer: F) -> Resource
where
    F: AsyncFn(&Api, &HttpRequest) -> Result<HttpResponse, Problem> + Copy + 'static,
{
    let api = api.clone();
    let handler = move |request: HttpRequest| {
        let api = api.clone();
        async move {
            match api.door.refusal(&request) {
                Some(refusal) => refusal,
                None => answer(&api, &request).await.unwrap_or_else(|problem| problem.respond()),
            }
        }
    };
    resource(path, "GET, OPTIONS").route(web::get().to(handler))
}

/// A resource that says which methods it has. Pages of other origins learn nothing from it: the API is for backends.
fn resource(path: &str, allowed: &'static str) -> Resource {
    let options = move || ready(HttpResponse::NoContent().insert_header((ALLOW, allowed)).finish());
    web::resource(path)
        .route(web::method(Method::OPTIONS).to(options))
        .default_service(web::to(move || ready(only(allowed))))
}
