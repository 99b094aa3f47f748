//! The first frame, and who is behind a connection.

use crate::harness::{
    Client, Door, Raw, Running, Said, Serving, both_ways, config, err, ok, open_gateway, publish, sub,
};
use std::{collections::HashSet, time::Duration};
use tidings_server::protocol::{ServerFrame, reason};
use tidings_server::{Gateway, Histories, MemoryBroadcaster, Subject};

both_ways!(
    first_with_an_id_and_the_keepalive,
    keepalive_says_what_is_set,
    ids_are_unique,
    does_not_wait_for_the_subject,
    the_subject_comes_from_the_request,
    a_refused_request_is_told_and_means_nobody,
    nobody_is_told_nothing,
    what_waits_for_the_subject_can_be_taken_back,
);

async fn first_with_an_id_and_the_keepalive(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::open(server.address).await;
    let welcome = client.next().await;
    let Some(ServerFrame::Welcome { id, version: Some(2), keepalive_ms: Some(30_000) }) =
        ServerFrame::parse(&welcome)
    else {
        panic!("not a welcome: {welcome}");
    };
    assert!(id.len() == 26 && id.bytes().all(|b| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&b)), "{id}");
    assert_eq!(welcome, format!(r#"{{"t":"welcome","id":"{id}","v":2,"ka":30000}}"#));
    client.silence().await;
}

async fn keepalive_says_what_is_set(serving: Serving) {
    let config = config(|c| c.ping_interval = Duration::ZERO);
    let server = Running::start(serving, open_gateway().config(config));
    let welcome = Client::open(server.address).await.next().await;
    assert!(welcome.ends_with(r#","ka":0}"#), "{welcome}");
}

async fn ids_are_unique(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut ids = HashSet::new();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::connect(&server).await);
    }
    assert!(clients.iter().all(|c| ids.insert(c.id.clone())));
    assert_eq!(server.gateway.client_count(), 20);
}

async fn does_not_wait_for_the_subject(serving: Serving) {
    let door = Door::default();
    let resolving = door.clone();
    let builder = open_gateway()
        .resolve_subject(move |_| {
            let door = resolving.clone();
            async move {
                door.pass().await;
                Some(Subject::new("ann"))
            }
        })
        .authorize("private-ann", |_, subject| async move { subject.is_some_and(|s| s.id() == "ann") });
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    door.knocked().await;
    client.send(sub("private-ann")).await;
    client.send(sub("a")).await;
    client.send(publish("a", "e", "1")).await;
    client.send(sub("a")).await;
    client.silence().await;
    assert_eq!(server.gateway.channel_count(), 0);
    door.open(1);
    let mut frames = client.take(4).await;
    let event = frames.iter().position(|f| f.starts_with(r#"{"t":"msg","c":"a""#)).expect("the own event");
    assert!(frames[..event].contains(&ok("a")), "{frames:?}");
    frames.remove(event);
    frames.sort();
    assert_eq!(frames, [ok("a"), ok("a"), ok("private-ann")]);
}

async fn the_subject_comes_from_the_request(serving: Serving) {
    let builder = open_gateway()
        .resolve_subject(|request| async move {
            let host = request.headers().get("host").and_then(|h| h.to_str().ok()).map(str::to_owned);
            host.map(|host| Subject::with_user(host, 7_u32))
        })
        .authorize("private-*", |channel, subject| async move {
            subject.is_some_and(|s| s.user() == Some(&7_u32) && *channel == *format!("private-{}", s.id()))
        });
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    client.subscribe(&format!("private-{}", server.address)).await;
    client.send(sub("private-other")).await;
    client.expect(&err("private-other", reason::UNAUTHORIZED)).await;
}

async fn a_refused_request_is_told_and_means_nobody(serving: Serving) {
    type Answer = Result<Option<Subject>, &'static str>;
    let expired = std::time::SystemTime::now() - Duration::from_secs(1);
    let builders = [
        Gateway::builder(MemoryBroadcaster::new(Histories::off()))
            .resolve_subject(move |_| async move { Some(Subject::new("ann").with_expiry(expired)) }),
        Gateway::builder(MemoryBroadcaster::new(Histories::off()))
            .resolve_subject(|_| async { Answer::Err("down") }),
        Gateway::builder(MemoryBroadcaster::new(Histories::off()))
            .resolve_subject(|_| async { panic!("on purpose") as Answer }),
        Gateway::builder(MemoryBroadcaster::new(Histories::off()))
            .resolve_subject(|_| -> std::future::Ready<Answer> { panic!("on purpose") }),
    ];
    for builder in builders {
        let builder = builder
            .authorize("nobody", |_, subject| async move { subject.is_none() })
            .authorize("somebody", |_, subject| async move { subject.is_some() });
        let server = Running::start(serving, builder);
        let mut client = Client::connect(&server).await;
        client.expect(&err("", reason::UNAUTHORIZED)).await;
        client.subscribe("nobody").await;
        client.send(sub("somebody")).await;
        client.expect(&err("somebody", reason::UNAUTHORIZED)).await;
    }
}

async fn nobody_is_told_nothing(serving: Serving) {
    let builder = open_gateway()
        .resolve_subject(|_| async { Ok::<_, &str>(None) })
        .authorize("nobody", |_, subject| async move { subject.is_none() });
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    client.subscribe("nobody").await;
    client.silence().await;
}

async fn what_waits_for_the_subject_can_be_taken_back(serving: Serving) {
    let door = Door::default();
    let resolving = door.clone();
    let builder = open_gateway().resolve_subject(move |_| {
        let door = resolving.clone();
        async move {
            door.pass().await;
            None::<Subject>
        }
    });
    let server = Running::start(serving, builder);
    let mut client = Raw::connect(&server).await;
    let frames: Vec<u8> = [r#"{"t":"sub","c":"a"}"#, r#"{"t":"unsub","c":"a"}"#, r#"{"t":"sub","c":"b"}"#]
        .iter()
        .flat_map(|text| crate::harness::masked(0x81, text.as_bytes()))
        .collect();
    client.send(&frames).await;
    client.send(&crate::harness::masked(0x89, b"")).await;
    assert_eq!(client.frame().await, (0x8a, Vec::new()));
    door.knocked().await;
    door.open(1);
    assert_eq!(client.text().await, ok("b"));
    assert_eq!(server.gateway.channel_count(), 1);
    // A client that goes before its subject is known.
    let mut gone = Client::connect(&server).await;
    gone.send(sub("c")).await;
    door.knocked().await;
    gone.reset();
    crate::harness::until("one client", || server.gateway.client_count() == 1).await;
    door.open(1);
    let mut other = Client::connect(&server).await;
    door.knocked().await;
    assert_eq!(other.close_with(1000).await, 1000);
    assert_eq!(other.said().await, Said::End);
    assert_eq!((server.gateway.channel_count(), server.gateway.subscriber_count("c")), (1, 0));
}
