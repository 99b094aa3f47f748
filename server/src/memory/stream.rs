//! One channel: its subscribers, its past and its idempotency keys.

use super::keys::Keys;
use crate::{Delivery, Event, History, Notice, Page, Place, Position, Published, Range, RawJson, Sink};
use slab::Slab;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;
use ulid::Ulid;

/// How long the position of a channel is remembered that has neither events nor subscribers. A guess: as long as a
/// laptop sleeps between two meetings.
const POSITION_AGE: Duration = Duration::from_secs(3600);

pub(super) struct Stream {
    channel: Arc<str>,
    history: History,
    epoch: Arc<str>,
    /// The offset of the last event.
    top: u64,
    /// The name of the last event: most events of a channel have the same few.
    name: Arc<str>,
    /// The latest events, one offset after the other up to `top`.
    events: VecDeque<Kept>,
    /// When the first of them came. Beside what every publish looks at, as the events themselves are not.
    oldest_at: Instant,
    bytes: usize,
    keys: Keys,
    pub(super) sinks: Slab<Sink>,
    used_at: Instant,
}

/// An event of the past. What all events of a channel share is not kept with each.
struct Kept {
    at: Instant,
    id: Ulid,
    name: Arc<str>,
    data: RawJson,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.name.len() + self.data.as_str().len()
    }
}

impl Stream {
    pub(super) fn new(channel: Arc<str>, history: History, now: Instant) -> Self {
        Self {
            channel,
            history,
            // Fifty random bits.
            epoch: Ulid::generate().to_string()[16..].to_ascii_lowercase().into(),
            top: 0,
            name: Arc::default(),
            events: VecDeque::new(),
            oldest_at: now,
            bytes: 0,
            keys: Keys::default(),
            sinks: Slab::new(),
            used_at: now,
        }
    }

    pub(super) fn position(&self) -> Option<Position> {
        (!self.history.is_off()).then(|| self.end())
    }

    fn end(&self) -> Position {
        Position { epoch: self.epoch.clone(), offset: self.top }
    }

    /// Every event above this offset is kept.
    fn floor(&self) -> u64 {
        self.top - self.events.len() as u64
    }

    pub(super) fn publish(&mut self, mut event: Event, id: Ulid, now: Instant) -> Published {
        self.used_at = now;
        let key = event.key.take();
        if let Some(first) = key.as_ref().and_then(|key| self.keys.get(key, now)) {
            return first.clone();
        }
        let previous = self.top;
        self.top += 1;
        if self.name == event.name {
            event.name = self.name.clone();
        } else {
            self.name = event.name.clone();
        }
        let position = self.position();
        let published = Published::new(id, position.clone());
        if let Some(key) = key {
            self.keys.insert(key, published.clone(), now);
        }
        let place = position.map(|position| Place { position, previous });
        let notice = Notice::Event(Delivery { channel: self.channel.clone(), event, id, place });
        for (_, sink) in &self.sinks {
            sink(&notice);
        }
        if let (Notice::Event(Delivery { event, .. }), false) = (notice, self.history.is_off()) {
            let kept = Kept { at: now, id, name: event.name, data: event.data };
            self.bytes += kept.bytes();
            if self.events.is_empty() {
                self.oldest_at = now;
            }
            self.events.push_back(kept);
            self.trim(now);
        }
        published
    }

    pub(super) fn unsubscribe(&mut self, key: usize, now: Instant) {
        self.sinks.try_remove(key);
        self.used_at = now;
    }

    /// Drops what is too much or too old.
    fn trim(&mut self, now: Instant) {
        let History { events, age, bytes } = self.history;
        while self.events.len() > events
            || self.bytes > bytes
            || (now.duration_since(self.oldest_at) >= age && !self.events.is_empty())
        {
            let Some(oldest) = self.events.pop_front() else { return };
            self.bytes -= oldest.bytes();
            if let Some(next) = self.events.front() {
                self.oldest_at = next.at;
            }
        }
    }

    pub(super) fn page(&mut self, range: Range, now: Instant) -> Page {
        self.used_at = now;
        self.trim(now);
        let (count, floor) = (self.events.len(), self.floor());
        let deliveries = |from, to| (from..to).map(|at| self.delivery(at)).collect();
        // How many of those that are kept are not above `offset`.
        let up_to = |offset: u64| usize::try_from(offset.saturating_sub(floor)).unwrap_or(count).min(count);
        let (events, more) = match range {
            Range::After { offset, limit } => {
                let from = up_to(offset);
                let to = count.min(from.saturating_add(limit));
                (deliveries(from, to), to < count)
            }
            Range::Before { offset, limit } => {
                let to = offset.map_or(count, |before| up_to(before.saturating_sub(1)));
                let from = to.saturating_sub(limit);
                (deliveries(from, to), from > 0)
            }
        };
        Page { end: self.end(), floor, events, more }
    }

    fn delivery(&self, at: usize) -> Delivery {
        let Kept { id, name, data, .. } = &self.events[at];
        let previous = self.floor() + at as u64;
        let position = Position { epoch: self.epoch.clone(), offset: previous + 1 };
        Delivery {
            channel: self.channel.clone(),
            event: Event::new(name.clone(), data.clone()),
            id: *id,
            place: Some(Place { position, previous }),
        }
    }

    /// Since when it is remembered for its position alone, as it was last found.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.sinks.is_empty() && self.events.is_empty() && self.keys.is_forgotten();
        idle.then_some(self.used_at)
    }

    /// Whether forgetting the stream would be noticed.
    pub(super) fn is_needed(&mut self, now: Instant) -> bool {
        self.trim(now);
        let remembered = !self.history.is_off() && now.duration_since(self.used_at) < POSITION_AGE;
        !self.sinks.is_empty() || remembered || !self.events.is_empty() || !self.keys.is_empty(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECOND: Duration = Duration::from_secs(1);

    fn stream(history: History) -> (Stream, Instant) {
        let now = Instant::now();
        (Stream::new("a".into(), history, now), now)
    }

    fn publish(stream: &mut Stream, now: Instant) -> Option<u64> {
        let event = Event::new("e", json!("12345678"));
        stream.publish(event, Ulid::nil(), now).position.map(|position| position.offset)
    }

    fn offsets(page: &Page) -> Vec<u64> {
        page.events
            .iter()
            .map(|event| event.place.as_ref().map_or(0, |place| place.position.offset))
            .collect()
    }

    #[test]
    fn the_oldest_go_by_number_age_and_size() {
        for (history, kept, floor) in [
            (History { events: 3, ..History::default() }, vec![3, 4, 5], 2),
            (History { age: 3 * SECOND, ..History::default() }, vec![3, 4, 5], 2),
            (History { bytes: 25, ..History::default() }, vec![4, 5], 3),
            (History::default(), vec![1, 2, 3, 4, 5], 0),
        ] {
            let (mut stream, start) = stream(history);
            for n in 0..5 {
                assert_eq!(publish(&mut stream, start + n * SECOND), Some(u64::from(n) + 1));
            }
            let page = stream.page(Range::After { offset: 0, limit: 10 }, start + 4 * SECOND);
            assert_eq!((offsets(&page), page.floor, page.end.offset), (kept, floor, 5), "{history:?}");
            assert_eq!(stream.bytes, 11 * page.events.len());
        }
    }

    #[test]
    fn pages_say_whether_there_is_more() {
        let (mut stream, now) = stream(History::default());
        for offset in 1..=5 {
            assert_eq!(publish(&mut stream, now), Some(offset));
        }
        for (range, kept, more) in [
            (Range::After { offset: 2, limit: 3 }, vec![3, 4, 5], false),
            (Range::After { offset: 2, limit: 2 }, vec![3, 4], true),
            (Range::After { offset: 9, limit: 2 }, vec![], false),
            (Range::Before { offset: None, limit: 2 }, vec![4, 5], true),
            (Range::Before { offset: Some(3), limit: 2 }, vec![1, 2], false),
            (Range::Before { offset: Some(u64::MAX), limit: usize::MAX }, vec![1, 2, 3, 4, 5], false),
            (Range::After { offset: 0, limit: usize::MAX }, vec![1, 2, 3, 4, 5], false),
        ] {
            let page = stream.page(range, now);
            assert_eq!((offsets(&page), page.more), (kept, more), "{range:?}");
        }
    }

    #[test]
    fn a_position_is_remembered_for_an_hour() {
        let (mut stream, start) = stream(History { age: SECOND, ..History::default() });
        assert_eq!(publish(&mut stream, start), Some(1));
        assert!(stream.is_needed(start + POSITION_AGE - SECOND));
        assert!(stream.events.is_empty(), "the event is long gone");
        assert!(!stream.is_needed(start + POSITION_AGE));
        let sink: Sink = Arc::new(|_| {});
        let key = stream.sinks.insert(sink);
        assert!(stream.is_needed(start + 2 * POSITION_AGE));
        stream.unsubscribe(key, start + 2 * POSITION_AGE);
        assert!(stream.is_needed(start + 3 * POSITION_AGE - SECOND));
        assert!(!stream.is_needed(start + 3 * POSITION_AGE));
    }

    #[test]
    fn without_history_only_keys_are_remembered() {
        let (mut stream, start) = stream(History::OFF);
        assert_eq!(publish(&mut stream, start), None);
        assert!(!stream.is_needed(start));
        let first = stream.publish(Event::new("e", json!(1)).with_key("k"), Ulid::generate(), start);
        let again = stream.publish(Event::new("e", json!(1)).with_key("k"), Ulid::generate(), start);
        assert_eq!(first, again);
        assert!(stream.is_needed(start + 299 * SECOND));
        assert!(!stream.is_needed(start + 300 * SECOND));
    }

    #[test]
    fn epochs_differ() {
        assert_ne!(stream(History::default()).0.epoch, stream(History::default()).0.epoch);
    }
}
