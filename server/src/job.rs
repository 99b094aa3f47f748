//! What a hub has others do: the application's functions and the broadcaster, neither of which answers at once.

use crate::{
    Authorization, BoxError, Event, Page, Position, PublishContext, Published, Range, Subject,
    gateway::Shared,
    mailbox::{Mailbox, Spot, Token},
    metrics::{Outcome, Source},
    upstream::{Member, Route},
};
use futures_util::future::LocalBoxFuture;
use std::{fmt, sync::Arc};
use tidings_protocol::{Why, reason};
use tracing::{debug, warn};

pub(crate) type Identify = LocalBoxFuture<'static, Result<Option<Subject>, BoxError>>;

/// The application did not take a client for who it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// Work for a hub to start.
pub(crate) enum Job {
    /// Find out who a client is.
    Identify { token: Token, answer: Identify },
    /// Find out who is behind what a client calls itself known by.
    Resolve { token: Token, secret: Arc<str> },
    /// Find out whether a subject may use a channel.
    Authorize { token: Token, ticket: u32, channel: Arc<str>, subject: Option<Subject> },
    /// Check and publish what a client wants to.
    Publish { token: Token, context: PublishContext, key: Option<Arc<str>> },
    /// Check whether a client may, and read from a channel's past.
    History { token: Token, request: u64, channel: Arc<str>, range: Range, subject: Option<Subject> },
    /// Get the events of a channel.
    Join { channel: Arc<str>, spot: Spot },
    /// Get the events of a channel that came after a position.
    Recover { channel: Arc<str>, route: Arc<Route>, from: Position },
}

/// What came of a [`Job`].
pub(crate) enum Done {
    Identified { token: Token, answer: Result<Option<Subject>, Refused> },
    Resolved { token: Token, subject: Option<Subject> },
    Authorized { token: Token, ticket: u32, answer: Option<Authorization> },
    Published { token: Token, outcome: Result<Published, &'static str> },
    History { token: Token, request: u64, channel: Arc<str>, outcome: Result<Page, &'static str> },
    Joined { channel: Arc<str>, member: Option<Member> },
    Recovered { channel: Arc<str>, route: Arc<Route>, from: Position, outcome: Result<(), Why> },
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

impl Job {
    pub(crate) async fn run(self, shared: Arc<Shared>, hub: Arc<Mailbox>) -> Done {
        match self {
            Self::Identify { token, answer } => {
                Done::Identified { token, answer: identify(&shared, answer).await }
            }
            Self::Resolve { token, secret } => {
                let subject = identify(&shared, shared.resolve(secret)).await.ok().flatten();
                Done::Resolved { token, subject }
            }
            Self::Authorize { token, ticket, channel, subject } => {
                let answer = shared.authorize(channel.clone(), subject).await;
                if let Err(error) = &answer {
                    warn!(channel = &*channel, error, "an authorizer failed");
                }
                Done::Authorized { token, ticket, answer: answer.ok() }
            }
            Self::Publish { token, context, key } => {
                let outcome = publish(&shared, context, key).await;
                shared.counters.published(Source::Client, in_short(&outcome));
                Done::Published { token, outcome }
            }
            Self::History { token, request, channel, range, subject } => {
                let outcome = history(&shared, &channel, range, subject).await;
                Done::History { token, request, channel, outcome }
            }
            Self::Join { channel, spot } => {
                let joined = shared.upstreams.join(&*shared.broadcaster, channel.clone(), hub, spot).await;
                if let Err(error) = &joined {
                    warn!(channel = &*channel, %error, "a channel could not be subscribed");
                }
                Done::Joined { channel, member: joined.ok() }
            }
            Self::Recover { channel, route, from } => {
                let outcome = route.recover(&*shared.broadcaster, &from).await;
                Done::Recovered { channel, route, from, outcome }
            }
        }
    }
}

/// Who a client is, once it is known who is locked out.
pub(crate) async fn identify(shared: &Shared, answer: Identify) -> Result<Option<Subject>, Refused> {
    let subject = answer.await.map_err(|error| {
        debug!(error, "a client is not taken for who it says it is");
        Refused
    })?;
    if subject.is_some() {
        shared.control.ready().await;
    }
    Ok(subject)
}

/// Whether a subject may use a channel, or why not.
async fn admit(shared: &Shared, channel: &Arc<str>, subject: Option<Subject>) -> Result<(), &'static str> {
    match shared.authorize(channel.clone(), subject).await {
        Ok(answer) if answer.authorized => Ok(()),
        Ok(_) => Err(reason::UNAUTHORIZED),
        Err(error) => {
            warn!(channel = &**channel, error, "an authorizer failed");
            Err(reason::AUTHORIZATION_FAILED)
        }
    }
}

/// A client's publish: the authorizer that guards the channel, then the gate, then the broadcaster.
async fn publish(
    shared: &Shared,
    context: PublishContext,
    key: Option<Arc<str>>,
) -> Result<Published, &'static str> {
    admit(shared, &context.channel, context.subject.clone()).await?;
    match shared.access.check_publish(&context).await {
        Ok(true) => {}
        Ok(false) => return Err(reason::PUBLISH_DENIED),
        Err(error) => {
            warn!(channel = &*context.channel, error, "the publish gate failed");
            return Err(reason::PUBLISH_DENIED);
        }
    }
    let PublishContext { channel, event, data, .. } = context;
    let mut event = Event::new(event, data);
    event.key = key;
    shared.publish(&channel, event).await.map_err(|error| {
        debug!(channel = &*channel, %error, "a client's publish failed");
        reason::PUBLISH_FAILED
    })
}

fn in_short<T>(outcome: &Result<T, &'static str>) -> Outcome {
    match *outcome {
        Ok(_) => Outcome::Accepted,
        Err(reason::UNAUTHORIZED | reason::PUBLISH_DENIED) => Outcome::Denied,
        Err(_) => Outcome::Failed,
    }
}

async fn history(
    shared: &Shared,
    channel: &Arc<str>,
    range: Range,
    subject: Option<Subject>,
) -> Result<Page, &'static str> {
    admit(shared, channel, subject).await?;
    match shared.broadcaster.history(channel, range).await {
        Ok(page) => page.ok_or(reason::NO_HISTORY),
        Err(error) => {
            warn!(channel = &**channel, %error, "history could not be read");
            Err(reason::HISTORY_FAILED)
        }
    }
}
