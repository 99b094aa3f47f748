//! A worker's connections, and close together beside them what fan-out needs of each.

mod connection;

use crate::metrics::Tally;
use bytes::Bytes;
pub(crate) use connection::{Connection, Fault, Phase, Received, Transport};
use slab::Slab;
use std::{
    ops::{Index, IndexMut},
    sync::Arc,
};

/// Connections by slot. Whatever is sent on one goes through here.
#[derive(Debug)]
pub(crate) struct Connections {
    all: Slab<Connection>,
    /// By slot. A thousand subscribers' lanes fit into the processor's nearest cache; their connections do not.
    lanes: Vec<Lane>,
    tally: Arc<Tally>,
}

/// What comes behind a chunk before the end of the hub's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    Nothing,
    /// Events of other channels only.
    Others,
    /// More of the same channel.
    More,
}

/// What fan-out needs to know of a connection.
#[derive(Clone, Copy, Debug)]
struct Lane {
    socket: Exit,
    /// Of how many channels it gets the events.
    channels: u32,
}

/// The socket of a connection on which nothing waits, so that the next bytes may go out at once; -1 for any other.
#[derive(Clone, Copy, Debug)]
struct Exit(i32);

impl Exit {
    const CLOSED: Self = Self(-1);

    #[cfg(unix)]
    fn of(connection: &Connection) -> Self {
        use std::os::fd::AsRawFd;
        connection.idle_socket().map_or(Self::CLOSED, |stream| Self(stream.as_raw_fd()))
    }

    #[cfg(not(unix))]
    fn of(_: &Connection) -> Self {
        Self::CLOSED
    }

    /// How many of the bytes the kernel has taken; 0 also when the connection has to be asked why it took none.
    #[cfg(unix)]
    fn write(self, bytes: &[u8]) -> usize {
        use std::os::fd::BorrowedFd;
        #[cfg(target_os = "linux")]
        const FLAGS: i32 = libc::MSG_NOSIGNAL;
        #[cfg(not(target_os = "linux"))]
        const FLAGS: i32 = 0;
        if self.0 < 0 {
            return 0;
        }
        // SAFETY: the connection owns the socket, and closes its lane before it goes: see `Connections::remove`.
        let socket = unsafe { BorrowedFd::borrow_raw(self.0) };
        socket2::SockRef::from(&socket).send_with_flags(bytes, FLAGS).unwrap_or_default()
    }

    #[cfg(not(unix))]
    fn write(self, _: &[u8]) -> usize {
        0
    }
}

impl Connections {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// None yet; `tally` is told how much waits.
    pub(crate) fn new(tally: Arc<Tally>) -> Self {
        Self { all: Slab::new(), lanes: Vec::new(), tally }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Connection)> {
        self.all.iter().map(|(slot, connection)| (slot as u32, connection))
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        self.all.contains(slot as usize)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Connection> {
        self.all.get(slot as usize)
    }

    /// Where the next connection will be.
    pub(crate) fn vacant_slot(&self) -> u32 {
        self.all.vacant_key() as u32
    }

    pub(crate) fn insert(&mut self, connection: Connection) {
        let slot = self.all.insert(connection);
        if slot == self.lanes.len() {
            self.lanes.push(Lane { socket: Exit::CLOSED, channels: 0 });
        }
        self.settle(slot as u32);
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Connection {
        self.lanes[slot as usize].socket = Exit::CLOSED;
        let connection = self.all.remove(slot as usize);
        self.tally.queued_bytes.subtract(connection.counted_bytes.into());
        connection
    }

    /// The connection gets the events of one channel more.
    pub(crate) fn subscribed(&mut self, slot: u32) {
        self.lanes[slot as usize].channels += 1;
    }

    /// The connection, which may have gone, gets the events of one channel less.
    pub(crate) fn unsubscribed(&mut self, slot: u32) {
        self.lanes[slot as usize].channels -= 1;
    }

    /// Sends `chunk` at once when nothing waits before it and nothing may come `behind` it; otherwise it waits for
    /// [`flush`](Self::flush), and true says that nobody has asked for that yet. At most `limit` bytes wait.
    pub(crate) fn send(
        &mut self,
        slot: u32,
        chunk: &Bytes,
        behind: Behind,
        limit: usize,
        now: u64,
    ) -> Result<bool, Fault> {
        let lane = self.lanes[slot as usize];
        let direct = match behind {
            Behind::Nothing => true,
            Behind::Others => lane.channels <= 1,
            Behind::More => false,
        };
        let written = if direct { lane.socket.write(chunk) } else { 0 };
        if written == chunk.len() {
            return Ok(false);
        }
        let connection = &mut self[slot];
        let waited = !connection.outbox.is_empty();
        let mut sent = Ok(());
        if written == 0 {
            sent = connection.send(chunk, direct, limit, now);
        } else {
            connection.keep_rest(chunk.slice(written..), now);
        }
        let flush = !waited && !connection.outbox.is_empty() && !connection.dirty;
        connection.dirty |= flush;
        self.settle(slot);
        sent.map(|()| flush)
    }

    /// Sends bytes that no other connection shares, at once when nothing waits before them.
    pub(crate) fn send_own(&mut self, slot: u32, bytes: &[u8], limit: usize, now: u64) -> Result<(), Fault> {
        let sent = self[slot].send_own(bytes, limit, now);
        self.settle(slot);
        sent
    }

    /// Writes what waits, as far as the socket takes it. Nothing, when the connection has gone meanwhile.
    pub(crate) fn flush(&mut self, slot: u32, now: u64) -> Option<Result<(), Fault>> {
        let connection = self.all.get_mut(slot as usize)?;
        connection.dirty = false;
        let flushed = connection.flush(now);
        self.settle(slot);
        Some(flushed)
    }

    /// Takes in what has become of a connection's outbox.
    pub(crate) fn settle(&mut self, slot: u32) {
        let connection = &mut self.all[slot as usize];
        let waiting = u32::try_from(connection.outbox.bytes()).unwrap_or(u32::MAX);
        let counted = std::mem::replace(&mut connection.counted_bytes, waiting);
        self.tally.queued_bytes.add(waiting.into());
        self.tally.queued_bytes.subtract(counted.into());
        self.lanes[slot as usize].socket = Exit::of(connection);
    }
}

impl Index<u32> for Connections {
    type Output = Connection;

    fn index(&self, slot: u32) -> &Connection {
        &self.all[slot as usize]
    }
}

impl IndexMut<u32> for Connections {
    fn index_mut(&mut self, slot: u32) -> &mut Connection {
        &mut self.all[slot as usize]
    }
}
