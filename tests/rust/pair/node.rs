//! What lies between the backplane and the sessions of a gateway: as in the server, each channel has one route per
//! gateway with its tail, and each worker thread a hub with the channel's subscribers, behind a queue of posts.

use crate::{
    gateway::Job,
    plan::{Fault, Plan},
    world::World,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
};
use tidings_protocol::{ServerFrame, Why};
use tidings_server::{
    Delivery, Notice, Page, Position,
    session::{Attached, Effect},
    subscribers::{Joined, Subscribers},
    tail::{Replay, Tail, Verdict},
};

/// The most bytes that are replayed to one client.
const REPLAY_BYTES: usize = 512 * 1024;

/// A worker thread of a gateway.
pub(crate) type HubId = (usize, u64);

/// A channel at a gateway, while there is somebody for it.
struct Route {
    node: usize,
    channel: Arc<str>,
    tail: Tail,
    subscribed: bool,
    /// The hubs that get its events.
    hubs: Vec<HubId>,
    /// Those of them that wait for the subscription, the one that has asked for it first.
    joining: VecDeque<HubId>,
    /// Who has history read, one after the other: the first one now.
    reading: VecDeque<(HubId, Position)>,
}

enum Channel {
    Joining { waiting: Vec<(u64, Option<Position>)> },
    Live { route: u64, subscribers: Subscribers<u64> },
}

#[derive(Clone)]
enum Post {
    Event { frame: String, position: Option<Position> },
    Gap { frame: String, position: Position },
}

#[derive(Default)]
struct Hub {
    channels: BTreeMap<Arc<str>, Channel>,
    posts: VecDeque<(u64, Arc<str>, Post)>,
}

pub(crate) struct Nodes {
    plan: Rc<Plan>,
    hubs: BTreeMap<HubId, Hub>,
    routes: BTreeMap<u64, Route>,
    /// The route of a channel at a gateway.
    current: BTreeMap<(usize, Arc<str>), u64>,
    /// Who waits to be subscribed, and to what.
    waiting: BTreeSet<(u64, Arc<str>)>,
    /// With [`Fault::ReplayAfterLive`]: what is yet to be replayed.
    late: BTreeMap<u64, Vec<String>>,
}

impl Nodes {
    pub(crate) fn new(plan: &Rc<Plan>) -> Self {
        let nodes = 0..plan.old_nodes.len();
        let hubs = nodes.flat_map(|node| (0..plan.hubs).map(move |hub| ((node, hub), Hub::default())));
        Self {
            plan: plan.clone(),
            hubs: hubs.collect(),
            routes: BTreeMap::new(),
            current: BTreeMap::new(),
            waiting: BTreeSet::new(),
            late: BTreeMap::new(),
        }
    }

    pub(crate) fn due(&self) -> Option<u64> {
        self.hubs.values().filter_map(|hub| hub.posts.front()).map(|(at, ..)| *at).min()
    }

    /// Whether a link waits to be subscribed.
    pub(crate) fn waits(&self, id: u64) -> bool {
        self.waiting.iter().any(|(link, _)| *link == id)
    }

    /// Whether a link is subscribed to anything, or waits for that.
    pub(crate) fn knows(&self, id: u64) -> bool {
        self.waits(id) || self.subscribers().any(|(_, link)| link == id)
    }

    pub(crate) fn count(&self, channel: &str) -> usize {
        self.subscribers().filter(|(name, _)| *name == channel).count()
    }

    fn subscribers(&self) -> impl Iterator<Item = (&str, u64)> {
        self.hubs.values().flat_map(|hub| &hub.channels).flat_map(|(name, channel)| {
            let links: Vec<u64> = match channel {
                Channel::Joining { .. } => Vec::new(),
                Channel::Live { subscribers, .. } => subscribers.iter().copied().collect(),
            };
            links.into_iter().map(|link| (&**name, link))
        })
    }

    fn route(&mut self, id: u64) -> &mut Route {
        self.routes.get_mut(&id).expect("a route lives as long as somebody needs it")
    }

    fn hub(&mut self, id: HubId) -> &mut Hub {
        self.hubs.get_mut(&id).expect("a hub")
    }
}

impl World {
    fn hub_of(&self, link: u64) -> HubId {
        let link = &self.links[&link];
        (link.node, link.hub)
    }

    pub(crate) fn attach(
        &mut self,
        id: u64,
        channel: Arc<str>,
        resume: Option<Position>,
        effects: &mut VecDeque<Effect>,
    ) {
        let hub = self.hub_of(id);
        let nodes = &mut self.gateway.nodes;
        nodes.waiting.insert((id, channel.clone()));
        let (route, joined) = match nodes.hubs.get_mut(&hub).and_then(|hub| hub.channels.get_mut(&channel)) {
            Some(Channel::Live { route, subscribers }) => {
                let tail = &mut nodes.routes.get_mut(route).expect("a route").tail;
                (*route, subscribers.join(id, resume, |from, live| tail.replay(from, live)))
            }
            Some(Channel::Joining { waiting }) => return waiting.push((id, resume)),
            None => {
                let waiting = vec![(id, resume)];
                nodes.hub(hub).channels.insert(channel.clone(), Channel::Joining { waiting });
                return self.join_route(hub, channel);
            }
        };
        match joined {
            Joined::Now(attached) => self.attached(id, &channel, attached, effects),
            Joined::Later { read: Some(from) } => {
                let reading = &mut self.gateway.nodes.route(route).reading;
                reading.push_back((hub, from));
                if reading.len() == 1 {
                    self.do_now(Job::BeginToRead { route });
                }
            }
            Joined::Later { read: None } => {}
        }
    }

    fn attached(&mut self, id: u64, channel: &str, mut attached: Attached, effects: &mut VecDeque<Effect>) {
        if let Attached::Live { resumed: Some(resumed), .. } = &mut attached
            && resumed.is_err()
            && self.plan.has(Fault::LossNotTold)
        {
            *resumed = Ok(Vec::new());
        }
        self.gateway.nodes.waiting.remove(&(id, channel.into()));
        self.checker.attached(id, channel);
        if let Some(session) = self.links.get_mut(&id).and_then(|link| link.session.as_mut()) {
            session.attached(channel, attached, effects);
        }
    }

    pub(crate) fn replay(&mut self, id: u64, frames: Vec<Bytes>) {
        let mut frames: Vec<String> =
            frames.into_iter().map(|frame| String::from_utf8(frame.into()).expect("text is UTF-8")).collect();
        match self.plan.fault {
            Some(Fault::ReplayAfterLive) => {
                self.gateway.nodes.late.entry(id).or_default().extend(frames);
                return;
            }
            Some(Fault::ReplayOneFewer) => drop(frames.pop()),
            Some(Fault::ReplayOneMore) => {
                if let Some(first) = frames.first().cloned() {
                    frames.insert(0, first);
                }
            }
            _ => {}
        }
        frames.into_iter().for_each(|frame| self.down(id, frame));
    }

    pub(crate) fn detach(&mut self, id: u64, channel: &str, slot: Option<usize>) {
        let hub = self.hub_of(id);
        self.gateway.nodes.waiting.remove(&(id, channel.into()));
        let Some(entry) = self.gateway.nodes.hub(hub).channels.get_mut(channel) else {
            panic!("{channel}: nothing to detach from")
        };
        match (entry, slot) {
            (Channel::Live { subscribers, .. }, Some(slot)) => subscribers.leave(slot),
            (Channel::Live { subscribers, .. }, None) => subscribers.give_up(&id),
            (Channel::Joining { waiting }, _) => waiting.retain(|(link, _)| *link != id),
        }
        self.forget_idle(hub, channel);
    }

    fn forget_idle(&mut self, hub: HubId, channel: &str) {
        let channels = &mut self.gateway.nodes.hub(hub).channels;
        if let Some(Channel::Live { route, subscribers }) = channels.get(channel)
            && subscribers.is_idle()
        {
            let route = *route;
            channels.remove(channel);
            self.leave_route(hub, route);
        }
    }

    /// A hub wants the events of a channel.
    fn join_route(&mut self, hub: HubId, channel: Arc<str>) {
        let key = (hub.0, channel.clone());
        let id = match self.gateway.nodes.current.get(&key) {
            Some(id) => *id,
            None => {
                let id = self.gateway.next_id();
                self.gateway.nodes.current.insert(key, id);
                let route = Route {
                    node: hub.0,
                    channel,
                    tail: Tail::new(REPLAY_BYTES),
                    subscribed: false,
                    hubs: Vec::new(),
                    joining: VecDeque::new(),
                    reading: VecDeque::new(),
                };
                self.gateway.nodes.routes.insert(id, route);
                id
            }
        };
        let route = self.gateway.nodes.route(id);
        route.hubs.push(hub);
        if route.subscribed {
            return self.do_now(Job::Joined { hub, route: id });
        }
        route.joining.push_back(hub);
        if route.joining.len() == 1 {
            self.ask(Job::Subscribe { route: id });
        }
    }

    fn leave_route(&mut self, hub: HubId, id: u64) {
        let route = self.gateway.nodes.route(id);
        route.hubs.retain(|other| *other != hub);
        if route.hubs.is_empty() {
            let key = (route.node, route.channel.clone());
            self.backplane.unsubscribe(id);
            self.gateway.nodes.current.remove(&key);
            self.forget_route(id);
        }
    }

    fn forget_route(&mut self, id: u64) {
        let route = self.gateway.nodes.route(id);
        if route.hubs.is_empty() && route.reading.is_empty() {
            self.gateway.nodes.routes.remove(&id);
        }
    }

    /// The backplane gets to know of the subscription.
    pub(crate) fn subscribe(&mut self, id: u64) {
        let refused = self.refuses();
        let channel = self.gateway.nodes.route(id).channel.clone();
        if self.plan.has(Fault::LiveTooEarly) {
            self.subscribed(id, None, false);
            return self.ask(Job::Subscribed { route: id, position: None, refused: false });
        }
        let position = if refused { None } else { self.backplane.subscribe(id, &channel) };
        self.ask(Job::Subscribed { route: id, position, refused });
    }

    /// The gateway gets to know that it is.
    pub(crate) fn subscribed(&mut self, id: u64, position: Option<Position>, refused: bool) {
        if self.plan.has(Fault::LiveTooEarly)
            && self.gateway.nodes.routes.get(&id).is_none_or(|r| r.subscribed)
        {
            if let Some(route) = self.gateway.nodes.routes.get(&id) {
                let channel = route.channel.clone();
                self.backplane.subscribe(id, &channel);
            }
            return;
        }
        let route = self.gateway.nodes.route(id);
        if refused {
            let hub = route.joining.pop_front().expect("it has asked");
            if !route.joining.is_empty() {
                self.ask(Job::Subscribe { route: id });
            }
            return self.joined(hub, id, true);
        }
        route.subscribed = true;
        route.tail.start(position.as_ref());
        for hub in std::mem::take(&mut route.joining) {
            self.joined(hub, id, false);
        }
    }

    /// Everyone who waits on a hub for the channel goes on.
    pub(crate) fn joined(&mut self, hub: HubId, route: u64, refused: bool) {
        let Route { channel, tail, .. } = self.gateway.nodes.route(route);
        let (channel, position) = (channel.clone(), tail.position().cloned());
        let Some(Channel::Joining { waiting }) = self.gateway.nodes.hub(hub).channels.remove(&channel) else {
            panic!("{channel}: nobody joins")
        };
        if refused || waiting.is_empty() {
            self.leave_route(hub, route);
        } else {
            let live = Channel::Live { route, subscribers: Subscribers::new(position) };
            self.gateway.nodes.hub(hub).channels.insert(channel.clone(), live);
        }
        for (id, resume) in waiting {
            if refused {
                self.gateway.nodes.waiting.remove(&(id, channel.clone()));
                self.session(id, |session, effects| {
                    session.attached(&channel, Attached::Refused, effects);
                });
            } else {
                let mut effects = VecDeque::new();
                self.attach(id, channel.clone(), resume, &mut effects);
                self.apply(id, effects);
            }
        }
        self.forget_idle(hub, &channel);
    }

    pub(crate) fn begin_to_read(&mut self, id: u64) {
        while let Some(route) = self.gateway.nodes.routes.get_mut(&id)
            && let Some((hub, from)) = route.reading.front().cloned()
        {
            if route.tail.begin(&from) {
                return self.ask(Job::Read { route: id });
            }
            route.reading.pop_front();
            let channel = route.channel.clone();
            self.recovered(hub, id, &channel, &from, Ok(()), None);
        }
        if self.gateway.nodes.routes.contains_key(&id) {
            self.forget_route(id);
        }
    }

    pub(crate) fn read_history(&mut self, id: u64) {
        let limit = self.plan.resume_events;
        let route = self.gateway.nodes.route(id);
        let (_, from) = route.reading.front().expect("somebody reads");
        let page = self.backplane.history(&route.channel, from, limit);
        let fails = self.plan.failures && self.refuses();
        self.ask(Job::HaveRead { route: id, page: (!fails).then_some(page) });
    }

    pub(crate) fn have_read(&mut self, id: u64, page: Option<&Page>) {
        let route = self.gateway.nodes.route(id);
        let (hub, from) = route.reading.pop_front().expect("somebody reads");
        let outcome = match page {
            Some(page) => route.tail.fill(&from, page, |delivery| encode(delivery).into()),
            None => Err(Why::Unavailable),
        };
        let channel = route.channel.clone();
        let only_page = page.filter(|_| self.plan.has(Fault::NoBuffer));
        let only_page: Option<Vec<Bytes>> =
            only_page.map(|page| page.events.iter().map(|event| encode(event).into()).collect());
        self.recovered(hub, id, &channel, &from, outcome, only_page.as_deref());
        self.begin_to_read(id);
    }

    /// Everyone who waited on a hub for this piece of history goes on. `only`: with what is replayed, whatever the tail
    /// says.
    fn recovered(
        &mut self,
        hub: HubId,
        id: u64,
        channel: &Arc<str>,
        from: &Position,
        outcome: Result<(), Why>,
        only: Option<&[Bytes]>,
    ) {
        let why = outcome.err().unwrap_or(Why::Limit);
        loop {
            let nodes = &mut self.gateway.nodes;
            let Some(Channel::Live { route, subscribers }) =
                nodes.hubs.get_mut(&hub).and_then(|hub| hub.channels.get_mut(channel))
            else {
                return;
            };
            if *route != id {
                return;
            }
            let tail = &mut nodes.routes.get_mut(route).expect("a route").tail;
            let replay = |from: &Position, live: &Position| match &only {
                Some(frames) => Replay::Frames(frames.to_vec()),
                None => tail.replay(from, live),
            };
            let Some((id, attached)) = subscribers.recovered(from, why, replay) else { break };
            let mut effects = VecDeque::new();
            self.attached(id, channel, attached, &mut effects);
            self.apply(id, effects);
        }
        self.forget_idle(hub, channel);
    }

    /// What has arrived from the backplane, and then in front of the hubs.
    pub(crate) fn nodes_work(&mut self) {
        loop {
            if let Some((route, notice)) = self.backplane.next(self.now) {
                self.notice(route, &notice);
            } else if !self.hubs_work() {
                return;
            }
        }
    }

    fn notice(&mut self, id: u64, notice: &Notice) {
        let route = self.gateway.nodes.route(id);
        let gap = |position: &Position, why: Why| {
            let frame = ServerFrame::<_, &str>::Gap {
                channel: &*route.channel,
                position: position.as_deref(),
                why: why.as_str(),
            };
            Post::Gap { frame: frame.to_json(), position: position.clone() }
        };
        let mut posts = Vec::new();
        match notice {
            Notice::Gap { position, why } => {
                posts.push(gap(position, *why));
                route.tail.gap(position.clone());
            }
            Notice::Event(delivery) => {
                let frame = encode(delivery);
                if let Some(place) = &delivery.place {
                    match route.tail.live(place, || frame.clone().into()) {
                        Verdict::Next => {}
                        Verdict::Repeated => return,
                        Verdict::Gap => {
                            let epoch = place.position.epoch.clone();
                            posts.push(gap(&Position { epoch, offset: place.previous }, Why::Backplane));
                        }
                    }
                }
                let position = delivery.place.as_ref().map(|place| place.position.clone());
                posts.push(Post::Event { frame, position });
            }
        }
        let (hubs, channel) = (route.hubs.clone(), route.channel.clone());
        for post in posts {
            for &hub in &hubs {
                if self.plan.has(Fault::PostLost) && self.random.one_in(20) {
                    continue;
                }
                let at = self.now + self.random.below(self.plan.hub_lag + 1);
                let queue = &mut self.gateway.nodes.hub(hub).posts;
                let at = queue.back().map_or(at, |(last, ..)| at.max(*last));
                queue.push_back((at, channel.clone(), post.clone()));
            }
        }
    }

    /// Hands on the next post that has arrived; whether there was one.
    fn hubs_work(&mut self) -> bool {
        let now = self.now;
        let nodes = &mut self.gateway.nodes;
        let next = nodes.hubs.iter_mut().find_map(|(id, hub)| {
            hub.posts.pop_front_if(|(at, ..)| *at <= now).map(|(_, channel, post)| (*id, channel, post))
        });
        let Some((hub, channel, post)) = next else { return false };
        let Some(Channel::Live { subscribers, .. }) = nodes.hub(hub).channels.get_mut(&channel) else {
            return true;
        };
        let (passes, frame) = match post {
            Post::Event { frame, position } => (subscribers.passes(position.as_ref()), frame),
            Post::Gap { frame, position } => {
                (subscribers.goes_on_after(&position) && !nodes.plan.has(Fault::GapNotTold), frame)
            }
        };
        if passes && let Some(Channel::Live { subscribers, .. }) = nodes.hub(hub).channels.get(&channel) {
            let links: Vec<u64> = subscribers.iter().copied().collect();
            for id in links {
                self.down(id, frame.clone());
                let late = self.gateway.nodes.late.remove(&id);
                late.into_iter().flatten().for_each(|frame| self.down(id, frame));
            }
        }
        true
    }
}

fn encode(delivery: &Delivery) -> String {
    let Delivery { channel, event, id, place } = delivery;
    let offset = place.as_ref().map(|place| place.position.offset);
    let previous = place.as_ref().map(|place| place.previous);
    let previous = previous.filter(|previous| Some(previous + 1) != offset);
    let id = &*id.to_string();
    let frame = ServerFrame::Msg {
        channel: &**channel,
        event: event.name(),
        data: event.data().as_str(),
        id,
        offset,
        previous,
    };
    frame.to_json()
}
