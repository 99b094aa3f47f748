//! Which channels are wanted, and which of them this connection has subscribed.

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
    Live,
    /// Live, and asked again to hear whether the gateway is there.
    Probed,
    Denied,
}

#[derive(Debug)]
struct Slot<C> {
    channel: C,
    wanted: bool,
    wire: Wire,
}

/// A step that brings a connection nearer to what is wanted.
pub(crate) enum Step<C> {
    Subscribe(C),
    Unsubscribe(C),
    Forget(C),
}

/// What the gateway says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ok,
    Err,
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
pub(crate) struct Channels<C> {
    slots: Vec<Option<Slot<C>>>,
    free: Vec<u32>,
    /// Slots to look at, the next one last.
    changed: Vec<u32>,
    /// Live channels that were left in this tick: they may be wanted again before it ends.
    leaving: Vec<u32>,
}

impl<C: Clone> Channels<C> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), changed: Vec::new(), leaving: Vec::new() }
    }

    fn slot(&mut self, id: ChannelId) -> Option<&mut Slot<C>> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    /// Wants a channel: a new one, or again one that was left and still has an id. A refusal is forgotten.
    pub(crate) fn want(&mut self, known: Option<ChannelId>, channel: C) -> ChannelId {
        if let Some(id) = known
            && let Some(slot) = self.slot(id)
        {
            slot.channel = channel;
            slot.wanted = true;
            if slot.wire == Wire::Denied {
                slot.wire = Wire::Absent;
            }
            self.changed.push(id.0);
            return id;
        }
        let slot = Some(Slot { channel, wanted: true, wire: Wire::Absent });
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
        self.changed.append(&mut self.leaving);
    }

    /// There is another connection, or none: nothing is subscribed, and everything is to be looked at.
    pub(crate) fn reset(&mut self) {
        self.leaving.clear();
        self.changed.clear();
        self.changed.extend((0..self.slots.len() as u32).rev());
        for slot in self.slots.iter_mut().flatten() {
            slot.wire = Wire::Absent;
        }
    }

    /// The next step; without a connection only what needs none.
    pub(crate) fn step(&mut self, connected: bool) -> Option<Step<C>> {
        while let Some(index) = self.changed.pop() {
            let Some(entry) = self.slots.get_mut(index as usize) else { continue };
            let Some(slot) = entry else { continue };
            match (slot.wanted, slot.wire) {
                (true, Wire::Absent) if connected => {
                    slot.wire = Wire::Asked;
                    return Some(Step::Subscribe(slot.channel.clone()));
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

    /// The gateway has answered. Gives the channel when that is news to whoever wants it.
    pub(crate) fn answer(&mut self, id: ChannelId, answer: Answer) -> Option<C> {
        let slot = self.slot(id)?;
        let (wire, news) = match (slot.wire, answer) {
            (Wire::Asked, Answer::Err) => (Wire::Denied, true),
            // An `ok` after a refusal: the refusal was about a publish, which looks the same.
            (Wire::Asked | Wire::Denied, Answer::Ok) => (Wire::Live, true),
            (Wire::Probed, _) => (Wire::Live, false),
            (wire, _) => (wire, false),
        };
        slot.wire = wire;
        if slot.wanted {
            return news.then(|| slot.channel.clone());
        }
        self.changed.push(id.0);
        None
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
                Wire::Asked | Wire::Probed => result = Probe::Listen,
                Wire::Absent | Wire::Denied => {}
            }
        }
        result
    }

    fn wanted(&self, id: ChannelId) -> Option<&Slot<C>> {
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
            Wire::Absent | Wire::Asked => ChannelState::Subscribing,
            Wire::Live | Wire::Probed => ChannelState::Subscribed,
            Wire::Denied => ChannelState::Denied,
        })
    }
}
