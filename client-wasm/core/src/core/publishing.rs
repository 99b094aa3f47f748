//! The path of a publish: into the outbox, out to the socket, and back when the connection is lost.

use super::Core;
use crate::{
    backoff::Random,
    effect::{Effect, Outgoing, reason},
    outbox::Weight,
    phase::Phase,
};

impl<C: Clone, T: Clone + From<&'static str> + PartialEq, V, P: Clone + Weight, R: Random>
    Core<C, T, V, P, R>
{
    /// Publishes, now or when there is a connection.
    pub fn publish(&mut self, now: u64, frame: P) {
        self.last_number += 1;
        match &self.phase {
            Phase::Closed => {
                self.effects.push(Effect::Dropped { frame, reason: reason::DISCONNECTED.into() });
            }
            Phase::Open(open) if !open.stalled && open.identity.settled => {
                self.outbox.push(self.last_number, now, frame);
            }
            _ => {
                self.outbox.push(self.last_number, now, frame);
                self.hold();
            }
        }
    }

    /// The socket refused a frame, for it is about to close. A publish is kept; nothing more is sent until the socket
    /// has reported its end, for which it has [`crate::PROBE_MS`].
    pub fn unsent(&mut self, now: u64, frame: &Outgoing<C, T, P>) {
        if let Outgoing::Publish { .. } = frame {
            self.outbox.put_back();
        }
        if let Phase::Open(open) = &mut self.phase {
            open.stalled = true;
            open.liveness.probe(now);
        }
        self.hold();
    }

    pub(super) fn expire(&mut self, now: u64) {
        if let Some(limit) = now.checked_sub(self.options.outbox_max_age_ms) {
            self.outbox.give_up(limit, reason::EXPIRED, &mut drop_into(&mut self.effects));
        }
    }

    /// Whether this connection acknowledges publishes.
    pub(super) const fn is_acknowledged(&self) -> bool {
        matches!(&self.phase, Phase::Open(open) if open.v2)
    }

    /// What is in flight comes back, for it needs an acknowledgement that this connection will not bring.
    pub(super) fn reclaim(&mut self) {
        self.outbox.reclaim(self.is_acknowledged());
    }

    /// What is published has to wait for a connection.
    pub(super) fn hold(&mut self) {
        self.outbox.hold(&self.options, &mut drop_into(&mut self.effects));
    }
}

pub(super) fn drop_into<C, T: From<&'static str>, V, P>(
    effects: &mut Vec<Effect<C, T, V, P>>,
) -> impl FnMut(P, &'static str) {
    move |frame, reason| effects.push(Effect::Dropped { frame, reason: reason.into() })
}
