//! What holds in every story.
//!
//! Each publish has a number that is its event's name; each event has its place in its channel, counted from 1 over
//! all epochs, as its data. So a client's view of a channel tells at once what is missing, repeated or out of order.

use crate::{
    plan::Plan,
    wire::Wire,
    world::{CHANNELS, CLIENTS},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    rc::Rc,
    sync::Arc,
};
use tidings_client_core::reason;
use tidings_protocol::{Position, Recovery, ServerFrame, Text, reason as refusal};
use tidings_server::Published;

/// One publish in so many is one that the application does not allow.
const DENIED: u64 = 12;

/// A publish, and what became of it.
struct Publish {
    client: usize,
    channel: &'static str,
    /// It was handed to a socket, of a connection that acknowledges or of one that does not.
    sent: bool,
    sent_unacknowledged: bool,
    /// An attempt was refused, or ended with its connection.
    ended: bool,
    /// Where it is in its channel.
    places: Vec<u64>,
    told: Option<Told>,
}

#[derive(Debug)]
enum Told {
    Accepted,
    Dropped,
}

/// An event that was accepted.
struct Entry {
    note: u64,
    /// How many epochs came before, and its offset.
    position: Option<(usize, u64)>,
}

/// What a client gets of a channel next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// Nothing: it is not subscribed.
    #[default]
    Nothing,
    /// Any event after the last one.
    Any,
    /// This event or one before it.
    UpTo(u64),
    /// This event and no other.
    Exactly(u64),
}

/// A channel as a client sees it.
#[derive(Default)]
struct View {
    live: bool,
    next: Next,
    /// It has a position, so that it goes on where it was when it is live again.
    held: bool,
    /// A gap was told, and it is not live since.
    gap: bool,
    last: u64,
    /// On which link that one came.
    link: u64,
    /// It was left on this link, and what was on its way may still come.
    late: Option<u64>,
    seen: HashSet<u64>,
}

/// Publishes on a link, in the client's order.
#[derive(Default)]
struct Publishes {
    last: Option<u64>,
    under_way: VecDeque<u64>,
    /// The session has them.
    arrived: VecDeque<u64>,
    /// How many of them the session has an answer for, and has not given it yet.
    unanswered: u64,
}

pub(crate) struct Checker {
    plan: Rc<Plan>,
    publishes: Vec<Publish>,
    /// The place of the last acknowledged publish of each client on each channel.
    acknowledged: HashMap<(usize, &'static str), u64>,
    links: HashMap<u64, Publishes>,
    old_links: HashSet<u64>,
    history: HashMap<String, Vec<Entry>>,
    places: HashMap<String, u64>,
    /// The epochs of each channel, the first one first.
    epochs: HashMap<&'static str, Vec<Arc<str>>>,
    /// How many events a channel had when a link became its subscriber.
    joined_at: HashMap<(u64, String), u64>,
    views: [HashMap<String, View>; CLIENTS],
    wire: Wire,
    tally: Tally,
}

/// What happened, to see that the stories are about something.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn count(&mut self, what: &str) {
        *self.0.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub(crate) fn get(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }
}

impl Checker {
    pub(crate) fn new(plan: Rc<Plan>) -> Self {
        Self {
            plan,
            publishes: Vec::new(),
            acknowledged: HashMap::new(),
            links: HashMap::new(),
            old_links: HashSet::new(),
            history: HashMap::new(),
            places: HashMap::new(),
            epochs: HashMap::new(),
            joined_at: HashMap::new(),
            views: Default::default(),
            wire: Wire::default(),
            tally: Tally::default(),
        }
    }

    /// A new publish: its number, which is above all before it.
    pub(crate) fn noted(&mut self, client: usize, channel: &'static str) -> u64 {
        self.publishes.push(Publish {
            client,
            channel,
            sent: false,
            sent_unacknowledged: false,
            ended: false,
            places: Vec::new(),
            told: None,
        });
        self.publishes.len() as u64 - 1
    }

    /// Whether the application does not allow a publish.
    pub(crate) fn is_denied(&self, note: u64) -> bool {
        note % DENIED == DENIED - 1
    }

    /// A link was opened, between peers of which one or both are `old`.
    pub(crate) fn opened(&mut self, link: u64, old: bool) {
        if old {
            self.old_links.insert(link);
        }
    }

    /// A client has handed a publish to its socket. `open`: the gateway has not ended the connection yet.
    pub(crate) fn handed(&mut self, client: usize, note: u64, link: u64, open: bool) {
        let old = self.old_links.contains(&link);
        let publish = &mut self.publishes[note as usize];
        assert!(publish.told.is_none(), "publish {note} is sent, and was {:?} before", publish.told);
        let again = publish.sent_unacknowledged || old && publish.sent;
        assert!(!again, "publish {note} is sent again");
        publish.sent = true;
        publish.sent_unacknowledged = old;
        publish.ended |= !open;
        let publishes = self.links.entry(link).or_default();
        let before = publishes.last.replace(note);
        assert!(before < Some(note), "client {client} sends publish {note} after {before:?}");
        if open {
            publishes.under_way.push_back(note);
        }
    }

    /// The client has said that a publish failed.
    pub(crate) fn dropped(&mut self, note: u64, why: &str) {
        let failures = self.plan.failures;
        let denied = self.is_denied(note);
        self.tally.count(&format!("dropped: {why}"));
        let publish = self.tell(note, Told::Dropped);
        match why {
            reason::OUTBOX_FULL | reason::EXPIRED | reason::DISCONNECTED => {
                assert!(!publish.sent, "publish {note} was sent, and is said to be dropped: {why}");
            }
            reason::UNACKNOWLEDGED => assert!(publish.sent, "publish {note} was not sent"),
            refusal::PUBLISH_DENIED => assert!(denied && publish.places.is_empty(), "publish {note}: {why}"),
            refusal::PUBLISH_FAILED => assert!(failures, "publish {note}: {why}"),
            _ => panic!("publish {note}: {why}"),
        }
    }

    pub(crate) fn acknowledged(&mut self, note: u64, id: &str, offset: Option<u64>) {
        self.tally.count("acknowledged");
        let place = self.places.get(id).copied();
        let publish = self.tell(note, Told::Accepted);
        let place = place.filter(|place| publish.places.contains(place));
        let place =
            place.unwrap_or_else(|| panic!("publish {note} is acknowledged, and is not in its channel"));
        let key = (publish.client, publish.channel);
        let entry = &self.history[key.1][place as usize - 1];
        assert_eq!(entry.position.map(|(_, offset)| offset), offset, "publish {note}: its offset");
        let before = self.acknowledged.insert(key, place);
        // A failure that the client was not told of is made good after those behind it; so is what an epoch took along.
        let ordered = before < Some(place) || self.plan.failures || self.plan.epochs;
        assert!(ordered, "publish {note} is at {place}, and the one before it at {before:?}");
    }

    fn tell(&mut self, note: u64, told: Told) -> &mut Publish {
        let publish = &mut self.publishes[note as usize];
        assert!(publish.told.is_none(), "publish {note}: {told:?} after {:?}", publish.told);
        publish.told = Some(told);
        publish
    }

    pub(crate) fn arrived(&mut self, note: u64, link: u64) {
        let publishes = self.links.entry(link).or_default();
        assert_eq!(publishes.under_way.pop_front(), Some(note), "arrives in its turn, once");
        publishes.arrived.push_back(note);
    }

    /// The session wants it published.
    pub(crate) fn taken(&mut self, note: u64, link: u64) {
        let arrived = &mut self.links.entry(link).or_default().arrived;
        assert_eq!(arrived.pop_front(), Some(note), "published in its turn, once");
    }

    /// The session hears what became of a publish, of which it will tell the client.
    pub(crate) fn owes(&mut self, link: u64) {
        self.links.entry(link).or_default().unanswered += 1;
    }

    /// An answer was held back.
    pub(crate) fn paced(&mut self) {
        self.tally.count("paced");
    }

    /// The session waits for no answer: then no publish waits in it.
    pub(crate) fn idle(&self, link: u64) {
        let waiting = self.links.get(&link).map(|publishes| &publishes.arrived);
        assert!(waiting.is_none_or(VecDeque::is_empty), "waits for nothing: {waiting:?}");
    }

    /// The application or the backplane has refused an attempt.
    pub(crate) fn refused(&mut self, note: u64) {
        self.publishes[note as usize].ended = true;
    }

    /// The backplane has taken a publish, now or before.
    pub(crate) fn accepted(&mut self, note: u64, channel: &str, published: &Published) {
        let id = published.id.to_string();
        let known = self.places.get(&id).copied();
        let publish = &mut self.publishes[note as usize];
        if let Some(place) = known {
            self.tally.count("repeated");
            return assert!(publish.places.contains(&place), "publish {note}: another one's place");
        }
        let epochs = self.epochs.get(channel).map_or(1, Vec::len);
        assert!(publish.places.len() < epochs, "publish {note} is in {channel} twice");
        let position = published.position.as_ref().map(|at| (epochs - 1, at.offset));
        let history = self.history.entry(channel.to_owned()).or_default();
        history.push(Entry { note, position });
        publish.places.push(history.len() as u64);
        self.places.insert(id, history.len() as u64);
    }

    /// The gateway's end of a connection has ended. `broken`: by the network or by the gateway.
    pub(crate) fn ended(&mut self, link: u64, broken: bool) {
        let Publishes { under_way, arrived, unanswered, .. } = self.links.remove(&link).unwrap_or_default();
        assert_eq!(
            unanswered, 0,
            "publishes that the gateway has had accepted or refused, and never answered"
        );
        assert!(broken || under_way.is_empty(), "sent before the close, and never arrived: {under_way:?}");
        under_way.into_iter().chain(arrived).for_each(|note| self.publishes[note as usize].ended = true);
    }

    /// A channel's offsets cannot be compared any more with those before.
    pub(crate) fn epoch(&mut self, channel: &'static str, epoch: Arc<str>) {
        self.epochs.entry(channel).or_default().push(epoch);
    }

    /// A `sub` has reached the gateway.
    pub(crate) fn asked(&mut self, link: u64, channel: &str, resume: Option<Position<&str>>) {
        self.wire.asked(link, channel, resume);
    }

    /// The gateway sends a frame to a client that speaks version 2 with it.
    pub(crate) fn said(&mut self, link: u64, frame: &ServerFrame<Text<'_>, &str>) {
        if let ServerFrame::Ok { recovery: Some(Recovery::Recovered { count }), .. } = frame {
            self.tally.count(if *count > 0 { "replayed" } else { "resumed" });
        }
        if let ServerFrame::Ack { .. } | ServerFrame::Err { request: Some(_), .. } = frame {
            let publishes = self.links.entry(link).or_default();
            publishes.unanswered = publishes.unanswered.checked_sub(1).expect("one answer for each publish");
        }
        self.wire.said(link, frame);
    }

    pub(crate) fn attached(&mut self, link: u64, channel: &str) {
        self.joined_at.insert((link, channel.to_owned()), self.count(channel));
    }

    /// A user wants a channel that was not wanted before.
    pub(crate) fn wanted(&mut self, client: usize, channel: &str, live: bool, link: Option<u64>) {
        let next = Next::UpTo(self.count(channel) + 1);
        let held = live && self.holds(link, channel);
        let view = self.view(client, channel);
        *view = View { live, held, last: view.last, link: view.link, late: view.late, ..View::default() };
        if live {
            view.next = next;
        }
    }

    /// The client knows that it is live.
    pub(crate) fn subscribed(
        &mut self,
        client: usize,
        link: u64,
        channel: &str,
        told: Option<&Position<String>>,
    ) {
        let joined_at =
            *self.joined_at.get(&(link, channel.to_owned())).expect("a subscriber at the gateway");
        let holds = self.holds(Some(link), channel);
        assert_eq!(holds, told.is_some(), "client {client}, {channel}: a position, where there is one");
        let fresh = told.map_or_else(
            || self.up_to(joined_at),
            |position| Next::Exactly(self.place(channel, position) + 1),
        );
        let view = self.view(client, channel);
        if !view.gap && !view.held {
            view.next = fresh;
            if holds || view.last > 0 && view.link != link {
                view.seen.clear();
            }
        }
        (view.live, view.held, view.gap) = (true, holds, false);
    }

    /// The client has been told that events are missing.
    pub(crate) fn gap(
        &mut self,
        client: usize,
        link: u64,
        channel: &str,
        why: &str,
        told: Option<&Position<String>>,
    ) {
        self.tally.count(&format!("gap: {why}"));
        let plan = self.plan.clone();
        let kept = plan.history_of(channel) as u64;
        let count = self.count(channel);
        let restarts = plan.epochs || plan.losses;
        let old_link = self.old_links.contains(&link);
        let joined_at = self.joined_at.get(&(link, channel.to_owned())).copied().unwrap_or_default();
        let next = match told {
            Some(position) => Next::Exactly(self.place(channel, position) + 1),
            None if why == reason::HOLE => Next::Any,
            None => self.up_to(joined_at),
        };
        let view = self.view(client, channel);
        // How many events it had not got yet.
        let missed = match view.next {
            Next::Exactly(next) => (count + 1).saturating_sub(next),
            _ => count,
        };
        assert!(view.held, "client {client}, {channel}: a gap ({why}) without a position");
        let fits = match why {
            "epoch" => plan.epochs,
            "backplane" => restarts,
            // With leaks it may have been told of the same loss by a gap, while it resumed.
            "expired" => missed > kept || plan.epochs || plan.leaks && plan.losses,
            "limit" => missed > plan.resume_events as u64,
            "unavailable" => plan.failures || restarts || old_link,
            reason::HOLE => plan.leaks,
            _ => false,
        };
        assert!(fits, "client {client}, {channel}: {why}, having missed {missed} of {count}");
        (view.next, view.gap) = (next, !view.live);
        if why == reason::HOLE {
            view.gap = false;
        }
    }

    /// The user has left.
    pub(crate) fn left(&mut self, client: usize, channel: &str, link: Option<u64>) {
        let view = self.view(client, channel);
        *view = View { last: view.last, link: view.link, late: link, ..View::default() };
    }

    pub(crate) fn disconnected(&mut self, client: usize) {
        for view in self.views[client].values_mut() {
            (view.live, view.gap) = (false, false);
            if !view.held {
                view.next = Next::Nothing;
            }
        }
    }

    /// A client's listener got an event, whose order is known by its offset or only by when it came.
    pub(crate) fn delivered(
        &mut self,
        client: usize,
        link: u64,
        channel: &str,
        event: &str,
        data: &str,
        placed: bool,
    ) {
        self.tally.count("delivered");
        let place: u64 = data.parse().expect("an event's data is its place");
        let note = self.history[channel].get(place as usize - 1).map(|entry| entry.note.to_string());
        assert_eq!(note.as_deref(), Some(event), "{channel}: the event at {place}");
        let old = self.old_links.contains(&link);
        let prompt = self.plan.is_prompt();
        let untold = self.plan.losses || self.plan.epochs;
        let view = self.view(client, channel);
        let who = format!("client {client}, {channel}");
        let late = !view.live && view.late == Some(link) && (old || !placed);
        assert!(view.live || late, "{who}: {place} without a subscription");
        let same = view.link == link || prompt || (placed && !old);
        let last = std::mem::replace(&mut view.last, place);
        view.link = link;
        assert!(place > last || !same, "{who}: {place} after {last}");
        let new = view.seen.insert(place);
        assert!(new || old && !same, "{who}: {place} twice");
        if late {
            return;
        }
        let missing = match view.next {
            Next::Nothing => panic!("{who}: {place} without a subscription"),
            Next::Any => place..place,
            Next::UpTo(next) => next..place,
            Next::Exactly(next) => {
                assert!(place >= next || !placed || old, "{who}: {place} instead of {next}");
                next..place
            }
        };
        // Without places, what another gateway sent before is not sent on.
        let missing: Vec<u64> = missing.filter(|place| placed || !view.seen.contains(place)).collect();
        if old && untold {
            view.next = Next::Exactly(place + 1);
            return;
        }
        assert!(missing.is_empty(), "{who}: {place}, and {missing:?} is missing");
        view.next = Next::Exactly(place + 1);
    }

    /// A publish of which nobody knows yet what became of it.
    pub(crate) fn unknown(&self) -> Option<usize> {
        self.publishes.iter().position(|publish| {
            let done = publish.ended || !publish.places.is_empty();
            publish.told.is_none() && !(publish.sent_unacknowledged && done)
        })
    }

    /// Nothing waits, and everyone has seen everything and is live.
    pub(crate) fn finish(self) -> Tally {
        assert_eq!(self.unknown(), None, "a publish of which nobody knows what became of it");
        for channel in CHANNELS {
            for (client, views) in self.views.iter().enumerate() {
                let view = views.get(channel).map(|view| (view.live, view.next));
                let expected =
                    [Next::Exactly(self.count(channel) + 1), Next::Any].map(|next| Some((true, next)));
                assert!(expected.contains(&view), "client {client}, {channel}: {view:?} at the end");
            }
        }
        self.tally
    }

    pub(crate) fn count(&self, channel: &str) -> u64 {
        self.history.get(channel).map_or(0, |history| history.len() as u64)
    }

    /// Whether a client that is live on this link has a position.
    fn holds(&self, link: Option<u64>, channel: &str) -> bool {
        link.is_some_and(|link| !self.old_links.contains(&link)) && self.plan.history_of(channel) > 0
    }

    /// The first event after the `count`th, when that is known exactly.
    fn up_to(&self, count: u64) -> Next {
        if self.plan.is_prompt() { Next::Exactly(count + 1) } else { Next::UpTo(count + 1) }
    }

    /// How many events of a channel come before or are at a position.
    fn place(&self, channel: &str, position: &Position<String>) -> u64 {
        let epochs = self.epochs.get(channel).expect("a channel with history");
        let epoch =
            epochs.iter().position(|epoch| **epoch == *position.epoch).expect("an epoch of the channel");
        let before = |entry: &Entry| entry.position <= Some((epoch, position.offset));
        self.history.get(channel).map_or(0, |history| history.partition_point(before) as u64)
    }

    fn view(&mut self, client: usize, channel: &str) -> &mut View {
        self.views[client].entry(channel.to_owned()).or_default()
    }
}
