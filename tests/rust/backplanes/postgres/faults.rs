//! What else fails, and what subscribers hear of it.

use super::{connect, own};
use crate::{
    node::{gaps, histories, publish, subscribe, until, until_down, until_up},
    proxy::Proxy,
    rig::Rig,
    servers::postgres::{shared, url},
};
use serde_json::json;
use tidings_server::{Broadcaster, Event, Notice, PostgresBroadcaster, Range};

/// After so many attempts the next one is 1.6 s away at least.
const ATTEMPTS: usize = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_lost_its_tail_is_told() {
    let mut primary = own().await;
    let standby = primary.server.standby();
    let rig = Rig::over(&primary).await;
    let there = standby.sql(&primary.name).await;
    until("the standby hears of its primary", async || {
        let streams = "SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'";
        there.query(streams, &[]).await.expect("rows").len() == 1
    })
    .await;
    // From here on the standby falls behind.
    there.batch_execute("SELECT pg_wal_replay_pause()").await.expect("a standby");
    standby.signal_receiver(libc::SIGSTOP);
    rig.goes_on().await;
    primary.server.kill();
    standby.signal_receiver(libc::SIGKILL);
    // A server one of whose processes was killed closes its connections and begins anew.
    until("it begins anew", async || there.is_closed()).await;
    rig.links.iter().for_each(|link| link.lead_to(standby.address()));
    let there = standby.sql_when_ready(&primary.name).await;
    there.batch_execute("SELECT pg_wal_replay_resume()").await.expect("a standby");
    there.batch_execute("SELECT pg_promote()").await.expect("a primary");
    for told in rig.ends().await {
        let (Notice::Event(first), gaps) = (&told[0], gaps(&told)) else { panic!("{:?}", told[0]) };
        let before = &first.place.as_ref().expect("history").position.epoch;
        assert!(!gaps.is_empty() && gaps.iter().all(|(at, _)| at.epoch != *before), "{gaps:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_that_lost_what_was_accepted_is_told() {
    let server = shared().await;
    let name = server.database().await;
    let (one, two) =
        (connect(&server.url(&name), histories()).await, connect(&server.url(&name), histories()).await);
    let (first, _one) = subscribe(&one, "a").await;
    let (second, _two) = subscribe(&two, "a").await;
    let published = publish(&one, "a", 1).await.position.expect("history");
    publish(&one, "a", 2).await;
    for seen in [&first, &second] {
        seen.events(2).await;
    }
    // As if the server had crashed with synchronous_commit off.
    let lost = "DELETE FROM tidings_events WHERE data::text = '2'; SELECT setval('tidings_events_id_seq', 1)";
    server.sql(&name).await.batch_execute(lost).await.expect("deleted");
    for seen in [&first, &second] {
        let told = seen.when(|told| told.len() == 3).await;
        let [(position, _)] = gaps(&told)[..] else { panic!("{told:?}") };
        assert!(position.epoch != published.epoch && position.offset == published.offset, "{position:?}");
    }
    let again = publish(&two, "a", 3).await.position.expect("history");
    assert_eq!(again.offset, published.offset + 1);
    for seen in [&first, &second] {
        let told = seen.when(|told| told.len() == 4).await;
        let Some(Notice::Event(event)) = told.last() else { panic!("{told:?}") };
        assert_eq!(event.place.as_ref().expect("history").position, again);
    }
}

/// Whoever `does` something over the connection whose last statement is `said` has failed to connect so often that it waits
/// for long: it does not, once the reader has connected.
async fn connects_as_soon_as_the_reader(said: &str, does: impl AsyncFn(&PostgresBroadcaster) -> bool) {
    let server = shared().await;
    let name = server.database().await;
    let link = Proxy::start(server.address()).await;
    let node = connect(&url(link.address(), &name), histories()).await;
    let sql = server.sql("postgres").await;
    let end = format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}' AND query LIKE '{said}%'"
    );
    let is_ended = async || !sql.query(&end, &[]).await.expect("rows").is_empty();
    assert!(does(&node).await);
    link.refuse(true);
    until("its connection ends", is_ended).await;
    until("it is refused", async || !does(&node).await && link.refused() >= ATTEMPTS).await;
    link.cut();
    until_down(&node).await;
    link.refuse(false);
    until_up(&node).await;
    assert!(does(&node).await, "the reader is through");
    until("its connection ends again", is_ended).await;
    // It may have to find that out.
    does(&node).await;
    assert!(does(&node).await, "the attempts of before are over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_connects_as_soon_as_the_reader() {
    connects_as_soon_as_the_reader("NOTIFY", async |node| {
        node.publish("a", Event::new("e", json!(1))).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_the_past_connects_as_soon_as_the_reader() {
    connects_as_soon_as_the_reader("WITH latest", async |node| {
        node.history("a", Range::Before { offset: None, limit: 1 }).await.is_ok()
    })
    .await;
}
