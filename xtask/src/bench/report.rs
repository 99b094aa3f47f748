//! The report: `benchmarks.md` and its plot.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};

use super::{
    contestant::Contestant::{self, Bun, Floor, Nats, Tidings},
    plot,
    results::{Figure, Results},
    workload::{BACKPLANES, SIZES, Workload},
};

const INTRODUCTION: &str = "\
`cargo xtask bench` wrote this page. It measures our server, the least that any server could do (the floor), and peers
at their fast settings, one server at a time on one processor, the load on another, over loopback. The load
(`xtask/load`) is one thread with one epoll loop: many subscribers and one publisher, who publishes again as soon as
everybody has got the event, or keeps up to 16 or 32 events in flight. Event data is 128 bytes of JSON.

Every figure is the median over the rounds; every ratio is the median of the ratios within a round, because a
machine's speed drifts. CPU time is what the server's own threads used, in user and kernel mode, as Linux counts it in
nanoseconds. Times belong to this machine; ratios are what to compare. On sampled sockets each event's number is
checked: gaps and events that came twice are counted over all rounds. The floor, Tidings and Bun lie close together: the
first four workloads have rounds of these three alone, too.
";

/// A server that is asked for, and why it is not here.
const NOT_MEASURED: &str = "| Sockudo | not measured: compiling its crate and the 800 that come with it takes longer than \
     everything else here together |\n";

/// Where the busier of server and load has less than this share of its processor, something else has the rest.
const QUIET: f64 = 0.9;

/// A column of a table of servers.
struct Column {
    title: &'static str,
    field: &'static str,
    show: fn(f64) -> String,
}

/// Writes `benchmarks.md` and `benchmarks.svg` into `folder`.
pub(super) fn write(results: &Results, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for (name, text) in [("benchmarks.md", page(results)?), ("benchmarks.svg", plot::draw(results)?)] {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn page(results: &Results) -> Result<String> {
    let mut page = format!("# Benchmarks\n\n{INTRODUCTION}\n");
    page.push_str("| | |\n|---|---|\n");
    for (name, value) in &results.facts {
        writeln!(page, "| {name} | {value} |")?;
    }
    page.push('\n');
    if let Some(share) = share(results).filter(|share| *share < QUIET) {
        writeln!(
            page,
            "**The machine was not quiet.** With 32 events in flight either the server or the load should be busy all \
             the time; the busier of the two had {} of its processor, other programs had the rest. So deliveries per \
             second and latency are worse here than they could be, and differ with what the others did at that \
             moment; CPU time per delivery suffers less, from colder caches.\n",
            percent(share)
        )?;
    }
    page.push_str("![Four of the figures below as bars](benchmarks.svg)\n\n");
    goals(results, &mut page)?;
    servers(results, &mut page)?;
    workers(results, &mut page)?;
    scale(results, &mut page)?;
    slow(results, &mut page)?;
    backplanes(results, &mut page)?;
    settings(results, &mut page)?;
    Ok(page)
}

fn figure<'a>(workload: Workload, case: &'a str, field: &'a str) -> Figure<'a> {
    Figure { workload, case, field }
}

/// The share of its processor that the busier of server and load had, when one of them should have had all.
fn share(results: &Results) -> Option<f64> {
    let busy = |field| results.median(figure(Workload::Burst, "", field), Tidings);
    Some(busy("server_busy")?.max(busy("load_busy")?))
}

fn goals(results: &Results, page: &mut String) -> Result<()> {
    let ratio = |workload, field, other| results.ratio(figure(workload, "", field), Tidings, other);
    let single = ratio(Workload::Single, "cpu_us", Floor);
    let burst = ratio(Workload::Burst, "deliveries_per_s", Bun);
    let many = [Nats, Bun].map(|peer| ratio(Workload::Many, "cpu_us", peer));
    let many = many.into_iter().flatten().reduce(f64::max);
    let idle = results.median(figure(Workload::Idle, "", "kb_per_connection"), Tidings);
    let handshake = ratio(Workload::Idle, "handshake_us", Bun);
    let least = results.ratio(figure(Workload::Idle, "", "handshake_us"), Floor, Bun);
    let code = results.median(figure(Workload::Slow, "stalled", "stalled_close"), Tidings);
    let met = |met: Option<bool>| met.map_or("", |met| if met { "yes" } else { "**no**" });
    let below = |value: Option<f64>, limit: f64| met(value.map(|value| value <= limit));
    let p50 = |name: &str| {
        results.median(figure(Workload::Backplanes, &format!("{name}, 1,000/s"), "p50_ms"), Tidings)
    };
    let under = |name: &str, limit: f64| met(p50(name).map(|p50| p50 < limit));
    let most = results.median(figure(Workload::Backplanes, "postgres, most", "deliveries_per_s"), Tidings);
    let rows = [
        ("one event at a time: CPU per delivery ≤ 1.05 of the floor", text(single, two), below(single, 1.05)),
        ("32 in flight: deliveries per second ≥ Bun", text(burst, two), met(burst.map(|value| value >= 1.0))),
        ("1,000 channels: CPU per event below NATS and Bun", text(many, two), below(many, 1.0)),
        ("silent connection: ≤ 2 KB", text(idle, two), below(idle, 2.0)),
        (
            "handshake, welcome and subscribe: CPU ≤ 0.8 of Bun",
            format!("{}; the floor {}", text(handshake, two), text(least, two)),
            below(handshake, 0.8),
        ),
        (
            "two workers: CPU per delivery ≤ 1.1 of one worker",
            text(two_workers(results), two),
            below(two_workers(results), 1.1),
        ),
        (
            "100 to 15,000 subscribers: dearest ≤ 1.15 of cheapest delivery",
            format!(
                "{}; the floor {}",
                text(spread(results, Tidings), two),
                text(spread(results, Floor), two)
            ),
            below(spread(results, Tidings), 1.15),
        ),
        (
            "a client that never reads: others' p99 ≤ 1.15 of that without it",
            text(harm(results, Tidings), two),
            below(harm(results, Tidings), 1.15),
        ),
        ("and it is closed with 4008", text(code, whole), met(code.map(|code| code == 4008.0))),
        (
            "PostgreSQL between two gateways: p50 < 5 ms at 1,000/s",
            text(p50("postgres"), two),
            under("postgres", 5.0),
        ),
        (
            "and 10,000 events/s from one gateway",
            text(most, thousands),
            met(most.map(|most| most >= 10_000.0)),
        ),
        ("Redis between two gateways: p50 < 1 ms at 1,000/s", text(p50("redis"), two), under("redis", 1.0)),
        ("NATS between two gateways: p50 < 1 ms at 1,000/s", text(p50("nats"), two), under("nats", 1.0)),
    ];
    page.push_str("## What Tidings is meant to reach\n\n| goal | measured | met |\n|---|---:|---|\n");
    for (goal, measured, met) in rows {
        writeln!(page, "| {goal} | {measured} | {met} |")?;
    }
    page.push('\n');
    Ok(())
}

/// The workloads that every server does.
fn servers(results: &Results, page: &mut String) -> Result<()> {
    let cpu = || Column { title: "CPU µs per delivery", field: "cpu_us", show: two };
    let rate = || Column { title: "deliveries/s", field: "deliveries_per_s", show: thousands };
    let rest = || {
        [
            Column { title: "p50 ms", field: "p50_ms", show: two },
            Column { title: "p99 ms", field: "p99_ms", show: two },
            Column { title: "server busy", field: "server_busy", show: percent },
            Column { title: "load busy", field: "load_busy", show: percent },
        ]
    };
    let connection = [
        Column { title: "CPU µs per handshake, welcome and subscribe", field: "handshake_us", show: one },
        Column { title: "KB per connection", field: "kb_per_connection", show: two },
    ];
    let checked = "Where the load is busy all the time, the server might have done more.";
    let [p50, p99, server, load] = rest();
    let columns = [cpu(), rate(), p50, p99, server, load];
    section(
        results,
        page,
        Workload::Single,
        "1 channel, 1,000 subscribers, one event at a time",
        "",
        &columns,
    )?;
    let [p50, p99, server, load] = rest();
    let columns = [rate(), cpu(), p50, p99, server, load];
    section(results, page, Workload::Burst, "The same with 32 events in flight", checked, &columns)?;
    let [p50, p99, server, load] = rest();
    let columns = [cpu(), rate(), p50, p99, server, load];
    let title = "1,000 channels of 1 subscriber, 16 events in flight";
    section(results, page, Workload::Many, title, checked, &columns)?;
    let note = "10,000 sockets connect, subscribe to one channel and are silent. Memory is what the process \
                has resident half a second later, less what it had before.";
    section(results, page, Workload::Idle, "10,000 silent connections", note, &connection)
}

/// A table with a row per server. Ratios are of the first column.
fn section(
    results: &Results,
    page: &mut String,
    workload: Workload,
    title: &str,
    note: &str,
    columns: &[Column],
) -> Result<()> {
    writeln!(page, "## {title}\n")?;
    if !note.is_empty() {
        writeln!(page, "{note}\n")?;
    }
    let checks = workload != Workload::Idle;
    page.push_str("| server |");
    columns.iter().for_each(|column| page.extend([" ", column.title, " |"]));
    page.push_str(" ÷ floor | Tidings ÷ this |");
    page.push_str(if checks { " gaps, twice |\n" } else { "\n" });
    let more = 2 + usize::from(checks);
    writeln!(page, "|---|{}", "---:|".repeat(columns.len() + more))?;
    for contestant in Contestant::ALL {
        let figure = |field| figure(workload, "", field);
        write!(page, "| {} |", name(contestant))?;
        if results.median(figure(columns[0].field), contestant).is_none() {
            let reason = results.missing(contestant).map_or("no result".to_owned(), line);
            writeln!(page, " missing: {reason} {}", "|".repeat(columns.len() + more))?;
            continue;
        }
        for column in columns {
            write!(page, " {} |", text(results.median(figure(column.field), contestant), column.show))?;
        }
        let first = figure(columns[0].field);
        write!(page, " {} |", text(results.ratio(first, contestant, Floor), two))?;
        write!(page, " {} |", text(results.ratio(first, Tidings, contestant), two))?;
        if checks {
            let worst = |field| text(results.worst(figure(field), contestant), whole);
            write!(page, " {}, {} |", worst("gaps"), worst("duplicates"))?;
        }
        page.push('\n');
    }
    page.push('\n');
    Ok(())
}

fn workers(results: &Results, page: &mut String) -> Result<()> {
    page.push_str(
        "## Workers\n\nTidings, 1 channel, 1,000 subscribers. Two workers have both processors, and share the second one \
         with the load where there are only two: CPU time tells what they cost, deliveries per second do not.\n\n\
         | | 1 worker, CPU µs per delivery | 2 workers | ratio | 1 worker, deliveries/s | 2 workers |\n\
         |---|---:|---:|---:|---:|---:|\n",
    );
    for flight in ["1 in flight", "32 in flight"] {
        let cases = [format!("1, {flight}"), format!("2, {flight}")];
        let median =
            |case, field, show| text(results.median(figure(Workload::Workers, case, field), Tidings), show);
        let [one, two_of_them] = [&cases[0], &cases[1]];
        writeln!(
            page,
            "| {flight} | {} | {} | {} | {} | {} |",
            median(one, "cpu_us", two),
            median(two_of_them, "cpu_us", two),
            text(worker_ratio(results, flight), two),
            median(one, "deliveries_per_s", thousands),
            median(two_of_them, "deliveries_per_s", thousands),
        )?;
    }
    page.push('\n');
    Ok(())
}

fn worker_ratio(results: &Results, flight: &str) -> Option<f64> {
    let [one, two] = [format!("1, {flight}"), format!("2, {flight}")];
    let cpu = |case| figure(Workload::Workers, case, "cpu_us");
    results.ratio_of((cpu(&two), Tidings), (cpu(&one), Tidings))
}

/// What two workers cost against one, one event at a time: batching has no part in it.
fn two_workers(results: &Results) -> Option<f64> {
    worker_ratio(results, "1 in flight")
}

fn scale(results: &Results, page: &mut String) -> Result<()> {
    page.push_str(
        "## From 100 to 15,000 subscribers\n\n1 channel, one event at a time; CPU µs per delivery.\n\n\
         | subscribers | floor | Tidings | Bun | Tidings ÷ floor | Tidings ÷ Bun |\n|---:|---:|---:|---:|---:|---:|\n",
    );
    for size in SIZES {
        let size = size.to_string();
        let cpu = figure(Workload::Scale, &size, "cpu_us");
        write!(page, "| {size} |")?;
        for contestant in [Floor, Tidings, Bun] {
            write!(page, " {} |", text(results.median(cpu, contestant), two))?;
        }
        let [to_floor, to_bun] = [Floor, Bun].map(|other| text(results.ratio(cpu, Tidings, other), two));
        writeln!(page, " {to_floor} | {to_bun} |")?;
    }
    let [floor, ours, bun] = [Floor, Tidings, Bun].map(|contestant| text(spread(results, contestant), two));
    writeln!(page, "| dearest ÷ cheapest | {floor} | {ours} | {bun} | | |\n")?;
    Ok(())
}

/// The dearest delivery to the cheapest, over the numbers of subscribers.
fn spread(results: &Results, contestant: Contestant) -> Option<f64> {
    let costs = || {
        SIZES.into_iter().filter_map(|size| {
            results.median(figure(Workload::Scale, &size.to_string(), "cpu_us"), contestant)
        })
    };
    Some(costs().reduce(f64::max)? / costs().reduce(f64::min)?)
}

fn slow(results: &Results, page: &mut String) -> Result<()> {
    page.push_str(
        "## One client that never reads\n\n1 channel, 1,000 subscribers who read and one who does not, 8 events of 8 KiB \
         in flight, for 6 seconds. In the end it reads what is left: the close code is what it finds, 1006 is an end \
         without one.\n\n\
         | server | others' p99 ms without it | with it | ratio | its close code | server's MB without it | with it |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
    );
    for contestant in Contestant::ALL.into_iter().filter(|contestant| Workload::Slow.includes(*contestant)) {
        let median = |case, field| results.median(figure(Workload::Slow, case, field), contestant);
        let p99 = ["alone", "stalled"].map(|case| text(median(case, "p99_ms"), one));
        let memory =
            ["alone", "stalled"].map(|case| text(median(case, "resident_kb").map(|kb| kb / 1024.0), whole));
        let code = match median("stalled", "stalled_close") {
            Some(0.0) => "none: still open".to_owned(),
            code => text(code, whole),
        };
        writeln!(
            page,
            "| {} | {} | {} | {} | {code} | {} | {} |",
            name(contestant),
            p99[0],
            p99[1],
            text(harm(results, contestant), two),
            memory[0],
            memory[1]
        )?;
    }
    page.push('\n');
    Ok(())
}

/// The others' p99 with a client that never reads to that without it.
fn harm(results: &Results, contestant: Contestant) -> Option<f64> {
    let p99 = |case| figure(Workload::Slow, case, "p99_ms");
    results.ratio_of((p99("stalled"), contestant), (p99("alone"), contestant))
}

fn backplanes(results: &Results, page: &mut String) -> Result<()> {
    page.push_str(
        "## Two gateways over a backplane\n\n100 clients publish at one gateway, each on a channel of its own, and 100 \
         listen at the other: 1,000 events per second in all, and as many as 2,000 on their way at any time let through. Two gateways, the backplane's server and the load \
         share the machine. Redis writes nothing down, NATS keeps its streams in files, PostgreSQL is without fsync; each is \
         one server on loopback.\n\n\
         | backplane | p50 ms at 1,000/s | p99 ms | events/s at most | p50 ms ÷ memory | gaps, twice |\n\
         |---|---:|---:|---:|---:|---:|\n",
    );
    for (name, title) in BACKPLANES {
        let [paced, most] = ["1,000/s", "most"].map(|load| format!("{name}, {load}"));
        let of = |case, field| figure(Workload::Backplanes, case, field);
        let median = |case, field, show| text(results.median(of(case, field), Tidings), show);
        let ratio =
            results.ratio_of((of(&paced, "p50_ms"), Tidings), (of("memory, 1,000/s", "p50_ms"), Tidings));
        let worst = |field| {
            let worst =
                [&paced, &most].into_iter().filter_map(|case| results.worst(of(case, field), Tidings));
            text(worst.reduce(f64::max), whole)
        };
        writeln!(
            page,
            "| {title} | {} | {} | {} | {} | {}, {} |",
            median(&paced, "p50_ms", two),
            median(&paced, "p99_ms", two),
            median(&most, "deliveries_per_s", thousands),
            text(ratio, one),
            worst("gaps"),
            worst("duplicates"),
        )?;
    }
    page.push('\n');
    Ok(())
}

fn settings(results: &Results, page: &mut String) -> Result<()> {
    page.push_str(
        "## Settings\n\nThe programs and configurations are in `xtask/peers`.\n\n| server | |\n|---|---|\n",
    );
    for contestant in Contestant::ALL {
        let reason = results.missing(contestant).map(|reason| format!("; missing: {}", line(reason)));
        writeln!(page, "| {} | {}{} |", name(contestant), contestant.settings(), reason.unwrap_or_default())?;
    }
    page.push_str(NOT_MEASURED);
    Ok(())
}

fn name(contestant: Contestant) -> String {
    if contestant == Tidings { format!("**{}**", contestant.title()) } else { contestant.title().to_owned() }
}

/// An error within a cell of a table.
fn line(reason: &str) -> String {
    reason.lines().next().unwrap_or_default().replace('|', "/")
}

fn text(value: Option<f64>, show: fn(f64) -> String) -> String {
    value.map_or("–".to_owned(), show)
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

fn one(value: f64) -> String {
    format!("{value:.1}")
}

fn two(value: f64) -> String {
    format!("{value:.2}")
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// A number with a comma at each thousand.
pub(super) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let shown = [7.4, 999.6, 1_000.0, 2_630_000.0].map(thousands);
        assert_eq!(shown, ["7", "1,000", "1,000", "2,630,000"]);
    }

    #[test]
    fn a_page_without_results_says_so() {
        let mut results = Results::new(vec![("date".to_owned(), "2026-01-31".to_owned())]);
        results.miss(Bun, "no | npm\nmore");
        let page = page(&results).unwrap();
        assert!(page.contains("| date | 2026-01-31 |"));
        assert!(page.contains("| Bun, native publish | missing: no / npm |"));
        assert!(page.contains("| **Tidings** | missing: no result |"));
    }
}
