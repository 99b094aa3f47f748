//! Where the servers are, and what is wanted of them.

use crate::BroadcastError;
use percent_encoding::percent_decode_str;
use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

/// How to reach NATS. From text: `nats://user:password@host:4222,other:4222/?prefix=tidings&replicas=3&storage=file`;
/// with `tls://` encrypted, `nats://token@host`, `creds=/path/to/file.creds` and `ca=/path/to/ca.pem`.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsOptions {
    /// `nats://host:port` or `tls://host:port` of each server that is known beforehand.
    pub servers: Vec<String>,
    /// How to log in. Default: without.
    pub login: NatsLogin,
    /// A file of the certificates to trust, as PEM. Default: those of the system.
    pub ca: Option<PathBuf>,
    /// What every subject begins with, and the streams' names with `-` for `.`. Default `tidings`.
    pub prefix: String,
    /// How many servers keep each event, when the streams are made: 1 to 5. Default: 1, and any is accepted of streams
    /// that are there. 3 survives the loss of a server.
    pub replicas: Option<usize>,
    /// Whether the streams are kept in memory instead of files. Default: files, and either is accepted of streams
    /// that are there.
    pub memory: Option<bool>,
    /// How long connecting and any single call may take. Default 5 s.
    pub timeout: Duration,
}

/// How to log in to NATS.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NatsLogin {
    /// Without.
    #[default]
    None,
    /// User and password.
    User(String, String),
    /// A token.
    Token(String),
    /// A file of credentials: a JWT and its seed.
    Credentials(PathBuf),
}

impl NatsOptions {
    /// One server, everything else by default.
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            servers: vec![server.into()],
            login: NatsLogin::None,
            ca: None,
            prefix: "tidings".to_owned(),
            replicas: None,
            memory: None,
            timeout: Duration::from_secs(5),
        }
    }

    /// With another [`prefix`](Self::prefix).
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// With as many [`replicas`](Self::replicas).
    pub fn with_replicas(mut self, replicas: usize) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// With another [`timeout`](Self::timeout).
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(super) fn check(&self) -> Result<(), BroadcastError> {
        let is_token = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        if !self.prefix.split('.').all(is_token) {
            return Err(config(format!(
                "invalid prefix {:?}: allowed are letters, digits, _ and -, in parts between dots",
                self.prefix
            )));
        }
        if self.replicas.is_some_and(|replicas| !(1..=5).contains(&replicas)) {
            return Err(config("invalid replicas: allowed is 1 to 5".to_owned()));
        }
        Ok(())
    }
}

fn config(text: String) -> BroadcastError {
    BroadcastError::Config(format!("NATS: {text}"))
}

impl FromStr for NatsOptions {
    type Err = BroadcastError;

    fn from_str(text: &str) -> Result<Self, BroadcastError> {
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "nats" | "tls"))
            .ok_or_else(|| config("the address begins with nats:// or tls://".to_owned()))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, hosts) = match rest.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, rest),
        };
        let hosts = hosts.trim_end_matches('/');
        if hosts.split(',').any(str::is_empty) {
            return Err(config("a host is missing in the address".to_owned()));
        }
        let mut options = Self::new("");
        options.servers = hosts.split(',').map(|host| format!("{scheme}://{host}")).collect();
        options.login = match login.map(|login| login.split_once(':').ok_or(login)) {
            None => NatsLogin::None,
            Some(Ok((user, password))) => NatsLogin::User(decoded(user), decoded(password)),
            Some(Err(token)) => NatsLogin::Token(decoded(token)),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value);
            match (name, value.as_str()) {
                ("prefix", _) => options.prefix = value,
                ("creds", _) => options.login = NatsLogin::Credentials(value.into()),
                ("ca", _) => options.ca = Some(value.into()),
                ("storage", "file") => options.memory = Some(false),
                ("storage", "memory") => options.memory = Some(true),
                ("storage", _) => {
                    return Err(config("invalid storage: allowed are file and memory".to_owned()));
                }
                ("replicas", _) => {
                    let invalid = |_| config(format!("invalid replicas {value:?}: allowed is 1 to 5"));
                    options.replicas = Some(value.parse().map_err(invalid)?);
                }
                _ => {
                    return Err(config(format!(
                        "no parameter {name:?}: allowed are prefix, replicas, storage, creds and ca"
                    )));
                }
            }
        }
        options.check()?;
        Ok(options)
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Without the login.
impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/?prefix={}", self.servers.join(","), self.prefix)
    }
}

/// Only which kind.
impl fmt::Debug for NatsLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::User(..) => "User",
            Self::Token(_) => "Token",
            Self::Credentials(_) => "Credentials",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_everything() {
        let text = "tls://u%40:p%3A@a:1,b/?prefix=x.y&replicas=3&storage=memory";
        let options: NatsOptions = text.parse().expect("options");
        assert_eq!(options.servers, ["tls://a:1", "tls://b"]);
        assert!(options.login == NatsLogin::User("u@".into(), "p:".into()));
        assert_eq!((options.prefix.as_str(), options.replicas, options.memory), ("x.y", Some(3), Some(true)));
        assert!(!format!("{options:?} {:?}", options.login).contains("p:"));
        let options: NatsOptions = "nats://secret@a".parse().expect("options");
        assert!(options.login == NatsLogin::Token("secret".into()));
        let options: NatsOptions = "nats://a?creds=/a.creds".parse().expect("options");
        assert!(options.login == NatsLogin::Credentials("/a.creds".into()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, wanted) in [
            ("nats:/a", "nats://"),
            ("nats://", "a host is missing"),
            ("nats://a,,b", "a host is missing"),
            ("nats://a?prefix=a*", "invalid prefix"),
            ("nats://a?replicas=9", "1 to 5"),
            ("nats://a?storage=tape", "file and memory"),
            ("nats://a?color=red", "no parameter \"color\""),
        ] {
            let error = text.parse::<NatsOptions>().expect_err("an error").to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
