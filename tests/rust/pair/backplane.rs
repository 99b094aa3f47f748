//! A backplane between the gateways: the memory broadcaster of each channel, and everything that takes its time.

use crate::{
    network::Random,
    plan::{AMPLE, Fault, Plan},
    world::CHANNELS,
};
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::pin,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};
use tidings_protocol::Why;
use tidings_server::{
    Broadcaster, Delivery, Event, Histories, History, MemoryBroadcaster, Notice, Page, Position, Published,
    Range, Sink, Subscription,
};

/// One gateway's subscription of one channel.
struct Line {
    channel: usize,
    /// What the broadcaster has said, and is not on its way yet.
    said: Arc<Mutex<Vec<Notice>>>,
    /// On its way, with the time of arrival.
    queue: VecDeque<(u64, Notice)>,
    /// When the broadcaster that it belongs to is gone: when it subscribes to the next one.
    again_at: Option<u64>,
    subscription: Option<Subscription>,
}

pub(crate) struct Backplane {
    plan: Rc<Plan>,
    random: Random,
    channels: Vec<MemoryBroadcaster>,
    lines: BTreeMap<u64, Line>,
}

/// The memory broadcaster is always ready.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("memory does not wait"),
    }
}

fn index(channel: &str) -> usize {
    CHANNELS.iter().position(|name| *name == channel).expect("a channel of the story")
}

impl Backplane {
    pub(crate) fn new(plan: Rc<Plan>, random: &Random) -> Self {
        let channels = plan.history.iter().map(|&events| broadcaster(events)).collect();
        Self { plan, random: random.clone(), channels, lines: BTreeMap::new() }
    }

    pub(crate) fn publish(&mut self, time: u64, channel: &str, event: Event) -> Published {
        let published = now(self.channels[index(channel)].publish(channel, event)).expect("memory is open");
        self.collect(time);
        Published::new(published.id, published.position.map(|position| self.outer(position)))
    }

    /// The subscription `id` begins; where, unless the channel has no history.
    pub(crate) fn subscribe(&mut self, id: u64, channel: &str) -> Option<Position> {
        let channel = index(channel);
        let mut line = Line {
            channel,
            said: Arc::default(),
            queue: VecDeque::new(),
            again_at: None,
            subscription: None,
        };
        let position = self.open(&mut line);
        self.lines.insert(id, line);
        position
    }

    fn open(&self, line: &mut Line) -> Option<Position> {
        let said = line.said.clone();
        let sink: Sink = Arc::new(move |notice: &Notice| {
            said.lock().unwrap_or_else(PoisonError::into_inner).push(notice.clone());
        });
        let subscription = now(self.channels[line.channel].subscribe(CHANNELS[line.channel].into(), sink));
        let subscription = line.subscription.insert(subscription.expect("memory is open"));
        subscription.position().cloned().map(|position| self.outer(position))
    }

    pub(crate) fn unsubscribe(&mut self, id: u64) {
        self.lines.remove(&id);
    }

    pub(crate) fn history(&self, channel: &str, from: &Position, limit: usize) -> Page {
        let range = Range::After { offset: from.offset / self.plan.stride, limit };
        let page = now(self.channels[index(channel)].history(channel, range)).expect("memory is open");
        let mut page = page.expect("a channel with history");
        page.end = self.outer(page.end);
        page.floor *= self.plan.stride;
        page.events = page.events.into_iter().map(|delivery| self.placed(delivery)).collect();
        if self.plan.has(Fault::NoChainCheck) && page.events.len() > 2 {
            page.events.remove(1);
            for at in 1..page.events.len() {
                let before = offset(&page.events[at - 1]);
                if let Some(place) = &mut page.events[at].place {
                    place.previous = before;
                }
            }
        }
        page
    }

    /// The epoch of a channel with history.
    pub(crate) fn epoch(&self, channel: &str) -> Arc<str> {
        let range = Range::Before { offset: None, limit: 1 };
        let page = now(self.channels[index(channel)].history(channel, range)).expect("memory is open");
        page.expect("a channel with history").end.epoch
    }

    /// All of the channel is gone.
    pub(crate) fn start_anew(&mut self, time: u64, channel: &str) {
        let channel = index(channel);
        self.channels[channel] = broadcaster(self.plan.history[channel]);
        for line in self.lines.values_mut().filter(|line| line.channel == channel) {
            line.again_at = Some(time + self.random.below(self.plan.lag + 1));
        }
    }

    /// Loses what is on its way to one of the gateways.
    pub(crate) fn lose(&mut self, time: u64, channel: &str) {
        let channel = index(channel);
        let busy = |line: &&mut Line| line.channel == channel && !line.queue.is_empty();
        let Some(line) = self.lines.values_mut().find(busy) else { return };
        let last = line.queue.drain(..).next_back();
        let position = match last {
            Some((_, Notice::Event(Delivery { place: Some(place), .. }))) => place.position,
            Some((_, Notice::Gap { position, .. })) => position,
            _ => return,
        };
        line.queue.push_back((time, Notice::Gap { position, why: Why::Backplane }));
    }

    pub(crate) fn due(&self) -> Option<u64> {
        let arrival = |line: &Line| line.queue.front().map(|(at, _)| *at);
        self.lines.values().flat_map(|line| [arrival(line), line.again_at]).flatten().min()
    }

    /// The next notice that has arrived, and for which subscription.
    pub(crate) fn next(&mut self, time: u64) -> Option<(u64, Notice)> {
        let again = |line: &Line| line.again_at.is_some_and(|at| at <= time);
        let late: Vec<u64> = self.lines.iter().filter(|(_, line)| again(line)).map(|(id, _)| *id).collect();
        for id in late {
            let mut line = self.lines.remove(&id).expect("a line");
            line.again_at = None;
            if let Some(position) = self.open(&mut line) {
                let at = line.queue.back().map_or(time, |(last, _)| time.max(*last));
                line.queue.push_back((at, Notice::Gap { position, why: Why::Epoch }));
            }
            self.lines.insert(id, line);
        }
        self.lines
            .iter_mut()
            .find_map(|(id, line)| Some((*id, line.queue.pop_front_if(|(at, _)| *at <= time)?.1)))
    }

    /// Sends on its way what the broadcasters have said.
    fn collect(&mut self, time: u64) {
        let (plan, random) = (self.plan.clone(), self.random.clone());
        for line in self.lines.values_mut() {
            let said = std::mem::take(&mut *line.said.lock().unwrap_or_else(PoisonError::into_inner));
            for notice in said {
                let at = time + random.below(plan.lag + 1);
                let at = line.queue.back().map_or(at, |(last, _)| at.max(*last));
                let Notice::Event(delivery) = notice else { panic!("memory loses nothing") };
                line.queue.push_back((at, Notice::Event(placed(plan.stride, delivery))));
            }
        }
    }

    fn outer(&self, position: Position) -> Position {
        scaled(self.plan.stride, position)
    }

    fn placed(&self, delivery: Delivery) -> Delivery {
        placed(self.plan.stride, delivery)
    }
}

fn broadcaster(events: usize) -> MemoryBroadcaster {
    let history = match events {
        0 => History::OFF,
        AMPLE => History { events, bytes: usize::MAX, ..History::default() },
        _ => History { events, ..History::default() },
    };
    MemoryBroadcaster::new(Histories::new(history))
}

fn scaled(stride: u64, position: Position) -> Position {
    Position { offset: position.offset * stride, ..position }
}

fn placed(stride: u64, mut delivery: Delivery) -> Delivery {
    if let Some(place) = &mut delivery.place {
        place.previous *= stride;
        place.position.offset *= stride;
    }
    delivery
}

pub(crate) fn offset(delivery: &Delivery) -> u64 {
    delivery.place.as_ref().map_or(0, |place| place.position.offset)
}
