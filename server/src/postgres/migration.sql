-- The ledger of a Tidings gateway in {table}. Running it again changes nothing.

DO $tidings$
BEGIN
    IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('{table}') AND relkind <> 'p') THEN
        RAISE EXCEPTION 'there is a table {table} that is no ledger of Tidings: choose another name';
    END IF;
END
$tidings$;

CREATE TABLE IF NOT EXISTS {table} (
    id bigserial NOT NULL,
    channel text NOT NULL,
    event_name text NOT NULL CHECK (octet_length(event_name) BETWEEN 1 AND 200 AND event_name !~ '[[:cntrl:]]'),
    event_id text NOT NULL DEFAULT gen_random_uuid()::text,
    -- Not jsonb: what was published arrives as it was.
    data json NOT NULL DEFAULT 'null',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The idempotency key of a publish, if it had one.
    key text,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX IF NOT EXISTS {name}_channel ON {table} (channel, id);
CREATE INDEX IF NOT EXISTS {name}_key ON {table} (channel, key) WHERE key IS NOT NULL;
CREATE TABLE IF NOT EXISTS {default} PARTITION OF {table} DEFAULT;

-- The ledger as a whole: its epoch, and the highest id that retention has dropped, of events and of {tops}.
CREATE TABLE IF NOT EXISTS {meta} (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL,
    epoch text NOT NULL DEFAULT gen_random_uuid()::text,
    dropped bigint NOT NULL DEFAULT 0,
    forgotten bigint NOT NULL DEFAULT 0
);
INSERT INTO {meta} AS m (version) VALUES ({version}) ON CONFLICT (one) DO UPDATE SET version = excluded.version
    WHERE m.version < excluded.version;

-- The last id of each channel that retention has dropped in the last day.
CREATE TABLE IF NOT EXISTS {tops} (
    channel text PRIMARY KEY,
    top bigint NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT now()
);

-- One transaction after the other takes ids: the order of ids is the order of commits.
CREATE OR REPLACE FUNCTION {in_order}() RETURNS trigger LANGUAGE plpgsql AS $tidings$
BEGIN
    PERFORM pg_advisory_xact_lock({lock});
    RETURN NULL;
END
$tidings$;
CREATE OR REPLACE TRIGGER tidings_in_order BEFORE INSERT ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {in_order}();

-- What follows an id, in the order of ids, with the state of the ledger and the event of an id that is known. Once, with an
-- id that is null, when nothing follows. Planned once for each connection.
CREATE OR REPLACE FUNCTION {read}(after_id bigint, known_id bigint)
    RETURNS TABLE (epoch text, dropped bigint, known text, id bigint, channel text, event_name text, event_id text, data text)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET jit = off AS $tidings$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT s.epoch, s.dropped, (SELECT event_id::text FROM {table} WHERE id = known_id), r.*
        FROM (SELECT {epoch} AS epoch, dropped FROM {meta} LIMIT 1) s
        LEFT JOIN LATERAL (SELECT {columns} FROM {table} WHERE id > after_id ORDER BY id LIMIT {rows}) r ON true
        ORDER BY r.id;
END
$tidings$;

-- Writes events, those with a key unless the key was there in the last five minutes. For each, by its number: its id, or that
-- of the first one with its key, the id of that event, and the epoch. In a transaction that has the lock.
CREATE OR REPLACE FUNCTION {write}(channels text[], names text[], event_ids text[], datas text[], keys text[])
    RETURNS TABLE (n bigint, id bigint, event_id text, epoch text)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET jit = off AS $tidings$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH given AS MATERIALIZED (
        SELECT * FROM unnest(channels, names, event_ids, datas, keys) WITH ORDINALITY
            AS g (channel, event_name, event_id, data, key, n)
    ), old AS MATERIALIZED (
        SELECT g.n, o.id, o.event_id FROM given g CROSS JOIN LATERAL (
            SELECT id, event_id FROM {table} l WHERE l.channel = g.channel AND l.key = g.key
                AND l.created_at > clock_timestamp() - interval '5 minutes' ORDER BY id DESC LIMIT 1
        ) o WHERE g.key IS NOT NULL
    ), new AS (
        INSERT INTO {table} (channel, event_name, event_id, data, key)
            SELECT channel, event_name, event_id, data::json, key FROM given WHERE n NOT IN (SELECT n FROM old) ORDER BY n
            RETURNING id, event_id
    )
    SELECT g.n, coalesce(o.id, i.id), coalesce(o.event_id, i.event_id), s.epoch
        FROM (SELECT {epoch} AS epoch FROM {meta} LIMIT 1) s, given g
        LEFT JOIN old o ON o.n = g.n LEFT JOIN new i ON i.event_id = g.event_id ORDER BY g.n;
END
$tidings$;

-- Makes partitions for what comes and drops those that only hold what is older than `keep`. Never the newest event.
CREATE OR REPLACE FUNCTION {rotate}(keep interval) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path FROM CURRENT SET lock_timeout = '100ms' AS $tidings$
DECLARE
    width bigint := least(greatest(extract(epoch FROM keep)::bigint / 4, 15), 86400);
    at bigint := extract(epoch FROM clock_timestamp())::bigint;
    until bigint;
    newest bigint;
    last_id bigint;
    last_again bigint;
    part record;
BEGIN
    IF NOT pg_try_advisory_xact_lock({lock} + 1) THEN
        RETURN;
    END IF;
    SELECT coalesce(max(substring(c.relname FROM '_p[0-9]+_([0-9]+)$')::bigint), 0) INTO until
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = '{table}'::regclass;
    IF until < at + width THEN
        LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE;
        until := greatest(until, at + 1);
        WHILE until < at + 3 * width LOOP
            EXECUTE format('CREATE TABLE {prefix}_p%s_%s" PARTITION OF {table} FOR VALUES FROM (%L) TO (%L)',
                until, until + width, to_timestamp(until), to_timestamp(until + width));
            until := until + width;
        END LOOP;
    END IF;

    SELECT coalesce(max(id), 0) INTO newest FROM {table};
    FOR part IN SELECT i.inhrelid::regclass AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = '{table}'::regclass
            AND substring(c.relname FROM '_p[0-9]+_([0-9]+)$')::bigint < at - extract(epoch FROM keep)
    LOOP
        BEGIN
            EXECUTE format('SELECT coalesce(max(id), 0) FROM %s', part.name) INTO last_id;
            CONTINUE WHEN last_id > 0 AND last_id = newest;
            EXECUTE format('INSERT INTO {tops} AS t (channel, top) SELECT channel, max(id) FROM %s GROUP BY channel
                ON CONFLICT (channel) DO UPDATE SET top = greatest(t.top, excluded.top), dropped_at = now()', part.name);
            UPDATE {meta} SET dropped = greatest(dropped, last_id);
            LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE;
            EXECUTE format('SELECT coalesce(max(id), 0) FROM %s', part.name) INTO last_again;
            IF last_again <> last_id THEN
                RAISE lock_not_available;
            END IF;
            EXECUTE format('DROP TABLE %s', part.name);
        EXCEPTION WHEN lock_not_available THEN
            RETURN;
        END;
    END LOOP;

    -- What came while there was no partition for it.
    WITH gone AS (
        DELETE FROM {default} WHERE created_at < clock_timestamp() - keep AND id < newest RETURNING channel, id
    ), dropped AS (
        UPDATE {meta} SET dropped = greatest(dropped, (SELECT max(id) FROM gone)) WHERE EXISTS (SELECT FROM gone)
    )
    INSERT INTO {tops} AS t (channel, top) SELECT channel, max(id) FROM gone GROUP BY channel
        ON CONFLICT (channel) DO UPDATE SET top = greatest(t.top, excluded.top), dropped_at = now();
    WITH gone AS (DELETE FROM {tops} WHERE dropped_at < now() - interval '1 day' RETURNING top AS last)
    UPDATE {meta} SET forgotten = greatest(forgotten, (SELECT max(last) FROM gone)) WHERE EXISTS (SELECT FROM gone);
EXCEPTION WHEN lock_not_available THEN
    RETURN;
END
$tidings$;
REVOKE ALL ON FUNCTION {rotate}(interval) FROM PUBLIC;
SELECT {rotate}(interval '6 minutes');
