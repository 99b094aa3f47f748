//! Whom to trust that a server is the one that it says.

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{fs, path::Path};

/// The authorities in the PEM file at `path`, and its text.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn read(path: &Path) -> Result<(RootCertStore, Vec<u8>), String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| format!("it is no PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("a certificate in it is none: {error}"))?;
    }
    if roots.is_empty() {
        return Err("no certificate is in it: wanted are those of authorities, as PEM".to_owned());
    }
    Ok((roots, text))
}
