//! What our scripts write and answer.

use super::names::Names;
use crate::{Delivery, Page, Place, Position, Published, Range, envelope};
use redis::{FromRedisValue, Value, from_redis_value};
use std::sync::Arc;
use ulid::Ulid;

/// A channel's past, with the id of its last event.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) page: Page,
    pub(super) last: Option<Ulid>,
}

/// A message of a pub/sub channel: ours is `@epoch offset {…}` on a channel with history, and what other programs publish,
/// as on a channel without, is `{…}` alone.
pub(super) fn delivery(channel: &str, payload: &[u8]) -> Result<Delivery, String> {
    let channel = Arc::from(channel);
    let Some(ours) = payload.strip_prefix(b"@") else {
        let (event, id) = envelope::decode(payload)?;
        return Ok(Delivery { channel, event, id, place: None });
    };
    let mut parts = ours.splitn(3, |byte| *byte == b' ');
    let mut part = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let (Some(epoch), Some(Ok(offset)), Some(event)) = (part(), part().map(str::parse), part()) else {
        return Err("no event: wanted is \"@epoch offset {…}\"".to_owned());
    };
    let (event, id) = envelope::decode(event.as_bytes())?;
    Ok(Delivery { channel, event, id, place: Some(place(&epoch.into(), offset)) })
}

/// Offsets grow by one.
fn place(epoch: &Arc<str>, offset: u64) -> Place {
    let position = Position { epoch: epoch.clone(), offset };
    Place { position, previous: offset.saturating_sub(1) }
}

/// What was said of a publish: `id epoch offset`, or `id` alone on a channel without history.
pub(super) fn published(answer: &Value) -> Result<Published, String> {
    let said: String = text(answer)?;
    let mut parts = said.split(' ');
    let parsed = parts.next().and_then(|id| Ulid::from_string(id).ok()).and_then(|id| {
        let position = match (parts.next(), parts.next()) {
            (Some(epoch), Some(offset)) => {
                Some(Position { epoch: epoch.into(), offset: offset.parse().ok()? })
            }
            _ => None,
        };
        Some(Published::new(id, position))
    });
    parsed.ok_or_else(|| format!("an answer that is not ours: {said:?}"))
}

/// The arguments of `read.lua` for `range`.
pub(super) fn bounds(range: Range) -> [String; 4] {
    let count = |limit: usize| limit.saturating_add(1).min(1 << 30).to_string();
    match range {
        Range::After { offset, limit } => {
            ["XRANGE".into(), offset.saturating_add(1).to_string(), "+".into(), count(limit)]
        }
        Range::Before { offset, limit } => {
            // Offset 0 is nobody's.
            let last = offset.map_or("+".into(), |before| before.saturating_sub(1).to_string());
            ["XREVRANGE".into(), last, "-".into(), count(limit)]
        }
    }
}

/// What `read.lua` answered to `range`.
pub(super) fn past(channel: &Arc<str>, range: Range, answer: &Value) -> Result<Past, String> {
    let Value::Array(parts) = answer else { return Err(format!("an answer that is not ours: {answer:?}")) };
    let [epoch, top, last, floor, Value::Array(entries)] = &parts[..] else {
        return Err(format!("an answer that is not ours: {answer:?}"));
    };
    let end = Position { epoch: text::<String>(epoch)?.into(), offset: number(top)? };
    let mut events = Vec::with_capacity(entries.len());
    for entry in entries {
        events.push(event(channel, &end.epoch, entry)?);
    }
    let (Range::After { limit, .. } | Range::Before { limit, .. }) = range;
    let more = events.len() > limit;
    events.truncate(limit);
    if matches!(range, Range::Before { .. }) {
        events.reverse();
    }
    let last = Ulid::from_string(&text::<String>(last)?).ok();
    Ok(Past { page: Page { end, floor: number(floor)?, events, more }, last })
}

/// An entry of the stream, whose id is `offset-time`.
fn event(channel: &Arc<str>, epoch: &Arc<str>, entry: &Value) -> Result<Delivery, String> {
    let foreign = || format!("the stream of channel {channel:?} has an entry that is not ours");
    let (id, fields): (String, Vec<Vec<u8>>) = from_redis_value(entry.clone()).map_err(|_| foreign())?;
    let offset = id.split('-').next().and_then(|offset| offset.parse().ok()).ok_or_else(foreign)?;
    let json = fields.get(1).ok_or_else(foreign)?;
    let (event, id) = envelope::decode(json).map_err(|problem| format!("{}: {problem}", foreign()))?;
    Ok(Delivery { channel: channel.clone(), event, id, place: Some(place(epoch, offset)) })
}

fn text<T: FromRedisValue>(value: &Value) -> Result<T, String> {
    from_redis_value(value.clone()).map_err(|error| format!("an answer that is not ours: {error}"))
}

/// Numbers travel as text: in a script they are floating-point.
fn number(value: &Value) -> Result<u64, String> {
    let text: String = text(value)?;
    text.parse().map_err(|_| format!("an answer that is not ours: {text:?}"))
}

impl Names {
    /// What arrived, by channel: an event, or what is wrong with it. `None` when it is for none of our channels.
    pub(super) fn arrived(
        &self,
        subject: &Value,
        payload: &Value,
    ) -> Option<(String, Result<Delivery, String>)> {
        let (Value::BulkString(subject), Value::BulkString(payload)) = (subject, payload) else {
            return None;
        };
        let channel = self.channel(subject)?;
        Some((channel.to_owned(), delivery(channel, payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_and_others_are_told_apart() {
        let plain = delivery("a", br#"{"event":"e","data":1}"#).expect("an event");
        assert_eq!((plain.event.name(), plain.place), ("e", None));
        let ours = delivery("a", br#"@x 7 {"event":"e","data":1}"#).expect("an event");
        assert_eq!(ours.place, Some(place(&"x".into(), 7)));
        for malformed in
            ["", "@", "@x", "@x 7", "@x y {}", "@x 7 {}", "[1]", "@x -1 {\"event\":\"e\"}", "@x 7 {"]
        {
            delivery("a", malformed.as_bytes()).expect_err(malformed);
        }
        delivery("a", b"\xff\xfe").expect_err("no text");
        delivery("a", b"@\xff 7 {\"event\":\"e\"}").expect_err("no text");
    }

    #[test]
    fn what_was_said_is_read() {
        let id = Ulid::generate();
        let said = |text: String| published(&Value::BulkString(text.into()));
        assert_eq!(said(id.to_string()), Ok(Published::new(id, None)));
        let position = Position { epoch: "x".into(), offset: 1 << 53 };
        assert_eq!(said(format!("{id} x {}", 1_u64 << 53)), Ok(Published::new(id, Some(position))));
        said("hello".into()).expect_err("not ours");
        published(&Value::Int(1)).expect_err("not ours");
    }

    #[test]
    fn a_page_is_cut_where_it_was_told_to() {
        let entry = |offset: u64| {
            let text = |text: String| Value::BulkString(text.into());
            let fields = vec![text("event".into()), text(r#"{"event":"e"}"#.into())];
            Value::Array(vec![text(format!("{offset}-1700")), Value::Array(fields)])
        };
        let answer = |offsets: &[u64]| {
            let text = |text: &str| Value::BulkString(text.into());
            let entries = Value::Array(offsets.iter().copied().map(entry).collect());
            Value::Array(vec![text("x"), text("9"), text(""), text("3"), entries])
        };
        for (range, offsets, wanted, more) in [
            (Range::After { offset: 3, limit: 2 }, vec![4, 5, 6], vec![4, 5], true),
            (Range::After { offset: 3, limit: 3 }, vec![4, 5, 6], vec![4, 5, 6], false),
            (Range::Before { offset: None, limit: 2 }, vec![9, 8, 7], vec![8, 9], true),
            (Range::Before { offset: Some(7), limit: 9 }, vec![6, 5], vec![5, 6], false),
        ] {
            let past = past(&"a".into(), range, &answer(&offsets)).expect("ours");
            let places = past.page.events.iter().map(|event| event.place.clone());
            let wanted: Vec<_> = wanted.into_iter().map(|offset| Some(place(&"x".into(), offset))).collect();
            assert_eq!((places.collect::<Vec<_>>(), past.page.more), (wanted, more), "{range:?}");
            assert_eq!((past.page.end.offset, past.page.floor, past.last), (9, 3, None));
        }
        past(&"a".into(), Range::After { offset: 0, limit: 1 }, &Value::Nil).expect_err("not ours");
    }
}
