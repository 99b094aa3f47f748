//! The gateway of these tests.

use crate::served::Served;
use std::time::Duration;
use tidings_server::{Config, Gateway, Histories, History, MemoryBroadcaster};

/// A gateway over memory that keeps everything and lets everybody publish.
pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Served {
    let mut config = Config::default();
    change(&mut config);
    let history = History { events: 1_000_000, age: Duration::from_secs(3_600), bytes: usize::MAX };
    let gateway = Gateway::builder(MemoryBroadcaster::new(Histories::new(history)))
        .allow_client_publish(|_| async { true })
        .config(config)
        .build()
        .expect("valid settings");
    Served::start(gateway)
}
