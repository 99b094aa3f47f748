//! The gateway: what an application mounts and publishes through, and what its hubs share.

mod builder;

pub use builder::Builder;

#[cfg(feature = "webhooks")]
use crate::NotifyWebhook;
use crate::{
    Authorization, BoxError, BroadcastError, Broadcaster, Config, Event, Page, Published, Range, Subject,
    auth::{self, Access},
    control::Control,
    handshake::Handshake,
    job::Identify,
    mailbox::{Hubs, Post},
    metrics::{Counters, Metrics, Outcome, Source},
    names,
    peers::{Full, Peers, Seat},
    upgrade,
    upstream::Upstreams,
};
use actix_web::{HttpRequest, web::ServiceConfig};
use futures_util::{
    FutureExt,
    future::{Either, ready},
};
use governor::DefaultDirectRateLimiter;
use std::{
    fmt,
    future::poll_fn,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, Instant, SystemTime},
};
use tidings_protocol::CloseCode;
use tokio::{sync::Notify, time::timeout};

/// How long [`Gateway::close`] waits for the clients to go.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits for the application to have heard of everything.
#[cfg(feature = "webhooks")]
const NOTIFY_PATIENCE: Duration = Duration::from_secs(2);

type SubjectResolver = Arc<dyn Fn(HttpRequest) -> Identify + Send + Sync>;
type TokenResolver = Arc<dyn Fn(Arc<str>) -> Identify + Send + Sync>;

/// Tells of a handshake whether its client is nobody, whatever else may be in the request.
pub(crate) type IsOfNobody = fn(&Handshake<'_>) -> bool;

/// What the gateway's hubs share.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) access: Access,
    pub(crate) broadcaster: Box<dyn Broadcaster>,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) clients: AtomicUsize,
    pub(crate) client_left: Notify,
    pub(crate) counters: Arc<Counters>,
    pub(crate) resolve_subject: Option<SubjectResolver>,
    pub(crate) is_of_nobody: IsOfNobody,
    pub(crate) control: Arc<Control>,
    resolve_token: Option<TokenResolver>,
    pub(crate) hubs: Arc<Hubs>,
    #[cfg(feature = "webhooks")]
    notify: Option<Arc<NotifyWebhook>>,
    echo: bool,
    pace: DefaultDirectRateLimiter,
    peers: Option<Arc<Peers>>,
    draining: AtomicBool,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn tell_hubs(&self, post: impl Fn() -> Post) {
        self.hubs.tell(post);
    }

    /// Whether clients get back what they say, and nothing else.
    pub(crate) fn echoes(&self) -> bool {
        cfg!(feature = "conformance") && self.echo
    }

    /// Whether no new clients are taken.
    pub(crate) fn is_closing(&self) -> bool {
        self.draining.load(Ordering::Acquire) || self.is_closed()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether another connection may be opened at this moment, by the number of those before it.
    pub(crate) fn in_pace(&self) -> bool {
        self.pace.check().is_ok()
    }

    /// The place of a connection from `peer` among those of its address; `None` where these are not counted.
    pub(crate) fn seat<'a>(
        &self,
        peer: Option<SocketAddr>,
        forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> Result<Option<Box<Seat>>, Full> {
        let (Some(peers), Some(peer)) = (&self.peers, peer) else { return Ok(None) };
        peers.seat(peer, forwarded).map(Some)
    }

    /// Whether `subject` may use `channel`. Where an authorizer is asked, its time is measured.
    pub(crate) async fn authorize(
        &self,
        channel: Arc<str>,
        subject: Option<Subject>,
    ) -> Result<Authorization, BoxError> {
        match self.access.check(channel, subject) {
            Either::Left(known) => known.await,
            Either::Right(asked) => {
                let began = Instant::now();
                let answer = asked.await;
                self.counters.authorized(&answer, began.elapsed());
                answer
            }
        }
    }

    /// Publishes what was checked, and measures how long the backplane takes. What is done at once took no time: reading
    /// the clock takes as long.
    pub(crate) async fn publish(&self, channel: &str, event: Event) -> Result<Published, BroadcastError> {
        let mut publishing = self.broadcaster.publish(channel, event);
        let (published, time) = match poll_fn(|cx| Poll::Ready(publishing.poll_unpin(cx))).await {
            Poll::Ready(published) => (published, Duration::ZERO),
            Poll::Pending => {
                let began = Instant::now();
                (publishing.await, began.elapsed())
            }
        };
        self.counters.took_to_publish(time);
        published
    }

    /// Counts what has become of a backend's publish.
    pub(crate) fn count_published(&self, published: &Result<Published, BroadcastError>) {
        let outcome = match published {
            Ok(_) => Outcome::Accepted,
            Err(BroadcastError::Config(_)) => Outcome::Invalid,
            Err(_) => Outcome::Failed,
        };
        self.counters.published(Source::Backend, outcome);
    }

    /// Whether all clients have gone in time.
    async fn emptied(&self, within: Duration) -> bool {
        let all_gone = async {
            loop {
                let left = self.client_left.notified();
                if self.clients.load(Ordering::Acquire) == 0 {
                    return;
                }
                left.await;
            }
        };
        timeout(within, all_gone).await.is_ok()
    }

    pub(crate) fn identify(&self, request: HttpRequest) -> Identify {
        match &self.resolve_subject {
            Some(resolve) => auth::contain(|| resolve(request)),
            None => ready(Ok(None)).boxed_local(),
        }
    }

    pub(crate) fn resolve(&self, token: Arc<str>) -> Identify {
        match &self.resolve_token {
            Some(resolve) => auth::contain(|| resolve(token)),
            None => ready(Ok(None)).boxed_local(),
        }
    }

    /// Whether anybody can be somebody.
    pub(crate) fn knows_subjects(&self) -> bool {
        self.resolve_subject.is_some() || self.resolve_token.is_some()
    }

    /// Whether a client may be `subject` now: it has not expired, and is not locked out.
    pub(crate) fn admits(&self, subject: &Subject) -> bool {
        let now = SystemTime::now();
        subject.expires_at().is_none_or(|at| at > now) && !self.control.refuses(subject, now)
    }
}

/// A gateway for real-time channels. A clone is the same gateway.
///
/// ```no_run
/// use actix_web::{App, HttpServer};
/// use serde_json::json;
/// use tidings_server::{Event, Gateway, MemoryBroadcaster, Subject};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let gateway = Gateway::builder(MemoryBroadcaster::default())
///     .resolve_subject(|request| async move {
///         let user = request.headers().get("x-user")?.to_str().ok()?;
///         Some(Subject::new(user))
///     })
///     .authorize("private-orders.*", |channel, subject| async move {
///         subject.is_some_and(|s| channel.ends_with(&format!(".{}", s.id())))
///     })
///     .allow_client_publish(|context| async move { context.channel.starts_with("chat.") })
///     .build()?;
///
/// let routes = gateway.clone();
/// let server = HttpServer::new(move || App::new().configure(routes.routes())).bind("127.0.0.1:8080")?.run();
/// actix_web::rt::spawn(server);
///
/// gateway.publish("orders.42", Event::new("order.paid", json!({"amount": 4900}))).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Gateway {
    pub(crate) shared: Arc<Shared>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("clients", &self.client_count())
            .field("channels", &self.channel_count())
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// Starts to build a gateway over `broadcaster`.
    pub fn builder(broadcaster: impl Broadcaster) -> Builder {
        Builder::new(broadcaster)
    }

    /// The gateway's routes, for [`App::configure`](actix_web::App::configure): the WebSocket at
    /// [`Config::path`], and server-sent events at `/sse` under it: `?channel=orders.42`, and `&channel=…` for each more.
    /// Each worker thread gets connections of its own.
    ///
    /// An actix-web `HttpServer` finds out by [`Config::sse_heartbeat`] that a stream's reader has gone; with
    /// `h1_allow_half_closed(false)`, at once.
    pub fn routes(&self) -> impl FnOnce(&mut ServiceConfig) + use<> {
        upgrade::routes(self.clone())
    }

    /// Publishes `event` on `channel`; resolves when the backplane has accepted it. While the clients' workers are
    /// behind with what was published before, it waits for them.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] for an invalid channel, event name or key, otherwise what the broadcaster says.
    pub async fn publish(&self, channel: &str, event: Event) -> Result<Published, BroadcastError> {
        let published = self.check_and_publish(channel, event).await;
        self.shared.count_published(&published);
        published
    }

    async fn check_and_publish(&self, channel: &str, event: Event) -> Result<Published, BroadcastError> {
        names::check(channel, &event)?;
        self.shared.upstreams.backlog.room().await;
        self.shared.publish(channel, event).await
    }

    /// Asks the rules whether `subject` may use `channel`.
    ///
    /// # Errors
    /// [`BroadcastError::Unauthorized`] when it may not, [`BroadcastError::Authorizer`] when the authorizer failed.
    pub async fn authorize_for(
        &self,
        channel: &str,
        subject: Option<Subject>,
    ) -> Result<Authorization, BroadcastError> {
        match self.shared.authorize(channel.into(), subject).await {
            Ok(answer) if answer.authorized => Ok(answer),
            Ok(_) => Err(BroadcastError::Unauthorized { channel: channel.to_owned() }),
            Err(source) => Err(BroadcastError::Authorizer { channel: channel.to_owned(), source }),
        }
    }

    /// How many clients are connected.
    pub fn client_count(&self) -> usize {
        self.shared.clients.load(Ordering::Acquire)
    }

    /// How many channels have at least one subscriber.
    pub fn channel_count(&self) -> usize {
        self.shared.upstreams.len()
    }

    /// How many clients are subscribed to `channel`.
    pub fn subscriber_count(&self, channel: &str) -> usize {
        self.shared.upstreams.subscribers(channel)
    }

    /// How many frames of clients were dropped because they made no sense.
    pub fn dropped_frame_count(&self) -> u64 {
        Metrics::new(self).dropped_frames()
    }

    /// Sends the clients away: refuses new ones, tells each that it will be closed, and closes them with 1012 in random
    /// order, no more of them in a second than [`Limits::connections_per_second`](crate::Limits), and all within
    /// [`Config::drain`]. Until then they get their events. Returns when all have gone, or should have. Then
    /// [`close`](Self::close). A second call does nothing.
    pub async fn drain(&self) {
        let shared = &self.shared;
        if shared.is_closing() || shared.draining.swap(true, Ordering::AcqRel) {
            return;
        }
        let per_second = u64::from(shared.config.limits.connections_per_second);
        let wanted = self.client_count() as u64 * 1_000 / per_second;
        let within = Duration::from_millis(wanted).min(shared.config.drain);
        shared.tell_hubs(|| Post::Drain(within.as_millis() as u64));
        shared.emptied(within + CLOSE_PATIENCE).await;
    }

    /// Reads a page of what was published on `channel`: the last `limit` events, or of those below the offset
    /// `before`, oldest first. `None` when the channel has no history.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] for an invalid channel, otherwise what the broadcaster says.
    pub async fn history(
        &self,
        channel: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Option<Page>, BroadcastError> {
        names::check_channel(channel)?;
        self.shared.broadcaster.history(channel, Range::Before { offset: before, limit }).await
    }

    /// Closes every connection with 1012, refuses new ones, and closes the broadcaster. Waits up to five seconds
    /// for the clients to go. A second call does nothing.
    pub async fn close(&self) {
        let shared = &self.shared;
        if shared.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        shared.tell_hubs(|| Post::CloseAll(CloseCode::Restart));
        if !shared.emptied(CLOSE_PATIENCE).await {
            tracing::warn!(clients = self.client_count(), "some clients did not answer the close in time");
        }
        #[cfg(feature = "webhooks")]
        if let Some(notify) = &shared.notify {
            notify.flush(NOTIFY_PATIENCE).await;
        }
        shared.broadcaster.close().await;
        shared.control.wake();
    }
}
