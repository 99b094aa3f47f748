//! A link that comes back.

use super::{Shared, link::Link};
use crate::backoff::Backoff;
use std::sync::Arc;
use tokio::{runtime::Handle, time::Instant};
use tokio_util::task::AbortOnDropHandle;

/// A link that is made when it is wanted and not there; after an attempt that failed, not before a while.
pub(super) struct Reconnecting {
    link: Option<Arc<Link>>,
    /// Where connections live: the runtime of who asks may end before they do.
    runtime: Handle,
    backoff: Backoff,
    retry_at: Instant,
    /// Why the last attempt failed.
    reason: String,
    /// How often the reader's link had come back at the last attempt.
    returns: u64,
}

impl Reconnecting {
    pub(super) fn new(link: Option<Link>) -> Self {
        let (runtime, backoff, retry_at) = (Handle::current(), Backoff::default(), Instant::now());
        Self { link: link.map(Arc::new), runtime, backoff, retry_at, reason: String::new(), returns: 0 }
    }

    /// The link, or why there is none.
    pub(super) async fn get(&mut self, shared: &Arc<Shared>) -> Result<Arc<Link>, String> {
        if let Some(link) = self.link.as_ref().filter(|link| !link.client.is_closed()) {
            return Ok(link.clone());
        }
        // Where the reader gets through, so does this one.
        let returns = shared.returns();
        if returns == self.returns && Instant::now() < self.retry_at {
            return Err(self.reason.clone());
        }
        self.returns = returns;
        let shared = shared.clone();
        let opening = self.runtime.spawn(async move { Link::open(&shared.config, None).await });
        match AbortOnDropHandle::new(opening).await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(link) => {
                self.backoff.reset();
                self.retry_at = Instant::now();
                Ok(self.link.insert(Arc::new(link)).clone())
            }
            Err(reason) => {
                self.retry_at = Instant::now() + self.backoff.next();
                self.reason.clone_from(&reason);
                Err(reason)
            }
        }
    }

    /// Ends `link`, if it is still this one.
    pub(super) fn lose(&mut self, link: &Arc<Link>) {
        self.link.take_if(|current| Arc::ptr_eq(current, link));
    }

    pub(super) fn close(&mut self) {
        self.link = None;
    }
}
