//! What a stream says: frames of the session in, text of the event stream out. Without I/O.

use crate::Position;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::{io::Write, sync::Arc};
use tidings_protocol::{ClientFrame, MAX_INTEGER, Recovery, ServerFrame, Why};

/// The longest token that is looked at, in bytes. A longer one is of no stream of ours.
const MAX_TOKEN: usize = 8 * 1024;

/// What of an epoch is written as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// What an `EventSource` dispatches by itself, and what we do: an event of such a name gets a `_` in front, and so does
/// one that has some already.
const RESERVED: [&str; 3] = ["error", "open", "gap"];

/// How long a client waits before it comes back, in milliseconds, at least: what browsers take unless they are told.
/// Each is told its own time, up to twice as long, so that they do not all come at once.
const RETRY: u64 = 2_000;

/// What the adaptor has to do about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing more.
    GoOn,
    /// Answer the session's ping.
    Pong,
    /// End the stream.
    End,
}

/// The channels of a stream, and where the client is in each.
#[derive(Debug)]
pub(super) struct Feed {
    channels: Vec<Followed>,
    retry: u64,
    /// Whether the client is somewhere that it was not told yet.
    moved: bool,
}

#[derive(Debug)]
struct Followed {
    channel: Arc<str>,
    at: At,
}

/// Where the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    /// Nowhere yet.
    New,
    /// It has been there before, and cannot go on from where it was; it has not been told so yet.
    Lost(Why),
    /// There, or on a channel without history.
    Known(Option<Position>),
}

/// What an event is to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Next,
    Repeated,
    /// Something is missing before it. The client is to come back, and will be given it.
    Hole,
}

impl Feed {
    /// A stream of `channels` for a client that says that it has had `last`.
    pub(super) fn new(channels: Vec<Arc<str>>, last: Option<&[u8]>) -> Self {
        let places = read_token(last, channels.len());
        let channels =
            channels.into_iter().zip(places).map(|(channel, at)| Followed { channel, at }).collect();
        Self { channels, retry: pause(), moved: false }
    }

    /// The frames that the session has to hear first.
    pub(super) fn subscriptions(&self) -> Vec<String> {
        let subscribe = |Followed { channel, at }: &Followed| {
            let resume = match at {
                At::Known(Some(position)) => Some(position.as_deref()),
                _ => None,
            };
            ClientFrame::<&str, &str>::Sub { channel, resume }.to_json()
        };
        self.channels.iter().map(subscribe).collect()
    }

    /// The beginning of the stream.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        retry(out, self.retry);
    }

    /// The session has said `frame`.
    pub(super) fn take(&mut self, frame: &str, out: &mut Vec<u8>) -> Then {
        match ServerFrame::parse(frame) {
            Some(ServerFrame::Ok { channel, position, recovery }) => {
                self.live(&channel, position, recovery, out);
            }
            Some(ServerFrame::Msg { channel, event, data, offset, previous, .. }) => {
                match self.step(&channel, offset, previous) {
                    Step::Next => self.event(&channel, &event, data, out),
                    Step::Repeated => {}
                    Step::Hole => return Then::End,
                }
            }
            Some(ServerFrame::Gap { channel, position, why }) => {
                if let Some(followed) = self.followed(&channel) {
                    followed.at = At::Known(Some(owned(position)));
                    self.gap(&channel, &why, out);
                }
            }
            Some(ServerFrame::Pos { channel, offset }) => {
                if let Some(Followed { at: At::Known(Some(at)), .. }) = self.followed(&channel) {
                    at.offset = at.offset.max(offset);
                    self.moved = true;
                }
            }
            Some(ServerFrame::Bye { after_ms, .. }) => retry(out, after_ms.max(self.retry)),
            Some(ServerFrame::Ping) => return Then::Pong,
            Some(ServerFrame::Err { .. }) => return Then::End,
            _ => {}
        }
        Then::GoOn
    }

    /// What has to be said before a pause: where the client is, when no event has told it. A blank line behind an `id`
    /// makes it the client's, without an event.
    pub(super) fn settle(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.moved) {
            field(out, "id", &self.token());
            out.push(b'\n');
        }
    }

    fn followed(&mut self, channel: &str) -> Option<&mut Followed> {
        self.channels.iter_mut().find(|followed| *followed.channel == *channel)
    }

    fn live<T: AsRef<str>>(
        &mut self,
        channel: &str,
        position: Option<tidings_protocol::Position<T>>,
        recovery: Option<Recovery<T>>,
        out: &mut Vec<u8>,
    ) {
        let Some(followed) = self.followed(channel) else { return };
        if let Some(Recovery::Recovered { count: 1.. }) = recovery {
            // The missed events will tell.
            return;
        }
        let before = std::mem::replace(&mut followed.at, At::Known(position.map(owned)));
        match (recovery, before) {
            (Some(Recovery::Lost { why }), _) => self.gap(channel, why.as_ref(), out),
            (_, At::Lost(why)) => self.gap(channel, why.as_str(), out),
            _ => self.moved = true,
        }
    }

    /// Moves the client over an event, by the rules of the protocol's clients: its hub may be behind the one that it
    /// comes from, and repeat what it has had.
    fn step(&mut self, channel: &str, offset: Option<u64>, previous: Option<u64>) -> Step {
        let Some(followed) = self.followed(channel) else { return Step::Repeated };
        if let (At::Known(Some(at)), Some(offset)) = (&mut followed.at, offset) {
            if offset <= at.offset {
                return Step::Repeated;
            }
            if previous.unwrap_or(offset - 1) > at.offset {
                return Step::Hole;
            }
            at.offset = offset;
        }
        Step::Next
    }

    fn event(&mut self, channel: &str, event: &str, data: &str, out: &mut Vec<u8>) {
        let several = self.channels.len() > 1;
        let mark = if RESERVED.contains(&event.trim_start_matches('_')) { "_" } else { "" };
        field(out, "event", &format!("{mark}{event}"));
        if several {
            let channel = serde_json::Value::from(channel);
            self.say(&format!(r#"{{"c":{channel},"d":{data}}}"#), out);
        } else {
            self.say(data, out);
        }
    }

    fn gap(&mut self, channel: &str, why: &str, out: &mut Vec<u8>) {
        field(out, "event", "gap");
        self.say(&serde_json::json!({"c": channel, "why": why}).to_string(), out);
    }

    /// The rest of an event. JSON has line breaks between its parts only, where any white space is as good.
    fn say(&mut self, data: &str, out: &mut Vec<u8>) {
        self.moved = false;
        field(out, "id", &self.token());
        data.split(['\n', '\r']).for_each(|line| field(out, "data", line));
        out.push(b'\n');
    }

    /// Where the client is in each channel, in the order of the request.
    fn token(&self) -> String {
        let place = |Followed { at, .. }: &Followed| match at {
            At::New => String::new(),
            At::Lost(Why::Epoch) => "?".to_owned(),
            At::Lost(_) | At::Known(None) => "-".to_owned(),
            At::Known(Some(Position { epoch, offset })) => {
                format!("{}:{offset}", utf8_percent_encode(epoch, ESCAPED))
            }
        };
        self.channels.iter().map(place).collect::<Vec<_>>().join(",")
    }
}

/// Reads a token of [`Feed::token`] for so many channels. A client may send anything.
fn read_token(token: Option<&[u8]>, count: usize) -> Vec<At> {
    let Some(token) = token else { return vec![At::New; count] };
    let token = Some(token).filter(|token| token.len() <= MAX_TOKEN).map(std::str::from_utf8);
    let Some(Ok(token)) = token else { return vec![At::Lost(Why::Epoch); count] };
    let parts: Vec<&str> = token.split(',').collect();
    if parts.len() != count {
        return vec![At::Lost(Why::Epoch); count];
    }
    let place = |part| match part {
        "" => At::New,
        // Whatever went by meanwhile is not kept.
        "-" => At::Lost(Why::Unavailable),
        part => read_position(part).map_or(At::Lost(Why::Epoch), |position| At::Known(Some(position))),
    };
    parts.into_iter().map(place).collect()
}

fn read_position(part: &str) -> Option<Position> {
    let (epoch, offset) = part.split_once(':')?;
    let epoch = percent_decode_str(epoch).decode_utf8().ok()?;
    let offset = offset.parse().ok().filter(|offset| *offset <= MAX_INTEGER)?;
    Some(Position { epoch: epoch.into(), offset })
}

fn owned<T: AsRef<str>>(position: tidings_protocol::Position<T>) -> Position {
    Position { epoch: position.epoch.as_ref().into(), offset: position.offset }
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// The text of a stream for a client that cannot be taken now.
pub(super) fn come_again() -> Vec<u8> {
    let mut out = Vec::new();
    retry(&mut out, pause());
    out
}

fn pause() -> u64 {
    RETRY + fastrand::u64(..RETRY)
}

fn retry(out: &mut Vec<u8>, ms: u64) {
    let _ = write!(out, "retry: {ms}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(channels: &[&str], last: Option<&str>) -> Feed {
        Feed::new(channels.iter().map(|c| (*c).into()).collect(), last.map(str::as_bytes))
    }

    /// What comes out when the session says these frames and then pauses.
    fn said(feed: &mut Feed, frames: &[&str]) -> String {
        let mut out = Vec::new();
        for frame in frames {
            assert_eq!(feed.take(frame, &mut out), Then::GoOn, "{frame}");
        }
        feed.settle(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_first_visit() {
        let mut feed = feed(&["a"], None);
        assert_eq!(feed.subscriptions(), [r#"{"t":"sub","c":"a"}"#]);
        assert_eq!(said(&mut feed, &[r#"{"t":"ok","c":"a","ep":"k3","o":7}"#]), "id: k3:7\n\n");
        assert_eq!(
            said(&mut feed, &[r#"{"t":"msg","c":"a","e":"paid","d":{"n":1},"i":"x","o":8}"#]),
            "event: paid\nid: k3:8\ndata: {\"n\":1}\n\n"
        );
        assert_eq!(said(&mut feed, &[]), "");
        assert_eq!(said(&mut feed, &[r#"{"t":"pos","c":"a","o":9}"#]), "id: k3:9\n\n");
        assert_eq!(
            said(&mut feed, &[r#"{"t":"gap","c":"a","ep":"z","o":3,"why":"backplane"}"#]),
            "event: gap\nid: z:3\ndata: {\"c\":\"a\",\"why\":\"backplane\"}\n\n"
        );
    }

    #[test]
    fn a_cut_in_the_middle_of_a_replay_goes_on_there() {
        let mut feed = feed(&["a"], Some("k3:7"));
        assert_eq!(feed.subscriptions(), [r#"{"t":"sub","c":"a","rc":{"ep":"k3","o":7}}"#]);
        let ok = r#"{"t":"ok","c":"a","ep":"k3","o":9,"rec":true,"n":2}"#;
        assert_eq!(said(&mut feed, &[ok]), "");
        let missed = r#"{"t":"msg","c":"a","e":"e","d":1,"i":"x","o":8}"#;
        assert_eq!(said(&mut feed, &[missed]), "event: e\nid: k3:8\ndata: 1\n\n");
        let mut feed = self::feed(&["a"], Some("k3:7"));
        let ok = r#"{"t":"ok","c":"a","ep":"k3","o":7,"rec":true,"n":0}"#;
        assert_eq!(said(&mut feed, &[ok]), "id: k3:7\n\n");
    }

    #[test]
    fn repeated_events_are_dropped_and_a_hole_ends_the_stream() {
        let mut feed = feed(&["a"], Some("k3:7"));
        let ok = r#"{"t":"ok","c":"a","ep":"k3","o":7,"rec":true,"n":0}"#;
        assert_eq!(said(&mut feed, &[ok]), "id: k3:7\n\n");
        let event = |at: &str| format!(r#"{{"t":"msg","c":"a","e":"e","d":1,"i":"x",{at}}}"#);
        for (at, expected) in [
            (r#""o":6"#, ""),
            (r#""o":7,"p":3"#, ""),
            (r#""o":8"#, "event: e\nid: k3:8\ndata: 1\n\n"),
            (r#""o":20,"p":8"#, "event: e\nid: k3:20\ndata: 1\n\n"),
            (r#""o":21,"p":4"#, "event: e\nid: k3:21\ndata: 1\n\n"),
        ] {
            assert_eq!(said(&mut feed, &[&event(at)]), expected, "{at}");
        }
        for at in [r#""o":23"#, r#""o":30,"p":22"#] {
            let mut out = Vec::new();
            assert_eq!(feed.take(&event(at), &mut out), Then::End, "{at}");
            assert!(out.is_empty());
        }
    }

    #[test]
    fn a_token_says_where_each_channel_is() {
        let mut feed = feed(&["a", "b", "c"], None);
        assert_eq!(
            said(&mut feed, &[r#"{"t":"ok","c":"b","ep":"k,3:é","o":7}"#]),
            "id: ,k%2C3%3A%C3%A9:7,\n\n"
        );
        assert_eq!(said(&mut feed, &[r#"{"t":"ok","c":"c"}"#]), "id: ,k%2C3%3A%C3%A9:7,-\n\n");
        assert_eq!(
            said(&mut feed, &[r#"{"t":"msg","c":"c","e":"e","d":1,"i":"x"}"#]),
            "event: e\nid: ,k%2C3%3A%C3%A9:7,-\ndata: {\"c\":\"c\",\"d\":1}\n\n"
        );
        let mut back = self::feed(&["a", "b", "c"], Some(",k%2C3%3A%C3%A9:7,-"));
        assert_eq!(
            back.subscriptions(),
            [
                r#"{"t":"sub","c":"a"}"#,
                r#"{"t":"sub","c":"b","rc":{"ep":"k,3:é","o":7}}"#,
                r#"{"t":"sub","c":"c"}"#
            ]
        );
        // Nothing is kept of the third: what went by meanwhile is lost, and that is told.
        assert_eq!(
            said(&mut back, &[r#"{"t":"ok","c":"c"}"#]),
            "event: gap\nid: ,k%2C3%3A%C3%A9:7,-\ndata: {\"c\":\"c\",\"why\":\"unavailable\"}\n\n"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_token_is_read_as_it_was_written(places in proptest::collection::vec(
            proptest::option::of((".{0,20}", 0..=MAX_INTEGER)), 1..9,
        )) {
            let mut feed = feed(&vec!["a"; places.len()], None);
            for (followed, place) in feed.channels.iter_mut().zip(places) {
                let known = |(epoch, offset): (String, u64)| {
                    At::Known(Some(Position { epoch: epoch.into(), offset }))
                };
                followed.at = place.map_or(At::New, known);
            }
            let token = feed.token();
            assert!(token.bytes().all(|byte| byte.is_ascii_graphic()), "{token:?}");
            let read = read_token(Some(token.as_bytes()), feed.channels.len());
            assert!(read.iter().eq(feed.channels.iter().map(|followed| &followed.at)), "{token}");
        }

        #[test]
        fn any_bytes_may_be_sent_as_a_token(bytes: Vec<u8>, count in 1_usize..5) {
            assert_eq!(read_token(Some(&bytes), count).len(), count);
        }
    }

    #[test]
    fn tokens_that_are_none() {
        let long = "9".repeat(MAX_TOKEN + 1);
        for bad in ["rubbish", "k3:7,k3:8", "k3:", "k3:-1", "k3:9007199254740992", "%ff:1", "?", &long] {
            let mut feed = feed(&["a"], Some(bad));
            assert_eq!(feed.subscriptions(), [r#"{"t":"sub","c":"a"}"#], "{bad}");
            assert_eq!(
                said(&mut feed, &[r#"{"t":"ok","c":"a","ep":"k3","o":7}"#]),
                "event: gap\nid: k3:7\ndata: {\"c\":\"a\",\"why\":\"epoch\"}\n\n",
                "{bad}"
            );
        }
        let feed = Feed::new(vec!["a".into()], Some(b"\xff"));
        assert_eq!(feed.channels[0].at, At::Lost(Why::Epoch));
        // One that is told of another channel first is still lost in this one.
        let mut feed = self::feed(&["a", "b"], Some("rubbish"));
        let first = said(&mut feed, &[r#"{"t":"ok","c":"b","ep":"k3","o":7}"#]);
        assert!(first.contains("id: ?,k3:7\n"), "{first}");
        assert_eq!(self::feed(&["a", "b"], Some("?,k3:7")).channels[0].at, At::Lost(Why::Epoch));
    }

    #[test]
    fn names_that_mean_something_else_are_marked() {
        let mut feed = feed(&["a"], None);
        for (name, heard) in [
            ("error", "_error"),
            ("open", "_open"),
            ("gap", "_gap"),
            ("_gap", "__gap"),
            ("message", "message"),
            ("gaps", "gaps"),
            (" x", " x"),
        ] {
            let frame = format!(r#"{{"t":"msg","c":"a","e":"{name}","d":null,"i":"x"}}"#);
            assert_eq!(feed.take(&frame, &mut Vec::new()), Then::GoOn);
            let out = said(&mut feed, &[&frame]);
            assert!(out.starts_with(&format!("event: {heard}\n")), "{out}");
        }
    }

    #[test]
    fn data_of_several_lines() {
        let mut feed = feed(&["a"], None);
        let out =
            said(&mut feed, &["{\"t\":\"msg\",\"c\":\"a\",\"e\":\"e\",\"d\":{\n \"n\":\r\n1},\"i\":\"x\"}"]);
        assert!(out.ends_with("data: {\ndata:  \"n\":\ndata: \ndata: 1}\n\n"), "{out}");
    }

    #[test]
    fn what_ends_a_stream_and_what_does_not() {
        let mut feed = feed(&["a"], None);
        let mut out = Vec::new();
        assert_eq!(feed.take(r#"{"t":"ping"}"#, &mut out), Then::Pong);
        assert_eq!(feed.take(r#"{"t":"err","c":"a","r":"unauthorized"}"#, &mut out), Then::End);
        for other in [r#"{"t":"welcome","id":"x","v":2,"ka":1}"#, r#"{"t":"news"}"#, "rubbish"] {
            assert_eq!(feed.take(other, &mut out), Then::GoOn);
        }
        assert!(out.is_empty());
        feed.take(r#"{"t":"bye","code":1012,"after":8200}"#, &mut out);
        feed.take(r#"{"t":"bye","code":1012,"after":3}"#, &mut out);
        assert_eq!(out, format!("retry: 8200\n\nretry: {}\n\n", feed.retry).as_bytes());
        assert!((RETRY..2 * RETRY).contains(&feed.retry));
    }
}
