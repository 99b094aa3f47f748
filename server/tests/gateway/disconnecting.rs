//! An operator closes connections, on every gateway.

use crate::harness::{
    Client, Probe, Running, Said, Serving, Stream, both_ways, err, knowing, known, request, sub, until,
};
use serde_json::json;
use std::sync::Arc;
use tidings_server::{
    BroadcastError, Event, MemoryBroadcaster, Notice, Position, Target,
    protocol::{Why, reason},
};
use ulid::Ulid;

both_ways!(
    a_user_is_disconnected_everywhere,
    a_token_and_a_client_too,
    an_event_stream_too,
    who_comes_back_is_let_in,
    an_order_that_was_missed_is_carried_out_later,
    nobody_else_can_name_the_channels,
    what_cannot_be_an_id_is_refused,
);

/// Two gateways over one backplane.
fn pair(serving: Serving) -> [Running; 2] {
    let memory = MemoryBroadcaster::default();
    [(); 2].map(|()| Running::start(serving, knowing(memory.clone())))
}

async fn expect_disconnected(client: &mut Client) {
    assert_eq!(client.said().await, Said::Close(4003, "disconnected".to_owned()));
}

/// The next thing that a client hears is an event of now.
async fn expect_there(server: &Running, client: &mut Client) {
    server.gateway.publish("private-a", Event::new("e", json!(1))).await.expect("open");
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"private-a""#));
}

async fn a_user_is_disconnected_everywhere(serving: Serving) {
    let [near, far] = pair(serving);
    let mut gone = [known(&near, "ann.1").await, known(&near, "ann.2").await, known(&far, "ann.3").await];
    let mut stays = known(&far, "bob.4").await;
    near.gateway.disconnect(Target::User("ann".into())).await.expect("accepted");
    for client in &mut gone {
        expect_disconnected(client).await;
    }
    expect_there(&near, &mut stays).await;
    drop(gone);
    near.empty().await;
    until("one is left", || far.gateway.client_count() == 1).await;
}

async fn a_token_and_a_client_too(serving: Serving) {
    let [near, far] = pair(serving);
    let mut by_token = known(&far, "ann.1").await;
    let mut by_id = known(&far, "ann.2").await;
    let mut stays = known(&far, "ann.3").await;
    // One that is nobody.
    let mut nobody = Client::connect(&far).await;
    near.gateway.disconnect(Target::Token("1".into())).await.expect("accepted");
    expect_disconnected(&mut by_token).await;
    for client in [&mut by_id, &mut nobody] {
        let id = client.id.parse().expect("a ULID");
        near.gateway.disconnect(Target::Client(id)).await.expect("accepted");
        expect_disconnected(client).await;
    }
    for nobody in ["3", "", "private-a"] {
        let target = Target::User(nobody.into());
        let _ = near.gateway.disconnect(target).await;
    }
    expect_there(&near, &mut stays).await;
}

async fn an_event_stream_too(serving: Serving) {
    let [near, far] = pair(serving);
    let mut stream = Stream::open(&far, "token=ann.1&channel=private-a").await.live().await;
    near.gateway.publish("private-a", Event::new("e", json!(1))).await.expect("open");
    stream.expect("e", "1").await;
    near.gateway.disconnect(Target::User("ann".into())).await.expect("accepted");
    stream.expect_end().await;
}

async fn who_comes_back_is_let_in(serving: Serving) {
    let [near, far] = pair(serving);
    let mut client = known(&near, "ann.1").await;
    far.gateway.disconnect(Target::User("ann".into())).await.expect("accepted");
    expect_disconnected(&mut client).await;
    let mut client = known(&near, "ann.1").await;
    expect_there(&far, &mut client).await;
}

/// Upon those who were there before it.
async fn an_order_that_was_missed_is_carried_out_later(serving: Serving) {
    let probe = Probe::default();
    let server = Running::start(serving, knowing(probe.clone()));
    let mut gone = [known(&server, "ann.1").await, known(&server, "ann.2").await];
    let mut other = known(&server, "bob.3").await;
    let opened = gone[1].id.parse::<Ulid>().expect("a ULID").timestamp_ms();
    until("the next millisecond", || Ulid::generate().timestamp_ms() > opened).await;
    probe.go_deaf(true);
    server.gateway.disconnect(Target::User("ann".into())).await.expect("accepted");
    let mut came_back = known(&server, "ann.4").await;
    gone[0].silence().await;
    probe.go_deaf(false);
    let position = Position { epoch: "e".into(), offset: 1 };
    probe.tell("tidings disconnect", &Notice::Gap { position, why: Why::Backplane });
    for client in &mut gone {
        expect_disconnected(client).await;
    }
    expect_there(&server, &mut came_back).await;
    expect_there(&server, &mut other).await;
}

async fn nobody_else_can_name_the_channels(serving: Serving) {
    let [near, far] = pair(serving);
    let mut client = known(&near, "ann.1").await;
    for channel in ["tidings disconnect", "tidings revoke"] {
        let order = format!(r#"{{"t":"pub","c":"{channel}","e":"e","d":{{"user":"ann"}}}}"#);
        let page = format!(r#"{{"t":"hist","c":"{channel}","n":1}}"#);
        for frame in [sub(channel), order, page] {
            client.send(frame).await;
            let answer = client.next().await;
            let refusal = err(channel, reason::INVALID_CHANNEL);
            assert!(answer.starts_with(refusal.trim_end_matches('}')), "{answer}");
        }
        let event = Event::new("e", json!({"user": "ann"}));
        let refused = far.gateway.publish(channel, event).await;
        assert!(matches!(refused, Err(BroadcastError::Config(_))), "{refused:?}");
        let refused = far.gateway.history(channel, None, 10).await;
        assert!(matches!(refused, Err(BroadcastError::Config(_))), "{refused:?}");
        let escaped = channel.replace(' ', "%20");
        let body = format!(r#"{{"channel":"{channel}","event":"e","data":{{"user":"ann"}}}}"#);
        for (line, body) in [
            ("POST /api/publish".to_owned(), &*body),
            (format!("GET /api/channels/{escaped}/history"), ""),
            (format!("GET /_broadcast/sse?channel={escaped}"), ""),
        ] {
            let answer = request(far.address, &line, &["content-type: application/json"], body).await;
            assert_eq!(answer.status, 400, "{line}: {}", answer.body);
        }
    }
    expect_there(&far, &mut client).await;
}

async fn what_cannot_be_an_id_is_refused(serving: Serving) {
    let [near, _far] = pair(serving);
    let long: Arc<str> = "x".repeat(257).into();
    for target in [Target::User("".into()), Target::Token("".into()), Target::User(long)] {
        let refused = near.gateway.disconnect(target).await.expect_err("no id");
        assert!(refused.to_string().contains("allowed are 1 to 256"), "{refused}");
    }
    near.gateway.close().await;
    let refused = near.gateway.disconnect(Target::User("ann".into())).await;
    assert!(matches!(refused, Err(BroadcastError::Closed)), "{refused:?}");
}
