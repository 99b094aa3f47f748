//! What else fails, and what subscribers hear of it.

use super::{connect, own};
use crate::{
    node::{gaps, histories, publish, subscribe},
    rig::Rig,
    servers::postgres::shared,
};
use tidings_server::Notice;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_lost_its_tail_is_told() {
    let mut primary = own().await;
    let standby = primary.server.standby();
    let rig = Rig::over(&primary).await;
    // From here on the standby falls behind.
    let there = standby.sql(&primary.name).await;
    there.batch_execute("SELECT pg_wal_replay_pause()").await.expect("a standby");
    standby.signal_receiver(libc::SIGSTOP);
    rig.goes_on().await;
    primary.server.kill();
    standby.signal_receiver(libc::SIGKILL);
    // A server one of whose processes was killed closes its connections and begins anew.
    while !there.is_closed() {
        tokio::task::yield_now().await;
    }
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
