//! Who is connected here.

use super::State;
use crate::{
    Subject,
    connections::{Connection, Phase},
    roll::{Call, First, NAMED, Row},
};

impl State {
    /// Answers with those that are asked for. Looks at every connection, and writes a row for as many as are wanted.
    pub(super) fn answer(&self, call: &Call) {
        let question = &call.question;
        let open = || self.connections.iter().filter(|(_, connection)| connection.phase == Phase::Open);
        let mut first = First::new(question);
        for (slot, connection) in open() {
            let session = &connection.session;
            let user = session.subject().map(Subject::id);
            let there = question
                .channel
                .as_ref()
                .is_none_or(|channel| session.channels().any(|other| other == channel));
            if there && question.is(session.id(), user, || connection.address()) {
                first.offer(slot, session.id(), connection.outbox.bytes());
            }
        }
        let rows = first.slots().map(|slot| row(&self.connections[slot]));
        call.answered(open().count(), first.offered, rows);
    }
}

fn row(connection: &Connection) -> Row {
    let session = &connection.session;
    Row {
        id: session.id(),
        user: session.subject().map(|subject| subject.id().to_owned()),
        address: connection.address(),
        since: session.id().timestamp_ms(),
        channels: session.channels().len(),
        names: session.channels().take(NAMED).map(ToString::to_string).collect(),
        queued: connection.outbox.bytes(),
    }
}
