//! What else belongs to life with NATS: other programs, slow consumers, wrong settings, and how long it takes.

use super::Nats;
use crate::{
    authority::{Authority, a_link_is_encrypted, a_plain_server_is_refused},
    node::{Backplane, Seen, histories, number, publish, subscribe, within},
    servers::nats::Server,
};
use futures_util::{FutureExt, StreamExt, future::join_all};
use std::{
    path::Path,
    sync::{Arc, Barrier},
    time::Duration,
};
use tidings_server::{
    Broadcaster, Histories, History, NatsBroadcaster, NatsLogin, NatsOptions, Notice, Range,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_programs_publish_with_a_place() {
    let nats = Nats::new();
    let (one, two) = (nats.connect(histories()).await, nats.connect(histories()).await);
    let (first, _one) = subscribe(&*one, "order:1").await;
    let (second, _two) = subscribe(&*two, "order:1").await;
    let (live, _live) = subscribe(&*two, "live.a").await;
    let client = async_nats::connect(nats.server.url()).await.expect("connected");
    let context = async_nats::jetstream::new(client);
    let send = |channel: &'static str, json: &'static str| {
        let (context, subject) = (&context, format!("{}.{channel}", nats.prefix));
        async move { context.publish(subject, json.into()).await.expect("sent").await.expect("kept") }
    };
    send("in.order=3A1", r#"{"event":"paid","data":1}"#).await;
    send("in.order=3A1", "not for us").await;
    send("in.order=3A1", r#"{"id":"0190a0b1-c2d3-7e4f-8a9b-0c1d2e3f4a5b","event":"paid","data":2}"#).await;
    send("live.live=2Ea.-", r#"{"event":"paid","data":3}"#).await;
    publish(&*one, "order:1", 4).await;
    let told = first.events(3).await;
    assert_eq!(told.iter().map(number).collect::<Vec<_>>(), [1, 2, 4]);
    assert_eq!(u128::from(told[1].id), 0x0190_a0b1_c2d3_7e4f_8a9b_0c1d_2e3f_4a5b);
    assert_eq!(told, second.events(3).await, "the same ids, and one chain around what was no event");
    let page = two.history("order:1", Range::Before { offset: None, limit: 9 }).await.expect("open");
    assert_eq!(page.expect("history").events, told);
    let told = live.events(1).await;
    assert_eq!((number(&told[0]), &told[0].place), (3, &None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_subscriber_reads_what_was_dropped() {
    const COUNT: u64 = 10_000;
    let nats = Nats::new();
    let (slow, node) = (nats.connect(histories()).await, nats.connect(histories()).await);
    let (seen, barrier) = (Seen::default(), Arc::new(Barrier::new(2)));
    let (sink, waits) = (seen.sink(), barrier.clone());
    let sink = Arc::new(move |notice: &Notice| {
        if matches!(notice, Notice::Event(event) if number(event) == 0) {
            waits.wait();
        }
        sink(notice);
    });
    let _subscription = slow.subscribe("a".into(), sink).await.expect("subscribed");
    for from in (0..COUNT).step_by(1_000) {
        join_all((from..from + 1_000).map(|n| publish(&*node, "a", n))).await;
    }
    tokio::task::spawn_blocking(move || barrier.wait()).await.expect("the sink waits");
    let told = seen.events(COUNT as usize).await;
    assert_eq!(told.iter().map(number).collect::<Vec<_>>(), (0..COUNT).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_stream_no_longer_has_is_not_passed_over() {
    let nats = Nats::new();
    let few = Histories::new(History { events: 3, ..History::default() });
    let node = nats.connect(few).await;
    let (seen, subscription) = subscribe(&*node, "a").await;
    for n in 1..=5 {
        publish(&*node, "other", n).await;
        publish(&*node, "a", n).await;
    }
    let told = seen.events(5).await;
    let offset = |n: usize| told[n].place.as_ref().expect("history").position.offset;
    let page = node
        .history("a", Range::After { offset: offset(2), limit: 9 })
        .await
        .expect("open")
        .expect("history");
    assert_eq!(page.events, told[3..]);
    assert!(page.floor >= offset(1) && page.floor < offset(2), "{page:?}");
    assert!(page.floor > subscription.position().expect("history").offset);
    // A channel of which nothing was ever lost says so.
    let (_, quiet) = subscribe(&*node, "quiet").await;
    let from = quiet.position().expect("history").offset;
    publish(&*node, "quiet", 1).await;
    let page =
        node.history("quiet", Range::After { offset: from, limit: 9 }).await.expect("open").expect("history");
    assert!(page.floor <= from && page.events.len() == 1, "{page:?}");
}

/// Each question of a driver waits for the one before it, so a page of one event may not take one for each event around it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_read_with_few_questions() {
    let nats = Nats::new();
    let node = nats.connect(histories()).await;
    for n in 0..3 {
        publish(&*node, "rare", n).await;
    }
    join_all((0..600).map(|n| publish(&*node, "a", n))).await;
    let client = async_nats::connect(nats.server.url()).await.expect("connected");
    let mut asked = client.subscribe(format!("$JS.API.STREAM.MSG.GET.{}", nats.prefix)).await.expect("heard");
    client.flush().await.expect("subscribed");
    for (channel, latest, most) in [("a", 599, 8), ("rare", 2, 30)] {
        let page = node.history(channel, Range::Before { offset: None, limit: 1 }).await.expect("open");
        let page = page.expect("history");
        assert_eq!((page.events.iter().map(number).collect::<Vec<_>>(), page.more), (vec![latest], true));
        client.flush().await.expect("everything has come");
        let questions = std::iter::from_fn(|| asked.next().now_or_never().flatten()).count();
        assert!((1..=most).contains(&questions), "{channel}: {questions}");
    }
}

async fn refused(options: NatsOptions) -> String {
    let connected = within(Duration::from_secs(12), NatsBroadcaster::connect(options, histories()));
    connected.await.expect_err("refused").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_at_the_start_is_named() {
    let error = refused(NatsOptions::new("nats://127.0.0.1:1")).await;
    assert!(error.contains("127.0.0.1:1 cannot be reached"), "{error}");

    let server = Server::with(
        "authorization { users: [
            { user: all, password: secret },
            { user: few, password: secret, permissions: { publish: [\"tidings.>\"] } },
        ] }",
    );
    let mut login = NatsOptions::new(server.url());
    assert!(refused(login.clone()).await.contains("refuses the login"));
    login.login = NatsLogin::User("all".into(), "wrong-one".into());
    let error = refused(login.clone()).await;
    assert!(error.contains("refuses the login") && !error.contains("wrong-one"), "{error}");
    login.login = NatsLogin::User("few".into(), "secret".into());
    let error = refused(login.clone()).await.to_lowercase();
    assert!(error.contains("permissions violation"), "{error}");
    let url = format!("nats://all:secret@{}/?prefix=x", server.address);
    NatsBroadcaster::connect(url.parse().expect("options"), histories()).await.expect("connected");

    let server = Server::with("accounts { a { users: [{ user: u, password: p }], jetstream: disabled } }");
    let mut login = NatsOptions::new(server.url());
    login.login = NatsLogin::User("u".into(), "p".into());
    let error = refused(login).await;
    assert!(error.to_lowercase().contains("jetstream"), "{error}");

    let nats = Nats::new();
    let few = Histories::new(History { events: 3, ..History::default() });
    NatsBroadcaster::connect(nats.options(), few).await.expect("connected");
    let error = refused(nats.options()).await;
    assert!(error.contains("max_msgs_per_subject is 3, wanted is at least 100000"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_may_be_encrypted() {
    let authority = Authority::new();
    let server = Server::with(&format!(
        "tls {{ cert_file: {:?}, key_file: {:?} }}\n",
        authority.certificate(),
        authority.key()
    ));
    let port = server.address.port();
    // The server says so, and is not spoken to in the clear by those who were not told.
    for scheme in ["tls", "nats"] {
        let url = |host: &str, ca: Option<&Path>| {
            let ca = ca.map(|ca| format!("?ca={}", ca.display())).unwrap_or_default();
            format!("{scheme}://{host}:{port}{ca}")
        };
        a_link_is_encrypted(&authority, url).await;
    }
    let other = Server::start();
    let plain = format!("tls://{}?ca={}", other.address, authority.ca().display());
    a_plain_server_is_refused(&plain, "cannot be reached").await;
}
