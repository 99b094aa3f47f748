//! A gateway in a process of its own that is killed, and its client, which goes on with the next one.

use crate::{
    checker::Checker,
    client::Client,
    gateways::gateway,
    node::{PATIENCE, Remote, at_last, gaps, histories, last, number, publish_at_last, until},
    rig::{CHANNEL, NUMBERS, Rig},
    served::Served,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader, Read, stdin},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tidings_server::{Backplane, Delivery, Event, Notice, Place, Position, Published, protocol::Why};
use ulid::Ulid;

/// In the process that a test has started: which backplane its gateway is over.
const SERVES: &str = "TIDINGS_TEST_SERVES";

/// What that process says before its address.
const LISTENS: &str = "the gateway listens on ";

/// So many gateways are killed, one after the other.
const KILLED: u64 = 3;

/// So many publishes of the client are on their way at once.
const WINDOW: usize = 32;

/// A gateway; killed when it is dropped.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// This program again, as the process of the test that is called so.
    fn start(test: &str, backplane: &str) -> Self {
        let mut child = Command::new(env::current_exe().expect("a path"))
            .args([test, "--exact", "--nocapture"])
            .env(SERVES, backplane)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let address = lines.filter_map(|line| line.split_once(LISTENS)?.1.parse().ok()).next();
        Self { child, address: address.expect("the gateway starts") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which the test finds out otherwise.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether this is the process that a test has started. Then it has served until that let go of it.
async fn has_served() -> bool {
    let Ok(url) = env::var(SERVES) else { return false };
    let backplane = match url.parse().expect("a URL") {
        // That a machine is busy is no fault.
        Backplane::Redis(options) => Backplane::Redis(options.timeout(PATIENCE)),
        Backplane::Nats(options) => Backplane::Nats(options.with_timeout(PATIENCE)),
        other => other,
    };
    let connected = async || backplane.connect(histories()).await;
    let served = Served::start(gateway(at_last("it is connected", connected).await));
    println!("\n{LISTENS}{}", served.address);
    let end = tokio::task::spawn_blocking(|| stdin().read_to_end(&mut Vec::new()));
    end.await.expect("a thread").expect("a pipe");
    true
}

/// One client, over one connection after the other.
struct Talker {
    client: Client,
    /// Up to where it has everything.
    at: Position,
    told: Vec<Notice>,
    /// The numbers of what was published and not answered.
    unanswered: BTreeSet<u64>,
}

impl Talker {
    async fn meet(gateway: SocketAddr) -> Self {
        let mut client = Client::connect(gateway).await;
        let at = position(&client.subscribe(CHANNEL, None).await);
        Self { client, at, told: Vec::new(), unanswered: BTreeSet::new() }
    }

    /// Comes back to another gateway, where it was.
    async fn come_back(&mut self, gateway: SocketAddr) {
        self.client = Client::connect(gateway).await;
        let at = json!({"ep": *self.at.epoch, "o": self.at.offset});
        let answer = self.client.subscribe(CHANNEL, Some(at)).await;
        assert_eq!(answer["rec"], true, "{answer}");
    }

    /// Publishes without waiting for each answer, and listens, until the gateway is gone.
    async fn talk(mut self, first: u64, checker: Arc<Checker>, accepted: Arc<AtomicUsize>) -> Self {
        let mut numbers = first..;
        loop {
            while self.unanswered.len() < WINDOW {
                let n = numbers.next().expect("no end");
                self.unanswered.insert(n);
                let key = n.to_string();
                self.client
                    .send(&json!({"t": "pub", "c": CHANNEL, "e": "e", "d": n, "n": n, "k": key}))
                    .await;
            }
            let Some(frame) = self.client.next().await else { return self };
            self.hear(&frame);
            if frame["t"] == "ack" {
                let n = frame["n"].as_u64().expect("a number");
                assert!(self.unanswered.remove(&n), "{n} was answered twice");
                checker.accepted(n, &Published::new(id(&frame), Some(self.position(&frame))));
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Notes what the channel's subscriber is told.
    fn hear(&mut self, frame: &Value) {
        assert_ne!(frame["t"], "err", "{frame}");
        if frame["t"] == "gap" {
            self.at = position(frame);
            self.told.push(Notice::Gap { position: self.at.clone(), why: Why::Backplane });
        }
        if frame["t"] == "msg" {
            let position = self.position(frame);
            let previous = frame["p"].as_u64().unwrap_or(position.offset - 1);
            let event = Event::new("e", frame["d"].clone());
            self.at = position.clone();
            let place = Some(Place { position, previous });
            self.told.push(Notice::Event(Delivery { channel: CHANNEL.into(), event, id: id(frame), place }));
        }
    }

    /// Of this epoch.
    fn position(&self, frame: &Value) -> Position {
        Position { epoch: self.at.epoch.clone(), offset: frame["o"].as_u64().expect("an offset") }
    }
}

fn position(frame: &Value) -> Position {
    let epoch = frame["ep"].as_str().expect("an epoch").into();
    Position { epoch, offset: frame["o"].as_u64().expect("an offset") }
}

fn id(frame: &Value) -> Ulid {
    frame["i"].as_str().and_then(|id| Ulid::from_string(id).ok()).expect("an id")
}

/// What was accepted is there, and what was not answered is published once when it is repeated elsewhere; the client has
/// all of it in order when it comes back to another gateway; the others have all of it, and notice nothing.
pub(crate) async fn a_gateway_is_killed_while_others_publish<R: Remote>(
    module: &str,
    start: impl AsyncFnOnce() -> R,
) {
    if has_served().await {
        return;
    }
    let (_, module) = module.split_once("::").expect("a module of the tests");
    let test = format!("{module}::a_gateway_is_killed_while_others_publish");
    let backplane = start().await;
    let rig = Rig::over(&backplane).await;
    let mut process = Process::start(&test, &backplane.url());
    let mut talker = Talker::meet(process.address).await;
    let begun = talker.at.clone();
    for round in 0..KILLED {
        let (first, accepted) = ((10 + round) * NUMBERS, Arc::<AtomicUsize>::default());
        let talking = tokio::spawn(talker.talk(first, rig.checker.clone(), accepted.clone()));
        // It is there before it is needed, so that the client misses no more than what the others publish meanwhile.
        let next = Process::start(&test, &backplane.url());
        until("its publishes are accepted", async || accepted.load(Ordering::Relaxed) >= 50).await;
        drop(process);
        talker = talking.await.expect("it talks until the end");
        rig.goes_on().await;
        for n in std::mem::take(&mut talker.unanswered) {
            let event = Event::new("e", json!(n)).with_key(n.to_string());
            rig.checker.accepted(n, &publish_at_last(&rig.nodes[2], CHANNEL, event).await);
        }
        process = next;
        talker.come_back(process.address).await;
    }
    let checker = rig.checker.clone();
    for told in rig.ends().await {
        assert_eq!(gaps(&told), [], "nothing was lost");
        in_order(&told);
    }
    while talker.at.offset < checker.end() {
        let frame = talker.client.next().await.expect("this gateway stays");
        talker.hear(&frame);
    }
    assert!(checker.is_complete(&begun, &talker.told), "at last {:?}", last(&talker.told));
    assert_eq!(gaps(&talker.told), [], "nothing was lost");
}

/// One client's publishes keep their order, those that were repeated too.
fn in_order(told: &[Notice]) {
    for round in 0..KILLED {
        let numbers = told.iter().filter_map(|notice| match notice {
            Notice::Event(event) => Some(number(event)),
            Notice::Gap { .. } => None,
        });
        let numbers: Vec<_> = numbers.filter(|n| n / NUMBERS == 10 + round).collect();
        assert!(numbers.is_sorted() && numbers.len() >= 50, "{numbers:?}");
    }
}
