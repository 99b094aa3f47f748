//! Links that are encrypted: an authority of our own, and what every backplane makes of it.

use crate::{
    node::{PATIENCE, histories, publish, subscribe},
    servers::folder,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tidings_server::{Backplane, BroadcastError, Broadcaster};
use tokio::time::timeout;

/// The certificate of an authority, and one that it has signed for `localhost`. Their folder goes when this is dropped.
pub(crate) struct Authority {
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = folder("tls");
        let key = || KeyPair::generate().expect("a key");
        let mut issuer = CertificateParams::new(Vec::new()).expect("parameters");
        issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(issuer, key()).expect("an authority");
        let own = key();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = certificate.signed_by(&own, &issuer).expect("signed");
        for (name, text) in
            [("ca.pem", issuer.pem()), ("server.pem", certificate.pem()), ("server.key", own.serialize_pem())]
        {
            fs::write(folder.join(name), text).expect("written");
        }
        Self { folder }
    }

    /// Of the authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("server.key")
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Why there is no link, said in time.
async fn refusal(url: &str) -> String {
    let connected = async { url.parse::<Backplane>()?.connect(histories()).await };
    match timeout(PATIENCE, connected).await.expect("in time") {
        Err(BroadcastError::Config(reason)) => reason,
        Err(other) => panic!("{url}: {other:?}"),
        Ok(_) => panic!("{url} is connected"),
    }
}

/// `url` is the encrypted address of a host, whose certificate `authority` has signed, with a file of authorities to trust.
pub(crate) async fn a_link_is_encrypted(authority: &Authority, url: impl Fn(&str, Option<&Path>) -> String) {
    let (ca, stranger) = (authority.ca(), Authority::new());
    let backplane: Backplane = url("localhost", Some(&ca)).parse().expect("an address");
    let node = backplane.connect(histories()).await.expect("connected");
    let (seen, _subscription) = subscribe(&node, "a").await;
    publish(&node, "a", 1).await;
    seen.events(1).await;
    timeout(PATIENCE, node.close()).await.expect("closed");
    for (url, wanted) in [
        // Signed by nobody whom the system knows, by another one, and for another name.
        (url("localhost", None), "certificate"),
        (url("localhost", Some(&stranger.ca())), "certificate"),
        (url("127.0.0.1", Some(&ca)), "certificate not valid for name"),
        (url("localhost", Some(Path::new("/nowhere/ca.pem"))), "/nowhere/ca.pem: no such file"),
        (url("localhost", Some(&authority.key())), "server.key: no certificate is in it"),
    ] {
        let reason = refusal(&url).await;
        assert!(reason.to_lowercase().contains(wanted), "{url}: {reason}");
    }
}

/// `url` wants encryption of a server that has none, which is then told nothing.
pub(crate) async fn a_plain_server_is_refused(url: &str, wanted: &str) {
    let reason = refusal(url).await;
    assert!(reason.contains(wanted), "{reason}");
}
