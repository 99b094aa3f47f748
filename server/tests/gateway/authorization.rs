//! Who may use which channel.

use crate::harness::{Client, Running, Serving, both_ways, err, open_gateway, publish, sub};
use tidings_server::{Authorization, BroadcastError, protocol::reason};

both_ways!(the_default_policy, rules_decide, an_authorizer_that_fails, the_application_may_ask_too);

async fn the_default_policy(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut client = Client::connect(&server).await;
    for denied in ["private-a", "presence-a", "private-"] {
        client.send(sub(denied)).await;
        client.expect(&err(denied, reason::UNAUTHORIZED)).await;
        client.send(publish(denied, "e", "1")).await;
        client.expect(&err(denied, reason::UNAUTHORIZED)).await;
    }
    for allowed in ["a", "privatea", "x.private-a", "Private-a"] {
        client.subscribe(allowed).await;
    }
}

async fn rules_decide(serving: Serving) {
    let builder = open_gateway()
        .authorize("private-*", |_, _| async { false })
        .authorize("private-a.*", |_, _| async { Authorization { authorized: true, presence: None } })
        .authorize("private-a.1", |_, _| async { Ok::<_, std::io::Error>(false) })
        .authorize("closed", |_, _| async { false });
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    for (channel, allowed) in
        [("private-b", false), ("private-a.2", true), ("private-a.1", false), ("closed", false), ("a", true)]
    {
        if allowed {
            client.subscribe(channel).await;
        } else {
            client.send(sub(channel)).await;
            client.expect(&err(channel, reason::UNAUTHORIZED)).await;
        }
    }
}

async fn an_authorizer_that_fails(serving: Serving) {
    let builder = open_gateway()
        .authorize("sick", |_, _| async { Err::<bool, _>("down") })
        .authorize("now", |_, _| -> std::future::Ready<bool> { panic!("on purpose") })
        .authorize("later", |_, _| async {
            tokio::task::yield_now().await;
            panic!("on purpose") as bool
        });
    let server = Running::start(serving, builder);
    let mut client = Client::connect(&server).await;
    for channel in ["sick", "now", "later"] {
        let failed = err(channel, reason::AUTHORIZATION_FAILED);
        client.send(sub(channel)).await;
        client.expect(&failed).await;
        client.send(publish(channel, "e", "1")).await;
        client.expect(&failed).await;
    }
    client.subscribe("a").await;
    assert_eq!(server.gateway.channel_count(), 1);
}

async fn the_application_may_ask_too(serving: Serving) {
    let builder = open_gateway().authorize("sick", |_, _| async { Err::<bool, _>("down") });
    let server = Running::start(serving, builder);
    assert!(server.gateway.authorize_for("a", None).await.is_ok_and(|a| a.authorized));
    let denied = server.gateway.authorize_for("private-a", None).await.expect_err("denied");
    assert!(matches!(&denied, BroadcastError::Unauthorized { channel } if channel == "private-a"));
    assert_eq!(denied.code(), "broadcast.unauthorized");
    let failed = server.gateway.authorize_for("sick", None).await.expect_err("failed");
    assert_eq!(failed.code(), "broadcast.authorizer");
}
