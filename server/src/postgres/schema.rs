//! The ledger's table: its name, its migration, and whether it is there.

use super::ledger;
use crate::BroadcastError;
use std::{fmt, str::FromStr};
use tokio_postgres::{Client, error::SqlState};

/// What [`migration`](Table::migration) makes. One that finds another number says which program is too old.
const VERSION: i32 = 2;

/// The oldest server with everything the ledger needs: triggers on partitioned tables, and ids out of the box.
const OLDEST_SERVER: i32 = 140_000;

/// `name` or `schema.name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    schema: Option<String>,
    name: String,
}

impl Default for Table {
    fn default() -> Self {
        Self { schema: None, name: "tidings_events".to_owned() }
    }
}

impl FromStr for Table {
    type Err = BroadcastError;

    fn from_str(text: &str) -> Result<Self, BroadcastError> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        // Room for what is made of it, in the 63 bytes of a name: `_p1790000000_1790000090`.
        let valid = |name: &str| {
            (1..=40).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                && !name.as_bytes()[0].is_ascii_digit()
        };
        if !valid(name) || !schema.is_none_or(valid) {
            return Err(BroadcastError::Config(format!(
                "invalid table {text:?}: allowed is name or schema.name, each of 1 to 40 letters a-z, digits and _"
            )));
        }
        Ok(Self { schema: schema.map(str::to_owned), name: name.to_owned() })
    }
}

/// As SQL has it.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.quoted(""))
    }
}

impl Table {
    fn quoted(&self, suffix: &str) -> String {
        let schema = self.schema.as_ref().map(|schema| format!("\"{schema}\".")).unwrap_or_default();
        format!("{schema}\"{}{suffix}\"", self.name)
    }

    pub(super) fn meta(&self) -> String {
        self.quoted("_meta")
    }

    pub(super) fn tops(&self) -> String {
        self.quoted("_tops")
    }

    pub(super) fn rotate(&self) -> String {
        self.quoted("_rotate")
    }

    pub(super) fn read(&self) -> String {
        self.quoted("_read")
    }

    pub(super) fn write(&self) -> String {
        self.quoted("_write")
    }

    /// The lock that puts transactions in order, as an SQL expression.
    pub(super) fn lock(&self) -> String {
        format!("hashtextextended('tidings {self}', 0)")
    }

    /// What `NOTIFY` wakes the gateways by.
    pub(super) fn wake(&self) -> String {
        format!("\"{}_wake\"", self.name)
    }

    /// The SQL that makes the table and what belongs to it, for a transaction.
    pub(super) fn migration(&self) -> String {
        let prefix = self.quoted("");
        [
            ("{table}", self.to_string()),
            ("{name}", self.name.clone()),
            ("{prefix}", prefix.trim_end_matches('"').to_owned()),
            ("{default}", self.quoted("_default")),
            ("{meta}", self.meta()),
            ("{tops}", self.tops()),
            ("{in_order}", self.quoted("_in_order")),
            ("{rotate}", self.rotate()),
            ("{read}", self.read()),
            ("{write}", self.write()),
            ("{epoch}", ledger::epoch("epoch")),
            ("{columns}", ledger::COLUMNS.to_owned()),
            ("{rows}", ledger::ROWS.to_string()),
            ("{lock}", self.lock()),
            ("{version}", VERSION.to_string()),
        ]
        .iter()
        .fold(include_str!("migration.sql").to_owned(), |sql, (name, value)| sql.replace(name, value))
    }

    /// Whether a gateway can use the ledger, or what is wrong.
    pub(super) async fn check(&self, client: &Client, existing: bool) -> Result<(), BroadcastError> {
        let config = |text: String| BroadcastError::Config(text);
        let asked = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
                     current_setting('server_encoding')";
        let rows = client.query_typed(asked, &[]).await.map_err(|error| config(super::words(&error)))?;
        let row = rows.first().ok_or_else(|| config("PostgreSQL does not say its version".to_owned()))?;
        if row.get::<_, i32>(0) < OLDEST_SERVER {
            let version: &str = row.get(1);
            return Err(config(format!("PostgreSQL {version} is too old: wanted is 14 or later")));
        }
        if row.get::<_, &str>(2) != "UTF8" {
            let encoding: &str = row.get(2);
            return Err(config(format!("the database is encoded in {encoding}: wanted is UTF8")));
        }
        if existing {
            return self.check_columns(client).await;
        }
        let meta = client.query_typed(&format!("SELECT version FROM {}", self.meta()), &[]).await;
        let version = match meta {
            Ok(rows) => rows.first().map(|row| row.get::<_, i32>(0)),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => None,
            Err(error) => return Err(config(super::words(&error))),
        };
        match version {
            None => {
                return Err(config(format!(
                    "the database has no ledger {self}: run `tidings migrate` with the same --backplane first"
                )));
            }
            Some(VERSION) => {}
            Some(other) => {
                return Err(config(format!(
                    "the ledger {self} is of version {other} and this program knows version {VERSION}: \
                     run `tidings migrate`, or a program that is as new"
                )));
            }
        }
        let rights = format!(
            "SELECT n FROM (VALUES \
             ('SELECT and INSERT on {self}', has_table_privilege('{self}', 'SELECT') AND has_table_privilege('{self}', 'INSERT')), \
             ('USAGE on the sequence of {self}.id', has_sequence_privilege(pg_get_serial_sequence('{self}', 'id'), 'USAGE')), \
             ('SELECT and UPDATE on {meta}', has_table_privilege('{meta}', 'SELECT') AND has_table_privilege('{meta}', 'UPDATE')), \
             ('SELECT on {tops}', has_table_privilege('{tops}', 'SELECT')), \
             ('EXECUTE on {rotate}', has_function_privilege('{rotate}(interval)', 'EXECUTE')), \
             ('EXECUTE on {read}', has_function_privilege('{read}(bigint, bigint)', 'EXECUTE')), \
             ('EXECUTE on {write}', has_function_privilege('{write}(text[], text[], text[], text[], text[])', 'EXECUTE')) \
             ) AS r (n, has) WHERE NOT has",
            meta = self.meta(),
            tops = self.tops(),
            rotate = self.rotate(),
            read = self.read(),
            write = self.write(),
        );
        let missing = client.query_typed(&rights, &[]).await.map_err(|error| config(super::words(&error)))?;
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<&str> = missing.iter().map(|row| row.get(0)).collect();
        Err(config(format!("the user of the database lacks {}", missing.join(", "))))
    }

    async fn check_columns(&self, client: &Client) -> Result<(), BroadcastError> {
        let columns = format!(
            "SELECT id::int8, channel::text, event_name::text, event_id::text, data::text FROM {self} LIMIT 0"
        );
        client.query_typed(&columns, &[]).await.map(drop).map_err(|error| {
            BroadcastError::Config(format!(
                "{self} cannot be read: {}; wanted are the columns id, channel, event_name, event_id and data",
                super::words(&error)
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_quoted() {
        let table = |text: &str| text.parse::<Table>();
        assert_eq!(table("events").expect("a name").to_string(), "\"events\"");
        assert_eq!(table("app.select").expect("a name").meta(), "\"app\".\"select_meta\"");
        for wrong in ["", ".", "a.", "a.b.c", "Events", "a b", "1a", "a\"b", &"x".repeat(41)] {
            assert!(table(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_migration_has_no_blanks_left() {
        let sql = Table::default().migration();
        assert!(!sql.contains('{') && sql.contains("\"tidings_events_p%s_%s\""), "{sql}");
    }
}
