//! An event as it travels between processes: `{"id": …, "event": …, "data": …}`, which other programs can write too.

use crate::{Event, RawJson, event::event_id, names::check_event};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use ulid::Ulid;

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    /// A ULID, a UUID or any other text; without it the event gets an id where it is read.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

pub(crate) fn encode(event: &Event, id: Ulid) -> String {
    let data = serde_json::from_str(event.data().as_str()).expect("an event's data is JSON");
    let envelope = Envelope { id: Some(id.to_string().into()), event: event.name().into(), data: Some(data) };
    serde_json::to_string(&envelope).expect("text and JSON are JSON")
}

/// The event and its id, or what is wrong with it.
#[cfg(any(feature = "redis", test))]
pub(crate) fn decode(json: &[u8]) -> Result<(Event, Ulid), String> {
    decode_or(json, Ulid::generate)
}

/// The same, with `otherwise` as the id of an event that came without one.
pub(crate) fn decode_or(json: &[u8], otherwise: impl FnOnce() -> Ulid) -> Result<(Event, Ulid), String> {
    let envelope: Envelope<'_> = serde_json::from_slice(json)
        .map_err(|error| format!("no event: {error}; wanted is {{\"id\": …, \"event\": …, \"data\": …}}"))?;
    check_event(&envelope.event).map_err(|error| error.to_string())?;
    let id = envelope.id.as_deref().map_or_else(otherwise, event_id);
    let data = RawJson::trusted(envelope.data.map_or("null", RawValue::get));
    Ok((Event::new(envelope.event.as_ref(), data), id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read() {
        let (event, id) = (Event::new("order.\"paid\"", json!({"ß": [1, null]})), Ulid::generate());
        assert_eq!(decode(encode(&event, id).as_bytes()), Ok((event, id)));
    }

    #[test]
    fn other_programs_may_leave_out_id_and_data() {
        let (event, _) = decode(br#" {"event": "e\u0031", "more": 1} "#).expect("an event");
        assert_eq!((event.name(), event.data().as_str()), ("e1", "null"));
    }

    #[test]
    fn what_is_no_event_is_named() {
        for (json, wanted) in [
            ("{\"data\":1}", "missing field `event`"),
            ("{\"event\":\"\"}", "invalid event \"\""),
            ("hello", "wanted is"),
            ("{\"event\":\"a\\u0007\"}", "invalid event"),
        ] {
            let problem = decode(json.as_bytes()).expect_err("no event");
            assert!(problem.contains(wanted), "{problem}");
        }
    }
}
