//! The end of a channel's stream as this gateway has seen it, and how a client that was away joins it again.
//!
//! Nothing here does I/O. Live events go in one after the other; a client that comes back is answered from the frames
//! that are kept, or history is read, from before what is kept up to it. Frames are kept from the moment on at which
//! somebody needs the past, so that what happens while history is read is there when it has been.

use crate::{Page, Place, Position};
use bytes::Bytes;
use std::{collections::VecDeque, time::Duration};
use tidings_protocol::Why;
use tokio::time::Instant;

/// How long frames are kept after somebody needed them, and twice as long at most: while a crowd comes back, the past is
/// read once.
pub const LINGER: Duration = Duration::from_secs(30);

/// The end of one channel's stream.
#[derive(Debug)]
pub struct Tail {
    /// The last event that went by, or where the subscription began.
    position: Option<Position>,
    /// The end of the stream as history told it, which may be ahead of what went by.
    known: u64,
    kept: Option<Kept>,
    /// At most so many bytes of frames are kept, and replayed to one client.
    limit: usize,
}

/// Frames without a gap between them.
#[derive(Debug)]
struct Kept {
    /// The offset of the event before the first one.
    after: u64,
    frames: VecDeque<(u64, Bytes)>,
    bytes: usize,
    /// The first place that somebody came from since then.
    needed: Option<u64>,
    since: Instant,
}

impl Kept {
    fn push(&mut self, offset: u64, frame: Bytes, limit: usize) {
        self.bytes += frame.len();
        self.frames.push_back((offset, frame));
        while self.bytes > limit && !self.frames.is_empty() {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((offset, frame)) = self.frames.pop_front() {
            self.bytes -= frame.len();
            self.after = offset;
        }
    }

    fn need(&mut self, from: u64) {
        self.needed = Some(self.needed.map_or(from, |needed| needed.min(from)));
    }

    /// Drops what nobody needed for [`LINGER`]; how long the rest stays.
    fn expire(&mut self) -> Option<Duration> {
        let left = LINGER.saturating_sub(self.since.elapsed());
        if left > Duration::ZERO {
            return Some(left);
        }
        let needed = self.needed.take()?;
        self.since = Instant::now();
        while self.frames.front().is_some_and(|(offset, _)| *offset <= needed) {
            self.drop_first();
        }
        self.frames.shrink_to(2 * self.frames.len());
        Some(LINGER)
    }
}

/// What to do with a live event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the next one.
    Next,
    /// It went by before.
    Repeated,
    /// Something is missing before it: clients are to be told of a gap, and then it is the next one.
    Gap,
}

/// How a client goes on that was away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It has to get these frames, which may be none, and is then where the others are.
    Frames(Vec<Bytes>),
    /// History has to be read: [`Tail::begin`].
    Unknown,
    /// It cannot get what it missed.
    Lost(Why),
}

impl Tail {
    /// A stream of which nothing is known. At most `limit` bytes of frames are kept.
    pub const fn new(limit: usize) -> Self {
        Self { position: None, known: 0, kept: None, limit }
    }

    /// The last event that went by, or where the subscription began.
    pub const fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// The subscription begins at `position`. Events may have come before this is known.
    pub fn start(&mut self, position: Option<&Position>) {
        if self.position.is_none() {
            self.position = position.cloned();
        }
    }

    /// Whether frames are kept, so that a live event has to become one.
    pub const fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    /// An event goes by. `frame` is called when it is the next one and frames are kept.
    pub fn live(&mut self, place: &Place, frame: impl FnOnce() -> Bytes) -> Verdict {
        let Place { position, previous } = place;
        let verdict = match &self.position {
            None => Verdict::Next,
            Some(last) if last.epoch != position.epoch => Verdict::Gap,
            Some(last) if position.offset <= last.offset => return Verdict::Repeated,
            Some(last) if *previous > last.offset => Verdict::Gap,
            Some(_) => Verdict::Next,
        };
        if verdict == Verdict::Gap {
            self.gap(Position { epoch: position.epoch.clone(), offset: *previous });
        }
        if let Some(kept) = &mut self.kept {
            kept.push(position.offset, frame(), self.limit);
        }
        match &mut self.position {
            Some(last) if last.epoch == position.epoch => last.offset = position.offset,
            last => *last = Some(position.clone()),
        }
        verdict
    }

    /// Keeps no frames any longer that nobody needed for [`LINGER`]; when to look again, unless there are none.
    pub fn expire(&mut self) -> Option<Duration> {
        let again = self.kept.as_mut().and_then(Kept::expire);
        if again.is_none() {
            self.kept = None;
        }
        again
    }

    /// Continuity is lost; the stream goes on after `position`.
    pub fn gap(&mut self, position: Position) {
        self.position = Some(position);
        self.known = 0;
        self.kept = None;
    }

    /// How a client goes on that has everything up to `from`, when those that are live have everything up to `live`.
    pub fn replay(&mut self, from: &Position, live: &Position) -> Replay {
        let Some(position) = &self.position else { return Replay::Lost(Why::Unavailable) };
        if from.epoch != position.epoch || live.epoch != position.epoch {
            return Replay::Lost(Why::Epoch);
        }
        let live = live.offset;
        if from.offset == live || (from.offset > live && from.offset <= position.offset.max(self.known)) {
            return Replay::Frames(Vec::new());
        }
        let Some(kept) = self.kept.as_mut().filter(|kept| kept.after <= from.offset && from.offset < live)
        else {
            return Replay::Unknown;
        };
        kept.need(from.offset);
        let first = kept.frames.partition_point(|(offset, _)| *offset <= from.offset);
        let last = kept.frames.partition_point(|(offset, _)| *offset <= live);
        Replay::Frames(kept.frames.range(first..last).map(|(_, frame)| frame.clone()).collect())
    }

    /// Somebody needs what comes after `from`: from here on frames are kept. Whether history has to be read.
    pub fn begin(&mut self, from: &Position) -> bool {
        let Some(position) = &self.position else { return false };
        let after = position.offset;
        let kept = self.kept.get_or_insert_with(|| Kept {
            after,
            frames: VecDeque::new(),
            bytes: 0,
            needed: None,
            since: Instant::now(),
        });
        // Who comes from before what is kept may have come too late, and gets nothing then.
        kept.need(if kept.after <= from.offset { from.offset } else { after });
        kept.after > from.offset || from.offset > position.offset.max(self.known)
    }

    /// History was read after `from`, from after [`begin`](Self::begin) on: it goes in front of what is kept.
    ///
    /// # Errors
    /// Why a client that is at `from` cannot get what it missed.
    pub fn fill(
        &mut self,
        from: &Position,
        page: &Page,
        mut frame: impl FnMut(&crate::Delivery) -> Bytes,
    ) -> Result<(), Why> {
        let (Some(kept), Some(position)) = (&mut self.kept, &self.position) else {
            return Err(Why::Unavailable);
        };
        if page.end.epoch != position.epoch || page.end.epoch != from.epoch || from.offset > page.end.offset {
            return Err(Why::Epoch);
        }
        self.known = self.known.max(page.end.offset);
        if page.floor > from.offset {
            return Err(Why::Expired);
        }
        if kept.after <= from.offset {
            return Ok(());
        }
        let mut frames = VecDeque::with_capacity(page.events.len());
        let (mut bytes, mut reached) = (0, from.offset);
        for event in &page.events {
            let Some(Place { position, previous }) = &event.place else { return Err(Why::Unavailable) };
            if position.offset > kept.after {
                break;
            }
            if *previous > reached || position.offset <= reached {
                return Err(Why::Unavailable);
            }
            reached = position.offset;
            let frame = frame(event);
            bytes += frame.len();
            frames.push_back((reached, frame));
        }
        if reached < kept.after {
            let too_much = page.more || page.end.offset < kept.after;
            return Err(if too_much { Why::Limit } else { Why::Unavailable });
        }
        if kept.bytes + bytes > self.limit {
            return Err(Why::Limit);
        }
        frames.append(&mut kept.frames);
        kept.frames = frames;
        kept.bytes += bytes;
        kept.after = from.offset;
        kept.need(from.offset);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Delivery, Event};
    use serde_json::json;
    use ulid::Ulid;

    fn at(epoch: &str, offset: u64) -> Position {
        Position { epoch: epoch.into(), offset }
    }

    fn place(offset: u64) -> Place {
        Place { position: at("e", offset), previous: offset - 1 }
    }

    fn frame(offset: u64) -> Bytes {
        offset.to_string().into()
    }

    fn delivery(offset: u64, previous: u64) -> Delivery {
        Delivery {
            channel: "a".into(),
            event: Event::new("e", json!(null)),
            id: Ulid::nil(),
            place: Some(Place { position: at("e", offset), previous }),
        }
    }

    fn page(offsets: &[u64], end: u64, floor: u64) -> Page {
        let events = offsets.iter().map(|&offset| delivery(offset, offset - 1)).collect();
        Page { end: at("e", end), floor, events, more: false }
    }

    fn encode(delivery: &Delivery) -> Bytes {
        frame(delivery.place.as_ref().expect("a place").position.offset)
    }

    /// A tail whose subscription began at `start` and that has seen the events up to `end`.
    fn seen(start: u64, end: u64) -> Tail {
        let mut tail = Tail::new(100);
        tail.start(Some(&at("e", start)));
        go_on(&mut tail, start + 1, end);
        tail
    }

    fn go_on(tail: &mut Tail, from: u64, to: u64) {
        for offset in from..=to {
            assert_eq!(tail.live(&place(offset), || frame(offset)), Verdict::Next);
        }
    }

    fn frames(offsets: impl IntoIterator<Item = u64>) -> Replay {
        Replay::Frames(offsets.into_iter().map(frame).collect())
    }

    #[test]
    fn nothing_is_kept_until_somebody_needs_it() {
        let mut tail = seen(3, 7);
        assert!(!tail.keeps());
        assert_eq!(tail.replay(&at("e", 7), &at("e", 7)), frames([]));
        assert_eq!(tail.replay(&at("e", 5), &at("e", 7)), Replay::Unknown);
        assert!(tail.begin(&at("e", 5)) && tail.keeps());
    }

    #[test]
    fn what_happens_while_history_is_read_follows_it() {
        let mut tail = seen(3, 7);
        assert!(tail.begin(&at("e", 5)));
        go_on(&mut tail, 8, 9);
        // The page was read when event 8 was there.
        tail.fill(&at("e", 5), &page(&[6, 7, 8], 8, 0), encode).expect("a chain");
        assert_eq!(tail.replay(&at("e", 5), &at("e", 9)), frames(6..=9));
        assert_eq!(tail.replay(&at("e", 6), &at("e", 8)), frames(7..=8), "up to where the live ones are");
        assert!(!tail.begin(&at("e", 6)), "known by now");
        assert_eq!(tail.replay(&at("e", 4), &at("e", 9)), Replay::Unknown);
    }

    #[test]
    fn a_page_with_a_hole_is_not_replayed() {
        for (events, end, floor, why) in [
            (vec![(6, 5), (8, 7)], 8, 0, Why::Unavailable),
            (vec![(7, 6), (8, 7)], 8, 0, Why::Unavailable),
            (vec![(6, 5)], 6, 0, Why::Limit),
            (vec![(6, 5), (7, 6)], 8, 0, Why::Unavailable),
            (vec![(6, 5), (6, 5), (8, 6)], 8, 0, Why::Unavailable),
            (vec![(7, 6), (8, 7)], 8, 6, Why::Expired),
            (vec![], 4, 0, Why::Epoch),
        ] {
            let mut tail = seen(3, 8);
            assert!(tail.begin(&at("e", 5)));
            let events = events.iter().map(|&(offset, previous)| delivery(offset, previous)).collect();
            let page = Page { end: at("e", end), floor, events, more: false };
            assert_eq!(tail.fill(&at("e", 5), &page, encode), Err(why), "{page:?}");
            assert_eq!(tail.replay(&at("e", 5), &at("e", 8)), Replay::Unknown);
        }
    }

    #[test]
    fn offsets_may_grow_by_any_step() {
        let mut tail = Tail::new(100);
        tail.start(Some(&at("e", 10)));
        assert!(tail.begin(&at("e", 2)));
        let far = Place { position: at("e", 25), previous: 10 };
        assert_eq!(tail.live(&far, || frame(25)), Verdict::Next);
        let events = vec![delivery(5, 2), delivery(10, 5)];
        let page = Page { end: at("e", 10), floor: 0, events, more: false };
        tail.fill(&at("e", 2), &page, encode).expect("a chain");
        assert_eq!(tail.replay(&at("e", 2), &at("e", 25)), frames([5, 10, 25]));
        assert_eq!(tail.replay(&at("e", 5), &at("e", 25)), frames([10, 25]));
    }

    #[test]
    fn no_more_is_kept_than_the_limit() {
        let mut tail = seen(0, 1);
        assert!(tail.begin(&at("e", 0)));
        go_on(&mut tail, 2, 99);
        assert_eq!(tail.replay(&at("e", 0), &at("e", 99)), Replay::Unknown);
        assert_eq!(tail.fill(&at("e", 0), &page(&[1, 2, 3], 3, 0), encode), Err(Why::Limit));
        assert_eq!(tail.replay(&at("e", 95), &at("e", 99)), frames(96..=99));
    }

    #[test]
    fn repeated_and_missing_events_are_told_apart() {
        let mut tail = seen(3, 7);
        assert_eq!(tail.live(&place(7), || frame(7)), Verdict::Repeated);
        assert_eq!(tail.live(&place(4), || frame(4)), Verdict::Repeated);
        tail.begin(&at("e", 7));
        assert_eq!(tail.live(&place(9), || frame(9)), Verdict::Gap);
        assert_eq!(tail.position(), Some(&at("e", 9)));
        assert!(!tail.keeps(), "what is kept has no gap");
        let other = Place { position: at("f", 1), previous: 0 };
        assert_eq!(tail.live(&other, || frame(1)), Verdict::Gap);
        assert_eq!(tail.replay(&at("e", 9), &at("f", 1)), Replay::Lost(Why::Epoch));
    }

    #[test]
    fn a_client_may_be_ahead_of_this_gateway_but_not_of_history() {
        let mut tail = seen(3, 7);
        assert_eq!(tail.replay(&at("e", 9), &at("e", 7)), Replay::Unknown);
        assert!(tail.begin(&at("e", 9)));
        assert_eq!(tail.fill(&at("e", 9), &page(&[], 8, 0), encode), Err(Why::Epoch));
        tail.fill(&at("e", 9), &page(&[], 10, 0), encode).expect("history knows it");
        assert_eq!(tail.replay(&at("e", 9), &at("e", 7)), frames([]));
        assert_eq!(tail.replay(&at("e", 11), &at("e", 7)), Replay::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_needs_any_longer_is_not_kept() {
        let mut tail = seen(3, 7);
        assert_eq!(tail.expire(), None);
        tail.begin(&at("e", 7));
        tokio::time::advance(LINGER / 2).await;
        assert_eq!(tail.expire(), Some(LINGER / 2));
        go_on(&mut tail, 8, 9);
        assert_eq!(tail.replay(&at("e", 8), &at("e", 9)), frames([9]));
        tokio::time::advance(LINGER / 2).await;
        assert_eq!(tail.expire(), Some(LINGER), "it was needed half of that ago");
        assert_eq!(tail.replay(&at("e", 7), &at("e", 9)), frames([8, 9]));
        tokio::time::advance(LINGER).await;
        assert_eq!(tail.expire(), Some(LINGER));
        tokio::time::advance(LINGER).await;
        assert_eq!((tail.expire(), tail.keeps()), (None, false));
    }

    #[tokio::test(start_paused = true)]
    async fn where_somebody_always_comes_back_only_what_is_needed_is_kept() {
        let mut tail = Tail::new(100_000);
        tail.start(Some(&at("e", 1_000)));
        assert!(tail.begin(&at("e", 999)));
        tail.fill(&at("e", 999), &page(&[1_000], 1_000, 0), encode).expect("a chain");
        let mut most = 0;
        for offset in 1_001..2_000 {
            go_on(&mut tail, offset, offset);
            tokio::time::advance(Duration::from_secs(1)).await;
            // Everybody is away for two events.
            let from = offset - 2;
            assert_eq!(tail.replay(&at("e", from), &at("e", offset)), frames(from + 1..=offset));
            tail.expire();
            most = most.max(tail.kept.as_ref().expect("needed").frames.len());
        }
        assert!((30..=2 * 30 + 2).contains(&most), "{most}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_from_too_far_back_keeps_nothing() {
        let mut tail = seen(3, 7);
        for offset in 8..20 {
            assert!(tail.begin(&at("e", 1)));
            go_on(&mut tail, offset, offset);
            let expired = Page { end: at("e", offset), floor: 5, events: Vec::new(), more: true };
            assert_eq!(tail.fill(&at("e", 1), &expired, encode), Err(Why::Expired));
            tokio::time::advance(LINGER).await;
            assert_eq!(tail.expire(), Some(LINGER));
            assert_eq!(tail.kept.as_ref().expect("for who else comes").frames.len(), 1);
        }
    }

    #[test]
    fn a_gap_ends_what_is_being_read() {
        let mut tail = seen(3, 7);
        assert!(tail.begin(&at("e", 5)));
        tail.gap(at("e", 9));
        assert_eq!(tail.fill(&at("e", 5), &page(&[6, 7], 7, 0), encode), Err(Why::Unavailable));
    }
}
