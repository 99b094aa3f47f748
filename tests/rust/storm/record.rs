//! What clients saw, and what they must have seen.

use std::collections::{BTreeMap, HashMap};
use tidings_server::Gateway;
use tokio::time::Instant;

/// An epoch and an offset.
pub(crate) type Spot = (String, u64);

/// What happened to a client on a channel.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It is live, after there.
    Live(Spot),
    /// An event, by its name.
    Event(String),
    /// It was told that events are missing, and where it goes on.
    Gap(String, Option<Spot>),
}

/// What was said of a publish.
#[derive(Debug)]
pub(crate) enum Fate {
    Unknown,
    Accepted { id: String, offset: Option<u64> },
    Dropped(String),
}

/// What one client saw.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) channels: BTreeMap<String, Vec<Entry>>,
    /// In the order of publishing.
    publishes: Vec<(&'static str, String, Fate)>,
    pub(crate) opened: Vec<Instant>,
    pub(crate) drained: u32,
}

impl Log {
    pub(crate) fn push(&mut self, channel: String, entry: Entry) {
        self.channels.entry(channel).or_default().push(entry);
    }

    pub(crate) fn published(&mut self, channel: &'static str, name: &str) {
        self.publishes.push((channel, name.to_owned(), Fate::Unknown));
    }

    pub(crate) fn acknowledged(&mut self, name: &str, id: String, offset: Option<u64>) {
        self.settle(name, Fate::Accepted { id, offset });
    }

    pub(crate) fn dropped(&mut self, name: &str, reason: String) {
        self.settle(name, Fate::Dropped(reason));
    }

    fn settle(&mut self, name: &str, fate: Fate) {
        let publish = self.publishes.iter_mut().rfind(|(_, other, _)| other == name).expect("a publish");
        assert!(matches!(publish.2, Fate::Unknown), "{name}: {fate:?} after {:?}", publish.2);
        publish.2 = fate;
    }

    pub(crate) fn is_settled(&self) -> bool {
        !self.publishes.iter().any(|(.., fate)| matches!(fate, Fate::Unknown))
    }

    /// How many events it got, and gaps.
    pub(crate) fn count(&self) -> (usize, usize) {
        let entries = || self.channels.values().flatten();
        let events = entries().filter(|entry| matches!(entry, Entry::Event(_))).count();
        (events, entries().filter(|entry| matches!(entry, Entry::Gap(..))).count())
    }
}

/// What was published on a channel: each event once, with its place over all gateways.
#[derive(Default)]
struct Channel {
    /// The place of the first event of each epoch.
    epochs: HashMap<String, u64>,
    /// By name: its place, id and offset.
    events: HashMap<String, (u64, String, u64)>,
}

/// What the gateways have accepted.
#[derive(Default)]
pub(crate) struct Record(BTreeMap<&'static str, Channel>);

impl Record {
    /// Adds what a gateway has accepted since it began.
    pub(crate) async fn add(&mut self, gateway: &Gateway, channels: &[&'static str]) {
        for &channel in channels {
            let page = gateway.history(channel, None, usize::MAX).await.expect("open");
            let page = page.expect("a channel with history");
            let record = self.0.entry(channel).or_default();
            let before = record.events.len() as u64;
            record.epochs.insert(page.end.epoch.to_string(), before);
            assert_eq!(page.events.len() as u64, page.end.offset, "everything is kept");
            for (place, event) in (before..).zip(&page.events) {
                let name = event.event.name().to_owned();
                let offset = event.place.as_ref().expect("a place").position.offset;
                let twice = record.events.insert(name, (place, event.id.to_string(), offset));
                assert!(twice.is_none(), "{channel}: {} was published twice", event.event.name());
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.values().map(|channel| channel.events.len()).sum()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.values().any(|channel| channel.events.contains_key(name))
    }

    /// Each event once and in order, or told; each publish answered, and where the answer says.
    pub(crate) fn check(&self, who: usize, log: &Log) {
        let mut last: HashMap<&str, u64> = HashMap::new();
        for (channel, name, fate) in &log.publishes {
            let event = self.0[channel].events.get(name);
            match fate {
                Fate::Unknown => panic!("client {who}: nobody knows what became of {name}"),
                Fate::Accepted { id, offset } => {
                    let (place, really, at) =
                        event.unwrap_or_else(|| panic!("{name}: accepted, and not there"));
                    assert_eq!((id, offset), (really, &Some(*at)), "{name}: where it is");
                    let before = last.insert(channel, *place);
                    assert!(before < Some(*place), "client {who}: {name} before the one before it");
                }
                Fate::Dropped(reason) if reason == "unacknowledged" => {}
                Fate::Dropped(reason) => assert!(event.is_none(), "{name}: {reason}, and it is there"),
            }
        }
        for (channel, entries) in &log.channels {
            self.check_channel(who, channel, entries);
        }
    }

    fn check_channel(&self, who: usize, name: &str, entries: &[Entry]) {
        let channel = &self.0[name];
        let place = |(epoch, offset): &Spot| channel.epochs[epoch] + offset;
        let mut next = None;
        for entry in entries {
            match entry {
                Entry::Live(spot) => {
                    let next = *next.get_or_insert_with(|| place(spot));
                    assert!(
                        next <= place(spot),
                        "client {who}, {name}: live from {spot:?}, with {next} to come"
                    );
                }
                Entry::Gap(_, spot) => next = spot.as_ref().map(place),
                Entry::Event(event) => {
                    let at = channel.events[event].0;
                    assert_eq!(Some(at), next, "client {who}, {name}: the place of {event}");
                    next = Some(at + 1);
                }
            }
        }
        assert_eq!(next, Some(channel.events.len() as u64), "client {who}, {name}: everything");
    }
}
