//! What strangers' bytes are read with, each as a function that takes any of them and finds out when something is wrong.
//! `fuzz/` hands them to libFuzzer; the tests here hand them its corpus, and what comes of it by chance.

use crate::{
    Authorization, Config, Gateway, MemoryBroadcaster, Position, Published, Subject,
    connections::{Connection, Received, Transport},
    guard::{Frames, TooLong},
    handshake::Handshake,
    origin,
    session::{Attached, Effect, Session},
    socket::decode,
    upgrade,
};
use actix_codec::Decoder;
use actix_http::{
    Request, h1,
    ws::{Codec, verify_handshake},
};
use actix_web::{
    App,
    dev::{Service, ServiceResponse},
    http::{
        Method, StatusCode, Uri,
        header::{HeaderName, HeaderValue},
    },
    rt::Runtime,
    test::{TestRequest, init_service},
};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, future::LocalBoxFuture};
use serde_json::value::RawValue;
use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tidings_protocol::{Pattern, Rules, ServerFrame, is_valid_channel, is_valid_event, is_valid_key};
use ulid::Ulid;

const PATH: &str = "/_broadcast";

/// The largest message in these trials.
const LIMIT: usize = 1_000;

/// A handshake that goes the short way is one that actix-web and our route would grant too, and none before it is whole.
pub fn handshake(bytes: &[u8]) {
    let Some(handshake) = Handshake::parse(bytes, PATH) else { return };
    assert!(handshake.len <= bytes.len());
    for end in [handshake.len - 1, handshake.len / 2, 0] {
        assert_eq!(Handshake::parse(&bytes[..end], PATH), None);
    }
    let mut rest = BytesMut::from(bytes);
    let decoded = APPLICATION
        .with(|application| application.runtime.block_on(async { h1::Codec::default().decode(&mut rest) }));
    let request = match decoded {
        Ok(Some(h1::Message::Item(request))) => request,
        other => panic!("actix-web finds no request: {:?}", other.map(|_| ())),
    };
    assert_eq!(rest.len(), bytes.len() - handshake.len);
    assert_eq!((request.method(), request.path()), (&Method::GET, PATH));
    assert!(verify_handshake(request.head()).is_ok() && upgrade::mistake(request.head().headers()).is_none());
    for allowed in [&[][..], &["https://app.example.com".to_owned()], &["*".to_owned()]] {
        let short = handshake
            .origin
            .is_none_or(|origin| origin::is_page_allowed(origin, Some(handshake.host), allowed));
        assert_eq!(short, origin::is_allowed(request.head().headers(), allowed));
    }
    let answer = handshake.answer();
    assert!(answer.starts_with(b"HTTP/1.1 101 ") && answer.ends_with(b"=\r\n\r\n"));
}

/// However a stream is cut, it is the same frames to the same end; and no message is larger than it may be.
pub fn frames(bytes: &[u8]) {
    let Some((&step, stream)) = bytes.split_first() else { return };
    let whole = heard(stream, stream.len().max(1));
    assert_eq!(heard(stream, usize::from(step) + 1), whole);
    assert_eq!(heard(stream, 1), whole);
}

/// What a connection hears in a stream that comes in pieces, with the reason why it hears no more.
fn heard(stream: &[u8], step: usize) -> (Vec<String>, Option<String>) {
    let mut connection = connection();
    let mut effects = VecDeque::new();
    let mut codec = Codec::new().max_size(LIMIT);
    let mut frames = Frames::new(LIMIT);
    let mut buffer = BytesMut::new();
    let mut said = Vec::new();
    for piece in stream.chunks(step) {
        let mut ahead = piece;
        let mut too_long = false;
        while !ahead.is_empty() && !too_long {
            match frames.follow(ahead) {
                Ok((len, _)) => ahead = &ahead[len..],
                Err(TooLong) => too_long = true,
            }
        }
        buffer.extend_from_slice(piece);
        loop {
            let frame = match decode(&mut codec, &mut buffer, LIMIT) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                // Of a frame with two mistakes, the pieces decide which one is found first.
                Err(_) => return (said, Some("a breach".to_owned())),
            };
            match connection.assemble(frame, LIMIT) {
                Ok(None) => {}
                Ok(Some(Received::Text(text))) => {
                    assert!(text.len() <= LIMIT);
                    match std::str::from_utf8(&text) {
                        Ok(text) => connection.session.text(text, 0, &mut effects),
                        Err(_) => return (said, Some("no text".to_owned())),
                    }
                    answer(&mut connection.session, &mut effects, &mut said);
                }
                Ok(Some(Received::Binary(data))) => assert!(data.len() <= LIMIT),
                Ok(Some(Received::Ping(payload))) => assert!(payload.len() <= 125),
                Ok(Some(Received::Pong)) => {}
                Ok(Some(Received::Close(code))) => return (said, Some(format!("{code:?}"))),
                Err(code) => return (said, Some(format!("{code:?}"))),
            }
        }
        assert!(!too_long, "one way of serving finds too long what the other does not");
        assert!(buffer.len() <= LIMIT + 14);
    }
    connection.session.end(&mut effects);
    (said, None)
}

fn connection() -> Connection {
    let mut effects = VecDeque::new();
    let mut session = Session::open(Ulid::nil(), Arc::new(Config::default()), 0, &mut effects);
    session.identified(None, None, &mut effects);
    Connection::new(0, session, Transport::Body { waker: None, peer: None }, None, 0)
}

/// Lets a session have what it wants. All that it says are frames.
fn answer(session: &mut Session, effects: &mut VecDeque<Effect>, said: &mut Vec<String>) {
    let position = Position { epoch: "e".into(), offset: 7 };
    while let Some(effect) = effects.pop_front() {
        match effect {
            Effect::Send(text) => {
                let text = String::from_utf8(text).expect("UTF-8");
                assert!(ServerFrame::parse(&text).is_some(), "{text}");
                said.push(text);
            }
            Effect::Resolve { token } => {
                let subject = token.starts_with('u').then(|| Subject::new(&*token));
                session.authenticated(subject, None, effects);
            }
            Effect::Authorize { ticket, channel, .. } => {
                assert!(is_valid_channel(&channel));
                let answer = Authorization::from(!channel.starts_with("private-"));
                session.authorized(ticket, Some(&answer), effects);
            }
            Effect::Attach { channel, resume } => {
                let resumed = resume.map(|_| Ok(Vec::new()));
                let outcome = Attached::Live { slot: 0, position: Some(position.clone()), resumed };
                session.attached(&channel, outcome, effects);
            }
            Effect::Publish { context, key } => {
                assert!(is_valid_channel(&context.channel) && is_valid_event(&context.event));
                assert!(key.as_deref().is_none_or(is_valid_key));
                assert!(serde_json::from_str::<&RawValue>(context.data.as_str()).is_ok());
                session.published(Ok(Published::new(Ulid::nil(), Some(position.clone()))), 0, effects);
            }
            Effect::History { request, channel, .. } => {
                session.history_read(request, &channel, Err("no history"), effects);
            }
            Effect::Replay(_)
            | Effect::Detach { .. }
            | Effect::Dropped
            | Effect::Excess
            | Effect::Paced
            | Effect::Close(_) => {}
        }
    }
}

/// What a page of another host says never makes it one of ours. The lines are origin, host, and what is on the list.
pub fn origins(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.lines();
    let (origin, host) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let allowed: Vec<String> =
        lines.filter(|entry| origin::check(entry).is_ok()).map(str::to_owned).collect();
    let is_allowed = |origin: &str| origin::is_page_allowed(origin, Some(host), &allowed);
    if allowed.iter().any(|entry| entry == "*") {
        return assert!(is_allowed(origin));
    }
    let foreign = format!("{origin}.evil.example");
    let named = |entry: &String| entry.eq_ignore_ascii_case(&foreign);
    let meant = allowed.iter().any(named) || host.to_ascii_lowercase().contains("evil.example");
    assert!(meant || !is_allowed(&foreign), "{foreign:?} at {host:?}");
    if is_allowed(origin) && !allowed.iter().any(|entry| entry.eq_ignore_ascii_case(origin)) {
        let bare = |name: &str| name.to_ascii_lowercase().replace(":443", "").replace(":80", "");
        let (_, authority) = origin.split_once("://").expect("an origin has a scheme");
        assert_eq!(bare(authority), bare(host));
    }
}

/// Names and patterns: what is taken is within bounds, and means what it says.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (pattern, channel) = text.split_once('\n').unwrap_or((text, text));
    if is_valid_channel(channel) {
        assert!((1..=200).contains(&channel.len()) && !channel.contains(char::is_whitespace));
        assert!(!channel.contains(char::is_control));
    }
    let Ok(parsed) = pattern.parse::<Pattern>() else { return };
    assert_eq!(parsed.to_string(), pattern);
    let mut rules = Rules::default();
    rules.insert(parsed.clone(), ());
    assert_eq!(rules.get(channel).is_some(), parsed.matches(channel));
    assert!(parsed.matches(channel) == (pattern == channel) || pattern.ends_with('*'));
}

/// Every request has an answer, and none of them is that the server is at fault. The lines are the method and the path
/// with its query, the `Last-Event-ID`, and the body.
pub fn requests(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (target, id, body) = (line(), line(), line());
    let post = target.starts_with(b"POST ");
    let target = target.strip_prefix(b"POST ").unwrap_or(target);
    let (Ok(uri), Ok(id)) = (Uri::try_from(target), HeaderValue::from_bytes(id)) else { return };
    let request = TestRequest::with_uri(&uri.to_string())
        .method(if post { Method::POST } else { Method::GET })
        .peer_addr(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))
        .insert_header((HeaderName::from_static("last-event-id"), id))
        .insert_header(("content-type", "application/json"))
        .set_payload(Bytes::copy_from_slice(body));
    let status = APPLICATION.with(|application| application.status(request.to_request()));
    assert!(!status.is_server_error(), "{status} for {:?}", String::from_utf8_lossy(bytes));
}

thread_local! {
    // Never dropped: its parts want others of the thread's, which may have gone by then.
    static APPLICATION: &'static Application = Box::leak(Box::new(Application::new()));
}

/// The gateway's routes, as HTTP reaches them.
struct Application {
    runtime: Runtime,
    call: Box<dyn Fn(Request) -> LocalBoxFuture<'static, StatusCode>>,
}

impl Application {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let gateway = Gateway::builder(MemoryBroadcaster::default()).build().expect("valid settings");
        let app = App::new().configure(gateway.routes()).configure(gateway.local_api());
        let app = runtime.block_on(init_service(app.configure(gateway.probes())));
        let call = move |request| {
            let answer = app.call(request);
            let status = |answer: Result<ServiceResponse, actix_web::Error>| {
                answer.map_or_else(|error| error.error_response().status(), |answer| answer.status())
            };
            answer.map(status).boxed_local()
        };
        Self { runtime, call: Box::new(call) }
    }

    fn status(&self, request: Request) -> StatusCode {
        self.runtime.block_on((self.call)(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    /// How often what is in the corpus is changed by chance: enough for some seconds. `TIDINGS_RUNS` says otherwise.
    const RUNS: u64 = 20_000;

    /// Hands `target` its corpus, and then what comes of it by chance; the same chance each time, unless `TIDINGS_SEED`
    /// says otherwise.
    fn hammer(name: &str, share: u64, target: fn(&[u8])) {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let mut files: Vec<_> =
            fs::read_dir(&folder).expect("a corpus").map(|file| file.expect("a file").path()).collect();
        files.sort();
        let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("a file")).collect();
        assert!(!corpus.is_empty());
        corpus.iter().for_each(|seed| target(seed));
        let mut random = fastrand::Rng::with_seed(number("TIDINGS_SEED").unwrap_or(0));
        for _ in 0..number("TIDINGS_RUNS").unwrap_or(RUNS / share) {
            let mut bytes = random.choice(&corpus).expect("some").clone();
            for _ in 0..random.usize(1..6) {
                mutate(&mut bytes, &corpus, &mut random);
            }
            target(&bytes);
        }
    }

    fn mutate(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut fastrand::Rng) {
        const TELLING: &[&[u8]] = &[
            b"\0",
            b"\xff",
            b"\r\n",
            b"\n",
            b"\x80",
            b"*",
            b"%",
            b"%00",
            b":",
            b",",
            b"\"",
            b"{",
            b"9007199254740992",
        ];
        let at = random.usize(..=bytes.len());
        let to = random.usize(at..=bytes.len().min(at + 32));
        match random.u8(..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => drop(bytes.drain(at..to)),
            3 => {
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
            }
            4 => {
                let other = random.choice(corpus).expect("some");
                let from = random.usize(..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            5 => bytes.truncate(at),
            _ => {
                let telling = random.choice(TELLING).expect("some");
                bytes.splice(at..at, telling.iter().copied());
            }
        }
    }

    #[test]
    fn handshakes_by_chance() {
        hammer("handshake", 1, handshake);
    }

    #[test]
    fn frames_by_chance() {
        hammer("frames", 2, frames);
    }

    #[test]
    fn origins_by_chance() {
        hammer("origins", 1, origins);
    }

    #[test]
    fn names_by_chance() {
        hammer("names", 1, names);
    }

    #[test]
    fn requests_by_chance() {
        hammer("requests", 10, requests);
    }
}
