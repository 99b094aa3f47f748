//! A listener of our own. It runs requests through an actix-web `App` like any other; a WebSocket's socket then
//! goes to the worker's hub, which costs a fraction of the memory and time of a response that streams.

use crate::{
    Gateway,
    patience::{Answered, Answering},
    peeked::Peeked,
    upgrade::{self, Entrance, Handoff, OwnSocket},
    worker::{MAX_REQUESTS, PlainReception, Reception, Workers},
};
#[cfg(feature = "tls")]
use crate::{
    secure::{SecureReception, Secured},
    tls::Tls,
};
use actix_codec::{Encoder, Framed};
use actix_http::{
    ConnectionType, HttpService, Request,
    body::{self, BodySize, MessageBody},
    h1,
};
use actix_service::{Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_factory, map_config};
use actix_web::{
    App, HttpMessage,
    dev::{AppConfig, ServiceResponse},
    web::ServiceConfig,
};
use bytes::Bytes;
use futures_util::{FutureExt, future::LocalBoxFuture};
use socket2::{Domain, Protocol, SockAddr, Type};
use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    num::NonZero,
    rc::Rc,
    thread::available_parallelism,
    time::Duration,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Connections that the kernel holds until a worker takes them.
const BACKLOG: i32 = 4_096;

/// How long a client has for the head of its request, from its first byte on. See [`defer_accept`].
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How much longer than a queue may stand still the system tries to send to a client that takes nothing. An event stream
/// that waits for such a client is out of the hub's reach, and so is a client whose network is gone.
#[cfg(target_os = "linux")]
const LINGER: Duration = Duration::from_secs(45);

/// The largest body of an answer to an upgrade request that is refused.
const MAX_REFUSAL: usize = 64 * 1024;

/// Serves a [`Gateway`], and whatever else an application wants, over HTTP.
pub struct Server {
    gateway: Gateway,
    listener: TcpListener,
    workers: usize,
    /// Connections of one worker that speak HTTP.
    requests: usize,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).field("workers", &self.workers).finish()
    }
}

impl Server {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// What the system says: the port is taken, the address is none of this machine's, a port below 1024 without
    /// the right to it.
    pub fn bind(gateway: Gateway, address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // The connections inherit it.
        socket.set_tcp_nodelay(true)?;
        defer_accept(&socket)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(gateway.shared.config.limits.queue_stall + LINGER))?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        let workers = available_parallelism().map_or(1, NonZero::get);
        Ok(Self {
            gateway,
            listener: socket.into(),
            workers,
            requests: MAX_REQUESTS,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    /// How many worker threads there are. Default: one per processor.
    pub fn workers(mut self, workers: NonZero<usize>) -> Self {
        self.workers = workers.get();
        self
    }

    /// Speaks TLS, and nothing else, with this certificate: `wss://` and `https://`. Default: plain TCP. The gateway and
    /// its limits are the same; a silent connection takes more memory than without, as each has the state of its
    /// encryption. The application sees an `http` scheme in its requests all the same.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not know.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves the gateway's routes and those of `configure`, until `stop` resolves; then drains and closes the gateway.
    ///
    /// # Errors
    /// When the workers cannot be started.
    pub async fn run<C>(self, configure: C, stop: impl Future<Output = ()>) -> io::Result<()>
    where
        C: Fn(&mut ServiceConfig) + Clone + Send + 'static,
    {
        let Self { gateway, listener, workers, requests, .. } = self;
        let requests = workers.saturating_mul(requests);
        let served = gateway.clone();
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls {
            let begin = async move || secure(tls.clone(), served.clone(), configure.clone()).await;
            let workers = Workers::start(workers, requests, listener, begin).await?;
            return until(stop, gateway, workers).await;
        }
        let begin = async move || plain(served.clone(), configure.clone()).await;
        let workers = Workers::start(workers, requests, listener, begin).await?;
        until(stop, gateway, workers).await
    }
}

/// Lets the workers work until `stop` resolves, and ends them in order.
async fn until(stop: impl Future<Output = ()>, gateway: Gateway, workers: Workers) -> io::Result<()> {
    stop.await;
    gateway.drain().await;
    gateway.close().await;
    workers.stop().await;
    Ok(())
}

/// Has the kernel keep a connection to itself until the client has sent something, for a second or so: then the
/// request is there when the connection is.
#[cfg(target_os = "linux")]
fn defer_accept(socket: &socket2::Socket) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let seconds: libc::c_int = 1;
    // SAFETY: the option's value is one `c_int`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of_val(&seconds) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn defer_accept(_: &socket2::Socket) -> io::Result<()> {
    Ok(())
}

/// What takes plain connections on one worker.
async fn plain<C>(gateway: Gateway, configure: C) -> io::Result<impl Reception>
where
    C: Fn(&mut ServiceConfig) + Clone + 'static,
{
    let entrance = Entrance::new(&gateway);
    let (entered, configured) = (entrance.clone(), configure.clone());
    let upgrade = fn_factory(move || {
        let app = app(entered.clone(), configured.clone()).new_service(());
        async move { app.await.map(|app| Upgrade { app: Rc::new(app) }) }
    });
    let http = HttpService::build()
        .client_request_timeout(REQUEST_TIMEOUT)
        // So that it is noticed at once when the reader of an event stream goes.
        .h1_allow_half_closed(false)
        .on_connect_ext(|stream: &Peeked<TcpStream>, data| drop(data.insert(stream.patience.answering())))
        .upgrade(upgrade)
        .finish(app(entrance.clone(), configure).map_err(|error: actix_web::Error| error.error_response()));
    let service = http.new_service(()).await.map_err(|()| not_set_up())?;
    Ok(PlainReception::new(entrance, service))
}

/// What takes connections over TLS on one worker.
#[cfg(feature = "tls")]
async fn secure<C>(tls: Tls, gateway: Gateway, configure: C) -> io::Result<impl Reception>
where
    C: Fn(&mut ServiceConfig) + Clone + 'static,
{
    let app = app(Entrance::new(&gateway), configure);
    let http = HttpService::build()
        .client_request_timeout(REQUEST_TIMEOUT)
        .h1_allow_half_closed(false)
        .on_connect_ext(|secured: &Secured, data| {
            data.insert(secured.place.clone());
            data.insert(secured.patience.answering());
        })
        .finish(app.map_err(|error: actix_web::Error| error.error_response()));
    let service = http.new_service(()).await.map_err(|()| not_set_up())?;
    Ok(SecureReception::new(&tls, service))
}

fn not_set_up() -> io::Error {
    io::Error::other("the application could not be set up")
}

/// An `App` with the gateway's routes and those of `configure`. Its connections know what they are answering.
fn app<C>(
    entrance: Entrance,
    configure: C,
) -> impl ServiceFactory<
    Request,
    Config = (),
    Response = ServiceResponse<Answered>,
    Error = actix_web::Error,
    InitError = (),
    Service: Service<
        Request,
        Response = ServiceResponse<Answered>,
        Error = actix_web::Error,
        Future: 'static,
    > + 'static,
    Future: 'static,
>
where
    C: Fn(&mut ServiceConfig) + 'static,
{
    let app = App::new().configure(|config| entrance.route(config)).configure(configure);
    apply_fn_factory(map_config(app, |()| AppConfig::default()), |request: Request, app| {
        let answer = request.conn_data::<Answering>().map(Answering::begin);
        let answered = app.call(request);
        async move { Ok(answered.await?.map_body(|_, body| Answered::new(body, answer))) }
    })
}

/// Takes every request that wants to upgrade, and asks the application about it.
struct Upgrade<S> {
    app: Rc<S>,
}

type Upgradable = (Request, Framed<Peeked<TcpStream>, h1::Codec>);

impl<S, B> Service<Upgradable> for Upgrade<S>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ();
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<(), actix_web::Error>>;

    actix_service::always_ready!();

    fn call(&self, (request, framed): Upgradable) -> Self::Future {
        let app = self.app.clone();
        async move {
            request.extensions_mut().insert(OwnSocket);
            let (_, response) = match app.call(request).await {
                Ok(response) => response.into_parts(),
                Err(error) => return Ok(refuse(framed, error.error_response()).await?),
            };
            let mut response = response.map_into_boxed_body();
            let handoff = response.extensions_mut().remove::<Handoff>();
            match handoff {
                Some(handoff) => hand_over(framed, response, handoff)?,
                None => refuse(framed, response).await?,
            }
            Ok(())
        }
        .boxed_local()
    }
}

fn hand_over(
    framed: Framed<Peeked<TcpStream>, h1::Codec>,
    response: actix_web::HttpResponse,
    Handoff { hub, identify, seat }: Handoff,
) -> io::Result<()> {
    let mut parts = framed.into_parts();
    let head = actix_http::Response::from(response.drop_body());
    parts.codec.encode(h1::Message::Item((head, BodySize::None)), &mut parts.write_buf)?;
    let Peeked { read, stream, place, .. } = parts.io;
    // It is for those that speak HTTP.
    drop(place);
    parts.read_buf.extend_from_slice(&read);
    upgrade::open(&hub, stream, &parts.write_buf, &parts.read_buf, identify, seat);
    Ok(())
}

/// Answers a request that asked for an upgrade and does not get it, and closes.
async fn refuse(
    framed: Framed<Peeked<TcpStream>, h1::Codec>,
    response: actix_web::HttpResponse,
) -> io::Result<()> {
    let (mut response, body) = response.into_parts();
    response.head_mut().set_connection_type(ConnectionType::Close);
    let body: Bytes =
        body::to_bytes_limited(body, MAX_REFUSAL).await.ok().and_then(Result::ok).unwrap_or_default();
    let mut parts = framed.into_parts();
    let size = BodySize::Sized(body.len() as u64);
    parts.codec.encode(h1::Message::Item((response.into(), size)), &mut parts.write_buf)?;
    parts.write_buf.extend_from_slice(&body);
    parts.io.write_all(&parts.write_buf).await?;
    parts.io.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryBroadcaster;
    use std::io::Write;

    #[test]
    fn connections_do_not_wait_for_more_to_send_nor_for_ever_to_have_sent() {
        let gateway = Gateway::builder(MemoryBroadcaster::default()).build().expect("valid settings");
        let server = Server::bind(gateway, ([127, 0, 0, 1], 0).into()).expect("a free port");
        server.listener.set_nonblocking(false).expect("a socket");
        let mut client =
            std::net::TcpStream::connect(server.address().expect("an address")).expect("a listener");
        client.write_all(b"x").expect("an open connection");
        let (connection, _) = server.listener.accept().expect("a connection");
        assert!(connection.nodelay().expect("a TCP socket"));
        #[cfg(target_os = "linux")]
        assert_eq!(
            socket2::SockRef::from(&connection).tcp_user_timeout().expect("a TCP socket"),
            Some(Duration::from_secs(55))
        );
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_websocket_over_tls_leaves_its_place() {
        use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
        use tokio::{io::AsyncReadExt, sync::oneshot, time::timeout};

        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let folder = std::env::temp_dir().join(format!("tidings-places-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let (file, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&file, cert.pem()).expect("a file");
        std::fs::write(&key, signing_key.serialize_pem()).expect("a file");
        let tls = Tls::from_files(&file, &key).expect("a certificate");
        std::fs::remove_dir_all(&folder).expect("a folder");

        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("a certificate");
        let config = ClientConfig::builder_with_provider(std::sync::Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("known versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));

        let gateway = Gateway::builder(MemoryBroadcaster::default()).build().expect("valid settings");
        let server = Server::bind(gateway, ([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = server.address().expect("an address");
        let server = Server { requests: 1, ..server.workers(NonZero::<usize>::MIN).tls(tls) };
        let (stop, stopped) = oneshot::channel::<()>();
        let test = async {
            let mut open = Vec::new();
            for _ in 0..3 {
                let stream = TcpStream::connect(address).await.expect("a listening gateway");
                let name = ServerName::try_from("localhost").expect("a name");
                let mut stream = connector.connect(name, stream).await.expect("a handshake");
                let request = "GET /_broadcast HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
                stream.write_all(request.as_bytes()).await.expect("an open connection");
                let mut head = [0; 12];
                stream.read_exact(&mut head).await.expect("an answer");
                assert_eq!(&head, b"HTTP/1.1 101");
                open.push(stream);
            }
            drop(open);
            drop(stop);
        };
        actix_rt::System::new().block_on(async {
            let served = server.run(|_| (), async { drop(stopped.await) });
            let test = timeout(Duration::from_secs(60), test);
            let (served, tested) = futures_util::future::join(served, test).await;
            served.expect("a server that stops");
            tested.expect("places for all");
        });
    }
}
