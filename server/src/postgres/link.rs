//! One connection.

use super::{PostgresOptions, words};
use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::timeout};
use tokio_postgres::{AsyncMessage, Client};
use tokio_util::task::AbortOnDropHandle;

/// How long the server may take for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A connection with the task that drives it; dropping it ends both.
pub(super) struct Link {
    pub(super) client: Client,
    _driver: AbortOnDropHandle<()>,
}

impl Link {
    /// Connects within [`PATIENCE`]. `wake` is woken by every notification but those of the node that it names, and when the
    /// connection ends.
    pub(super) async fn open(
        config: &PostgresOptions,
        wake: Option<(Arc<Notify>, String)>,
    ) -> Result<Self, String> {
        let connecting = config.server.connect(config.tls.clone());
        let (client, connection) = timeout(PATIENCE, connecting)
            .await
            .map_err(|_| format!("{} does not answer", config.address()))?
            .map_err(|error| format!("{}: {}", config.address(), words(&error)))?;
        let driver = tokio::spawn(async move {
            let mut connection = pin!(connection);
            loop {
                let message = poll_fn(|cx| connection.poll_message(cx)).await;
                match (&message, &wake) {
                    (Some(Ok(AsyncMessage::Notice(_))), _) => {}
                    (Some(Ok(AsyncMessage::Notification(told))), Some((_, node)))
                        if told.payload() == node => {}
                    (_, Some((wake, _))) => wake.notify_one(),
                    _ => {}
                }
                if !matches!(message, Some(Ok(_))) {
                    return;
                }
            }
        });
        Ok(Self { client, _driver: AbortOnDropHandle::new(driver) })
    }
}

/// What `work` answers within [`PATIENCE`], or why not, in words.
pub(super) async fn within<T>(
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, String> {
    match timeout(PATIENCE, work).await {
        Ok(answer) => answer.map_err(|error| words(&error)),
        Err(_) => Err("PostgreSQL does not answer".to_owned()),
    }
}
