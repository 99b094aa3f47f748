//! What clients get: fan-out, bursts, and what a slow socket leaves for later.

use super::{State, channels::Channel};
use crate::{
    Position,
    connections::{Behind, Fault, Transport},
    mailbox::{Post, Spot, Token},
};
use bytes::{Bytes, BytesMut};
use std::task::{Context, Poll};
use tidings_protocol::CloseCode;

/// Frames that a client missed are copied into one buffer up to this many bytes, and shared above.
const COPIED: usize = 16 * 1024;

/// A turn hands on at most this share of a connection's queue, so that a burst does not fill the queue of a
/// client that keeps up.
const QUEUE_SHARE_PER_TURN: usize = 4;

/// Among at most this many posts it is looked for more of a channel. Behind that many there is more to gain from writing
/// once for all.
const FORESIGHT: usize = 64;

impl State {
    pub(super) fn poll_outbox(&mut self, token: Token, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.live(token) {
            return Poll::Ready(None);
        }
        let now = self.now();
        let connection = &mut self.connections[token.slot];
        if let Some(bytes) = connection.outbox.take() {
            connection.moved_at = now;
            self.connections.settle(token.slot);
            return Poll::Ready(Some(bytes));
        }
        if self.finished(token.slot) {
            self.remove(token.slot);
            return Poll::Ready(None);
        }
        if let Transport::Body { waker, .. } = &mut self.connections[token.slot].transport {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// What follows from an attempt to send.
    pub(super) fn sent(&mut self, slot: u32, sent: Result<(), Fault>, now: u64) {
        match sent {
            Ok(()) if self.connections[slot].outbox.is_empty() => {}
            Ok(()) => self.schedule(slot),
            Err(Fault::Full) => self.close(slot, CloseCode::TooSlow, now),
            Err(Fault::Gone) => self.remove(slot),
        }
    }

    /// Sends what the session at hand has said.
    pub(super) fn send_reply(&mut self, slot: u32, now: u64) -> Result<(), Fault> {
        let mut reply = std::mem::take(&mut self.reply);
        let limit = self.queue_limit();
        self.tally.sent_bytes.add(reply.len() as u64);
        let sent = self.connections.send_own(slot, &reply, limit, now);
        reply.clear();
        self.reply = reply;
        sent
    }

    /// Sends a client the frames that it missed, behind what its session has said.
    pub(super) fn replay(&mut self, slot: u32, frames: &[Bytes], now: u64) -> Result<(), Fault> {
        if frames.iter().map(Bytes::len).sum::<usize>() <= COPIED {
            frames.iter().for_each(|frame| self.reply.extend_from_slice(frame));
            return Ok(());
        }
        let limit = self.queue_limit();
        self.send_reply(slot, now)?;
        for frame in frames {
            self.tally.sent_bytes.add(frame.len() as u64);
            self.connections.send(slot, frame, Behind::More, limit, now)?;
        }
        self.connections.flush(slot, now).unwrap_or(Err(Fault::Gone))
    }

    /// Writes what was queued in this turn.
    pub(super) fn flush(&mut self, now: u64) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            // Between queueing and now the connection may have gone, and its slot to another one.
            if let Some(flushed) = self.connections.flush(slot, now) {
                self.sent(slot, flushed, now);
            }
        }
        self.dirty = dirty;
    }

    /// Hands posted events to their subscribers; whether some are left for the next turn.
    pub(super) fn hand_on(&mut self) -> bool {
        let now = self.now();
        let share = self.queue_limit() / QUEUE_SHARE_PER_TURN;
        let (mut bytes, mut review) = (0, false);
        while bytes <= share {
            let Some(post) = self.posts.pop_front() else { break };
            match post {
                Post::Event { spot, frame, position } => {
                    let (burst, events, taken) = self.burst(spot, frame, position.as_ref(), share);
                    bytes += taken;
                    self.fan_out(spot, &burst, events, self.behind(spot), now);
                }
                Post::Gap { spot, frame, position } => {
                    bytes += frame.len();
                    if let Some(Channel::Live(live)) = self.channels.at(spot)
                        && live.subscribers.goes_on_after(&position)
                    {
                        self.fan_out(spot, &frame, 0, Behind::More, now);
                    }
                }
                Post::Drain(within) => self.drain(within, now),
                Post::CloseAll(code) => self.close_those(code, |_| true, now),
                Post::Disconnect(target, before) => self.disconnect(&target, before, now),
                Post::Review => review = true,
                Post::Roll(call) => self.answer(&call),
                Post::Relieved => {}
            }
        }
        if review {
            self.review(now);
        }
        self.flush(now);
        if self.shared.upstreams.backlog.remove(bytes) {
            self.shared.tell_hubs(|| Post::Relieved);
        }
        !self.posts.is_empty()
    }

    /// What is posted behind the events of a channel.
    fn behind(&self, spot: Spot) -> Behind {
        let more = |post: &Post| matches!(post, Post::Event { spot: next, .. } if *next == spot);
        match self.posts.len() {
            0 => Behind::Nothing,
            1..=FORESIGHT if !self.posts.iter().any(more) => Behind::Others,
            _ => Behind::More,
        }
    }

    /// `first`, and the events right behind it on the same channel, in one buffer for all subscribers, without those
    /// that they have had; how many events, and how many bytes of posts that were.
    fn burst(
        &mut self,
        spot: Spot,
        first: Bytes,
        at: Option<&Position>,
        limit: usize,
    ) -> (Bytes, u64, usize) {
        let mut taken = first.len();
        let Some(Channel::Live(live)) = self.channels.at(spot) else {
            return (Bytes::new(), 0, taken);
        };
        let passes = live.subscribers.passes(at);
        let mut events = u64::from(passes);
        let mut burst = if passes { first } else { Bytes::new() };
        let mut joined = BytesMut::new();
        while let Some(Post::Event { spot: next, frame, position }) = self.posts.front()
            && *next == spot
            && taken + frame.len() <= limit
        {
            taken += frame.len();
            if live.subscribers.passes(position.as_ref()) {
                events += 1;
                if burst.is_empty() {
                    burst = frame.clone();
                } else {
                    if joined.is_empty() {
                        joined.extend_from_slice(&burst);
                    }
                    joined.extend_from_slice(frame);
                }
            }
            self.posts.pop_front();
        }
        (if joined.is_empty() { burst } else { joined.freeze() }, events, taken)
    }

    /// Hands `chunk`, in which so many events are, to the subscribers of a channel.
    fn fan_out(&mut self, spot: Spot, chunk: &Bytes, events: u64, behind: Behind, now: u64) {
        let limit = self.queue_limit();
        let Some(Channel::Live(live)) = self.channels.at(spot).filter(|_| !chunk.is_empty()) else {
            return;
        };
        let mut faults = Vec::new();
        for &slot in live.subscribers.iter() {
            match self.connections.send(slot, chunk, behind, limit, now) {
                Ok(false) => {}
                Ok(true) => self.dirty.push(slot),
                Err(fault) => faults.push((slot, fault)),
            }
        }
        let reached = (live.subscribers.len() - faults.len()) as u64;
        self.tally.sent_bytes.add(reached * chunk.len() as u64);
        self.tally.deliveries.add(reached * events);
        for (slot, fault) in faults {
            self.sent(slot, Err(fault), now);
        }
    }
}
