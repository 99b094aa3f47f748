//! What the gateway does, in numbers, for Prometheus.
//!
//! Each hub counts for itself, without any cost of sharing ([`Tally`]); what is rarer, or happens elsewhere, is counted
//! in one place ([`Counters`]). Both are only added up when somebody asks.

mod counters;
mod exposition;
mod figures;
mod histogram;
mod process;
mod tally;

use crate::{
    Gateway, api,
    gateway::Shared,
    problem::{only, problem},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::CONTENT_TYPE},
    web::{self, ServiceConfig},
};
use counters::ANSWERS;
pub(crate) use counters::{Counters, OpenStream, Outcome, Refusal, Source, Watched};
use exposition::Exposition;
pub(crate) use histogram::Histogram;
use process::Process;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
pub(crate) use tally::{Number, Tally};
use tally::{OUR_CODES, RECOVERIES, THEIR_CODES};

/// Where the metrics are.
const PATH: &str = "/metrics";

/// The text's type.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What others are told where the metrics are for this machine.
const LOCAL_ONLY: &str = "these metrics are open to programs on the gateway's own machine only, and not through a proxy or \
                          to pages of another origin";

/// A gateway's metrics. A clone is of the same gateway.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Gateway {
    /// `GET /metrics`, for [`App::configure`](actix_web::App::configure): the [`Metrics`] in Prometheus' text format, for
    /// everybody who can reach it. They name no channel, client or address; still, put it where only your own programs
    /// are, or take [`local_metrics`](Self::local_metrics).
    pub fn metrics(&self) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let metrics = Metrics::new(self);
        route(move |_| answer(&metrics))
    }

    /// The same, for programs on this machine only: the peer's address is a loopback address, the request came through no
    /// proxy, and from no page but one that was loaded from this machine. Others get 403.
    pub fn local_metrics(&self) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let metrics = Metrics::new(self);
        route(move |request| match api::door::local(request) {
            Ok(()) => answer(&metrics),
            Err(_) => problem(StatusCode::FORBIDDEN, LOCAL_ONLY),
        })
    }
}

fn route(answer: impl Fn(&HttpRequest) -> HttpResponse + Clone + 'static) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let read = move |request: HttpRequest| {
            let answer = answer(&request);
            async { answer }
        };
        config.service(
            web::resource(PATH).route(web::get().to(read)).default_service(web::to(|| async { only("GET") })),
        );
    }
}

fn answer(metrics: &Metrics) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, TEXT)).body(metrics.text())
}

impl Metrics {
    /// The metrics of `gateway`.
    pub fn new(gateway: &Gateway) -> Self {
        Self { shared: gateway.shared.clone() }
    }

    /// All of them at this moment, in Prometheus' text format, version 0.0.4.
    pub fn text(&self) -> String {
        let mut out = Exposition::default();
        let hubs = self.shared.counters.hubs.lock().clone();
        let hubs = Hubs(&hubs);
        self.connections(&hubs, &mut out);
        self.channels(&hubs, &mut out);
        self.events(&hubs, &mut out);
        self.backplane(&mut out);
        process(&mut out);
        out.into_text()
    }

    fn connections(&self, hubs: &Hubs<'_>, out: &mut Exposition) {
        let Shared { counters, clients, .. } = &*self.shared;
        out.gauge("tidings_connections", "Clients that are connected, event streams among them.")
            .put(&[], clients.load(Relaxed));
        out.gauge("tidings_event_streams", "Streams of server-sent events that are open.")
            .put(&[], counters.streams.load(Relaxed));
        out.counter("tidings_connections_opened_total", "Connections that were let in.")
            .put(&[], hubs.sum(|hub| &hub.opened));
        out.counter("tidings_connections_refused_total", "Connections that were not let in.").each(
            "reason",
            Refusal::ALL.iter().map(|refusal| refusal.label()).zip(loaded(&counters.refused)),
        );
        let mut closed = out.counter("tidings_connections_closed_total", "Connections that began to end.");
        for (at, code) in OUR_CODES.iter().enumerate() {
            let code = code.code().to_string();
            closed.put(&[("side", "gateway"), ("code", &code)], hubs.sum(|hub| &hub.closed[at]));
        }
        for (at, code) in THEIR_CODES.iter().enumerate() {
            closed.put(&[("side", "client"), ("code", code)], hubs.sum(|hub| &hub.left[at]));
        }
        out.counter("tidings_dry_run_excess_total", "What was above a limit that is only watched.")
            .each("limit", Watched::ALL.iter().map(|limit| limit.label()).zip(loaded(&counters.excess)));
    }

    fn channels(&self, hubs: &Hubs<'_>, out: &mut Exposition) {
        let Shared { counters, upstreams, .. } = &*self.shared;
        out.gauge("tidings_channels", "Channels that have subscribers.").put(&[], upstreams.len());
        out.gauge("tidings_subscriptions", "Subscriptions of clients to channels.")
            .put(&[], hubs.sum(|hub| &hub.subscriptions));
        let mut times =
            out.histogram("tidings_authorization_seconds", "Time that an authorizer took to answer.");
        for (answer, histogram) in ANSWERS.iter().zip(&counters.authorizations) {
            times.times(&[("outcome", answer)], &[histogram].into_iter().collect());
        }
        out.counter(
            "tidings_recoveries_total",
            "Clients that came back to a channel, and whether they went on there.",
        )
        .each("result", hubs.each(RECOVERIES, |hub| &hub.recoveries));
        out.counter(
            "tidings_replayed_events_total",
            "Missed events that were sent to clients that came back.",
        )
        .put(&[], hubs.sum(|hub| &hub.replayed));
        out.counter("tidings_gaps_total", "Times that a channel with subscribers may have lost events.")
            .put(&[], counters.gaps.load(Relaxed));
    }

    fn events(&self, hubs: &Hubs<'_>, out: &mut Exposition) {
        let Shared { counters, upstreams, .. } = &*self.shared;
        let mut publishes = out.counter("tidings_publishes_total", "Events that were to be published.");
        for (source, outcomes) in Source::ALL.iter().zip(&counters.publishes) {
            for (outcome, count) in Outcome::ALL.iter().zip(loaded(outcomes)) {
                publishes.put(&[("source", source.label()), ("outcome", outcome.label())], count);
            }
        }
        out.counter(
            "tidings_paced_answers_total",
            "Answers to publishes of clients that were held back, for the client was near its limit of commands.",
        )
        .put(&[], hubs.sum(|hub| &hub.paced));
        out.counter("tidings_deliveries_total", "Events that were handed to subscribers, once for each.")
            .put(&[], hubs.sum(|hub| &hub.deliveries));
        out.counter("tidings_sent_bytes_total", "Bytes that were handed to connections, written or queued.")
            .put(&[], hubs.sum(|hub| &hub.sent_bytes));
        out.gauge("tidings_queued_bytes", "Bytes that wait for clients that do not take them.")
            .put(&[], hubs.sum(|hub| &hub.queued_bytes));
        out.gauge("tidings_backlog_bytes", "Bytes of events that wait for the hubs.")
            .put(&[], upstreams.backlog.bytes());
        let dropped = [
            ("unknown", hubs.sum(|hub| &hub.unknown_frames)),
            ("binary", hubs.sum(|hub| &hub.binary_frames)),
        ];
        out.counter("tidings_dropped_frames_total", "Frames of clients that were dropped in silence.")
            .each("reason", dropped);
        out.histogram("tidings_hub_turn_seconds", "Time that a hub spent in one turn.")
            .times(&[], &hubs.0.iter().map(|hub| &hub.turns).collect());
    }

    fn backplane(&self, out: &mut Exposition) {
        let Shared { counters, broadcaster, .. } = &*self.shared;
        out.gauge("tidings_backplane_up", "1 while the backplane can be used.")
            .put(&[], u8::from(broadcaster.unavailable().is_none()));
        out.histogram(
            "tidings_publish_seconds",
            "Time that the backplane took to accept an event, or to refuse it.",
        )
        .times(&[], &[&counters.publish_time].into_iter().collect());
        out.histogram("tidings_backplane_lag_seconds", "Age of an event when the backplane handed it over.")
            .times(&[], &[&counters.lag].into_iter().collect());
    }

    /// How many frames were dropped in silence.
    pub(crate) fn dropped_frames(&self) -> u64 {
        let hubs = self.shared.counters.hubs.lock();
        let hubs = Hubs(&hubs);
        hubs.sum(|hub| &hub.unknown_frames) + hubs.sum(|hub| &hub.binary_frames)
    }
}

fn process(out: &mut Exposition) {
    out.gauge("tidings_build_info", "1, with the version.").put(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let Some(process) = Process::now() else { return };
    out.counter("process_cpu_seconds_total", "CPU time of the process.").put(&[], process.cpu_seconds);
    out.gauge("process_resident_memory_bytes", "Memory of the process.").put(&[], process.resident_bytes);
    out.gauge("process_open_fds", "Open files and sockets of the process.").put(&[], process.open_files);
    out.gauge("process_max_fds", "The most files and sockets that it may open.").put(&[], process.most_files);
    out.gauge("process_start_time_seconds", "When the process started, in seconds since 1970.")
        .put(&[], process.started_at);
}

/// The numbers of all hubs there were.
struct Hubs<'a>(&'a [Arc<Tally>]);

impl Hubs<'_> {
    fn sum(&self, number: impl Fn(&Tally) -> &Number) -> u64 {
        self.0.iter().map(|hub| number(hub).get()).sum()
    }

    fn each<const N: usize>(
        &self,
        labels: [&'static str; N],
        numbers: impl Fn(&Tally) -> &[Number; N],
    ) -> impl Iterator<Item = (&'static str, u64)> {
        labels.into_iter().enumerate().map(move |(at, label)| (label, self.sum(|hub| &numbers(hub)[at])))
    }
}

fn loaded<const N: usize>(numbers: &[AtomicU64; N]) -> impl Iterator<Item = u64> {
    numbers.iter().map(|number| number.load(Relaxed))
}
