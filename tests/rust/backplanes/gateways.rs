//! What clients of several gateways see: of their operators, and while their backplane is away.

use crate::{
    client::Client,
    node::{Backplane, Fragile, until, within},
    served::Served,
};
use serde_json::json;
use std::{
    cell::Cell,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tidings_server::{
    BroadcastError, Broadcaster, Config, Event, Gateway, Histories, Revocation, Subject, Target,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A publish that cannot be decided is refused after five seconds.
const REFUSED_WITHIN: Duration = Duration::from_secs(7);

/// A gateway where everybody may publish, and who comes back may have missed much.
pub(crate) fn gateway(broadcaster: Arc<dyn Broadcaster>) -> Gateway {
    let mut config = Config::default();
    (config.limits.resume_events, config.limits.queue_bytes) = (100_000, 1 << 26);
    let builder = Gateway::builder(broadcaster).config(config).allow_client_publish(|_| async { true });
    builder.build().expect("valid settings")
}

/// The status of `/readyz`, and what it says.
async fn readiness(gateway: SocketAddr) -> (u16, String) {
    let mut stream = TcpStream::connect(gateway).await.expect("it listens");
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer)
}

async fn until_readiness_is(gateway: SocketAddr, wanted: u16) -> String {
    let said = Cell::new(String::new());
    until(&format!("/readyz is {wanted}"), async || {
        let (status, answer) = readiness(gateway).await;
        said.set(answer);
        status == wanted
    })
    .await;
    said.into_inner()
}

/// Who is disconnected or locked out on one gateway is so on the others, and on those that start later.
pub(crate) async fn operators_reach_every_gateway(backplane: &impl Backplane) {
    let start = async || {
        let builder = Gateway::builder(backplane.connect(Histories::off()).await)
            .resolve_token(|token| async move { Some(Subject::new(token.clone()).with_token_id(token)) });
        Served::start(builder.build().expect("valid settings"))
    };
    let (near, far) = (start().await, start().await);
    let mut clients = Vec::new();
    for user in ["ann", "bob", "eve"] {
        let (client, answer) = Client::by_token(far.address, user).await;
        assert_eq!(answer["t"], "auth", "{answer}");
        clients.push(client);
    }
    near.gateway.disconnect(Target::User("ann".into())).await.expect("accepted");
    assert_eq!(clients[0].closed().await, 4003);
    let until = SystemTime::now() + Duration::from_secs(3_600);
    near.gateway.revoke(Revocation::Token { id: "bob".into(), until }).await.expect("accepted");
    assert_eq!(clients[1].closed().await, 4003);
    let late = start().await;
    for gateway in [&near, &far, &late] {
        for (user, kind) in [("ann", "auth"), ("bob", "err")] {
            let (_, answer) = Client::by_token(gateway.address, user).await;
            assert_eq!(answer["t"], kind, "{user}: {answer}");
        }
    }
    far.gateway.publish("a", Event::new("e", json!(1))).await.expect("published");
    clients[2].subscribe("a", None).await;
}

/// Clients stay connected, publishes are refused in time, `/readyz` says so, and when the backplane is back everything
/// goes on over the same connections.
pub(crate) async fn clients_stay_while_the_backplane_is_away(mut backplane: impl Fragile) {
    let start = async || Served::start(gateway(backplane.connect_by(backplane.address()).await));
    let (near, far) = (start().await, start().await);
    let event = |n: u64| Event::new("e", json!(n));
    let mut client = Client::connect(near.address).await;
    client.subscribe("a", None).await;
    far.gateway.publish("a", event(1)).await.expect("published");
    assert_eq!(client.until("msg").await["d"], 1);
    assert_eq!(readiness(near.address).await.0, 200);

    backplane.kill();
    let reason = until_readiness_is(near.address, 503).await;
    assert!(reason.contains("application/problem+json"), "{reason}");
    let refused = within(REFUSED_WITHIN, far.gateway.publish("a", event(2))).await;
    assert!(matches!(refused, Err(BroadcastError::Publish(_))), "{refused:?}");
    // Otherwise it may yet say what was before.
    until_readiness_is(far.address, 503).await;

    backplane.start_again();
    until_readiness_is(near.address, 200).await;
    until_readiness_is(far.address, 200).await;
    // On a channel of its own: the first one may have to be told of a gap.
    client.subscribe("b", None).await;
    far.gateway.publish("b", event(3)).await.expect("published");
    assert_eq!(client.until("msg").await["d"], 3);
    far.gateway.publish("a", event(4)).await.expect("published");
    assert_eq!(client.until("msg").await["d"], 4);
}
