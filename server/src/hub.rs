//! A worker thread's connections and channels. Everything here runs on that thread, so nothing is locked.
//!
//! The hub's one task reads the sockets that are ready, hands events to subscribers and keeps the timers. It
//! never waits for a socket or for the application: see [`crate::job`].

mod channels;
mod identity;
mod life;
mod reading;
mod roll;
mod sending;

use crate::{
    connections::{Connections, Transport},
    control,
    gateway::Shared,
    job::{Done, Identify, Job},
    mailbox::{Inbox, Mailbox, Post, Token},
    metrics::{Tally, Watched},
    peers::Seat,
    session::{Effect, Session},
    wire,
};
use actix_http::ws::{Frame, ProtocolError};
use bytes::{Bytes, BytesMut};
use channels::Channels;
use futures_util::{FutureExt, task::noop_waker};
use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    future::{Future, poll_fn},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::{Sleep, sleep};

/// A socket is read at most this often in one turn, so that the others get theirs.
const READS_PER_TURN: usize = 4;

/// The mailbox is emptied at most this often in one turn, so that the rest of the thread gets its turn.
const ROUNDS_PER_TURN: usize = 16;

pub(crate) struct Hub {
    pub(crate) shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    tally: Arc<Tally>,
    state: RefCell<State>,
}

/// What the hub holds. Its methods are beside it, by what they are about.
struct State {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    tally: Arc<Tally>,
    started: Instant,
    /// When the hub last went on after it had stood still. What clients did meanwhile may not have been looked at yet: none of
    /// them is closed for a time that began before.
    awake_at: u64,
    connections: Connections,
    generation: u32,
    channels: Channels,
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

impl Hub {
    /// A hub, with its task, on this thread.
    pub(crate) fn start(shared: Arc<Shared>) -> Rc<Self> {
        let mailbox = Arc::<Mailbox>::default();
        let tally = shared.counters.hub();
        let state = State {
            shared: shared.clone(),
            mailbox: mailbox.clone(),
            tally: tally.clone(),
            started: Instant::now(),
            awake_at: 0,
            connections: Connections::new(tally.clone()),
            generation: 0,
            channels: Channels::default(),
            timers: BinaryHeap::new(),
            posts: VecDeque::new(),
            unread: Vec::new(),
            jobs: VecDeque::new(),
            dirty: Vec::new(),
            effects: VecDeque::new(),
            reply: BytesMut::new(),
            scratch: BytesMut::new(),
        };
        shared.hubs.add(mailbox.clone());
        actix_rt::spawn(control::listen(shared.control.clone(), Arc::downgrade(&shared)));
        let hub = Rc::new(Self { shared, mailbox, tally, state: RefCell::new(state) });
        let task = hub.clone();
        // The hub bounds its own turns.
        actix_rt::spawn(tokio::task::unconstrained(async move {
            let mut inbox = Inbox::default();
            let mut alarm = Box::pin(sleep(Duration::ZERO));
            poll_fn(|cx| {
                let began = Instant::now();
                let polled = task.turn(&mut inbox, alarm.as_mut(), cx);
                task.tally.turns.observe(began.elapsed());
                polled
            })
            .await;
        }));
        hub
    }

    /// Takes a new connection. `head` is sent before `welcome`; `early` came right behind the handshake;
    /// without `identify` the client is nobody. It keeps its `seat` until it has gone.
    pub(crate) fn open(
        self: &Rc<Self>,
        transport: impl FnOnce(Token, &Arc<Mailbox>) -> Transport,
        head: &[u8],
        early: &mut BytesMut,
        identify: Option<Identify>,
        seat: Option<Box<Seat>>,
    ) -> Token {
        let token = self.state.borrow_mut().open(transport, head, early, identify, seat);
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
                self.read_sockets();
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

    fn read_sockets(self: &Rc<Self>) {
        let mut ready = std::mem::take(&mut self.state.borrow_mut().unread);
        for token in ready.drain(..) {
            let mut reads = 0;
            while self.state.borrow_mut().read(token) {
                // Before the next read, so that what waits in a session is what the application is slow with.
                self.start_jobs();
                reads += 1;
                if reads == READS_PER_TURN {
                    self.mailbox.ready(token);
                    break;
                }
            }
        }
        self.state.borrow_mut().unread = ready;
    }

    /// Starts what the sessions want done. What is done at once is taken in at once, and took no time.
    fn start_jobs(self: &Rc<Self>) {
        let mut now = None;
        loop {
            let Some(job) = self.state.borrow_mut().jobs.pop_front() else { return };
            let mut work = Box::pin(job.run(self.shared.clone(), self.mailbox.clone()));
            match work.poll_unpin(&mut Context::from_waker(&noop_waker())) {
                Poll::Ready(done) => {
                    let mut state = self.state.borrow_mut();
                    let now = *now.get_or_insert_with(|| state.now());
                    state.done(done, now);
                }
                Poll::Pending => {
                    let hub = Rc::downgrade(self);
                    actix_rt::spawn(async move {
                        let done = work.await;
                        if let Some(hub) = hub.upgrade() {
                            let mut state = hub.state.borrow_mut();
                            let now = state.now();
                            state.done(done, now);
                            drop(state);
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
        self.shared.hubs.remove(&self.mailbox);
        let state = self.state.get_mut();
        let mut inbox = Inbox::default();
        self.mailbox.take(&mut inbox, &noop_waker());
        let left = state.posts.iter().chain(&inbox.posts).map(Post::bytes).sum();
        if self.shared.upstreams.backlog.remove(left) {
            self.shared.tell_hubs(|| Post::Relieved);
        }
        self.tally.ended();
        self.shared.clients.fetch_sub(state.connections.len(), Ordering::Release);
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
        Token { slot, generation: self.connections[slot].generation }
    }

    fn live(&self, token: Token) -> bool {
        self.connections.get(token.slot).is_some_and(|c| c.generation == token.generation)
    }

    /// Does what the session at hand wants, until it wants no more.
    fn apply(&mut self, slot: u32, now: u64) {
        let (mut close, mut paced, mut sent) = (None, false, Ok(()));
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Send(text) => wire::put_text(&mut self.reply, &text),
                Effect::Resolve { token: secret } => {
                    let token = self.token(slot);
                    self.jobs.push_back(Job::Resolve { token, secret });
                }
                Effect::Authorize { ticket, channel, subject } => {
                    let token = self.token(slot);
                    self.jobs.push_back(Job::Authorize { token, ticket, channel, subject });
                }
                Effect::Attach { channel, resume } => self.attach(slot, channel, resume),
                Effect::Replay(frames) => {
                    self.tally.replayed.add(frames.len() as u64);
                    sent = sent.and(self.replay(slot, &frames, now));
                }
                Effect::Detach { channel, slot: place } => self.detach(slot, &channel, place),
                Effect::Publish { context, key } => {
                    let token = self.token(slot);
                    self.jobs.push_back(Job::Publish { token, context, key });
                }
                Effect::History { request, channel, range, subject } => {
                    let token = self.token(slot);
                    self.jobs.push_back(Job::History { token, request, channel, range, subject });
                }
                Effect::Dropped => self.tally.unknown_frames.add(1),
                Effect::Excess => self.shared.counters.exceeded(Watched::Commands),
                Effect::Paced => {
                    self.tally.paced.add(1);
                    paced = true;
                }
                Effect::Close(code) => close = Some(code),
            }
        }
        if !self.reply.is_empty() {
            sent = sent.and(self.send_reply(slot, now));
        }
        self.sent(slot, sent, now);
        if let Some(code) = close.filter(|_| self.connections.contains(slot)) {
            self.close(slot, code, now);
        }
        if paced && self.connections.contains(slot) {
            self.schedule(slot);
        }
    }

    /// Takes in what came of a job. Its connection may be gone; then that is all there is to do.
    fn done(&mut self, done: Done, now: u64) {
        match done {
            Done::Identified { token, answer } => self.identified(token, answer, now),
            Done::Resolved { token, subject } => self.authenticated(token, subject, now),
            Done::Authorized { token, ticket, answer } => {
                self.resume(token, now, |session, effects| {
                    session.authorized(ticket, answer.as_ref(), effects);
                });
            }
            Done::Published { token, outcome } => {
                self.resume(token, now, |session, effects| session.published(outcome, now, effects));
            }
            Done::History { token, request, channel, outcome } => {
                self.resume(token, now, |session, effects| {
                    session.history_read(request, &channel, outcome, effects);
                });
            }
            Done::Joined { channel, member } => self.joined(channel, member, now),
            Done::Recovered { channel, route, from, outcome } => {
                self.recovered(&channel, &route, &from, outcome, now);
            }
        }
    }

    fn resume(&mut self, token: Token, now: u64, step: impl FnOnce(&mut Session, &mut VecDeque<Effect>)) {
        if self.live(token) {
            step(&mut self.connections[token.slot].session, &mut self.effects);
            self.apply(token.slot, now);
        }
    }
}
