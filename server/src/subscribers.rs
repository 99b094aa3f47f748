//! The subscribers of one channel on one worker, and how those become some that were away. Nothing here does I/O.

use crate::{Position, session::Attached, tail::Replay};
use slab::Slab;
use tidings_protocol::Why;

/// One channel's subscribers. `K` names a connection.
///
/// Events reach a worker through a queue, so that it may be behind its gateway's [`Tail`](crate::tail::Tail): who joins
/// gets from the tail what lies up to their position, and everything after it through the queue.
#[derive(Debug)]
pub struct Subscribers<K> {
    live: Slab<K>,
    /// The last event that was handed on to them; `None` on a channel without history.
    position: Option<Position>,
    /// These wait for history, from there on. They get no events: the tail keeps them.
    recovering: Vec<(K, Position)>,
}

/// What comes of the wish to be a subscriber.
#[derive(Debug)]
pub enum Joined {
    /// It is done.
    Now(Attached),
    /// It has to wait for history to be read, until [`Subscribers::recovered`].
    Later {
        /// Read it after this, unless somebody has asked for that already.
        read: Option<Position>,
    },
}

impl<K> Subscribers<K> {
    /// None yet, on a channel whose last event is at `position`.
    pub const fn new(position: Option<Position>) -> Self {
        Self { live: Slab::new(), position, recovering: Vec::new() }
    }

    /// Whether nobody is subscribed or will be.
    pub fn is_idle(&self) -> bool {
        self.live.is_empty() && self.recovering.is_empty()
    }

    /// How many get the channel's events.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether nobody gets the channel's events.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Who gets the channel's events.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.live.iter().map(|(_, who)| who)
    }

    /// Takes an event's position; whether the subscribers have not had it yet.
    pub fn passes(&mut self, position: Option<&Position>) -> bool {
        match (&mut self.position, position) {
            (_, None) => true,
            // It waited here since before they joined: a gap comes before the events of a new epoch.
            (Some(last), Some(next)) if last.epoch != next.epoch => false,
            (Some(last), Some(next)) => {
                let passes = next.offset > last.offset;
                last.offset = last.offset.max(next.offset);
                passes
            }
            (last @ None, Some(next)) => {
                *last = Some(next.clone());
                true
            }
        }
    }

    /// Takes a gap's position; whether it is news.
    pub fn goes_on_after(&mut self, position: &Position) -> bool {
        let old = self
            .position
            .as_ref()
            .is_some_and(|last| last.epoch == position.epoch && position.offset < last.offset);
        if !old {
            self.position = Some(position.clone());
        }
        !old
    }

    /// Makes `who` a subscriber, when it was there before from what it has on. `replay` is the tail's
    /// [`replay`](crate::tail::Tail::replay).
    pub fn join(
        &mut self,
        who: K,
        resume: Option<Position>,
        replay: impl FnOnce(&Position, &Position) -> Replay,
    ) -> Joined {
        let Some(from) = resume else { return Joined::Now(self.admit(who, None)) };
        match self.replay(&from, replay) {
            Replay::Frames(frames) => Joined::Now(self.admit(who, Some((&from, Ok(frames))))),
            Replay::Lost(why) => Joined::Now(self.admit(who, Some((&from, Err(why))))),
            Replay::Unknown => {
                let asked = self.recovering.iter().any(|(_, other)| *other == from);
                let read = (!asked).then(|| from.clone());
                self.recovering.push((who, from));
                Joined::Later { read }
            }
        }
    }

    /// History was read after `from`, or could not be because of `why`: the next one of those who waited for it, until
    /// there is none.
    pub fn recovered(
        &mut self,
        from: &Position,
        why: Why,
        replay: impl FnOnce(&Position, &Position) -> Replay,
    ) -> Option<(K, Attached)>
    where
        K: Copy,
    {
        let at = self.recovering.iter().position(|(_, position)| position == from)?;
        let (who, _) = self.recovering.swap_remove(at);
        let resumed = match self.replay(from, replay) {
            Replay::Frames(frames) => Ok(frames),
            Replay::Lost(why) => Err(why),
            Replay::Unknown => Err(why),
        };
        Some((who, self.admit(who, Some((from, resumed)))))
    }

    /// Ends the subscription at `slot`, which [`Attached::Live`] named.
    pub fn leave(&mut self, slot: usize) {
        self.live.remove(slot);
    }

    /// `who` no longer waits.
    pub fn give_up(&mut self, who: &K)
    where
        K: PartialEq,
    {
        self.recovering.retain(|(waits, _)| waits != who);
    }

    fn replay(&self, from: &Position, replay: impl FnOnce(&Position, &Position) -> Replay) -> Replay {
        match &self.position {
            Some(position) => replay(from, position),
            None => Replay::Lost(Why::Unavailable),
        }
    }

    fn admit(&mut self, who: K, resumed: Option<(&Position, Result<Vec<bytes::Bytes>, Why>)>) -> Attached {
        let mut position = self.position.clone();
        if let (Some(position), Some((from, Ok(_)))) = (&mut position, &resumed) {
            // It may have come from a gateway that was ahead of this one.
            position.offset = position.offset.max(from.offset);
        }
        let slot = self.live.insert(who);
        Attached::Live { slot, position, resumed: resumed.map(|(_, outcome)| outcome) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: &str, offset: u64) -> Position {
        Position { epoch: epoch.into(), offset }
    }

    fn position(attached: &Attached) -> Option<(u64, bool)> {
        let Attached::Live { position, resumed, .. } = attached else { return None };
        Some((position.as_ref()?.offset, resumed.as_ref()?.is_ok()))
    }

    #[test]
    fn what_the_subscribers_have_had_does_not_pass() {
        let mut subscribers: Subscribers<u32> = Subscribers::new(Some(at("e", 5)));
        for (event, passes) in [
            (Some(at("e", 5)), false),
            (Some(at("e", 9)), true),
            (Some(at("e", 8)), false),
            (Some(at("d", 10)), false),
            (Some(at("e", 10)), true),
            (None, true),
        ] {
            assert_eq!(subscribers.passes(event.as_ref()), passes, "{event:?}");
        }
    }

    #[test]
    fn a_gap_behind_what_they_have_had_is_no_news() {
        let mut subscribers: Subscribers<u32> = Subscribers::new(Some(at("e", 5)));
        for (gap, news) in [(at("e", 4), false), (at("e", 5), true), (at("f", 1), true), (at("f", 0), false)]
        {
            assert_eq!(subscribers.goes_on_after(&gap), news, "{gap:?}");
        }
        assert!(!subscribers.passes(Some(&at("f", 1))), "it has moved nothing");
        assert!(subscribers.passes(Some(&at("f", 2))), "the new epoch goes on");
    }

    #[test]
    fn who_is_ahead_of_the_others_stays_where_it_is() {
        let mut subscribers = Subscribers::new(Some(at("e", 5)));
        for (from, replay, expected) in [
            (at("e", 8), Replay::Frames(Vec::new()), (8, true)),
            (at("e", 3), Replay::Frames(Vec::new()), (5, true)),
            (at("e", 8), Replay::Lost(Why::Epoch), (5, false)),
        ] {
            let Joined::Now(attached) = subscribers.join(1, Some(from), |_, _| replay) else {
                panic!("the tail knows")
            };
            assert_eq!(position(&attached), Some(expected));
        }
    }

    #[test]
    fn those_who_wait_at_one_position_are_read_for_once() {
        let mut subscribers = Subscribers::new(Some(at("e", 5)));
        for (who, asked) in [(1, true), (2, false), (3, false)] {
            let joined = subscribers.join(who, Some(at("e", 3)), |_, _| Replay::Unknown);
            assert!(matches!(joined, Joined::Later { read } if read.is_some() == asked), "{who}");
        }
        assert_eq!((subscribers.iter().count(), subscribers.is_idle()), (0, false));
        subscribers.give_up(&1);
        assert!(subscribers.recovered(&at("e", 4), Why::Limit, |_, _| Replay::Unknown).is_none());
        let mut recovered = Vec::new();
        while let Some((who, attached)) =
            subscribers.recovered(&at("e", 3), Why::Limit, |_, _| Replay::Unknown)
        {
            assert_eq!(position(&attached), Some((5, false)));
            recovered.push(who);
        }
        recovered.sort_unstable();
        assert_eq!(recovered, [2, 3]);
        assert_eq!(subscribers.iter().count(), 2);
    }
}
