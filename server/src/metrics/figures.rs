//! The numbers that an operator's page shows, at one moment: totals, of which it makes rates.

use super::{Hubs, Metrics, OUR_CODES, Outcome, Process, Refusal, THEIR_CODES, Watched, loaded};
use crate::{Gateway, backlog, gateway::Shared};
use serde_json::{Map, Value, json};
use std::{
    sync::atomic::Ordering::Relaxed,
    time::{SystemTime, UNIX_EPOCH},
};

impl Metrics {
    /// The figures of `gateway`, whose backplane has a name, now.
    pub(crate) fn figures(gateway: &Gateway, backplane: &str) -> Value {
        let Shared { counters, clients, upstreams, config, .. } = &*gateway.shared;
        let hubs = counters.hubs.lock().clone();
        let hubs = Hubs(&hubs);
        let process = Process::now();
        let published =
            |outcome| counters.publishes.iter().map(|source| source[outcome as usize].load(Relaxed)).sum();
        let published: [u64; Outcome::ALL.len()] = Outcome::ALL.map(published);
        json!({
            "at": SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            "version": env!("CARGO_PKG_VERSION"),
            "backplane": backplane,
            "unready": gateway.unready(),
            "connections": clients.load(Relaxed),
            "streams": counters.streams.load(Relaxed),
            "opened": hubs.sum(|hub| &hub.opened),
            "refused": labelled(Refusal::ALL.map(Refusal::label), loaded(&counters.refused)),
            "excess": labelled(Watched::ALL.map(Watched::label), loaded(&counters.excess)),
            "closed": labelled(
                OUR_CODES.map(|code| code.code().to_string()),
                (0..OUR_CODES.len()).map(|at| hubs.sum(|hub| &hub.closed[at])),
            ),
            "left": labelled(THEIR_CODES, (0..THEIR_CODES.len()).map(|at| hubs.sum(|hub| &hub.left[at]))),
            "channels": upstreams.len(),
            "subscriptions": hubs.sum(|hub| &hub.subscriptions),
            "published": labelled(Outcome::ALL.map(Outcome::label), published.into_iter()),
            "deliveries": hubs.sum(|hub| &hub.deliveries),
            "sent": hubs.sum(|hub| &hub.sent_bytes),
            "queued": hubs.sum(|hub| &hub.queued_bytes),
            "backlog": upstreams.backlog.bytes(),
            "dropped": hubs.sum(|hub| &hub.unknown_frames) + hubs.sum(|hub| &hub.binary_frames),
            "gaps": counters.gaps.load(Relaxed),
            "memory": process.as_ref().map(|process| process.resident_bytes),
            "files": process.as_ref().map(|process| process.open_files),
            "cpu": process.as_ref().map(|process| process.cpu_seconds),
            "started": process.as_ref().map(|process| process.started_at),
            "limits": {
                "connections": config.limits.connections,
                "files": process.as_ref().map(|process| process.most_files),
                "backlog": backlog::FULL,
            },
        })
    }
}

/// What is not zero, by its label.
fn labelled<L: Into<String>>(
    labels: impl IntoIterator<Item = L>,
    counts: impl Iterator<Item = u64>,
) -> Map<String, Value> {
    let counted = labels.into_iter().zip(counts).filter(|(_, count)| *count > 0);
    counted.map(|(label, count)| (label.into(), count.into())).collect()
}
