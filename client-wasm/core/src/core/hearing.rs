//! What the gateway says.

use super::Core;
use crate::{
    backoff::Random,
    channels::{ChannelId, News},
    effect::{Arrival, Effect, reason},
    outbox::Weight,
    phase::{Phase, SocketId, Welcome},
};
use tidings_protocol::{Fields, Position, Receiver, Recovery, ServerFrame, VERSION, reason as refusal};

impl<C: Clone, T: Clone + From<&'static str> + PartialEq, V, P: Clone + Weight, R: Random>
    Core<C, T, V, P, R>
{
    /// Something was received: a frame, or `None` for what is none that the protocol knows. `find` gives the id of
    /// a channel by its name.
    pub fn receive(
        &mut self,
        now: u64,
        socket: SocketId,
        frame: Option<ServerFrame<T, V>>,
        find: impl FnOnce(&T) -> Option<ChannelId>,
    ) {
        if let Some(hearing) = self.hear(now, socket, find)
            && let Some(frame) = frame
        {
            frame.tell(hearing);
        }
    }

    /// Something was received, which may be a frame: the same as [`Core::receive`], without making one.
    pub fn read<F: Fields<Text = T, Value = V>>(
        &mut self,
        now: u64,
        socket: SocketId,
        fields: &F,
        find: impl FnOnce(&T) -> Option<ChannelId>,
    ) {
        if let Some(hearing) = self.hear(now, socket, find) {
            ServerFrame::receive(fields, hearing);
        }
    }

    fn hear<F>(&mut self, now: u64, socket: SocketId, find: F) -> Option<Hearing<'_, C, T, V, P, R, F>> {
        if !self.has(socket) {
            return None;
        }
        let mut gateway = Gateway::Silent;
        if let Phase::Open(open) = &mut self.phase {
            open.liveness.hear(now);
            gateway = if open.v2 { Gateway::Version2 } else { Gateway::Version1 };
        }
        Some(Hearing { core: self, now, gateway, find })
    }

    /// A subscription has become live, or is so still.
    fn live(&mut self, id: ChannelId, position: Option<Position<T>>, recovery: Option<Recovery<T>>) {
        if let Some(News { channel, gap, changed }) = self.channels.live(id, position, recovery) {
            if let Some(why) = gap {
                self.effects.push(Effect::Gap { channel: channel.clone(), why });
            }
            if changed {
                self.effects.push(Effect::Subscribed(channel));
            }
        }
    }
}

/// What is known of the gateway that says something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gateway {
    /// It has not welcomed the client yet.
    Silent,
    Version1,
    Version2,
}

/// A client that is told something.
struct Hearing<'a, C, T, V, P, R, F> {
    core: &'a mut Core<C, T, V, P, R>,
    now: u64,
    gateway: Gateway,
    find: F,
}

impl<C, T, V, P, R, F> Hearing<'_, C, T, V, P, R, F> {
    fn v2(&self) -> bool {
        self.gateway == Gateway::Version2
    }
}

impl<C, T, V, P, R, F> Receiver<T, V> for Hearing<'_, C, T, V, P, R, F>
where
    C: Clone,
    T: Clone + From<&'static str> + PartialEq,
    P: Clone + Weight,
    R: Random,
    F: FnOnce(&T) -> Option<ChannelId>,
{
    fn welcome(self, id: T, version: Option<u64>, keepalive_ms: Option<u64>) {
        let Self { core, now, .. } = self;
        if let Phase::Connecting { token, welcome, .. } = &mut core.phase
            && welcome.is_none()
        {
            let v2 = version.is_some_and(|version| version >= VERSION);
            let welcomed = Welcome { id, v2, keepalive_ms };
            if v2 && core.options.tokens && token.is_none() {
                *welcome = Some(welcomed);
            } else {
                core.open(now, welcomed);
            }
        }
    }

    fn ok(self, channel: T, position: Option<Position<T>>, recovery: Option<Recovery<T>>) {
        let v2 = self.v2();
        if self.gateway != Gateway::Silent
            && let Some(id) = (self.find)(&channel)
        {
            let (position, recovery) = if v2 { (position, recovery) } else { (None, None) };
            self.core.live(id, position, recovery);
        }
    }

    fn err(self, channel: T, reason: T, request: Option<u64>) {
        let v2 = self.v2();
        let Self { core, now, gateway, find } = self;
        if gateway == Gateway::Silent {
            return;
        }
        if v2 && let Some(number) = request {
            if core.requests.answered(number) {
                core.effects.push(Effect::History { request: number, page: Err(reason) });
                return;
            }
            core.effects.push(Effect::Error { channel: Some(channel), reason: reason.clone() });
            if let Some(frame) = core.outbox.answered(number) {
                core.effects.push(Effect::Dropped { frame, reason });
            }
            return;
        }
        if channel == "".into() {
            return core.refused(now, reason);
        }
        let id = find(&channel);
        if id.is_some_and(|id| core.channels.excuse(id)) {
            return;
        }
        core.effects.push(Effect::Error { channel: Some(channel), reason: reason.clone() });
        let publish = [refusal::PUBLISH_DENIED, refusal::PUBLISH_FAILED];
        if let Some(id) = id
            && (v2 || !publish.into_iter().any(|text| reason == text.into()))
            && let Some(channel) = core.channels.refuse(id, v2)
        {
            core.give_up_pages(Some(id), true, reason.clone());
            core.effects.push(Effect::Denied { channel, reason });
        }
    }

    fn msg(self, channel: T, event: T, data: V, id: T, offset: Option<u64>, previous: Option<u64>) {
        let Self { core, gateway, find, .. } = self;
        if gateway != Gateway::Silent
            && let Some(found) = find(&channel)
            && let Some((channel, arrival)) = core.arrived(found, offset, previous)
        {
            let channel = channel.clone();
            if arrival == Arrival::AfterGap {
                let why = reason::HOLE.into();
                core.effects.push(Effect::Gap { channel: channel.clone(), why });
            }
            let id = (arrival == Arrival::Unplaced).then_some(id);
            core.effects.push(Effect::Deliver { channel, event, data, id });
        }
    }

    fn ping(self) {
        if let Phase::Open(open) = &mut self.core.phase {
            open.due.pong = true;
        }
    }

    fn gap(self, channel: T, position: Position<T>, why: T) {
        if self.v2()
            && let Some(id) = (self.find)(&channel)
            && let Some(channel) = self.core.channels.gap(id, position)
        {
            self.core.effects.push(Effect::Gap { channel: channel.clone(), why });
        }
    }

    fn pos(self, channel: T, offset: u64) {
        if self.v2()
            && let Some(id) = (self.find)(&channel)
        {
            self.core.channels.pass(id, offset);
        }
    }

    fn ack(self, request: u64, id: T, offset: Option<u64>) {
        if self.v2()
            && let Some(frame) = self.core.outbox.answered(request)
        {
            self.core.effects.push(Effect::Acknowledged { frame, id, offset });
        }
    }

    fn presence(self, _: T, _: Option<V>, _: Option<V>, _: Option<V>) {}

    fn auth(self, expires: Option<u64>) {
        if self.v2() && self.core.options.tokens {
            self.core.accepted(self.now, expires);
        }
    }

    fn bye(self, _: u64, after_ms: u64) {
        if self.v2()
            && let Phase::Open(open) = &mut self.core.phase
        {
            open.draining = true;
            self.core.not_before = self.now + after_ms;
            self.core.effects.push(Effect::Drain { after_ms });
        }
    }

    fn history(self, _: T, request: u64, position: Position<T>, events: V) {
        if self.v2() && self.core.requests.answered(request) {
            self.core.effects.push(Effect::History { request, page: Ok((position, events)) });
        }
    }
}
