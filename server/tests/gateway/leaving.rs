//! What is left of clients that go, and of channels that nobody reads any more: nothing.

use crate::harness::{
    Client, Door, Probe, Running, Serving, both_ways, ok, open_gateway, publish, sub, unsub, until,
};
use serde_json::json;
use tidings_server::{Event, Gateway};

both_ways!(
    one_upstream_subscription_per_channel,
    the_last_one_closes_it_and_the_next_opens_it_again,
    many_come_and_go_at_once,
    while_authorizing,
    while_subscribing_upstream,
    one_goes_and_one_stays_while_subscribing_upstream,
    while_publishing,
    without_a_word,
);

/// How a client goes.
#[derive(Clone, Copy)]
enum Goodbye {
    Close,
    Reset,
}

impl Goodbye {
    const BOTH: [Self; 2] = [Self::Close, Self::Reset];

    async fn say(self, client: Client) {
        match self {
            Self::Close => client.leave().await,
            Self::Reset => client.reset(),
        }
    }
}

async fn one_upstream_subscription_per_channel(serving: Serving) {
    let probe = Probe::default();
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = Client::connect(&server).await;
        client.subscribe("a").await;
        clients.push(client);
    }
    let counts = probe.counts("a");
    assert_eq!((counts.open, counts.opened), (1, 1));
    let last = clients.pop().expect("six");
    for client in clients {
        client.leave().await;
    }
    until("one is left", || server.gateway.subscriber_count("a") == 1).await;
    assert_eq!(probe.counts("a").open, 1);
    last.leave().await;
    server.empty().await;
    until("unsubscribed", || probe.counts("a").open == 0).await;
    assert_eq!(probe.counts("a").opened, 1);
}

async fn the_last_one_closes_it_and_the_next_opens_it_again(serving: Serving) {
    let probe = Probe::default();
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut client = Client::connect(&server).await;
    for round in 1..=20 {
        client.subscribe("a").await;
        server.gateway.publish("a", Event::new("e", json!(round))).await.expect("open");
        assert!(client.next().await.contains(&format!(r#""d":{round},"#)));
        client.send(unsub("a")).await;
        client.silence().await;
        let counts = probe.counts("a");
        assert_eq!((counts.open, counts.most, counts.opened), (0, 1, round));
    }
}

async fn many_come_and_go_at_once(serving: Serving) {
    let probe = Probe::default();
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::connect(&server).await);
    }
    futures_util::future::join_all(clients.iter_mut().map(async |client: &mut Client| {
        for _ in 0..50 {
            client.send(sub("a")).await;
            client.send(unsub("a")).await;
        }
        client.send(sub("a")).await;
        client.send(sub("b")).await;
        while client.next().await != ok("b") {}
    }))
    .await;
    // The answer for one channel may come before that for the other.
    until("all are subscribed", || server.gateway.subscriber_count("a") == 8).await;
    assert_eq!((probe.counts("a").open, probe.counts("a").most), (1, 1));
    server.gateway.publish("a", Event::new("e", json!(1))).await.expect("open");
    for client in &mut clients {
        let mut said = client.next().await;
        while said == ok("a") {
            said = client.next().await;
        }
        assert!(said.starts_with(r#"{"t":"msg","c":"a""#), "{said}");
        client.silence().await;
    }
    for (n, client) in clients.into_iter().enumerate() {
        Goodbye::BOTH[n % 2].say(client).await;
    }
    server.empty().await;
    until("unsubscribed", || probe.counts("a").open == 0 && probe.counts("b").open == 0).await;
}

async fn while_authorizing(serving: Serving) {
    for goodbye in Goodbye::BOTH {
        let (probe, door) = (Probe::default(), Door::default());
        let waiting = door.clone();
        let builder = Gateway::builder(probe.clone()).authorize("slow", move |_, _| waiting.behind(true));
        let server = Running::start(serving, builder);
        let mut client = Client::connect(&server).await;
        client.send(sub("slow")).await;
        door.knocked().await;
        goodbye.say(client).await;
        server.empty().await;
        door.open(1);
        until("the authorizer is done", || door.waiting() == 0).await;
        // Both workers have taken in what came before this.
        let mut others = [Client::connect(&server).await, Client::connect(&server).await];
        for other in &mut others {
            other.subscribe("a").await;
        }
        assert_eq!((server.gateway.channel_count(), server.gateway.subscriber_count("slow")), (1, 0));
        assert_eq!(probe.counts("slow").opened, 0);
    }
}

async fn while_subscribing_upstream(serving: Serving) {
    for goodbye in Goodbye::BOTH {
        let probe = Probe::default();
        let server = Running::start(serving, Gateway::builder(probe.clone()));
        let mut client = Client::connect(&server).await;
        client.send(sub("slow")).await;
        probe.subscribing().knocked().await;
        goodbye.say(client).await;
        until("the client is gone", || server.gateway.client_count() == 0).await;
        assert_eq!(server.gateway.subscriber_count("slow"), 0);
        probe.subscribing().open(1);
        server.empty().await;
        until("unsubscribed", || probe.counts("slow").open == 0).await;
        assert!(probe.counts("slow").opened <= 1);
        probe.subscribing().open(1);
        Client::connect(&server).await.subscribe("slow").await;
    }
}

async fn one_goes_and_one_stays_while_subscribing_upstream(serving: Serving) {
    let probe = Probe::default();
    let server = Running::start(serving, Gateway::builder(probe.clone()));
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(&server).await;
        client.send(sub("slow")).await;
        client.silence().await;
        clients.push(client);
    }
    probe.subscribing().knocked().await;
    let mut stays = clients.pop().expect("four");
    for (n, client) in clients.into_iter().enumerate() {
        Goodbye::BOTH[n % 2].say(client).await;
    }
    until("one is left", || server.gateway.client_count() == 1).await;
    probe.subscribing().open(1);
    stays.expect(&ok("slow")).await;
    assert_eq!((server.gateway.subscriber_count("slow"), probe.counts("slow").open), (1, 1));
    server.gateway.publish("slow", Event::new("e", json!(1))).await.expect("open");
    assert!(stays.next().await.starts_with(r#"{"t":"msg","c":"slow""#));
    stays.leave().await;
    server.empty().await;
    until("unsubscribed", || probe.counts("slow").open == 0).await;
}

async fn while_publishing(serving: Serving) {
    let door = Door::default();
    let waiting = door.clone();
    let builder = open_gateway().authorize("slow", move |_, _| waiting.behind(true));
    let server = Running::start(serving, builder);
    for goodbye in Goodbye::BOTH {
        let mut client = Client::connect(&server).await;
        client.send(publish("slow", "e", "1")).await;
        client.send(publish("slow", "e", "2")).await;
        door.knocked().await;
        goodbye.say(client).await;
        server.empty().await;
        door.open(1);
        until("the authorizer is done", || door.waiting() == 0).await;
    }
    Client::connect(&server).await.subscribe("a").await;
}

async fn without_a_word(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(&server).await;
        client.subscribe("a").await;
        clients.push(client);
    }
    clients.drain(..10).for_each(Client::reset);
    until("ten are left", || server.gateway.subscriber_count("a") == 10).await;
    drop(clients);
    server.empty().await;
    assert_eq!(server.gateway.subscriber_count("a"), 0);
}
