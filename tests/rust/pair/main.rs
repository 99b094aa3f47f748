//! Clients and the gateway's sessions, joined by a network that delays, refuses and cuts, under a clock that only
//! the test moves.
//!
//! Each seed is one story: a storm in which users act and connections break, a calm, and a look at whether everyone
//! is live again and has got every event once, in order, or was told that some are missing. The sessions, tails and
//! subscribers are the server's, the backplane is its memory broadcaster behind delays and losses of its own, and the
//! clients are the core of the package.
//!
//! `TIDINGS_SEEDS=100000` tells so many stories.
//! `TIDINGS_SEED=17 cargo test -p tidings-tests --test pair every_seed -- --nocapture` tells one story again, aloud.

mod backplane;
mod checker;
mod client;
#[path = "../frames.rs"]
mod frames;
mod gateway;
mod network;
mod node;
mod plan;
mod wire;
mod world;

use checker::Tally;
use plan::Fault;
use std::{
    cell::Cell,
    num::NonZero,
    panic::{catch_unwind, resume_unwind, set_hook, take_hook},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    thread::{available_parallelism, scope},
};
use world::World;

const SEEDS: u64 = 2_000;

/// How long users act and connections break, in milliseconds.
const STORM: u64 = 10_000;

/// By then the last dead connection was found out (40 s of silence) and replaced (10 s for an attempt that hangs, and
/// 10 s until the next one).
const HEALING: u64 = 65_000;

/// The faults that are not the network's, with how many of [`FAULTY`] stories show each at the least.
const FAULTS: [(Fault, usize); 13] = [
    (Fault::NoBuffer, 3),
    (Fault::NoChainCheck, 10),
    (Fault::ReplayAfterLive, 10),
    (Fault::ReplayOneFewer, 10),
    (Fault::ReplayOneMore, 10),
    (Fault::LossNotTold, 10),
    (Fault::GapNotTold, 5),
    (Fault::PostLost, 20),
    (Fault::LiveTooEarly, 10),
    (Fault::AckTooEarly, 30),
    (Fault::KeysForgotten, 20),
    (Fault::KeysNotSent, 20),
    (Fault::PositionsForgotten, 20),
];

const FAULTY: u64 = 40;

fn story(seed: u64, fault: Option<Fault>, aloud: bool) -> Tally {
    let mut world = World::new(seed, fault, aloud);
    world.storm(STORM);
    world.heal(HEALING);
    world.want_everything();
    world.settle(HEALING);
    world.publish_everywhere();
    world.settle(HEALING);
    world.finish()
}

#[test]
fn every_seed_ends_well() {
    if let Ok(seed) = std::env::var("TIDINGS_SEED") {
        let tally = story(seed.parse().expect("TIDINGS_SEED is a number"), None, true);
        return println!("{tally:?}");
    }
    let seeds =
        std::env::var("TIDINGS_SEEDS").map_or(SEEDS, |n| n.parse().expect("TIDINGS_SEEDS is a number"));
    let threads = available_parallelism().map_or(1, NonZero::get);
    let failed = AtomicBool::new(false);
    let tell = |first: usize| -> Tally {
        let mut sum = Tally::default();
        for seed in (first as u64..seeds).step_by(threads) {
            match catch_unwind(|| story(seed, None, false)) {
                Ok(_) if failed.load(Ordering::Relaxed) => break,
                Ok(tally) => sum.add(tally),
                Err(panic) => {
                    failed.store(true, Ordering::Relaxed);
                    eprintln!(
                        "to see it again: TIDINGS_SEED={seed} cargo test -p tidings-tests --test pair every_seed"
                    );
                    resume_unwind(panic);
                }
            }
        }
        sum
    };
    let tell = &tell;
    let mut all = Tally::default();
    scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|first| scope.spawn(move || tell(first))).collect();
        for thread in threads {
            match thread.join() {
                Ok(tally) => all.add(tally),
                Err(panic) => resume_unwind(panic),
            }
        }
    });
    println!("{seeds} stories: {all:?}");
    for what in [
        "delivered",
        "replayed",
        "resumed",
        "acknowledged",
        "repeated",
        "paced",
        "dropped: unacknowledged",
        "dropped: outbox full",
        "gap: epoch",
        "gap: expired",
        "gap: limit",
        "gap: unavailable",
        "gap: backplane",
    ] {
        assert!(all.get(what) > seeds / 200, "{what}: {}", all.get(what));
    }
}

#[test]
fn a_network_that_breaks_its_promise_is_found_out() {
    for fault in [Fault::Twice, Fault::Swapped, Fault::Lost] {
        let found = found(fault);
        assert!(found >= 30, "{fault:?}: found in {found} of {FAULTY} stories");
    }
}

#[test]
fn each_fault_of_a_gateway_a_backplane_and_a_client_is_found_out() {
    for (fault, least) in FAULTS {
        let found = found(fault);
        println!("{fault:?}: {found} of {FAULTY}");
        assert!(found >= least, "{fault:?}: found in {found} of {FAULTY} stories");
    }
}

thread_local! {
    /// Panics are what is looked for.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

fn found(fault: Fault) -> usize {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                hook(panic);
            }
        }));
    });
    QUIET.set(true);
    let found = (0..FAULTY).filter(|&seed| catch_unwind(|| story(seed, Some(fault), false)).is_err()).count();
    QUIET.set(false);
    found
}
