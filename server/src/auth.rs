//! Who a client is, and what it may do.

use crate::{BoxError, RawJson};
use futures_util::{
    FutureExt,
    future::{Either, LocalBoxFuture, Ready, ready},
};
use std::{any::Any, fmt, future::Future, panic::AssertUnwindSafe, sync::Arc, time::SystemTime};
use tidings_protocol::{Rules, allowed_by_default};
use ulid::Ulid;

/// Who is behind a connection: the application's own user, in whatever type it has. Cheap to clone.
#[derive(Clone)]
pub struct Subject {
    /// In one piece, for every connection has a subject or room for one.
    known: Arc<Known>,
}

#[derive(Clone)]
struct Known {
    id: Arc<str>,
    user: Option<Arc<dyn Any + Send + Sync>>,
    token_id: Option<Arc<str>>,
    issued_at: Option<SystemTime>,
    expires_at: Option<SystemTime>,
}

impl Subject {
    /// The subject with the id `id`.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        let known = Known { id: id.into(), user: None, token_id: None, issued_at: None, expires_at: None };
        Self { known: Arc::new(known) }
    }

    /// The subject with the id `id`, and the application's own value for it: see [`user`](Self::user).
    pub fn with_user<U: Any + Send + Sync>(id: impl Into<Arc<str>>, user: U) -> Self {
        Self::new(id).with(|known| known.user = Some(Arc::new(user)))
    }

    /// The same, known by the token with the id `token_id`.
    pub fn with_token_id(self, token_id: impl Into<Arc<str>>) -> Self {
        self.with(|known| known.token_id = Some(token_id.into()))
    }

    /// The same, known by a token, a session or the like of this age. Without it a subject counts as older than any
    /// [`Revocation::User`](crate::Revocation::User).
    pub fn with_issued_at(self, issued_at: SystemTime) -> Self {
        self.with(|known| known.issued_at = Some(issued_at))
    }

    /// The same, until `expires_at`. What happens then, [`Config::expiry`](crate::Config::expiry) says; a subject that
    /// has expired when it comes is refused.
    pub fn with_expiry(self, expires_at: SystemTime) -> Self {
        self.with(|known| known.expires_at = Some(expires_at))
    }

    fn with(mut self, change: impl FnOnce(&mut Known)) -> Self {
        change(Arc::make_mut(&mut self.known));
        self
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.known.id
    }

    /// The id of the token that the subject came by, when it has one.
    pub fn token_id(&self) -> Option<&str> {
        self.known.token_id.as_deref()
    }

    /// When what the subject is known by was issued, when that is known.
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.known.issued_at
    }

    /// When the client stops to be this subject; `None` for never.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.known.expires_at
    }

    /// The application's own value, when it is a `U`.
    pub fn user<U: Any>(&self) -> Option<&U> {
        self.known.user.as_deref()?.downcast_ref()
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// An authorizer's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Whether the subject may use the channel.
    pub authorized: bool,
    /// On a `presence-*` channel: the member that the subject is there, `{"id": …, "info": …}`.
    pub presence: Option<RawJson>,
}

impl From<bool> for Authorization {
    fn from(authorized: bool) -> Self {
        Self { authorized, presence: None }
    }
}

/// What an authorizer may return: `bool`, [`Authorization`], or a `Result` of either. An `Err` tells the client
/// `authorization failed`, and is logged.
pub trait IntoAuthorization {
    /// The answer, or why there is none.
    fn into_authorization(self) -> Result<Authorization, BoxError>;
}

impl IntoAuthorization for bool {
    fn into_authorization(self) -> Result<Authorization, BoxError> {
        Ok(self.into())
    }
}

impl IntoAuthorization for Authorization {
    fn into_authorization(self) -> Result<Authorization, BoxError> {
        Ok(self)
    }
}

impl<A: Into<Authorization>, E: Into<BoxError>> IntoAuthorization for Result<A, E> {
    fn into_authorization(self) -> Result<Authorization, BoxError> {
        self.map(Into::into).map_err(Into::into)
    }
}

/// What a function that resolves the subject may return: `Option<Subject>`, or a `Result` of it. An `Err` means that who
/// the client says it is was refused: it is told `unauthorized`, and the reason is logged at debug level.
pub trait IntoSubject {
    /// The subject, or why it is not known.
    fn into_subject(self) -> Result<Option<Subject>, BoxError>;
}

impl IntoSubject for Option<Subject> {
    fn into_subject(self) -> Result<Option<Subject>, BoxError> {
        Ok(self)
    }
}

impl<E: Into<BoxError>> IntoSubject for Result<Option<Subject>, E> {
    fn into_subject(self) -> Result<Option<Subject>, BoxError> {
        self.map_err(Into::into)
    }
}

/// What the publish gate may return: `bool`, or a `Result` of it. An `Err` is logged and means no.
pub trait IntoVerdict {
    /// Yes, no, or why neither can be said.
    fn into_verdict(self) -> Result<bool, BoxError>;
}

impl IntoVerdict for bool {
    fn into_verdict(self) -> Result<bool, BoxError> {
        Ok(self)
    }
}

impl<E: Into<BoxError>> IntoVerdict for Result<bool, E> {
    fn into_verdict(self) -> Result<bool, BoxError> {
        self.map_err(Into::into)
    }
}

/// A client's wish to publish, for the publish gate.
#[derive(Clone, Debug)]
pub struct PublishContext {
    /// The channel.
    pub channel: Arc<str>,
    /// The event's name.
    pub event: Arc<str>,
    /// The event's data.
    pub data: RawJson,
    /// Who publishes, when that is known.
    pub subject: Option<Subject>,
    /// The connection, as `welcome` named it.
    pub client_id: Ulid,
}

type Answer<T> = LocalBoxFuture<'static, Result<T, BoxError>>;
/// Most channels have no authorizer: their answer is there at once, and costs nothing.
type QuickAnswer<T> = Either<Ready<Result<T, BoxError>>, Answer<T>>;
type Authorizer = Arc<dyn Fn(Arc<str>, Option<Subject>) -> Answer<Authorization> + Send + Sync>;

/// Decides what clients may publish.
#[derive(Clone)]
enum Gate {
    Known(Arc<dyn Fn(&PublishContext) -> bool + Send + Sync>),
    Asked(Arc<dyn Fn(PublishContext) -> Answer<bool> + Send + Sync>),
}

/// The application's rules: who may use which channel, and publish on it.
#[derive(Clone, Default)]
pub(crate) struct Access {
    authorizers: Rules<Authorizer>,
    gate: Option<Gate>,
}

impl Access {
    pub(crate) fn authorize<F, R>(&mut self, pattern: tidings_protocol::Pattern, authorizer: F)
    where
        F: Fn(Arc<str>, Option<Subject>) -> R + Send + Sync + 'static,
        R: Future<Output: IntoAuthorization> + 'static,
    {
        let authorizer: Authorizer = Arc::new(move |channel, subject| {
            let answer = authorizer(channel, subject);
            async move { answer.await.into_authorization() }.boxed_local()
        });
        self.authorizers.insert(pattern, authorizer);
    }

    pub(crate) fn gate<F, R>(&mut self, gate: F)
    where
        F: Fn(PublishContext) -> R + Send + Sync + 'static,
        R: Future<Output: IntoVerdict> + 'static,
    {
        self.gate = Some(Gate::Asked(Arc::new(move |context| {
            let answer = gate(context);
            async move { answer.await.into_verdict() }.boxed_local()
        })));
    }

    pub(crate) fn known_gate(&mut self, gate: impl Fn(&PublishContext) -> bool + Send + Sync + 'static) {
        self.gate = Some(Gate::Known(Arc::new(gate)));
    }

    /// Whether `subject` may use `channel`: by the rule that fits best, else by the default policy.
    pub(crate) fn check(&self, channel: Arc<str>, subject: Option<Subject>) -> QuickAnswer<Authorization> {
        match self.authorizers.get(&channel) {
            Some(authorizer) => Either::Right(contain(|| authorizer(channel, subject))),
            None => Either::Left(ready(Ok(allowed_by_default(&channel).into()))),
        }
    }

    /// Whether a client may publish. Without a gate, none may.
    pub(crate) fn check_publish(&self, context: &PublishContext) -> QuickAnswer<bool> {
        match &self.gate {
            Some(Gate::Known(gate)) => {
                let known = std::panic::catch_unwind(AssertUnwindSafe(|| gate(context)));
                Either::Left(ready(known.map_err(|_| panicked())))
            }
            Some(Gate::Asked(gate)) => Either::Right(contain(|| gate(context.clone()))),
            None => Either::Left(ready(Ok(false))),
        }
    }
}

/// Runs the application's code so that a panic in it is a failure of this one answer.
pub(crate) fn contain<T: 'static>(call: impl FnOnce() -> Answer<T>) -> Answer<T> {
    match std::panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => AssertUnwindSafe(answer)
            .catch_unwind()
            .map(|done| done.unwrap_or_else(|_| Err(panicked())))
            .boxed_local(),
        Err(_) => ready(Err(panicked())).boxed_local(),
    }
}

fn panicked() -> BoxError {
    "the application's function panicked".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(rules: &[(&str, Result<bool, &'static str>)]) -> Access {
        let mut access = Access::default();
        for (pattern, answer) in rules.iter().copied() {
            access.authorize(pattern.parse().expect("a pattern"), move |_, _| ready(answer));
        }
        access
    }

    async fn ask(access: &Access, channel: &str) -> Result<bool, String> {
        access.check(channel.into(), None).await.map(|a| a.authorized).map_err(|e| e.to_string())
    }

    #[actix_web::test]
    async fn rules_come_before_the_default_policy() {
        let access = access(&[("private-a*", Ok(true)), ("open", Ok(false)), ("sick", Err("down"))]);
        assert_eq!(ask(&access, "private-a.1").await, Ok(true));
        assert_eq!(ask(&access, "private-b").await, Ok(false));
        assert_eq!(ask(&access, "open").await, Ok(false));
        assert_eq!(ask(&access, "other").await, Ok(true));
        assert_eq!(ask(&access, "sick").await, Err("down".to_owned()));
    }

    #[actix_web::test]
    async fn a_panic_is_a_failed_answer() {
        let mut access = Access::default();
        access.authorize("now".parse().expect("a pattern"), |_, _| -> std::future::Ready<bool> {
            panic!("boom")
        });
        access.authorize("later".parse().expect("a pattern"), |_, _| async { panic!("boom") as bool });
        assert!(ask(&access, "now").await.is_err());
        assert!(ask(&access, "later").await.is_err());
    }

    #[actix_web::test]
    async fn clients_publish_nothing_unless_a_gate_lets_them() {
        let context = |event: &str| PublishContext {
            channel: "a".into(),
            event: event.into(),
            data: RawJson::trusted("1"),
            subject: Some(Subject::with_user("u1", 7_u32)),
            client_id: Ulid::nil(),
        };
        let mut access = Access::default();
        assert!(!access.check_publish(&context("e")).await.expect("no failure"));
        access.gate(|c| async move {
            c.subject.and_then(|s| s.user::<u32>().copied()) == Some(7) && &*c.event == "e"
        });
        assert!(access.check_publish(&context("e")).await.expect("no failure"));
        assert!(!access.check_publish(&context("f")).await.expect("no failure"));
        access.known_gate(|c| if &*c.event == "sick" { panic!("boom") } else { &*c.event == "e" });
        assert!(access.check_publish(&context("e")).await.expect("no failure"));
        assert!(!access.check_publish(&context("f")).await.expect("no failure"));
        assert!(access.check_publish(&context("sick")).await.is_err());
    }
}
