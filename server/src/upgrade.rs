//! From an HTTP request to a connection of the worker's hub.

use crate::{
    Gateway, connection::Transport, gateway::Shared, guard::Guard, hub::Hub, job::Identify, mailbox::Token,
    origin, problem::problem, sse,
};
use actix_http::ws::{self, Frame, ProtocolError};
use actix_rt::task::JoinHandle;
use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev,
    http::{StatusCode, header::UPGRADE},
    web::{self, Payload, ServiceConfig},
};
use actix_ws::{Message, MessageStream};
use bytes::{Bytes, BytesMut};
use futures_util::{
    FutureExt,
    future::{Either, select},
};
use std::{
    cell::OnceCell,
    convert::Infallible,
    future::pending,
    pin::{Pin, pin},
    rc::Rc,
    sync::atomic::Ordering,
    task::{Context, Poll},
};
use tokio::sync::Notify;

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
        let hub = move || hub.get_or_init(|| Hub::start(gateway.shared.clone())).clone();
        sse::route(config, &path, hub.clone());
        config.route(&path, web::get().to(move |request, payload| connect(hub(), request, payload)));
    }
}

async fn connect(hub: Rc<Hub>, request: HttpRequest, payload: Payload) -> actix_web::Result<HttpResponse> {
    if let Some(refusal) = refuse(&hub.shared, &request) {
        return Ok(refusal);
    }
    let mut handshake = ws::handshake(request.head())?;
    let identify = hub.shared.identify(request.clone());
    if request.extensions().contains::<OwnSocket>() {
        let mut response: HttpResponse = handshake.finish().map_into_boxed_body().into();
        response.extensions_mut().insert(Handoff { hub, identify });
        return Ok(response);
    }
    let token = hub.open(|_, _| Transport::Body(None), &[], &mut BytesMut::new(), identify);
    let limit = hub.shared.config.limits.frame_bytes;
    let too_large = Rc::new(Notify::new());
    let guard = Box::pin(Guard::new(payload.into_inner(), limit, too_large.clone()));
    let payload = Payload::from_request(&request, &mut dev::Payload::Stream { payload: guard }).await?;
    let (response, session, stream) = actix_ws::handle(&request, payload)?;
    let reading = actix_rt::spawn(read(hub.clone(), token, stream.max_frame_size(limit), too_large));
    Ok(response.map_body(|_, original| {
        BoxBody::new(OutboxBody { hub, token, reading, _session: session, _original: original })
    }))
}

/// Hands the hub what the client sends, up to the first breach of the protocol. From then on the stream is only kept
/// alive, until the hub has closed the connection.
async fn read(hub: Rc<Hub>, token: Token, mut stream: MessageStream, too_large: Rc<Notify>) {
    loop {
        let next = {
            let (message, overflow) = (pin!(stream.recv()), pin!(too_large.notified()));
            match select(message, overflow).await {
                Either::Left((message, _)) => message,
                Either::Right(_) => Some(Err(ProtocolError::Overflow)),
            }
        };
        match next {
            Some(Ok(message)) => hub.receive(token, Ok(frame(message))),
            Some(Err(breach)) => {
                // The stream reports a breach before what came in front of it.
                while let Some(Some(Ok(message))) = stream.recv().now_or_never() {
                    hub.receive(token, Ok(frame(message)));
                }
                let overflow = matches!(breach, ProtocolError::Overflow);
                hub.receive(token, Err(breach));
                while overflow && stream.recv().await.is_some() {}
                return pending().await;
            }
            None => return hub.gone(token),
        }
        hub.shared.upstreams.backlog.room().await;
    }
}

fn frame(message: Message) -> Frame {
    match message {
        Message::Text(text) => Frame::Text(text.into_bytes()),
        Message::Binary(bytes) => Frame::Binary(bytes),
        Message::Continuation(item) => Frame::Continuation(item),
        Message::Ping(payload) => Frame::Ping(payload),
        Message::Pong(payload) => Frame::Pong(payload),
        Message::Close(reason) => Frame::Close(reason),
        Message::Nop => Frame::Pong(Bytes::new()),
    }
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
    turn_away(shared, request)
}

/// Why a client cannot be taken, however it comes: the gateway is closing or full, or the page is of a wrong origin.
pub(crate) fn turn_away(shared: &Shared, request: &HttpRequest) -> Option<HttpResponse> {
    if shared.is_closing() {
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
    /// actix-ws would end the connection without them.
    _session: actix_ws::Session,
    _original: BoxBody,
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
