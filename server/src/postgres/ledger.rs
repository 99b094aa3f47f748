//! The statements that read and write the ledger. Each is sent with its types and without a name: no connection has to be the
//! same one as the last time. Those that a gateway sends all the time are functions of the ledger, whose plans the server
//! keeps: planned anew each time, reading takes it three times as long, and writing two and a half times.

use super::schema::Table;

/// At most so many rows are read at once.
pub(super) const ROWS: usize = 1_000;

pub(super) const COLUMNS: &str =
    "id::int8, channel::text, event_name::text, event_id::text, coalesce(data::text, 'null')";

/// The ledger's epoch, an SQL expression, of what is its own: a dump that is restored elsewhere has another system, and a
/// standby that takes over another timeline.
pub(super) fn epoch(root: &str) -> String {
    format!(
        "left(md5(concat_ws('.', {root}, (SELECT system_identifier FROM pg_control_system()), \
         left(pg_walfile_name(pg_current_wal_lsn()), 8))), 12)"
    )
}

/// The SQL of one ledger.
pub(super) struct Ledger {
    /// `$1` after which id, `$2` which id is known → epoch, highest id that is gone, the known id's event, and rows.
    pub(super) read: String,
    /// → epoch, the last id, its event.
    pub(super) end: String,
    /// `$1` channels, `$2` up to which id → channel, its last id.
    pub(super) tops: String,
    /// `$1` channel, `$2` how many events, `$3` bytes, `$4` seconds, `$5` after and `$6` before which id, `$7` how many,
    /// `$8` whether the last ones → epoch, end, floor, and rows with the id before each.
    pub(super) history: String,
    /// Begins a transaction that writes.
    pub(super) begin: String,
    /// `$1`–`$5` arrays of channels, names, ids, data and keys → index, id, event id, epoch.
    pub(super) write: String,
    /// `$1` the epoch that is over.
    pub(super) renew: String,
    /// Who may have ids that cannot be seen yet.
    pub(super) holders: String,
    /// The newest ids, ascending.
    pub(super) newest: String,
    /// `$1` ids → those that are there, with their channels.
    pub(super) late: String,
    /// `$1` how many seconds are kept.
    pub(super) rotate: String,
    /// Wakes the others; who has written has woken itself.
    pub(super) notify: String,
    pub(super) listen: String,
}

impl Ledger {
    /// As `node` uses it.
    pub(super) fn new(table: &Table, existing: bool, node: &str) -> Self {
        let (meta, tops) = (table.meta(), table.tops());
        let root = if existing { format!("'{table}'::regclass::oid") } else { "epoch".to_owned() };
        let epoch = epoch(&root);
        let (state, top, valid) = if existing {
            let gone = format!("coalesce((SELECT min(id) - 1 FROM {table}), 0)::int8");
            let state = format!("(SELECT {epoch} AS epoch, {gone} AS dropped, {gone} AS forgotten)");
            (
                state,
                "NULL::int8".to_owned(),
                "octet_length(event_name) BETWEEN 1 AND 200 AND event_name !~ '[[:cntrl:]]'",
            )
        } else {
            // The limit tells the planner that there is one row, which is not worth compiling code for.
            let state = format!("(SELECT {epoch} AS epoch, dropped, forgotten FROM {meta} LIMIT 1)");
            (state, format!("(SELECT top FROM {tops} t WHERE t.channel = c.channel)"), "true")
        };
        let lock = table.lock();
        Self {
            read: if existing {
                format!(
                    "SELECT s.epoch, s.dropped, (SELECT event_id::text FROM {table} WHERE id = $2), r.* FROM {state} s \
                     LEFT JOIN LATERAL (SELECT {COLUMNS} FROM {table} WHERE id > $1 ORDER BY id LIMIT {ROWS}) r ON true ORDER BY r.id"
                )
            } else {
                format!("SELECT * FROM {}($1, $2) ORDER BY id", table.read())
            },
            end: format!(
                "SELECT s.epoch, greatest(e.id::int8, s.dropped), e.event_id FROM {state} s \
                 LEFT JOIN LATERAL (SELECT id, event_id::text FROM {table} ORDER BY id DESC LIMIT 1) e ON true"
            ),
            tops: format!(
                "SELECT c.channel, greatest(coalesce({top}, s.forgotten), (SELECT max(id)::int8 FROM {table} l \
                 WHERE l.channel = c.channel AND id <= $2 AND {valid})) FROM {state} s, unnest($1) c (channel)"
            ),
            history: format!(
                "WITH latest AS MATERIALIZED (SELECT {COLUMNS} AS data, created_at FROM {table} WHERE channel = $1 AND {valid} \
                   ORDER BY id DESC LIMIT $2 + 1), \
                 measured AS (SELECT *, row_number() OVER w AS n, sum(octet_length(event_name) + octet_length(data)) OVER w AS size, \
                   lag(id) OVER (ORDER BY id) AS previous FROM latest WINDOW w AS (ORDER BY id DESC)), \
                 state AS (SELECT s.epoch, coalesce({top}, s.forgotten) AS top FROM {state} s, (VALUES ($1)) c (channel)), \
                 bounds AS (SELECT epoch, greatest(top, (SELECT max(id) FROM measured)) AS \"end\", \
                   greatest(top, (SELECT max(id) FROM measured WHERE n > $2 OR size > $3 \
                     OR created_at <= clock_timestamp() - $4 * interval '1 second')) AS floor FROM state) \
                 SELECT b.epoch, b.end, b.floor, r.* FROM bounds b LEFT JOIN LATERAL (\
                   SELECT id, channel, event_name, event_id, data, coalesce(previous, b.floor) AS previous FROM measured \
                   WHERE id > greatest($5, b.floor) AND id < $6 ORDER BY CASE WHEN $8 THEN -id ELSE id END LIMIT $7) r ON true ORDER BY r.id"
            ),
            begin: format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '4s'; SET LOCAL statement_timeout = '5s'; \
                 SELECT pg_advisory_xact_lock({lock})"
            ),
            write: format!("SELECT * FROM {}($1, $2, $3, $4, $5) ORDER BY n", table.write()),
            renew: format!("UPDATE {meta} SET epoch = gen_random_uuid()::text WHERE {epoch} = $1"),
            holders: format!(
                "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation = '{table}'::regclass"
            ),
            newest: format!(
                "SELECT id::int8 FROM (SELECT id FROM {table} ORDER BY id DESC LIMIT {ROWS}) n ORDER BY id"
            ),
            late: format!("SELECT id::int8, channel::text FROM {table} WHERE id = ANY($1)"),
            rotate: format!("SELECT {}($1 * interval '1 second')", table.rotate()),
            notify: format!("NOTIFY {}, '{node}'", table.wake()),
            listen: format!("LISTEN {}", table.wake()),
        }
    }
}
