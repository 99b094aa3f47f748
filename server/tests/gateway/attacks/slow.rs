//! Clients that take their time. None is waited for without end, and none holds up another.

use super::{Bystander, connect};
use crate::harness::{
    Raw, Running, Serving, both_ways, handshake, masked, ok, open_gateway, run, sub, until,
};
use std::{pin::pin, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::interval,
};

both_ways!(heads_that_come_byte_by_byte, frames_that_come_byte_by_byte);

/// Sends a byte now and then until the gateway has enough of it; what it said.
async fn dribble(stream: TcpStream, bytes: Vec<u8>) -> Vec<u8> {
    let (mut reading, mut writing) = stream.into_split();
    let mut answer = Vec::new();
    let write = async {
        let mut pace = interval(Duration::from_millis(100));
        for byte in bytes.iter().cycle() {
            pace.tick().await;
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    };
    {
        let mut read = pin!(async { drop(reading.read_to_end(&mut answer).await) });
        tokio::select! {
            // What was said before the end may be yet to be read.
            () = write => read.await,
            () = &mut read => {}
        }
    }
    answer
}

async fn heads_that_come_byte_by_byte(serving: Serving) {
    const MANY: usize = 200;
    let server = Running::start(serving, open_gateway());
    let mut bystander = Bystander::join(&server).await;
    let head = format!("GET /_broadcast HTTP/1.1\r\nhost: {}\r\nx: ", server.address).into_bytes();
    let mut slow = Vec::new();
    for _ in 0..MANY {
        slow.push(dribble(connect(&server).await, head.clone()));
    }
    let served = async {
        for _ in 0..20 {
            bystander.is_served(&server).await;
            Raw::connect(&server).await;
        }
    };
    let (answers, ()) = futures_util::join!(futures_util::future::join_all(slow), served);
    for answer in answers {
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
    }
    bystander.is_served(&server).await;
}

/// A frame has no time of its own: the gateway's pings find out who is there.
async fn frames_that_come_byte_by_byte(serving: Serving) {
    let brisk = crate::harness::config(|c| {
        c.ping_interval = Duration::from_millis(300);
        c.ping_grace = Duration::from_millis(300);
    });
    let server = Running::start(serving, open_gateway().config(brisk));
    let client = Raw::connect(&server).await;
    let frame = masked(0x81, format!("{:1000}", sub("a")).as_bytes());
    let said = dribble(client.stream, frame).await;
    let close = [&[0x88, 2 + 12][..], &4001_u16.to_be_bytes(), b"ping timeout"].concat();
    assert!(said.ends_with(&close), "{:?}", String::from_utf8_lossy(&said));
    until("it is forgotten", || server.gateway.client_count() == 0).await;
}

async fn get(stream: &mut TcpStream, server: &Running) {
    let get = format!("GET /nowhere HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    stream.write_all(get.as_bytes()).await.expect("an open connection");
    assert_eq!(crate::harness::answer(stream, false).await.0.status, 404);
}

/// Over its own sockets the gateway waits for a second head no longer than for the first. actix-web waits for ever.
#[test]
fn a_second_head_that_does_not_come() {
    run(async {
        let server = Running::start(Serving::Own, open_gateway());
        let mut bystander = Bystander::join(&server).await;
        let head = handshake(server.address).into_bytes();
        let mut slow = connect(&server).await;
        get(&mut slow, &server).await;
        let mut at_once = connect(&server).await;
        let whole = format!("GET /nowhere HTTP/1.1\r\nhost: {}\r\n\r\nGET ", server.address);
        at_once.write_all(whole.as_bytes()).await.expect("an open connection");
        assert_eq!(crate::harness::answer(&mut at_once, false).await.0.status, 404);
        let dribbled = dribble(slow, [&head[..head.len() - 4], b"x"].concat());
        let (slow, at_once) = futures_util::join!(dribbled, dribble(at_once, b"x".to_vec()));
        assert!(slow.is_empty() && at_once.is_empty(), "{slow:?} {at_once:?}");
        bystander.is_served(&server).await;
    });
}

#[test]
fn a_second_head_that_takes_a_while() {
    run(async {
        let server = Running::start(Serving::Own, open_gateway());
        let mut stream = connect(&server).await;
        for _ in 0..3 {
            get(&mut stream, &server).await;
            let mut pace = interval(Duration::from_millis(10));
            for byte in format!("GET /nowhere HTTP/1.1\r\nhost: {}\r\n\r\n", server.address).bytes() {
                pace.tick().await;
                stream.write_all(&[byte]).await.expect("an open connection");
            }
            assert_eq!(crate::harness::answer(&mut stream, false).await.0.status, 404);
        }
        stream.write_all(handshake(server.address).as_bytes()).await.expect("an open connection");
        let mut client = Raw::upgraded(stream).await;
        client.send(&masked(0x81, sub("a").as_bytes())).await;
        assert_eq!(client.text().await, ok("a"));
    });
}
