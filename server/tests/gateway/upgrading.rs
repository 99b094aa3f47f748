//! Who gets to upgrade, and what the others are told.

use crate::harness::{Answer, Client, Running, Serving, both_ways, config, open_gateway, request, until};

both_ways!(
    origins,
    any_origin,
    as_many_connections_as_there_may_be,
    as_many_connections_in_a_second_as_there_may_be,
    without_an_upgrade,
    an_upgrade_that_is_none,
    another_path,
);

const UPGRADE: [&str; 4] = [
    "connection: Upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
];

async fn upgrade(server: &Running, headers: &[&str]) -> Answer {
    request(server.address, "GET /_broadcast", &[&UPGRADE[..], headers].concat(), "").await
}

async fn origins(serving: Serving) {
    let listed = config(|c| c.allowed_origins = vec!["https://app.example.com".to_owned()]);
    let server = Running::start(serving, open_gateway().config(listed));
    let own = format!("origin: http://{}", server.address);
    for allowed in
        [&[][..], &[own.as_str()], &["origin: https://app.example.com"], &["origin: HTTPS://App.Example.com"]]
    {
        let answer = upgrade(&server, allowed).await;
        assert_eq!(answer.status, 101, "{allowed:?}");
        assert_eq!(answer.header("sec-websocket-accept"), Some("s3pplmbitxaq9kygzzhzrbk+xoo="));
    }
    until("they are gone", || server.gateway.client_count() == 0).await;
    for refused in
        ["https://evil.example", "http://app.example.com", "https://app.example.com.evil.example", "null"]
    {
        let answer = upgrade(&server, &[&format!("origin: {refused}")]).await;
        assert_eq!(answer.status, 403, "{refused}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.body.contains("origin"), "{}", answer.body);
    }
    assert_eq!(server.gateway.client_count(), 0);
}

async fn any_origin(serving: Serving) {
    let any = config(|c| c.allowed_origins = vec!["*".to_owned()]);
    let server = Running::start(serving, open_gateway().config(any));
    for origin in ["origin: https://any.example", "origin: null"] {
        assert_eq!(upgrade(&server, &[origin]).await.status, 101, "{origin}");
    }
}

async fn as_many_connections_as_there_may_be(serving: Serving) {
    let server = Running::start(serving, open_gateway().config(config(|c| c.limits.connections = 3)));
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::connect(&server).await);
    }
    let answer = upgrade(&server, &[]).await;
    assert_eq!(answer.status, 503);
    let retry: u32 = answer.header("retry-after").expect("a hint").parse().expect("seconds");
    assert!(retry > 0);
    clients.pop().expect("three").leave().await;
    until("there is room", || server.gateway.client_count() == 2).await;
    Client::connect(&server).await.subscribe("a").await;
}

async fn as_many_connections_in_a_second_as_there_may_be(serving: Serving) {
    let slow = config(|c| c.limits.connections_per_second = 1);
    let server = Running::start(serving, open_gateway().config(slow));
    let refused = loop {
        let answer = upgrade(&server, &[]).await;
        if answer.status != 101 {
            break answer;
        }
    };
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    assert!(refused.body.contains("new connections"), "{}", refused.body);
    // A later second has room again.
    while upgrade(&server, &[]).await.status != 101 {}
}

async fn without_an_upgrade(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let answer = request(server.address, "GET /_broadcast", &[], "").await;
    assert_eq!((answer.status, answer.header("upgrade")), (426, Some("websocket")));
    assert_eq!(server.gateway.client_count(), 0);
}

async fn an_upgrade_that_is_none(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    for headers in [&UPGRADE[..2], &UPGRADE[..3], &["connection: Upgrade", "upgrade: h2c"]] {
        let answer = request(server.address, "GET /_broadcast", headers, "").await;
        assert!((400..500).contains(&answer.status), "{headers:?}: {}", answer.status);
    }
    let old = ["connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 8", UPGRADE[3]];
    let answer = request(server.address, "GET /_broadcast", &old, "").await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    assert_eq!(server.gateway.client_count(), 0);
    Client::connect(&server).await.subscribe("a").await;
}

async fn another_path(serving: Serving) {
    let server = Running::start(serving, open_gateway().config(config(|c| c.path = "/rt".to_owned())));
    assert_eq!(upgrade(&server, &[]).await.status, 404);
    assert_eq!(request(server.address, "GET /rt", &UPGRADE, "").await.status, 101);
    assert_eq!(request(server.address, "GET /", &[], "").await.status, 404);
}
