//! An application that is asked over HTTP who may use a channel.

use crate::harness::{
    Client, Running, Said, Serving, both_ways, err, ok, publish, request, sub, unsub, until,
};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, web};
use serde_json::{Value, json};
use std::{
    net::Ipv4Addr,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};
use tidings_server::{
    AuthorizeWebhook, Builder, Gateway, Grant, Histories, MemoryBroadcaster, NotifyWebhook, Policy, Tokens,
    protocol::reason,
};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

both_ways!(
    it_decides,
    an_answer_is_kept_and_a_question_asked_once,
    each_user_and_token_is_asked_about,
    without_an_answer_nobody_comes_in,
    no_more_questions_than_it_can_take,
    a_strangers_flood_does_not_keep_others_waiting,
    it_says_who_is_a_member,
    it_hears_which_channels_have_subscribers,
    it_hears_again_what_it_did_not_take,
);

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const JWT_SECRET: &[u8] = b"another secret of thirty-two bytes";
const LONG: Duration = Duration::from_secs(600);

/// A question, as it came.
#[derive(Clone)]
struct Asked {
    body: String,
    timestamp: String,
    signature: String,
}

#[derive(Clone)]
struct State {
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Mutex<(StatusCode, String)>>,
    /// So many of the first answers are refusals instead.
    refusals: Arc<AtomicUsize>,
    /// How many answers may go out, all in all: to those who asked first.
    open: watch::Sender<usize>,
    /// How many are being answered, and the most that were.
    busy: Arc<Mutex<(usize, usize)>>,
}

/// The application. Stops when it is dropped.
struct Application {
    state: State,
    url: String,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Application {
    fn start() -> Self {
        let state = State {
            asked: Arc::default(),
            answer: Arc::new(Mutex::new((StatusCode::OK, r#"{"allow": true}"#.to_owned()))),
            refusals: Arc::default(),
            open: watch::Sender::new(usize::MAX),
            busy: Arc::default(),
        };
        let served = state.clone();
        let (started, starting) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    let state = served.clone();
                    App::new().route("/authorize", web::post().to(move |r, b| answer(state.clone(), r, b)))
                });
                // It does not close what the gateway may just be asking by, however slow the machine is.
                let server = server.workers(1).keep_alive(LONG).shutdown_timeout(0).disable_signals();
                let server = server.bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
                let url = format!("http://{}/authorize", server.addrs()[0]);
                let server = server.run();
                started.send((url, server.handle())).expect("a test that waits");
                server.await.expect("a server that stops");
            });
        });
        let (url, handle) = starting.recv().expect("the application starts");
        Self { state, url, handle, thread: Some(thread) }
    }

    fn answers(&self, status: u16, body: &str) {
        let status = StatusCode::from_u16(status).expect("a status");
        *self.state.answer.lock().expect("no panic") = (status, body.to_owned());
    }

    /// No answer goes out to who asks from now on.
    fn close(&self) {
        self.state.open.send_replace(self.state.asked.lock().expect("no panic").len());
    }

    /// So many more answers go out.
    fn open(&self, count: usize) {
        self.state.open.send_modify(|open| *open = open.saturating_add(count));
    }

    fn asked(&self) -> Vec<Value> {
        let asked = self.state.asked.lock().expect("no panic");
        asked.iter().map(|asked| serde_json::from_str(&asked.body).expect("JSON")).collect()
    }

    /// What it has been told of channels.
    fn told(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let asked = self.asked();
        let events = asked.iter().flat_map(|asked| asked["events"].as_array().expect("events"));
        events.map(|event| (text(&event["type"]), text(&event["channel"]))).collect()
    }

    /// A gateway that tells it which channels have subscribers.
    fn told_by(&self) -> Builder {
        let webhook = NotifyWebhook::new(&self.url, SECRET.as_bytes()).expect("a URL");
        Gateway::builder(MemoryBroadcaster::new(Histories::off())).notify(webhook)
    }

    fn busy(&self) -> (usize, usize) {
        *self.state.busy.lock().expect("no panic")
    }

    /// A gateway that asks it about what starts with `private-` and `presence-`.
    fn gateway(&self, change: impl FnOnce(AuthorizeWebhook) -> AuthorizeWebhook) -> Builder {
        let webhook = AuthorizeWebhook::new(&self.url, SECRET.as_bytes()).expect("a URL");
        // Longer than the machine may take for an answer.
        let webhook = change(webhook.timeout(LONG).keep(LONG));
        let rules = ["private-*=webhook", "presence-*=webhook", "private-user.{sub}=webhook"];
        let policy = Policy::with_webhook(rules.map(|rule| rule.parse().expect("a rule")), webhook);
        Gateway::builder(MemoryBroadcaster::new(Histories::off()))
            .tokens(Tokens::secret(JWT_SECRET).expect("long enough"))
            .policy(policy.expect("a policy").client_publish("*".parse().expect("a pattern")))
    }
}

async fn answer(state: State, request: HttpRequest, body: String) -> HttpResponse {
    let header = |name| request.headers().get(name).expect("a header").to_str().expect("text").to_owned();
    let asked =
        Asked { body, timestamp: header("tidings-timestamp"), signature: header("tidings-signature") };
    let turn = {
        let mut all = state.asked.lock().expect("no panic");
        all.push(asked);
        all.len()
    };
    {
        let busy = &mut *state.busy.lock().expect("no panic");
        busy.0 += 1;
        busy.1 = busy.1.max(busy.0);
    }
    let open = state.open.subscribe().wait_for(|open| turn <= *open).await.is_ok();
    state.busy.lock().expect("no panic").0 -= 1;
    assert!(open, "the test goes on");
    if turn <= state.refusals.load(Ordering::SeqCst) {
        return HttpResponse::InternalServerError().finish();
    }
    let (status, body) = state.answer.lock().expect("no panic").clone();
    HttpResponse::build(status).insert_header(("location", "/authorize")).body(body)
}

impl Drop for Application {
    fn drop(&mut self) {
        self.open(usize::MAX);
        drop(self.handle.stop(false));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the application ends well");
        // Its worker, which has a thread of its own, answers for a moment longer on connections that it has.
        while Arc::strong_count(&self.state.asked) > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

async fn connect(server: &Running, grant: Grant) -> Client {
    let token = grant.sign(JWT_SECRET).expect("long enough");
    Client::connect_as(server, &format!("token={token}"), &[]).await
}

async fn it_decides(serving: Serving) {
    let application = Application::start();
    let server = Running::start(serving, application.gateway(|webhook| webhook.keep(Duration::ZERO)));
    let mut client = connect(&server, Grant::new("u1").info(json!({"name": "Ann"}))).await;
    client.subscribe("private-a").await;
    application.answers(200, r#"{"allow": false, "more": 1}"#);
    client.send(sub("private-b")).await;
    client.expect(&err("private-b", reason::UNAUTHORIZED)).await;
    client.send(publish("private-a", "e", "1")).await;
    client.expect(&err("private-a", reason::UNAUTHORIZED)).await;
    application.answers(200, r#"{"allow": true}"#);
    client.send(publish("private-a", "e", "1")).await;
    assert!(client.next().await.starts_with(r#"{"t":"msg","c":"private-a","e":"e","d":1"#));
    let question = |channel| json!({"channel": channel, "user": "u1", "info": {"name": "Ann"}});
    assert_eq!(application.asked(), ["private-a", "private-b", "private-a", "private-a"].map(question));
    // It is not asked about the others, nor about what a rule says already.
    client.subscribe("a").await;
    client.send(sub("private-user.u2")).await;
    client.expect(&err("private-user.u2", reason::UNAUTHORIZED)).await;
    assert_eq!(application.asked().len(), 4);
    client.subscribe("private-user.u1").await;
    assert_eq!(application.asked().len(), 5);
}

async fn an_answer_is_kept_and_a_question_asked_once(serving: Serving) {
    let application = Application::start();
    application.close();
    let server = Running::start(serving, application.gateway(|webhook| webhook));
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = connect(&server, Grant::new("u1")).await;
        client.send(sub("private-a")).await;
        client.silence().await;
        clients.push(client);
    }
    // It is answered for the others, too, when the one that asked first has gone.
    clients.remove(0).leave().await;
    application.open(usize::MAX);
    for client in &mut clients {
        client.expect(&ok("private-a")).await;
    }
    connect(&server, Grant::new("u1")).await.subscribe("private-a").await;
    assert_eq!(application.asked(), [json!({"channel": "private-a", "user": "u1", "info": null})]);
}

async fn each_user_and_token_is_asked_about(serving: Serving) {
    let application = Application::start();
    let server = Running::start(serving, application.gateway(|webhook| webhook));
    Client::connect(&server).await.subscribe("private-a").await;
    for grant in [Grant::new("u1"), Grant::new("u2"), Grant::new("u2").info(json!({"admin": true}))] {
        connect(&server, grant).await.subscribe("private-a").await;
    }
    let asked = application.asked();
    let who: Vec<_> = asked.iter().map(|asked| (&asked["user"], &asked["info"]["admin"])).collect();
    let (null, admin) = (&Value::Null, &json!(true));
    assert_eq!(who, [(null, null), (&json!("u1"), null), (&json!("u2"), null), (&json!("u2"), admin)]);
}

async fn without_an_answer_nobody_comes_in(serving: Serving) {
    let application = Application::start();
    let server =
        Running::start(serving, application.gateway(|webhook| webhook.timeout(Duration::from_secs(5))));
    let mut client = connect(&server, Grant::new("u1")).await;
    let failed = err("private-a", reason::AUTHORIZATION_FAILED);
    for (status, body) in [
        (500, r#"{"allow": true}"#),
        (403, r#"{"allow": false}"#),
        (302, r#"{"allow": true}"#),
        (200, ""),
        (200, "true"),
        (200, r#"{"allow": 1}"#),
        (200, r#"{"allow": "true"}"#),
        (200, r#"{"allow": true, "presence": {"info": 1}}"#),
        (200, r#"{"allow": true, "presence": {"id": ""}}"#),
        (200, &format!(r#"{{"allow": true, "more": "{}"}}"#, "x".repeat(5_000))),
    ] {
        application.answers(status, body);
        client.send(sub("private-a")).await;
        client.expect(&failed).await;
    }
    application.answers(200, r#"{"allow": true}"#);
    application.close();
    client.send(sub("private-a")).await;
    let stream = request(server.address, "GET /_broadcast/sse?channel=private-a", &[], "");
    let (refused, ()) = futures_util::join!(stream, client.expect(&failed));
    assert_eq!(refused.status, 503, "{}", refused.body);
    // None of that is kept.
    application.open(usize::MAX);
    client.subscribe("private-a").await;
    let answering = application.asked().len();
    drop(application);
    client.send(sub("private-b")).await;
    client.expect(&err("private-b", reason::AUTHORIZATION_FAILED)).await;
    assert!(answering > 10);
}

async fn no_more_questions_than_it_can_take(serving: Serving) {
    let application = Application::start();
    application.close();
    let server = Running::start(serving, application.gateway(|webhook| webhook));
    let mut client = Client::connect(&server).await;
    for n in 0..100 {
        client.send(sub(&format!("private-{n}"))).await;
    }
    until("as many questions as may be", || application.busy().0 == 64).await;
    client.silence().await;
    application.open(usize::MAX);
    for answer in client.take(100).await {
        assert!(answer.starts_with(r#"{"t":"ok""#), "{answer}");
    }
    assert_eq!((application.busy(), application.asked().len()), ((0, 64), 100));
}

/// How many questions of `strangers` are refused, once there are that many.
async fn refusals(strangers: &mut [Client], least: usize) -> usize {
    let mut refused = 0;
    while refused < least {
        for stranger in &mut *strangers {
            stranger.message(Message::Ping("all".into())).await;
            while let Said::Text(text) = stranger.said().await {
                assert!(text.ends_with(&format!(r#""{}"}}"#, reason::AUTHORIZATION_FAILED)), "{text}");
                refused += 1;
            }
        }
    }
    refused
}

/// Clients without a subject ask more than may wait. A user is asked about all the same, and is among the next.
async fn a_strangers_flood_does_not_keep_others_waiting(serving: Serving) {
    const STRANGERS: usize = 10;
    let application = Application::start();
    application.close();
    let server = Running::start(serving, application.gateway(|webhook| webhook));
    let mut strangers = Vec::new();
    for n in 0..STRANGERS {
        let mut stranger = Client::connect(&server).await;
        for channel in 0..128 {
            stranger.send(sub(&format!("private-{n}-{channel}"))).await;
        }
        strangers.push(stranger);
    }
    let too_many = STRANGERS * 128 - 64 - 1_000;
    assert_eq!(refusals(&mut strangers, too_many).await, too_many);
    until("as many questions as may be", || application.busy().0 == 64).await;
    let mut user = connect(&server, Grant::new("u1")).await;
    user.send(sub("private-a")).await;
    // It waits now, for which a stranger has made room.
    assert_eq!(refusals(&mut strangers, 1).await, 1);
    // A stranger's question is next, and the user's then.
    application.open(2);
    until("two more questions", || application.asked().len() == 66).await;
    assert!(application.asked()[64..].iter().any(|asked| asked["user"] == "u1"));
    application.open(usize::MAX);
    user.expect(&ok("private-a")).await;
}

async fn it_says_who_is_a_member(serving: Serving) {
    let application = Application::start();
    let server = Running::start(serving, application.gateway(|webhook| webhook.keep(Duration::ZERO)));
    let tokens = Tokens::secret(JWT_SECRET).expect("long enough");
    let token = Grant::new("u1").info(json!(7)).sign(JWT_SECRET).expect("long enough");
    let subject = tokens.verify(&token).await.expect("a good token");
    for (answer, member) in [
        (r#"{"allow": true}"#, r#"{"id":"u1","info":7}"#),
        (
            r#"{"allow": true, "presence": {"id": "guest", "info": {"a": 1}}}"#,
            r#"{"id": "guest", "info": {"a": 1}}"#,
        ),
    ] {
        application.answers(200, answer);
        let authorization = server.gateway.authorize_for("presence-a", Some(subject.clone())).await;
        let presence = authorization.expect("it may").presence.expect("a member");
        assert_eq!(presence.as_str(), member);
    }
}

/// What the application is told of channels.
fn told(changes: &[(&str, &str)]) -> Vec<(String, String)> {
    changes.iter().map(|(kind, channel)| (format!("channel.{kind}"), (*channel).to_owned())).collect()
}

async fn it_hears_which_channels_have_subscribers(serving: Serving) {
    let application = Application::start();
    let server = Running::start(serving, application.told_by());
    let (mut ann, mut ben) = (Client::connect(&server).await, Client::connect(&server).await);
    ann.subscribe("a").await;
    ben.subscribe("a").await;
    ben.subscribe("b").await;
    let so_far = told(&[("occupied", "a"), ("occupied", "b")]);
    until("two channels", || application.told() == so_far).await;
    ann.leave().await;
    ben.send(unsub("b")).await;
    let so_far = [so_far, told(&[("vacated", "b")])].concat();
    until("one channel", || application.told() == so_far).await;
    ben.subscribe("b").await;
    // What the end brings arrives before the gateway has closed.
    server.gateway.close().await;
    let mut last = application.told().split_off(so_far.len());
    assert_eq!(last.remove(0), told(&[("occupied", "b")])[0]);
    last.sort();
    assert_eq!(last, told(&[("vacated", "a"), ("vacated", "b")]));
    let asked = application.asked();
    let at = asked[0]["events"][0]["at"].as_u64().expect("a number");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    assert!(u128::from(at).abs_diff(now.as_millis()) < 60_000);
    assert!(asked.iter().all(|asked| asked["dropped"] == 0));
}

async fn it_hears_again_what_it_did_not_take(serving: Serving) {
    let application = Application::start();
    application.state.refusals.store(1, Ordering::SeqCst);
    application.answers(204, "");
    let server = Running::start(serving, application.told_by());
    let mut client = Client::connect(&server).await;
    client.subscribe("a").await;
    until("a first time", || application.asked().len() == 1).await;
    client.subscribe("b").await;
    let all = told(&[("occupied", "a"), ("occupied", "a"), ("occupied", "b")]);
    until("a second time, and the rest", || application.told() == all).await;
    let asked = application.asked();
    assert_eq!(asked[0], asked[1]);
    assert_ne!(asked[0]["id"], asked[2]["id"]);
}

/// The first block of `language` in the document.
fn snippet(language: &str) -> String {
    let document = include_str!("../../../docs/authorization.md");
    let (_, block) = document.split_once(&format!("```{language}\n")).expect("a block");
    block.split_once("\n```").expect("its end").0.to_owned()
}

/// What the document tells applications to do finds a real signature genuine, and no other.
#[test]
fn applications_can_check_the_signature() {
    let application = Application::start();
    crate::harness::run(async {
        let server = Running::start(Serving::Own, application.gateway(|webhook| webhook));
        Client::connect(&server).await.subscribe("private-é").await;
    });
    let Asked { body, timestamp, signature } = application.state.asked.lock().expect("no panic")[0].clone();
    // Genuine, but of September 2026.
    let (old, old_body) = ("1790000000", r#"{"channel":"a"}"#);
    let old_signature = "740c9bb498b0beaa1219f700dc959a240b3e1e195c241d0da9194eff43e7eec6";
    let wrong = signature.replace(|c: char| c.is_ascii_digit(), "a");
    let cases = [
        (&*timestamp, &*body, &*signature, true),
        (&timestamp, "{}", &signature, false),
        (old, old_body, old_signature, false),
        (&timestamp, &body, &wrong, false),
        (&timestamp, &body, "", false),
        ("", &body, &signature, false),
    ];
    let python = r#"
import sys
_, timestamp, body, signature, secret = sys.argv
headers = {"Tidings-Timestamp": timestamp, "Tidings-Signature": signature}
print("genuine" if is_genuine(headers, body.encode(), secret.encode()) else "forged")
"#;
    let node = r#"
const [timestamp, body, signature, secret] = process.argv.slice(1)
const headers = { 'tidings-timestamp': timestamp, 'tidings-signature': signature }
console.log(isGenuine(headers, Buffer.from(body), secret) ? 'genuine' : 'forged')
"#;
    let php = r#"
[, $timestamp, $body, $signature, $secret] = $argv;
echo is_genuine($timestamp, $signature, $body, $secret) ? "genuine" : "forged", "\n";
"#;
    let mut ran = 0;
    for (program, arguments, language, call) in [
        ("python3", &["-c", "CODE"][..], "python", python),
        ("node", &["--input-type=module", "-e", "CODE", "--"], "js", node),
        ("php", &["-r", "CODE", "--"], "php", php),
    ] {
        let code = format!("{}\n{call}", snippet(language));
        for (timestamp, body, signature, genuine) in cases {
            let mut command = Command::new(program);
            command.args(arguments.iter().map(|&word| if word == "CODE" { &code } else { word }));
            command.args([timestamp, body, signature, SECRET]);
            let Ok(output) = command.output() else {
                println!("not run: {program} is not installed");
                break;
            };
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let wanted = if genuine { "genuine" } else { "forged" };
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(said, wanted, "{program} {timestamp:?} {body:?} {signature:?}: {stderr}");
            ran += 1;
        }
    }
    assert!(ran > 0, "neither Python, Node.js nor PHP is installed");
}
