//! Who asks next, when more questions wait than can be asked at once. Those who ask take turns, so that nobody's questions
//! wait for all of another one's. Without I/O.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::oneshot::{Receiver, Sender, channel};

/// Who asks: a user, or all clients without a subject together.
type Asker = Option<Arc<str>>;

/// Places, each of which is a `P` while somebody has it, and who waits for one.
#[derive(Debug)]
pub(super) struct Turns<P> {
    /// Places that nobody has.
    free: usize,
    /// Questions that wait at most.
    most: usize,
    waiting: usize,
    queues: HashMap<Asker, VecDeque<Sender<P>>>,
    /// Those with a queue, in the order of their turns.
    order: VecDeque<Asker>,
}

/// What becomes of a question.
#[derive(Debug)]
pub(super) enum Turn<P> {
    /// It has a place.
    Now,
    /// A place will come here; or nothing, when the question had to make room for another one.
    Later(Receiver<P>),
    /// So many wait that it cannot.
    Full,
}

impl<P> Turns<P> {
    pub(super) fn new(places: usize, most: usize) -> Self {
        Self { free: places, most, waiting: 0, queues: HashMap::new(), order: VecDeque::new() }
    }

    /// Takes in a question. When as many wait as may, whoever has most of them loses the latest, unless that is the one
    /// who asks.
    pub(super) fn enter(&mut self, asker: Option<&str>) -> Turn<P> {
        if self.free > 0 {
            self.free -= 1;
            return Turn::Now;
        }
        let asker = asker.map(Arc::from);
        if self.waiting >= self.most {
            self.forget_gone();
        }
        if self.waiting >= self.most && !self.make_room(&asker) {
            return Turn::Full;
        }
        let (give, given) = channel();
        let queue = self.queues.entry(asker.clone()).or_insert_with(|| {
            self.order.push_back(asker);
            VecDeque::new()
        });
        queue.push_back(give);
        self.waiting += 1;
        Turn::Later(given)
    }

    /// A place is free again: to whom it has to be given, if anybody waits.
    pub(super) fn leave(&mut self) -> Option<Sender<P>> {
        while let Some(asker) = self.order.pop_front() {
            let Some(queue) = self.queues.get_mut(&asker) else { continue };
            let mut next = None;
            while let Some(give) = queue.pop_front() {
                self.waiting -= 1;
                if !give.is_closed() {
                    next = Some(give);
                    break;
                }
            }
            if queue.is_empty() {
                self.queues.remove(&asker);
            } else {
                self.order.push_back(asker);
            }
            if next.is_some() {
                return next;
            }
        }
        self.free += 1;
        None
    }

    /// Drops what nobody waits for any more.
    fn forget_gone(&mut self) {
        self.queues.retain(|_, queue| {
            queue.retain(|give| !give.is_closed());
            !queue.is_empty()
        });
        self.order.retain(|asker| self.queues.contains_key(asker));
        self.waiting = self.queues.values().map(VecDeque::len).sum();
    }

    /// Takes the latest question from whoever has most, if `asker` has fewer.
    fn make_room(&mut self, asker: &Asker) -> bool {
        let own = self.queues.get(asker).map_or(0, VecDeque::len);
        let longest = self.queues.values_mut().max_by_key(|queue| queue.len());
        // Not from one who would then have less than who asks: they would take each other's places for ever.
        let Some(longest) = longest.filter(|queue| queue.len() > own + 1) else { return false };
        longest.pop_back();
        self.waiting -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::error::TryRecvError;

    fn later<P>(turn: Turn<P>) -> Receiver<P> {
        match turn {
            Turn::Later(given) => given,
            Turn::Now => panic!("a place at once"),
            Turn::Full => panic!("no room"),
        }
    }

    /// Frees a place; whose it is then is found out by what was given.
    fn free(turns: &mut Turns<()>) {
        if let Some(give) = turns.leave() {
            give.send(()).expect("somebody who waits");
        }
    }

    #[test]
    fn whoever_waits_is_next_and_one_who_asks_alone_has_all_places() {
        let mut turns = Turns::new(2, 10);
        assert!(matches!(turns.enter(None), Turn::Now) && matches!(turns.enter(None), Turn::Now));
        let mut waiting = [later(turns.enter(None)), later(turns.enter(None))];
        free(&mut turns);
        assert!(waiting[0].try_recv().is_ok() && waiting[1].try_recv().is_err());
        free(&mut turns);
        assert!(waiting[1].try_recv().is_ok());
        for _ in 0..2 {
            assert!(turns.leave().is_none());
        }
        assert!(matches!(turns.enter(None), Turn::Now) && matches!(turns.enter(None), Turn::Now));
        assert!(matches!(turns.enter(None), Turn::Later(_)), "no more places than there were");
    }

    #[test]
    fn they_take_turns_however_many_questions_one_has() {
        let mut turns = Turns::new(1, 100);
        assert!(matches!(turns.enter(Some("mallory")), Turn::Now));
        let flood: Vec<_> = (0..50).map(|_| later(turns.enter(Some("mallory")))).collect();
        let mut ann = [later(turns.enter(Some("ann"))), later(turns.enter(Some("ann")))];
        let mut nobody = later(turns.enter(None));
        // Mallory, Ann, nobody, Mallory, Ann.
        let got: Vec<_> = (0..5)
            .map(|_| {
                free(&mut turns);
                [ann[0].try_recv().is_ok(), ann[1].try_recv().is_ok(), nobody.try_recv().is_ok()]
            })
            .collect();
        let none = [false; 3];
        assert_eq!(got, [none, [true, false, false], [false, false, true], none, [false, true, false]]);
        drop(flood);
        assert!(turns.leave().is_none(), "who has gone gets no place");
        assert_eq!((turns.free, turns.waiting, turns.queues.len(), turns.order.len()), (1, 0, 0, 0));
    }

    #[test]
    fn a_flood_makes_room_for_others() {
        let mut turns = Turns::new(1, 10);
        assert!(matches!(turns.enter(None), Turn::Now));
        let mut flood: Vec<_> = (0..10).map(|_| later(turns.enter(None))).collect();
        assert!(matches!(turns.enter(None), Turn::Full), "not for more of its own");
        let mut ann: Vec<_> = (0..5).map(|_| later(turns.enter(Some("ann")))).collect();
        assert!(matches!(turns.enter(Some("ann")), Turn::Full), "half of the room is hers");
        assert!(matches!(turns.enter(None), Turn::Full));
        assert_eq!(turns.waiting, 10);
        let closed = |given: &mut Receiver<()>| given.try_recv() == Err(TryRecvError::Closed);
        assert_eq!(
            flood.iter_mut().map(closed).collect::<Vec<_>>(),
            [vec![false; 5], vec![true; 5]].concat()
        );
        assert!(!ann.iter_mut().any(closed));
        let bob = later(turns.enter(Some("bob")));
        // Who waits no longer leaves room as well.
        drop((flood, bob));
        for n in 0..5 {
            assert!(matches!(turns.enter(None), Turn::Later(_)), "{n}");
        }
    }
}
