//! Looks after the link: notices when it is lost or its stream has become another one, and makes the next.

use super::{
    Inner, Status,
    link::{self, Link},
    stream::StreamError,
};
use crate::backoff::Backoff;
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

/// How often the stream is asked how it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long it may take to say so.
const PATIENCE: Duration = Duration::from_secs(2);

/// So many looks later every channel is compared with a stream that has gone on: what a cluster lost between two of its
/// servers is found then, if no later event of the channel has shown it.
const COMPARE_EVERY: u64 = 15;

/// Runs until it is aborted.
pub(super) async fn run(inner: Arc<Inner>, mut link: Arc<Link>) {
    loop {
        let why = watch(&inner, &link).await;
        warn!(why, "the link to NATS is lost");
        inner.set(Status::Down(why.into()));
        link.signals.dead.send_replace(true);
        drop(link);
        link = again(&inner).await;
        inner.trouble.lock().take();
        inner.set(Status::Up(link.clone()));
        info!("the link to NATS is back");
    }
}

async fn again(inner: &Inner) -> Arc<Link> {
    let mut backoff = Backoff::default();
    loop {
        tokio::time::sleep(backoff.next()).await;
        match inner.establish().await {
            Ok(link) => return Arc::new(link),
            Err(why) => {
                inner.set(Status::Down(why.into()));
            }
        }
    }
}

/// Why the link is of no use any longer.
async fn watch(inner: &Inner, link: &Link) -> String {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut leader, mut compared, mut count) = (None, None, 0);
    loop {
        tokio::select! {
            biased;
            () = link.lost() => return "the connection was lost".to_owned(),
            _ = looks.tick() => {}
        }
        if link.is_lost() {
            return "the connection was lost".to_owned();
        }
        // Asked before the stream is, which may have gone on by then.
        let top = inner.witnesses.lock().top(&link.epoch);
        let look = async { timeout(PATIENCE, link.kept.info()).await };
        let looked = tokio::select! {
            biased;
            () = link.lost() => return "the connection was lost".to_owned(),
            looked = look => looked,
        };
        let info = match looked {
            Ok(Ok(info)) => info,
            Ok(Err(StreamError::Missing)) => return "the stream is gone".to_owned(),
            Ok(Err(error)) => {
                *inner.trouble.lock() = Some(link.signals.words(&error));
                continue;
            }
            Err(_) => {
                *inner.trouble.lock() = Some(format!("JetStream does not answer within {PATIENCE:?}"));
                continue;
            }
        };
        if link::epoch(&info) != link.epoch || info.state.last_seq < top {
            return "the stream has become another one".to_owned();
        }
        inner.witnesses.lock().saw(&link.epoch, info.state.last_seq);
        let recovered = inner.trouble.lock().take().is_some();
        let another = leader.as_deref().is_some_and(|leader| Some(leader) != info.leader());
        leader = info.leader().map(str::to_owned);
        count += 1;
        let due = count % COMPARE_EVERY == 0 && compared != Some(info.state.last_seq);
        if recovered || another || due {
            compared = Some(info.state.last_seq);
            link.signals.resync.send_modify(|count| *count += 1);
        }
    }
}
