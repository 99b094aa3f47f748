//! The gateway, served as always, and the package's core over real sockets, with a proxy in between that delays, cuts,
//! resets and swallows; and a gateway that hands over to another one.

mod client;
#[path = "../frames.rs"]
mod frames;
mod proxy;
mod record;
#[path = "../served.rs"]
mod served;
mod server;

use client::Client;
use proxy::Proxy;
use record::{Entry, Record};
use std::{future::Future, rc::Rc, time::Duration};
use tokio::{
    task::LocalSet,
    time::{Instant, sleep, timeout},
};

/// No test waits this long, unless what it waits for never comes.
const DEADLINE: Duration = Duration::from_secs(300);

const CHANNELS: [&str; 4] = ["a", "b", "c", "d"];

fn run(test: impl Future<Output = ()>) {
    // Two sockets for each client and two for the proxy's ends, or as many as there may be.
    rlimit::increase_nofile_limit(16_384).expect("a limit");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let test = async { timeout(DEADLINE, test).await.expect("in time") };
    LocalSet::new().block_on(&runtime, test);
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE / 2, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn seed() -> u64 {
    let seed =
        std::env::var("TIDINGS_SEED").map_or_else(|_| fastrand::u64(..), |n| n.parse().expect("a number"));
    println!("to have the proxy roll the same dice: TIDINGS_SEED={seed}");
    seed
}

#[test]
fn nothing_is_lost_in_a_storm() {
    run(async {
        const CLIENTS: usize = 24;
        let server = server::start(|config| {
            config.ping_interval = Duration::from_millis(300);
            config.ping_grace = Duration::from_millis(300);
        });
        let seed = seed();
        let mut random = fastrand::Rng::with_seed(seed);
        let proxy = Proxy::start(server.address, Some(seed)).await;
        let clients: Vec<Rc<Client>> =
            (0..CLIENTS).map(|number| Client::start(number, proxy.address, 10)).collect();
        for (number, client) in clients.iter().enumerate() {
            CHANNELS.iter().skip(number % 2).for_each(|channel| client.subscribe(channel));
        }
        let begun = Instant::now();
        let connections = || clients.iter().map(|client| client.log.borrow().opened.len()).sum::<usize>();
        while begun.elapsed() < Duration::from_secs(4) || connections() <= 2 * CLIENTS {
            let client = &clients[random.usize(..CLIENTS)];
            let channel = CHANNELS[random.usize(..CHANNELS.len())];
            (0..=random.u8(..3)).for_each(|_| client.publish(channel));
            sleep(Duration::from_millis(random.u64(..6))).await;
        }
        proxy.calm();
        clients.iter().for_each(Client::online);
        let settled = |client: &Rc<Client>| client.is_live() && client.log.borrow().is_settled();
        until("everyone is live, and knows", || clients.iter().all(settled)).await;
        let mut record = Record::default();
        record.add(&server.gateway, &CHANNELS).await;
        // Behind everything that anybody may still get.
        for (channel, client) in CHANNELS.iter().zip(clients.iter().cycle()) {
            client.publish(channel);
        }
        let got_last = |client: &Rc<Client>| {
            let log = client.log.borrow();
            let last = |entries: &Vec<Entry>| matches!(entries.last(), Some(Entry::Event(name)) if !record.has(name));
            log.is_settled() && log.channels.values().all(last)
        };
        until("everyone has the last event", || clients.iter().all(got_last)).await;
        let mut record = Record::default();
        record.add(&server.gateway, &CHANNELS).await;
        let (mut events, mut gaps) = (0, 0);
        for (number, client) in clients.iter().enumerate() {
            let log = client.log.borrow();
            record.check(number, &log);
            events += log.count().0;
            gaps += log.count().1;
        }
        println!(
            "{} published, {events} delivered, {} connections, {} of them broken",
            record.len(),
            connections(),
            proxy.suffered.get()
        );
        assert_eq!(gaps, 0, "everything is kept, and nobody is told that something is missing");
    });
}

#[test]
fn a_rolling_restart_tells_everyone_and_keeps_the_pace() {
    run(async {
        const CLIENTS: usize = 500;
        const PACE: u32 = 100;
        let old = server::start(|config| config.limits.connections_per_second = PACE);
        let new = server::start(|config| config.limits.connections_per_second = PACE);
        let proxy = Proxy::start(old.address, None).await;
        let mut clients: Vec<Rc<Client>> = Vec::new();
        for number in 0..CLIENTS {
            let client = Client::start(number, proxy.address, 1);
            for turn in 0..2 {
                client.subscribe(CHANNELS[(number + turn) % CHANNELS.len()]);
            }
            clients.push(client);
            if number % 50 == 0 {
                sleep(Duration::from_secs(50) / PACE).await;
            }
        }
        let settled = |client: &Rc<Client>| client.is_live() && client.log.borrow().is_settled();
        until("everyone is live", || clients.iter().all(settled)).await;
        let publish_some = |clients: &[Rc<Client>]| {
            for (number, client) in clients.iter().enumerate().step_by(50) {
                client.publish(CHANNELS[number % CHANNELS.len()]);
            }
        };
        publish_some(&clients);

        proxy.lead_to(new.address);
        let begun = Instant::now();
        let mut record = Record::default();
        let draining = async {
            old.gateway.drain().await;
            until("all have gone", || old.gateway.client_count() == 0).await;
            record.add(&old.gateway, &CHANNELS).await;
            old.gateway.close().await;
        };
        // Goes on publishing meanwhile, here and there.
        let talking = async {
            while old.gateway.client_count() > 0 {
                publish_some(&clients[fastrand::usize(..50)..]);
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::join!(draining, talking);
        until("everyone is live again", || clients.iter().all(settled)).await;
        assert_eq!(new.gateway.client_count(), CLIENTS);
        for (channel, client) in CHANNELS.iter().zip(&clients) {
            client.publish(channel);
        }
        let before = record.len();
        let got_last = |client: &Rc<Client>| {
            let log = client.log.borrow();
            let last = |entries: &Vec<Entry>| match entries.last() {
                Some(Entry::Event(name)) => name.split_once('.').is_some_and(|(who, _)| who.len() == 1),
                _ => false,
            };
            log.is_settled() && log.channels.values().all(last)
        };
        until("everyone has the last event", || clients.iter().all(got_last)).await;
        record.add(&new.gateway, &CHANNELS).await;
        let mut opened = Vec::new();
        for (number, client) in clients.iter().enumerate() {
            let log = client.log.borrow();
            record.check(number, &log);
            assert_eq!(log.drained, 1, "client {number} was told of the drain");
            for (channel, entries) in &log.channels {
                let mut gaps = Vec::new();
                for entry in entries {
                    if let Entry::Gap(why, _) = entry {
                        gaps.push(why.as_str());
                    }
                }
                assert_eq!(gaps, ["epoch"], "client {number}, {channel}: memory does not survive");
            }
            opened.extend(log.opened.iter().copied().filter(|at| *at > begun));
        }
        let took = opened.iter().max().map_or(Duration::ZERO, |last| *last - begun);
        println!(
            "{before} published before and {} after; {} handshakes in {took:?}",
            record.len() - before,
            opened.len(),
        );
        assert_eq!(opened.len(), CLIENTS, "each came once");
        // At first as many as in one second, and then no more than the pace.
        let least = (CLIENTS as u32 - PACE) * Duration::from_secs(1) / PACE;
        assert!(took >= least, "{CLIENTS} handshakes in {took:?}, at a pace of {PACE} a second");
    });
}
