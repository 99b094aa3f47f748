//! What clients of several gateways see: of their operators, and while their backplane is away.

use crate::node::{Backplane, PATIENCE};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZero,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};
use tidings_server::{
    BroadcastError, Broadcaster, Event, Gateway, Histories, Revocation, Server, Subject, Target,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::{sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// A publish that cannot be decided is refused after five seconds.
const REFUSED_WITHIN: Duration = Duration::from_secs(7);

/// A server that can be taken away.
pub(crate) trait Fragile {
    async fn connect(&self) -> Arc<dyn Broadcaster>;
    fn kill(&mut self);
    fn start_again(&mut self);
}

/// A gateway on a port of its own; it stops when it is dropped.
struct Running {
    gateway: Gateway,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(broadcaster: Arc<dyn Broadcaster>) -> Self {
        Self::serve(Gateway::builder(broadcaster).build().expect("valid settings"))
    }

    fn serve(gateway: Gateway) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, starting) = mpsc::channel();
        let served = gateway.clone();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let probes = served.clone();
                let server = Server::bind(served, (Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
                started.send(server.address().expect("an address")).expect("a test that waits");
                let configure = move |config: &mut actix_web::web::ServiceConfig| {
                    config.configure(probes.probes());
                };
                let server = server.workers(NonZero::<usize>::MIN);
                server.run(configure, async { drop(stopped.await) }).await.expect("a server that stops");
            });
        });
        let address = starting.recv().expect("the server starts");
        Self { gateway, address, stop: Some(stop), thread: Some(thread) }
    }

    /// The status of `/readyz`, and what it says.
    async fn readiness(&self) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .expect("open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer)
    }

    async fn until_readiness_is(&self, wanted: u16) -> String {
        let wait = async {
            loop {
                let (status, text) = self.readiness().await;
                if status == wanted {
                    return text;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("/readyz does not become {wanted}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server ends well");
        }
    }
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn connect(gateway: &Running) -> Self {
        let url = format!("ws://{}/_broadcast?v=2", gateway.address);
        Self(connect_async(url).await.expect("connected").0)
    }

    /// Connects and hands in a token; what that is answered.
    async fn by_token(gateway: &Running, token: &str) -> (Self, Value) {
        let mut client = Self::connect(gateway).await;
        client.until("welcome").await;
        client.send(&json!({"t": "auth", "tk": token})).await;
        let answer = client.next().await;
        (client, answer)
    }

    async fn subscribe(gateway: &Running, channel: &str) -> Self {
        let mut client = Self::connect(gateway).await;
        client.send(&json!({"t": "sub", "c": channel})).await;
        client.until("ok").await;
        client
    }

    async fn send(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.expect("open");
    }

    /// The next frame.
    async fn next(&mut self) -> Value {
        let message = timeout(PATIENCE, self.0.next()).await.expect("in time").expect("open").expect("open");
        serde_json::from_str(message.to_text().expect("text")).expect("JSON")
    }

    /// The code that it is closed with.
    async fn closed(&mut self) -> u16 {
        let wait = async {
            loop {
                match self.0.next().await.expect("open").expect("open") {
                    Message::Close(Some(frame)) => return frame.code.into(),
                    Message::Text(_) => {}
                    other => panic!("{other:?} instead of a close frame"),
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("in time")
    }

    /// The next frame of a kind.
    async fn until(&mut self, kind: &str) -> Value {
        let wait = async {
            loop {
                let message = self.0.next().await.expect("open").expect("open");
                let Message::Text(text) = message else { panic!("{message:?} instead of {kind}") };
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                if frame["t"] == kind {
                    return frame;
                }
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no {kind} came"))
    }
}

/// Who is disconnected or locked out on one gateway is so on the others, and on those that start later.
pub(crate) async fn operators_reach_every_gateway(backplane: &impl Backplane) {
    let start = async || {
        let builder = Gateway::builder(backplane.connect(Histories::off()).await)
            .resolve_token(|token| async move { Some(Subject::new(token.clone()).with_token_id(token)) });
        Running::serve(builder.build().expect("valid settings"))
    };
    let (near, far) = (start().await, start().await);
    let mut clients = Vec::new();
    for user in ["ann", "bob", "eve"] {
        let (client, answer) = Client::by_token(&far, user).await;
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
            let (_, answer) = Client::by_token(gateway, user).await;
            assert_eq!(answer["t"], kind, "{user}: {answer}");
        }
    }
    far.gateway.publish("a", Event::new("e", json!(1))).await.expect("published");
    clients[2].send(&json!({"t": "sub", "c": "a"})).await;
    clients[2].until("ok").await;
}

/// Clients stay connected, publishes are refused in time, `/readyz` says so, and when the backplane is back everything
/// goes on over the same connections.
pub(crate) async fn clients_stay_while_the_backplane_is_away(mut backplane: impl Fragile) {
    let (near, far) = (Running::start(backplane.connect().await), Running::start(backplane.connect().await));
    let event = |n: u64| Event::new("e", json!(n));
    let mut client = Client::subscribe(&near, "a").await;
    far.gateway.publish("a", event(1)).await.expect("published");
    assert_eq!(client.until("msg").await["d"], 1);
    assert_eq!(near.readiness().await.0, 200);

    backplane.kill();
    let reason = near.until_readiness_is(503).await;
    assert!(reason.contains("application/problem+json"), "{reason}");
    let asked = Instant::now();
    let refused = far.gateway.publish("a", event(2)).await;
    assert!(matches!(refused, Err(BroadcastError::Publish(_))), "{refused:?}");
    assert!(asked.elapsed() < REFUSED_WITHIN, "refused after {:?}", asked.elapsed());

    backplane.start_again();
    near.until_readiness_is(200).await;
    far.until_readiness_is(200).await;
    // On a channel of its own: the first one may have to be told of a gap.
    client.send(&json!({"t": "sub", "c": "b"})).await;
    client.until("ok").await;
    far.gateway.publish("b", event(3)).await.expect("published");
    assert_eq!(client.until("msg").await["d"], 3);
    far.gateway.publish("a", event(4)).await.expect("published");
    assert_eq!(client.until("msg").await["d"], 4);
}
