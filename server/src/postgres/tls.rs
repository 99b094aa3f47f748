//! TLS as `sslmode` says.

use crate::{BroadcastError, authorities};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{path::Path, sync::Arc};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// With `require` the server's certificate must bear the server's name and be signed by an authority in the `trusted` file,
/// or without it by one of the system (or of `SSL_CERT_FILE`). With `prefer` it is not looked at: that mode takes a plain
/// connection as well.
pub(super) fn connector(mode: SslMode, trusted: Option<&Path>) -> Result<MakeRustlsConnect, BroadcastError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| BroadcastError::Config(format!("TLS cannot be used: {error}")))?;
    let config = if mode == SslMode::Require {
        let roots = match trusted {
            Some(path) => {
                let read = authorities::read(path);
                read.map_err(|problem| wrong(format!("sslrootcert={}: {problem}", path.display())))?.0
            }
            None => system()?,
        };
        builder.with_root_certificates(roots).with_no_client_auth()
    } else if trusted.is_some() {
        return Err(wrong("sslrootcert goes with sslmode=require: otherwise nothing is verified".to_owned()));
    } else {
        let any = Arc::new(AnyCertificate(provider));
        builder.dangerous().with_custom_certificate_verifier(any).with_no_client_auth()
    };
    Ok(MakeRustlsConnect::new(config))
}

fn wrong(what: String) -> BroadcastError {
    BroadcastError::Config(format!("the address of PostgreSQL: {what}"))
}

fn system() -> Result<RootCertStore, BroadcastError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(wrong(
            "sslmode=require needs the certificates of authorities, and this system has none: install \
             ca-certificates, or name a file of them by sslrootcert"
                .to_owned(),
        ));
    }
    Ok(roots)
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
