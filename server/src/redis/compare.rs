//! Where a channel goes on after the link was lost; without I/O.

use super::message::Past;
use crate::{Delivery, Position};
use tidings_protocol::Why;
use ulid::Ulid;

/// How the sinks of a channel go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// They get these, which may be none.
    Events(Vec<Delivery>),
    /// They are told of a gap, and go on from the end.
    Gap(Why),
    /// Redis has forgotten what it had accepted: the epoch is over.
    Rollback,
}

/// The sinks have everything up to `from`, whose event has the id `last` when it is known. `past` was read from that event
/// on, which it begins with when it is still kept.
pub(super) fn next(from: &Position, last: Option<Ulid>, past: Past) -> Next {
    let Past { page, last: top } = past;
    let differs = |id: Option<Ulid>| last.is_some() && id.is_some() && id != last;
    if page.end.epoch != from.epoch {
        return Next::Gap(Why::Epoch);
    }
    if page.end.offset < from.offset || (page.end.offset == from.offset && differs(top)) {
        return Next::Rollback;
    }
    let offset = |event: &Delivery| event.place.as_ref().map_or(0, |place| place.position.offset);
    let own = page.events.iter().find(|event| offset(event) == from.offset);
    if differs(own.map(|event| event.id)) {
        return Next::Rollback;
    }
    // Where the own event is no longer kept, nobody can tell whether what follows follows it.
    if page.end.offset > from.offset && (page.floor > from.offset || (own.is_none() && last.is_some())) {
        return Next::Gap(Why::Expired);
    }
    let events: Vec<Delivery> = page.events.into_iter().filter(|event| offset(event) > from.offset).collect();
    let unbroken = events.iter().zip(from.offset + 1..).all(|(event, expected)| offset(event) == expected);
    let whole = page.more || from.offset + events.len() as u64 == page.end.offset;
    if unbroken && whole { Next::Events(events) } else { Next::Gap(Why::Unavailable) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Page, Place};
    use serde_json::json;

    fn at(epoch: &str, offset: u64) -> Position {
        Position { epoch: epoch.into(), offset }
    }

    fn id(n: u64) -> Ulid {
        Ulid::from(u128::from(n))
    }

    fn event(offset: u64, n: u64) -> Delivery {
        let place = Some(Place { position: at("x", offset), previous: offset - 1 });
        Delivery { channel: "a".into(), event: Event::new("e", json!(n)), id: id(n), place }
    }

    /// Of `(offset, id)`.
    fn past(events: &[(u64, u64)], end: u64, floor: u64, top: Option<u64>) -> Past {
        let events = events.iter().map(|&(offset, n)| event(offset, n)).collect();
        Past { page: Page { end: at("x", end), floor, events, more: false }, last: top.map(id) }
    }

    #[test]
    fn what_was_missed_follows() {
        let next = next(&at("x", 5), Some(id(5)), past(&[(5, 5), (6, 6), (7, 7)], 7, 2, Some(7)));
        assert_eq!(next, Next::Events(vec![event(6, 6), event(7, 7)]));
    }

    #[test]
    fn every_way_of_going_on() {
        let none = Next::Events(Vec::new());
        for (from, last, past, wanted) in [
            (at("x", 5), Some(5), past(&[(5, 5)], 5, 2, Some(5)), none),
            // All of it expired, and nothing new.
            (at("x", 5), Some(5), past(&[], 5, 5, Some(5)), Next::Events(Vec::new())),
            (at("x", 0), None, past(&[(1, 1)], 1, 0, Some(1)), Next::Events(vec![event(1, 1)])),
            (at("x", 5), None, past(&[(6, 6)], 6, 5, Some(6)), Next::Events(vec![event(6, 6)])),
            (at("y", 5), Some(5), past(&[(5, 5)], 5, 2, Some(5)), Next::Gap(Why::Epoch)),
            // Rolled back, and overtaken.
            (at("x", 9), Some(9), past(&[], 7, 2, Some(7)), Next::Rollback),
            (at("x", 7), Some(9), past(&[(7, 7)], 7, 2, Some(7)), Next::Rollback),
            (at("x", 7), Some(9), past(&[], 7, 7, Some(7)), Next::Rollback),
            (at("x", 7), Some(9), past(&[(7, 7), (8, 8)], 8, 2, Some(8)), Next::Rollback),
            (at("x", 5), Some(5), past(&[(8, 8)], 8, 7, Some(8)), Next::Gap(Why::Expired)),
            (at("x", 5), Some(5), past(&[(6, 6)], 6, 5, Some(6)), Next::Gap(Why::Expired)),
            // Somebody has meddled with the stream.
            (at("x", 5), Some(5), past(&[(5, 5), (7, 7)], 7, 2, Some(7)), Next::Gap(Why::Unavailable)),
            (at("x", 5), Some(5), past(&[(5, 5), (6, 6)], 7, 2, Some(7)), Next::Gap(Why::Unavailable)),
        ] {
            let shown = format!("{from:?} {past:?}");
            assert_eq!(next(&from, last.map(id), past), wanted, "{shown}");
        }
    }
}
