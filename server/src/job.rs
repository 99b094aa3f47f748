//! What a hub has others do: the application's functions and the broadcaster, neither of which answers at once.

use crate::{
    Authorization, BoxError, PublishContext, Subject,
    gateway::Shared,
    mailbox::{Mailbox, Token},
    upstream::Member,
};
use futures_util::future::LocalBoxFuture;
use std::{fmt, sync::Arc};
use tidings_protocol::reason;
use tracing::{debug, warn};

pub(crate) type Identify = LocalBoxFuture<'static, Result<Option<Subject>, BoxError>>;

/// Work for a hub to start.
pub(crate) enum Job {
    /// Find out who a client is.
    Identify { token: Token, answer: Identify },
    /// Find out whether a subject may use a channel.
    Authorize { token: Token, ticket: u32, channel: Arc<str>, subject: Option<Subject> },
    /// Check and publish what a client wants to.
    Publish { token: Token, context: PublishContext },
    /// Get the events of a channel.
    Join { channel: Arc<str> },
}

/// What came of a [`Job`].
pub(crate) enum Done {
    Identified { token: Token, subject: Option<Subject> },
    Authorized { token: Token, ticket: u32, answer: Option<Authorization> },
    Published { token: Token, channel: Arc<str>, refused: Option<&'static str> },
    Joined { channel: Arc<str>, member: Option<Member> },
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
                let subject = answer.await.unwrap_or_else(|error| {
                    warn!(error, "the subject of a connection could not be resolved");
                    None
                });
                Done::Identified { token, subject }
            }
            Self::Authorize { token, ticket, channel, subject } => {
                let answer = shared.access.check(channel.clone(), subject).await;
                if let Err(error) = &answer {
                    warn!(channel = &*channel, error, "an authorizer failed");
                }
                Done::Authorized { token, ticket, answer: answer.ok() }
            }
            Self::Publish { token, context } => {
                let channel = context.channel.clone();
                let refused = publish(&shared, context).await.err();
                Done::Published { token, channel, refused }
            }
            Self::Join { channel } => {
                let joined = shared.upstreams.join(&*shared.broadcaster, channel.clone(), hub).await;
                if let Err(error) = &joined {
                    warn!(channel = &*channel, %error, "a channel could not be subscribed");
                }
                Done::Joined { channel, member: joined.ok() }
            }
        }
    }
}

/// A client's publish: the authorizer that guards the channel, then the gate, then the broadcaster.
async fn publish(shared: &Shared, context: PublishContext) -> Result<(), &'static str> {
    let PublishContext { channel, event, data, subject, .. } = context.clone();
    match shared.access.check(channel.clone(), subject).await {
        Ok(answer) if answer.authorized => {}
        Ok(_) => return Err(reason::UNAUTHORIZED),
        Err(error) => {
            warn!(channel = &*channel, error, "an authorizer failed");
            return Err(reason::AUTHORIZATION_FAILED);
        }
    }
    match shared.access.check_publish(context).await {
        Ok(true) => {}
        Ok(false) => return Err(reason::PUBLISH_DENIED),
        Err(error) => {
            warn!(channel = &*channel, error, "the publish gate failed");
            return Err(reason::PUBLISH_DENIED);
        }
    }
    match shared.broadcaster.publish(&channel, crate::Event::new(event, data)).await {
        Ok(_) => Ok(()),
        Err(error) => {
            debug!(channel = &*channel, %error, "a client's publish failed");
            Err(reason::PUBLISH_FAILED)
        }
    }
}
