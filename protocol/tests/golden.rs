//! Every frame of the wire, as `golden.json` has it: the same file is read by the JavaScript tests.

use serde::Deserialize;
use serde_json::{Value, json};
use tidings_protocol::{ClientFrame, Position, Recovery, ServerFrame, Text, reason};

#[derive(Deserialize)]
struct Golden {
    frames: Vec<Case>,
    read: Vec<Case>,
    dropped: Vec<Dropped>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    direction: Direction,
    text: String,
    fields: Value,
}

#[derive(Deserialize)]
struct Dropped {
    name: String,
    direction: Direction,
    text: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Client,
    Server,
    Any,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden.json")).expect("golden.json is what the test reads")
}

/// What a text decodes to, as `golden.json` describes it, and what that encodes to.
fn decode(direction: Direction, text: &str) -> Option<(Value, String)> {
    match direction {
        Direction::Client => ClientFrame::parse(text).map(|frame| (describe_client(&frame), frame.to_json())),
        Direction::Server => ServerFrame::parse(text).map(|frame| (describe_server(&frame), frame.to_json())),
        Direction::Any => panic!("a frame goes in one direction"),
    }
}

fn position(position: &Position<Text<'_>>) -> Value {
    json!({ "epoch": position.epoch, "offset": position.offset })
}

fn describe_client(frame: &ClientFrame<Text<'_>, &str>) -> Value {
    present(match frame {
        ClientFrame::Sub { channel, resume } => {
            json!({ "frame": "sub", "channel": channel, "resume": resume.as_ref().map(position) })
        }
        ClientFrame::Unsub { channel } => json!({ "frame": "unsub", "channel": channel }),
        ClientFrame::Pub { channel, event, data, request, key } => {
            json!({ "frame": "pub", "channel": channel, "event": event, "data": data, "request": request, "key": key })
        }
        ClientFrame::Pong => json!({ "frame": "pong" }),
        ClientFrame::Presence { channel, info } => {
            json!({ "frame": "pres", "channel": channel, "info": info })
        }
        ClientFrame::Auth { token } => json!({ "frame": "auth", "token": token }),
        ClientFrame::History { channel, request, limit, before } => {
            json!({ "frame": "hist", "channel": channel, "request": request, "limit": limit, "before": before })
        }
        other => panic!("golden.json does not know {other:?}"),
    })
}

fn describe_server(frame: &ServerFrame<Text<'_>, &str>) -> Value {
    present(match frame {
        ServerFrame::Welcome { id, version, keepalive_ms } => {
            json!({ "frame": "welcome", "id": id, "version": version, "keepaliveMs": keepalive_ms })
        }
        ServerFrame::Ok { channel, position: at, recovery } => {
            let (recovered, lost) = match recovery {
                Some(Recovery::Recovered { count }) => (Some(json!({ "count": count })), None),
                Some(Recovery::Lost { why }) => (None, Some(json!({ "why": why }))),
                None => (None, None),
            };
            json!({
                "frame": "ok", "channel": channel, "position": at.as_ref().map(position),
                "recovered": recovered, "lost": lost,
            })
        }
        ServerFrame::Err { channel, reason, request } => {
            json!({ "frame": "err", "channel": channel, "reason": reason, "request": request })
        }
        ServerFrame::Msg { channel, event, data, id, offset, previous } => json!({
            "frame": "msg", "channel": channel, "event": event, "data": data, "id": id,
            "offset": offset, "previous": previous,
        }),
        ServerFrame::Ping => json!({ "frame": "ping" }),
        ServerFrame::Gap { channel, position: at, why } => {
            json!({ "frame": "gap", "channel": channel, "position": position(at), "why": why })
        }
        ServerFrame::Pos { channel, offset } => {
            json!({ "frame": "pos", "channel": channel, "offset": offset })
        }
        ServerFrame::Ack { request, id, offset } => {
            json!({ "frame": "ack", "request": request, "id": id, "offset": offset })
        }
        ServerFrame::Presence { channel, joined, left, updated } => {
            json!({ "frame": "pres", "channel": channel, "joined": joined, "left": left, "updated": updated })
        }
        ServerFrame::Auth { expires } => json!({ "frame": "auth", "expires": expires }),
        ServerFrame::Bye { code, after_ms } => json!({ "frame": "bye", "code": code, "afterMs": after_ms }),
        ServerFrame::History { channel, request, position: at, events } => json!({
            "frame": "hist", "channel": channel, "request": request, "position": position(at), "events": events,
        }),
        other => panic!("golden.json does not know {other:?}"),
    })
}

/// Without the keys that are null: absent and null are one in a description.
fn present(mut description: Value) -> Value {
    description.as_object_mut().expect("a description is an object").retain(|_, value| !value.is_null());
    description
}

#[test]
fn every_frame_decodes_to_its_fields_and_encodes_to_the_same_text() {
    for Case { name, direction, text, fields } in golden().frames {
        assert_eq!(decode(direction, &text), Some((fields, text)), "{name}");
    }
}

#[test]
fn odd_texts_are_read_and_mean_the_same_once_encoded() {
    for Case { name, direction, text, fields } in golden().read {
        let (decoded, encoded) =
            decode(direction, &text).unwrap_or_else(|| panic!("{name} is dropped: {text}"));
        assert_eq!(decoded, fields, "{name}");
        assert_eq!(decode(direction, &encoded), Some((decoded, encoded)), "{name}");
    }
}

#[test]
fn bad_texts_are_dropped() {
    for Dropped { name, direction, text } in golden().dropped {
        if direction != Direction::Server {
            assert_eq!(ClientFrame::parse(&text), None, "{name}");
        }
        if direction != Direction::Client {
            assert_eq!(ServerFrame::parse(&text), None, "{name}");
        }
    }
}

#[test]
fn half_a_surrogate_pair_is_no_name() {
    assert_eq!(ClientFrame::parse(r#"{"t":"sub","c":"\ud83d"}"#), None);
}

#[test]
fn every_frame_is_dropped_by_a_receiver_that_does_not_know_its_tag() {
    for Case { name, direction, text, fields } in golden().frames {
        let both = ["auth", "hist", "pres"].contains(&fields["frame"].as_str().expect("a frame has a tag"));
        match direction {
            _ if both => {}
            Direction::Client => assert_eq!(ServerFrame::parse(&text), None, "{name}"),
            _ => assert_eq!(ClientFrame::parse(&text), None, "{name}"),
        }
    }
}

#[test]
fn the_reasons_of_version_1_are_these() {
    assert_eq!(
        [reason::UNAUTHORIZED, reason::AUTHORIZATION_FAILED, reason::PUBLISH_DENIED, reason::PUBLISH_FAILED],
        ["unauthorized", "authorization failed", "publish denied", "publish failed"],
    );
}
