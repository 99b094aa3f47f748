//! Where the gateway listens, and what it serves there.

use super::failure::Failure;
use clap::{Args, value_parser};
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};
#[cfg(feature = "tls")]
use tidings_server::Tls;
use tidings_server::{Server, protocol::DEFAULT_PATH};

#[derive(Args)]
#[command(next_help_heading = "Listening")]
pub(super) struct Listener {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080", value_parser = address)]
    pub(super) bind: SocketAddr,

    /// Where clients connect.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_PATH)]
    pub(super) path: String,

    /// Worker threads [default: one per processor]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1_024))]
    pub(super) workers: Option<u16>,

    /// A folder of static files to serve beside the gateway.
    #[arg(long, value_name = "DIR")]
    pub(super) static_dir: Option<PathBuf>,

    /// Speak TLS, with the certificate in this PEM file. Then everything is TLS 1.2 or 1.3: `wss://` and `https://`. Behind
    /// the certificate come those that it is signed by. Certificate and key are read again at SIGHUP; when they cannot be
    /// used, the log says why and the old ones stay.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,

    /// The PEM file of the certificate's key.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,
}

/// The certificate, when there is one.
#[derive(Default)]
pub(super) struct Certificate {
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Certificate {
    pub(super) fn secure(&self, server: Server) -> Server {
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls.clone() {
            return server.tls(tls);
        }
        server
    }

    /// Reads it again.
    pub(super) fn reload(&self) {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            match tls.reload() {
                Ok(()) => tracing::info!("certificate and key are read again"),
                Err(error) => tracing::error!(%error, "certificate and key stay as they were"),
            }
            return;
        }
        tracing::info!("nothing is read again: there is no certificate");
    }
}

impl Listener {
    pub(super) fn certificate(&self) -> Result<Certificate, Failure> {
        #[cfg(feature = "tls")]
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                return Ok(Certificate { tls: Some(Tls::from_files(certificate, key)?) });
            }
            (Some(_), None) => return Err(Failure::HalfTls { given: "--tls-cert", missing: "--tls-key" }),
            (None, Some(_)) => return Err(Failure::HalfTls { given: "--tls-key", missing: "--tls-cert" }),
            (None, None) => {}
        }
        Ok(Certificate::default())
    }

    /// Whether it speaks TLS.
    pub(super) fn is_secure(&self) -> bool {
        #[cfg(feature = "tls")]
        let secure = self.tls_cert.is_some();
        #[cfg(not(feature = "tls"))]
        let secure = false;
        secure
    }

    /// Whether the static files are there.
    pub(super) fn check_folder(&self) -> Result<(), Failure> {
        self.static_dir.as_deref().map_or(Ok(()), check_folder)
    }
}

fn check_folder(dir: &Path) -> Result<(), Failure> {
    let problem = |reason: String| Failure::StaticDir { dir: dir.to_owned(), reason };
    match dir.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(problem("it is no folder".to_owned())),
        Err(error) => Err(problem(error.to_string())),
    }
}

/// What to do about an address that cannot be had, which `flag` names.
pub(super) fn hint(error: &io::Error, flag: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; another program listens there: stop it, or choose another port with {flag}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("; ports below 1024 need a right: choose another port with {flag}")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("; this machine has no such address: choose another with {flag}")
        }
        _ => String::new(),
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let wanted = "wanted is ADDR:PORT, such as 127.0.0.1:8080, 0.0.0.0:80 or [::1]:8080";
    let addresses = text.to_socket_addrs().map_err(|error| format!("{error}; {wanted}"))?;
    addresses.into_iter().next().ok_or_else(|| format!("no address of that name; {wanted}"))
}
