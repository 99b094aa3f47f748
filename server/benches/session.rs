//! What a step of a session costs, and what the memory broadcaster adds: `cargo bench -p tidings-server`.
//!
//! Fan-out from a hub to its sockets is private to the library: `cargo xtask bench` measures it from outside.

use std::{collections::VecDeque, hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use serde_json::json;
use tidings_server::{
    Broadcaster, Config, Event, Histories, MemoryBroadcaster, Notice, Published, Sink,
    session::{Attached, Effect, Session},
};
use ulid::Ulid;

const SUB: &str = r#"{"t":"sub","c":"orders.42"}"#;
const UNSUB: &str = r#"{"t":"unsub","c":"orders.42"}"#;
const PONG: &str = r#"{"t":"pong"}"#;

type Effects = VecDeque<Effect>;

/// A session whose client is known, with no effects left.
fn known(config: &Arc<Config>, effects: &mut Effects) -> Session {
    let mut session = Session::open(Ulid::nil(), config.clone(), 0, effects);
    session.identified(None, None, effects);
    effects.clear();
    session
}

/// Subscribes, and answers what the session asks.
fn subscribe(session: &mut Session, effects: &mut Effects) {
    session.text(SUB, 0, effects);
    while let Some(effect) = effects.pop_front() {
        match effect {
            Effect::Authorize { ticket, .. } => session.authorized(ticket, Some(&true.into()), effects),
            Effect::Attach { channel, .. } => {
                let live = Attached::Live { slot: 0, position: None, resumed: None };
                session.attached(&channel, live, effects);
            }
            _ => {}
        }
    }
}

fn session(criterion: &mut Criterion) {
    // The clock stands still here, so that a limit per second would be reached.
    let mut config = Config::default();
    config.limits.commands_burst = u32::MAX;
    let config = Arc::new(config);
    let mut effects = Effects::new();
    let mut group = criterion.benchmark_group("session");
    group.bench_function("open and welcome", |b| {
        b.iter_batched_ref(
            Effects::new,
            |effects| Session::open(Ulid::nil(), config.clone(), 0, effects),
            BatchSize::SmallInput,
        );
    });

    let mut talk = known(&config, &mut effects);
    group.bench_function("subscribe and leave", |b| {
        b.iter(|| {
            subscribe(&mut talk, &mut effects);
            talk.text(UNSUB, 0, &mut effects);
            effects.clear();
        });
    });

    let mut talk = known(&config, &mut effects);
    let data = "x".repeat(116);
    let publish = format!(r#"{{"t":"pub","c":"orders.42","e":"order.paid","d":{{"text":"{data}"}}}}"#);
    group.bench_function("publish 128 bytes", |b| {
        b.iter(|| {
            talk.text(black_box(&publish), 0, &mut effects);
            talk.published(Ok(Published::new(Ulid::nil(), None)), 0, &mut effects);
            effects.clear();
        });
    });

    let mut talk = known(&config, &mut effects);
    group.bench_function("pong", |b| b.iter(|| talk.text(black_box(PONG), 0, &mut effects)));
    group.bench_function("a tick with nothing to do", |b| b.iter(|| talk.tick(black_box(1), &mut effects)));
    group.finish();
}

/// From a publish to the sinks of a channel: one per gateway, however many clients it has.
fn broadcaster(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("memory broadcaster");
    for (sinks, history) in [(0, false), (1, false), (8, false), (1, true)] {
        let histories = if history { Histories::default() } else { Histories::off() };
        let broadcaster = MemoryBroadcaster::new(histories);
        let sink: Sink = Arc::new(|notice: &Notice| {
            black_box(notice);
        });
        let subscriptions: Vec<_> = (0..sinks)
            .map(|_| broadcaster.subscribe("orders.42".into(), sink.clone()).now_or_never())
            .collect();
        let event = Event::new("order.paid", json!({"text": "x".repeat(116)}));
        let kept = if history { " with history" } else { "" };
        group.bench_function(format!("publish to {sinks}{kept}"), |b| {
            b.iter(|| broadcaster.publish(black_box("orders.42"), event.clone()).now_or_never());
        });
        drop(subscriptions);
    }
    group.finish();
}

criterion_group!(benches, session, broadcaster);
criterion_main!(benches);
