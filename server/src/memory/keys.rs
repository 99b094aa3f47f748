//! Idempotency keys of a channel.

use crate::Published;
use ahash::RandomState;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How long a key is kept: what the protocol promises.
const AGE: Duration = Duration::from_secs(300);

/// More keys than this are not kept of one channel; the oldest goes. A guess: a third of a thousand publishes a second.
const MOST: usize = 100_000;

/// What was said of each publish that came with a key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    said: HashMap<Arc<str>, Published, RandomState>,
    /// In the order in which they came.
    order: VecDeque<(Instant, Arc<str>)>,
}

impl Keys {
    pub(super) fn get(&mut self, key: &str, now: Instant) -> Option<&Published> {
        self.expire(now);
        self.said.get(key)
    }

    pub(super) fn insert(&mut self, key: Arc<str>, said: Published, now: Instant) {
        self.said.insert(key.clone(), said);
        self.order.push_back((now, key));
        if self.order.len() > MOST {
            self.drop_oldest();
        }
    }

    pub(super) fn is_empty(&mut self, now: Instant) -> bool {
        self.expire(now);
        self.order.is_empty()
    }

    /// Whether there were none when it was last asked.
    pub(super) fn is_forgotten(&self) -> bool {
        self.order.is_empty()
    }

    fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(at, _)| now.duration_since(*at) >= AGE) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.said.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ulid::Ulid;

    #[test]
    fn a_key_is_kept_for_five_minutes() {
        let (mut keys, start) = (Keys::default(), Instant::now());
        let said = Published::new(Ulid::generate(), None);
        keys.insert("k".into(), said.clone(), start);
        let almost = start + AGE - Duration::from_millis(1);
        assert_eq!(keys.get("k", almost), Some(&said));
        assert_eq!(keys.get("other", almost), None);
        assert!(!keys.is_empty(almost));
        assert!(keys.get("k", start + AGE).is_none());
        assert!(keys.is_empty(start + AGE));
    }

    #[test]
    fn the_oldest_makes_room() {
        let (mut keys, now) = (Keys::default(), Instant::now());
        for n in 0..=MOST {
            keys.insert(n.to_string().into(), Published::new(Ulid::nil(), None), now);
        }
        assert_eq!((keys.said.len(), keys.order.len()), (MOST, MOST));
        assert!(keys.get("0", now).is_none() && keys.get("1", now).is_some());
    }
}
