//! What holds in every story.
//!
//! Each publish has a number that is its event's name; each event has its place in its channel, counted from 1, as
//! its data. So a client's view of a channel tells at once what is missing, repeated or out of order.

use crate::world::{CHANNELS, CLIENTS};
use std::collections::{HashMap, VecDeque};

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The client has it.
    Waits,
    /// A socket has it, or the gateway.
    Sent,
    /// The backplane has it.
    Published,
    /// The application said no.
    Refused,
    /// The client said that it will not be sent.
    Dropped,
    /// It was on its way when its connection ended.
    Lost,
}

/// What a client may get of a channel next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// Nothing: it is not subscribed.
    #[default]
    Nothing,
    /// It has left, and what was on its way may still come.
    Later,
    /// This event and no other.
    Exactly(u64),
}

/// A channel as a client sees it.
#[derive(Default)]
struct View {
    last: u64,
    next: Next,
}

/// Publishes on a link, in the client's order.
#[derive(Default)]
struct Publishes {
    under_way: VecDeque<u64>,
    /// The session has them.
    arrived: VecDeque<u64>,
}

#[derive(Default)]
pub(crate) struct Checker {
    /// By number.
    fates: Vec<Fate>,
    /// What each client sent last.
    handed: [Option<u64>; CLIENTS],
    publishes: HashMap<u64, Publishes>,
    /// The events of each channel.
    history: HashMap<String, Vec<u64>>,
    /// How many events a channel had when a link became its subscriber.
    joined_at: HashMap<(u64, String), u64>,
    views: [HashMap<String, View>; CLIENTS],
}

impl Checker {
    /// A new publish: its number, which is above all before it.
    pub(crate) fn noted(&mut self) -> u64 {
        self.fates.push(Fate::Waits);
        self.fates.len() as u64 - 1
    }

    /// A client has handed a publish to its socket. `open`: the gateway has not ended the connection yet.
    pub(crate) fn handed(&mut self, client: usize, note: u64, link: u64, open: bool) {
        self.turn(note, Fate::Waits, if open { Fate::Sent } else { Fate::Lost });
        let before = self.handed[client].replace(note);
        assert!(before < Some(note), "client {client} sends publish {note} after {before:?}");
        if open {
            self.publishes.entry(link).or_default().under_way.push_back(note);
        }
    }

    /// The client will not send a publish.
    pub(crate) fn dropped(&mut self, note: u64) {
        self.turn(note, Fate::Waits, Fate::Dropped);
    }

    pub(crate) fn arrived(&mut self, note: u64, link: u64) {
        let publishes = self.publishes.entry(link).or_default();
        assert_eq!(publishes.under_way.pop_front(), Some(note), "arrives in its turn, once");
        publishes.arrived.push_back(note);
    }

    /// The session wants it published.
    pub(crate) fn taken(&mut self, note: u64, link: u64) {
        let arrived = &mut self.publishes.entry(link).or_default().arrived;
        assert_eq!(arrived.pop_front(), Some(note), "published in its turn, once");
    }

    /// The session waits for no answer: then no publish waits in it.
    pub(crate) fn idle(&self, link: u64) {
        let waiting = self.publishes.get(&link).map(|publishes| &publishes.arrived);
        assert!(waiting.is_none_or(VecDeque::is_empty), "waits for nothing: {waiting:?}");
    }

    pub(crate) fn refused(&mut self, note: u64) {
        self.turn(note, Fate::Sent, Fate::Refused);
    }

    /// The backplane has taken a publish: how many events its channel has now.
    pub(crate) fn published(&mut self, note: u64, channel: &str) -> u64 {
        self.turn(note, Fate::Sent, Fate::Published);
        let history = self.history.entry(channel.to_owned()).or_default();
        history.push(note);
        history.len() as u64
    }

    /// The gateway's end of a connection has ended. `broken`: by the network or by the gateway.
    pub(crate) fn ended(&mut self, link: u64, broken: bool) {
        let Publishes { under_way, arrived } = self.publishes.remove(&link).unwrap_or_default();
        assert!(broken || under_way.is_empty(), "sent before the close, and never arrived: {under_way:?}");
        under_way.into_iter().chain(arrived).for_each(|note| self.turn(note, Fate::Sent, Fate::Lost));
    }

    pub(crate) fn attached(&mut self, link: u64, channel: &str) {
        self.joined_at.insert((link, channel.to_owned()), self.count(channel));
    }

    /// The client knows that it is live.
    pub(crate) fn subscribed(&mut self, client: usize, link: u64, channel: &str) {
        let joined_at = self.joined_at.get(&(link, channel.to_owned()));
        let first = joined_at.expect("a subscriber at the gateway") + 1;
        self.view(client, channel).next = Next::Exactly(first);
    }

    /// The user has left.
    pub(crate) fn left(&mut self, client: usize, channel: &str) {
        let view = self.view(client, channel);
        if view.next != Next::Nothing {
            view.next = Next::Later;
        }
    }

    /// The client has said so to the gateway, which may have sent events until then.
    pub(crate) fn unsubscribed(&mut self, client: usize, channel: &str) {
        self.view(client, channel).next = Next::Later;
    }

    pub(crate) fn disconnected(&mut self, client: usize) {
        self.views[client].values_mut().for_each(|view| view.next = Next::Nothing);
    }

    /// A client's listener got an event.
    pub(crate) fn delivered(&mut self, client: usize, channel: &str, event: &str, data: &str) {
        let place: u64 = data.parse().expect("an event's data is its place");
        let note = self.history[channel].get(place as usize - 1).map(u64::to_string);
        assert_eq!(note.as_deref(), Some(event), "{channel}: the event at {place}");
        let view = self.view(client, channel);
        let last = std::mem::replace(&mut view.last, place);
        assert!(place > last, "client {client}, {channel}: {place} after {last}");
        match view.next {
            Next::Nothing => panic!("client {client}, {channel}: {place} without a subscription"),
            Next::Later => {}
            Next::Exactly(next) => {
                assert_eq!(place, next, "client {client}, {channel}: the next event");
                view.next = Next::Exactly(next + 1);
            }
        }
    }

    /// Nothing waits, and everyone has seen everything and is live.
    pub(crate) fn finish(&self) {
        for (note, fate) in self.fates.iter().enumerate() {
            assert!(![Fate::Waits, Fate::Sent].contains(fate), "publish {note} at the end: {fate:?}");
        }
        for channel in CHANNELS {
            for (client, views) in self.views.iter().enumerate() {
                let next = views.get(channel).map(|view| view.next);
                let expected = Next::Exactly(self.count(channel) + 1);
                assert_eq!(next, Some(expected), "client {client}, {channel}: live at the end");
            }
        }
    }

    fn count(&self, channel: &str) -> u64 {
        self.history.get(channel).map_or(0, |history| history.len() as u64)
    }

    fn view(&mut self, client: usize, channel: &str) -> &mut View {
        self.views[client].entry(channel.to_owned()).or_default()
    }

    fn turn(&mut self, note: u64, from: Fate, to: Fate) {
        let fate = &mut self.fates[note as usize];
        assert_eq!(*fate, from, "publish {note}, now {to:?}");
        *fate = to;
    }
}
