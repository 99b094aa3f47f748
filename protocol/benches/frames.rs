//! What reading and writing a frame costs: `cargo bench -p tidings-protocol`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidings_protocol::{ClientFrame, Pattern, Rules, ServerFrame};

const SUB: &str = r#"{"t":"sub","c":"orders.42"}"#;

/// A JSON object of about `size` bytes.
fn data(size: usize) -> String {
    format!(r#"{{"text":"{}"}}"#, "x".repeat(size - r#"{"text":""}"#.len()))
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.bench_function("sub", |b| b.iter(|| ClientFrame::parse(black_box(SUB))));
    for size in [128, 4_096] {
        let publish = format!(r#"{{"t":"pub","c":"orders.42","e":"order.paid","d":{}}}"#, data(size));
        group.throughput(Throughput::Bytes(publish.len() as u64));
        group.bench_function(format!("pub of {size} bytes"), |b| {
            b.iter(|| ClientFrame::parse(black_box(&publish)));
        });
        let message = msg(&data(size)).to_json();
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(format!("msg of {size} bytes"), |b| {
            b.iter(|| ServerFrame::parse(black_box(&message)));
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let mut out = Vec::with_capacity(8 * 1024);
    let ok = ServerFrame::<_, &str>::Ok { channel: "orders.42", position: None, recovery: None };
    group.bench_function("ok", |b| {
        b.iter(|| {
            out.clear();
            black_box(&ok).encode(&mut out);
        });
    });
    for size in [128, 4_096] {
        let data = data(size);
        let frame = msg(&data);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("msg of {size} bytes"), |b| {
            b.iter(|| {
                out.clear();
                black_box(&frame).encode(&mut out);
            });
        });
    }
    group.finish();
}

fn msg(data: &str) -> ServerFrame<&str, &str> {
    ServerFrame::Msg {
        channel: "orders.42",
        event: "order.paid",
        data,
        id: "01JD3W2Y5T8QZ1N4X7K9M0B6CV",
        offset: None,
        previous: None,
    }
}

/// Which of many rules a channel comes under.
fn rules(criterion: &mut Criterion) {
    let mut rules = Rules::default();
    for number in 0..100 {
        for pattern in [format!("exact.{number}"), format!("prefix.{number}.*")] {
            rules.insert(pattern.parse::<Pattern>().expect("it is a pattern"), ());
        }
    }
    let mut group = criterion.benchmark_group("rule of 200");
    for channel in ["exact.50", "prefix.50.room", "other.50"] {
        group.bench_function(channel, |b| b.iter(|| rules.get(black_box(channel)).is_some()));
    }
    group.finish();
}

criterion_group!(benches, decode, encode, rules);
criterion_main!(benches);
