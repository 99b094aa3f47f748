//! Who is connected: a question to every hub, and what comes of it. A hub answers with as many rows as are asked for, so
//! that neither it nor who asks has much to do however many there are.

use crate::mailbox::{Hubs, Post};
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use std::{cell::Cell, collections::BinaryHeap, convert::Infallible, net::IpAddr, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::timeout};
use ulid::{ULID_LEN, Ulid};

/// How long the hubs are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names of channels that a row has at most.
pub(crate) const NAMED: usize = 3;

/// Which connections are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// A part of the id, of the user or of the address, in small letters; empty for all.
    pub(crate) text: String,
    /// Only those of this channel.
    pub(crate) channel: Option<Arc<str>>,
    pub(crate) order: Order,
    pub(crate) limit: usize,
}

/// Which of too many are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Newest,
    Oldest,
    /// Those for whom the most bytes wait.
    Queued,
}

/// A connection as it is told.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    #[serde(serialize_with = "as_text")]
    pub(crate) id: Ulid,
    pub(crate) user: Option<String>,
    pub(crate) address: Option<IpAddr>,
    /// Milliseconds since 1970.
    pub(crate) since: u64,
    /// How many channels it has, and the names of the first ones.
    pub(crate) channels: usize,
    pub(crate) names: Vec<String>,
    pub(crate) queued: usize,
}

/// The answer of all hubs.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Roll {
    /// How many connections there are.
    pub(crate) total: usize,
    /// How many of them are asked for.
    pub(crate) matching: usize,
    /// The first of these.
    pub(crate) rows: Vec<Row>,
    /// Hubs that have not answered in time.
    pub(crate) silent: usize,
}

/// The question on its way; once all hubs have dropped it, all have answered.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) question: Question,
    answer: Arc<Mutex<Answer>>,
    _open: mpsc::Sender<Infallible>,
}

#[derive(Debug, Default)]
struct Answer {
    hubs: usize,
    total: usize,
    matching: usize,
    rows: Vec<Row>,
}

impl Question {
    /// Whether an address can be meant by the text. To ask for one costs a system call.
    fn may_mean_address(&self) -> bool {
        self.text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'))
    }

    /// Whether a connection is asked for.
    pub(crate) fn is(&self, id: Ulid, user: Option<&str>, address: impl FnOnce() -> Option<IpAddr>) -> bool {
        if self.text.is_empty() {
            return true;
        }
        let mut buffer = [0; ULID_LEN];
        let id = id.array_to_str(&mut buffer);
        id.make_ascii_lowercase();
        id.contains(&self.text)
            || user.is_some_and(|user| user.to_lowercase().contains(&self.text))
            || (self.may_mean_address()
                && address().is_some_and(|address| address.to_string().contains(&self.text)))
    }
}

impl Order {
    /// The smallest comes first.
    fn key(self, id: Ulid, queued: usize) -> u128 {
        let id = u128::from(id);
        match self {
            Self::Newest => !id,
            Self::Oldest => id,
            Self::Queued => (u128::from(u64::MAX - queued as u64) << 64) | (!id >> 64),
        }
    }
}

/// The first ones of many, by what orders them.
#[derive(Debug)]
pub(crate) struct First {
    order: Order,
    limit: usize,
    kept: BinaryHeap<(u128, u32)>,
    pub(crate) offered: usize,
}

impl First {
    pub(crate) fn new(question: &Question) -> Self {
        Self { order: question.order, limit: question.limit, kept: BinaryHeap::new(), offered: 0 }
    }

    pub(crate) fn offer(&mut self, slot: u32, id: Ulid, queued: usize) {
        self.offered += 1;
        self.kept.push((self.order.key(id, queued), slot));
        if self.kept.len() > self.limit {
            self.kept.pop();
        }
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        self.kept.iter().map(|(_, slot)| *slot)
    }
}

impl Call {
    /// A hub answers.
    pub(crate) fn answered(&self, total: usize, matching: usize, rows: impl Iterator<Item = Row>) {
        let mut answer = self.answer.lock();
        answer.hubs += 1;
        answer.total += total;
        answer.matching += matching;
        answer.rows.extend(rows);
    }
}

/// Asks every hub.
pub(crate) async fn call(hubs: &Hubs, question: Question) -> Roll {
    let (open, mut all) = mpsc::channel(1);
    let answer = Arc::<Mutex<Answer>>::default();
    let (order, limit) = (question.order, question.limit);
    let call = Arc::new(Call { question, answer: answer.clone(), _open: open });
    let asked = Cell::new(0);
    hubs.tell(|| {
        asked.set(asked.get() + 1);
        Post::Roll(call.clone())
    });
    drop(call);
    // Nothing is ever sent: it ends when the last hub has let go.
    let _ = timeout(PATIENCE, all.recv()).await;
    let Answer { hubs, total, matching, mut rows } = std::mem::take(&mut *answer.lock());
    rows.sort_unstable_by_key(|row| order.key(row.id, row.queued));
    rows.truncate(limit);
    Roll { total, matching, rows, silent: asked.get() - hubs }
}

fn as_text<S: Serializer>(id: &Ulid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.array_to_str(&mut [0; ULID_LEN]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(text: &str, order: Order, limit: usize) -> Question {
        Question { text: text.to_owned(), channel: None, order, limit }
    }

    #[test]
    fn what_is_meant_by_a_text() {
        let id: Ulid = "01KB1K7Q8T3V5W9X2Y4Z6A8B0C".parse().expect("an id");
        for (text, expected) in [
            ("", true),
            ("8t3v", true),
            ("01kb1k7q8t3v5w9x2y4z6a8b0c", true),
            ("ann", true),
            ("192.0.2", true),
            ("192.0.3", false),
            ("bob", false),
            ("zann", false),
        ] {
            let address = || Some([192, 0, 2, 7].into());
            assert_eq!(question(text, Order::Newest, 1).is(id, Some("Joann"), address), expected, "{text}");
        }
    }

    #[test]
    fn nobody_is_asked_for_an_address_that_is_none() {
        let asked = |text| {
            let asked = Cell::new(false);
            question(text, Order::Newest, 1).is(Ulid::nil(), None, || {
                asked.set(true);
                None
            });
            asked.get()
        };
        assert!(asked("10.2") && asked("2001:db8") && !asked("joann") && !asked(""));
    }

    #[test]
    fn the_first_ones_of_many() {
        for (order, expected) in [
            (Order::Newest, [7, 6]),
            (Order::Oldest, [0, 1]),
            // 3 and 5 have the same: the newer one comes first.
            (Order::Queued, [4, 5]),
        ] {
            let mut first = First::new(&question("", order, 2));
            for slot in 0..8_u32 {
                let queued = [0, 0, 0, 70, 90, 70, 1, 0][slot as usize];
                first.offer(slot, Ulid::from_parts(1_000 + u64::from(slot), 5), queued);
            }
            let mut slots: Vec<_> = first.slots().collect();
            slots.sort_unstable();
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!((slots, first.offered), (expected, 8), "{order:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_does_not_answer_is_told_of() {
        let hubs = Hubs::default();
        hubs.add(Arc::default());
        let roll = call(&hubs, question("", Order::Newest, 10)).await;
        assert_eq!((roll.silent, roll.total, roll.rows.len()), (1, 0, 0));
        let roll = call(&Hubs::default(), question("", Order::Newest, 10)).await;
        assert_eq!(roll.silent, 0);
    }
}
