//! The gateway around its sessions: questions that take their time, and a fan-out.

use crate::{
    network::{Item, Random},
    world::World,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tidings_protocol::{ClientFrame, CloseCode, ServerFrame, reason};
use tidings_server::{
    Config, PublishContext,
    session::{Effect, Session},
};

/// The longest that the application or the backplane takes, in milliseconds.
const SLOWEST: u64 = 200;

/// In a storm, one answer in so many is a no.
const NO: u64 = 12;

/// What a session waits for.
enum Job {
    Identify,
    Authorize { ticket: u32 },
    Attach { channel: Arc<str> },
    Publish(PublishContext),
}

pub(crate) struct Gateway {
    config: Arc<Config>,
    ids: u64,
    /// With their time, and the link that they are for.
    jobs: Vec<(u64, u64, Job)>,
    /// The links that get a channel's events, with their slots.
    pub(crate) subscribers: BTreeMap<Arc<str>, Vec<(usize, u64)>>,
}

impl Gateway {
    pub(crate) fn new(random: &Random) -> Self {
        let mut config = Config::default();
        if random.one_in(2) {
            // A connection that is dead in one direction is found out within the storm.
            config.ping_interval = Duration::from_secs(2);
            config.ping_grace = Duration::from_secs(1);
        }
        Self { config: config.into(), ids: 0, jobs: Vec::new(), subscribers: BTreeMap::new() }
    }

    /// Numbers links and slots.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(crate) fn due(&self) -> Option<u64> {
        self.jobs.iter().map(|(at, ..)| *at).min()
    }
}

impl World {
    pub(crate) fn gateway_accepts(&mut self, id: u64) {
        let mut effects = VecDeque::new();
        let ulid = format!("{id:026}").parse().expect("26 digits are a ULID");
        let session = Session::open(ulid, self.gateway.config.clone(), self.now, &mut effects);
        self.links.get_mut(&id).expect("a link").session = Some(session);
        self.ask(id, Job::Identify);
        self.apply(id, effects);
    }

    pub(crate) fn gateway_receives(&mut self, id: u64, item: Item) {
        match item {
            Item::Text(text) => {
                if let Some(ClientFrame::Pub { event, .. }) = ClientFrame::parse(&text) {
                    self.checker.arrived(number(&event), id);
                }
                let now = self.now;
                self.session(id, |session, effects| session.text(&text, now, effects));
            }
            Item::End(_) => self.gateway_forgets(id),
        }
    }

    pub(crate) fn gateway_ticks(&mut self, id: u64) {
        let now = self.now;
        let deadline = self.links[&id].session.as_ref().and_then(Session::deadline);
        if deadline.is_some_and(|at| at <= now) {
            self.session(id, |session, effects| session.tick(now, effects));
        }
    }

    pub(crate) fn gateway_closes(&mut self, id: u64, code: CloseCode) {
        self.session(id, |session, effects| session.close(code, effects));
    }

    /// Answers the questions whose time has come.
    pub(crate) fn gateway_works(&mut self) {
        while let Some(place) = self.gateway.jobs.iter().position(|(at, ..)| *at <= self.now) {
            let (_, id, job) = self.gateway.jobs.swap_remove(place);
            match job {
                Job::Identify => self.session(id, |session, effects| session.identified(None, effects)),
                Job::Authorize { ticket } => {
                    let answer = (!self.refuses()).then(|| (!self.refuses()).into());
                    self.session(id, |session, effects| {
                        session.authorized(ticket, answer.as_ref(), effects);
                    });
                }
                Job::Attach { channel } => self.attach(id, &channel),
                Job::Publish(context) => {
                    let refused = self.refuses().then_some(reason::PUBLISH_DENIED);
                    if refused.is_some() {
                        self.checker.refused(number(&context.event));
                    } else {
                        self.fan_out(&context);
                    }
                    let channel = context.channel;
                    self.session(id, |session, effects| session.published(&channel, refused, effects));
                }
            }
        }
    }

    fn refuses(&self) -> bool {
        self.stormy() && self.random.one_in(NO)
    }

    fn ask(&mut self, id: u64, job: Job) {
        let at = self.now + if self.random.one_in(3) { 0 } else { self.random.below(SLOWEST) };
        self.gateway.jobs.push((at, id, job));
    }

    /// Tells a session something, unless it has ended, and carries out what it wants.
    fn session(&mut self, id: u64, tell: impl FnOnce(&mut Session, &mut VecDeque<Effect>)) {
        let link = self.links.get_mut(&id);
        if let Some(session) = link.and_then(|link| link.session.as_mut()) {
            let mut effects = VecDeque::new();
            tell(session, &mut effects);
            self.apply(id, effects);
            if !self.gateway.jobs.iter().any(|(_, of, _)| *of == id) {
                self.checker.idle(id);
            }
        }
    }

    fn apply(&mut self, id: u64, effects: VecDeque<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(text) => self.down(id, String::from_utf8(text).expect("text is UTF-8")),
                Effect::Authorize { ticket, .. } => self.ask(id, Job::Authorize { ticket }),
                Effect::Attach { channel } => self.ask(id, Job::Attach { channel }),
                Effect::Detach { channel, slot: Some(slot) } => {
                    let subscribers = self.gateway.subscribers.get_mut(&channel).expect("subscribers");
                    let place =
                        subscribers.iter().position(|s| *s == (slot, id)).expect("the slot that it got");
                    subscribers.remove(place);
                }
                Effect::Detach { channel, slot: None } => {
                    let attaching = |job: &Job| matches!(job, Job::Attach { channel: c } if *c == channel);
                    let place = self.gateway.jobs.iter().position(|(_, of, job)| *of == id && attaching(job));
                    self.gateway.jobs.swap_remove(place.expect("it was to be attached"));
                }
                Effect::Publish(context) => {
                    self.checker.taken(number(&context.event), id);
                    let publishes =
                        |(_, of, job): &(u64, u64, Job)| *of == id && matches!(job, Job::Publish(_));
                    assert!(!self.gateway.jobs.iter().any(publishes), "one publish at a time");
                    self.ask(id, Job::Publish(context));
                }
                Effect::Close(code) => {
                    let link = self.links.get_mut(&id).expect("a link");
                    link.broken = true;
                    link.down.send(self.now, &self.random, Item::End(code.code()), None);
                    self.gateway_forgets(id);
                }
                other => panic!("not expected of a session: {other:?}"),
            }
        }
    }

    /// The gateway's end of a connection ends. A publish that is under way goes on.
    fn gateway_forgets(&mut self, id: u64) {
        let link = self.links.get_mut(&id).expect("a link");
        let broken = link.broken;
        if let Some(mut session) = link.session.take() {
            let mut effects = VecDeque::new();
            session.end(&mut effects);
            self.apply(id, effects);
            let attaching = |(_, of, job): &(u64, u64, Job)| *of == id && matches!(job, Job::Attach { .. });
            let left = self.gateway.jobs.iter().any(attaching)
                || self.gateway.subscribers.values().flatten().any(|(_, of)| *of == id);
            assert!(!left, "a subscriber without a connection");
            self.gateway.jobs.retain(|(_, of, job)| *of != id || matches!(job, Job::Publish(_)));
            self.checker.ended(id, broken);
        }
    }

    fn attach(&mut self, id: u64, channel: &Arc<str>) {
        let mut slot = None;
        if !self.refuses() {
            let new = self.gateway.next_id() as usize;
            self.gateway.subscribers.entry(channel.clone()).or_default().push((new, id));
            self.checker.attached(id, channel);
            slot = Some(new);
        }
        self.session(id, |session, effects| session.attached(channel, slot, effects));
    }

    fn fan_out(&mut self, context: &PublishContext) {
        let PublishContext { channel, event, .. } = context;
        let count = self.checker.published(number(event), channel).to_string();
        let (event, id) = (&**event, &*format!("{:026}", number(event)));
        let frame =
            ServerFrame::Msg { channel: &**channel, event, data: &*count, id, offset: None, previous: None };
        let text = frame.to_json();
        for (_, to) in self.gateway.subscribers.get(channel).cloned().unwrap_or_default() {
            self.down(to, text.clone());
        }
    }

    fn down(&mut self, id: u64, text: String) {
        let link = self.links.get_mut(&id).expect("a link");
        link.down.send(self.now, &self.random, Item::Text(text), self.fault);
    }
}

fn number(event: &str) -> u64 {
    event.parse().expect("an event is named by its number")
}
