//! How a connection begins, what its timers do, and how it ends.

use super::State;
use crate::{
    connections::{Connection, Phase, Transport},
    job::{Identify, Job},
    mailbox::{Mailbox, Token},
    metrics::Watched,
    peers::Seat,
    session::{Effect, Session},
    wire,
};
use bytes::BytesMut;
use std::{
    cmp::Reverse,
    sync::{Arc, atomic::Ordering},
    task::Waker,
    time::{Duration, Instant},
};
use tidings_protocol::CloseCode;
use ulid::Ulid;

/// How long a peer has to answer a close frame, in milliseconds.
const CLOSE_TIMEOUT: u64 = 2_000;

/// The same for one that is too slow, and has to read what was sent before it.
const SLOW_CLOSE_TIMEOUT: u64 = 30_000;

/// A hub that is so late, in milliseconds, has stood still: its thread was blocked, or the whole machine.
const STANDSTILL: u64 = 1_000;

impl State {
    pub(super) fn open(
        &mut self,
        transport: impl FnOnce(Token, &Arc<Mailbox>) -> Transport,
        head: &[u8],
        early: &mut BytesMut,
        identify: Option<Identify>,
        seat: Option<Box<Seat>>,
    ) -> Token {
        let now = self.now();
        self.generation = self.generation.wrapping_add(1);
        let token = Token { slot: self.connections.vacant_slot(), generation: self.generation };
        let transport = transport(token, &self.mailbox);
        let mut session = Session::open(Ulid::generate(), self.shared.config.clone(), now, &mut self.effects);
        if self.shared.echoes() {
            self.effects.clear();
        }
        match identify {
            Some(answer) => self.jobs.push_back(Job::Identify { token, answer }),
            None => session.identified(None, None, &mut self.effects),
        }
        if seat.as_ref().is_some_and(|seat| seat.excess) {
            self.shared.counters.exceeded(Watched::Address);
        }
        self.connections.insert(Connection::new(token.generation, session, transport, seat, now));
        self.shared.clients.fetch_add(1, Ordering::Relaxed);
        self.tally.opened.add(1);
        self.reply.extend_from_slice(head);
        self.apply(token.slot, now);
        self.frames(token, early, now);
        self.schedule_if_live(token);
        if self.live(token)
            && let Transport::Socket(socket) = &self.connections[token.slot].transport
            && socket.is_ready()
        {
            self.mailbox.ready(token);
        }
        token
    }

    pub(super) fn schedule_if_live(&mut self, token: Token) {
        if self.live(token) {
            self.schedule(token.slot);
        }
    }

    pub(super) fn close_those(&mut self, code: CloseCode, those: impl Fn(&Session) -> bool, now: u64) {
        let meant = self.connections.iter().filter(|(_, connection)| those(&connection.session));
        let slots: Vec<u32> = meant.map(|(slot, _)| slot).collect();
        for slot in slots {
            self.close(slot, code, now);
        }
    }

    /// Starts to close: what was not begun is not sent, when the client is too slow for it.
    pub(super) fn close(&mut self, slot: u32, code: CloseCode, now: u64) {
        let connection = &mut self.connections[slot];
        if connection.phase != Phase::Open {
            return;
        }
        self.tally.closed(code);
        let mut patience = CLOSE_TIMEOUT;
        if code == CloseCode::TooSlow {
            connection.outbox.drop_unsent();
            patience = SLOW_CLOSE_TIMEOUT;
        }
        let mut frame = BytesMut::new();
        wire::put_close_code(&mut frame, code);
        self.say_goodbye(slot, &frame, Phase::Closing { deadline: now + patience, answered: false }, now);
    }

    /// The peer has closed: it is answered with its own code.
    pub(super) fn answer_close(&mut self, slot: u32, code: Option<u16>, now: u64) {
        self.tally.left(code);
        let mut frame = BytesMut::new();
        wire::put_close(&mut frame, code.unwrap_or(CloseCode::Normal.code()), "");
        self.say_goodbye(slot, &frame, Phase::Closing { deadline: now + CLOSE_TIMEOUT, answered: true }, now);
    }

    fn say_goodbye(&mut self, slot: u32, frame: &[u8], phase: Phase, now: u64) {
        let connection = &mut self.connections[slot];
        connection.phase = phase;
        connection.session.end(&mut self.effects);
        self.apply(slot, now);
        if !self.connections.contains(slot) {
            return;
        }
        self.tally.sent_bytes.add(frame.len() as u64);
        let sent = self.connections.send_own(slot, frame, usize::MAX, now);
        if sent.is_err() || self.finished(slot) {
            return self.remove(slot);
        }
        self.schedule(slot);
    }

    /// Whether all is said: the peer has closed, and has all that it gets. A response's body ends by itself.
    pub(super) fn finished(&self, slot: u32) -> bool {
        let connection = &self.connections[slot];
        matches!(connection.phase, Phase::Closing { answered: true, .. }) && connection.outbox.is_empty()
    }

    pub(super) fn remove_if_live(&mut self, token: Token) {
        if self.live(token) {
            self.remove(token.slot);
        }
    }

    /// The one end of every connection.
    pub(super) fn remove(&mut self, slot: u32) {
        let mut connection = self.connections.remove(slot);
        if connection.phase == Phase::Open {
            self.tally.lost();
        }
        if let Transport::Body { waker, .. } = &mut connection.transport {
            waker.take().into_iter().for_each(Waker::wake);
        }
        self.effects.clear();
        connection.session.end(&mut self.effects);
        while let Some(effect) = self.effects.pop_front() {
            if let Effect::Detach { channel, slot: place } = effect {
                self.detach(slot, &channel, place);
            }
        }
        drop(connection);
        // Last: whoever is told that a client has gone may count on its place, and finds nothing of it.
        self.shared.clients.fetch_sub(1, Ordering::Release);
        self.shared.client_left.notify_waiters();
    }

    /// Tells every client that it will be sent away within so many milliseconds, one after the other in random order
    /// and at an even pace. Until then it gets its events.
    pub(super) fn drain(&mut self, within: u64, now: u64) {
        let open = |(slot, connection): (u32, &Connection)| (connection.phase == Phase::Open).then_some(slot);
        let mut slots: Vec<u32> = self.connections.iter().filter_map(open).collect();
        fastrand::shuffle(&mut slots);
        let step = within as f64 / slots.len() as f64;
        for (turn, slot) in slots.into_iter().enumerate() {
            let after = ((turn as f64 + fastrand::f64()) * step) as u64;
            let connection = &mut self.connections[slot];
            connection.leaves_at = now + after;
            connection.session.bye(CloseCode::Restart, after, &mut self.effects);
            self.apply(slot, now);
            if self.connections.contains(slot) {
                self.schedule(slot);
            }
        }
    }

    /// When the connection wants to be looked at next.
    pub(super) fn deadline(&self, slot: u32) -> u64 {
        let connection = &self.connections[slot];
        match connection.phase {
            Phase::Closing { deadline, .. } => deadline,
            Phase::Open => {
                let session = connection.session.deadline().unwrap_or(u64::MAX);
                session.min(self.stalls_at(connection)).min(connection.leaves_at)
            }
        }
    }

    /// When the connection is too slow, unless its outbox moves before; never while nothing waits.
    fn stalls_at(&self, connection: &Connection) -> u64 {
        let stall = self.shared.config.limits.queue_stall.as_millis() as u64;
        if connection.outbox.is_empty() { u64::MAX } else { connection.moved_at.max(self.awake_at) + stall }
    }

    pub(super) fn schedule(&mut self, slot: u32) {
        let at = self.deadline(slot);
        let connection = &mut self.connections[slot];
        if at < connection.timer_at {
            connection.timer_at = at;
            // Outside of the hub's turn nothing else sets its alarm to an earlier time.
            if self.timers.peek().is_none_or(|Reverse((first, _))| at < *first) {
                self.mailbox.wake();
            }
            self.timers.push(Reverse((at, Token { slot, generation: connection.generation })));
        }
    }

    /// Looks at every connection whose time has come; when the next one's does.
    pub(super) fn tick(&mut self) -> Option<Instant> {
        loop {
            let &Reverse((at, token)) = self.timers.peek()?;
            let now = self.now();
            if at > now {
                return Some(self.started + Duration::from_millis(at));
            }
            if now - at > STANDSTILL {
                self.awake_at = now;
            }
            self.timers.pop();
            if self.live(token) && self.connections[token.slot].timer_at == at {
                self.connections[token.slot].timer_at = u64::MAX;
                self.look_at(token, now);
            }
        }
    }

    fn look_at(&mut self, token: Token, now: u64) {
        let connection = &self.connections[token.slot];
        match connection.phase {
            Phase::Closing { deadline, .. } if now >= deadline => return self.remove(token.slot),
            Phase::Closing { .. } => {}
            Phase::Open if now >= self.stalls_at(connection) => {
                return self.close(token.slot, CloseCode::TooSlow, now);
            }
            Phase::Open if now >= connection.leaves_at => {
                return self.close(token.slot, CloseCode::Restart, now);
            }
            Phase::Open => {
                let session = &mut self.connections[token.slot].session;
                session.stood_still(self.awake_at);
                session.tick(now, &mut self.effects);
                self.apply(token.slot, now);
            }
        }
        self.schedule_if_live(token);
    }
}
