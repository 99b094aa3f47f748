//! A client: its core, and what carries out the core's effects.

use crate::{
    network::{Item, Link, Random},
    world::{CHANNELS, World},
};
use std::collections::{HashMap, HashSet};
use tidings_client_core::{
    ChannelId, ChannelState, Closed, Core, Effect, Options, Outgoing, SocketId, Weight,
};
use tidings_protocol::{ClientFrame, Position, ServerFrame};

/// A publish. Its number is its event's name.
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
}

impl Peer {
    pub(crate) fn new(random: &Random) -> Self {
        let outbox_limit = if random.one_in(4) { 3 } else { Options::default().outbox_limit };
        let dice = random.clone();
        let dice = move || dice.below(1 << 20) as f64 / f64::from(1 << 20);
        let core = Core::new(Options { outbox_limit, ..Options::default() }, dice);
        Self { core, link: None, wanted: HashSet::new(), names: HashMap::new() }
    }

    pub(crate) fn want(&mut self, channel: &'static str) {
        self.wanted.insert(channel);
        let id = self.core.subscribe(self.names.get(channel).copied(), channel.to_owned());
        self.names.insert(channel.to_owned(), id);
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
    /// Carries out what a client wants.
    pub(crate) fn client(&mut self, at: usize) {
        while let Some(effect) = self.peers[at].core.poll() {
            match effect {
                Effect::Connect { socket } => self.open_socket(at, socket),
                Effect::Close { code, .. } => {
                    let id = self.peers[at].link.take().expect("a socket to close");
                    let link = self.links.get_mut(&id).expect("a link");
                    link.heard = false;
                    link.up.send(self.now, &self.random, Item::End(code), None);
                }
                Effect::Send(frame) => self.client_sends(at, frame),
                Effect::Dropped { frame, .. } => self.checker.dropped(frame.number),
                Effect::Deliver { channel, event, data, .. } => {
                    assert!(
                        self.peers[at].wanted.contains(&*channel),
                        "{channel}: an event after it was left"
                    );
                    self.checker.delivered(at, &channel, &event, &data);
                }
                Effect::Subscribed(channel) => {
                    assert!(self.peers[at].wanted.contains(&*channel), "{channel}: live after it was left");
                    let id = self.peers[at].link.expect("a connection");
                    self.checker.subscribed(at, id, &channel);
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
        let outcome = if self.stormy() { self.random.below(8) } else { u64::MAX };
        if outcome == 0 {
            return self.peers[at].core.failed(self.now, socket, "no socket".into());
        }
        let id = self.gateway.next_id();
        let mut link = Link::new(at, socket);
        if outcome == 1 {
            link.break_off(self.now, &self.random);
        }
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
                let resume = resume
                    .as_ref()
                    .map(|Position { epoch, offset }| Position { epoch: &**epoch, offset: *offset });
                let text = ClientFrame::<&str, &str>::Sub { channel: &channel, resume }.to_json();
                assert!(link.asked.insert(channel), "subscribed twice: {text}");
                text
            }
            Outgoing::Unsubscribe(channel) => {
                assert!(link.asked.remove(&channel), "never subscribed: {channel}");
                self.checker.unsubscribed(at, &channel);
                ClientFrame::<&str, &str>::Unsub { channel: &channel }.to_json()
            }
            Outgoing::Publish { frame: Note { channel, number }, request } => {
                let accepted = link.session.is_some();
                self.checker.handed(at, number, id, accepted);
                let event = &*number.to_string();
                ClientFrame::<&str, &str>::Pub { channel, event, data: None, request, key: None }.to_json()
            }
            Outgoing::History { .. } => panic!("nobody asks for history"),
        };
        link.up.send(self.now, &self.random, Item::Text(text), self.fault);
    }

    pub(crate) fn client_receives(&mut self, id: u64, item: Item) {
        let link = self.links.get_mut(&id).expect("a link");
        let (at, socket, now) = (link.client, link.socket, self.now);
        let peer = &mut self.peers[at];
        match item {
            Item::Text(text) => {
                peer.core.receive(now, socket, read(&text), |name| peer.names.get(name).copied());
            }
            Item::End(code) => {
                link.heard = false;
                peer.link = None;
                peer.core.closed(now, socket, Closed { code, reason: String::new(), clean: code != 1006 });
            }
        }
        self.client(at);
    }

    pub(crate) fn client_timer(&mut self, at: usize) {
        let core = &mut self.peers[at].core;
        if let Some(due) = core.deadline().filter(|due| *due <= self.now) {
            core.timer(self.now, due);
            self.client(at);
        }
    }
}

/// What the client's owner makes of a text frame.
fn read(text: &str) -> Option<ServerFrame<String, String>> {
    Some(match ServerFrame::parse(text)? {
        ServerFrame::Welcome { id, version, keepalive_ms } => {
            ServerFrame::Welcome { id: id.into(), version, keepalive_ms }
        }
        ServerFrame::Ok { channel, .. } => {
            ServerFrame::Ok { channel: channel.into(), position: None, recovery: None }
        }
        ServerFrame::Err { channel, reason, request } => {
            ServerFrame::Err { channel: channel.into(), reason: reason.into(), request }
        }
        ServerFrame::Msg { channel, event, data, id, offset, previous } => ServerFrame::Msg {
            channel: channel.into(),
            event: event.into(),
            data: data.into(),
            id: id.into(),
            offset,
            previous,
        },
        ServerFrame::Ping => ServerFrame::Ping,
        _ => return None,
    })
}
