//! Whether a subscriber gets every event of a channel, once and in order.

/// Where a subscriber is in a channel: by the server's positions, and by the numbers that the publisher has put into the
/// events, of which the server knows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) epoch: String,
    pub(crate) offset: u64,
    sequence: Option<u64>,
}

/// What an event is to its subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Next,
    Gap,
    Repeat,
}

impl Chain {
    /// A subscription that begins behind this position.
    pub(crate) fn new(epoch: &str, offset: u64) -> Self {
        Self { epoch: epoch.to_owned(), offset, sequence: None }
    }

    /// The publisher's number of the last event.
    pub(crate) fn last(&self) -> Option<u64> {
        self.sequence
    }

    /// The next event that came: its offset, the one before it on its channel, and its publisher's number.
    pub(crate) fn take(&mut self, offset: u64, previous: u64, sequence: u64) -> Verdict {
        let expected = self.sequence.map_or(sequence, |last| last + 1);
        let verdict = if offset <= self.offset || sequence < expected {
            Verdict::Repeat
        } else if previous != self.offset || sequence > expected {
            Verdict::Gap
        } else {
            Verdict::Next
        };
        self.offset = offset;
        self.sequence = Some(sequence);
        verdict
    }
}

/// Writes an event's data of about `size` bytes with its number.
pub(crate) fn data(sequence: u64, size: usize) -> String {
    format!(r#"{{"s":{sequence},"x":"{:x<size$}"}}"#, "")
}

/// The number of an event's data.
pub(crate) fn sequence(data: &str) -> Option<u64> {
    let digits = data.strip_prefix(r#"{"s":"#)?;
    digits[..digits.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_broken_and_repeated() {
        let chain = || {
            let mut chain = Chain::new("e", 7);
            assert_eq!(chain.take(8, 7, 100), Verdict::Next);
            chain
        };
        assert_eq!(chain().take(9, 8, 101), Verdict::Next);
        assert_eq!(chain().take(20, 8, 101), Verdict::Next, "offsets may grow by any step");
        assert_eq!(chain().take(10, 9, 101), Verdict::Gap, "by its position");
        assert_eq!(chain().take(9, 8, 102), Verdict::Gap, "by its number");
        assert_eq!(chain().take(8, 7, 100), Verdict::Repeat);
        assert_eq!(chain().take(9, 8, 100), Verdict::Repeat, "under another position");
        assert_eq!(Chain::new("e", 7).take(9, 8, 5), Verdict::Gap, "right at the beginning");
    }

    #[test]
    fn numbers_survive_in_data() {
        for number in [0, 1, 10, u64::MAX] {
            assert_eq!(sequence(&data(number, 10)), Some(number));
        }
        assert_eq!(sequence("null"), None);
    }
}
