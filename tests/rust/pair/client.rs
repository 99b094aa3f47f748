//! A client: its core, and what carries out the core's effects.

use crate::{
    frames::read,
    network::{Item, Link, Random},
    plan::Fault,
    world::{CHANNELS, World},
};
use std::collections::{HashMap, HashSet};
use tidings_client_core::{
    ChannelId, ChannelState, Closed, Core, Effect, Options, Outgoing, SocketId, Weight,
};
use tidings_protocol::{ClientFrame, Position, ServerFrame};

/// A publish. Its number is its event's name, and its idempotency key.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) channel: &'static str,
    pub(crate) number: u64,
}

impl Weight for Note {
    fn bytes(&self) -> usize {
        40
    }
}

pub(crate) struct Peer {
    pub(crate) core: Core<String, String, String, Note>,
    pub(crate) link: Option<u64>,
    pub(crate) wanted: HashSet<&'static str>,
    names: HashMap<String, ChannelId>,
    /// Ids of events without a place in a stream, since their channel was wanted.
    seen: HashMap<String, HashSet<String>>,
}

impl Peer {
    pub(crate) fn new(random: &Random) -> Self {
        let outbox_limit = if random.one_in(4) { 3 } else { Options::default().outbox_limit };
        let dice = random.clone();
        let dice = move || dice.below(1 << 20) as f64 / f64::from(1 << 20);
        let core: Core<_, _, _, _> =
            Core::new(Options { outbox_limit, ..Options::default() }, Box::new(dice));
        Self { core, link: None, wanted: HashSet::new(), names: HashMap::new(), seen: HashMap::new() }
    }

    /// Whether it was not wanted before.
    pub(crate) fn want(&mut self, channel: &'static str) -> bool {
        let new = self.wanted.insert(channel);
        if new {
            self.seen.remove(channel);
        }
        let id = self.core.subscribe(self.names.get(channel).copied(), channel.to_owned());
        self.names.insert(channel.to_owned(), id);
        new
    }

    pub(crate) fn live(&self, channel: &str) -> bool {
        let id = self.names.get(channel);
        id.is_some_and(|id| self.core.channel_state(*id) == Some(ChannelState::Subscribed))
    }

    /// Whether there was something to leave.
    pub(crate) fn leave(&mut self, now: u64, channel: &'static str) -> bool {
        let left = self.wanted.remove(channel);
        if left {
            self.core.leave(now, self.names[channel]);
        }
        left
    }
}

impl World {
    /// Carries out what a client wants. `told`: where the frame that it was given says that a channel goes on.
    pub(crate) fn client(&mut self, at: usize, told: Option<Position<String>>) {
        while let Some(effect) = self.peers[at].core.poll() {
            self.say(|_| format!("client {at}: {effect:?}"));
            match effect {
                Effect::Connect { socket } => self.open_socket(at, socket),
                Effect::Close { code, .. } => {
                    let id = self.peers[at].link.take().expect("a socket to close");
                    let link = self.links.get_mut(&id).expect("a link");
                    link.heard = false;
                    link.up.send(self.now, &self.random, Item::End(code), None);
                }
                Effect::Send(frame) => self.client_sends(at, frame),
                Effect::Acknowledged { frame, id, offset } => {
                    self.checker.acknowledged(frame.number, &id, offset);
                }
                Effect::Dropped { frame, reason } => self.checker.dropped(frame.number, &reason),
                Effect::Deliver { channel, event, data, id } => {
                    let peer = &mut self.peers[at];
                    assert!(peer.wanted.contains(&*channel), "{channel}: an event after it was left");
                    let placed = id.is_none();
                    if id.is_none_or(|id| peer.seen.entry(channel.clone()).or_default().insert(id)) {
                        let link = peer.link.expect("a connection");
                        self.checker.delivered(at, link, &channel, &event, &data, placed);
                    }
                }
                Effect::Gap { channel, why } => {
                    let link = self.peers[at].link.expect("a connection");
                    self.checker.gap(at, link, &channel, &why, told.as_ref());
                }
                Effect::Subscribed(channel) => {
                    assert!(self.peers[at].wanted.contains(&*channel), "{channel}: live after it was left");
                    let id = self.peers[at].link.expect("a connection");
                    self.checker.subscribed(at, id, &channel, told.as_ref());
                }
                Effect::Denied { channel, .. } => {
                    self.link(at).expect("a connection").asked.remove(&channel);
                }
                Effect::Forget(channel) => {
                    self.peers[at].names.remove(&channel);
                    if let Some(link) = self.link(at) {
                        link.asked.remove(&channel);
                    }
                }
                Effect::Closed(_) => {
                    let live = CHANNELS.iter().any(|channel| self.peers[at].live(channel));
                    assert!(!live, "live without a connection");
                    self.checker.disconnected(at);
                }
                _ => {}
            }
        }
    }

    fn open_socket(&mut self, at: usize, socket: SocketId) {
        assert!(self.peers[at].link.is_none(), "two sockets");
        let outcome = if self.stormy() { self.random.below(16) } else { u64::MAX };
        if outcome == 0 {
            return self.peers[at].core.failed(self.now, socket, "no socket".into());
        }
        let id = self.gateway.next_id();
        let mut link = Link::new(at, socket, &self.plan, &self.random);
        if outcome == 1 {
            link.break_off(self.now, &self.random);
        }
        self.checker.opened(id, link.old);
        self.links.insert(id, link);
        self.peers[at].link = Some(id);
        if outcome != 1 {
            self.gateway_accepts(id);
        }
    }

    fn client_sends(&mut self, at: usize, frame: Outgoing<String, String, Note>) {
        let id = self.peers[at].link.expect("a socket to send on");
        let link = self.links.get_mut(&id).expect("a link");
        if link.refuses {
            return self.peers[at].core.unsent(self.now, &frame);
        }
        let text = match frame {
            Outgoing::Pong => ClientFrame::<&str, &str>::Pong.to_json(),
            Outgoing::Subscribe { channel, resume } => {
                let resume = resume.filter(|_| !self.plan.has(Fault::PositionsForgotten));
                assert!(!link.old || resume.is_none(), "a gateway of version 1 knows no positions");
                let text = ClientFrame::<&str, &str>::Sub {
                    channel: &channel,
                    resume: resume.as_ref().map(Position::as_deref),
                };
                let text = text.to_json();
                let again = !link.asked.insert(channel.clone());
                assert!(!again || (self.plan.leaks && resume.is_some()), "subscribed twice: {text}");
                text
            }
            Outgoing::Unsubscribe(channel) => {
                assert!(link.asked.remove(&channel), "never subscribed: {channel}");
                ClientFrame::<&str, &str>::Unsub { channel: &channel }.to_json()
            }
            Outgoing::Publish { frame: Note { channel, number }, request } => {
                assert_eq!(request.is_none(), link.old, "acknowledged by gateways of version 2");
                let accepted = link.session.is_some();
                self.checker.handed(at, number, id, accepted);
                let event = &*number.to_string();
                let key = request.map(|_| event).filter(|_| !self.plan.has(Fault::KeysNotSent));
                ClientFrame::<&str, &str>::Pub { channel, event, data: None, request, key }.to_json()
            }
            Outgoing::History { .. } => panic!("nobody asks for history"),
            Outgoing::Authenticate { .. } => panic!("nobody has a token"),
        };
        link.up.send(self.now, &self.random, Item::Text(text), self.plan.fault);
    }

    pub(crate) fn client_receives(&mut self, id: u64, item: Item) {
        let link = &self.links[&id];
        let (at, socket, now) = (link.client, link.socket, self.now);
        let mut told = None;
        match item {
            Item::Text(text) => {
                self.say(|_| format!("client {at} on {id} gets {text}"));
                let frame = read(&text);
                let frame = if self.plan.old_clients[at] { frame.map(older) } else { frame };
                let old = self.links[&id].old;
                match &frame {
                    Some(ServerFrame::Ok { position, .. }) if !old => told.clone_from(position),
                    Some(ServerFrame::Gap { position, .. }) if !old => told = Some(position.clone()),
                    _ => {}
                }
                let peer = &mut self.peers[at];
                peer.core.receive(now, socket, frame, |name| peer.names.get(name).copied());
            }
            Item::End(code) => {
                self.links.get_mut(&id).expect("a link").heard = false;
                let peer = &mut self.peers[at];
                peer.link = None;
                peer.core.closed(now, socket, Closed { code, reason: String::new(), clean: code != 1006 });
            }
        }
        self.client(at, told);
    }

    pub(crate) fn client_timer(&mut self, at: usize) {
        let core = &mut self.peers[at].core;
        if let Some(due) = core.deadline().filter(|due| *due <= self.now) {
            core.timer(self.now, due);
            self.client(at, None);
        }
    }
}

/// As if the gateway spoke version 1.
fn older(frame: ServerFrame<String, String>) -> ServerFrame<String, String> {
    match frame {
        ServerFrame::Welcome { id, .. } => ServerFrame::Welcome { id, version: None, keepalive_ms: None },
        frame => frame,
    }
}
