//! How connections come in, and what comes instead of a handshake.

use crate::harness::{
    Client, Door, Raw, Running, Serving, both_ways, handshake, masked, ok, open_gateway, request, run, sub,
};
use actix_web::{HttpResponse, web};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZero,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle, ThreadId},
    time::{Duration, Instant},
};
use tidings_server::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

both_ways!(
    a_handshake_in_pieces,
    a_handshake_behind_a_request,
    no_http_at_all,
    a_head_that_does_not_come,
    every_worker_gets_its_share,
);

async fn connect(server: &Running) -> TcpStream {
    let stream = TcpStream::connect(server.address).await.expect("a listening gateway");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

async fn a_handshake_in_pieces(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut bytes = handshake(server.address).into_bytes();
    let whole = bytes.len();
    bytes.extend(masked(0x81, sub("a").as_bytes()));
    for at in [1, 20, whole - 1, whole, whole + 3] {
        let mut stream = connect(&server).await;
        stream.write_all(&bytes[..at]).await.expect("an open connection");
        // Another connection, made and answered, is time enough to find the first piece alone.
        Client::connect(&server).await.leave().await;
        stream.write_all(&bytes[at..]).await.expect("an open connection");
        assert_eq!(Raw::upgraded(stream).await.text().await, ok("a"), "cut at {at}");
    }
}

async fn a_handshake_behind_a_request(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let mut stream = connect(&server).await;
    let get = format!("GET /nowhere HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    stream.write_all(get.as_bytes()).await.expect("an open connection");
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 404");
    let mut rest = Vec::new();
    while !rest.ends_with(b"\r\n\r\n") {
        rest.push(stream.read_u8().await.expect("the rest of it"));
    }
    stream.write_all(handshake(server.address).as_bytes()).await.expect("an open connection");
    stream.write_all(&masked(0x81, sub("a").as_bytes())).await.expect("an open connection");
    assert_eq!(Raw::upgraded(stream).await.text().await, ok("a"));
}

async fn no_http_at_all(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"hello\r\n\r\n", b"\r\n\0\r\n"] {
        let mut stream = connect(&server).await;
        let bytes = [garbage, handshake(server.address).as_bytes()].concat();
        stream.write_all(&bytes).await.expect("an open connection");
        let mut answer = Vec::new();
        // What was not read of it may make the end a reset.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
    }
    assert_eq!(server.gateway.client_count(), 0);
    Client::connect(&server).await.subscribe("a").await;
}

async fn a_head_that_does_not_come(serving: Serving) {
    let server = Running::start(serving, open_gateway());
    let begun = Instant::now();
    let wait = async |piece: &str| {
        let mut stream = connect(&server).await;
        stream.write_all(piece.as_bytes()).await.expect("an open connection");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an end");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
        begun.elapsed()
    };
    let half = &handshake(server.address)[..40];
    let (nothing, half) = futures_util::join!(wait(""), wait(half));
    for waited in [nothing, half] {
        assert!(waited > Duration::from_secs(4), "{waited:?}");
    }
}

async fn every_worker_gets_its_share(serving: Serving) {
    const CLIENTS: usize = 16;
    let threads = Arc::new(Mutex::new(HashMap::<ThreadId, usize>::new()));
    let seen = threads.clone();
    let builder = open_gateway().authorize("a", move |_, _| {
        *seen.lock().expect("no panic").entry(thread::current().id()).or_default() += 1;
        async { true }
    });
    let server = Running::start(serving, builder);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(&server).await;
        client.subscribe("a").await;
        clients.push(client);
    }
    let shares: Vec<usize> = threads.lock().expect("no panic").values().copied().collect();
    assert_eq!(shares, [CLIENTS / 2, CLIENTS / 2]);
}

/// Serves with one route more, `/slow`, which answers when `door` opens.
fn serve(address: SocketAddr, door: &Door) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let gateway = open_gateway().build().expect("valid settings");
    let server = Server::bind(gateway, address).expect("a free port").workers(NonZero::<usize>::MIN);
    let address = server.address().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let door = door.clone();
    let thread = thread::spawn(move || {
        let configure = move |config: &mut web::ServiceConfig| {
            let door = door.clone();
            let slow = move || {
                let door = door.clone();
                async move {
                    door.pass().await;
                    HttpResponse::Ok().body("at last")
                }
            };
            config.route("/slow", web::get().to(slow));
        };
        let served = server.run(configure, async { drop(stopped.await) });
        actix_web::rt::System::new().block_on(served).expect("a server that stops");
    });
    (address, stop, thread)
}

#[test]
fn a_request_in_progress_is_answered_before_the_server_ends() {
    run(async {
        let door = Door::default();
        let (address, stop, thread) = serve((Ipv4Addr::LOCALHOST, 0).into(), &door);
        let close = "connection: close";
        let answer = tokio::spawn(async move { request(address, "GET /slow", &[close], "").await });
        door.knocked().await;
        assert_eq!(request(address, "GET /", &[close], "").await.status, 404);
        stop.send(()).expect("a server that runs");
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        door.open(1);
        assert_eq!(answer.await.expect("no panic").body, "at last");
        thread.join().expect("no panic");
    });
}

#[test]
fn on_ipv6() {
    run(async {
        let address = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        if TcpStream::connect(address).await.is_err_and(|e| e.kind() == std::io::ErrorKind::AddrNotAvailable)
        {
            return;
        }
        let (address, stop, thread) = serve(address, &Door::default());
        let mut client = Client::open(address).await;
        assert!(client.next().await.starts_with(r#"{"t":"welcome""#));
        client.subscribe("a").await;
        stop.send(()).expect("a server that runs");
        assert_eq!(client.expect_close().await, 1012);
        thread.join().expect("no panic");
    });
}

#[test]
fn a_port_that_is_taken() {
    let gateway = || open_gateway().build().expect("valid settings");
    let first = Server::bind(gateway(), (Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let second = Server::bind(gateway(), first.address().expect("an address"));
    assert_eq!(second.expect_err("a taken port").kind(), std::io::ErrorKind::AddrInUse);
}
