//! What a gateway sends of a channel with history: each event once, in order, none missing between two of them. A
//! client would mend much of what is wrong here, so that it is looked at before it gets there.

use std::collections::HashMap;
use tidings_protocol::{Position, Recovery, ServerFrame, Text};

#[derive(Default)]
struct Chain {
    /// What the client had when it asked.
    resume: Option<(String, u64)>,
    /// The offset of the last event, or where they begin.
    at: Option<u64>,
    /// The client was ahead of the gateway: it may get what it has had.
    ahead: bool,
    /// How many events are still to be replayed, and where that ends.
    replay: u64,
    end: u64,
}

/// By link and channel.
#[derive(Default)]
pub(crate) struct Wire(HashMap<(u64, String), Chain>);

impl Wire {
    pub(crate) fn asked(&mut self, link: u64, channel: &str, resume: Option<Position<&str>>) {
        let chain = self.chain(link, channel);
        let resume = resume.map(|at| (at.epoch.to_owned(), at.offset));
        chain.resume = resume;
    }

    pub(crate) fn said(&mut self, link: u64, frame: &ServerFrame<Text<'_>, &str>) {
        match frame {
            ServerFrame::Ok { channel, position: Some(position), recovery } => {
                let chain = self.chain(link, channel);
                chain.begin(position, recovery.as_ref());
            }
            ServerFrame::Msg { channel, offset: Some(offset), previous, .. } => {
                self.chain(link, channel).go_on(*offset, previous.unwrap_or(offset - 1));
            }
            ServerFrame::Gap { channel, position, .. } => {
                let chain = self.chain(link, channel);
                assert_eq!(chain.replay, 0, "{channel}: a gap in what is replayed");
                chain.at = Some(position.offset);
            }
            _ => {}
        }
    }

    fn chain(&mut self, link: u64, channel: &str) -> &mut Chain {
        self.0.entry((link, channel.to_owned())).or_default()
    }
}

impl Chain {
    fn begin(&mut self, position: &Position<Text<'_>>, recovery: Option<&Recovery<Text<'_>>>) {
        assert_eq!(self.replay, 0, "the last resume was not replayed");
        let resume = self.resume.take();
        assert_eq!(resume.is_some(), recovery.is_some(), "each resume is answered");
        self.at = Some(position.offset);
        self.ahead = resume
            .as_ref()
            .is_some_and(|(epoch, offset)| **epoch == *position.epoch && *offset >= position.offset);
        if let (Some(Recovery::Recovered { count }), Some((epoch, from))) = (recovery, resume) {
            assert_eq!(*epoch, *position.epoch, "recovered from another epoch");
            assert!(from <= position.offset, "recovered backwards");
            assert_eq!(*count == 0, from == position.offset, "as much as was missed");
            (self.replay, self.end, self.at) = (*count, position.offset, Some(from));
        }
    }

    fn go_on(&mut self, offset: u64, previous: u64) {
        let at = self.at.expect("an `ok` with a position comes first");
        if offset <= at && self.ahead {
            return;
        }
        assert!(offset > at, "the event at {offset} after the one at {at}");
        assert_eq!(previous, at, "the event at {offset} follows on");
        self.at = Some(offset);
        if self.replay > 0 {
            self.replay -= 1;
            assert_eq!(self.replay == 0, offset == self.end, "replayed is what was announced");
        }
    }
}
