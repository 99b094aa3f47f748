//! Where a subscriber stands in a channel's stream of events.

use tidings_protocol::{Position, Recovery, Why};

/// Whether the events up to the position are all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Continuity {
    Whole,
    /// A hole was seen: the gateway is to be asked for what is missing.
    Torn,
    /// It was asked. Events are ignored until it has answered.
    Resuming,
    /// It has answered, and nothing has followed on since: another hole is a gap.
    Mended,
}

/// What to do with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Deliver,
    /// Tell a gap, then deliver.
    Gap,
    Drop,
    /// Drop it, and resume.
    Tear,
}

/// A position and how it came about.
#[derive(Debug)]
pub(crate) struct Stream<T> {
    pub(crate) position: Position<T>,
    /// The offset at which live began.
    pub(crate) attach: u64,
    pub(crate) continuity: Continuity,
}

impl<T: From<&'static str>> Stream<T> {
    pub(crate) const fn new(position: Position<T>) -> Self {
        Self { attach: position.offset, position, continuity: Continuity::Whole }
    }

    /// Someone subscribes anew to what is live: what came before is none of theirs. `None` while it is not known where
    /// that is.
    pub(crate) fn begin(mut self) -> Option<Self> {
        self.attach = self.position.offset;
        matches!(self.continuity, Continuity::Whole | Continuity::Mended).then_some(self)
    }

    /// An event at `offset` has come; the one before it is at `previous`.
    pub(crate) fn take(&mut self, offset: u64, previous: Option<u64>) -> Verdict {
        let last = self.position.offset;
        if offset <= last || matches!(self.continuity, Continuity::Torn | Continuity::Resuming) {
            return Verdict::Drop;
        }
        let previous = previous.unwrap_or(offset - 1);
        let verdict = if previous <= last {
            Verdict::Deliver
        } else if self.continuity == Continuity::Mended {
            self.attach = previous;
            Verdict::Gap
        } else {
            self.continuity = Continuity::Torn;
            return Verdict::Tear;
        };
        self.continuity = Continuity::Whole;
        self.position.offset = offset;
        verdict
    }

    /// An event at `offset` went by that was meant for others.
    pub(crate) fn pass(&mut self, offset: u64) {
        if matches!(self.continuity, Continuity::Whole | Continuity::Mended) {
            self.position.offset = self.position.offset.max(offset);
        }
    }
}

/// A subscription is live, after a resume when there was a position. Gives the reason when continuity is lost.
pub(crate) fn settle<T: From<&'static str>>(
    stream: &mut Option<Stream<T>>,
    position: Option<Position<T>>,
    recovery: Option<Recovery<T>>,
) -> Option<T> {
    let mut lost = None;
    if let Some(known) = stream {
        lost = match recovery {
            Some(Recovery::Recovered { count }) => {
                known.continuity = Continuity::Whole;
                if count == 0
                    && let Some(position) = position
                {
                    known.position = position;
                }
                return None;
            }
            Some(Recovery::Lost { why }) => Some(why),
            None => Some(Why::Unavailable.as_str().into()),
        };
    }
    *stream = position.map(Stream::new);
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(offset: u64, continuity: Continuity) -> Stream<String> {
        Stream { continuity, ..Stream::new(Position { epoch: "e".into(), offset }) }
    }

    #[test]
    fn verdicts() {
        use Continuity::{Mended, Resuming, Torn, Whole};
        for (continuity, offset, previous, verdict, after, last, attach) in [
            (Whole, 11, None, Verdict::Deliver, Whole, 11, 10),
            (Whole, 15, Some(10), Verdict::Deliver, Whole, 15, 10),
            (Whole, 15, Some(7), Verdict::Deliver, Whole, 15, 10),
            (Whole, 10, None, Verdict::Drop, Whole, 10, 10),
            (Whole, 0, None, Verdict::Drop, Whole, 10, 10),
            (Whole, 12, None, Verdict::Tear, Torn, 10, 10),
            (Whole, 15, Some(11), Verdict::Tear, Torn, 10, 10),
            (Torn, 11, None, Verdict::Drop, Torn, 10, 10),
            (Resuming, 11, None, Verdict::Drop, Resuming, 10, 10),
            (Mended, 11, None, Verdict::Deliver, Whole, 11, 10),
            (Mended, 10, None, Verdict::Drop, Mended, 10, 10),
            (Mended, 15, Some(13), Verdict::Gap, Whole, 15, 13),
        ] {
            let mut stream = stream(10, continuity);
            let case = (continuity, offset, previous);
            assert_eq!(stream.take(offset, previous), verdict, "{case:?}");
            assert_eq!(
                (stream.continuity, stream.position.offset, stream.attach),
                (after, last, attach),
                "{case:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_delivered_grows_and_follows_on(
            events in prop::collection::vec((0u64..40, prop::option::of(0u64..40)), 0..60),
        ) {
            let mut stream = stream(5, Continuity::Whole);
            for (offset, previous) in events {
                let before = stream.position.offset;
                match stream.take(offset, previous) {
                    Verdict::Deliver => {
                        prop_assert!(offset > before && previous.unwrap_or(offset.saturating_sub(1)) <= before);
                        prop_assert_eq!(stream.position.offset, offset);
                    }
                    Verdict::Gap => prop_assert!(offset > before && stream.position.offset == offset),
                    Verdict::Drop => prop_assert_eq!(stream.position.offset, before),
                    Verdict::Tear => {
                        prop_assert_eq!(stream.position.offset, before);
                        stream.continuity = Continuity::Mended;
                    }
                }
            }
        }
    }
}
