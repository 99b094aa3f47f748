//! The `tidings` command.

use clap::{Args, Parser, Subcommand, value_parser};
use std::{
    future::Future,
    io::{self, IsTerminal},
    net::{SocketAddr, ToSocketAddrs},
    num::NonZero,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tidings_server::{
    Backplane, BroadcastError, Config, Gateway, Histories, History, Server,
    protocol::{DEFAULT_KEEPALIVE_MS, DEFAULT_PATH, Pattern, Rules},
};
use tracing_subscriber::EnvFilter;

/// What is logged unless RUST_LOG says otherwise. The gateway itself says when the backplane is lost, once.
const LOGGED: &str = "info,async_nats=off";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Real-time channels for the web.
#[derive(Parser)]
#[command(name = "tidings", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway.
    ///
    /// Without options it listens on 127.0.0.1:8080, keeps everything in memory, lets everybody subscribe to every
    /// channel but `private-*` and `presence-*`, and lets programs on this machine publish by
    /// `POST /api/publish`.
    Serve(Serve),
    /// Make the ledger in PostgreSQL that `--backplane postgres://…` needs, or change nothing where it is.
    #[cfg(feature = "postgres")]
    Migrate(Migrate),
}

/// How the ledger in PostgreSQL is used.
#[cfg(feature = "postgres")]
#[derive(Args)]
struct Ledger {
    /// The table of events in PostgreSQL, `name` or `schema.name`.
    #[arg(long, value_name = "NAME", default_value = "tidings_events")]
    postgres_table: String,
}

#[cfg(feature = "postgres")]
#[derive(Args)]
struct Migrate {
    /// Where: `postgres://user:password@host/database`. The user must be allowed to make tables there.
    #[arg(long, value_name = "URL")]
    backplane: String,

    #[command(flatten)]
    ledger: Ledger,

    /// Print the SQL instead of running it.
    #[arg(long)]
    print: bool,
}

#[derive(Args)]
struct Serve {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080", value_parser = address)]
    bind: SocketAddr,

    /// Where clients connect.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_PATH)]
    path: String,

    /// Worker threads [default: one per processor]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1_024))]
    workers: Option<u16>,

    /// Milliseconds between two pings to a client; 0 turns them off.
    #[arg(long, value_name = "MS", default_value_t = DEFAULT_KEEPALIVE_MS, value_parser = value_parser!(u64).range(..=86_400_000))]
    ping_interval_ms: u64,

    /// Channels that clients may publish to: a name, or a prefix with one trailing `*`. May be repeated; without it
    /// clients publish nothing.
    #[arg(long, value_name = "PATTERN")]
    allow_client_publish: Vec<Pattern>,

    /// What carries events between gateways: `memory` for one gateway alone, `redis://user:password@host`,
    /// `nats://user:password@host`, or `postgres://user:password@host/database` after `tidings migrate`.
    #[arg(long, value_name = "URL", default_value = "memory")]
    backplane: String,

    #[cfg(feature = "postgres")]
    #[command(flatten)]
    ledger: Ledger,

    /// How often, in milliseconds, to look for events that a plain SQL `INSERT` has published.
    #[cfg(feature = "postgres")]
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = value_parser!(u64).range(1..=60_000))]
    postgres_poll_ms: u64,

    /// Only read the table: it is an application's own, with the columns `id`, `channel`, `event_name`, `event_id` and
    /// `data`.
    #[cfg(feature = "postgres")]
    #[arg(long)]
    postgres_existing: bool,

    /// How much of the channels of a pattern is kept for clients that come back: a number of events, and for how many
    /// seconds. May be repeated; the pattern that fits best counts. `ticker.*=0` keeps nothing [default: *=256,300]
    #[arg(long, value_name = "PATTERN=EVENTS[,SECONDS]", value_parser = history)]
    history: Vec<(Pattern, History)>,

    /// New clients per second; above it they get HTTP 503 and come back later. When the gateway stops, it sends them away
    /// no faster either.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = value_parser!(u32).range(1..))]
    connections_per_second: u32,

    /// The longest time, in milliseconds, over which clients are sent away when the gateway stops.
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = value_parser!(u64).range(..=3_600_000))]
    drain_ms: u64,

    /// Origins of pages that may connect, besides the gateway's own host, such as `https://app.example.com`; `*` for
    /// every one. May be repeated.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,

    /// A folder of static files to serve beside the gateway.
    #[arg(long, value_name = "DIR")]
    static_dir: Option<PathBuf>,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Gateway(#[from] BroadcastError),
    #[error("cannot serve --static-dir {}: {reason}", .dir.display())]
    StaticDir { dir: PathBuf, reason: String },
    #[error("cannot listen on {address}: {source}{}", hint(.source))]
    Bind { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Run(#[from] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: stop it, or choose another port with --bind"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a right: choose another port with --bind",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address: choose another with --bind",
        _ => "",
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(io::stderr).init();
    let system = actix_rt::System::new();
    let ended = match cli.command {
        Command::Serve(options) => system.block_on(serve(options)),
        #[cfg(feature = "postgres")]
        Command::Migrate(options) => system.block_on(migrate(options)).map_err(Failure::Gateway),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Serve) -> Result<(), Failure> {
    if let Some(dir) = &options.static_dir {
        check_folder(dir)?;
    }
    // Each connection is a file; most systems start a program with room for 1,024.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let gateway = gateway(&options).await?;
    let address = options.bind;
    let mut server =
        Server::bind(gateway.clone(), address).map_err(|source| Failure::Bind { address, source })?;
    if let Some(workers) = options.workers.and_then(NonZero::new) {
        server = server.workers(workers.into());
    }
    let stop = told_to_stop()?;
    announce(&options, server.address()?);
    let static_dir = options.static_dir;
    let configure = move |config: &mut actix_web::web::ServiceConfig| {
        config.configure(gateway.probes());
        config.configure(gateway.local_api());
        if let Some(dir) = &static_dir {
            config.service(actix_files::Files::new("/", dir).index_file("index.html"));
        }
    };
    server.run(configure, stop).await?;
    tracing::info!("stopped");
    Ok(())
}

#[cfg(feature = "postgres")]
async fn migrate(options: Migrate) -> Result<(), BroadcastError> {
    let Backplane::Postgres(config) = options.backplane.parse()? else {
        return Err(BroadcastError::Config(
            "only PostgreSQL needs it: wanted is --backplane postgres://…".to_owned(),
        ));
    };
    let config = config.table(&options.ledger.postgres_table)?;
    if options.print {
        print!("BEGIN;\n{}COMMIT;\n", config.migration());
        return Ok(());
    }
    config.migrate().await?;
    println!("the ledger {} is there", options.ledger.postgres_table);
    Ok(())
}

/// The backplane, as the options beside its URL say.
fn backplane(options: &Serve) -> Result<Backplane, BroadcastError> {
    // Not by clap, which would repeat what it cannot read, password and all.
    match options.backplane.parse()? {
        #[cfg(feature = "postgres")]
        Backplane::Postgres(config) => {
            let poll = Duration::from_millis(options.postgres_poll_ms);
            let config = config.table(&options.ledger.postgres_table)?.poll_interval(poll);
            let config = if options.postgres_existing { config.existing() } else { config };
            Ok(Backplane::Postgres(Box::new(config)))
        }
        other => Ok(other),
    }
}

async fn gateway(options: &Serve) -> Result<Gateway, BroadcastError> {
    let mut config = Config::default();
    config.path.clone_from(&options.path);
    config.ping_interval = Duration::from_millis(options.ping_interval_ms);
    config.allowed_origins.clone_from(&options.allow_origin);
    config.drain = Duration::from_millis(options.drain_ms);
    config.limits.connections_per_second = options.connections_per_second;
    let mut histories = Histories::default();
    for (pattern, history) in &options.history {
        histories.set(pattern.clone(), *history);
    }
    let mut open = Rules::default();
    for pattern in &options.allow_client_publish {
        open.insert(pattern.clone(), ());
    }
    let open = Arc::new(open);
    Gateway::builder(backplane(options)?.connect(histories).await?)
        .config(config)
        .allow_client_publish(move |context| {
            let allowed = open.get(&context.channel).is_some();
            async move { allowed }
        })
        .build()
}

fn announce(options: &Serve, address: SocketAddr) {
    println!("tidings {} listening on http://{address}", env!("CARGO_PKG_VERSION"));
    println!("  clients connect to  ws://{address}{}", options.path);
    println!("  or listen by        http://{address}{}/sse?channel=…", options.path.trim_end_matches('/'));
    println!("  backends publish by POST http://{address}/api/publish, from this machine only");
    if let Some(dir) = &options.static_dir {
        println!("  static files        {}", dir.display());
    }
}

fn check_folder(dir: &Path) -> Result<(), Failure> {
    let problem = |reason: String| Failure::StaticDir { dir: dir.to_owned(), reason };
    match dir.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(problem("it is no folder".to_owned())),
        Err(error) => Err(problem(error.to_string())),
    }
}

/// Resolves at SIGTERM and at Ctrl-C.
fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wanted = "wanted is ADDR:PORT, such as 127.0.0.1:8080, 0.0.0.0:80 or [::1]:8080";
    let addresses = text.to_socket_addrs().map_err(|error| format!("{error}; {wanted}"))?;
    addresses.into_iter().next().ok_or_else(|| format!("no address of that name; {wanted}"))
}

fn history(text: &str) -> Result<(Pattern, History), String> {
    let wanted = "wanted is PATTERN=EVENTS or PATTERN=EVENTS,SECONDS, such as orders.*=1000,3600";
    let (pattern, kept) = text.rsplit_once('=').ok_or_else(|| format!("{text:?} has no =; {wanted}"))?;
    let pattern = pattern.parse::<Pattern>().map_err(|error| error.to_string())?;
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no whole number; {wanted}"));
    let mut history = History::default();
    match kept.split_once(',') {
        Some((events, seconds)) => {
            history.events = number(events)?;
            history.age = Duration::from_secs(number(seconds)? as u64);
        }
        None => history.events = number(kept)?,
    }
    Ok((pattern, history))
}
