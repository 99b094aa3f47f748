//! Which channels are wanted, and which of them this connection has subscribed.

use crate::{
    effect::Arrival,
    position::{Continuity, Stream, Verdict, settle},
};
use tidings_protocol::{Position, Recovery};

/// One channel of a client, until [`crate::Effect::Forget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u32);

/// What an application sees of a channel that it has not left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// Not live: the gateway has not answered, or there is no connection.
    Subscribing,
    /// Live.
    Subscribed,
    /// Refused on this connection.
    Denied,
}

/// What this connection has asked for a channel. One question at a time: a channel that is left before the gateway
/// has answered is unsubscribed when the answer is there, so that an answer always belongs to the last question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Absent,
    Asked,
    /// Asked behind a token that was refused: a refusal means nothing.
    Doubted,
    Live,
    /// Live, and asked again: to hear whether the gateway is there, or to resume after a hole.
    Probed,
    Denied,
}

#[derive(Debug)]
struct Slot<C, T> {
    channel: C,
    wanted: bool,
    wire: Wire,
    /// Where it stands, on a channel with history. It outlives connections.
    stream: Option<Stream<T>>,
}

impl<C, T> Slot<C, T> {
    const fn is_live(&self) -> bool {
        matches!(self.wire, Wire::Live | Wire::Probed)
    }
}

/// A step that brings a connection nearer to what is wanted.
pub(crate) enum Step<C, T> {
    Subscribe(C, Option<Position<T>>),
    Unsubscribe(C),
    Forget(C),
}

/// What it means to whoever wants a channel that the gateway says that it is live.
pub(crate) struct News<C, T> {
    pub(crate) channel: C,
    /// Events are missing, and why.
    pub(crate) gap: Option<T>,
    /// It was not live before.
    pub(crate) changed: bool,
}

/// How to find out whether the gateway is there.
pub(crate) enum Probe<C> {
    /// Subscribe this channel once more.
    Ask(C),
    /// A question is open already.
    Listen,
    /// There is nothing that a gateway would answer.
    Impossible,
}

/// All channels. Frames follow from the difference between what is wanted and what this connection has.
#[derive(Debug)]
pub(crate) struct Channels<C, T> {
    slots: Vec<Option<Slot<C, T>>>,
    free: Vec<u32>,
    /// Slots to look at, the next one last.
    changed: Vec<u32>,
    /// Live channels that were left in this tick: they may be wanted again before it ends.
    leaving: Vec<u32>,
}

impl<C: Clone, T: Clone + From<&'static str>> Channels<C, T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), changed: Vec::new(), leaving: Vec::new() }
    }

    fn slot(&mut self, id: ChannelId) -> Option<&mut Slot<C, T>> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    /// Wants a channel: a new one, or again one that was left and still has an id. A refusal is forgotten, and so are
    /// events that came by before.
    pub(crate) fn want(&mut self, known: Option<ChannelId>, channel: C) -> ChannelId {
        if let Some(id) = known
            && let Some(slot) = self.slot(id)
        {
            slot.channel = channel;
            if !slot.wanted {
                slot.wanted = true;
                let live = slot.is_live();
                slot.stream = slot.stream.take().filter(|_| live).map(Stream::begin);
            }
            if slot.wire == Wire::Denied {
                slot.wire = Wire::Absent;
            }
            self.changed.push(id.0);
            return id;
        }
        let slot = Some(Slot { channel, wanted: true, wire: Wire::Absent, stream: None });
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(free) = self.slots.get_mut(index as usize) {
                    *free = slot;
                }
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        self.changed.push(index);
        ChannelId(index)
    }

    /// Wants a channel no longer.
    pub(crate) fn leave(&mut self, id: ChannelId) {
        if let Some(slot) = self.slot(id) {
            slot.wanted = false;
            let live = slot.wire == Wire::Live;
            if live { &mut self.leaving } else { &mut self.changed }.push(id.0);
        }
    }

    /// Wants none.
    pub(crate) fn leave_all(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            slot.wanted = false;
        }
        self.reset();
    }

    pub(crate) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// The tick in which channels were left is over.
    pub(crate) fn settle(&mut self) {
        while let Some(index) = self.leaving.pop() {
            self.changed.push(index);
        }
    }

    /// What could not be asked for before can be now.
    pub(crate) fn look_at_all(&mut self) {
        self.changed.clear();
        for index in (0..self.slots.len() as u32).rev() {
            self.changed.push(index);
        }
    }

    /// There is another connection, or none: nothing is subscribed, and everything is to be looked at.
    pub(crate) fn reset(&mut self) {
        self.leaving.clear();
        self.look_at_all();
        for slot in self.slots.iter_mut().flatten() {
            slot.wire = Wire::Absent;
            if let Some(stream) = &mut slot.stream {
                stream.continuity = Continuity::Whole;
            }
        }
    }

    /// The next step; without a connection only what needs none. `resume`: the gateway knows positions.
    pub(crate) fn step(&mut self, connected: bool, resume: bool) -> Option<Step<C, T>> {
        while let Some(index) = self.changed.pop() {
            let Some(entry) = self.slots.get_mut(index as usize) else { continue };
            let Some(slot) = entry else { continue };
            match (slot.wanted, slot.wire) {
                (true, Wire::Absent) if connected => {
                    slot.wire = Wire::Asked;
                    let stream = slot.stream.as_ref().filter(|_| resume);
                    let position = stream.map(|stream| stream.position.clone());
                    return Some(Step::Subscribe(slot.channel.clone(), position));
                }
                (true, Wire::Live) if connected => {
                    if let Some(stream) = &mut slot.stream
                        && stream.continuity == Continuity::Torn
                    {
                        slot.wire = Wire::Probed;
                        stream.continuity = Continuity::Resuming;
                        return Some(Step::Subscribe(slot.channel.clone(), Some(stream.position.clone())));
                    }
                }
                (false, Wire::Live) if connected => {
                    slot.wire = Wire::Absent;
                    self.changed.push(index);
                    return Some(Step::Unsubscribe(slot.channel.clone()));
                }
                (false, Wire::Absent | Wire::Denied) => {
                    self.free.push(index);
                    return entry.take().map(|slot| Step::Forget(slot.channel));
                }
                _ => {}
            }
        }
        None
    }

    /// The token was refused behind which channels were asked for.
    pub(crate) fn doubt(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            if slot.wire == Wire::Asked {
                slot.wire = Wire::Doubted;
            }
        }
    }

    /// Whether a refusal of this channel means nothing. Then it is asked for again.
    pub(crate) fn excuse(&mut self, id: ChannelId) -> bool {
        let doubted = self.slot(id).filter(|slot| slot.wire == Wire::Doubted);
        let excused = doubted.map(|slot| slot.wire = Wire::Absent).is_some();
        if excused {
            self.changed.push(id.0);
        }
        excused
    }

    /// The gateway knows who this is: refusals are forgotten, and what was held back can be asked for.
    pub(crate) fn pardon(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            if slot.wire == Wire::Denied {
                slot.wire = Wire::Absent;
            }
        }
        self.look_at_all();
    }

    /// The gateway has a channel live. Gives what is news to whoever wants it.
    pub(crate) fn live(
        &mut self,
        id: ChannelId,
        position: Option<Position<T>>,
        recovery: Option<Recovery<T>>,
    ) -> Option<News<C, T>> {
        let slot = self.slot(id)?;
        let changed = match slot.wire {
            // An `ok` after a refusal: the refusal was about a publish, which looks the same.
            Wire::Asked | Wire::Doubted | Wire::Denied => true,
            Wire::Live | Wire::Probed => false,
            Wire::Absent => return None,
        };
        slot.wire = Wire::Live;
        let continuity = slot.stream.as_ref().map(|stream| stream.continuity);
        let mut gap = None;
        // Otherwise there is a position: it never goes back, and what lies between may be on its way.
        if changed || matches!(continuity, None | Some(Continuity::Resuming)) {
            gap = settle(&mut slot.stream, position, recovery);
        }
        if !changed
            && continuity == Some(Continuity::Resuming)
            && let Some(stream) = &mut slot.stream
        {
            stream.continuity = Continuity::Mended;
        }
        let news = slot.wanted.then(|| News { channel: slot.channel.clone(), gap, changed });
        self.changed.push(id.0);
        news
    }

    /// The gateway refuses a channel, or with version 1, where it is not `sure`, perhaps a publish on it. Gives the
    /// channel when that is news to someone who wants it.
    pub(crate) fn refuse(&mut self, id: ChannelId, sure: bool) -> Option<C> {
        let slot = self.slot(id)?;
        match slot.wire {
            Wire::Asked => {}
            Wire::Live | Wire::Probed if sure => {}
            // It is an answer all the same.
            Wire::Probed => {
                slot.wire = Wire::Live;
                self.changed.push(id.0);
                return None;
            }
            Wire::Absent | Wire::Doubted | Wire::Live | Wire::Denied => return None,
        }
        slot.wire = Wire::Denied;
        let channel = slot.wanted.then(|| slot.channel.clone());
        self.changed.push(id.0);
        channel
    }

    /// An event has come. Gives the channel that it is for.
    pub(crate) fn event(
        &mut self,
        id: ChannelId,
        offset: Option<u64>,
        previous: Option<u64>,
    ) -> Option<(&C, Arrival)> {
        let slot = self.slots.get_mut(id.0 as usize)?.as_mut()?;
        let live = slot.is_live();
        let mut arrival = Arrival::Unplaced;
        if let (Some(stream), Some(offset)) = (&mut slot.stream, offset) {
            if !live {
                return None;
            }
            arrival = match stream.take(offset, previous) {
                Verdict::Deliver => Arrival::InOrder,
                Verdict::Gap => Arrival::AfterGap,
                Verdict::Drop => return None,
                Verdict::Tear => {
                    if slot.wanted {
                        self.changed.push(id.0);
                    }
                    return None;
                }
            };
        }
        slot.wanted.then_some((&slot.channel, arrival))
    }

    /// An event went by that was meant for others.
    pub(crate) fn pass(&mut self, id: ChannelId, offset: u64) {
        if let Some(slot) = self.slot(id).filter(|slot| slot.is_live())
            && let Some(stream) = &mut slot.stream
        {
            stream.pass(offset);
        }
    }

    /// Continuity is lost, and goes on after `position`. Gives the channel when someone wants it.
    pub(crate) fn gap(&mut self, id: ChannelId, position: Position<T>) -> Option<&C> {
        let slot = self.slots.get_mut(id.0 as usize)?.as_mut().filter(|slot| slot.is_live())?;
        let mut stream = Stream::new(position);
        if let Some(Stream { continuity: Continuity::Resuming, .. }) = slot.stream {
            stream.continuity = Continuity::Resuming;
        }
        slot.stream = Some(stream);
        slot.wanted.then_some(&slot.channel)
    }

    /// The offset at which a live channel became so, when it has history.
    pub(crate) fn attach(&self, id: ChannelId) -> Option<u64> {
        Some(self.wanted(id)?.stream.as_ref()?.attach)
    }

    /// Prepares a probe.
    pub(crate) fn probe(&mut self) -> Probe<C> {
        let mut result = Probe::Impossible;
        for slot in self.slots.iter_mut().flatten() {
            match slot.wire {
                Wire::Live => {
                    slot.wire = Wire::Probed;
                    return Probe::Ask(slot.channel.clone());
                }
                Wire::Asked | Wire::Doubted | Wire::Probed => result = Probe::Listen,
                Wire::Absent | Wire::Denied => {}
            }
        }
        result
    }

    fn wanted(&self, id: ChannelId) -> Option<&Slot<C, T>> {
        self.slots.get(id.0 as usize)?.as_ref().filter(|slot| slot.wanted)
    }

    /// The channel with this id, unless it was left.
    pub(crate) fn get(&self, id: ChannelId) -> Option<&C> {
        self.wanted(id).map(|slot| &slot.channel)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &C> {
        self.slots.iter().flatten().filter(|slot| slot.wanted).map(|slot| &slot.channel)
    }

    pub(crate) fn state(&self, id: ChannelId) -> Option<ChannelState> {
        Some(match self.wanted(id)?.wire {
            Wire::Absent | Wire::Asked | Wire::Doubted => ChannelState::Subscribing,
            Wire::Live | Wire::Probed => ChannelState::Subscribed,
            Wire::Denied => ChannelState::Denied,
        })
    }
}
