//! Reading a channel's past from the stream. JetStream finds the next event of a subject and not the one before, so what
//! lies before is read window by window.

use super::{
    link::Link,
    stream::{Info, StreamError},
};
use crate::{Delivery, Event, History, Page, Place, Position, Range, envelope};
use futures_util::future::{BoxFuture, try_join, try_join_all};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tracing::warn;
use ulid::Ulid;

/// A stretch of the stream is read in so many parts at once.
const PARTS: u64 = 8;

/// So many events are read one after the other before what is left of a stretch is read in parts as well: only then is it
/// known that it is full of them.
const RUN: u64 = 8;

/// An event of the stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) offset: u64,
    /// When it was stored, since 1970.
    at: Duration,
    event: Event,
    pub(super) id: Ulid,
}

/// The events of `subject` above `after`, up to `to`. What is no event is left out.
pub(super) fn read<'a>(
    link: &'a Link,
    subject: &'a str,
    after: u64,
    to: u64,
) -> BoxFuture<'a, Result<Vec<Entry>, StreamError>> {
    let length = to.saturating_sub(after);
    let parts = length.div_ceil(RUN).clamp(1, PARTS);
    let bound = move |part: u64| after + (u128::from(length) * u128::from(part) / u128::from(parts)) as u64;
    let parts = (0..parts).map(move |part| read_part(link, subject, bound(part), bound(part + 1)));
    Box::pin(async move { Ok(try_join_all(parts).await?.concat()) })
}

async fn read_part(link: &Link, subject: &str, after: u64, to: u64) -> Result<Vec<Entry>, StreamError> {
    let (mut entries, mut after, mut found) = (Vec::new(), after, 0);
    while after < to {
        if found == RUN {
            entries.append(&mut read(link, subject, after, to).await?);
            break;
        }
        let next = {
            // It is never closed.
            let _turn = link.reads.acquire().await;
            link.kept.next_of(subject, after + 1).await?
        };
        let Some(message) = next.filter(|message| message.sequence <= to) else { break };
        (after, found) = (message.sequence, found + 1);
        match envelope::decode_or(&message.payload, || link.event_id(after)) {
            Ok((event, id)) => {
                let at = message.time.unix_timestamp_nanos().try_into().unwrap_or_default();
                entries.push(Entry { offset: after, at: Duration::from_nanos(at), event, id });
            }
            Err(problem) => warn!(subject, sequence = after, problem, "left out of the history"),
        }
    }
    Ok(entries)
}

/// Every event of `subject` above this is kept.
pub(super) async fn floor(link: &Link, subject: &str) -> Result<u64, StreamError> {
    let info = link.kept.info_of(subject).await?;
    // What is too old goes in the order of the whole stream, so whatever is not below its first event is there.
    let floor = info.state.first_seq.saturating_sub(1);
    // What is too much goes from the subject that has the most it may have.
    if info.most().is_none_or(|most| info.count() < most) {
        return Ok(floor);
    }
    let first = link.kept.next_of(subject, 1).await?.map_or(0, |first| first.sequence - 1);
    Ok(floor.max(first))
}

/// A part of the past of `channel`, as far as `history` allows.
pub(super) async fn page(
    link: &Link,
    channel: &str,
    subject: &str,
    range: Range,
    history: History,
) -> Result<Page, StreamError> {
    let (info, last) = try_join(link.kept.info_of(subject), link.kept.last_of(subject)).await?;
    let end = last.map_or(info.state.last_seq, |last| last.sequence);
    let reader =
        Reader { link, subject, first: info.state.first_seq.saturating_sub(1), end, width: width(&info) };
    let mut kept_after = 0;
    if info.count() > history.events as u64 {
        let last = reader.before(u64::MAX, history.events).await?;
        if let Some(beyond) = last.len().checked_sub(history.events + 1) {
            kept_after = last[beyond].offset;
        }
    }
    let entries = match range {
        Range::After { offset, limit } => reader.after(offset.max(kept_after), limit).await?,
        Range::Before { offset, limit } => reader.before(offset.unwrap_or(u64::MAX), limit).await?,
    };
    // Asked for last: what went while the events were read counts as gone.
    let floor = floor(link, subject).await?.max(kept_after);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let end = Position { epoch: link.epoch.clone(), offset: end };
    Ok(assemble(channel, range, history, now, entries, floor, end))
}

/// Of how many events of the whole stream one is the channel's, about.
fn width(info: &Info) -> u64 {
    let all = (info.state.last_seq + 1).saturating_sub(info.state.first_seq);
    all.div_ceil(info.count().max(1)).max(1)
}

struct Reader<'a> {
    link: &'a Link,
    subject: &'a str,
    first: u64,
    end: u64,
    width: u64,
}

impl Reader<'_> {
    /// Where `limit` events should be.
    fn window(&self, limit: usize) -> u64 {
        self.width.saturating_mul(limit as u64 + 1)
    }

    /// More than `limit` events above `offset` when there are more.
    async fn after(&self, offset: u64, limit: usize) -> Result<Vec<Entry>, StreamError> {
        let (mut entries, mut at, mut window) = (Vec::new(), offset.max(self.first), self.window(limit));
        while at < self.end && entries.len() <= limit {
            let to = at.saturating_add(window).min(self.end);
            let mut found = read(self.link, self.subject, at, to).await?;
            if found.is_empty() {
                window = window.saturating_mul(2);
            }
            entries.append(&mut found);
            at = to;
        }
        Ok(entries)
    }

    /// More than `limit` events below `offset` when there are more.
    async fn before(&self, offset: u64, limit: usize) -> Result<Vec<Entry>, StreamError> {
        let (mut entries, mut at) = (Vec::new(), offset.saturating_sub(1).min(self.end));
        let mut window = self.window(limit);
        while at > self.first && entries.len() <= limit {
            let from = at.saturating_sub(window).max(self.first);
            let mut found = read(self.link, self.subject, from, at).await?;
            if found.is_empty() {
                window = window.saturating_mul(2);
            }
            found.append(&mut entries);
            entries = found;
            at = from;
        }
        Ok(entries)
    }
}

/// Applies the channel's limits and the range's to what was read.
fn assemble(
    channel: &str,
    range: Range,
    history: History,
    now: Duration,
    mut entries: Vec<Entry>,
    mut floor: u64,
    end: Position,
) -> Page {
    let mut bytes = 0;
    for entry in entries.iter().rev() {
        bytes += entry.event.name().len() + entry.event.data().as_str().len();
        if bytes > history.bytes || now.saturating_sub(entry.at) >= history.age {
            floor = floor.max(entry.offset);
            break;
        }
    }
    entries.retain(|entry| entry.offset > floor);
    let (mut previous, limit) = match range {
        Range::After { offset, limit } => (offset.max(floor), limit),
        Range::Before { limit, .. } => (floor, limit),
    };
    let beyond = entries.len().saturating_sub(limit);
    match range {
        Range::After { .. } => entries.truncate(limit),
        Range::Before { .. } => {
            if let Some(before) = entries.drain(..beyond).next_back() {
                previous = before.offset;
            }
        }
    }
    let channel: Arc<str> = channel.into();
    let events =
        entries.into_iter().map(|entry| deliver(&channel, &end.epoch, &mut previous, entry)).collect();
    Page { end, floor, events, more: beyond > 0 }
}

/// The event as subscribers get it, after the one at `previous`.
pub(super) fn deliver(channel: &Arc<str>, epoch: &Arc<str>, previous: &mut u64, entry: Entry) -> Delivery {
    let position = Position { epoch: epoch.clone(), offset: entry.offset };
    let place = Place { position, previous: std::mem::replace(previous, entry.offset) };
    Delivery { channel: channel.clone(), event: entry.event, id: entry.id, place: Some(place) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Events of eleven bytes at 10, 20, … 50, one a second.
    fn page(range: Range, history: History, floor: u64) -> (Vec<(u64, u64)>, u64, bool) {
        let event = Event::new("e", json!("12345678"));
        let entry = |n: u64| Entry {
            offset: n * 10,
            at: Duration::from_secs(n),
            event: event.clone(),
            id: Ulid::nil(),
        };
        let read = (1..=5).map(entry).filter(|entry| match range {
            Range::After { offset, .. } => entry.offset > offset,
            Range::Before { offset, .. } => offset.is_none_or(|offset| entry.offset < offset),
        });
        let end = Position { epoch: "e".into(), offset: 50 };
        let page = assemble("a", range, history, Duration::from_secs(5), read.collect(), floor, end);
        let place = |delivery: Delivery| delivery.place.map(|place| (place.previous, place.position.offset));
        (page.events.into_iter().filter_map(place).collect(), page.floor, page.more)
    }

    #[test]
    fn a_page_is_a_chain_within_its_limits() {
        let all = History::default();
        let after = |offset, limit| Range::After { offset, limit };
        let before = |offset, limit| Range::Before { offset, limit };
        assert_eq!(page(after(20, 2), all, 0), (vec![(20, 30), (30, 40)], 0, true));
        assert_eq!(page(after(30, 2), all, 0), (vec![(30, 40), (40, 50)], 0, false));
        assert_eq!(page(before(None, 2), all, 0), (vec![(30, 40), (40, 50)], 0, true));
        assert_eq!(page(before(Some(30), 9), all, 5), (vec![(5, 10), (10, 20)], 5, false));
        let young = History { age: Duration::from_secs(2), ..all };
        assert_eq!(page(after(0, 9), young, 0), (vec![(30, 40), (40, 50)], 30, false));
        let small = History { bytes: 25, ..all };
        assert_eq!(page(before(None, 9), small, 0), (vec![(30, 40), (40, 50)], 30, false));
    }
}
