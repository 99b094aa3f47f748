//! What holds of every frame and of every text.

use proptest::{option, prelude::*};
use serde_json::Value;
use tidings_protocol::{
    ClientFrame, Fields, JsonFields, Key, MAX_INTEGER, Position, Recovery, ServerFrame, Tag,
};

/// Any string, with more than its share of what JSON escapes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        prop::collection::vec(
            prop_oneof![
                Just('"'),
                Just('\\'),
                Just('/'),
                Just('\u{7f}'),
                Just('\u{2028}'),
                Just('\u{1f680}'),
                prop::char::range('\0', '\u{1f}'),
                any::<char>(),
            ],
            0..12,
        )
        .prop_map(|chars| chars.into_iter().collect()),
    ]
}

fn name() -> impl Strategy<Value = String> {
    text().prop_map(|text| if text.is_empty() { "x".to_owned() } else { text })
}

/// JSON text, written with white space of its own.
fn payload() -> impl Strategy<Value = String> {
    let space = || "[ \t\r\n]{0,2}";
    let number = prop_oneof![
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        any::<i64>().prop_map(|n| n.to_string()),
    ];
    let string = text().prop_map(|text| serde_json::to_string(&text).expect("a string is JSON"));
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number,
        string
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let item = (space(), inner, space()).prop_map(|(a, v, b)| format!("{a}{v}{b}"));
        let entry = (space(), text(), item.clone()).prop_map(|(a, key, v)| {
            format!("{a}{}:{v}", serde_json::to_string(&key).expect("a string is JSON"))
        });
        prop_oneof![
            prop::collection::vec(item, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(entry, 0..4).prop_map(|entries| format!("{{{}}}", entries.join(","))),
        ]
    })
}

fn integer() -> impl Strategy<Value = u64> {
    prop_oneof![0..=MAX_INTEGER, Just(0), Just(MAX_INTEGER)]
}

fn position() -> impl Strategy<Value = Position<String>> {
    (text(), integer()).prop_map(|(epoch, offset)| Position { epoch, offset })
}

fn client_frame() -> impl Strategy<Value = ClientFrame<String, String>> {
    prop_oneof![
        (name(), option::of(position())).prop_map(|(channel, resume)| ClientFrame::Sub { channel, resume }),
        name().prop_map(|channel| ClientFrame::Unsub { channel }),
        (name(), name(), option::of(payload()), option::of(integer()), option::of(name())).prop_map(
            |(channel, event, data, request, key)| ClientFrame::Pub { channel, event, data, request, key }
        ),
        Just(ClientFrame::Pong),
        (name(), payload()).prop_map(|(channel, info)| ClientFrame::Presence { channel, info }),
        name().prop_map(|token| ClientFrame::Auth { token }),
        (name(), integer(), option::of(integer()), option::of(integer())).prop_map(
            |(channel, request, limit, before)| ClientFrame::History { channel, request, limit, before }
        ),
    ]
}

fn server_frame() -> impl Strategy<Value = ServerFrame<String, String>> {
    let recovery = prop_oneof![
        integer().prop_map(|count| Recovery::Recovered { count }),
        text().prop_map(|why| Recovery::Lost { why }),
    ];
    prop_oneof![
        (name(), option::of(integer()), option::of(integer()))
            .prop_map(|(id, version, keepalive_ms)| ServerFrame::Welcome { id, version, keepalive_ms }),
        (name(), option::of(position()), option::of(recovery))
            .prop_map(|(channel, position, recovery)| ServerFrame::Ok { channel, position, recovery }),
        (text(), text(), option::of(integer())).prop_map(|(channel, reason, request)| ServerFrame::Err {
            channel,
            reason,
            request
        }),
        (name(), name(), payload(), text(), option::of(integer()), option::of(integer())).prop_map(
            |(channel, event, data, id, offset, previous)| ServerFrame::Msg {
                channel,
                event,
                data,
                id,
                offset,
                previous
            }
        ),
        Just(ServerFrame::Ping),
        (name(), position(), text()).prop_map(|(channel, position, why)| ServerFrame::Gap {
            channel,
            position,
            why
        }),
        (name(), integer()).prop_map(|(channel, offset)| ServerFrame::Pos { channel, offset }),
        (integer(), text(), option::of(integer())).prop_map(|(request, id, offset)| ServerFrame::Ack {
            request,
            id,
            offset
        }),
        (name(), option::of(payload()), option::of(payload()), option::of(payload())).prop_map(
            |(channel, joined, left, updated)| ServerFrame::Presence { channel, joined, left, updated }
        ),
        option::of(integer()).prop_map(|expires| ServerFrame::Auth { expires }),
        (integer(), integer()).prop_map(|(code, after_ms)| ServerFrame::Bye { code, after_ms }),
        (name(), integer(), position(), payload()).prop_map(|(channel, request, position, events)| {
            ServerFrame::History { channel, request, position, events }
        }),
    ]
}

/// Text that is close to a frame: an object of known and unknown keys with any values, sometimes damaged.
fn near_frame() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        4 => prop::sample::select(Key::ALL).prop_map(|key| key.as_str().to_owned()),
        1 => text(),
    ];
    let value = prop_oneof![
        2 => prop::sample::select(Tag::ALL).prop_map(|tag| format!("\"{}\"", tag.as_str())),
        3 => payload(),
    ];
    let entry = (key, value).prop_map(|(key, value)| {
        format!("{}:{value}", serde_json::to_string(&key).expect("a string is JSON"))
    });
    let tag = prop::sample::select(Tag::ALL).prop_map(|tag| format!("\"t\":\"{}\"", tag.as_str()));
    let object = (option::of(tag), prop::collection::vec(entry, 0..6)).prop_map(|(tag, entries)| {
        format!("{{{}}}", tag.into_iter().chain(entries).collect::<Vec<_>>().join(","))
    });
    let object = object.boxed();
    prop_oneof![
        4 => object.clone(),
        1 => (object, any::<prop::sample::Index>(), any::<char>()).prop_map(|(text, at, c)| {
            let mut chars: Vec<char> = text.chars().collect();
            let at = at.index(chars.len());
            chars[at] = c;
            chars.into_iter().collect()
        }),
    ]
}

fn owned<T: AsRef<str>>(text: T) -> String {
    text.as_ref().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_client_frame_survives_the_wire(frame in client_frame()) {
        let json = frame.to_json();
        serde_json::from_str::<&serde_json::value::RawValue>(&json).expect("what is sent is JSON");
        let read = ClientFrame::parse(&json).expect("what is sent is read");
        // Payloads are compared as text, so equal means byte for byte.
        prop_assert_eq!(format!("{read:?}"), format!("{frame:?}"));
        prop_assert_eq!(read.to_json(), json);
    }

    #[test]
    fn a_server_frame_survives_the_wire(frame in server_frame()) {
        let json = frame.to_json();
        serde_json::from_str::<&serde_json::value::RawValue>(&json).expect("what is sent is JSON");
        let read = ServerFrame::parse(&json).expect("what is sent is read");
        prop_assert_eq!(format!("{read:?}"), format!("{frame:?}"));
        prop_assert_eq!(read.to_json(), json);
    }

    #[test]
    fn data_is_kept_byte_for_byte_wherever_it_stands(
        data in payload(), before in "[ \t\r\n]{0,3}", after in "[ \t\r\n]{0,3}", first in any::<bool>(),
    ) {
        let text = if first {
            format!("{{\"d\":{before}{data}{after},\"t\":\"pub\",\"c\":\"x\",\"e\":\"y\"}}")
        } else {
            format!("{{\"t\":\"pub\",\"c\":\"x\",\"e\":\"y\",\"d\":{before}{data}{after}}}")
        };
        let Some(ClientFrame::Pub { data: read, .. }) = ClientFrame::parse(&text) else {
            panic!("a pub is read: {text}");
        };
        prop_assert_eq!(read, Some(data.as_str()));
    }

    #[test]
    fn any_text_is_read_or_dropped(text in any::<String>()) {
        let _ = (ClientFrame::parse(&text), ServerFrame::parse(&text));
    }

    #[test]
    fn any_bytes_are_read_or_dropped(bytes in any::<Vec<u8>>()) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = (ClientFrame::parse(&text), ServerFrame::parse(&text));
    }

    #[test]
    fn a_text_means_what_json_says(text in near_frame()) {
        let fields = JsonFields::parse(&text);
        match serde_json::from_str::<Value>(&text) {
            Ok(Value::Object(object)) => {
                let fields = fields.expect("an object is read");
                prop_assert_eq!(fields.tag(), object.get("t").and_then(Value::as_str).and_then(Tag::parse));
                for key in Key::ALL {
                    let value = object.get(key.as_str());
                    let string = value.and_then(Value::as_str);
                    let integer = value.and_then(Value::as_f64).filter(|n| {
                        n.fract() == 0.0 && (0.0..=MAX_INTEGER as f64).contains(n)
                    });
                    prop_assert_eq!(fields.text(*key).map(owned), string.map(owned));
                    prop_assert_eq!(fields.name(*key).map(owned), string.filter(|s| !s.is_empty()).map(owned));
                    prop_assert_eq!(fields.integer(*key), integer.map(|n| n as u64));
                    prop_assert_eq!(fields.flag(*key), value.and_then(Value::as_bool));
                    prop_assert_eq!(fields.value(*key).is_some(), value.is_some());
                    prop_assert_eq!(fields.object(*key).is_some(), value.is_some_and(Value::is_object));
                }
            }
            Ok(_) => prop_assert!(fields.is_none()),
            // A number too large for an f64 is JSON all the same; here it is never looked at.
            Err(_) => {}
        }
        let read = ClientFrame::parse(&text).map(|frame| frame.to_json());
        if let Some(json) = read {
            prop_assert_eq!(ClientFrame::parse(&json).map(|frame| frame.to_json()), Some(json));
        }
        let read = ServerFrame::parse(&text).map(|frame| frame.to_json());
        if let Some(json) = read {
            prop_assert_eq!(ServerFrame::parse(&json).map(|frame| frame.to_json()), Some(json));
        }
    }

    #[test]
    fn depth_is_no_danger(depth in 1..20_000_usize) {
        let data = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let text = format!("{{\"t\":\"pub\",\"c\":\"x\",\"e\":\"y\",\"d\":{data}}}");
        match ClientFrame::parse(&text) {
            Some(ClientFrame::Pub { data: read, .. }) => prop_assert_eq!(read, Some(data.as_str())),
            other => panic!("a pub is read, not {other:?}"),
        }
    }
}
