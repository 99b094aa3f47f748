//! Why a command failed.

use super::{caller::CallError, listener::hint, settings::Mistake};
use std::{io, net::SocketAddr, path::PathBuf};
use tidings_server::BroadcastError;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Setting(#[from] Mistake),
    #[error(transparent)]
    Gateway(#[from] BroadcastError),
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] tidings_server::TlsError),
    #[cfg(feature = "tls")]
    #[error("{given} without {missing}: TLS needs both files")]
    HalfTls { given: &'static str, missing: &'static str },
    #[error("cannot serve --static-dir {}: {reason}", .dir.display())]
    StaticDir { dir: PathBuf, reason: String },
    #[error("cannot read {flag} {}: {source}", .path.display())]
    File { flag: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot listen on {address}: {source}{}", hint(.source, "--bind"))]
    Bind { address: SocketAddr, source: io::Error },
    #[error(
        "--admin-key and --admin-keys-file are for the page at --admin-bind: set it too, such as 127.0.0.1:9090"
    )]
    NoAdminBind,
    #[error("cannot listen on --admin-bind {address}: {source}{}", hint(.source, "--admin-bind"))]
    AdminBind { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Run(#[from] io::Error),
}
