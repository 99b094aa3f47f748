//! How much one client may ask for, and how many may come from one address.

use crate::harness::{
    Client, Raw, Running, Serving, Stream, answer, auth, both_ways, config, masked, ok, open_gateway,
    publish, request, sub, until,
};
use tidings_server::{Builder, Gateway, Histories, History, MemoryBroadcaster, Metrics};
use tokio::{io::AsyncWriteExt, net::TcpStream};

both_ways!(
    a_client_with_all_its_channels_and_a_full_outbox_comes_back_at_once,
    too_many_commands_of_any_kind,
    answers_to_pings_are_no_commands,
    no_limit_of_commands,
    commands_above_a_limit_that_is_only_watched,
    names_of_channels_and_events,
    so_many_connections_from_one_address,
    event_streams_have_an_address_too,
    who_is_behind_a_trusted_proxy,
    a_header_of_somebody_else,
    an_address_above_a_limit_that_is_only_watched,
);

/// So few commands that no test can wait for the next one by accident.
fn few_commands() -> Builder {
    open_gateway().config(config(|c| {
        c.limits.channels_per_connection = 5;
        (c.limits.commands_per_second, c.limits.commands_burst) = (1, 300);
    }))
}

async fn a_client_with_all_its_channels_and_a_full_outbox_comes_back_at_once(serving: Serving) {
    let broadcaster = MemoryBroadcaster::new(Histories::new(History::default()));
    let builder = Gateway::builder(broadcaster).allow_client_publish(|_| async { true });
    let server = Running::start(serving, builder);
    let mut client = Raw::connect(&server).await;
    // What the client may do after a reconnect, by its limits: 128 channels, 256 publishes, 32 requests and a token.
    let mut frames = masked(0x81, auth("t").as_bytes());
    for n in 0..128 {
        frames.extend(masked(0x81, sub(&format!("a.{n}")).as_bytes()));
    }
    for n in 0..256 {
        let frame = format!(r#"{{"t":"pub","c":"b","e":"e","d":{n},"n":{n}}}"#);
        frames.extend(masked(0x81, frame.as_bytes()));
    }
    for n in 0..32 {
        frames.extend(masked(0x81, format!(r#"{{"t":"hist","c":"a.1","n":{n}}}"#).as_bytes()));
    }
    client.send(&frames).await;
    let mut counts = [0; 4];
    while counts != [128, 256, 32, 1] {
        let frame = client.text().await;
        let kind = [r#"{"t":"ok""#, r#"{"t":"ack""#, r#"{"t":"hist""#, r#"{"t":"err","c":"""#];
        let at = kind.iter().position(|kind| frame.starts_with(kind)).unwrap_or_else(|| panic!("{frame}"));
        counts[at] += 1;
    }
}

async fn too_many_commands_of_any_kind(serving: Serving) {
    let server = Running::start(serving, few_commands());
    for (what, command) in [
        ("sub", masked(0x81, sub("a").as_bytes())),
        ("unsub", masked(0x81, br#"{"t":"unsub","c":"a"}"#)),
        ("pub", masked(0x81, publish("a", "e", "1").as_bytes())),
        ("hist", masked(0x81, br#"{"t":"hist","c":"a","n":1}"#)),
        ("nonsense", masked(0x81, b"x")),
        ("binary", masked(0x82, b"x")),
        ("ping", masked(0x89, b"x")),
    ] {
        let mut client = Raw::connect(&server).await;
        // One second of patience is one command more.
        client.send(&command.repeat(300)).await;
        client.send(&masked(0x81, br#"{"t":"pong"}"#)).await;
        client.send(&command.repeat(20)).await;
        let code = loop {
            let (first, payload) = client.frame().await;
            if first == 0x88 {
                break u16::from_be_bytes([payload[0], payload[1]]);
            }
        };
        assert_eq!(code, 4029, "{what}");
    }
    server.empty().await;
}

async fn answers_to_pings_are_no_commands(serving: Serving) {
    let server = Running::start(serving, few_commands());
    let mut client = Raw::connect(&server).await;
    client.send(&masked(0x81, br#"{"t":"pong"}"#).repeat(100)).await;
    client.send(&masked(0x8a, b"x").repeat(100)).await;
    for n in 0..5 {
        client.send(&masked(0x81, sub(&format!("a.{n}")).as_bytes())).await;
        assert_eq!(client.text().await, ok(&format!("a.{n}")));
    }
}

async fn no_limit_of_commands(serving: Serving) {
    let server = Running::start(
        serving,
        open_gateway().config(config(|c| (c.limits.commands_per_second, c.limits.commands_burst) = (0, 1))),
    );
    let mut client = Raw::connect(&server).await;
    client.send(&masked(0x81, sub("a").as_bytes()).repeat(2_000)).await;
    for _ in 0..2_000 {
        assert_eq!(client.text().await, ok("a"));
    }
}

async fn commands_above_a_limit_that_is_only_watched(serving: Serving) {
    let watched = config(|c| {
        c.limits.channels_per_connection = 5;
        (c.limits.commands_per_second, c.limits.commands_burst) = (1, 300);
        c.limits.dry_run = true;
    });
    let server = Running::start(serving, open_gateway().config(watched));
    let mut client = Raw::connect(&server).await;
    client.send(&masked(0x81, sub("a").as_bytes()).repeat(400)).await;
    for _ in 0..400 {
        assert_eq!(client.text().await, ok("a"));
    }
    let excess = excess(&server, "commands");
    assert!((80..=100).contains(&excess), "{excess} of 400, 300 of them at once");
}

/// How often a limit that is only watched was exceeded.
fn excess(server: &Running, limit: &str) -> u64 {
    let name = format!("tidings_dry_run_excess_total{{limit=\"{limit}\"}} ");
    let text = Metrics::new(&server.gateway).text();
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.expect("the metric").parse().expect("a number")
}

async fn names_of_channels_and_events(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    let (long, too_long) = ("x".repeat(200), "x".repeat(201));
    client.subscribe(&long).await;
    client.send(sub(&too_long)).await;
    assert!(client.next().await.ends_with(r#""r":"invalid channel"}"#));
    client.send(publish(&long, &long, "1")).await;
    assert!(client.next().await.starts_with(r#"{"t":"msg""#));
    client.send(publish(&long, &too_long, "1")).await;
    assert!(client.next().await.ends_with(r#""r":"invalid event"}"#));
}

fn few_per_address(change: impl FnOnce(&mut tidings_server::Config)) -> Builder {
    open_gateway().config(config(|c| {
        c.limits.connections_per_address = 2;
        change(c);
    }))
}

/// Asks for an upgrade, by way of a proxy that names `forwarded`: the status, and the connection.
async fn knock(server: &Running, forwarded: &[&str]) -> (u16, TcpStream) {
    let mut stream = TcpStream::connect(server.address).await.expect("a listening gateway");
    let handshake = crate::harness::handshake(server.address);
    let mut request = handshake.strip_suffix("\r\n").expect("an empty line").to_owned();
    forwarded.iter().for_each(|line| request.push_str(&format!("x-forwarded-for: {line}\r\n")));
    stream.write_all(format!("{request}\r\n").as_bytes()).await.expect("an open connection");
    let (answer, _) = answer(&mut stream, false).await;
    if answer.status == 503 {
        assert!(answer.header("retry-after").is_some() && answer.body.contains("from this address"));
    }
    (answer.status, stream)
}

async fn so_many_connections_from_one_address(serving: Serving) {
    let server = Running::start(serving, few_per_address(|_| {}));
    let (one, two) = (Client::connect(&server).await, Client::connect(&server).await);
    assert_eq!(knock(&server, &[]).await.0, 503);
    assert_eq!(server.gateway.client_count(), 2);
    one.leave().await;
    until("there is room", || server.gateway.client_count() == 1).await;
    let three = Client::connect(&server).await;
    assert_eq!(knock(&server, &[]).await.0, 503);
    // Whoever does not become a client keeps no place.
    two.reset();
    three.reset();
    until("there is room", || server.gateway.client_count() == 0).await;
    for _ in 0..3 {
        let origin = ["origin: https://evil.example"];
        assert_eq!(request(server.address, "GET /_broadcast/sse?channel=a", &origin, "").await.status, 403);
        let answer = request(server.address, "GET /_broadcast/sse?channel=private-a", &[], "").await;
        assert_eq!(answer.status, 403);
    }
    let _two = (Client::connect(&server).await, Client::connect(&server).await);
}

async fn event_streams_have_an_address_too(serving: Serving) {
    let server = Running::start(serving, few_per_address(|_| {}));
    let stream = Stream::open(&server, "channel=a").await;
    let _client = Client::connect(&server).await;
    let answer = request(server.address, "GET /_broadcast/sse?channel=a", &[], "").await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
    assert!(answer.body.contains("from this address"), "{}", answer.body);
    assert_eq!(knock(&server, &[]).await.0, 503);
    stream.reset();
    until("there is room", || server.gateway.client_count() == 1).await;
    assert_eq!(knock(&server, &[]).await.0, 101);
}

async fn who_is_behind_a_trusted_proxy(serving: Serving) {
    let proxied = |c: &mut tidings_server::Config| c.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
    let server = Running::start(serving, few_per_address(proxied));
    let mut open = Vec::new();
    for (forwarded, expected) in [
        (&["192.0.2.1"][..], 101),
        (&["192.0.2.1"], 101),
        (&["192.0.2.1"], 503),
        (&["192.0.2.2"], 101),
        // What a client writes itself is of no use to it.
        (&["192.0.2.3, 192.0.2.1"], 503),
        (&["192.0.2.3", "192.0.2.1"], 503),
        (&["192.0.2.3", "192.0.2.2"], 101),
        (&["192.0.2.3", "192.0.2.2"], 503),
        (&[], 101),
    ] {
        let (status, stream) = knock(&server, forwarded).await;
        assert_eq!(status, expected, "{forwarded:?}");
        open.push(stream);
    }
    let line = "x-forwarded-for: 192.0.2.1";
    let stream = request(server.address, "GET /_broadcast/sse?channel=a", &[line], "").await;
    assert_eq!(stream.status, 503);
    drop(open);
    server.empty().await;
    assert_eq!(knock(&server, &["192.0.2.1"]).await.0, 101);
}

async fn a_header_of_somebody_else(serving: Serving) {
    let proxied = |c: &mut tidings_server::Config| c.trusted_proxies = vec!["192.0.2.0/24".to_owned()];
    let server = Running::start(serving, few_per_address(proxied));
    let one = knock(&server, &["198.51.100.1"]).await;
    let two = knock(&server, &["198.51.100.2"]).await;
    assert_eq!((one.0, two.0, knock(&server, &["198.51.100.3"]).await.0), (101, 101, 503));
}

async fn an_address_above_a_limit_that_is_only_watched(serving: Serving) {
    let server = Running::start(serving, few_per_address(|c| c.limits.dry_run = true));
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::connect(&server).await);
    }
    assert_eq!(excess(&server, "address"), 3);
}
