//! Who a client is by its token, and what that lets it do.

use crate::harness::{Client, Running, Serving, Stream, auth, both_ways, err, ok, publish, request, sub};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidings_server::{
    Builder, Event, Gateway, Grant, Histories, MemoryBroadcaster, Policy, Tokens, protocol::reason,
};

both_ways!(
    a_token_comes_in_any_of_its_places,
    a_token_comes_on_the_connection_too,
    a_refused_token_makes_nobody,
    rules_decide_by_who_asks,
    clients_publish_where_their_tokens_say,
    streams_take_tokens_too,
    a_member_is_who_its_token_says,
);

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn gateway(rules: &[&str]) -> Builder {
    let tokens = Tokens::secret(SECRET).expect("long enough").cookie("session");
    let policy = Policy::new(rules.iter().map(|rule| rule.parse().expect("a rule"))).expect("a policy");
    Gateway::builder(MemoryBroadcaster::new(Histories::off())).tokens(tokens).policy(policy)
}

fn grant(user: &str, channels: &[&str]) -> Grant {
    channels
        .iter()
        .fold(Grant::new(user), |grant, channel| grant.channel(channel.parse().expect("a pattern")))
}

fn token(user: &str, channels: &[&str]) -> String {
    grant(user, channels).sign(SECRET).expect("long enough")
}

async fn connect(server: &Running, token: &str) -> Client {
    Client::connect_as(server, &format!("token={token}"), &[]).await
}

/// Subscribes to each channel; whether it may.
async fn expect(client: &mut Client, channels: &[(&str, bool)]) {
    for (channel, allowed) in channels {
        client.send(sub(channel)).await;
        let answer = if *allowed { ok(channel) } else { err(channel, reason::UNAUTHORIZED) };
        client.expect(&answer).await;
    }
}

async fn a_token_comes_in_any_of_its_places(serving: Serving) {
    let server = Running::start(serving, gateway(&[]));
    let token = token("u1", &["private-a.*"]);
    let (query, bearer) = (format!("a=b&token={token}"), format!("Bearer {token}"));
    let cookie = format!("other=1; session={token}");
    for (query, headers) in [
        (&*query, &[][..]),
        ("", &[("authorization", &*bearer)]),
        ("", &[("cookie", &*cookie)]),
        ("", &[("authorization", "Basic dTpw"), ("cookie", &*cookie)]),
    ] {
        let mut client = Client::connect_as(&server, query, headers).await;
        expect(
            &mut client,
            &[("private-a.1", true), ("private-b", false), ("presence-a", false), ("a", true)],
        )
        .await;
    }
    for (query, headers) in [("", &[][..]), ("other=1", &[("cookie", "other=1")])] {
        let mut client = Client::connect_as(&server, query, headers).await;
        expect(&mut client, &[("private-a.1", false), ("a", true)]).await;
    }
}

async fn a_token_comes_on_the_connection_too(serving: Serving) {
    let server = Running::start(serving, gateway(&[]));
    let mut client = Client::connect(&server).await;
    expect(&mut client, &[("private-a.1", false)]).await;
    client.send(auth("x")).await;
    client.expect(&err("", reason::UNAUTHORIZED)).await;
    let before = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    client.send(auth(&token("u1", &["private-a.*", "private-b"]))).await;
    let answer = client.next().await;
    let expiry = answer.strip_prefix(r#"{"t":"auth","exp":"#).and_then(|rest| rest.strip_suffix('}'));
    let expiry: u64 = expiry.expect("an expiry").parse().expect("a number");
    assert!((3_600..3_700).contains(&(expiry - before)), "{expiry}");
    expect(&mut client, &[("private-a.1", true), ("private-b", true)]).await;
    // With another one, it is left with what that one covers.
    client.send(auth(&token("u1", &["private-a.*"]))).await;
    assert!(client.next().await.starts_with(r#"{"t":"auth","#));
    client.expect(&err("private-b", reason::UNAUTHORIZED)).await;
    for channel in ["private-b", "private-a.1"] {
        server.gateway.publish(channel, Event::new("e", json!(1))).await.expect("open");
    }
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"private-a.1""#));
}

async fn a_refused_token_makes_nobody(serving: Serving) {
    let server = Running::start(serving, gateway(&["b=authenticated"]));
    let good = token("u1", &["private-a.*"]);
    let expired = grant("u1", &["private-a.*"]).valid_for(Duration::ZERO);
    let forged =
        grant("u1", &["private-a.*"]).sign(b"another secret that is long enough").expect("long enough");
    let for_another = grant("u1", &["private-a.*"]).audience("x").sign(SECRET).expect("long enough");
    for bad in [&forged, &for_another, "x", &format!("{good}x")] {
        let mut client = connect(&server, bad).await;
        client.expect(&err("", reason::UNAUTHORIZED)).await;
        expect(&mut client, &[("private-a.1", false), ("b", false), ("a", true)]).await;
    }
    // A good one elsewhere does not make up for it.
    let bearer = format!("Bearer {good}");
    let mut client =
        Client::connect_as(&server, &format!("token={good}"), &[("authorization", "Bearer x")]).await;
    client.expect(&err("", reason::UNAUTHORIZED)).await;
    expect(&mut client, &[("private-a.1", false)]).await;
    let mut client = Client::connect_as(&server, "token=x", &[("authorization", &bearer)]).await;
    expect(&mut client, &[("private-a.1", true)]).await;
    // There is some leeway for clocks.
    let mut client = connect(&server, &expired.sign(SECRET).expect("long enough")).await;
    expect(&mut client, &[("private-a.1", true)]).await;
}

async fn rules_decide_by_who_asks(serving: Serving) {
    let server = Running::start(
        serving,
        gateway(&[
            "open-private=public",
            "private-open.*=public",
            "members.*=authenticated",
            "members.secret=deny",
            "private-user.{sub}=authenticated",
            "claimed.*=claim",
            "*=deny",
            "news.*=public",
        ]),
    );
    let mut nobody = Client::connect(&server).await;
    let mut ann = connect(&server, &token("ann", &["claimed.1", "members.secret", "private-x"])).await;
    for (channel, to_nobody, to_ann) in [
        ("open-private", true, true),
        ("private-open.1", true, true),
        ("members.1", false, true),
        ("members.secret", false, false),
        ("private-user.ann", false, true),
        ("private-user.ben", false, false),
        ("private-user.", false, false),
        ("claimed.1", false, true),
        ("claimed.2", false, false),
        ("private-x", false, false),
        ("news.1", true, true),
        ("other", false, false),
    ] {
        expect(&mut nobody, &[(channel, to_nobody)]).await;
        expect(&mut ann, &[(channel, to_ann)]).await;
    }
}

async fn clients_publish_where_their_tokens_say(serving: Serving) {
    let tokens = Tokens::secret(SECRET).expect("long enough");
    let policy = Policy::new(["a.*=claim".parse().expect("a rule")]).expect("a policy");
    let policy = policy.client_publish("open".parse().expect("a pattern"));
    let builder = Gateway::builder(MemoryBroadcaster::new(Histories::off())).tokens(tokens).policy(policy);
    let server = Running::start(serving, builder);
    let patterns = ["a.1", "a.2"].map(|text| text.parse().expect("a pattern"));
    let grant = patterns.into_iter().fold(grant("u1", &["a.1", "a.3"]), Grant::publish);
    let mut client = connect(&server, &grant.sign(SECRET).expect("long enough")).await;
    for (channel, refused) in [
        ("a.1", None),
        // Without the right to use the channel, the one to publish there is worth nothing.
        ("a.2", Some(reason::UNAUTHORIZED)),
        ("a.3", Some(reason::PUBLISH_DENIED)),
        ("other", Some(reason::PUBLISH_DENIED)),
        ("open", None),
    ] {
        match refused {
            Some(reason) => {
                client.send(publish(channel, "e", "1")).await;
                client.expect(&err(channel, reason)).await;
            }
            None => {
                client.subscribe(channel).await;
                client.send(publish(channel, "e", "1")).await;
                assert!(
                    client.next().await.starts_with(&format!(r#"{{"t":"msg","c":"{channel}","e":"e","d":1"#))
                );
            }
        }
    }
    let mut nobody = Client::connect(&server).await;
    nobody.send(publish("a.1", "e", "1")).await;
    nobody.expect(&err("a.1", reason::UNAUTHORIZED)).await;
}

async fn streams_take_tokens_too(serving: Serving) {
    let server = Running::start(serving, gateway(&[]));
    let token = token("u1", &["private-a"]);
    Stream::open(&server, &format!("channel=private-a&token={token}")).await;
    let bearer = format!("authorization: Bearer {token}");
    Stream::open_with(&server, "channel=private-a", &[&bearer]).await;
    let refused = request(server.address, "GET /_broadcast/sse?channel=private-a&token=x", &[], "").await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(!refused.body.contains("token=x"), "{}", refused.body);
}

async fn a_member_is_who_its_token_says(serving: Serving) {
    let server = Running::start(serving, gateway(&["presence-open=public"]));
    let tokens = Tokens::secret(SECRET).expect("long enough");
    let grant = grant("u\"1", &["presence-a"]).info(json!({"name": "Ann"}));
    let subject = tokens.verify(&grant.sign(SECRET).expect("long enough")).await.expect("a good token");
    let member = |channel: &'static str, subject| {
        let gateway = server.gateway.clone();
        async move { gateway.authorize_for(channel, subject).await.expect("it may").presence }
    };
    for channel in ["presence-a", "presence-open"] {
        let presence = member(channel, Some(subject.clone())).await.expect("a member");
        assert_eq!(presence.as_str(), r#"{"id":"u\"1","info":{"name":"Ann"}}"#);
    }
    assert_eq!(member("presence-open", None).await, None);
    assert_eq!(member("a", Some(subject)).await, None);
}
