//! What a supervisor says to the process.

use super::listener::Certificate;
use std::{future::Future, io};
use tokio::signal::unix::{SignalKind, signal};

/// Resolves at SIGTERM and at Ctrl-C.
pub(super) fn stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

/// Reads the certificate again at each SIGHUP.
pub(super) fn reload(certificate: Certificate) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    actix_rt::spawn(async move {
        while hangup.recv().await.is_some() {
            certificate.reload();
        }
    });
    Ok(())
}
