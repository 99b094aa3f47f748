//! From an HTTP request to a connection of the worker's hub.

use crate::{
    Gateway, connection::Transport, gateway::Shared, hub::Hub, job::Identify, mailbox::Token, origin,
    problem::problem, socket,
};
use actix_http::ws::{self, Codec};
use actix_rt::task::JoinHandle;
use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    http::{StatusCode, header::UPGRADE},
    web::{self, Payload, ServiceConfig},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use std::{
    cell::OnceCell,
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

/// In a request's extensions: whoever dispatches it can hand the socket itself over.
pub(crate) struct OwnSocket;

/// In a response's extensions: the socket is to be handed over to this hub.
pub(crate) struct Handoff {
    pub(crate) hub: Rc<Hub>,
    pub(crate) identify: Identify,
}

pub(crate) fn routes(gateway: Gateway) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let hub = Rc::new(OnceCell::new());
        let path = gateway.shared.config.path.clone();
        let connect = move |request, payload| {
            let hub = hub.get_or_init(|| Hub::start(gateway.shared.clone())).clone();
            async move { connect(hub, request, payload) }
        };
        config.route(&path, web::get().to(connect));
    }
}

fn connect(hub: Rc<Hub>, request: HttpRequest, payload: Payload) -> actix_web::Result<HttpResponse> {
    if let Some(refusal) = refuse(&hub.shared, &request) {
        return Ok(refusal);
    }
    let identify = hub.shared.identify(request.clone());
    if request.extensions().contains::<OwnSocket>() {
        let mut response: HttpResponse = ws::handshake(request.head())?.finish().map_into_boxed_body().into();
        response.extensions_mut().insert(Handoff { hub, identify });
        return Ok(response);
    }
    let mut handshake = ws::handshake(request.head())?;
    let token = hub.open(|_, _| Transport::Body(None), &[], identify);
    let reading = actix_rt::spawn(read(hub.clone(), token, payload));
    let body = OutboxBody { hub, token, reading };
    Ok(handshake.message_body(BoxBody::new(body))?.into())
}

/// Hands the hub what the client sends.
async fn read(hub: Rc<Hub>, token: Token, mut payload: Payload) {
    let limit = hub.shared.config.limits.frame_bytes;
    let mut codec = Codec::new().max_size(limit);
    let mut buffer = BytesMut::new();
    while let Some(Ok(bytes)) = payload.next().await {
        buffer.extend_from_slice(&bytes);
        while let Some(frame) = socket::decode(&mut codec, &mut buffer, limit).transpose() {
            if frame.is_err() {
                buffer.clear();
            }
            hub.receive(token, frame);
            hub.shared.upstreams.backlog.room().await;
        }
    }
    hub.gone(token);
}

fn refuse(shared: &Shared, request: &HttpRequest) -> Option<HttpResponse> {
    if !request.headers().contains_key(UPGRADE) {
        let detail = "this is a WebSocket endpoint: connect with a WebSocket client";
        let mut response = problem(StatusCode::UPGRADE_REQUIRED, detail);
        response
            .headers_mut()
            .insert(UPGRADE, actix_web::http::header::HeaderValue::from_static("websocket"));
        return Some(response);
    }
    if shared.is_closed() {
        return Some(problem(StatusCode::SERVICE_UNAVAILABLE, "the gateway is closing"));
    }
    if shared.clients.load(Ordering::Relaxed) >= shared.config.limits.connections {
        return Some(problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "the gateway has as many connections as it may",
        ));
    }
    if !origin::is_allowed(request.headers(), &shared.config.allowed_origins) {
        let detail =
            "this page's origin is not allowed: only pages of the gateway's own host and allowed origins are";
        return Some(problem(StatusCode::FORBIDDEN, detail));
    }
    None
}

/// Sends what waits in a connection's outbox as the body of its response. Dropped with the response, when the
/// peer is gone.
struct OutboxBody {
    hub: Rc<Hub>,
    token: Token,
    reading: JoinHandle<()>,
}

impl Drop for OutboxBody {
    fn drop(&mut self) {
        // The payload does not end by itself when the connection is dropped.
        self.reading.abort();
        self.hub.gone(self.token);
    }
}

impl MessageBody for OutboxBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.hub.poll_outbox(self.token, cx).map(|bytes| bytes.map(Ok))
    }
}
