//! Where Redis is, and how we use it.

use super::names::Names;
use crate::BroadcastError;
use redis::{Client, ProtocolVersion, TlsCertificates, io::tcp::TcpSettings};
use std::{fmt, time::Duration};

/// Where Redis or Valkey is, and how it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisOptions {
    url: String,
    /// Host and port, for people.
    pub(super) address: String,
    ca: Option<Vec<u8>>,
    pub(super) names: Names,
    pub(super) timeout: Duration,
    pub(super) probe: Duration,
}

/// Without user and password.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("address", &self.address)
            .field("names", &self.names)
            .field("timeout", &self.timeout)
            .field("probe", &self.probe)
            .finish_non_exhaustive()
    }
}

impl RedisOptions {
    /// From `redis://user:password@host:6379/0`, or `rediss://…` for TLS (`valkey://` and `valkeys://` are the same). The
    /// query may have `key-prefix`, `channel-prefix` and `ca`, the path of a PEM file.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] names what is wrong.
    pub fn from_url(text: &str) -> Result<Self, BroadcastError> {
        let wrong = |what: String| BroadcastError::Config(format!("the address of Redis: {what}"));
        let url = redis::parse_redis_url(text)
            .filter(|url| url.has_host())
            .ok_or_else(|| wrong("wanted is redis://user:password@host:6379/0, or rediss://…".into()))?;
        if url.fragment().is_some() {
            return Err(wrong("nothing may follow a #; an authority of your own is ?ca=FILE".into()));
        }
        let host = url.host_str().unwrap_or_default();
        let mut options = Self {
            address: format!("{host}:{}", url.port().unwrap_or(6379)),
            url: String::new(),
            ca: None,
            names: Names { keys: "tidings:".into(), channels: String::new() },
            timeout: Duration::from_secs(5),
            probe: Duration::from_secs(5),
        };
        for (name, value) in url.query_pairs() {
            match &*name {
                "key-prefix" => options.names.keys = value.into_owned(),
                "channel-prefix" => options.names.channels = value.into_owned(),
                "ca" => {
                    let pem =
                        std::fs::read(&*value).map_err(|error| wrong(format!("ca={value}: {error}")))?;
                    options.ca = Some(pem);
                }
                _ => {
                    return Err(wrong(format!(
                        "no setting {name:?}: allowed are key-prefix, channel-prefix and ca"
                    )));
                }
            }
        }
        let mut plain = url;
        plain.set_query(None);
        options.url = plain.into();
        options.client()?;
        Ok(options)
    }

    /// What our keys begin with. Default `tidings:`.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.names.keys = prefix.into();
        self
    }

    /// What the pub/sub channels begin with, before the channel's name. Default nothing. Pub/sub channels belong to the
    /// whole server, whichever database is used.
    pub fn channel_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.names.channels = prefix.into();
        self
    }

    /// The authority that has signed the server's certificate, as PEM. Default the system's.
    pub fn certificate_authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// How long Redis may take to answer before the link counts as lost, and to take a connection. Default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often the link is tried, so that one is noticed that swallows everything. Default 5 s.
    pub fn probe_every(mut self, interval: Duration) -> Self {
        self.probe = interval;
        self
    }

    pub(super) fn client(&self) -> Result<Client, BroadcastError> {
        // Fails when the program has chosen another one, which is then used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = |error: redis::RedisError| {
            BroadcastError::Config(format!("the address of Redis, {}: {error}", self.address))
        };
        let info = redis::IntoConnectionInfo::into_connection_info(&*self.url).map_err(wrong)?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(settings.set_skip_set_lib_name());
        let Some(ca) = &self.ca else { return Client::open(info).map_err(wrong) };
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca.clone()) };
        Client::build_with_tls(info, certificates).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_its_password_kept() {
        let options = RedisOptions::from_url("redis://app:s3cret@db:6380/2?key-prefix=a:&channel-prefix=b.")
            .expect("valid");
        assert_eq!(options.address, "db:6380");
        assert_eq!(options.names, Names { keys: "a:".into(), channels: "b.".into() });
        assert!(!format!("{options:?}").contains("s3cret"));
        RedisOptions::from_url("valkeys://db").expect("valid");
    }

    #[test]
    fn a_wrong_address_is_named_without_its_password() {
        for (text, wanted) in [
            ("redis://", "wanted is redis://"),
            ("redis://a:s3cret@h:port", "wanted is redis://"),
            ("redis://a:s3cret@h/x", "database"),
            ("redis://a:s3cret@h?db=1", "no setting \"db\""),
            ("rediss://a:s3cret@h#insecure", "?ca=FILE"),
            ("rediss://a:s3cret@h?ca=/nowhere/ca.pem", "ca=/nowhere/ca.pem"),
        ] {
            let error = RedisOptions::from_url(text).expect_err(text).to_string();
            assert!(error.contains(wanted) && !error.contains("s3cret"), "{text}: {error}");
        }
    }
}
