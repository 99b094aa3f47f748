//! Publishing by SQL, ledgers of other programs, and what an operator does.

use super::connect;
use crate::{
    authority::{Authority, a_link_is_encrypted, a_plain_server_is_refused},
    node::{PATIENCE, Seen, histories, number, publish, subscribe, until, within},
    servers::{
        Port,
        postgres::{Bouncer, Server, shared},
    },
};
use serde_json::json;
use std::{path::Path, process::Command, time::Duration};
use tidings_server::{
    BroadcastError, Broadcaster, Event, Histories, History, Notice, PostgresBroadcaster, PostgresOptions,
    Range,
};
use tokio::task::JoinSet;
use tokio_postgres::Client;

const INSERT: &str = "INSERT INTO tidings_events (channel, event_name, data) VALUES ('a', 'e', '1')";

/// The table as applications have it that published by SQL before.
const EXISTING: &str = "CREATE TABLE ledger (id bigserial PRIMARY KEY, channel text NOT NULL, event_name text NOT NULL, \
                        event_id text NOT NULL, data jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now())";

fn config(server: &Server, name: &str) -> PostgresOptions {
    server.url(name).parse().expect("a URL")
}

/// A database with the table of an application, and who reads it.
async fn existing(server: &Server) -> (Client, PostgresBroadcaster, String) {
    let name = server.empty_database().await;
    let sql = server.sql(&name).await;
    sql.batch_execute(EXISTING).await.expect("a table");
    let node = read(server, &name).await;
    (sql, node, name)
}

async fn read(server: &Server, name: &str) -> PostgresBroadcaster {
    let config = config(server, name).table("ledger").expect("a name").existing();
    config.poll_interval(Duration::from_millis(20)).connect(histories()).await.expect("a ledger")
}

fn insert(n: impl std::fmt::Display) -> String {
    format!(
        "INSERT INTO ledger (channel, event_name, event_id, data) VALUES ('a', 'e', gen_random_uuid()::text, '{n}')"
    )
}

fn numbers(seen: &[tidings_server::Delivery]) -> Vec<u64> {
    seen.iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_publishes_when_its_transaction_commits() {
    let server = shared().await;
    let name = server.database().await;
    let node = connect(&server.url(&name), histories()).await;
    let (seen, _subscription) = subscribe(&node, "a").await;
    let sql = server.sql(&name).await;
    sql.batch_execute(&format!("BEGIN; {INSERT}; ROLLBACK")).await.expect("rolled back");
    sql.batch_execute(&format!("BEGIN; {}", INSERT.replace("'1'", "'2'"))).await.expect("open");
    assert!(seen.events(0).await.is_empty());
    sql.batch_execute("COMMIT").await.expect("committed");
    assert_eq!(numbers(&seen.events(1).await), [2]);
    publish(&node, "a", 3).await;
    let told = seen.events(2).await;
    let place = told[1].place.as_ref().expect("history");
    assert_eq!(place.previous, told[0].place.as_ref().expect("history").position.offset);
    let page =
        node.history("a", Range::After { offset: 0, limit: 10 }).await.expect("open").expect("history");
    assert_eq!(page.events[1..], told[1..]);
    assert_eq!(page.events[0], told[0], "the same id and data");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_in_another_language_publishes_within_its_transaction() {
    let server = shared().await;
    let name = server.database().await;
    let node = connect(&server.url(&name), histories()).await;
    let (seen, _subscription) = subscribe(&node, "a").await;
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/rust/backplanes/postgres/publish.py");
    let run = |arguments: &[&str]| {
        let python =
            Command::new("/usr/bin/python3").arg(program).arg(server.url(&name)).args(arguments).output();
        python.expect("python3 with psycopg2: apt-get install python3-psycopg2")
    };
    assert!(!run(&["a", "1", "fail"]).status.success());
    let done = run(&["a", "2"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(numbers(&seen.events(1).await), [2]);
    assert_eq!(seen.events(1).await[0].event.name(), "order.paid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql_publishes_as_well() {
    let server = shared().await;
    let name = server.database().await;
    let node = connect(&server.url(&name), histories()).await;
    let (seen, _subscription) = subscribe(&node, "a").await;
    let done = Command::new("psql").args([&server.url(&name), "-q", "-c", INSERT]).status().expect("psql");
    assert!(done.success());
    assert_eq!(numbers(&seen.events(1).await), [1]);
    let wrong = INSERT.replace("'e'", "''");
    let sql = server.sql(&name).await;
    assert!(sql.batch_execute(&wrong).await.is_err(), "an event has a name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_stays_open_holds_publishes_up_until_they_are_refused() {
    let server = shared().await;
    let name = server.database().await;
    let node = connect(&server.url(&name), histories()).await;
    let (seen, _subscription) = subscribe(&node, "a").await;
    let sql = server.sql(&name).await;
    sql.batch_execute(&format!("BEGIN; {INSERT}")).await.expect("open");
    let refused = within(Duration::from_secs(6), node.publish("a", Event::new("e", json!(2)))).await;
    let Err(BroadcastError::Publish(reason)) = refused else { panic!("{refused:?}") };
    sql.batch_execute("COMMIT").await.expect("committed");
    publish(&node, "a", 3).await;
    let third = |told: &Notice| matches!(told, Notice::Event(event) if number(event) == 3);
    let count = seen.when(|told| told.last().is_some_and(third)).await.len();
    let told = numbers(&seen.events(count).await);
    // When the server has not said itself that it is refused, the event may come late.
    let may_be_there = !reason.to_string().contains("lock timeout");
    assert!(told == [1, 3] || (may_be_there && told == [1, 2, 3]), "{told:?}, {reason}");
}

/// Six programs, each with transactions of random length, some of which are rolled back.
async fn write(server: &Server, name: &str, insert: fn(u64) -> String) -> u64 {
    let mut writers = JoinSet::new();
    for writer in 0..6_u64 {
        let sql = server.sql(name).await;
        writers.spawn(async move {
            let mut committed = 0;
            for n in 0..60 {
                sql.batch_execute(&format!("BEGIN; {}", insert(writer * 1_000 + n))).await.expect("inserted");
                let pause = fastrand::u64(..4_000);
                sql.batch_execute(&format!("SELECT pg_sleep({})", pause as f64 / 1e6)).await.expect("slept");
                let rolled_back = n % 7 == 3;
                sql.batch_execute(if rolled_back { "ROLLBACK" } else { "COMMIT" }).await.expect("ended");
                committed += u64::from(!rolled_back);
            }
            committed
        });
    }
    writers.join_all().await.iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_of_any_length_are_seen_in_one_order_by_every_node() {
    let server = shared().await;
    let name = server.database().await;
    let (one, two) =
        (connect(&server.url(&name), histories()).await, connect(&server.url(&name), histories()).await);
    let ((first, _one), (second, _two)) = (subscribe(&one, "a").await, subscribe(&two, "a").await);
    let insert =
        |n| format!("INSERT INTO tidings_events (channel, event_name, data) VALUES ('a', 'e', '{n}')");
    let committed = write(server, &name, insert).await as usize;
    assert_eq!(first.events(committed).await, second.events(committed).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_ledger_is_read_whole_and_in_one_order() {
    let server = shared().await;
    let (_sql, one, name) = existing(server).await;
    let two = read(server, &name).await;
    let ((first, _one), (second, _two)) = (subscribe(&one, "a").await, subscribe(&two, "a").await);
    let committed = write(server, &name, insert).await as usize;
    assert_eq!(first.events(committed).await, second.events(committed).await);
    let refused = one.publish("a", Event::new("e", json!(1))).await;
    assert!(
        matches!(&refused, Err(BroadcastError::Publish(reason)) if reason.to_string().contains("only read"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_was_taken_long_before_is_told_as_a_gap() {
    let server = shared().await;
    let (sql, node, _name) = existing(server).await;
    let (seen, _subscription) = subscribe(&node, "a").await;
    sql.batch_execute(&insert(1)).await.expect("inserted");
    sql.batch_execute("SELECT nextval('ledger_id_seq')").await.expect("taken");
    sql.batch_execute(&insert(3)).await.expect("inserted");
    assert_eq!(numbers(&seen.events(2).await), [1, 3]);
    let late =
        "INSERT INTO ledger (id, channel, event_name, event_id, data) VALUES (2, 'a', 'e', 'two', '2')";
    sql.batch_execute(late).await.expect("inserted");
    let told = seen.when(|told| told.len() == 3).await;
    assert!(matches!(told[2], Notice::Gap { .. }), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_has_to_be_made_first_and_making_it_twice_changes_nothing() {
    let server = shared().await;
    let name = server.empty_database().await;
    let config = config(server, &name);
    let refused = config.clone().connect(histories()).await.expect_err("no ledger").to_string();
    assert!(refused.contains("run `tidings migrate`"), "{refused}");
    config.migrate().await.expect("made");
    let node = config.clone().connect(histories()).await.expect("a ledger");
    publish(&node, "a", 1).await;
    config.migrate().await.expect("made before");
    let all = Range::After { offset: 0, limit: 10 };
    let page = node.history("a", all).await.expect("open").expect("history");
    assert_eq!(numbers(&page.events), [1]);
    // One of an older program is made new.
    let sql = server.sql(&name).await;
    let older =
        "DROP FUNCTION tidings_events_read, tidings_events_write; UPDATE tidings_events_meta SET version = 1";
    sql.batch_execute(older).await.expect("made older");
    let refused = config.clone().connect(histories()).await.expect_err("an old ledger").to_string();
    assert!(refused.contains("is of version 1") && refused.contains("run `tidings migrate`"), "{refused}");
    config.migrate().await.expect("made new");
    let node = config.clone().connect(histories()).await.expect("a ledger");
    publish(&node, "a", 2).await;
    let page = node.history("a", all).await.expect("open").expect("history");
    assert_eq!(numbers(&page.events), [1, 2]);
    // What is printed is what is run, and another schema is another ledger.
    let other = config.clone().table("app.events").expect("a name");
    sql.batch_execute(&format!("CREATE SCHEMA app; {}", other.migration())).await.expect("made by hand");
    publish(&other.connect(histories()).await.expect("a ledger"), "a", 1).await;
    // No table of somebody else is touched.
    sql.batch_execute(EXISTING).await.expect("a table");
    let refused = config.table("ledger").expect("a name").migrate().await.expect_err("a table").to_string();
    assert!(refused.contains("no ledger of Tidings"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_at_the_start_is_named() {
    let server = shared().await;
    let name = server.database().await;
    let sql = server.sql(&name).await;
    let user = format!("user_{name}");
    sql.batch_execute(&format!("CREATE ROLE {user} LOGIN PASSWORD 'secret'")).await.expect("a user");
    let grants =
        format!("GRANT SELECT ON tidings_events, tidings_events_tops, tidings_events_meta TO {user}");
    sql.batch_execute(&grants).await.expect("granted");
    let (address, nobody) = (server.address(), Port::hold());
    for (url, wanted) in [
        (format!("postgres://postgres@{}/x?sslmode=disable", nobody.address()), "Connection refused"),
        (server.url("nowhere"), "database \"nowhere\" does not exist"),
        (format!("postgres://nobody:secret@{address}/{name}"), "role \"nobody\" does not exist"),
        (format!("postgres://{user}:secret@{address}/{name}"), "INSERT on \"tidings_events\""),
        (format!("postgres://postgres@{address}/{name}?sslmode=require"), "TLS"),
    ] {
        let started = tokio::time::timeout(
            PATIENCE,
            url.parse::<PostgresOptions>().expect("a URL").connect(histories()),
        );
        let refused = started.await.expect("bounded").expect_err("refused");
        assert!(matches!(refused, BroadcastError::Config(_)));
        let refused = refused.to_string();
        assert!(refused.contains(wanted) && !refused.contains("secret"), "{refused}");
    }
    let refused = "postgres://x:y@[::1/".parse::<PostgresOptions>().expect_err("no URL").to_string();
    assert!(refused.contains("wanted is postgres://"), "{refused}");
    sql.batch_execute(&format!(
        "GRANT INSERT ON tidings_events TO {user}; GRANT USAGE ON SEQUENCE tidings_events_id_seq TO {user}; \
         GRANT UPDATE ON tidings_events_meta TO {user}; GRANT EXECUTE ON FUNCTION tidings_events_rotate TO {user}"
    ))
    .await
    .expect("granted");
    let node = connect(&format!("postgres://{user}:secret@{address}/{name}"), histories()).await;
    publish(&node, "a", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_is_dropped_and_positions_stay() {
    let server = shared().await;
    let name = server.database().await;
    let kept = Histories::new(History { age: Duration::from_secs(1), ..History::default() });
    let node = connect(&server.url(&name), kept).await;
    let (seen, subscription) = subscribe(&node, "a").await;
    publish(&node, "a", 1).await;
    let last = publish(&node, "a", 2).await.position.expect("history");
    publish(&node, "b", 3).await;
    seen.events(2).await;
    // As if everything had happened an hour ago.
    let sql = server.sql(&name).await;
    let parts = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
                 WHERE i.inhparent = 'tidings_events'::regclass AND c.relname LIKE '%\\_p%'";
    let age = "UPDATE tidings_events SET created_at = created_at - interval '1 hour'";
    sql.batch_execute(age).await.expect("aged");
    // Nothing happens while the gateway does the same, or while somebody reads for long.
    let rotate = async || {
        sql.batch_execute("SELECT tidings_events_rotate('6 minutes')").await.expect("done");
    };
    let channels = async || -> Vec<String> {
        let rows = sql.query("SELECT channel FROM tidings_events", &[]).await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect()
    };
    until("it is dropped, and the newest stays", async || {
        rotate().await;
        channels().await == ["b"]
    })
    .await;
    let before: Vec<String> =
        sql.query(parts, &[]).await.expect("rows").iter().map(|row| row.get(0)).collect();
    assert!(!before.is_empty());
    // Its partitions go when their time is over, as a whole.
    let rename = format!("ALTER TABLE {} RENAME TO tidings_events_p1000_2000", before[0]);
    sql.batch_execute(&rename).await.expect("an old one");
    until("the old partition is dropped", async || {
        rotate().await;
        let after = sql.query(parts, &[]).await.expect("rows");
        !after.iter().any(|row| row.get::<_, &str>(0) == "tidings_events_p1000_2000")
    })
    .await;
    // Whoever was at the end still is, and whoever was not is told.
    let page =
        node.history("a", Range::After { offset: 0, limit: 10 }).await.expect("open").expect("history");
    assert_eq!((&page.end, page.floor, page.events.len()), (&last, last.offset, 0));
    drop(subscription);
    let (seen, subscription) = subscribe(&connect(&server.url(&name), histories()).await, "a").await;
    assert_eq!(subscription.position(), Some(&last));
    drop(seen);
    publish(&node, "a", 4).await;
    let page =
        node.history("a", Range::After { offset: 0, limit: 10 }).await.expect("open").expect("history");
    assert_eq!(page.events[0].place.as_ref().expect("history").previous, last.offset);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_gateway_publishes_wakes_the_others() {
    let server = shared().await;
    let name = server.database().await;
    let never = Duration::from_secs(3_600);
    let connect =
        async || config(server, &name).poll_interval(never).connect(histories()).await.expect("a ledger");
    let (one, two) = (connect().await, connect().await);
    let (seen, _subscription) = subscribe(&two, "a").await;
    // Until it listens nothing wakes it.
    until("it is woken", async || {
        publish(&one, "a", 1).await;
        seen.look(|told| !told.is_empty()).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgbouncer_in_transaction_mode_is_enough() {
    let server = shared().await;
    let name = server.database().await;
    let bouncer = Bouncer::start(server, &name).await;
    let url = bouncer.url(&name);
    let (one, two) = (connect(&url, histories()).await, connect(&url, histories()).await);
    let (seen, _subscription): (Seen, _) = subscribe(&two, "a").await;
    for n in 0..20 {
        publish(if n % 2 == 0 { &one } else { &two }, "a", n).await;
    }
    let sql = server.sql(&name).await;
    sql.batch_execute(&INSERT.replace("'1'", "'20'")).await.expect("inserted");
    assert_eq!(numbers(&seen.events(21).await), (0..21).collect::<Vec<_>>());
    let page =
        one.history("a", Range::Before { offset: None, limit: 2 }).await.expect("open").expect("history");
    assert_eq!(numbers(&page.events), [19, 20]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_may_be_encrypted() {
    let authority = Authority::new();
    let server = Server::start_with_tls(&authority.certificate(), &authority.key());
    let name = server.database().await;
    let port = server.address().port();
    let url = |host: &str, ca: Option<&Path>| {
        let ca = ca.map(|ca| format!("&sslrootcert={}", ca.display())).unwrap_or_default();
        format!("postgres://postgres@{host}:{port}/{name}?sslmode=verify-full{ca}")
    };
    a_link_is_encrypted(&authority, url).await;
    // This mode looks at no certificate, and encrypts all the same.
    let unverified = format!("postgres://postgres@localhost:{port}/{name}?sslmode=prefer");
    let _node = connect(&unverified, histories()).await;
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'tidings'";
    let rows = server.sql(&name).await.query(encrypted, &[]).await.expect("rows");
    assert!(rows[0].get::<_, bool>(0));
    let ca = authority.ca();
    let plain = format!("{}&sslrootcert={}", shared().await.url(&name), ca.display());
    let plain = plain.replace("sslmode=disable", "sslmode=require");
    a_plain_server_is_refused(&plain, "server does not support TLS").await;
}
