//! What is wrong is said at the start.

use super::{connect_hastily, options};
use crate::{
    authority::{Authority, a_link_is_encrypted, a_plain_server_is_refused},
    node::{PATIENCE, Seen, histories, publish, subscribe, within},
    proxy::Proxy,
    servers::{Port, redis::Redis},
};
use futures_util::future::join_all;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tidings_server::{Backplane, BroadcastError, Broadcaster, RedisBroadcaster, RedisOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

async fn problem(url: &str) -> String {
    problem_within(Duration::from_secs(20), url).await
}

async fn problem_within(timeout: Duration, url: &str) -> String {
    let options = RedisOptions::from_url(url).expect("an address").timeout(timeout);
    match within(PATIENCE, RedisBroadcaster::connect(options, histories())).await {
        Err(BroadcastError::Config(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_address_is_named() {
    let nobody = Port::hold();
    let problem_there = problem(&format!("redis://{}", nobody.address())).await;
    assert!(
        problem_there.contains(&nobody.address().to_string()) && problem_there.contains("refused"),
        "{problem_there}"
    );
    let unknown = problem("redis://nowhere.invalid").await;
    assert!(unknown.contains("nowhere.invalid:6379"), "{unknown}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("redis://{}", silent.local_addr().expect("an address"));
    let problem = problem_within(Duration::from_secs(2), &url).await;
    assert!(problem.contains("no answer within 2s"), "{problem}");
}

/// Each question has its time, and not all of them together: otherwise nobody gets through to a server that is busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_its_time_is_waited_for() {
    let redis = Redis::start(&[]);
    let link = Proxy::start(redis.address()).await;
    link.delay(Duration::from_millis(200));
    connect_hastily(options(link.address())).await;
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused() {
    let old = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = old.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = old.accept().await {
            let mut bytes = [0; 1_024];
            while let Ok(1..) = stream.read(&mut bytes).await {
                stream.write_all(b"-ERR unknown command `HELLO`\r\n").await.expect("sent");
            }
        }
    });
    let problem = problem(&format!("redis://{address}")).await;
    assert!(problem.contains("6.2 or later"), "{problem}");
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_told() {
    let redis = Redis::start(&["--requirepass", "right"]);
    for user in [":s3cret", "nobody:s3cret"] {
        let problem = problem(&format!("redis://{user}@{}", redis.address())).await;
        assert!(problem.contains("password") && !problem.contains("s3cret"), "{problem}");
    }
    let none = problem(&format!("redis://{}", redis.address())).await;
    assert!(none.contains("password"), "{none}");
    let backplane: Backplane = format!("redis://:right@{}", redis.address()).parse().expect("an address");
    assert!(!format!("{backplane:?}").contains("right"));
    backplane.connect(histories()).await.expect("connected");
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let redis = Redis::start(&[]);
    let rights = "+info +script|load +evalsha +subscribe +unsubscribe +publish +hmget +hset +get +set +del +time \
                  +xadd +xlen +xrange +xrevrange +xdel +pexpire ~tidings:* &app.*";
    let set = |rights: &str| {
        let mut arguments = vec!["acl", "setuser", "app", "reset", "on", ">right"];
        arguments.extend(rights.split_whitespace());
        assert_eq!(redis.cli(&arguments), "OK");
    };
    let url = format!("redis://app:right@{}?channel-prefix=app.", redis.address());
    for (without, named) in [
        ("+info", "info"),
        ("+script|load", "script|load"),
        ("+evalsha", "evalsha"),
        ("+subscribe", "subscribe"),
        ("+publish", "publish"),
        ("+xadd", "xadd"),
        ("+xdel", "xdel"),
        ("+pexpire", "pexpire"),
        ("~tidings:*", "tidings:*"),
        ("&app.*", "app.*"),
    ] {
        set(&rights.split_whitespace().filter(|right| *right != without).collect::<Vec<_>>().join(" "));
        let problem = problem(&url).await;
        assert!(problem.contains(named), "without {without}: {problem}");
    }
    set(rights);
    let node = RedisBroadcaster::connect(RedisOptions::from_url(&url).expect("an address"), histories());
    let node = node.await.expect("connected");
    let (seen, _subscription) = subscribe(&node, "a").await;
    publish(&node, "a", 1).await;
    seen.events(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_without_rights_is_refused_alone() {
    let redis = Redis::start(&[]);
    let rights = ["on", ">right", "+@all", "~*", "resetchannels", "&tidings.start.*", "&ok.*"];
    redis.cli(&[&["acl", "setuser", "app"], &rights[..]].concat());
    let url = format!("redis://app:right@{}", redis.address());
    let node = RedisBroadcaster::connect(RedisOptions::from_url(&url).expect("an address"), histories());
    let node = node.await.expect("connected");
    let sink = || Seen::default().sink();
    let names = ["ok.1", "no", "ok.2", "no", "ok.1"];
    let all = join_all(names.map(|name| node.subscribe(name.into(), sink()))).await;
    for (name, subscribed) in names.into_iter().zip(all) {
        match subscribed {
            Ok(_) => assert_ne!(name, "no"),
            Err(error) => assert!(name == "no" && error.to_string().contains("NoPerm"), "{name}: {error}"),
        }
    }
    assert_eq!(node.unavailable(), None);
}

#[tokio::test]
async fn other_kinds_of_server_are_refused() {
    let cluster = Redis::start(&["--cluster-enabled", "yes"]);
    let refused = problem(&format!("redis://{}", cluster.address())).await;
    assert!(refused.contains("cluster mode, which is not supported"), "{refused}");
    let master = Redis::start(&[]);
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &master.address().port().to_string()]);
    let refused = problem(&format!("redis://{}", replica.address())).await;
    assert!(refused.contains("its role is slave"), "{refused}");
    let sentinel = Redis::start_sentinel("");
    let refused = problem(&format!("redis://{}", sentinel.address())).await;
    assert!(refused.contains("a Sentinel: wanted is"), "{refused}");
}

#[tokio::test]
async fn sentinels_that_know_no_master_are_named() {
    let sentinel = Redis::start_sentinel("");
    let nobody = Port::hold();
    let free = nobody.address();
    let unknown = problem(&format!("redis://main?sentinel={free},{}", sentinel.address())).await;
    let wanted = format!("Sentinel {}: knows no master \"main\"", sentinel.address());
    assert!(unknown.contains(&wanted) && unknown.contains(&format!("Sentinel {free}: ")), "{unknown}");
}

#[tokio::test]
async fn a_link_may_be_encrypted() {
    let authority = Authority::new();
    let file = |path: PathBuf| path.to_str().expect("text").to_owned();
    let (ca, certificate, key) = (file(authority.ca()), file(authority.certificate()), file(authority.key()));
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let redis = Redis::start_with_tls(&[&files[..], &["--tls-auth-clients", "no"]].concat());
    let port = redis.address().port();
    let url = |host: &str, ca: Option<&Path>| {
        let ca = ca.map(|ca| format!("?ca={}", ca.display())).unwrap_or_default();
        format!("rediss://{host}:{port}{ca}")
    };
    a_link_is_encrypted(&authority, url).await;
    let plain = problem(&format!("redis://localhost:{port}")).await;
    assert!(plain.contains("no connection"), "{plain}");
    let other = Redis::start(&[]);
    a_plain_server_is_refused(&format!("rediss://{}", other.address()), "no answer within").await;
}
