//! The gateway over TLS, on its own listener.
#![cfg(feature = "tls")]

mod harness;
#[path = "../gateway/harness/wait.rs"]
mod wait;

use futures_util::{SinkExt, StreamExt};
use harness::{Certificate, Running};
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use std::{
    fs,
    time::{Duration, Instant},
};
use tidings_server::{Event, Tls, TlsError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message},
};
use wait::{run, until};

type Client = WebSocketStream<TlsStream<TcpStream>>;

async fn text(client: &mut Client) -> String {
    match client.next().await {
        Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
        other => panic!("wanted text, got {other:?}"),
    }
}

async fn send(client: &mut Client, text: &str) {
    client.send(Message::text(text)).await.expect("an open connection");
}

async fn subscribe(client: &mut Client, channel: &str) {
    assert!(text(client).await.starts_with(r#"{"t":"welcome""#));
    send(client, &format!(r#"{{"t":"sub","c":"{channel}"}}"#)).await;
    assert_eq!(text(client).await, format!(r#"{{"t":"ok","c":"{channel}"}}"#));
}

#[test]
fn clients_publish_and_listen() {
    run(async {
        let certificate = Certificate::new("clients");
        let server = Running::start(certificate.tls(), |_| ());
        let mut trust = certificate.trust();
        for version in [&TLS12, &TLS13] {
            trust.versions = vec![version];
            let mut clients = [trust.open(server.address).await, trust.open(server.address).await];
            for client in &mut clients {
                subscribe(client, "a").await;
            }
            // More than one record of TLS, and more than one read.
            let data = "x".repeat(50_000);
            send(&mut clients[0], &format!(r#"{{"t":"pub","c":"a","e":"e","d":"{data}"}}"#)).await;
            for client in &mut clients {
                assert!(
                    text(client).await.starts_with(&format!(r#"{{"t":"msg","c":"a","e":"e","d":"{data}""#))
                );
            }
            for mut client in clients {
                client.close(None).await.expect("an open connection");
                assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))));
                assert!(client.next().await.is_none());
            }
            until("they have left", || server.gateway.client_count() == 0).await;
        }
    });
}

#[test]
fn event_streams() {
    run(async {
        let certificate = Certificate::new("streams");
        let server = Running::start(certificate.tls(), |_| ());
        let mut stream = certificate.trust().connect(server.address).await.expect("a handshake");
        let get = format!("GET /_broadcast/sse?channel=a HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
        stream.write_all(get.as_bytes()).await.expect("an open connection");
        until("it listens", || server.gateway.subscriber_count("a") == 1).await;
        server.gateway.publish("a", Event::new("paid", json!({"n": 1}))).await.expect("a publish");
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains("event: paid\n") {
            assert!(stream.read_buf(&mut heard).await.expect("a stream") > 0);
        }
        assert!(heard.starts_with(b"HTTP/1.1 200 "));
        drop(stream);
        until("it has left", || server.gateway.client_count() == 0).await;
    });
}

#[test]
fn the_limit_of_connections_holds() {
    run(async {
        let certificate = Certificate::new("limit");
        let server = Running::start(certificate.tls(), |config| config.limits.connections = 1);
        let mut first = certificate.trust().open(server.address).await;
        subscribe(&mut first, "a").await;
        let stream = certificate.trust().connect(server.address).await.expect("a handshake");
        let refused = client_async(format!("wss://{}/_broadcast", server.address), stream).await;
        assert!(
            matches!(&refused, Err(tungstenite::Error::Http(answer)) if answer.status() == 503),
            "{refused:?}"
        );
    });
}

#[test]
fn clients_are_told_when_the_gateway_stops() {
    run(async {
        let certificate = Certificate::new("stop");
        let mut server = Running::start(certificate.tls(), |_| ());
        let mut client = certificate.trust().open(server.address).await;
        subscribe(&mut client, "a").await;
        server.stop();
        assert!(text(&mut client).await.starts_with(r#"{"t":"bye","code":1012"#));
        let Some(Ok(Message::Close(Some(close)))) = client.next().await else { panic!("no close") };
        assert_eq!(u16::from(close.code), 1012);
        assert!(client.next().await.is_none());
    });
}

#[test]
fn a_client_that_does_not_read_is_closed() {
    run(async {
        let certificate = Certificate::new("slow");
        let server = Running::start(certificate.tls(), |config| config.limits.queue_bytes = 64 * 1024);
        let mut slow = certificate.trust().open(server.address).await;
        subscribe(&mut slow, "a").await;
        let data = json!("x".repeat(60_000));
        // More than the buffers of both systems hold.
        let mut published = 0;
        while server.gateway.subscriber_count("a") == 1 && published < 2_000 {
            server.gateway.publish("a", Event::new("e", data.clone())).await.expect("a publish");
            published += 1;
        }
        assert_eq!(server.gateway.subscriber_count("a"), 0, "after {published} events");
        let code = loop {
            match slow.next().await {
                Some(Ok(Message::Text(_))) => {}
                Some(Ok(Message::Close(Some(close)))) => break u16::from(close.code),
                other => panic!("wanted a close, got {other:?}"),
            }
        };
        assert_eq!(code, 4008);
    });
}

#[test]
fn a_new_certificate_counts_from_then_on_and_a_wrong_one_never() {
    run(async {
        let mut certificate = Certificate::new("reload");
        let tls = certificate.tls();
        let server = Running::start(tls.clone(), |_| ());
        let before = certificate.trust();
        let mut client = before.open(server.address).await;
        subscribe(&mut client, "a").await;

        certificate.mistake();
        let error = tls.reload().expect_err("a key of another certificate");
        assert!(matches!(error, TlsError::Unusable { .. }), "{error}");
        assert!(before.connect(server.address).await.is_ok());

        certificate.renew();
        tls.reload().expect("a certificate");
        assert!(before.connect(server.address).await.is_err());
        assert!(certificate.trust().connect(server.address).await.is_ok());
        // Who is there stays.
        server.gateway.publish("a", Event::new("e", json!(1))).await.expect("a publish");
        assert!(text(&mut client).await.starts_with(r#"{"t":"msg","c":"a""#));
    });
}

#[test]
fn what_is_wrong_with_the_files_is_named() {
    let certificate = Certificate::new("files");
    let refused = |file: &std::path::Path, key: &std::path::Path| {
        Tls::from_files(file, key).expect_err("an error").to_string()
    };
    let missing = certificate.file().with_file_name("missing.pem");
    let error = refused(&missing, &certificate.key());
    assert!(
        error.contains("certificate") && error.contains("missing.pem") && error.contains("No such file"),
        "{error}"
    );
    let error = refused(&certificate.file(), &missing);
    assert!(error.contains("key") && error.contains("missing.pem"), "{error}");
    let error = refused(&certificate.key(), &certificate.key());
    assert!(error.contains("there is no certificate in it"), "{error}");
    let error = refused(&certificate.file(), &certificate.file());
    assert!(error.contains("there is no private key in it"), "{error}");
    fs::write(&missing, "-----BEGIN PRIVATE KEY-----\nhunter2\n").expect("a file");
    let error = refused(&certificate.file(), &missing);
    assert!(error.contains("it is no PEM") && !error.contains("hunter2"), "{error}");
    certificate.mistake();
    let error = refused(&certificate.file(), &certificate.key());
    assert!(error.contains("certificate.pem") && error.contains("key.pem"), "{error}");
}

#[test]
fn a_handshake_that_does_not_end_is_cut_off() {
    run(async {
        let certificate = Certificate::new("handshake");
        let server = Running::start(certificate.tls(), |_| ());
        let begun = Instant::now();
        let mut slow = TcpStream::connect(server.address).await.expect("a listening gateway");
        // The beginning of a record that is to be longer.
        slow.write_all(&[0x16, 3, 1, 2, 0, 1]).await.expect("an open connection");
        // Others are served meanwhile.
        subscribe(&mut certificate.trust().open(server.address).await, "a").await;
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).await.expect("an end");
        assert!(rest.is_empty() && begun.elapsed() > Duration::from_secs(4), "{:?}", begun.elapsed());
    });
}

/// The first message of a client whose latest version is TLS 1.`minor - 1`.
fn hello(minor: u8) -> Vec<u8> {
    let mut bytes = vec![0x16, 3, 1, 0, 63, 1, 0, 0, 59, 3, minor];
    bytes.extend([7; 32]);
    // No session, one cipher suite (ECDHE, ECDSA, AES-128-GCM), no compression.
    bytes.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    // Extensions: ECDSA over P-256 with SHA-256, and keys over P-256.
    bytes.extend([0, 16, 0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23]);
    bytes
}

#[test]
fn whatever_is_no_tls_of_today_is_refused() {
    const ALERT: u8 = 0x15;
    const HANDSHAKE: u8 = 0x16;
    run(async {
        let certificate = Certificate::new("old");
        let server = Running::start(certificate.tls(), |_| ());
        let send = async |bytes: &[u8]| {
            let mut stream = TcpStream::connect(server.address).await.expect("a listening gateway");
            stream.write_all(bytes).await.expect("an open connection");
            stream
        };
        assert_eq!(send(&hello(3)).await.read_u8().await.expect("an answer"), HANDSHAKE);
        let mut refusal = [0; 7];
        send(&hello(2)).await.read_exact(&mut refusal).await.expect("an alert");
        // Fatal, and because of the version.
        assert_eq!((refusal[0], &refusal[5..]), (ALERT, &[2, 70][..]));
        let mut answer = Vec::new();
        let _ = send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer[0] == ALERT, "{answer:?}");
    });
}

#[test]
fn other_requests_are_served_too() {
    run(async {
        let certificate = Certificate::new("requests");
        let server = Running::start(certificate.tls(), |_| ());
        let answer =
            certificate.trust().request(server.address, "GET /_broadcast", "connection: close\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
        let answer =
            certificate.trust().request(server.address, "GET /nowhere", "connection: close\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    });
}
