//! The gateways around their sessions: questions that take their time.

use crate::{
    network::{Item, Random},
    node::{HubId, Nodes},
    plan::{Fault, Plan},
    world::{CHANNELS, World},
};
use std::{collections::VecDeque, rc::Rc, sync::Arc, time::Duration};
use tidings_protocol::{ClientFrame, CloseCode, MAX_IN_FLIGHT, MAX_REQUESTS, ServerFrame, Text, reason};
use tidings_server::{
    Config, Event, Page, Position, PublishContext, Published,
    session::{Effect, Session},
};

/// The longest that the application takes, in milliseconds.
const SLOWEST: u64 = 200;

/// In a storm, one answer in so many is a no.
const NO: u64 = 12;

/// What a session or a gateway waits for.
pub(crate) enum Job {
    Identify { link: u64 },
    Authorize { link: u64, ticket: u32 },
    Publish { link: u64, context: PublishContext, key: Option<Arc<str>> },
    Published { link: u64, outcome: Result<Published, &'static str> },
    Subscribe { route: u64 },
    Subscribed { route: u64, position: Option<Position>, refused: bool },
    Joined { hub: HubId, route: u64 },
    BeginToRead { route: u64 },
    Read { route: u64 },
    HaveRead { route: u64, page: Option<Page> },
}

impl Job {
    fn is_for(&self, id: u64) -> bool {
        matches!(self, Self::Identify { link } | Self::Authorize { link, .. } | Self::Publish { link, .. }
            | Self::Published { link, .. } if *link == id)
    }

    fn publishes(&self) -> bool {
        matches!(self, Self::Publish { .. } | Self::Published { .. })
    }
}

pub(crate) struct Gateway {
    config: Arc<Config>,
    ids: u64,
    /// With their time.
    jobs: Vec<(u64, Job)>,
    pub(crate) nodes: Nodes,
}

impl Gateway {
    pub(crate) fn new(random: &Random, plan: &Rc<Plan>) -> Self {
        let mut config = Config::default();
        if random.one_in(2) {
            // A connection that is dead in one direction is found out within the storm.
            config.ping_interval = Duration::from_secs(2);
            config.ping_grace = Duration::from_secs(1);
        }
        if plan.loops {
            let limits = &mut config.limits;
            limits.channels_per_connection = CHANNELS.len();
            let least = CHANNELS.len() + MAX_IN_FLIGHT + MAX_REQUESTS + 1;
            (limits.commands_per_second, limits.commands_burst) = (50, least as u32 + 8);
        }
        Self { config: config.into(), ids: 0, jobs: Vec::new(), nodes: Nodes::new(plan) }
    }

    /// Numbers links and routes.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(crate) fn due(&self) -> Option<u64> {
        self.jobs.iter().map(|(at, _)| *at).min()
    }
}

impl World {
    pub(crate) fn gateway_accepts(&mut self, id: u64) {
        let mut effects = VecDeque::new();
        let ulid = format!("{id:026}").parse().expect("26 digits are a ULID");
        let session = Session::open(ulid, self.gateway.config.clone(), self.now, &mut effects);
        self.links.get_mut(&id).expect("a link").session = Some(session);
        self.ask(Job::Identify { link: id });
        self.apply(id, effects);
    }

    pub(crate) fn gateway_receives(&mut self, id: u64, item: Item) {
        match item {
            Item::Text(text) => {
                match ClientFrame::parse(&text) {
                    Some(ClientFrame::Pub { event, .. }) => self.checker.arrived(number(&event), id),
                    Some(ClientFrame::Sub { channel, resume }) => {
                        self.checker.asked(id, &channel, resume.as_ref().map(|at| at.as_deref()));
                    }
                    _ => {}
                }
                self.say(|_| format!("link {id} > {text}"));
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

    /// The gateway sends a client away, and perhaps says so before.
    pub(crate) fn gateway_closes(&mut self, id: u64) {
        let after = self.random.below(2_000);
        let drains = self.random.one_in(2);
        self.session(id, |session, effects| {
            if drains {
                session.bye(CloseCode::Restart, after, effects);
            }
            session.close(CloseCode::Restart, effects);
        });
    }

    /// Answers the questions whose time has come.
    pub(crate) fn gateway_works(&mut self) {
        self.nodes_work();
        while let Some(place) = self.gateway.jobs.iter().position(|(at, _)| *at <= self.now) {
            let (_, job) = self.gateway.jobs.swap_remove(place);
            self.answer(job);
            self.nodes_work();
        }
    }

    fn answer(&mut self, job: Job) {
        match job {
            Job::Identify { link } => {
                self.session(link, |session, effects| session.identified(None, None, effects));
            }
            Job::Authorize { link, ticket } => {
                let answer = (!self.refuses()).then(|| (!self.refuses()).into());
                self.session(link, |session, effects| session.authorized(ticket, answer.as_ref(), effects));
            }
            Job::Publish { link, context, key } => {
                let note = number(&context.event);
                let outcome = if self.checker.is_denied(note) {
                    self.checker.refused(note);
                    Err(reason::PUBLISH_DENIED)
                } else if self.plan.failures && self.refuses() {
                    // Nobody knows whether it was accepted.
                    if self.random.one_in(2) {
                        self.accept(&context, key);
                    }
                    self.checker.refused(note);
                    Err(reason::PUBLISH_FAILED)
                } else {
                    Ok(self.accept(&context, key))
                };
                self.ask(Job::Published { link, outcome });
            }
            Job::Published { link, outcome } => {
                let (now, open) = (self.now, &self.links);
                if open.get(&link).is_some_and(|link| link.session.is_some() && !link.old) {
                    self.checker.owes(link);
                }
                self.session(link, |session, effects| session.published(outcome, now, effects));
            }
            Job::Subscribe { route } => self.subscribe(route),
            Job::Subscribed { route, position, refused } => self.subscribed(route, position, refused),
            Job::Read { route } => self.read_history(route),
            Job::HaveRead { route, page } => self.have_read(route, page.as_ref()),
            Job::Joined { hub, route } => self.joined(hub, route, false),
            Job::BeginToRead { route } => self.begin_to_read(route),
        }
    }

    /// The backplane accepts an event.
    fn accept(&mut self, context: &PublishContext, key: Option<Arc<str>>) -> Published {
        let channel = &*context.channel;
        let place = self.checker.count(channel) + 1;
        let mut event = Event::new(context.event.clone(), serde_json::json!(place));
        if let Some(key) = key.filter(|_| !self.plan.has(Fault::KeysForgotten)) {
            event = event.with_key(key);
        }
        let published = self.backplane.publish(self.now, channel, event);
        self.checker.accepted(number(&context.event), channel, &published);
        published
    }

    pub(crate) fn refuses(&self) -> bool {
        self.stormy() && self.random.one_in(NO)
    }

    pub(crate) fn ask(&mut self, job: Job) {
        let backplane = matches!(job, Job::Subscribe { .. } | Job::Subscribed { .. } | Job::Read { .. })
            || matches!(job, Job::HaveRead { .. });
        let slowest = if backplane { self.plan.backplane_ms } else { SLOWEST };
        // Nothing but the gateway is to hold up who publishes in loops.
        let at_once = self.plan.loops && job.publishes() || self.random.one_in(3);
        let at = self.now + if at_once { 0 } else { self.random.below(slowest) };
        self.gateway.jobs.push((at, job));
    }

    /// The same, without a pause.
    pub(crate) fn do_now(&mut self, job: Job) {
        self.gateway.jobs.push((self.now, job));
    }

    /// Tells a session something, unless it has ended, and carries out what it wants.
    pub(crate) fn session(&mut self, id: u64, tell: impl FnOnce(&mut Session, &mut VecDeque<Effect>)) {
        let link = self.links.get_mut(&id);
        if let Some(session) = link.and_then(|link| link.session.as_mut()) {
            let mut effects = VecDeque::new();
            tell(session, &mut effects);
            self.apply(id, effects);
            if !self.gateway.jobs.iter().any(|(_, job)| job.is_for(id)) && !self.gateway.nodes.waits(id) {
                self.checker.idle(id);
            }
        }
    }

    pub(crate) fn apply(&mut self, id: u64, mut effects: VecDeque<Effect>) {
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Send(text) => self.down(id, String::from_utf8(text).expect("text is UTF-8")),
                Effect::Authorize { ticket, .. } => self.ask(Job::Authorize { link: id, ticket }),
                Effect::Attach { channel, resume } => self.attach(id, channel, resume, &mut effects),
                Effect::Replay(frames) => self.replay(id, frames),
                Effect::Detach { channel, slot } => self.detach(id, &channel, slot),
                Effect::Publish { context, key } => {
                    self.checker.taken(number(&context.event), id);
                    let busy = |(_, job): &(u64, Job)| job.is_for(id) && job.publishes();
                    assert!(!self.gateway.jobs.iter().any(busy), "one publish at a time");
                    if self.plan.has(Fault::AckTooEarly) {
                        let published = Published::new(ulid::Ulid::nil(), None);
                        self.ask(Job::Published { link: id, outcome: Ok(published) });
                    } else {
                        self.ask(Job::Publish { link: id, context, key });
                    }
                }
                Effect::Paced => self.checker.paced(),
                Effect::Close(code) => {
                    let link = self.links.get_mut(&id).expect("a link");
                    assert!(
                        link.old || code != CloseCode::TooManyCommands,
                        "link {id} is closed with {code:?}"
                    );
                    link.broken = true;
                    self.gateway_forgets(id);
                    let link = self.links.get_mut(&id).expect("a link");
                    link.down.send(self.now, &self.random, Item::End(code.code()), None);
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
            assert!(!self.gateway.nodes.knows(id), "a subscriber without a connection");
            self.gateway.jobs.retain(|(_, job)| !job.is_for(id) || job.publishes());
            self.checker.ended(id, broken);
        }
    }

    /// Sends a frame to a client, as far as the client's or the gateway's version knows it.
    pub(crate) fn down(&mut self, id: u64, text: String) {
        self.say(|world| {
            let link = &world.links[&id];
            format!("link {id} < {text} (gateway {} {})", link.node, link.hub)
        });
        let link = &self.links[&id];
        let frame = ServerFrame::parse(&text).expect("a frame of the protocol");
        if !link.old {
            self.checker.said(id, &frame);
            let leaks = self.plan.leaks && self.stormy() && self.random.one_in(12);
            if leaks && matches!(frame, ServerFrame::Msg { offset: Some(_), .. }) {
                return;
            }
        }
        let text =
            if link.old_node { spoken_by_version_1(frame).map(|frame| frame.to_json()) } else { Some(text) };
        if let Some(text) = text {
            let fault = self.plan.fault;
            let link = self.links.get_mut(&id).expect("a link");
            link.down.send(self.now, &self.random, Item::Text(text), fault);
        }
    }
}

/// What a gateway of version 1 sends in place of a frame.
fn spoken_by_version_1<'a>(frame: ServerFrame<Text<'a>, &'a str>) -> Option<ServerFrame<Text<'a>, &'a str>> {
    match frame {
        ServerFrame::Welcome { id, .. } => {
            Some(ServerFrame::Welcome { id, version: None, keepalive_ms: None })
        }
        ServerFrame::Ok { channel, .. } => Some(ServerFrame::Ok { channel, position: None, recovery: None }),
        ServerFrame::Err { channel, reason, .. } => Some(ServerFrame::Err { channel, reason, request: None }),
        ServerFrame::Msg { channel, event, data, id, .. } => {
            Some(ServerFrame::Msg { channel, event, data, id, offset: None, previous: None })
        }
        ServerFrame::Ping => Some(ServerFrame::Ping),
        _ => None,
    }
}

pub(crate) fn number(event: &str) -> u64 {
    event.parse().expect("an event is named by its number")
}
