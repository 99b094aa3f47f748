//! Frames that wait for a connection.

use crate::Options;
use std::collections::VecDeque;

/// What the outbox needs to know about a frame.
pub trait Weight {
    /// Its size on the wire, in bytes. Asked only of a frame that has to wait.
    fn bytes(&self) -> usize;
}

/// The queue in front of the socket. While frames flow it is emptied at once and has no bound. While they wait it
/// holds so many frames and bytes as the options say, and the oldest makes room; a frame that is larger than the
/// whole outbox is dropped itself.
#[derive(Debug)]
pub(crate) struct Outbox<P> {
    /// Each with its size, which is 0 until it has to wait.
    frames: VecDeque<(usize, P)>,
    bytes: usize,
}

impl<P: Weight> Outbox<P> {
    pub(crate) const fn new() -> Self {
        Self { frames: VecDeque::new(), bytes: 0 }
    }

    /// Adds a frame that will be sent at once.
    pub(crate) fn push(&mut self, frame: P) {
        self.frames.push_back((0, frame));
    }

    /// Puts a frame that could not be sent back to where it came from.
    pub(crate) fn put_back(&mut self, frame: P) {
        self.frames.push_front((0, frame));
    }

    pub(crate) fn pop(&mut self) -> Option<P> {
        let (bytes, frame) = self.frames.pop_front()?;
        self.bytes -= bytes;
        Some(frame)
    }

    /// Adds a frame that has to wait.
    pub(crate) fn hold(&mut self, frame: P, options: &Options, dropped: &mut impl FnMut(P)) {
        let bytes = frame.bytes();
        if bytes > options.outbox_max_bytes {
            return dropped(frame);
        }
        self.frames.push_back((bytes, frame));
        self.bytes += bytes;
        while (self.frames.len() > options.outbox_limit || self.bytes > options.outbox_max_bytes)
            && let Some(frame) = self.pop()
        {
            dropped(frame);
        }
    }

    /// From here on every frame has to wait.
    pub(crate) fn hold_all(&mut self, options: &Options, mut dropped: impl FnMut(P)) {
        self.bytes = 0;
        for (_, frame) in std::mem::take(&mut self.frames) {
            self.hold(frame, options, &mut dropped);
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

    /// The numbers of the frames kept and dropped when frames of these sizes have to wait, one after the other.
    fn held(options: &Options, sizes: &[usize]) -> (Vec<u32>, Vec<u32>) {
        let (mut outbox, mut dropped) = (Outbox::new(), Vec::new());
        for (number, &size) in (1..).zip(sizes) {
            outbox.hold((number, size), options, &mut |(number, _)| dropped.push(number));
        }
        (std::iter::from_fn(|| outbox.pop()).map(|(number, _)| number).collect(), dropped)
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
            outbox.push((number, 1));
        }
        outbox.hold_all(&options, |(number, _)| dropped.push(number));
        assert_eq!(dropped, [1, 2, 3]);
        assert_eq!((outbox.pop(), outbox.pop(), outbox.pop()), (Some((4, 1)), Some((5, 1)), None));
        assert_eq!(outbox.bytes, 0);
    }

    #[test]
    fn a_frame_put_back_goes_first() {
        let mut outbox = Outbox::new();
        outbox.push((1, 1));
        outbox.push((2, 1));
        let first = outbox.pop().expect("a frame");
        outbox.put_back(first);
        assert_eq!((outbox.pop(), outbox.pop()), (Some((1, 1)), Some((2, 1))));
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
