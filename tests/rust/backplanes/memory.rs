//! The backplane within one process: its nodes are clones of one broadcaster.

use crate::{
    conformance::conforms,
    node::{Backplane, histories},
};
use std::{future::ready, sync::Arc};
use tidings_server::{Broadcaster, Histories, MemoryBroadcaster};

struct Memory(MemoryBroadcaster);

impl Backplane for Memory {
    async fn connect(&self, _: Histories) -> Arc<dyn Broadcaster> {
        Arc::new(self.0.clone())
    }
}

conforms!(ready(Memory(MemoryBroadcaster::new(histories()))));
