//! From an HTTP request to a connection of the worker's hub.

use crate::{
    Gateway,
    connections::Transport,
    gateway::Shared,
    guard::Guard,
    handshake::Handshake,
    hub::Hub,
    job::Identify,
    mailbox::Token,
    metrics::Refusal,
    origin,
    peers::{FORWARDED_FOR, Seat},
    problem::problem,
    socket::Socket,
    sse,
    worker::leave_place,
};
use actix_http::ws::{self, Frame, ProtocolError};
use actix_rt::task::JoinHandle;
use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev,
    http::{
        StatusCode,
        header::{
            CONTENT_LENGTH, HeaderMap, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
            TRANSFER_ENCODING, UPGRADE,
        },
    },
    web::{self, Payload, ServiceConfig},
};
use actix_ws::{Message, MessageStream};
use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use std::{
    cell::OnceCell,
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};
use tokio::{net::TcpStream, sync::Notify};

/// In a request's extensions: whoever dispatches it can hand the socket itself over.
pub(crate) struct OwnSocket;

/// In a response's extensions: the socket is to be handed over to this hub.
pub(crate) struct Handoff {
    pub(crate) hub: Rc<Hub>,
    pub(crate) identify: Option<Identify>,
    pub(crate) seat: Option<Box<Seat>>,
}

pub(crate) fn routes(gateway: Gateway) -> impl FnOnce(&mut ServiceConfig) {
    move |config| Entrance::new(&gateway).route(config)
}

/// A worker thread's way into its hub, which starts with the first connection.
#[derive(Clone)]
pub(crate) struct Entrance {
    shared: Arc<Shared>,
    hub: Rc<OnceCell<Rc<Hub>>>,
    /// Whether no other route can be meant by the gateway's path, so that an ordinary handshake need not become a request.
    direct: bool,
}

impl Entrance {
    pub(crate) fn new(gateway: &Gateway) -> Self {
        let shared = gateway.shared.clone();
        // The application's router may take an escaped path for another one.
        let direct = !shared.config.path.contains('%');
        Self { shared, hub: Rc::default(), direct }
    }

    fn hub(&self) -> &Rc<Hub> {
        self.hub.get_or_init(|| Hub::start(self.shared.clone()))
    }

    /// Mounts the gateway. Its route comes before all others, and nothing can be wrapped around it.
    pub(crate) fn route(self, config: &mut ServiceConfig) {
        let path = self.shared.config.path.clone();
        let entrance = self.clone();
        sse::route(config, &path, move || entrance.hub().clone());
        let connect = move |request, payload| connect(self.hub().clone(), request, payload);
        config.route(&path, web::get().to(connect));
    }

    /// The handshake at the front of `read`, when nobody needs it as a request.
    fn handshake<'a>(&self, read: &'a [u8]) -> Option<Handshake<'a>> {
        if !self.direct {
            return None;
        }
        Handshake::parse(read, &self.shared.config.path).filter(self.shared.is_of_nobody)
    }

    /// Makes a stream whose first bytes are an ordinary handshake a connection of the hub. The stream comes back when
    /// the route has to look at the request, or to refuse it.
    pub(crate) fn enter(&self, stream: TcpStream, peer: SocketAddr, read: &[u8]) -> Option<TcpStream> {
        let config = &self.shared.config;
        let allowed = |handshake: &Handshake<'_>| {
            handshake.origin.is_none_or(|origin| {
                origin::is_page_allowed(origin, Some(handshake.host), &config.allowed_origins)
            })
        };
        let admit = |handshake: &Handshake<'_>| {
            if room(&self.shared).is_err() || !allowed(handshake) {
                return None;
            }
            let seat = self.shared.seat(Some(peer), handshake.forwarded.into_iter()).ok()?;
            self.shared.in_pace().then_some(seat)
        };
        match self.handshake(read).and_then(|handshake| admit(&handshake).map(|seat| (handshake, seat))) {
            Some((handshake, seat)) => {
                open(self.hub(), stream, &handshake.answer(), &read[handshake.len..], None, seat);
                None
            }
            None => Some(stream),
        }
    }
}

/// Makes `stream` a connection of the hub, which answers with `head` first.
///
/// `early` is copied, to let go of the large buffer that HTTP may have been read with.
pub(crate) fn open(
    hub: &Rc<Hub>,
    stream: TcpStream,
    head: &[u8],
    early: &[u8],
    identify: Option<Identify>,
    seat: Option<Box<Seat>>,
) {
    let frame_bytes = hub.shared.config.limits.frame_bytes;
    let transport =
        |token, mailbox: &_| Transport::Socket(Socket::new(stream, frame_bytes, token, Arc::clone(mailbox)));
    hub.open(transport, head, &mut BytesMut::from(early), identify, seat);
}

async fn connect(hub: Rc<Hub>, request: HttpRequest, payload: Payload) -> actix_web::Result<HttpResponse> {
    if !request.headers().contains_key(UPGRADE) {
        return Ok(upgrade_required());
    }
    if let Some(detail) = mistake(request.headers()) {
        return Ok(problem(StatusCode::BAD_REQUEST, detail));
    }
    let seat = match turn_away(&hub.shared, &request) {
        Ok(seat) => seat,
        Err(refusal) => return Ok(turned_away(refusal)),
    };
    let mut handshake = ws::handshake(request.head())?;
    let identify = hub.shared.resolve_subject.is_some().then(|| hub.shared.identify(request.clone()));
    if request.extensions().contains::<OwnSocket>() {
        let mut response: HttpResponse = handshake.finish().map_into_boxed_body().into();
        response.extensions_mut().insert(Handoff { hub, identify, seat });
        return Ok(response);
    }
    leave_place(&request);
    let peer = request.peer_addr().map(|peer| peer.ip());
    let body = |_, _: &_| Transport::Body { waker: None, peer };
    let token = hub.open(body, &[], &mut BytesMut::new(), identify, seat);
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

fn upgrade_required() -> HttpResponse {
    let detail = "this is a WebSocket endpoint: connect with a WebSocket client";
    let mut response = problem(StatusCode::UPGRADE_REQUIRED, detail);
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// What is wrong with a handshake that could be understood in two ways, and so by a proxy in another one.
pub(crate) fn mistake(headers: &HeaderMap) -> Option<&'static str> {
    let once = |name| headers.get_all(name).count() <= 1;
    let upgrades = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    if ![UPGRADE, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION].into_iter().all(once) {
        Some("upgrade, sec-websocket-key and sec-websocket-version may come only once")
    } else if !headers.get(UPGRADE).is_some_and(upgrades) {
        Some("the header upgrade must be websocket, and nothing beside it")
    } else if headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
    {
        Some("a WebSocket handshake has no body")
    } else {
        None
    }
}

/// Why a client cannot be taken, however it comes: the gateway is closing or full, the page is of a wrong origin, too
/// many come from there or at once. If it can, its place among those of its address, when these are counted.
pub(crate) fn turn_away(shared: &Shared, request: &HttpRequest) -> Result<Option<Box<Seat>>, Refusal> {
    let taken = || {
        room(shared)?;
        if !origin::is_allowed(request.headers(), &shared.config.allowed_origins) {
            return Err(Refusal::Origin);
        }
        let forwarded: Vec<_> =
            request.headers().get_all(FORWARDED_FOR).map(|line| line.as_bytes()).collect();
        let seat = shared.seat(request.peer_addr(), forwarded.into_iter()).map_err(|_| Refusal::Address)?;
        if shared.in_pace() { Ok(seat) } else { Err(Refusal::Pace) }
    };
    taken().inspect_err(|refusal| shared.counters.refused(*refusal, request.headers().get(ORIGIN)))
}

/// What a client is told that is not taken: 503 comes with a hint when to come back.
pub(crate) fn turned_away(refusal: Refusal) -> HttpResponse {
    let status = match refusal {
        Refusal::Origin => StatusCode::FORBIDDEN,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    problem(status, refusal.detail())
}

/// Why the page that a request comes from may not use the gateway.
pub(crate) fn refuse_page(shared: &Shared, request: &HttpRequest) -> Option<HttpResponse> {
    let allowed = origin::is_allowed(request.headers(), &shared.config.allowed_origins);
    (!allowed).then(|| turned_away(Refusal::Origin))
}

/// Whether another connection may be opened; if not, why.
pub(crate) fn room(shared: &Shared) -> Result<(), Refusal> {
    if shared.is_closing() {
        Err(Refusal::Closing)
    } else if shared.clients.load(Ordering::Relaxed) >= shared.config.limits.connections {
        Err(Refusal::Full)
    } else {
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, MemoryBroadcaster, Subject};

    #[test]
    fn an_ordinary_handshake_becomes_a_request_only_where_it_is_looked_at() {
        let direct = |change: &dyn Fn(Builder) -> Builder, header: &str| {
            let builder = change(Gateway::builder(MemoryBroadcaster::default()));
            let text = format!(
                "GET /_broadcast HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{header}\r\n"
            );
            Entrance::new(&builder.build().expect("valid settings")).handshake(text.as_bytes()).is_some()
        };
        let (bearer, cookie) = ("Authorization: Bearer a\r\n", "Cookie: session=a\r\n");
        for header in ["", bearer, cookie] {
            assert!(direct(&|builder| builder, header));
            assert!(direct(&|builder| builder.resolve_token(|_| async { None::<Subject> }), header));
            assert!(!direct(&|builder| builder.resolve_subject(|_| async { None::<Subject> }), header));
            #[cfg(feature = "tokens")]
            {
                let tokens =
                    || crate::Tokens::secret(b"0123456789abcdef0123456789abcdef").expect("long enough");
                assert_eq!(direct(&|builder| builder.tokens(tokens()), header), header != bearer);
                let by_cookie = |builder: Builder| builder.tokens(tokens().cookie("session"));
                assert_eq!(direct(&by_cookie, header), header.is_empty());
            }
        }
    }
}
