//! A worker thread's connections and channels. Everything here runs on that thread, so nothing is locked.
//!
//! The hub's one task reads the sockets that are ready, hands events to subscribers and keeps the timers. It
//! never waits for a socket or for the application: see [`crate::job`].

use crate::{
    connection::{Connection, Fault, Phase, Received, Transport},
    gateway::Shared,
    job::{Done, Identify, Job},
    mailbox::{Inbox, Mailbox, Post, Token},
    session::{Effect, Session},
    socket::READ_BYTES,
    upstream::Member,
    wire,
};
use actix_http::ws::{Frame, ProtocolError};
use ahash::RandomState;
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, task::noop_waker};
use slab::Slab;
use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    future::{Future, poll_fn},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tidings_protocol::CloseCode;
use tokio::time::{Sleep, sleep};
use ulid::Ulid;

/// How long a peer has to answer a close frame, in milliseconds.
const CLOSE_TIMEOUT: u64 = 2_000;

/// The same for one that is too slow, and has to read what was sent before it.
const SLOW_CLOSE_TIMEOUT: u64 = 30_000;

/// A socket is read at most this often in one turn, so that the others get theirs.
const READS_PER_TURN: usize = 4;

/// The mailbox is emptied at most this often in one turn, so that the rest of the thread gets its turn.
const ROUNDS_PER_TURN: usize = 16;

/// A turn hands on at most this share of a connection's queue, so that a burst does not fill the queue of a
/// client that keeps up.
const QUEUE_SHARE_PER_TURN: usize = 4;

pub(crate) struct Hub {
    pub(crate) shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    state: RefCell<State>,
}

struct State {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    started: Instant,
    connections: Slab<Connection>,
    generation: u32,
    channels: HashMap<Arc<str>, Channel, RandomState>,
    timers: BinaryHeap<Reverse<(u64, Token)>>,
    posts: VecDeque<Post>,
    /// Sockets that are ready, and wait until there is time for them.
    unread: Vec<Token>,
    jobs: VecDeque<Job>,
    /// Connections whose outbox is flushed at the end of the turn.
    dirty: Vec<u32>,
    /// Scratch: effects of the session at hand, bytes of its answers, bytes read.
    effects: VecDeque<Effect>,
    reply: BytesMut,
    scratch: BytesMut,
}

/// A channel with subscribers on this worker.
enum Channel {
    /// Waits for the broadcaster; these connections wait with it.
    Joining { waiting: Vec<Token> },
    /// Events come; the subscribers' connections, by slot.
    Live { member: Member, subscribers: Slab<u32> },
}

impl Hub {
    /// A hub, with its task, on this thread.
    pub(crate) fn start(shared: Arc<Shared>) -> Rc<Self> {
        let mailbox = Arc::<Mailbox>::default();
        let state = State {
            shared: shared.clone(),
            mailbox: mailbox.clone(),
            started: Instant::now(),
            connections: Slab::new(),
            generation: 0,
            channels: HashMap::default(),
            timers: BinaryHeap::new(),
            posts: VecDeque::new(),
            unread: Vec::new(),
            jobs: VecDeque::new(),
            dirty: Vec::new(),
            effects: VecDeque::new(),
            reply: BytesMut::new(),
            scratch: BytesMut::new(),
        };
        shared.hub_started(mailbox.clone());
        let hub = Rc::new(Self { shared, mailbox, state: RefCell::new(state) });
        let task = hub.clone();
        // The hub bounds its own turns.
        actix_rt::spawn(tokio::task::unconstrained(async move {
            let mut inbox = Inbox::default();
            let mut alarm = Box::pin(sleep(Duration::ZERO));
            poll_fn(|cx| task.turn(&mut inbox, alarm.as_mut(), cx)).await;
        }));
        hub
    }

    /// Takes a new connection. `head` is sent before `welcome`.
    pub(crate) fn open(
        self: &Rc<Self>,
        transport: impl FnOnce(Token, &Arc<Mailbox>) -> Transport,
        head: &[u8],
        identify: Identify,
    ) -> Token {
        let token = self.state.borrow_mut().open(transport, head, identify);
        self.start_jobs();
        token
    }

    /// Hands over what a client sent, where the hub does not read it itself.
    pub(crate) fn receive(self: &Rc<Self>, token: Token, frame: Result<Frame, ProtocolError>) {
        self.state.borrow_mut().receive(token, frame);
        self.start_jobs();
    }

    /// The peer is gone.
    pub(crate) fn gone(&self, token: Token) {
        self.state.borrow_mut().remove_if_live(token);
    }

    /// What waits for the client, where the hub does not write it itself. `Ready(None)` is the end.
    pub(crate) fn poll_outbox(&self, token: Token, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.state.borrow_mut().poll_outbox(token, cx)
    }

    /// One turn of the hub's task. While events wait to be handed on, sockets are not read: that slows publishers
    /// down instead of filling memory.
    fn turn(
        self: &Rc<Self>,
        inbox: &mut Inbox,
        mut alarm: std::pin::Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut rounds = 0;
        while self.mailbox.take(inbox, cx.waker()) || self.state.borrow().has_work() {
            let more = {
                let mut state = self.state.borrow_mut();
                state.unread.append(&mut inbox.ready);
                state.posts.extend(inbox.posts.drain(..));
                state.hand_on()
            };
            if !more && !self.shared.upstreams.backlog.is_full() {
                self.state.borrow_mut().read_sockets();
                self.start_jobs();
            }
            rounds += 1;
            if more || rounds == ROUNDS_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        loop {
            let next = self.state.borrow_mut().tick();
            self.start_jobs();
            match next {
                Some(at) if alarm.deadline().into_std() != at => alarm.as_mut().reset(at.into()),
                Some(_) => {}
                None => return Poll::Pending,
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Starts what the sessions want done. What is done at once is taken in at once.
    fn start_jobs(self: &Rc<Self>) {
        loop {
            let Some(job) = self.state.borrow_mut().jobs.pop_front() else { return };
            let mut work = Box::pin(job.run(self.shared.clone(), self.mailbox.clone()));
            match work.poll_unpin(&mut Context::from_waker(&noop_waker())) {
                Poll::Ready(done) => self.state.borrow_mut().done(done),
                Poll::Pending => {
                    let hub = Rc::downgrade(self);
                    actix_rt::spawn(async move {
                        let done = work.await;
                        if let Some(hub) = hub.upgrade() {
                            hub.state.borrow_mut().done(done);
                            hub.start_jobs();
                        }
                    });
                }
            }
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shared.hub_ended(&self.mailbox);
        let state = self.state.get_mut();
        let mut inbox = Inbox::default();
        self.mailbox.take(&mut inbox, &noop_waker());
        let left = state.posts.iter().chain(&inbox.posts).map(Post::bytes).sum();
        if self.shared.upstreams.backlog.remove(left) {
            self.shared.tell_hubs(|| Post::Relieved);
        }
        self.shared.clients.fetch_sub(state.connections.len(), Ordering::Relaxed);
        self.shared.client_left.notify_waiters();
    }
}

impl State {
    /// Milliseconds since the hub started.
    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Whether something is left over from the last turn that can be done now.
    fn has_work(&self) -> bool {
        !self.posts.is_empty() || (!self.unread.is_empty() && !self.shared.upstreams.backlog.is_full())
    }

    fn queue_limit(&self) -> usize {
        self.shared.config.limits.queue_bytes
    }

    fn token(&self, slot: u32) -> Token {
        Token { slot, generation: self.connections[slot as usize].generation }
    }

    fn live(&self, token: Token) -> bool {
        self.connections.get(token.slot as usize).is_some_and(|c| c.generation == token.generation)
    }

    fn open(
        &mut self,
        transport: impl FnOnce(Token, &Arc<Mailbox>) -> Transport,
        head: &[u8],
        identify: Identify,
    ) -> Token {
        let now = self.now();
        self.generation = self.generation.wrapping_add(1);
        let token = Token { slot: self.connections.vacant_key() as u32, generation: self.generation };
        let transport = transport(token, &self.mailbox);
        let session = Session::open(Ulid::generate(), self.shared.config.clone(), now, &mut self.effects);
        self.connections.insert(Connection::new(token.generation, session, transport, now));
        self.shared.clients.fetch_add(1, Ordering::Relaxed);
        self.reply.extend_from_slice(head);
        self.apply(token.slot, now);
        self.jobs.push_back(Job::Identify { token, answer: identify });
        if self.live(token) {
            self.schedule(token.slot);
        }
        // What came early is read, and the socket's waker is set.
        self.mailbox.ready(token);
        token
    }

    fn read_sockets(&mut self) {
        let now = self.now();
        let mut ready = std::mem::take(&mut self.unread);
        for token in ready.drain(..) {
            self.ready(token, now);
        }
        self.unread = ready;
    }

    /// A socket is ready to be read or written.
    fn ready(&mut self, token: Token, now: u64) {
        if !self.live(token) {
            return;
        }
        let connection = &mut self.connections[token.slot as usize];
        if !connection.outbox.is_empty() && connection.flush(now).is_err() {
            return self.remove(token.slot);
        }
        if self.finished(token.slot) {
            return self.remove(token.slot);
        }
        let mut buffer = std::mem::take(&mut self.scratch);
        if let Transport::Socket(socket) = &mut self.connections[token.slot as usize].transport
            && let Some(mut early) = socket.early()
        {
            self.frames(token, &mut early, now);
        }
        let mut reads = 0;
        while self.live(token) {
            if reads == READS_PER_TURN {
                self.mailbox.ready(token);
                break;
            }
            reads += 1;
            let Transport::Socket(socket) = &mut self.connections[token.slot as usize].transport else {
                break;
            };
            match socket.read(&mut buffer) {
                Poll::Ready(Ok(1..)) => self.frames(token, &mut buffer, now),
                Poll::Ready(_) => self.remove(token.slot),
                Poll::Pending => break,
            }
            if buffer.capacity() > READ_BYTES {
                buffer = BytesMut::new();
            }
            buffer.clear();
        }
        self.scratch = buffer;
    }

    /// Takes the whole frames out of `buffer`; the connection keeps the rest.
    fn frames(&mut self, token: Token, buffer: &mut BytesMut, now: u64) {
        while self.live(token) {
            let Transport::Socket(socket) = &mut self.connections[token.slot as usize].transport else {
                return;
            };
            match socket.decode(buffer) {
                Ok(Some(frame)) => self.frame(token.slot, frame, now),
                Ok(None) => return socket.keep(buffer),
                Err(error) => {
                    buffer.clear();
                    return self.close(token.slot, broken(&error), now);
                }
            }
        }
    }

    fn receive(&mut self, token: Token, frame: Result<Frame, ProtocolError>) {
        if self.live(token) {
            let now = self.now();
            match frame {
                Ok(frame) => self.frame(token.slot, frame, now),
                Err(error) => self.close(token.slot, broken(&error), now),
            }
        }
    }

    fn frame(&mut self, slot: u32, frame: Frame, now: u64) {
        let limit = self.shared.config.limits.frame_bytes;
        let connection = &mut self.connections[slot as usize];
        let message = match connection.assemble(frame, limit) {
            Ok(Some(message)) => message,
            Ok(None) => return connection.session.heard(now),
            Err(code) => return self.close(slot, code, now),
        };
        if let (Phase::Closing { deadline, .. }, Received::Close(_)) = (connection.phase, &message) {
            connection.phase = Phase::Closing { deadline, answered: true };
            if self.finished(slot) {
                self.remove(slot);
            }
            return;
        }
        if connection.phase != Phase::Open {
            return;
        }
        match message {
            Received::Text(text) => match std::str::from_utf8(&text) {
                Ok(text) => connection.session.text(text, now, &mut self.effects),
                Err(_) => return self.close(slot, CloseCode::InvalidText, now),
            },
            Received::Ping(payload) => {
                connection.session.heard(now);
                wire::put_pong(&mut self.reply, &payload);
            }
            Received::Pong => connection.session.heard(now),
            Received::Binary => {
                connection.session.heard(now);
                self.effects.push_back(Effect::Dropped);
            }
            Received::Close(code) => return self.answer_close(slot, code, now),
        }
        self.apply(slot, now);
    }

    /// Does what the session at hand wants, until it wants no more.
    fn apply(&mut self, slot: u32, now: u64) {
        let mut close = None;
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Send(text) => wire::put_text(&mut self.reply, &text),
                Effect::Authorize { ticket, channel, subject } => {
                    let token = self.token(slot);
                    self.jobs.push_back(Job::Authorize { token, ticket, channel, subject });
                }
                Effect::Attach { channel } => self.attach(slot, channel),
                Effect::Detach { channel, slot: place } => self.detach(slot, &channel, place),
                Effect::Publish(context) => {
                    let token = self.token(slot);
                    self.jobs.push_back(Job::Publish { token, context });
                }
                Effect::Dropped => {
                    self.shared.dropped_frames.fetch_add(1, Ordering::Relaxed);
                }
                Effect::Close(code) => close = Some(code),
            }
        }
        if !self.reply.is_empty() {
            let mut reply = std::mem::take(&mut self.reply);
            let limit = self.queue_limit();
            let sent = self.connections[slot as usize].send_own(&reply, limit, now);
            reply.clear();
            self.reply = reply;
            self.sent(slot, sent, now);
        }
        if let Some(code) = close.filter(|_| self.connections.contains(slot as usize)) {
            self.close(slot, code, now);
        }
    }

    /// What follows from an attempt to send.
    fn sent(&mut self, slot: u32, sent: Result<(), Fault>, now: u64) {
        match sent {
            Ok(()) if self.connections[slot as usize].outbox.is_empty() => {}
            Ok(()) => self.schedule(slot),
            Err(Fault::Full) => self.close(slot, CloseCode::TooSlow, now),
            Err(Fault::Gone) => self.remove(slot),
        }
    }

    fn attach(&mut self, slot: u32, channel: Arc<str>) {
        let token = self.token(slot);
        match self.channels.get_mut(&channel) {
            Some(Channel::Live { member, subscribers }) => {
                member.route().subscriber_joined();
                let place = subscribers.insert(slot);
                let session = &mut self.connections[slot as usize].session;
                session.attached(&channel, Some(place), &mut self.effects);
            }
            Some(Channel::Joining { waiting }) => waiting.push(token),
            None => {
                self.channels.insert(channel.clone(), Channel::Joining { waiting: vec![token] });
                self.jobs.push_back(Job::Join { channel });
            }
        }
    }

    /// A channel that is still joining is kept until that is done, even when nobody waits for it any more.
    fn detach(&mut self, slot: u32, channel: &str, place: Option<usize>) {
        match (self.channels.get_mut(channel), place) {
            (Some(Channel::Live { member, subscribers }), Some(place)) => {
                member.route().subscriber_left();
                subscribers.remove(place);
                if subscribers.is_empty() {
                    self.channels.remove(channel);
                }
            }
            (Some(Channel::Joining { waiting }), None) => waiting.retain(|token| token.slot != slot),
            _ => {}
        }
    }

    /// Takes in what came of a job. Its connection may be gone; then that is all there is to do.
    fn done(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Identified { token, subject } => {
                self.resume(token, now, |session, effects| session.identified(subject, effects));
            }
            Done::Authorized { token, ticket, answer } => {
                self.resume(token, now, |session, effects| {
                    session.authorized(ticket, answer.as_ref(), effects);
                });
            }
            Done::Published { token, channel, refused } => {
                self.resume(token, now, |session, effects| session.published(&channel, refused, effects));
            }
            Done::Joined { channel, member } => self.joined(channel, member, now),
        }
    }

    fn resume(&mut self, token: Token, now: u64, step: impl FnOnce(&mut Session, &mut VecDeque<Effect>)) {
        if self.live(token) {
            step(&mut self.connections[token.slot as usize].session, &mut self.effects);
            self.apply(token.slot, now);
        }
    }

    fn joined(&mut self, channel: Arc<str>, member: Option<Member>, now: u64) {
        let Some(Channel::Joining { waiting }) = self.channels.remove(&channel) else { return };
        let live = member.is_some();
        if let Some(member) = member.filter(|_| !waiting.is_empty()) {
            self.channels.insert(channel.clone(), Channel::Live { member, subscribers: Slab::new() });
        }
        for token in waiting {
            if live {
                self.resume(token, now, |_, effects| {
                    effects.push_back(Effect::Attach { channel: channel.clone() });
                });
            } else {
                self.resume(token, now, |session, effects| session.attached(&channel, None, effects));
            }
        }
        if let Some(Channel::Live { subscribers, .. }) = self.channels.get(&channel)
            && subscribers.is_empty()
        {
            self.channels.remove(&channel);
        }
    }

    /// Hands posted events to their subscribers; whether some are left for the next turn.
    fn hand_on(&mut self) -> bool {
        let now = self.now();
        let share = self.queue_limit() / QUEUE_SHARE_PER_TURN;
        let mut bytes = 0;
        while bytes <= share {
            let Some(post) = self.posts.pop_front() else { break };
            match post {
                Post::Event { channel, frame } => {
                    let chunk = self.burst(&channel, frame, share);
                    bytes += chunk.len();
                    let direct = self.posts.is_empty() && self.dirty.is_empty();
                    self.fan_out(&channel, &chunk, direct, now);
                }
                Post::CloseAll(code) => {
                    let slots: Vec<u32> = self.connections.iter().map(|(slot, _)| slot as u32).collect();
                    for slot in slots {
                        self.close(slot, code, now);
                    }
                }
                Post::Relieved => {}
            }
        }
        self.flush(now);
        if self.shared.upstreams.backlog.remove(bytes) {
            self.shared.tell_hubs(|| Post::Relieved);
        }
        !self.posts.is_empty()
    }

    /// `first`, and the events right behind it on the same channel, in one buffer for all subscribers.
    fn burst(&mut self, channel: &str, first: Bytes, limit: usize) -> Bytes {
        let mut joined = BytesMut::new();
        while let Some(Post::Event { channel: next, frame }) = self.posts.front() {
            if **next != *channel || first.len() + joined.len() + frame.len() > limit {
                break;
            }
            if joined.is_empty() {
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(frame);
            self.posts.pop_front();
        }
        if joined.is_empty() { first } else { joined.freeze() }
    }

    fn fan_out(&mut self, channel: &str, chunk: &Bytes, direct: bool, now: u64) {
        let limit = self.queue_limit();
        let Some(Channel::Live { subscribers, .. }) = self.channels.get(channel) else { return };
        let mut faults = Vec::new();
        for (_, &slot) in subscribers {
            let connection = &mut self.connections[slot as usize];
            let waited = !connection.outbox.is_empty();
            match connection.send(chunk, direct, limit, now) {
                Ok(()) if waited || connection.outbox.is_empty() || connection.dirty => {}
                Ok(()) => {
                    connection.dirty = true;
                    self.dirty.push(slot);
                }
                Err(fault) => faults.push((slot, fault)),
            }
        }
        for (slot, fault) in faults {
            self.sent(slot, Err(fault), now);
        }
    }

    /// Writes what was queued in this turn.
    fn flush(&mut self, now: u64) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            // Between queueing and now the connection may have gone, and its slot to another one.
            let Some(connection) = self.connections.get_mut(slot as usize) else { continue };
            connection.dirty = false;
            let flushed = connection.flush(now);
            self.sent(slot, flushed, now);
        }
        self.dirty = dirty;
    }

    fn poll_outbox(&mut self, token: Token, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.live(token) {
            return Poll::Ready(None);
        }
        let now = self.now();
        let connection = &mut self.connections[token.slot as usize];
        if let Some(bytes) = connection.outbox.take() {
            connection.moved_at = now;
            return Poll::Ready(Some(bytes));
        }
        if self.finished(token.slot) {
            self.remove(token.slot);
            return Poll::Ready(None);
        }
        if let Transport::Body(waker) = &mut self.connections[token.slot as usize].transport {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Starts to close: what was not begun is not sent, when the client is too slow for it.
    fn close(&mut self, slot: u32, code: CloseCode, now: u64) {
        let connection = &mut self.connections[slot as usize];
        if connection.phase != Phase::Open {
            return;
        }
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
    fn answer_close(&mut self, slot: u32, code: Option<u16>, now: u64) {
        let mut frame = BytesMut::new();
        wire::put_close(&mut frame, code.unwrap_or(CloseCode::Normal.code()), "");
        self.say_goodbye(slot, &frame, Phase::Closing { deadline: now + CLOSE_TIMEOUT, answered: true }, now);
    }

    fn say_goodbye(&mut self, slot: u32, frame: &[u8], phase: Phase, now: u64) {
        let connection = &mut self.connections[slot as usize];
        connection.phase = phase;
        connection.session.end(&mut self.effects);
        let sent = connection.send_own(frame, usize::MAX, now);
        self.apply(slot, now);
        if sent.is_err() || self.finished(slot) {
            return self.remove(slot);
        }
        self.schedule(slot);
    }

    /// Whether all is said: the peer has closed, and has all that it gets. A response's body ends by itself.
    fn finished(&self, slot: u32) -> bool {
        let connection = &self.connections[slot as usize];
        matches!(connection.phase, Phase::Closing { answered: true, .. }) && connection.outbox.is_empty()
    }

    fn remove_if_live(&mut self, token: Token) {
        if self.live(token) {
            self.remove(token.slot);
        }
    }

    /// The one end of every connection.
    fn remove(&mut self, slot: u32) {
        let mut connection = self.connections.remove(slot as usize);
        self.shared.clients.fetch_sub(1, Ordering::Relaxed);
        self.shared.client_left.notify_waiters();
        if let Transport::Body(waker) = &mut connection.transport {
            waker.take().into_iter().for_each(Waker::wake);
        }
        self.effects.clear();
        connection.session.end(&mut self.effects);
        while let Some(effect) = self.effects.pop_front() {
            if let Effect::Detach { channel, slot: place } = effect {
                self.detach(slot, &channel, place);
            }
        }
    }

    /// When the connection wants to be looked at next.
    fn deadline(&self, slot: u32) -> u64 {
        let connection = &self.connections[slot as usize];
        match connection.phase {
            Phase::Closing { deadline, .. } => deadline,
            Phase::Open if connection.outbox.is_empty() => connection.session.deadline().unwrap_or(u64::MAX),
            Phase::Open => {
                let stall = self.shared.config.limits.queue_stall.as_millis() as u64;
                connection.session.deadline().unwrap_or(u64::MAX).min(connection.moved_at + stall)
            }
        }
    }

    fn schedule(&mut self, slot: u32) {
        let at = self.deadline(slot);
        let connection = &mut self.connections[slot as usize];
        if at < connection.timer_at {
            connection.timer_at = at;
            self.timers.push(Reverse((at, Token { slot, generation: connection.generation })));
        }
    }

    /// Looks at every connection whose time has come; when the next one's does.
    fn tick(&mut self) -> Option<Instant> {
        loop {
            let &Reverse((at, token)) = self.timers.peek()?;
            let now = self.now();
            if at > now {
                return Some(self.started + Duration::from_millis(at));
            }
            self.timers.pop();
            if self.live(token) && self.connections[token.slot as usize].timer_at == at {
                self.connections[token.slot as usize].timer_at = u64::MAX;
                self.look_at(token, now);
            }
        }
    }

    fn look_at(&mut self, token: Token, now: u64) {
        let stall = self.shared.config.limits.queue_stall.as_millis() as u64;
        let connection = &mut self.connections[token.slot as usize];
        match connection.phase {
            Phase::Closing { deadline, .. } if now >= deadline => return self.remove(token.slot),
            Phase::Closing { .. } => {}
            Phase::Open if !connection.outbox.is_empty() && now >= connection.moved_at + stall => {
                return self.close(token.slot, CloseCode::TooSlow, now);
            }
            Phase::Open => {
                connection.session.tick(now, &mut self.effects);
                self.apply(token.slot, now);
            }
        }
        if self.live(token) {
            self.schedule(token.slot);
        }
    }
}

/// The close code for what a client did to the WebSocket protocol.
fn broken(error: &ProtocolError) -> CloseCode {
    match error {
        ProtocolError::Overflow => CloseCode::TooLarge,
        _ => CloseCode::Protocol,
    }
}
