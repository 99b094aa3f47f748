//! The load of `cargo xtask bench` and `soak`: one thread and one epoll loop with many subscribers and one publisher.
//!
//! It tells deliveries per second, the server's CPU time per delivery, latency, memory per connection, and what
//! was missing or came twice, as one JSON object of numbers. CPU time is the server's own, so it means something
//! on a busy machine too; compare it with that of `tidings-load floor`, an epoll server that does one write(2)
//! per delivery and nothing else. Linux only: it reads `/proc`.

mod dialect;
mod fanout;
mod floor;
mod frame;
mod process;
mod reader;
mod soak;
mod swarm;
mod tally;

use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use dialect::Language;
use process::Process;
use swarm::Swarm;

#[derive(Parser)]
#[command(name = "tidings-load", version, about = "Puts load on a server and measures it")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Subscribe and publish; tell deliveries, CPU time, latency, gaps
    FanOut(FanOut),
    /// Connect, subscribe and be silent; tell memory and CPU time per connection
    Connect(Target),
    /// Have many clients come and go, each of which checks what it gets; tell memory, and fail when anything is wrong
    Soak(soak::Options),
    /// Be the server to compare with: one write(2) per delivery, no more
    Floor {
        /// Where to listen
        address: SocketAddr,
    },
}

/// Whom to put load on, and with how many subscribers.
#[derive(clap::Args)]
struct Target {
    /// What the server speaks
    #[arg(long, value_enum)]
    dialect: Language,
    /// Where it listens; loopback only
    #[arg(long)]
    address: SocketAddr,
    /// How many sockets publish, each on its share of the channels
    #[arg(long, default_value_t = 1)]
    publishers: usize,
    /// Where the publishers connect, when that is another server of the same backplane
    #[arg(long)]
    publish_to: Option<SocketAddr>,
    /// The server's process
    #[arg(long)]
    pid: u32,
    /// How many sockets subscribe, each to one channel
    #[arg(long, default_value_t = 1_000)]
    subscribers: usize,
    /// Over how many channels they are spread
    #[arg(long, default_value_t = 1)]
    channels: usize,
}

#[derive(clap::Args)]
struct FanOut {
    #[command(flatten)]
    target: Target,
    /// Bytes of an event's data, 64 to 32,768
    #[arg(long, default_value_t = 128)]
    payload: usize,
    /// How many events are published and not yet delivered at any time
    #[arg(long, default_value_t = 1)]
    window: u64,
    /// Publish so many events per second, whatever has been delivered; the window is then only a bound
    #[arg(long)]
    rate: Option<u32>,
    /// Seconds before the measurement
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Seconds of the measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// One more subscriber, which never reads; its close code is told
    #[arg(long)]
    stalled: bool,
}

/// Measurements by name.
type Report = BTreeMap<&'static str, f64>;

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(report) if report.is_empty() => ExitCode::SUCCESS,
        Ok(report) => {
            println!("{}", serde_json::json!(report));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<Report> {
    // Each connection is a file; most systems start a program with room for 1,024.
    rlimit::increase_nofile_limit(u64::MAX)?;
    match command {
        Command::FanOut(options) => fan_out(&options),
        Command::Connect(target) => connect(&target, false).map(|(_, report)| report),
        Command::Soak(options) => soak::run(&options).map(|()| Report::new()),
        Command::Floor { address } => {
            ensure!(address.ip().is_loopback(), "only loopback: {address} is not");
            floor::serve(address)
        }
    }
}

/// Connects and subscribes. What that took is in the report.
fn connect(target: &Target, stalled: bool) -> Result<(Swarm, Report)> {
    for address in [Some(target.address), target.publish_to].into_iter().flatten() {
        ensure!(address.ip().is_loopback(), "only loopback: {address} is not");
    }
    ensure!(target.channels > 0 && target.subscribers >= target.channels, "a channel needs a subscriber");
    ensure!((1..=target.channels).contains(&target.publishers), "a publisher needs a channel");
    let server = Process::new(target.pid);
    let (cpu, memory) = (server.cpu()?, server.memory_kb()?);
    let swarm = Swarm::connect(target, stalled)?;
    let connections = swarm.len() as f64;
    let cpu = server.cpu()? - cpu;
    // What was needed for a moment only is given back by then.
    std::thread::sleep(Duration::from_millis(500));
    let resident = server.memory_kb()?;
    let report = Report::from([
        ("connections", connections),
        ("handshake_us", cpu.as_secs_f64() * 1e6 / connections),
        ("kb_per_connection", (resident - memory) / connections),
        ("resident_kb", resident),
    ]);
    Ok((swarm, report))
}

fn fan_out(options: &FanOut) -> Result<Report> {
    ensure!((64..=32_768).contains(&options.payload), "--payload is from 64 to 32768 bytes");
    ensure!(options.window > 0, "--window is at least 1");
    ensure!(options.rate != Some(0), "--rate is at least 1");
    ensure!(options.seconds > 0.0 && options.seconds <= 600.0, "--seconds is more than 0, and 600 at most");
    ensure!((0.0..=60.0).contains(&options.warmup), "--warmup is from 0 to 60");
    let (swarm, mut report) = connect(&options.target, options.stalled)?;
    report.extend(fanout::measure(swarm, options)?);
    Ok(report)
}
