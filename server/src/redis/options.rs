//! Where Redis is, and how we use it.

use super::names::Names;
use crate::{BroadcastError, authorities};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisConnectionInfo, TlsCertificates,
    io::tcp::TcpSettings,
};
use std::{fmt, time::Duration};

/// Where Redis or Valkey is, and how it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisOptions {
    url: String,
    /// Host and port, for people.
    pub(super) address: String,
    /// Who knows the master, by host and port; none when the address is the master's.
    pub(super) sentinels: Vec<(String, u16)>,
    /// The name under which they know it.
    pub(super) master: String,
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
    /// With `sentinel=host:26379,host:26379` in the query, the host of the address is the name under which these Sentinels
    /// know the master. They are asked before every attempt to connect, one after the other, with TLS as the master but
    /// without user and password.
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
            sentinels: Vec::new(),
            master: host.to_owned(),
            ca: None,
            names: Names { keys: "tidings:".into(), channels: String::new() },
            timeout: Duration::from_secs(5),
            probe: Duration::from_secs(5),
        };
        for (name, value) in url.query_pairs() {
            match &*name {
                "key-prefix" => options.names.keys = value.into_owned(),
                "channel-prefix" => options.names.channels = value.into_owned(),
                "sentinel" => {
                    for sentinel in value.split(',') {
                        let (host, port) = sentinel.rsplit_once(':').unwrap_or((sentinel, "26379"));
                        let port = port.parse().ok().filter(|_| !host.is_empty());
                        let port = port.ok_or_else(|| wrong(format!("{sentinel:?} is no host:port")))?;
                        options.sentinels.push((host.to_owned(), port));
                    }
                    options.address = format!("master {} of the Sentinels {value}", options.master);
                }
                "ca" => {
                    let read = authorities::read(value.as_ref().as_ref());
                    options.ca = Some(read.map_err(|problem| wrong(format!("ca={value}: {problem}")))?.1);
                }
                _ => {
                    return Err(wrong(format!(
                        "no setting {name:?}: allowed are key-prefix, channel-prefix, sentinel and ca"
                    )));
                }
            }
        }
        let mut plain = url;
        plain.set_query(None);
        options.url = plain.into();
        options.client(None)?;
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

    /// For the server of the address, or for one that is somewhere else.
    pub(super) fn client(&self, elsewhere: Option<(String, u16)>) -> Result<Client, BroadcastError> {
        let info = self.info()?;
        let settings = info.redis_settings().clone();
        self.open(info, settings, elsewhere)
    }

    /// For a Sentinel.
    pub(super) fn sentinel(&self, at: (String, u16)) -> Result<Client, BroadcastError> {
        self.open(self.info()?, RedisConnectionInfo::default(), Some(at))
    }

    fn info(&self) -> Result<ConnectionInfo, BroadcastError> {
        redis::IntoConnectionInfo::into_connection_info(&*self.url).map_err(|error| self.wrong(&error))
    }

    fn wrong(&self, error: &redis::RedisError) -> BroadcastError {
        BroadcastError::Config(format!("the address of Redis, {}: {error}", self.address))
    }

    fn open(
        &self,
        info: ConnectionInfo,
        settings: RedisConnectionInfo,
        at: Option<(String, u16)>,
    ) -> Result<Client, BroadcastError> {
        // Fails when the program has chosen another one, which is then used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let addr = match (info.addr().clone(), at) {
            (ConnectionAddr::TcpTls { insecure, tls_params, .. }, Some((host, port))) => {
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            (_, Some((host, port))) => ConnectionAddr::Tcp(host, port),
            (addr, None) => addr,
        };
        let info = info
            .set_addr(addr)
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name());
        match &self.ca {
            None => Client::open(info),
            Some(ca) => Client::build_with_tls(
                info,
                TlsCertificates { client_tls: None, root_cert: Some(ca.clone()) },
            ),
        }
        .map_err(|error| self.wrong(&error))
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
        let options = RedisOptions::from_url("redis://main?sentinel=a,b:1").expect("valid");
        assert_eq!(options.sentinels, [("a".to_owned(), 26_379), ("b".to_owned(), 1)]);
        assert_eq!(options.address, "master main of the Sentinels a,b:1");
    }

    #[test]
    fn a_wrong_address_is_named_without_its_password() {
        for (text, wanted) in [
            ("redis://", "wanted is redis://"),
            ("redis://a:s3cret@h:port", "wanted is redis://"),
            ("redis://a:s3cret@h/x", "database"),
            ("redis://a:s3cret@h?db=1", "no setting \"db\""),
            ("redis://a:s3cret@h?sentinel=b:c", "\"b:c\" is no host:port"),
            ("rediss://a:s3cret@h#insecure", "?ca=FILE"),
            ("rediss://a:s3cret@h?ca=/nowhere/ca.pem", "ca=/nowhere/ca.pem: "),
            ("rediss://a:s3cret@h?ca=/dev/null", "ca=/dev/null: no certificate is in it"),
        ] {
            let error = RedisOptions::from_url(text).expect_err(text).to_string();
            assert!(error.contains(wanted) && !error.contains("s3cret"), "{text}: {error}");
        }
    }
}
