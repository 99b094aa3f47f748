//! Over Redis.

mod faults;
mod others;
mod start;

use crate::{
    conformance::conforms,
    faults::survives,
    gateways::clients_stay_while_the_backplane_is_away,
    killed,
    node::{Backplane, Fragile, PATIENCE, Remote, at_last, histories},
    servers::redis::Redis,
    storm::weathers,
};
use parking_lot::Mutex;
use std::{
    future::ready,
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    sync::{Arc, LazyLock, Weak},
    time::Duration,
};
use tidings_server::{Broadcaster, Histories, RedisBroadcaster, RedisOptions};

/// The server that the tests share which do it no harm: there while one of them runs.
fn shared() -> Arc<Redis> {
    static SHARED: LazyLock<Mutex<Weak<Redis>>> = LazyLock::new(Mutex::default);
    let mut shared = SHARED.lock();
    shared.upgrade().unwrap_or_else(|| {
        let redis = Arc::new(Redis::start(&[]));
        *shared = Arc::downgrade(&redis);
        redis
    })
}

/// How to reach a server that often says whether it is still there.
fn options(address: SocketAddr) -> RedisOptions {
    let options = RedisOptions::from_url(&format!("redis://{address}")).expect("an address");
    options.probe_every(Duration::from_millis(300))
}

async fn connect(address: SocketAddr) -> Arc<RedisBroadcaster> {
    // A machine that is busy is no fault.
    let options = options(address).timeout(PATIENCE);
    Arc::new(RedisBroadcaster::connect(options, histories()).await.expect("connected"))
}

/// With little patience, so that a fault is soon noticed.
async fn connect_hastily(options: RedisOptions) -> Arc<dyn Broadcaster> {
    let options = options.timeout(Duration::from_secs(1));
    let connected = async || RedisBroadcaster::connect(options.clone(), histories()).await;
    Arc::new(at_last("it is connected", connected).await)
}

/// The shared server, with prefixes of its own.
struct Prefixed {
    redis: Arc<Redis>,
    prefix: String,
}

async fn prefixed() -> Prefixed {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    Prefixed { redis: shared(), prefix: format!("t{}.", COUNT.fetch_add(1, Ordering::Relaxed)) }
}

impl Prefixed {
    async fn node(&self, histories: Histories) -> Arc<RedisBroadcaster> {
        let options =
            RedisOptions::from_url(&format!("redis://{}", self.redis.address())).expect("an address");
        let options = options.key_prefix(&self.prefix).channel_prefix(&self.prefix).timeout(PATIENCE);
        Arc::new(RedisBroadcaster::connect(options, histories).await.expect("connected"))
    }
}

impl Backplane for Prefixed {
    async fn connect(&self, histories: Histories) -> Arc<dyn Broadcaster> {
        self.node(histories).await
    }
}

conforms!(prefixed());
conforms!(prefixed(); one_node_that_closes_leaves_the_others);

/// What is accepted is on disk.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

impl Remote for Redis {
    fn address(&self) -> SocketAddr {
        Self::address(self)
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    async fn connect_by(&self, address: SocketAddr) -> Arc<dyn Broadcaster> {
        connect_hastily(options(address)).await
    }
}

impl Fragile for Redis {
    fn kill(&mut self) {
        Self::kill(self);
    }

    fn start_again(&mut self) {
        Self::start_again(self);
    }

    fn freeze(&self, frozen: bool) {
        Self::freeze(self, frozen);
    }
}

survives!(ready(Redis::start(&DURABLE)), ready(Redis::start(&[])));
weathers!(nothing_is_lost_in_silence(async || Redis::start(&[])); storm long_storm);
weathers!(
    nothing_is_lost(async || Redis::start(&DURABLE));
    storm_with_everything_on_disk long_storm_with_everything_on_disk
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_stay() {
    clients_stay_while_the_backplane_is_away(Redis::start(&[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_killed_while_others_publish() {
    killed::a_gateway_is_killed_while_others_publish(module_path!(), async || Redis::start(&[])).await;
}
