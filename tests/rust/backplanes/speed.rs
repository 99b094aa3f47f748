//! No test: how fast two gateways are over each backplane. `cargo xtask bench` runs it, and says which programs to measure.

use crate::{
    node::PATIENCE,
    servers::{self, Port},
};
use std::{
    env,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How a measurement differs from the next: its name, and what the load is told.
const LOADS: [(&str, &[&str]); 2] = [
    ("1,000/s", &["--rate", "1000", "--window", "100000"]),
    // So many are on their way at any time: fewer than a gateway takes of one client.
    ("most", &["--window", "2000"]),
];

/// So many clients publish, each on a channel of its own that one client listens to: of one client a gateway hands on one
/// event after the other.
const CROWD: &str = "100";

/// A gateway in a process of its own; it is killed when this is dropped.
struct Gateway {
    process: Child,
    port: Port,
}

impl Gateway {
    fn start(backplane: &[&str]) -> Self {
        let port = Port::hold();
        let address = port.address();
        let program = env::var_os("TIDINGS_BIN").expect("TIDINGS_BIN names the gateway's program");
        let process = Command::new(program)
            .args(["serve", "--workers", "1", "--bind", &address.to_string()])
            .args(["--allow-client-publish", "bench.*", "--connections-per-second", "10000"])
            .args(["--commands-per-second", "0"])
            .args(backplane)
            // To the gateway they would be settings.
            .env_remove("TIDINGS_BIN")
            .env_remove("TIDINGS_LOAD")
            .env_remove("TIDINGS_QUICK")
            .stdout(Stdio::null())
            .spawn()
            .expect("the gateway starts");
        let mut gateway = Self { process, port };
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(address).is_err() {
            let ended = gateway.process.try_wait().expect("a child");
            assert!(ended.is_none() && Instant::now() < deadline, "no gateway over {backplane:?}: {ended:?}");
            thread::sleep(Duration::from_millis(20));
        }
        gateway
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Publishes at one gateway, listens at the other, and prints what the load says of it.
fn measure(name: &str, backplane: &[&str]) {
    let quick = env::var_os("TIDINGS_QUICK").is_some();
    for (load, arguments) in LOADS {
        let (near, far) = (Gateway::start(backplane), Gateway::start(backplane));
        // Memory is within one gateway.
        let publish_to = if backplane.is_empty() { near.port.address() } else { far.port.address() };
        let output =
            Command::new(env::var_os("TIDINGS_LOAD").expect("TIDINGS_LOAD names the load's program"))
                .args(["fan-out", "--dialect", "tidings", "--address", &near.port.address().to_string()])
                .args(["--publish-to", &publish_to.to_string(), "--pid", &near.process.id().to_string()])
                .args(["--subscribers", CROWD, "--publishers", CROWD, "--channels", CROWD])
                .args(if quick {
                    ["--warmup", "0.2", "--seconds", "0.3"]
                } else {
                    ["--warmup", "1", "--seconds", "4"]
                })
                .args(arguments)
                .stderr(Stdio::inherit())
                .output()
                .expect("the load starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}, {load}: {said}");
        println!("measured\t{name}, {load}\t{}", said.trim());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo xtask bench --only backplanes"]
async fn speed() {
    measure("memory", &[]);
    {
        let redis = servers::redis::Redis::start(&[]);
        measure("redis", &["--backplane", &format!("redis://{}", redis.address())]);
    }
    {
        let nats = servers::nats::Server::start();
        measure("nats", &["--backplane", &nats.url()]);
    }
    let postgres = servers::postgres::Server::start();
    measure("postgres", &["--backplane", &postgres.url(&postgres.database().await)]);
    // Without NOTIFY, as a gateway is that looks every 250 ms: through PgBouncer there is no LISTEN.
    let name = postgres.database().await;
    let bouncer = servers::postgres::Bouncer::start(&postgres, &name).await;
    measure("polled", &["--backplane", &bouncer.url(&name), "--postgres-poll-ms", "250"]);
}
