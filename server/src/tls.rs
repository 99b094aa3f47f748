//! TLS for the listener, with a certificate that is exchanged while it runs.

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is spoken over TLS.
const HTTP_1: &[u8] = b"http/1.1";

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file of the certificate cannot be read, or is no PEM.
    #[error("cannot read the certificate {}: {}", .path.display(), reason(.source, "a certificate"))]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The file of the key cannot be read, or is no PEM.
    #[error("cannot read the key {}: {}", .path.display(), reason(.source, "a private key"))]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// They do not belong together, or are of a kind that is not supported.
    #[error("cannot use the certificate {} with the key {}: {source}", .certificate.display(), .key.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong with them.
        source: rustls::Error,
    },
}

/// Without any of the file's text, which may be a key.
fn reason(error: &pem::Error, wanted: &str) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("there is no {} in it; wanted is PEM", &wanted[2..]),
        _ => format!("it is no PEM; wanted is {wanted} between BEGIN and END lines"),
    }
}

/// A certificate and its key, for [`Server::tls`](crate::Server::tls): TLS 1.2 and 1.3. A clone is the same.
#[derive(Clone)]
pub struct Tls {
    files: Arc<Files>,
    config: Arc<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificate", &self.files.certificate)
            .field("key", &self.files.key)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads both from PEM files: the certificate with those that it is signed by behind it, and its key in PKCS #8, SEC1
    /// or PKCS #1.
    ///
    /// # Errors
    /// [`TlsError`] names the file, and what is wrong with it.
    pub fn from_files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let provider = Arc::new(ring::default_provider());
        let unusable =
            |source| TlsError::Unusable { certificate: certificate.clone(), key: key.clone(), source };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(unusable)?;
        let current = RwLock::new(read(&certificate, &key, &provider)?);
        let files = Arc::new(Files { certificate, key, provider, current });
        let mut config = builder.with_no_client_auth().with_cert_resolver(files.clone());
        config.alpn_protocols = vec![HTTP_1.to_vec()];
        Ok(Self { files, config: Arc::new(config) })
    }

    /// Reads both files again; new connections get what is in them now.
    ///
    /// # Errors
    /// [`TlsError`] as from [`from_files`](Self::from_files); what was read before stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Files { certificate, key, provider, current } = &*self.files;
        let read = read(certificate, key, provider)?;
        *current.write() = read;
        Ok(())
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Files {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().clone())
    }
}

fn read(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|source| TlsError::Certificate { path: certificate.to_owned(), source })?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Key { path: key.to_owned(), source })?;
    let certified = CertifiedKey::from_der(chain, private, provider).map_err(|source| {
        TlsError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), source }
    })?;
    Ok(Arc::new(certified))
}
