//! Faults of every kind in the order that a seed says.
//!
//! `TIDINGS_SEED=7` tells one story again, as far as real servers can; `TIDINGS_SEEDS=100` tells so many, and
//! `TIDINGS_SEEDS=100..200` those.

use crate::{
    node::{Fragile, gaps, until},
    proxy::Proxy,
    rig::Rig,
};
use std::{env, time::Duration};
use tidings_server::Notice;
use tokio::time::sleep;

/// Faults of one story, and of a long one.
pub(crate) const SHORT: usize = 5;
pub(crate) const LONG: usize = 40;

/// The longest that a fault stays, in milliseconds.
const LONGEST: u64 = 1_500;

fn seeds() -> Vec<u64> {
    let variable = |name| env::var(name).ok();
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text:?} is no seed"));
    match (variable("TIDINGS_SEED"), variable("TIDINGS_SEEDS")) {
        (Some(seed), _) => vec![number(&seed)],
        (None, Some(seeds)) => match seeds.split_once("..") {
            Some((from, to)) => (number(from)..number(to)).collect(),
            None => (0..number(&seeds)).collect(),
        },
        (None, None) => vec![1],
    }
}

/// Every event that was accepted reaches every node once and in order, or the node is told of a gap before any later one.
pub(crate) async fn nothing_is_lost_in_silence<S: Fragile>(start: impl AsyncFn() -> S, faults: usize) {
    for seed in seeds() {
        println!("TIDINGS_SEED={seed}");
        let told = story(start().await, fastrand::Rng::with_seed(seed), faults).await;
        println!("told of gaps: {:?}", told.iter().map(|told| gaps(told).len()).collect::<Vec<_>>());
    }
}

/// The same, and nobody is told of a gap.
pub(crate) async fn nothing_is_lost<S: Fragile>(start: impl AsyncFn() -> S, faults: usize) {
    for seed in seeds() {
        println!("TIDINGS_SEED={seed}");
        for told in story(start().await, fastrand::Rng::with_seed(seed), faults).await {
            assert_eq!(gaps(&told), [], "nothing was lost");
        }
    }
}

async fn story(mut backplane: impl Fragile, mut random: fastrand::Rng, faults: usize) -> Vec<Vec<Notice>> {
    let rig = Rig::over(&backplane).await;
    for _ in 0..faults {
        // One of them, or all.
        let links = match random.usize(..=rig.links.len()) {
            one if one < rig.links.len() => &rig.links[one..=one],
            _ => &rig.links[..],
        };
        let hold = sleep(Duration::from_millis(random.u64(..LONGEST)));
        match random.u8(..5) {
            0 => links.iter().for_each(Proxy::cut),
            1 => {
                links.iter().for_each(|link| link.hole(true));
                hold.await;
                links.iter().for_each(|link| link.hole(false));
            }
            2 => {
                for link in links {
                    link.refuse(true);
                    link.cut();
                }
                hold.await;
                links.iter().for_each(|link| link.refuse(false));
            }
            3 => {
                backplane.freeze(true);
                hold.await;
                backplane.freeze(false);
            }
            _ => {
                backplane.kill();
                hold.await;
                backplane.start_again();
            }
        }
        rig.is_up().await;
        let enough = rig.checker.count() + random.usize(..40);
        until("publishes are accepted", async || rig.checker.count() > enough).await;
    }
    rig.ends().await
}

/// The tests of the module that calls it, over a server that `$start` starts.
macro_rules! weathers {
    ($promise:ident($start:expr); $short:ident $long:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $short() {
            $crate::storm::$promise($start, $crate::storm::SHORT).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "takes a minute"]
        async fn $long() {
            $crate::storm::$promise($start, $crate::storm::LONG).await;
        }
    };
}
pub(crate) use weathers;
