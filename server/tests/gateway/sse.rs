//! Server-sent events.

use crate::harness::{
    Answer, Client, Door, Heard, Probe, Running, Serving, Stream, both_ways, config, open_gateway, request,
    until,
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidings_server::{
    Builder, Event, Gateway, Histories, History, MemoryBroadcaster, Notice, Position, RawJson, Subject,
    protocol::Why,
};

both_ways!(
    events_come_as_text,
    several_channels,
    data_and_names_as_they_are,
    who_comes_back_gets_what_was_missed,
    a_quiet_channel_recovers_too,
    the_header_wins_over_the_query,
    ids_that_are_none,
    a_channel_without_history_has_a_gap,
    a_gap_while_connected,
    a_large_replay_comes_whole,
    what_is_wrong_is_said,
    denied_before_any_stream_starts,
    an_authorizer_that_changes_its_mind,
    an_authorizer_that_fails,
    the_subject_is_known,
    a_backplane_that_refuses,
    origins,
    preflight,
    as_many_connections_as_there_may_be,
    as_many_in_a_second_as_there_may_be,
    nobody_is_let_in_while_draining,
    sent_away_while_draining,
    closed,
    a_silent_stream_says_that_it_is_alive,
    pings_are_answered,
    who_vanishes_leaves_nothing,
    who_vanishes_while_the_application_is_asked,
    a_reader_that_stands_still_is_ended_and_holds_up_nobody,
    another_path,
    without_chunks,
);

fn recovering(events: usize) -> Builder {
    let histories = Histories::new(History { events, ..History::default() });
    let histories = histories.with("quick.*", History::OFF).expect("a pattern");
    Gateway::builder(MemoryBroadcaster::new(histories))
}

async fn publish(server: &Running, channel: &str, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        server.gateway.publish(channel, Event::new("e", json!(n))).await.expect("open");
    }
}

async fn expect_numbers(stream: &mut Stream, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        stream.expect("e", &n.to_string()).await;
    }
}

async fn expect_gap(stream: &mut Stream, channel: &str, why: &str) {
    let gap = stream.next().await.expect("an event");
    let data: Value = serde_json::from_str(&gap.data).expect("JSON");
    assert_eq!((&*gap.event, data), ("gap", json!({"c": channel, "why": why})));
}

async fn get(server: &Running, query: &str, headers: &[&str]) -> Answer {
    request(server.address, &format!("GET /_broadcast/sse{query}"), headers, "").await
}

async fn events_come_as_text(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let mut stream = Stream::open(&server, "channel=a").await.live().await;
    for (name, value) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
        ("vary", "origin"),
        ("connection", "close"),
    ] {
        assert_eq!(stream.head.header(name), Some(value), "{name}");
    }
    assert_eq!(stream.head.header("access-control-allow-origin"), None);
    assert!((2_000..4_000).contains(&stream.retry.expect("a first block")));
    assert_eq!((server.gateway.client_count(), server.gateway.subscriber_count("a")), (1, 1));
    server.gateway.publish("a", Event::new("order.paid", json!({"amount": 4900}))).await.expect("open");
    let block = stream.block().await.expect("an event");
    let (event, rest) = block.split_once('\n').expect("lines");
    let (id, data) = rest.split_once('\n').expect("lines");
    assert_eq!((event, data), ("event: order.paid", r#"data: {"amount":4900}"#));
    assert!(id.starts_with("id: ") && id.ends_with(":1"), "{id}");
    stream.close();
    if serving == Serving::Own {
        server.empty().await;
    }
}

async fn several_channels(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let query = "channel=a&channel=%D0%B1%22&channel=a&channel=quick.1";
    let mut stream = Stream::open(&server, query).await;
    for (channel, data) in [
        ("a", r#"{"c":"a","d":1}"#),
        ("б\"", r#"{"c":"б\"","d":1}"#),
        ("quick.1", r#"{"c":"quick.1","d":1}"#),
    ] {
        until("subscribed", || server.gateway.subscriber_count(channel) == 1).await;
        publish(&server, channel, [1]).await;
        stream.expect("e", data).await;
    }
    let id = stream.reset();
    assert_eq!(id.split(',').count(), 3, "{id}");
    assert!(id.ends_with(",-"), "{id}");
    publish(&server, "б\"", [2, 3]).await;
    publish(&server, "a", [2]).await;
    let mut back = Stream::resume(&server, query, &id).await;
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(back.next().await.expect("an event").data);
    }
    let of = |part: &str| heard.iter().filter(|data| data.contains(part)).cloned().collect::<Vec<_>>();
    assert_eq!(of(r#""a""#), [r#"{"c":"a","d":2}"#]);
    assert_eq!(of("б"), [r#"{"c":"б\"","d":2}"#, r#"{"c":"б\"","d":3}"#]);
    assert_eq!(of("quick"), [r#"{"c":"quick.1","why":"unavailable"}"#]);
}

async fn data_and_names_as_they_are(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let mut stream = Stream::open(&server, "channel=a").await.live().await;
    for data in ["123456789012345678901234567890", r#"{ "b" : 1, "a":"\u00e9\n" }"#, "null"] {
        let body = format!(r#"{{"channel":"a","event":"e","data":{data}}}"#);
        request(server.address, "POST /api/publish", &["content-type: application/json"], &body).await;
        stream.expect("e", data).await;
    }
    let body = "{\"channel\":\"a\",\"event\":\"error\",\"data\":{\n  \"n\": [\r\n1]\n}}";
    request(server.address, "POST /api/publish", &["content-type: application/json"], body).await;
    let Heard { event, data } = stream.next().await.expect("an event");
    assert_eq!(event, "_error");
    assert_eq!(serde_json::from_str::<Value>(&data).expect("JSON"), json!({"n": [1]}));
}

async fn who_comes_back_gets_what_was_missed(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let mut stays = Stream::open(&server, "channel=a").await.live().await;
    let mut goes = Stream::open(&server, "channel=a").await.live().await;
    publish(&server, "a", 1..=2).await;
    expect_numbers(&mut goes, 1..=2).await;
    let id = goes.reset();
    publish(&server, "a", 3..=5).await;
    let mut back = Stream::resume(&server, "channel=a", &id).await;
    expect_numbers(&mut back, 3..=5).await;
    publish(&server, "a", 6..=7).await;
    expect_numbers(&mut back, 6..=7).await;
    expect_numbers(&mut stays, 1..=7).await;
    assert_eq!(stays.id, back.id);
    // More than is kept, when nobody was there.
    let id = Stream::open(&server, "channel=b").await.live().await.reset();
    until("nobody is there", || server.gateway.subscriber_count("b") == 0).await;
    publish(&server, "b", 1..=11).await;
    let mut late = Stream::resume(&server, "channel=b", &id).await;
    expect_gap(&mut late, "b", "expired").await;
    publish(&server, "b", [12]).await;
    expect_numbers(&mut late, [12]).await;
}

async fn a_quiet_channel_recovers_too(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let id = Stream::open(&server, "channel=a").await.live().await.reset();
    publish(&server, "a", 1..=2).await;
    let mut back = Stream::resume(&server, "channel=a", &id).await;
    expect_numbers(&mut back, 1..=2).await;
    // A recovery of nothing moves nobody.
    let id = back.reset();
    let back = Stream::resume(&server, "channel=a", &id).await.live().await;
    assert_eq!(back.id, id);
}

async fn the_header_wins_over_the_query(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let mut stream = Stream::open(&server, "channel=a").await.live().await;
    let begun = stream.id.replace(':', "%3A");
    publish(&server, "a", 1..=3).await;
    expect_numbers(&mut stream, 1..=2).await;
    let query = format!("channel=a&lastEventId={begun}");
    expect_numbers(&mut Stream::open(&server, &query).await, 1..=3).await;
    expect_numbers(&mut Stream::resume(&server, &query, &stream.id).await, [3]).await;
    expect_numbers(&mut Stream::resume(&server, &query, "").await, 1..=3).await;
}

async fn ids_that_are_none(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let stream = Stream::open(&server, "channel=a").await.live().await;
    let (epoch, _) = stream.id.split_once(':').expect("a position");
    publish(&server, "a", 1..=2).await;
    let too_long = "x".repeat(8 * 1024 + 1);
    for bad in [
        "rubbish",
        "é",
        &format!("{epoch}:1,{epoch}:1"),
        &format!("{epoch}:"),
        &format!("{epoch}:99"),
        &format!("{epoch}:99999999999999999999"),
        "other:1",
        &too_long,
    ] {
        let mut back = Stream::resume(&server, "channel=a", bad).await;
        expect_gap(&mut back, "a", "epoch").await;
        assert!(back.id.starts_with(&format!("{epoch}:")), "{bad}: {}", back.id);
    }
    // One of two: the other goes on.
    let mut back = Stream::resume(&server, "channel=b&channel=a", &format!("rubbish,{epoch}:1")).await;
    let mut heard = [back.next().await.expect("one").data, back.next().await.expect("two").data];
    heard.sort_unstable();
    assert_eq!(heard, [r#"{"c":"a","d":2}"#, r#"{"c":"b","why":"epoch"}"#]);
}

async fn a_channel_without_history_has_a_gap(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let mut stream = Stream::open(&server, "channel=quick.1").await.live().await;
    assert_eq!(stream.id, "-");
    publish(&server, "quick.1", [1]).await;
    expect_numbers(&mut stream, [1]).await;
    let id = stream.reset();
    let mut back = Stream::resume(&server, "channel=quick.1", &id).await;
    expect_gap(&mut back, "quick.1", "unavailable").await;
}

async fn a_gap_while_connected(serving: Serving) {
    let probe = Probe::over(Histories::default());
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut stream = Stream::open(&server, "channel=a").await.live().await;
    let position = Position { epoch: "other".into(), offset: 41 };
    probe.tell("a", &Notice::Gap { position, why: Why::Backplane });
    expect_gap(&mut stream, "a", "backplane").await;
    assert_eq!(stream.id, "other:41");
}

async fn a_large_replay_comes_whole(serving: Serving) {
    let server = Running::start(serving, recovering(256));
    let id = Stream::open(&server, "channel=a").await.live().await.reset();
    let filler = "x".repeat(4_000);
    for n in 0..100 {
        let data = json!({"n": n, "filler": filler});
        server.gateway.publish("a", Event::new("e", data)).await.expect("open");
    }
    let mut back = Stream::resume(&server, "channel=a", &id).await;
    for n in 0..100 {
        let heard: Value = serde_json::from_str(&back.next().await.expect("an event").data).expect("JSON");
        assert_eq!(heard["n"], n);
    }
}

async fn what_is_wrong_is_said(serving: Serving) {
    let server =
        Running::start(serving, open_gateway().config(config(|c| c.limits.channels_per_connection = 2)));
    for (query, part) in [
        ("", "no channel"),
        ("?", "no channel"),
        ("?channels=a", "no channel"),
        ("?channel=", "invalid channel"),
        ("?channel=a%20b", "printable"),
        ("?channel=a&channel=b&channel=c", "allowed are 2"),
    ] {
        let answer = get(&server, query, &[]).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.body.contains(part), "{query}: {}", answer.body);
    }
    Stream::open(&server, "channel=a&channel=b&channel=a").await;
    for method in ["POST", "PUT", "DELETE", "HEAD"] {
        let answer = request(server.address, &format!("{method} /_broadcast/sse?channel=a"), &[], "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("get, options")), "{method}");
    }
    let upgrade = [
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let answer = get(&server, "?channel=a", &upgrade).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("/_broadcast"), "{}", answer.body);
}

async fn denied_before_any_stream_starts(serving: Serving) {
    let probe = Probe::default();
    let builder = Gateway::builder(probe.clone()).authorize("secret", |_, _| async { false });
    let server = Running::start(serving, builder);
    for (query, name) in
        [("?channel=secret", "secret"), ("?channel=a&channel=private-%D0%B1&channel=b", "private-б")]
    {
        let answer = get(&server, query, &[]).await;
        assert_eq!(answer.status, 403, "{query}");
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert!(body["detail"].as_str().is_some_and(|detail| detail.contains(name)), "{body}");
    }
    assert_eq!((server.gateway.client_count(), probe.counts("a").opened), (0, 0));
}

async fn an_authorizer_that_changes_its_mind(serving: Serving) {
    let asked = Arc::new(AtomicUsize::new(0));
    let builder = open_gateway().authorize("once", move |_, _| {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        async move { first }
    });
    let server = Running::start(serving, builder);
    Stream::open(&server, "channel=once").await.expect_end().await;
    server.empty().await;
    assert_eq!(get(&server, "?channel=once", &[]).await.status, 403);
}

async fn an_authorizer_that_fails(serving: Serving) {
    let builder = open_gateway()
        .authorize("sick", |_, _| async { Err::<bool, _>("a secret of the database") })
        .authorize("now", |_, _| -> std::future::Ready<bool> { panic!("on purpose") });
    let server = Running::start(serving, builder);
    for channel in ["sick", "now"] {
        let answer = get(&server, &format!("?channel={channel}"), &[]).await;
        assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true), "{channel}");
        Stream::resume(&server, &format!("channel={channel}"), "k3:7").await.expect_end().await;
        assert!(answer.body.contains(channel) && !answer.body.contains("secret"), "{}", answer.body);
    }
}

async fn the_subject_is_known(serving: Serving) {
    let builder = recovering(10)
        .resolve_subject(|request| async move {
            tokio::task::yield_now().await;
            let user = request.headers().get("x-user")?.to_str().ok()?;
            Some(Subject::new(user))
        })
        .authorize("private-*", |channel, subject| async move {
            subject.is_some_and(|subject| channel.ends_with(&format!(".{}", subject.id())))
        });
    let server = Running::start(serving, builder);
    let mut stream = Stream::open_with(&server, "channel=private-x.ann", &["x-user: ann"]).await;
    until("subscribed", || server.gateway.subscriber_count("private-x.ann") == 1).await;
    publish(&server, "private-x.ann", [1]).await;
    expect_numbers(&mut stream, [1]).await;
    assert_eq!(get(&server, "?channel=private-x.ann", &["x-user: bob"]).await.status, 403);
    // An id opens nothing.
    let headers = ["x-user: bob", &format!("last-event-id: {}", stream.id)];
    assert_eq!(get(&server, "?channel=private-x.ann", &headers).await.status, 403);
}

async fn a_backplane_that_refuses(serving: Serving) {
    let probe = Probe::default();
    probe.refuse_subscribe(true);
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    Stream::open(&server, "channel=a").await.expect_end().await;
    server.empty().await;
    probe.refuse_subscribe(false);
    Stream::open(&server, "channel=a").await.live().await;
}

async fn origins(serving: Serving) {
    let listed = config(|c| {
        c.allowed_origins = vec!["https://app.example.com".to_owned(), "null".to_owned()];
    });
    let server = Running::start(serving, open_gateway().config(listed));
    let own = format!("http://{}", server.address);
    for (origin, credentials) in
        [("https://app.example.com", Some("true")), (own.as_str(), None), ("null", None)]
    {
        let header = format!("origin: {origin}");
        let stream = Stream::open_with(&server, "channel=a", &[&header]).await;
        // A page may read what went wrong, too.
        for answer in [&stream.head, &get(&server, "?channel=private-a", &[&header]).await] {
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
            assert_eq!(answer.header("access-control-allow-credentials"), credentials, "{origin}");
            assert_eq!(answer.header("vary"), Some("origin"));
        }
    }
    for refused in ["https://evil.example", "http://app.example.com"] {
        let answer = get(&server, "?channel=a", &[&format!("origin: {refused}")]).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None), "{refused}");
        assert_eq!(answer.header("vary"), Some("origin"));
    }
    let any = config(|c| c.allowed_origins = vec!["*".to_owned()]);
    let server = Running::start(serving, open_gateway().config(any));
    let stream = Stream::open_with(&server, "channel=a", &["origin: https://any.example"]).await;
    assert_eq!(stream.head.header("access-control-allow-origin"), Some("https://any.example"));
    assert_eq!(stream.head.header("access-control-allow-credentials"), None);
}

async fn preflight(serving: Serving) {
    let listed = config(|c| c.allowed_origins = vec!["https://app.example.com".to_owned()]);
    let server = Running::start(serving, open_gateway().config(listed));
    let ask = async |origin: &str| {
        let headers = [
            &*format!("origin: {origin}"),
            "access-control-request-method: GET",
            "access-control-request-headers: last-event-id",
        ];
        request(server.address, "OPTIONS /_broadcast/sse?channel=a", &headers, "").await
    };
    let answer = ask("https://app.example.com").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("get"));
    assert!(answer.header("access-control-allow-headers").is_some_and(|h| h.contains("last-event-id")));
    let answer = ask("https://evil.example").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None));
}

async fn as_many_connections_as_there_may_be(serving: Serving) {
    let settings = config(|c| {
        c.limits.connections = 2;
        c.sse_heartbeat = Duration::from_millis(20);
    });
    let server = Running::start(serving, open_gateway().config(settings));
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    let stream = Stream::open(&server, "channel=a").await;
    let answer = get(&server, "?channel=a", &[]).await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
    stream.close();
    until("there is room", || server.gateway.client_count() == 1).await;
    Stream::open(&server, "channel=a").await.live().await;
}

async fn as_many_in_a_second_as_there_may_be(serving: Serving) {
    let settings = config(|c| {
        c.limits.connections_per_second = 1;
        c.allowed_origins = vec!["*".to_owned()];
    });
    let server = Running::start(serving, open_gateway().config(settings));
    let page = ["origin: https://app.example.com"];
    // Asking for leave is no connection.
    for _ in 0..3 {
        assert_eq!(request(server.address, "OPTIONS /_broadcast/sse", &page, "").await.status, 204);
    }
    Stream::open_with(&server, "channel=a", &page).await;
    // In whichever second the next one comes: of those that come at once, one is too many.
    let answer = loop {
        let answer = get(&server, "?channel=a", &page).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
    let mut refused = loop {
        let stream = Stream::resume(&server, "channel=a", "k3:7").await;
        // One that is let in has no end.
        if stream.head.header("content-length").is_some() {
            break stream;
        }
    };
    refused.expect_end().await;
}

async fn nobody_is_let_in_while_draining(serving: Serving) {
    let door = Door::default();
    let waiting = door.clone();
    let builder = open_gateway().authorize("slow", move |_, _| waiting.behind(true));
    let server = Running::start(serving, builder);
    let asking = get(&server, "?channel=slow", &[]);
    let draining = async {
        door.knocked().await;
        server.gateway.drain().await;
        let answer = get(&server, "?channel=a", &[]).await;
        door.open(1);
        answer
    };
    let (late, answer) = futures_util::join!(asking, draining);
    for answer in [late, answer] {
        assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
    }
    // Who was here before is asked to come again.
    let mut back = Stream::resume(&server, "channel=a", "k3:7").await;
    back.expect_end().await;
    assert_eq!(back.id, "");
    assert!(back.retry.is_some_and(|after| after >= 2_000));
}

async fn sent_away_while_draining(serving: Serving) {
    let mut settings = config(|c| c.limits.connections_per_second = 40);
    settings.drain = Duration::from_secs(60);
    let server = Running::start(serving, recovering(10).config(settings));
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(Stream::open(&server, "channel=a").await.live().await);
    }
    let gateway = server.gateway.clone();
    let talking = async {
        for stream in &mut streams {
            let told = stream.retry.take().expect("a first block");
            let block = stream.block().await.expect("a retry");
            let after: u64 = block.strip_prefix("retry: ").expect("a retry").parse().expect("milliseconds");
            assert!(after >= told);
        }
        for stream in &mut streams {
            stream.expect_end().await;
        }
    };
    futures_util::join!(gateway.drain(), talking);
    assert_eq!(gateway.client_count(), 0);
}

async fn closed(serving: Serving) {
    let server = Running::start(serving, recovering(10));
    let mut stream = Stream::open(&server, "channel=a").await.live().await;
    publish(&server, "a", 1..=3).await;
    server.gateway.close().await;
    expect_numbers(&mut stream, 1..=3).await;
    stream.expect_end().await;
    assert_eq!(get(&server, "?channel=a", &[]).await.status, 503);
}

async fn a_silent_stream_says_that_it_is_alive(serving: Serving) {
    let settings = config(|c| c.sse_heartbeat = Duration::from_millis(20));
    let server = Running::start(serving, open_gateway().config(settings));
    let mut stream = Stream::open(&server, "channel=a").await.live().await;
    for _ in 0..3 {
        assert_eq!(stream.block().await.as_deref(), Some(":"));
    }
    let refused = open_gateway().config(config(|c| c.sse_heartbeat = Duration::ZERO)).build();
    assert!(refused.expect_err("a setting").to_string().contains("sse_heartbeat"));
}

async fn pings_are_answered(serving: Serving) {
    let settings = config(|c| {
        c.ping_interval = Duration::from_millis(20);
        c.ping_grace = Duration::from_secs(2);
        c.sse_heartbeat = Duration::from_millis(500);
    });
    let server = Running::start(serving, open_gateway().config(settings));
    let mut stream = Stream::open(&server, "channel=a").await.live().await;
    // More time than one who does not answer has.
    for _ in 0..5 {
        assert_eq!(stream.block().await.as_deref(), Some(":"));
    }
    publish(&server, "a", [1]).await;
    expect_numbers(&mut stream, [1]).await;
}

async fn who_vanishes_leaves_nothing(serving: Serving) {
    let probe = Probe::default();
    let settings = config(|c| c.sse_heartbeat = Duration::from_millis(20));
    let server = Running::start(serving, Gateway::builder(probe.clone()).config(settings));
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(Stream::open(&server, "channel=a&channel=b").await);
    }
    until("subscribed", || server.gateway.subscriber_count("b") == 10).await;
    for (n, stream) in streams.into_iter().enumerate() {
        if n % 2 == 0 {
            stream.reset()
        } else {
            stream.close()
        };
    }
    server.empty().await;
    until("unsubscribed", || probe.counts("a").open == 0 && probe.counts("b").open == 0).await;
}

async fn who_vanishes_while_the_application_is_asked(serving: Serving) {
    let door = Door::default();
    let waiting = door.clone();
    let builder = open_gateway()
        .config(config(|c| c.sse_heartbeat = Duration::from_millis(20)))
        .authorize("slow", move |_, _| waiting.behind(true));
    let server = Running::start(serving, builder);
    tokio::select! {
        answer = get(&server, "?channel=slow", &[]) => panic!("answered {} by itself", answer.status),
        () = door.knocked() => {}
    }
    door.open(2);
    until("the authorizer is done", || door.waiting() == 0).await;
    server.empty().await;
}

async fn a_reader_that_stands_still_is_ended_and_holds_up_nobody(serving: Serving) {
    const KEPT: usize = 10;
    let settings = config(|c| {
        c.limits.queue_bytes = 256 * 1024;
        c.limits.queue_stall = Duration::from_secs(60);
    });
    let server = Running::start(serving, recovering(KEPT).config(settings));
    let mut still = Stream::open(&server, "channel=a").await.live().await;
    let mut reads = Stream::open(&server, "channel=a").await.live().await;
    let data = RawJson::serialize(&"x".repeat(50_000)).expect("JSON");
    let (mut sent, mut more) = (0, KEPT);
    // However much fits between the gateway and one who does not read, and then as much as is kept.
    while more > 0 {
        if server.gateway.subscriber_count("a") == 1 {
            more -= 1;
        }
        server.gateway.publish("a", Event::new(sent.to_string(), data.clone())).await.expect("open");
        // Not faster than one who reads gets it, else all are slow.
        assert_eq!(reads.next().await.expect("an event").event, sent.to_string());
        sent += 1;
    }
    let mut heard = 0;
    while let Some(event) = still.next().await {
        assert_eq!(event.event, heard.to_string(), "in order, from the first on");
        heard += 1;
    }
    assert!(heard < sent);
    // It comes back for the rest, and that is more than is kept.
    let mut back = Stream::resume(&server, "channel=a", &still.id).await;
    expect_gap(&mut back, "a", "expired").await;
    publish(&server, "a", [1]).await;
    expect_numbers(&mut back, [1]).await;
    expect_numbers(&mut reads, [1]).await;
}

async fn without_chunks(serving: Serving) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Running::start(serving, open_gateway());
    let mut socket = tokio::net::TcpStream::connect(server.address).await.expect("a listening gateway");
    let request = b"GET /_broadcast/sse?channel=a HTTP/1.0\r\nhost: gateway\r\n\r\n";
    socket.write_all(request).await.expect("an open connection");
    until("subscribed", || server.gateway.subscriber_count("a") == 1).await;
    publish(&server, "a", [1]).await;
    server.gateway.close().await;
    let mut all = String::new();
    socket.read_to_string(&mut all).await.expect("the end");
    let (head, body) = all.split_once("\r\n\r\n").expect("a head");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    assert!(body.starts_with("retry: "), "{body}");
    assert!(body.ends_with("event: e\nid: -\ndata: 1\n\n"), "{body}");
}

async fn another_path(serving: Serving) {
    for (path, streams) in [("/rt", "/rt/sse"), ("/", "/sse"), ("/a/", "/a/sse")] {
        let server = Running::start(serving, open_gateway().config(config(|c| c.path = path.to_owned())));
        let answer = request(server.address, &format!("GET {streams}"), &[], "").await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(request(server.address, "GET /_broadcast/sse", &[], "").await.status, 404);
    }
}
