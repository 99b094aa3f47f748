//! What is counted, and that the documents tell of it.

use crate::harness::{
    Client, Probe, Raw, Running, Serving, Stream, both_ways, config, masked, ok, publish, request, sub,
    unsub, until,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};
use tidings_server::{
    Builder, Event, Gateway, Histories, History, Metrics, Notice, Position, RawJson, protocol::Why,
};
use tokio_tungstenite::tungstenite::Message;

both_ways!(
    connections_are_counted,
    closes_are_counted_by_code,
    publishes_are_counted_by_source_and_outcome,
    deliveries_are_counted_once_for_each_subscriber,
    recoveries_and_gaps_are_counted,
    what_waits_is_measured,
    over_http_for_this_machine_only,
);

/// What the metrics say: each value by its name and labels.
#[derive(Clone, Debug)]
struct Scrape {
    values: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Scrape {
    fn of(server: &Running) -> Self {
        Self::read(&Metrics::new(&server.gateway).text())
    }

    fn read(text: &str) -> Self {
        let (mut values, mut kinds) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            match line.strip_prefix("# ") {
                Some(comment) => {
                    if let Some((name, kind)) = comment.strip_prefix("TYPE ").and_then(|c| c.split_once(' '))
                    {
                        assert_eq!(kinds.insert(name.to_owned(), kind.to_owned()), None, "twice: {name}");
                    }
                }
                None => {
                    let (series, value) = line.rsplit_once(' ').expect("a name and a value");
                    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                    assert_eq!(values.insert(series.to_owned(), value), None, "twice: {series}");
                }
            }
        }
        Self { values, kinds }
    }

    fn get(&self, series: &str) -> f64 {
        *self.values.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.values))
    }

    /// The series whose values are other than they were.
    fn changed(&self, before: &Self) -> BTreeSet<String> {
        let other = |(series, value): &(&String, &f64)| before.values.get(*series) != Some(value);
        self.values.iter().filter(other).map(|(series, _)| series.clone()).collect()
    }
}

/// Waits until a value is `expected`.
async fn comes_to(server: &Running, series: &str, expected: f64) {
    let said = || Scrape::of(server).get(series);
    until(series, || (said() - expected).abs() < f64::EPSILON).await;
}

/// The name without its labels.
fn name(series: &str) -> &str {
    series.split('{').next().expect("a first part")
}

/// The metric that a series is a part of.
fn family<'a>(series: &'a str, kinds: &BTreeMap<String, String>) -> &'a str {
    let name = name(series);
    let part = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
    part.filter(|whole| kinds.get(*whole).is_some_and(|kind| kind == "histogram")).unwrap_or(name)
}

/// The labels of a series, without the bounds of buckets.
fn labels(series: &str) -> Vec<(String, String)> {
    let Some((_, labels)) = series.split_once('{') else { return Vec::new() };
    let labels = labels.strip_suffix('}').expect("a closing brace").split(',');
    let pair = |label: &str| {
        let (name, value) = label.split_once('=').expect("a value");
        (name.to_owned(), value.trim_matches('"').to_owned())
    };
    labels.map(pair).filter(|(name, _)| name != "le").collect()
}

/// A gateway with a little history of `h*`, authorizers of `private-*`, and small limits.
fn watched(probe: &Probe, change: impl FnOnce(&mut tidings_server::Config)) -> Builder {
    Gateway::builder(probe.clone())
        .allow_client_publish(|context| async move { context.channel.as_ref() != "closed" })
        .authorize("private-yes", |_, _| async { true })
        .authorize("private-no", |_, _| async { false })
        .authorize("private-broken", |_, _| async { Err::<bool, _>("on purpose") })
        .config(config(|c| {
            c.limits.frame_bytes = 1_000;
            // So few that no flood can wait for the next one by accident.
            c.limits.commands_per_second = 1;
            c.limits.resume_events = 2;
            c.limits.queue_stall = Duration::from_secs(60);
            change(c);
        }))
}

fn probe() -> Probe {
    let few = History { events: 3, ..History::default() };
    Probe::over(Histories::off().with("h*", few).expect("a pattern"))
}

async fn send_event(server: &Running, channel: &str) {
    server.gateway.publish(channel, Event::new("e", json!(1))).await.expect("open");
}

/// Clients come in each way, and some are not let in.
async fn come(server: &Running) {
    let mut client = Client::connect(server).await;
    client.subscribe("a").await;
    let stream = Stream::open(server, "channel=a").await.live().await;
    comes_to(server, "tidings_event_streams", 1.0).await;
    assert_eq!(Scrape::of(server).get("tidings_connections"), 2.0);
    assert_eq!(Scrape::of(server).get("tidings_subscriptions"), 2.0);
    assert_eq!(Scrape::of(server).get("tidings_channels"), 1.0);
    let evil = ["origin: https://evil.example"];
    for refused in ["GET /_broadcast/sse?channel=a", "GET /_broadcast/sse?channel=b"] {
        assert_eq!(request(server.address, refused, &evil, "").await.status, 403);
    }
    stream.reset();
    client.leave().await;
    comes_to(server, "tidings_event_streams", 0.0).await;
    server.empty().await;
}

async fn connections_are_counted(serving: Serving) {
    let server = Running::start(serving, watched(&probe(), |c| c.limits.connections = 3));
    come(&server).await;
    let _all =
        [Client::connect(&server).await, Client::connect(&server).await, Client::connect(&server).await];
    for _ in 0..3 {
        assert_eq!(request(server.address, "GET /_broadcast/sse?channel=a", &[], "").await.status, 503);
    }
    let said = Scrape::of(&server);
    let refused = |reason| said.get(&format!("tidings_connections_refused_total{{reason=\"{reason}\"}}"));
    assert_eq!((refused("origin"), refused("full"), refused("pace")), (2.0, 3.0, 0.0));
    assert_eq!((refused("closing"), refused("address")), (0.0, 0.0));
    assert_eq!(said.get("tidings_connections"), 3.0);
    assert_eq!(said.get("tidings_connections_opened_total"), 5.0);
    assert_eq!(said.get("tidings_subscriptions"), 0.0);
}

/// A client leaves in each way.
async fn leave(server: &Running) {
    Client::connect(server).await.leave().await;
    assert_eq!(Client::connect(server).await.close_with(1001).await, 1001);
    assert_eq!(Client::connect(server).await.close_with(3000).await, 3000);
    let mut silent = Raw::connect(server).await;
    silent.send(&masked(0x88, b"")).await;
    assert_eq!(silent.frame().await.0, 0x88);
    Client::connect(server).await.reset();
    for (bytes, code) in [
        (masked(0x83, b""), 1002),
        (masked(0x81, b"\xff"), 1007),
        (masked(0x81, &[b'x'; 1_001]), 1009),
        (masked(0x89, b"x").repeat(600), 4029),
    ] {
        let mut raw = Raw::connect(server).await;
        raw.send(&bytes).await;
        let (first, payload) = loop {
            let (first, payload) = raw.frame().await;
            if first != 0x8a {
                break (first, payload);
            }
        };
        assert_eq!((first, u16::from_be_bytes([payload[0], payload[1]])), (0x88, code));
    }
    server.empty().await;
}

async fn closes_are_counted_by_code(serving: Serving) {
    let server = Running::start(serving, watched(&probe(), |_| {}));
    leave(&server).await;
    let gone = [Client::connect(&server).await, Client::connect(&server).await];
    server.gateway.close().await;
    drop(gone);
    let said = Scrape::of(&server);
    for (series, value) in &said.values {
        if name(series) == "tidings_connections_closed_total" {
            let labels = labels(series);
            let expected = match (labels[0].1.as_str(), labels[1].1.as_str()) {
                ("client", _) | ("gateway", "1002" | "1007" | "1009" | "4029") => 1.0,
                ("gateway", "1012") => 2.0,
                _ => 0.0,
            };
            assert_eq!(*value, expected, "{series}");
        }
    }
    assert_eq!(said.get("tidings_connections_opened_total"), 11.0);
    // Whoever comes now is told so.
    let answer = request(server.address, "GET /_broadcast/sse?channel=a", &[], "").await;
    assert_eq!(answer.status, 503);
    assert_eq!(Scrape::of(&server).get(r#"tidings_connections_refused_total{reason="closing"}"#), 1.0);
}

/// Publishes of every kind come to every end.
async fn publish_all(server: &Running, probe: &Probe) {
    let mut client = Client::connect(server).await;
    client.subscribe("a").await;
    let event = |channel: &str| publish(channel, "e", "1");
    client.send(event("a")).await;
    assert!(client.next().await.starts_with(r#"{"t":"msg""#));
    send_event(server, "a").await;
    assert!(client.next().await.starts_with(r#"{"t":"msg""#));
    server.gateway.publish("a b", Event::new("e", json!(1))).await.expect_err("a wrong name");
    for (channel, reason) in [
        ("private-yes-not", "unauthorized"),
        ("private-no", "unauthorized"),
        ("closed", "publish denied"),
        ("private-broken", "authorization failed"),
    ] {
        client.send(event(channel)).await;
        client.expect(&crate::harness::err(channel, reason)).await;
    }
    probe.refuse_publish(true);
    client.send(event("private-yes")).await;
    client.expect(&crate::harness::err("private-yes", "publish failed")).await;
    server.gateway.publish("a", Event::new("e", json!(1))).await.expect_err("refused");
    probe.refuse_publish(false);
    client.send("nonsense").await;
    client.message(Message::binary(vec![1])).await;
    client.silence().await;
    client.leave().await;
    server.empty().await;
}

async fn publishes_are_counted_by_source_and_outcome(serving: Serving) {
    let probe = probe();
    let server = Running::start(serving, watched(&probe, |_| {}));
    publish_all(&server, &probe).await;
    let said = Scrape::of(&server);
    for (source, outcome, expected) in [
        ("client", "accepted", 1.0),
        ("client", "denied", 3.0),
        ("client", "failed", 2.0),
        ("client", "invalid", 0.0),
        ("backend", "accepted", 1.0),
        ("backend", "denied", 0.0),
        ("backend", "failed", 1.0),
        ("backend", "invalid", 1.0),
    ] {
        let series = format!("tidings_publishes_total{{source=\"{source}\",outcome=\"{outcome}\"}}");
        assert_eq!(said.get(&series), expected, "{series}");
    }
    assert_eq!(said.get("tidings_publish_seconds_count"), 4.0);
    assert_eq!(said.get("tidings_backplane_lag_seconds_count"), 2.0);
    for (outcome, expected) in [("allowed", 1.0), ("denied", 1.0), ("failed", 1.0)] {
        let series = format!("tidings_authorization_seconds_count{{outcome=\"{outcome}\"}}");
        assert_eq!(said.get(&series), expected, "{series}");
    }
    assert_eq!(said.get(r#"tidings_dropped_frames_total{reason="unknown"}"#), 1.0);
    assert_eq!(said.get(r#"tidings_dropped_frames_total{reason="binary"}"#), 1.0);
    assert_eq!(server.gateway.dropped_frame_count(), 2);
}

async fn deliveries_are_counted_once_for_each_subscriber(serving: Serving) {
    // A ping would be counted among the bytes.
    let server = Running::start(serving, watched(&probe(), |c| c.ping_interval = Duration::ZERO));
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(&server).await;
        client.subscribe("a").await;
        clients.push(client);
    }
    let mut stream = Stream::open(&server, "channel=a").await.live().await;
    let before = Scrape::of(&server);
    let mut bytes = 0;
    for n in 0..20 {
        server.gateway.publish("a", Event::new("e", json!(n))).await.expect("open");
    }
    for client in &mut clients {
        // The payload, and two bytes in front of it.
        bytes += client.take(20).await.iter().map(|frame| frame.len() + 2).sum::<usize>();
    }
    for n in 0..20 {
        stream.expect("e", &n.to_string()).await;
    }
    // A worker counts a burst when it has handed it on.
    comes_to(&server, "tidings_deliveries_total", 80.0).await;
    let after = Scrape::of(&server);
    let grown = |series| after.get(series) - before.get(series);
    assert_eq!(before.get("tidings_deliveries_total"), 0.0);
    // The stream's frames are as long as the others.
    assert_eq!(grown("tidings_sent_bytes_total"), (bytes / 3 * 4) as f64);
    assert_eq!(grown("tidings_backplane_lag_seconds_count"), 20.0);
    // A turn is counted at its end, which is after all of that.
    let turns = "tidings_hub_turn_seconds_count";
    until("a turn", || Scrape::of(&server).get(turns) > before.get(turns)).await;
    // Who is not subscribed any longer gets nothing.
    clients[0].send(unsub("a")).await;
    clients[0].silence().await;
    assert_eq!(Scrape::of(&server).get("tidings_subscriptions"), 3.0);
    send_event(&server, "a").await;
    clients[1].next().await;
    clients[2].next().await;
    stream.expect("e", "1").await;
    comes_to(&server, "tidings_deliveries_total", 83.0).await;
}

/// Clients come back and get what they missed, or do not for each of the reasons; then the backplane loses something.
async fn come_back(server: &Running, probe: &Probe) {
    let mut client = Client::connect(server).await;
    let resume = |channel: &str, epoch: &str, offset: u64| {
        json!({"t": "sub", "c": channel, "rc": {"ep": epoch, "o": offset}}).to_string()
    };
    for (channel, missed, from, result) in [
        ("h.1", 2, 0, "recovered"),
        ("h.2", 2, 0, "epoch"),
        ("h.3", 4, 0, "expired"),
        ("h.4", 3, 0, "limit"),
        ("h.5", 2, 0, "unavailable"),
    ] {
        let mut first = Client::connect(server).await;
        first.send(sub(channel)).await;
        let frame: Value = serde_json::from_str(&first.next().await).expect("JSON");
        let epoch = frame["ep"].as_str().expect("an epoch");
        first.leave().await;
        for _ in 0..missed {
            send_event(server, channel).await;
        }
        probe.refuse_history(result == "unavailable");
        let epoch = if result == "epoch" { "another" } else { epoch };
        client.send(resume(channel, epoch, from)).await;
        let frame: Value = serde_json::from_str(&client.next().await).expect("JSON");
        if result == "recovered" {
            assert_eq!((&frame["rec"], &frame["n"]), (&json!(true), &json!(missed)), "{frame}");
            client.take(missed).await;
        } else {
            assert_eq!(frame["why"], result, "{frame}");
        }
    }
    probe.refuse_history(false);
    let position = Position { epoch: "new".into(), offset: 7 };
    probe.tell("h.1", &Notice::Gap { position, why: Why::Backplane });
    assert!(client.next().await.starts_with(r#"{"t":"gap","c":"h.1""#));
    client.leave().await;
    server.empty().await;
}

async fn recoveries_and_gaps_are_counted(serving: Serving) {
    let probe = probe();
    let server = Running::start(serving, watched(&probe, |_| {}));
    come_back(&server, &probe).await;
    let said = Scrape::of(&server);
    for result in ["recovered", "epoch", "expired", "limit", "unavailable"] {
        let series = format!("tidings_recoveries_total{{result=\"{result}\"}}");
        assert_eq!(said.get(&series), 1.0, "{series}");
    }
    assert_eq!(said.get("tidings_replayed_events_total"), 2.0);
    assert_eq!(said.get("tidings_gaps_total"), 1.0);
    assert_eq!(said.get("tidings_deliveries_total"), 0.0);
}

/// One does not read, until something waits for it; what the metrics said then.
async fn stand_still(server: &Running) -> Scrape {
    let mut still = Raw::connect(server).await;
    still.send(&masked(0x81, sub("a").as_bytes())).await;
    assert_eq!(still.text().await, ok("a"));
    let data = RawJson::serialize(&"x".repeat(200_000)).expect("JSON");
    let mut delivered = Scrape::of(server).get("tidings_deliveries_total");
    while Scrape::of(server).get("tidings_queued_bytes") < 200_000.0 {
        server.gateway.publish("a", Event::new("e", data.clone())).await.expect("open");
        delivered += 1.0;
        comes_to(server, "tidings_deliveries_total", delivered).await;
    }
    let said = Scrape::of(server);
    drop(still);
    server.empty().await;
    said
}

async fn what_waits_is_measured(serving: Serving) {
    let server = Running::start(serving, watched(&probe(), |c| c.limits.queue_bytes = 4 * 1024 * 1024));
    let waiting = stand_still(&server).await.get("tidings_queued_bytes");
    assert!(waiting <= 4.0 * 1024.0 * 1024.0, "{waiting}");
    assert_eq!(Scrape::of(&server).get("tidings_queued_bytes"), 0.0);
    comes_to(&server, "tidings_backlog_bytes", 0.0).await;
}

async fn over_http_for_this_machine_only(serving: Serving) {
    let server = Running::start(serving, watched(&probe(), |_| {}));
    let answer = request(server.address, "GET /metrics", &[], "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let said = Scrape::read(&answer.body);
    assert_eq!(said.values.keys().collect::<Vec<_>>(), Scrape::of(&server).values.keys().collect::<Vec<_>>());
    for header in ["x-forwarded-for: 192.0.2.1", "forwarded: for=192.0.2.1", "origin: https://evil.example"] {
        let refused = request(server.address, "GET /metrics", &[header], "").await;
        assert_eq!((refused.status, refused.body.contains("tidings_")), (403, false), "{header}");
    }
    let refused = request(server.address, "POST /metrics", &[], "").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("get")));
}

/// A file of the documents.
fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A metric as the document has it.
#[derive(Debug)]
struct Documented {
    kind: String,
    /// Each with its values; none where it may have any.
    labels: BTreeMap<String, BTreeSet<String>>,
}

fn documented() -> BTreeMap<String, Documented> {
    let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let mut metrics = BTreeMap::new();
    for row in document("metrics.md").lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = quoted(cells[1]).remove(0);
        let labels = cells[3].split(';').filter(|label| !label.is_empty());
        let labels = labels.map(|label| {
            let mut words = quoted(label).into_iter();
            (words.next().expect("a label"), words.collect())
        });
        let metric = Documented { kind: cells[2].to_owned(), labels: labels.collect() };
        assert!(!cells[4].is_empty(), "{name} has no meaning");
        assert!(metrics.insert(name.clone(), metric).is_none(), "twice: {name}");
    }
    metrics
}

/// These say what is, and not what happens.
const CONSTANT: [&str; 3] = ["tidings_build_info", "process_max_fds", "process_start_time_seconds"];

#[test]
fn what_is_documented_is_there_and_moves_and_nothing_else_is() {
    crate::harness::run(async {
        let documented = documented();
        assert!(documented.len() > 20, "the tables are read");
        let probe = probe();
        let (entered, mut waits) = tokio::sync::mpsc::unbounded_channel();
        let (go_on, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let builder = watched(&probe, |c| {
            c.limits.queue_bytes = 4 * 1024 * 1024;
            c.limits.dry_run = true;
            c.limits.connections_per_address = 1;
        });
        // An authorizer as none should be: the worker stands still meanwhile.
        let builder = builder.authorize("stopped", move |_, _| {
            entered.send(()).expect("a test that waits");
            let _ = held.lock().expect("one at a time").recv();
            async { true }
        });
        let server = Running::start(Serving::Own, builder);
        let first = Scrape::of(&server);
        let mut moved = BTreeSet::new();
        let mut last = first.clone();
        let mut look = |said: Scrape| {
            moved.extend(said.changed(&last));
            last = said;
        };
        {
            let mut client = Client::connect(&server).await;
            client.subscribe("a").await;
            let stream = Stream::open(&server, "channel=a").await.live().await;
            look(Scrape::of(&server));
            client.leave().await;
            stream.reset();
            server.empty().await;
        }
        come(&server).await;
        look(Scrape::of(&server));
        publish_all(&server, &probe).await;
        look(Scrape::of(&server));
        {
            let mut client = Client::connect(&server).await;
            for n in 0..300 {
                client.send(format!(r#"{{"t":"pub","c":"closed","e":"e","n":{n}}}"#)).await;
            }
            let paced = || Scrape::of(&server).get("tidings_paced_answers_total") > 0.0;
            until("answers are held back", paced).await;
            look(Scrape::of(&server));
        }
        server.empty().await;
        come_back(&server, &probe).await;
        look(Scrape::of(&server));
        look(stand_still(&server).await);
        probe.go_away(true);
        look(Scrape::of(&server));
        assert_eq!(Scrape::of(&server).get("tidings_backplane_up"), 0.0);
        probe.go_away(false);
        {
            let mut client = Client::connect(&server).await;
            client.subscribe("a").await;
            client.send(sub("stopped")).await;
            waits.recv().await.expect("an authorizer that is asked");
            send_event(&server, "a").await;
            look(Scrape::of(&server));
            drop(go_on);
            assert!(client.take(2).await.contains(&ok("stopped")));
        }
        while Scrape::of(&server).get("process_cpu_seconds_total") <= first.get("process_cpu_seconds_total") {
            std::hint::black_box(Scrape::of(&server));
        }
        look(Scrape::of(&server));

        let last = Scrape::of(&server);
        assert_eq!(
            documented.keys().collect::<Vec<_>>(),
            last.kinds.keys().collect::<Vec<_>>(),
            "documented on the left, exported on the right"
        );
        for (name, metric) in &documented {
            assert_eq!(last.kinds[name], metric.kind, "{name}");
            let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for series in last.values.keys().filter(|series| family(series, &last.kinds) == name) {
                for (label, value) in labels(series) {
                    said.entry(label).or_default().insert(value);
                }
            }
            if name == "tidings_build_info" {
                assert_eq!(last.get(&format!("{name}{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
            } else {
                assert_eq!(metric.labels, said, "{name}: documented on the left, exported on the right");
            }
            let moves = moved.iter().any(|series| family(series, &last.kinds) == name);
            assert_eq!(moves, !CONSTANT.contains(&name.as_str()), "{name} moves");
        }
    });
}

/// The metrics that a query names, and the labels that it asks for.
fn queried(query: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names = query.split(|c| !word(c)).filter(|w| w.starts_with("tidings_") || w.starts_with("process_"));
    let mut labels = BTreeSet::new();
    for selector in query.split('{').skip(1).filter_map(|rest| rest.split_once('}')) {
        labels.extend(
            selector.0.split(',').map(|pair| pair.split(['=', '!']).next().expect("a label").to_owned()),
        );
    }
    for grouping in query.split("by (").skip(1).filter_map(|rest| rest.split_once(')')) {
        labels.extend(grouping.0.split(',').map(|label| label.trim().to_owned()));
    }
    (names.map(str::to_owned).collect(), labels)
}

/// Each metric that a query names is exported, and has the labels that it asks for.
fn check_query(query: &str, said: &Scrape) {
    let (names, labels_of_query) = queried(query);
    assert!(!names.is_empty(), "a query of nothing of ours: {query}");
    let mut known: BTreeSet<String> = ["instance", "job", "le"].map(str::to_owned).into();
    for metric in &names {
        let series: Vec<_> = said.values.keys().filter(|series| name(series) == metric).collect();
        assert!(!series.is_empty(), "{metric} is in no metric: {query}");
        known.extend(series.iter().flat_map(|series| labels(series)).map(|(label, _)| label));
    }
    assert!(labels_of_query.is_subset(&known), "{labels_of_query:?} of {known:?}: {query}");
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    crate::harness::run(async {
        let server = Running::start(Serving::Own, watched(&probe(), |_| {}));
        let said = Scrape::of(&server);
        let dashboard: Value = serde_json::from_str(&document("grafana.json")).expect("JSON");
        let panels = dashboard["panels"].as_array().expect("panels");
        let mut asked = BTreeSet::new();
        let mut places = BTreeSet::new();
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            assert!(places.insert(panel["gridPos"].to_string()), "two panels in one place: {panel}");
            for target in panel["targets"].as_array().expect("queries") {
                let query = target["expr"].as_str().expect("a query");
                check_query(query, &said);
                asked.extend(queried(query).0);
            }
        }
        let asked: BTreeSet<_> = asked.iter().map(|name| family(name, &said.kinds)).collect();
        for metric in said.kinds.keys().filter(|name| name.starts_with("tidings_")) {
            assert!(asked.contains(metric.as_str()), "no panel shows {metric}");
        }
    });
}

#[test]
fn the_alerts_ask_for_what_there_is() {
    crate::harness::run(async {
        let server = Running::start(Serving::Own, watched(&probe(), |_| {}));
        let said = Scrape::of(&server);
        let rules = document("alerts.yml");
        let queries: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
        assert!(queries.len() > 5 && queries.len() == rules.matches("alert: ").count());
        queries.iter().for_each(|query| check_query(query, &said));
    });
}

#[test]
fn counters_do_not_go_back_when_a_worker_ends() {
    crate::harness::run(async {
        let server = Running::start(Serving::Embedded, watched(&probe(), |_| {}));
        let mut client = Client::connect(&server).await;
        client.subscribe("a").await;
        send_event(&server, "a").await;
        client.next().await;
        let gateway = server.gateway.clone();
        comes_to(&server, "tidings_deliveries_total", 1.0).await;
        let before = Scrape::of(&server);
        drop(server);
        // actix-web stops without waiting for its workers.
        let scrape = || Scrape::read(&Metrics::new(&gateway).text());
        let gone = ["tidings_subscriptions", "tidings_connections"];
        until("the worker's hub is gone", || gone.iter().all(|series| scrape().get(series) == 0.0)).await;
        let after = scrape();
        for series in ["tidings_connections_opened_total", "tidings_deliveries_total"] {
            assert!(after.get(series) >= before.get(series) && before.get(series) >= 1.0, "{series}");
        }
    });
}

#[test]
fn an_event_stream_that_is_slow_to_be_told_is_still_counted_once() {
    crate::harness::run(async {
        let server =
            Running::start(Serving::Own, watched(&probe(), |c| c.sse_heartbeat = Duration::from_millis(50)));
        let streams = [Stream::open(&server, "channel=a").await, Stream::open(&server, "channel=b").await];
        comes_to(&server, "tidings_event_streams", 2.0).await;
        for stream in streams {
            stream.close();
        }
        comes_to(&server, "tidings_event_streams", 0.0).await;
        let said = Scrape::of(&server);
        assert_eq!(said.get(r#"tidings_connections_closed_total{side="client",code="1006"}"#), 2.0);
    });
}
