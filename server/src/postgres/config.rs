//! Where the ledger is, and how it is used.

use super::{PostgresBroadcaster, link::Link, schema::Table, tls};
use crate::{BroadcastError, Histories};
use percent_encoding::percent_decode_str;
use std::{fmt, path::PathBuf, str::FromStr, time::Duration};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A ledger in PostgreSQL, and how it is used. Made by `"postgres://user:password@host/database".parse()`; what the URL may
/// have is what libpq allows, of `sslmode` `disable`, `prefer` (the default) and `require`, which here verifies the
/// server's certificate and its name; `sslrootcert` is then a PEM file of the authorities to trust, by default the
/// system's. With several hosts add `target_session_attrs=read-write`.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(super) server: tokio_postgres::Config,
    pub(super) tls: MakeRustlsConnect,
    authorities: Option<PathBuf>,
    pub(super) table: Table,
    pub(super) poll: Duration,
    pub(super) existing: bool,
}

impl FromStr for PostgresOptions {
    type Err = BroadcastError;

    fn from_str(url: &str) -> Result<Self, BroadcastError> {
        let (url, authorities) = split(url);
        let mut server: tokio_postgres::Config = url.parse().map_err(|error: tokio_postgres::Error| {
            BroadcastError::Config(format!(
                "the address of PostgreSQL cannot be read: {}; wanted is postgres://user:password@host/database",
                super::words(&error)
            ))
        })?;
        if server.get_hosts().is_empty() {
            server.host("localhost");
        }
        if server.get_application_name().is_none() {
            server.application_name("tidings");
        }
        let tls = tls::connector(server.get_ssl_mode(), authorities.as_deref())?;
        let (table, poll) = (Table::default(), Duration::from_millis(100));
        Ok(Self { server, tls, authorities, table, poll, existing: false })
    }
}

/// The URL as the library reads it, and the file of `sslrootcert`, which it does not know.
fn split(url: &str) -> (String, Option<PathBuf>) {
    // A password may have a question mark.
    let host = url.find('@').unwrap_or(0);
    let Some(query) = url[host..].find('?').map(|at| host + at) else { return (url.to_owned(), None) };
    let (mut authorities, mut pairs) = (None, Vec::new());
    for pair in url[query + 1..].split('&') {
        match pair.split_once('=') {
            Some(("sslrootcert", path)) => {
                authorities = Some(percent_decode_str(path).decode_utf8_lossy().into_owned().into());
            }
            // Both mean what `require` means here.
            Some(("sslmode", "verify-ca" | "verify-full")) => pairs.push("sslmode=require"),
            _ => pairs.push(pair),
        }
    }
    (format!("{}?{}", &url[..query], pairs.join("&")), authorities)
}

/// Without the password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} table {}", self.address(), self.table)
    }
}

impl PartialEq for PostgresOptions {
    fn eq(&self, other: &Self) -> bool {
        (&self.server, &self.authorities, &self.table, self.poll, self.existing)
            == (&other.server, &other.authorities, &other.table, other.poll, other.existing)
    }
}

impl Eq for PostgresOptions {}

impl PostgresOptions {
    /// The ledger's table, `name` or `schema.name`. Default `tidings_events`.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] when it is no such name.
    pub fn table(mut self, table: &str) -> Result<Self, BroadcastError> {
        self.table = table.parse()?;
        Ok(self)
    }

    /// How often to look for new events without being woken: how late an event of a plain SQL `INSERT` may be. Default
    /// 100 ms; at least 1 ms.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll = interval.max(Duration::from_millis(1));
        self
    }

    /// Reads a table that an application has made and writes to, with the columns `id bigserial, channel, event_name,
    /// event_id, data, created_at`, as it is. Nothing is written: publishes are refused.
    ///
    /// Without the lock of Tidings' own ledger a later id may be committed first. So an event waits while a lower id is
    /// missing and a transaction that may have it is open, but for 5 s at most; an event that comes still later is told as
    /// a gap of its channel, if it comes within 5 minutes of being passed over. Rows must be kept for at least a minute.
    pub fn existing(mut self) -> Self {
        self.existing = true;
        self
    }

    /// The SQL that [`migrate`](Self::migrate) runs.
    pub fn migration(&self) -> String {
        self.table.migration()
    }

    /// Makes the ledger, or changes nothing where it is. The user must be allowed to make tables.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] says what is wrong.
    pub async fn migrate(&self) -> Result<(), BroadcastError> {
        let link = Link::open(self, None).await.map_err(BroadcastError::Config)?;
        let sql = format!(
            "BEGIN; SELECT pg_advisory_xact_lock({} + 2); SET LOCAL client_min_messages = warning; {} COMMIT",
            self.table.lock(),
            self.migration()
        );
        link.client.batch_execute(&sql).await.map_err(|error| {
            BroadcastError::Config(format!(
                "the ledger {} cannot be made: {}",
                self.table,
                super::words(&error)
            ))
        })
    }

    /// Connects; `histories` says how much is kept of each channel, and must say the same on every gateway. Events are kept
    /// in the table for as long as the longest of them, at least 5 minutes.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] names what is wrong: the address, the rights, the version, or that
    /// [`migrate`](Self::migrate) has to run first.
    pub async fn connect(self, histories: Histories) -> Result<PostgresBroadcaster, BroadcastError> {
        PostgresBroadcaster::start(self, histories).await
    }

    /// Where it is, in words.
    pub(super) fn address(&self) -> String {
        let hosts: Vec<_> = self
            .server
            .get_hosts()
            .iter()
            .zip(0..)
            .map(|(host, n)| {
                let ports = self.server.get_ports();
                let port = ports.get(n).or_else(|| ports.first()).unwrap_or(&5432);
                match host {
                    Host::Tcp(name) => format!("{name}:{port}"),
                    Host::Unix(path) => format!("{}:{port}", path.display()),
                }
            })
            .collect();
        let tls = if self.server.get_ssl_mode() == SslMode::Require { " by TLS" } else { "" };
        format!("PostgreSQL at {}{tls}", hosts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_does_not_know_is_taken_out_of_the_address() {
        let file = |path: &str| Some(PathBuf::from(path));
        for (url, wanted, authorities) in [
            ("postgres://h/d", "postgres://h/d", None),
            ("postgres://h/d?sslmode=verify-full", "postgres://h/d?sslmode=require", None),
            ("postgres://h/d?sslmode=verify-ca&user=a", "postgres://h/d?sslmode=require&user=a", None),
            ("postgres://u:p?sslrootcert=a@h/d", "postgres://u:p?sslrootcert=a@h/d", None),
            ("postgres://u:p?@h/d?a=b&sslrootcert=/c%20d", "postgres://u:p?@h/d?a=b", file("/c d")),
        ] {
            assert_eq!(split(url), (wanted.to_owned(), authorities), "{url}");
        }
    }

    #[test]
    fn authorities_that_cannot_be_used_are_named() {
        for (query, wanted) in [
            ("sslrootcert=/nowhere/ca.pem", "with sslmode=require"),
            ("sslmode=prefer&sslrootcert=/nowhere/ca.pem", "with sslmode=require"),
            ("sslmode=require&sslrootcert=/nowhere/ca.pem", "sslrootcert=/nowhere/ca.pem: "),
            ("sslmode=require&sslrootcert=/dev/null", "sslrootcert=/dev/null: no certificate is in it"),
        ] {
            let url = format!("postgres://a:s3cret@h/d?{query}");
            let error = url.parse::<PostgresOptions>().expect_err(query).to_string();
            assert!(error.contains(wanted) && !error.contains("s3cret"), "{error}");
        }
    }
}
