//! Pages of history that were asked for.

use crate::{ChannelId, list};
use tidings_protocol::MAX_REQUESTS;

/// Which page of a channel's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// At most this many events; by default what the gateway gives.
    pub limit: Option<u64>,
    /// Only events before this offset.
    pub before: Option<u64>,
    /// Only events before live began: waits until the channel is live.
    pub until_attach: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) number: u64,
    pub(crate) channel: ChannelId,
    pub(crate) page: HistoryPage,
    asked: bool,
}

/// In the order in which they were made.
#[derive(Debug)]
pub(crate) struct Requests(Vec<Request>);

impl Requests {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn push(&mut self, number: u64, channel: ChannelId, page: HistoryPage) {
        self.0.push(Request { number, channel, page, asked: false });
    }

    /// The answer to this one is there. False when none of that number was asked.
    pub(crate) fn answered(&mut self, number: u64) -> bool {
        let mut found = false;
        self.give_up(|request| request.number == number && request.asked, |_| found = true);
        found
    }

    /// Gives up those that `which` picks.
    pub(crate) fn give_up(&mut self, which: impl Fn(&Request) -> bool, mut gone: impl FnMut(u64)) {
        let mut index = 0;
        while let Some(request) = self.0.get(index) {
            if which(request) {
                gone(request.number);
                list::remove(&mut self.0, index);
            } else {
                index += 1;
            }
        }
    }

    /// There is another connection, or none: everything is to be asked again.
    pub(crate) fn reset(&mut self) {
        for request in &mut self.0 {
            request.asked = false;
        }
    }

    /// The next one that may be asked, of those that are `ready`; it is asked from here on.
    pub(crate) fn ask(&mut self, ready: impl Fn(&Request) -> bool) -> Option<Request> {
        let under_way = self.0.iter().filter(|request| request.asked).count();
        let next = self.0.iter_mut().find(|request| !request.asked && ready(request))?;
        next.asked = under_way < MAX_REQUESTS;
        next.asked.then_some(*next)
    }
}
