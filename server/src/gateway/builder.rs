//! What a gateway is built of.

use super::{Gateway, IsOfNobody, Shared, SubjectResolver, TokenResolver};
#[cfg(feature = "webhooks")]
use crate::NotifyWebhook;
use crate::{
    BroadcastError, Broadcaster, Config, IntoAuthorization, IntoSubject, IntoVerdict, PublishContext,
    Subject,
    auth::Access,
    metrics::Counters,
    peers::Peers,
    upstream::{ResumeLimits, Upstreams, Watch},
};
use actix_web::HttpRequest;
use futures_util::FutureExt;
use governor::{Quota, RateLimiter};
use std::{
    fmt,
    future::Future,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
};
use tidings_protocol::Pattern;
use tokio::sync::Notify;

/// Builds a [`Gateway`].
pub struct Builder {
    config: Config,
    access: Access,
    broadcaster: Box<dyn Broadcaster>,
    resolve_subject: Option<SubjectResolver>,
    is_of_nobody: IsOfNobody,
    resolve_token: Option<TokenResolver>,
    #[cfg(feature = "webhooks")]
    notify: Option<Arc<NotifyWebhook>>,
    echo: bool,
    mistake: Option<BroadcastError>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new(broadcaster: impl Broadcaster) -> Self {
        Self {
            config: Config::default(),
            access: Access::default(),
            broadcaster: Box::new(broadcaster),
            resolve_subject: None,
            is_of_nobody: |_| true,
            resolve_token: None,
            #[cfg(feature = "webhooks")]
            notify: None,
            echo: false,
            mistake: None,
        }
    }

    /// Sets everything that is in [`Config`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Lets `authorizer` decide who may use the channels of `pattern`, an exact name or a prefix with one
    /// trailing `*`. Exact beats prefix, a longer prefix beats a shorter one, and the last rule for the same
    /// pattern counts. Channels without a rule follow the default: `private-*` and `presence-*` are denied, all
    /// others allowed. An authorizer runs on the client's worker thread, once per `sub` and per `pub`.
    pub fn authorize<F, R>(mut self, pattern: &str, authorizer: F) -> Self
    where
        F: Fn(Arc<str>, Option<Subject>) -> R + Send + Sync + 'static,
        R: Future<Output: IntoAuthorization> + 'static,
    {
        match pattern.parse::<Pattern>() {
            Ok(pattern) => self.access.authorize(pattern, authorizer),
            Err(error) => {
                self.mistake.get_or_insert_with(|| BroadcastError::Config(error.to_string()));
            }
        }
        self
    }

    /// Tells who is behind a connection. Runs once for each, from the upgrade request; `welcome` does not wait for
    /// it, subscriptions and publishes do. `None` is nobody; who is refused (`Err`, or a subject that has expired or is
    /// revoked) is nobody too, and is told `{"t":"err","c":"","r":"unauthorized"}`. Without this function and
    /// [`resolve_token`](Self::resolve_token) nobody is anybody.
    pub fn resolve_subject<F, R>(self, resolve: F) -> Self
    where
        F: Fn(HttpRequest) -> R + Send + Sync + 'static,
        R: Future<Output: IntoSubject> + 'static,
    {
        self.resolve_subject_unless(|_| false, resolve)
    }

    /// The same, without asking about clients that are nobody.
    pub(crate) fn resolve_subject_unless<F, R>(mut self, is_of_nobody: IsOfNobody, resolve: F) -> Self
    where
        F: Fn(HttpRequest) -> R + Send + Sync + 'static,
        R: Future<Output: IntoSubject> + 'static,
    {
        self.is_of_nobody = is_of_nobody;
        self.resolve_subject = Some(Arc::new(move |request| {
            let subject = resolve(request);
            async move { subject.await.into_subject() }.boxed_local()
        }));
        self
    }

    /// Tells who is behind the token of an `auth` frame, by which a client becomes somebody, or somebody else, without a
    /// new connection. It is answered `{"t":"auth","exp":1790000000}`, `exp` being the subject's expiry in seconds since
    /// 1970, if it has one; its channels are then authorized again, and it loses those that are refused. When nobody is
    /// behind the token (`None`, `Err`, or a subject that has expired or is revoked) the answer is
    /// `{"t":"err","c":"","r":"unauthorized"}`, and all stays as it was. So it is without this function.
    ///
    /// What a client sends behind the frame waits until it is answered. Of one connection, one token is asked about at a
    /// time and one waits; others are answered `too many requests`.
    pub fn resolve_token<F, R>(mut self, resolve: F) -> Self
    where
        F: Fn(Arc<str>) -> R + Send + Sync + 'static,
        R: Future<Output: IntoSubject> + 'static,
    {
        self.resolve_token = Some(Arc::new(move |token| {
            let subject = resolve(token);
            async move { subject.await.into_subject() }.boxed_local()
        }));
        self
    }

    /// Decides which events clients may publish, after the channel's authorizer has said yes. Without it, none.
    pub fn allow_client_publish<F, R>(mut self, gate: F) -> Self
    where
        F: Fn(PublishContext) -> R + Send + Sync + 'static,
        R: Future<Output: IntoVerdict> + 'static,
    {
        self.access.gate(gate);
        self
    }

    /// The same, where it is known at once: it costs a publish less. `gate` must not block.
    pub fn allow_client_publish_if(
        mut self,
        gate: impl Fn(&PublishContext) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.access.known_gate(gate);
        self
    }

    /// Tells the application over HTTP which channels have subscribers.
    #[cfg(feature = "webhooks")]
    pub fn notify(mut self, webhook: impl Into<Arc<NotifyWebhook>>) -> Self {
        self.notify = Some(webhook.into());
        self
    }

    /// Who hears which channels have subscribers.
    #[cfg(feature = "webhooks")]
    fn watch(&self) -> Option<Watch> {
        let notify = self.notify.clone()?;
        Some(Box::new(move |channel, occupancy| notify.push(channel, occupancy)))
    }

    #[cfg(not(feature = "webhooks"))]
    fn watch(&self) -> Option<Watch> {
        None
    }

    /// Sends clients back what they say, and nothing else: for a judge of the WebSocket protocol.
    #[cfg(feature = "conformance")]
    pub fn echo(mut self) -> Self {
        self.echo = true;
        self
    }

    /// The gateway.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] names what is wrong: a pattern, the path, an origin, a limit of zero.
    pub fn build(self) -> Result<Gateway, BroadcastError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        self.config.check().map_err(BroadcastError::Config)?;
        let limits = &self.config.limits;
        let per_second = NonZero::new(limits.connections_per_second).expect("the settings were checked");
        let counters = Arc::<Counters>::default();
        let resume = ResumeLimits { events: limits.resume_events, bytes: limits.resume_bytes() };
        let shared = Shared {
            upstreams: Arc::new(Upstreams::new(resume, self.watch(), counters.clone())),
            peers: Peers::new(&self.config),
            config: Arc::new(self.config),
            access: self.access,
            broadcaster: self.broadcaster,
            clients: AtomicUsize::new(0),
            client_left: Notify::new(),
            counters,
            resolve_subject: self.resolve_subject,
            is_of_nobody: self.is_of_nobody,
            control: Arc::default(),
            resolve_token: self.resolve_token,
            hubs: Arc::default(),
            #[cfg(feature = "webhooks")]
            notify: self.notify,
            echo: self.echo,
            pace: RateLimiter::direct(pace(per_second)),
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        };
        Ok(Gateway { shared: Arc::new(shared) })
    }
}

/// In no second more than `per_second`, and a tenth of them at once.
fn pace(per_second: NonZero<u32>) -> Quota {
    let burst = NonZero::new(per_second.get() / 10).unwrap_or(NonZero::<u32>::MIN);
    let rest = NonZero::new(per_second.get() - burst.get() + 1).unwrap_or(NonZero::<u32>::MIN);
    Quota::per_second(rest).allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use std::{collections::VecDeque, time::Duration};

    #[test]
    fn no_second_has_more_than_the_pace() {
        const STEP: Duration = Duration::from_micros(500);
        for per_second in [1, 2, 5, 10, 20, 99, 1_000] {
            let clock = FakeRelativeClock::default();
            let limit = NonZero::new(per_second).expect("some");
            let limiter = RateLimiter::direct_with_clock(pace(limit), clock.clone());
            let (mut recent, mut all, mut most) = (VecDeque::new(), 0, 0);
            for step in 0..6_000 {
                while limiter.check().is_ok() {
                    recent.push_back(step);
                    all += 1;
                }
                while recent.front().is_some_and(|then| step - then >= 2_000) {
                    recent.pop_front();
                }
                most = most.max(recent.len());
                clock.advance(STEP);
            }
            assert!(most <= per_second as usize, "{most} in one second of {per_second}");
            assert!(all >= 2 * per_second, "{all} in three seconds of {per_second}");
        }
    }
}
