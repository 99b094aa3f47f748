//! Clients and the gateway's sessions, joined by a network that delays, refuses and cuts, under a clock that only
//! the test moves.
//!
//! Each seed is one story: a storm in which users act and connections break, a calm, and a look at whether everyone
//! is live again. `TIDINGS_SEED=17 cargo test -p tidings-tests` tells one story again.

mod checker;
mod client;
mod gateway;
mod network;
mod world;

use network::Fault;
use std::{
    num::NonZero,
    panic::{catch_unwind, resume_unwind},
    thread::{available_parallelism, scope},
};
use world::World;

const SEEDS: u64 = 3_000;

/// How long users act and connections break, in milliseconds.
const STORM: u64 = 10_000;

/// By then the last dead connection was found out (40 s of silence) and replaced (10 s for an attempt that hangs, and
/// 10 s until the next one).
const HEALING: u64 = 65_000;

fn story(seed: u64, fault: Option<Fault>) {
    let mut world = World::new(seed, fault);
    world.storm(STORM);
    world.heal(HEALING);
    world.want_everything();
    world.calm();
    world.publish_everywhere();
    world.calm();
    world.finish();
}

#[test]
fn every_seed_ends_well() {
    if let Ok(seed) = std::env::var("TIDINGS_SEED") {
        return story(seed.parse().expect("TIDINGS_SEED is a number"), None);
    }
    let threads = available_parallelism().map_or(1, NonZero::get);
    scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || (first as u64..SEEDS).step_by(threads).for_each(tell));
        }
    });
}

fn tell(seed: u64) {
    if let Err(panic) = catch_unwind(|| story(seed, None)) {
        eprintln!("to see it again: TIDINGS_SEED={seed}");
        resume_unwind(panic);
    }
}

#[test]
fn a_network_that_breaks_its_promise_is_found_out() {
    for fault in [Fault::Twice, Fault::Swapped, Fault::Lost] {
        let found = (0..20).filter(|&seed| catch_unwind(|| story(seed, Some(fault))).is_err()).count();
        assert!(found >= 15, "{fault:?}: found in {found} of 20 stories");
    }
}
