//! The operator's page: who is let in, what it is told, and what it may order.

use crate::harness::{
    Answer, Client, Running, Said, Serving, auth, both_ways, err, knowing, known, request, sub, until,
};
use actix_web::{App, HttpServer, dev::ServerHandle};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc,
    thread::JoinHandle,
};
use tidings_server::{ApiKeys, Event, Gateway, MemoryBroadcaster, OperatorPage};

both_ways!(
    nothing_without_a_key,
    the_page_is_its_own_and_keeps_strangers_out,
    figures_come_by_themselves_and_those_of_before_are_there,
    connections_are_told_filtered_and_bounded,
    channels_are_told_with_their_rate,
    a_tail_disturbs_nobody_and_ends,
    a_tail_resumes_where_it_was,
    an_order_to_disconnect,
    what_makes_no_sense_is_said,
    nothing_of_it_is_where_clients_come,
);

const KEY: &str = "authorization: Bearer 0123456789abcdef";
const JSON: &str = "content-type: application/json";

/// A page about a gateway, on a listener of its own.
struct Desk {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    fn start(gateway: &Gateway) -> Self {
        let (started, starting) = mpsc::channel();
        let gateway = gateway.clone();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let keys = ApiKeys::new(["ann=0123456789abcdef".parse().expect("a key")]).expect("keys");
                let page = OperatorPage::new(&gateway, keys, "memory").expect("a page");
                let server = HttpServer::new(move || App::new().configure(page.routes()))
                    .workers(1)
                    .shutdown_timeout(1)
                    .disable_signals()
                    .bind((Ipv4Addr::LOCALHOST, 0))
                    .expect("a free port");
                let address = server.addrs()[0];
                let server = server.run();
                started.send((address, server.handle())).expect("a test that waits");
                server.await.expect("a server that stops");
            });
        });
        let (address, handle) = starting.recv().expect("it starts");
        Self { address, handle, thread: Some(thread) }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(path, &[KEY]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        serde_json::from_str(&answer.body).expect("JSON")
    }

    async fn ask(&self, path: &str, headers: &[&str]) -> Answer {
        request(self.address, &format!("GET {path}"), headers, "").await
    }

    async fn order(&self, body: &str) -> Answer {
        request(self.address, "POST /operator/disconnect", &[KEY, JSON], body).await
    }

    /// A WebSocket, and what it is told of this key.
    async fn open(&self, key: &str) -> (Client, String) {
        let mut client = Client::open(self.address).await;
        client.next().await;
        client.send(auth(key)).await;
        let answer = client.next().await;
        (client, answer)
    }

    async fn operator(&self) -> Client {
        let (client, answer) = self.open("0123456789abcdef").await;
        assert_eq!(answer, r#"{"t":"auth"}"#);
        client
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the listener ends well");
    }
}

/// A gateway that knows its clients, and a page about it.
fn both(serving: Serving) -> (Running, Desk) {
    let server = Running::start(serving, knowing(MemoryBroadcaster::default()));
    let desk = Desk::start(&server.gateway);
    (server, desk)
}

/// The client is a subscriber of this channel, which has a history.
async fn subscribed(client: &mut Client, channel: &str) {
    client.send(sub(channel)).await;
    let answer = client.next().await;
    assert!(answer.starts_with(&format!(r#"{{"t":"ok","c":"{channel}""#)), "{answer}");
}

async fn nothing_without_a_key(serving: Serving) {
    let (_server, desk) = both(serving);
    for path in
        ["/operator/figures", "/operator/channels", "/operator/channel?channel=a", "/operator/connections"]
    {
        for headers in [&[][..], &["authorization: Bearer 0123456789abcdeF"], &["authorization: Basic eDp5"]]
        {
            let answer = desk.ask(path, headers).await;
            assert_eq!(answer.status, 401, "{path} {headers:?}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert!(answer.body.contains("request.unauthorized") && !answer.body.contains("0123"));
        }
    }
    let body = r#"{"user": "ann"}"#;
    let answer = request(desk.address, "POST /operator/disconnect", &[JSON], body).await;
    assert_eq!(answer.status, 401);

    let (mut stranger, answer) = desk.open("0123456789abcdeF").await;
    assert_eq!(answer, err("", "unauthorized"));
    for channel in ["figures", "tail:orders", "anything"] {
        stranger.send(sub(channel)).await;
        stranger.expect(&err(channel, "unauthorized")).await;
    }
    let mut operator = desk.operator().await;
    operator.send(sub("anything")).await;
    operator.expect(&err("anything", "unauthorized")).await;
    operator.send(r#"{"t":"pub","c":"tail:orders","e":"e","d":1,"n":1}"#).await;
    operator.expect(r#"{"t":"err","c":"tail:orders","r":"publish denied","n":1}"#).await;
}

async fn the_page_is_its_own_and_keeps_strangers_out(serving: Serving) {
    let (_server, desk) = both(serving);
    let page = desk.ask("/", &[]).await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy");
    for part in [
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    for (name, value) in [
        ("x-frame-options", "deny"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
    // Each file that it names is there, and none is from elsewhere.
    let names: Vec<&str> = page.body.split('"').filter(|text| text.starts_with("/page/")).collect();
    assert!(names.len() >= 3 && !page.body.contains("//"), "{names:?}");
    let mut scripts = vec!["/page/main.js".to_owned()];
    let mut seen = 0;
    while let Some(path) = scripts.pop() {
        let script = desk.ask(&path, &[]).await;
        assert_eq!(
            (script.status, script.header("content-type")),
            (200, Some("text/javascript; charset=utf-8")),
            "{path}"
        );
        let imports = script.body.split("from './").skip(1).filter_map(|rest| rest.split('\'').next());
        scripts.extend(imports.filter(|name| name.ends_with(".js")).map(|name| format!("/page/{name}")));
        seen += 1;
        assert!(seen < 200, "no circle");
    }
    for path in names {
        assert_eq!(desk.ask(path, &[]).await.status, 200, "{path}");
    }
    // A page of another site does not get in, even with a key.
    let upgrade = [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
    ];
    let foreign = [&upgrade[..], &["origin: https://evil.example"]].concat();
    assert_eq!(desk.ask("/_broadcast", &foreign).await.status, 403);
}

async fn figures_come_by_themselves_and_those_of_before_are_there(serving: Serving) {
    let (server, desk) = both(serving);
    let mut client = known(&server, "bob.1").await;
    server.gateway.publish("private-a", Event::new("e", json!(1))).await.expect("published");
    client.next().await;
    let mut operator = desk.operator().await;
    subscribed(&mut operator, "figures").await;
    let (first, second) = (figures(&operator.next().await), figures(&operator.next().await));
    assert!(second["at"].as_u64() > first["at"].as_u64());
    let now = desk.get("/operator/figures").await;
    for figures in [second, now] {
        assert_eq!(figures["connections"], 1);
        assert_eq!(
            (&figures["opened"], &figures["subscriptions"], &figures["channels"]),
            (&json!(1), &json!(1), &json!(1))
        );
        assert_eq!((&figures["published"], &figures["deliveries"]), (&json!({"accepted": 1}), &json!(1)));
        assert_eq!((&figures["backplane"], &figures["unready"]), (&json!("memory"), &Value::Null));
        assert_eq!(figures["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(figures["limits"]["connections"], 100_000);
    }
    // Who comes later has those of before.
    let mut late = desk.operator().await;
    subscribed(&mut late, "figures").await;
    late.send(r#"{"t":"hist","c":"figures","n":1,"limit":300}"#).await;
    let page = loop {
        let frame: Value = serde_json::from_str(&late.next().await).expect("JSON");
        if frame["t"] == "hist" {
            break frame;
        }
    };
    assert!(page["ev"].as_array().expect("events").len() >= 2, "{page}");
    server.gateway.drain().await;
    assert_eq!(desk.get("/operator/figures").await["unready"], "the gateway is stopping");
}

/// The data of a frame of the figures.
fn figures(frame: &str) -> Value {
    let mut frame: Value = serde_json::from_str(frame).expect("JSON");
    assert_eq!(
        (&frame["t"], &frame["c"], &frame["e"]),
        (&json!("msg"), &json!("figures"), &json!("figures"))
    );
    frame["d"].take()
}

async fn connections_are_told_filtered_and_bounded(serving: Serving) {
    let (server, desk) = both(serving);
    // Names with letters that no id has, for an id has a text in it as well.
    let mut lou = known(&server, "lou.1").await;
    lou.send(r#"{"t":"sub","c":"news"}"#).await;
    lou.next().await;
    let mut clients = Vec::new();
    for n in 0..9 {
        clients.push(known(&server, &format!("bob{n}.1")).await);
    }
    let nobody = Client::connect(&server).await;

    // A worker that has no time to answer is left out.
    let ask = async |query: &str| loop {
        let page = desk.get(&format!("/operator/connections?{query}")).await;
        if page["silent"] == 0 {
            break page;
        }
    };
    let all = ask("").await;
    assert_eq!((&all["total"], &all["matching"]), (&json!(11), &json!(11)));
    let ids: Vec<_> =
        all["rows"].as_array().expect("rows").iter().map(|row| row["id"].as_str().expect("an id")).collect();
    assert!(ids.is_sorted_by(|one, two| one > two), "the newest first: {ids:?}");
    assert!(ids.contains(&nobody.id.as_str()));

    let few = ask("limit=4&sort=oldest").await;
    assert_eq!((&few["total"], &few["matching"]), (&json!(11), &json!(11)));
    assert_eq!(few["rows"].as_array().map(Vec::len), Some(4));
    assert_eq!(few["rows"][0]["id"], *ids.last().expect("some"));

    let found = ask("text=LOU").await;
    assert_eq!((&found["total"], &found["matching"]), (&json!(11), &json!(1)));
    let row = &found["rows"][0];
    assert_eq!(
        (&row["user"], &row["address"], &row["channels"], &row["queued"]),
        (&json!("lou"), &json!("127.0.0.1"), &json!(2), &json!(0))
    );
    assert_eq!(row["names"], json!(["private-a", "news"]));
    for (query, matching) in [
        ("text=bob", 9),
        ("text=127.0", 11),
        ("text=zoe", 0),
        ("channel=private-a", 10),
        ("channel=news", 1),
        ("channel=news&text=bob", 0),
    ] {
        assert_eq!(ask(query).await["matching"], matching, "{query}");
    }
    assert_eq!(ask(&format!("text={}", nobody.id)).await["rows"][0]["user"], Value::Null);
}

async fn channels_are_told_with_their_rate(serving: Serving) {
    let (server, desk) = both(serving);
    let (mut one, mut two) = (known(&server, "ann.1").await, known(&server, "bob.1").await);
    for client in [&mut one, &mut two] {
        subscribed(client, "busy").await;
    }
    subscribed(&mut one, "calm").await;
    let first = desk.get("/operator/channels").await;
    assert_eq!((&first["total"], &first["matching"]), (&json!(3), &json!(3)));
    assert_eq!(first["rows"][2], json!({"channel": "calm", "subscribers": 1, "rate": null}));
    for _ in 0..50 {
        server.gateway.publish("busy", Event::new("e", json!(1))).await.expect("published");
    }
    let busy = loop {
        let page = desk.get("/operator/channels?sort=rate&limit=1").await;
        assert_eq!((&page["matching"], page["rows"].as_array().map(Vec::len)), (&json!(3), Some(1)));
        if !page["rows"][0]["rate"].is_null() {
            break page["rows"][0].clone();
        }
    };
    assert_eq!((&busy["channel"], &busy["subscribers"]), (&json!("busy"), &json!(2)));
    assert!(busy["rate"].as_f64().expect("a rate") > 1.0, "{busy}");
    assert_eq!(desk.get("/operator/channels?text=CAL").await["matching"], 1);
    let closer = desk.get("/operator/channel?channel=busy").await;
    assert_eq!(
        (&closer["subscribers"], &closer["offset"], &closer["skipped"]),
        (&json!(2), &json!(50), &json!(0))
    );
    let unknown = desk.get("/operator/channel?channel=unknown").await;
    assert_eq!((&unknown["subscribers"], &unknown["rate"]), (&json!(0), &Value::Null));
}

async fn a_tail_disturbs_nobody_and_ends(serving: Serving) {
    let (server, desk) = both(serving);
    let mut operator = desk.operator().await;
    subscribed(&mut operator, "tail:private-a").await;
    assert_eq!((server.gateway.channel_count(), server.gateway.client_count()), (0, 0), "nobody has come");
    let mut client = known(&server, "bob.1").await;
    for n in 0..100 {
        server.gateway.publish("private-a", Event::new("e", json!({"n": n}))).await.expect("published");
    }
    for n in 0..100 {
        for (listener, channel) in [(&mut operator, "tail:private-a"), (&mut client, "private-a")] {
            let frame: Value = serde_json::from_str(&listener.next().await).expect("JSON");
            assert_eq!((&frame["c"], &frame["d"]["n"]), (&json!(channel), &json!(n)));
        }
    }
    assert_eq!(server.gateway.subscriber_count("private-a"), 1);
    operator.send(r#"{"t":"unsub","c":"tail:private-a","n":1}"#).await;
    operator.silence().await;
    server.gateway.publish("private-a", Event::new("e", json!(1))).await.expect("published");
    client.next().await;
    operator.silence().await;
    // What clients say is theirs.
    client.send(sub("tail:private-a")).await;
    assert!(client.next().await.starts_with(r#"{"t":"ok","c":"tail:private-a""#), "a channel like any other");
    client.silence().await;
}

async fn a_tail_resumes_where_it_was(serving: Serving) {
    let (server, desk) = both(serving);
    let publish =
        async |n: u32| server.gateway.publish("orders", Event::new("e", json!(n))).await.expect("published");
    let seen = publish(1).await.position.expect("history");
    publish(2).await;
    publish(3).await;
    let mut operator = desk.operator().await;
    let (epoch, offset) = (seen.epoch, seen.offset);
    operator.send(format!(r#"{{"t":"sub","c":"tail:orders","rc":{{"ep":"{epoch}","o":{offset}}}}}"#)).await;
    let ok = operator.next().await;
    assert!(ok.contains(r#""rec":true,"n":2"#), "{ok}");
    for n in [2, 3] {
        let frame: Value = serde_json::from_str(&operator.next().await).expect("JSON");
        assert_eq!((&frame["c"], &frame["d"]), (&json!("tail:orders"), &json!(n)));
    }
}

async fn an_order_to_disconnect(serving: Serving) {
    let (server, desk) = both(serving);
    let (mut one, mut two, mut bob) =
        (known(&server, "ann.1").await, known(&server, "ann.2").await, known(&server, "bob.1").await);
    let nobody = Client::connect(&server).await;
    let answer = desk.order(&json!({"client": nobody.id}).to_string()).await;
    assert_eq!(answer.status, 202);
    let mut nobody = nobody;
    assert_eq!(nobody.said().await, Said::Close(4003, "disconnected".to_owned()));
    assert_eq!(desk.order(r#"{"user": "ann"}"#).await.status, 202);
    for client in [&mut one, &mut two] {
        assert_eq!(client.said().await, Said::Close(4003, "disconnected".to_owned()));
    }
    bob.silence().await;
    drop((one, two, nobody));
    until("one is left", || server.gateway.client_count() == 1).await;
    let left = desk.get("/operator/connections").await;
    assert_eq!((&left["total"], &left["rows"][0]["user"]), (&json!(1), &json!("bob")));
}

async fn what_makes_no_sense_is_said(serving: Serving) {
    let (_server, desk) = both(serving);
    let long = format!("text={}", "x".repeat(257));
    for (path, parts) in [
        ("channels?sort=size", &["sort", "size", "subscribers, rate and name"][..]),
        ("channels?limit=0", &["limit", "1 to 1000"]),
        ("channels?prefix=a", &["prefix", "text, sort and limit"]),
        ("channels?channel=a", &["channel", "text, sort and limit"]),
        (&format!("channels?{long}"), &["text", "256"]),
        ("connections?sort=rate", &["sort", "newest, oldest and queued"]),
        ("connections?limit=1001", &["limit", "1 to 1000"]),
        ("connections?channel=two%20words", &["channel"]),
        ("channel", &["channel"]),
        ("channel?channel=", &["channel"]),
    ] {
        let answer = desk.ask(&format!("/operator/{path}"), &[KEY]).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (400, Some("application/problem+json")),
            "{path}"
        );
        assert!(parts.iter().all(|part| answer.body.contains(part)), "{path}: {}", answer.body);
    }
    for body in ["{}", r#"{"user": ""}"#, r#"{"client": "x"}"#, "nonsense"] {
        assert_eq!(desk.order(body).await.status, 400, "{body}");
    }
    for line in ["POST /operator/channels", "GET /operator/disconnect"] {
        assert_eq!(request(desk.address, line, &[KEY], "").await.status, 405, "{line}");
    }
}

async fn nothing_of_it_is_where_clients_come(serving: Serving) {
    let (server, _desk) = both(serving);
    for path in ["/", "/page/main.js", "/operator/figures", "/operator/connections"] {
        assert_eq!(request(server.address, &format!("GET {path}"), &[KEY], "").await.status, 404, "{path}");
    }
    // A name that only means something to operators.
    let mut client = Client::connect(&server).await;
    subscribed(&mut client, "figures").await;
    client.silence().await;
}
