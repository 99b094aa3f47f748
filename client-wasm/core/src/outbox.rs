//! Publishes that wait: for a connection, or for their acknowledgement.

use crate::{Options, effect::reason, list};
use tidings_protocol::MAX_IN_FLIGHT;

/// What the outbox needs to know about a frame.
pub trait Weight {
    /// Its size on the wire, in bytes. Asked only of a frame that has to wait.
    fn bytes(&self) -> usize;
}

#[derive(Debug)]
struct Entry<P> {
    /// The number of the request.
    number: u64,
    /// When it was published.
    since: u64,
    /// 0 until it has to wait.
    bytes: usize,
    /// It was sent on an earlier connection: nobody knows whether it was published.
    sent: bool,
    frame: P,
}

impl<P> Entry<P> {
    fn drop_into(self, reason: &'static str, dropped: &mut impl FnMut(P, &'static str)) {
        dropped(self.frame, if self.sent { reason::UNACKNOWLEDGED } else { reason });
    }
}

/// The queue in front of the socket. While frames flow it is emptied as fast as the gateway acknowledges and has no
/// bound. While they wait for a connection it holds so many frames and bytes as the options say, and the oldest makes
/// room; a frame that is larger than the whole outbox is dropped itself.
#[derive(Debug)]
pub(crate) struct Outbox<P> {
    /// In the order of publishing. What is in flight comes first.
    entries: Vec<Entry<P>>,
    in_flight: usize,
    /// How many were given up while they were in flight. The gateway counts on their answers being waited for.
    given_up: usize,
}

impl<P: Clone + Weight> Outbox<P> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), in_flight: 0, given_up: 0 }
    }

    /// Adds a frame that will be sent as soon as may be.
    pub(crate) fn push(&mut self, number: u64, now: u64, frame: P) {
        self.entries.push(Entry { number, since: now, bytes: 0, sent: false, frame });
    }

    /// The next frame to send, with its number, when it may be sent. Without acknowledgements it is done with when the
    /// next one is asked for.
    pub(crate) fn send(&mut self, acknowledged: bool) -> Option<(u64, P)> {
        if !acknowledged {
            self.reclaim(false);
        } else if self.in_flight + self.given_up >= MAX_IN_FLIGHT {
            return None;
        }
        let entry = self.entries.get(self.in_flight)?;
        self.in_flight += 1;
        Some((entry.number, entry.frame.clone()))
    }

    /// Puts the frame that could not be sent back to where it came from.
    pub(crate) fn put_back(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The frame with this number was answered.
    pub(crate) fn answered(&mut self, number: u64) -> Option<P> {
        let Some(index) = self.entries.iter().position(|entry| entry.number == number) else {
            self.given_up = self.given_up.saturating_sub(1);
            return None;
        };
        if index < self.in_flight { Some(self.take(index)?.frame) } else { None }
    }

    /// The connection is gone because of a frame that was too large: that was the largest one.
    pub(crate) fn give_up_largest(&mut self, dropped: &mut impl FnMut(P, &'static str)) {
        let (mut largest, mut most) = (0, 0);
        for (index, entry) in self.entries.iter().take(self.in_flight).enumerate() {
            let bytes = entry.frame.bytes();
            if bytes > most {
                (largest, most) = (index, bytes);
            }
        }
        if most > 0
            && let Some(entry) = self.take(largest)
        {
            dropped(entry.frame, reason::TOO_LARGE);
        }
    }

    /// The connection is gone, and what is in flight waits for another one, unless it needed no acknowledgement.
    pub(crate) fn reclaim(&mut self, acknowledged: bool) {
        if !acknowledged {
            while self.in_flight > 0 && self.take(0).is_some() {}
        }
        self.given_up = 0;
        for entry in self.entries.iter_mut().take(std::mem::take(&mut self.in_flight)) {
            entry.sent = true;
        }
    }

    fn take(&mut self, index: usize) -> Option<Entry<P>> {
        let mut entry = list::remove(&mut self.entries, index)?;
        if index < self.in_flight {
            self.in_flight -= 1;
            entry.sent = true;
        }
        Some(entry)
    }

    /// From here on every frame that is not in flight has to wait for a connection.
    pub(crate) fn hold(&mut self, options: &Options, dropped: &mut impl FnMut(P, &'static str)) {
        let Options { outbox_limit, outbox_max_bytes, .. } = *options;
        let (mut bytes, mut index) = (0, self.in_flight);
        while let Some(entry) = self.entries.get_mut(index) {
            if entry.bytes == 0 {
                entry.bytes = entry.frame.bytes();
            }
            if entry.bytes <= outbox_max_bytes {
                bytes += entry.bytes;
                index += 1;
            } else if let Some(entry) = self.take(index) {
                entry.drop_into(reason::OUTBOX_FULL, dropped);
            }
        }
        while (self.entries.len() - self.in_flight > outbox_limit || bytes > outbox_max_bytes)
            && let Some(entry) = self.take(self.in_flight)
        {
            bytes -= entry.bytes;
            entry.drop_into(reason::OUTBOX_FULL, dropped);
        }
    }

    /// When the oldest frame was published.
    pub(crate) fn oldest(&self) -> Option<u64> {
        Some(self.entries.first()?.since)
    }

    /// Gives up what was published at `limit` or before.
    pub(crate) fn give_up(
        &mut self,
        limit: u64,
        reason: &'static str,
        dropped: &mut impl FnMut(P, &'static str),
    ) {
        while self.oldest().is_some_and(|since| since <= limit) {
            self.given_up += usize::from(self.in_flight > 0);
            let Some(entry) = self.take(0) else { return };
            entry.drop_into(reason, dropped);
        }
    }

    /// Gives up what was sent on an earlier connection: this one does not know it.
    pub(crate) fn give_up_sent(&mut self, dropped: &mut impl FnMut(P, &'static str)) {
        while self.entries.first().is_some_and(|entry| entry.sent)
            && let Some(entry) = self.take(0)
        {
            entry.drop_into(reason::UNACKNOWLEDGED, dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Weight for (u32, usize) {
        fn bytes(&self) -> usize {
            self.1
        }
    }

    fn options(limit: usize, max_bytes: usize) -> Options {
        Options { outbox_limit: limit, outbox_max_bytes: max_bytes, ..Options::default() }
    }

    /// What is left in it, in order.
    fn rest(outbox: &mut Outbox<(u32, usize)>) -> Vec<u32> {
        std::iter::from_fn(|| outbox.send(false)).map(|(_, (number, _))| number).collect()
    }

    /// The numbers of the frames kept and dropped when frames of these sizes have to wait, one after the other.
    fn held(options: &Options, sizes: &[usize]) -> (Vec<u32>, Vec<u32>) {
        let (mut outbox, mut dropped) = (Outbox::new(), Vec::new());
        for (number, &size) in (1..).zip(sizes) {
            outbox.push(0, 0, (number, size));
            outbox.hold(options, &mut |(number, _), _| dropped.push(number));
        }
        (rest(&mut outbox), dropped)
    }

    #[test]
    fn the_oldest_makes_room() {
        for (limit, max_bytes, sizes, kept, dropped) in [
            (3, 100, &[1, 1, 1][..], &[1, 2, 3][..], &[][..]),
            (3, 100, &[1, 1, 1, 1], &[2, 3, 4], &[1]),
            (0, 100, &[1, 1], &[], &[1, 2]),
            (9, 10, &[4, 4, 4], &[2, 3], &[1]),
            (9, 10, &[4, 4, 10], &[3], &[1, 2]),
            (9, 10, &[4, 4, 2], &[1, 2, 3], &[]),
            (9, 10, &[4, 11, 4], &[1, 3], &[2]),
            (9, 0, &[1], &[], &[1]),
        ] {
            let result = held(&options(limit, max_bytes), sizes);
            assert_eq!(result, (kept.to_vec(), dropped.to_vec()), "{limit} {max_bytes} {sizes:?}");
        }
    }

    #[test]
    fn frames_that_flow_have_no_bound_until_they_have_to_wait() {
        let (mut outbox, options, mut dropped) = (Outbox::new(), options(2, 100), Vec::new());
        for number in 1..=5 {
            outbox.push(0, 0, (number, 1));
        }
        outbox.hold(&options, &mut |(number, _), _| dropped.push(number));
        assert_eq!(dropped, [1, 2, 3]);
        assert_eq!(rest(&mut outbox), [4, 5]);
    }

    #[test]
    fn a_frame_put_back_goes_first() {
        let mut outbox = Outbox::new();
        outbox.push(7, 0, (1, 1));
        outbox.push(8, 0, (2, 1));
        assert_eq!(outbox.send(true), Some((7, (1, 1))));
        outbox.put_back();
        assert_eq!(rest(&mut outbox), [1, 2]);
    }

    #[test]
    fn what_was_sent_and_not_answered_comes_before_what_was_not() {
        let (mut outbox, mut dropped) = (Outbox::new(), Vec::new());
        for number in 1..=4u64 {
            outbox.push(number, number, (number as u32, 1));
        }
        assert!((1..=3).all(|number| outbox.send(true).is_some_and(|(sent, _)| sent == number)));
        assert_eq!(outbox.answered(2), Some((2, 1)));
        assert_eq!(outbox.answered(2), None);
        outbox.reclaim(true);
        assert_eq!((outbox.oldest(), outbox.answered(1)), (Some(1), None));
        outbox.hold(&options(2, 9), &mut |(number, _), reason| dropped.push((number, reason)));
        assert_eq!(dropped, [(1, reason::UNACKNOWLEDGED)]);
        outbox.give_up_sent(&mut |(number, _), reason| dropped.push((number, reason)));
        assert_eq!(dropped[1..], [(3, reason::UNACKNOWLEDGED)]);
        assert_eq!(rest(&mut outbox), [4]);
    }

    #[test]
    fn so_many_are_in_flight_and_no_more() {
        let mut outbox = Outbox::new();
        for number in 0..300 {
            outbox.push(number, 0, (0, 1));
        }
        assert_eq!(std::iter::from_fn(|| outbox.send(true)).count(), MAX_IN_FLIGHT);
        assert!(outbox.answered(200).is_some());
        assert_eq!(outbox.send(true).map(|(number, _)| number), Some(256));
        assert_eq!(outbox.send(true), None);
    }

    #[test]
    fn what_is_given_up_in_flight_is_waited_for_all_the_same() {
        let mut outbox = Outbox::new();
        for number in 0..600 {
            outbox.push(number, number, (0, 1));
        }
        assert_eq!(std::iter::from_fn(|| outbox.send(true)).count(), MAX_IN_FLIGHT);
        outbox.give_up(99, reason::EXPIRED, &mut |_, _| {});
        assert_eq!(outbox.send(true), None);
        assert_eq!(outbox.answered(0), None);
        assert_eq!(outbox.send(true).map(|(number, _)| number), Some(256));
        assert_eq!(outbox.send(true), None);
        outbox.reclaim(true);
        assert_eq!(
            std::iter::from_fn(|| outbox.send(true)).count(),
            MAX_IN_FLIGHT,
            "a new connection owes nothing"
        );
        outbox.give_up(700, reason::EXPIRED, &mut |_, _| {});
        assert_eq!(std::iter::from_fn(|| outbox.send(true)).count(), 0, "there is none");
    }

    #[test]
    fn what_is_too_old_is_given_up() {
        let (mut outbox, mut dropped) = (Outbox::new(), Vec::new());
        for number in 1..=4u64 {
            outbox.push(number, number * 10, (number as u32, 1));
        }
        outbox.send(true);
        outbox.give_up(9, reason::EXPIRED, &mut |_, _| panic!("none is as old"));
        outbox.give_up(20, reason::EXPIRED, &mut |(number, _), reason| dropped.push((number, reason)));
        assert_eq!(dropped, [(1, reason::UNACKNOWLEDGED), (2, reason::EXPIRED)]);
        assert_eq!(outbox.oldest(), Some(30));
        assert_eq!(rest(&mut outbox), [3, 4]);
    }

    proptest! {
        #[test]
        fn the_bounds_hold_and_the_order_stays(
            limit in 0usize..6, max_bytes in 0usize..50, sizes in prop::collection::vec(0usize..30, 0..30),
        ) {
            let (kept, dropped) = held(&options(limit, max_bytes), &sizes);
            let size = |number: &u32| sizes[*number as usize - 1];
            prop_assert!(kept.len() <= limit);
            prop_assert!(kept.iter().map(size).sum::<usize>() <= max_bytes);
            prop_assert!(kept.is_sorted());
            prop_assert_eq!(kept.len() + dropped.len(), sizes.len());
        }
    }
}
