//! Tokens, rules and webhooks by the command.

use crate::harness::{Folder, Serve, assert_fails, run, text, tidings};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring, pki_types::PrivatePkcs8KeyDer};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client, client::IntoClientRequest};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What `tidings token` prints.
fn token(arguments: &[&str]) -> String {
    let output = run(&[&["token"], arguments].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

impl Serve {
    /// Stops it; what it has logged.
    fn stopped(&mut self) -> String {
        self.signal("TERM");
        let mut log = String::new();
        self.log().read_to_string(&mut log).expect("text");
        log
    }

    fn connect_as(&self, query: &str, headers: &[(&'static str, &str)]) -> WebSocket<TcpStream> {
        let url = format!("ws://{}/_broadcast{query}", self.address);
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header's value"));
        }
        let (mut socket, _) = client(request, self.stream()).expect("an upgrade");
        assert!(text(&mut socket).starts_with(r#"{"t":"welcome""#));
        socket
    }
}

fn answer(socket: &mut WebSocket<TcpStream>, request: &str) -> String {
    socket.send(Message::text(request)).expect("an open connection");
    text(socket)
}

#[test]
fn tokens_open_what_is_private() {
    let folder = Folder::new("tokens-open");
    let file = folder.0.join("secret");
    fs::write(&file, format!("{SECRET}\r\n")).expect("a file");
    let file = file.to_str().expect("text");
    let serve = Serve::start(&[
        "--history",
        "*=0",
        "--jwt-secret-file",
        file,
        "--jwt-issuer",
        "here",
        "--jwt-cookie",
        "session",
        "--rule",
        "private-user.{sub}=authenticated",
        "--rule",
        "closed=deny",
    ]);
    let granted =
        ["--sub", "u1", "--channels", "private-a.*", "--publish", "private-a.1", "--jwt-issuer", "here"];
    let good = token(&[&["--jwt-secret-file", file], &granted[..]].concat());
    assert_eq!(good.split('.').count(), 3);
    let (cookie, bearer) = (format!("session={good}"), format!("Bearer {good}"));
    for (query, headers) in [
        (format!("?token={good}"), &[][..]),
        (String::new(), &[("cookie", &*cookie)]),
        (String::new(), &[("authorization", &*bearer)]),
    ] {
        let mut socket = serve.connect_as(&query, headers);
        for (channel, allowed) in [
            ("private-a.1", true),
            ("private-user.u1", true),
            ("private-user.u2", false),
            ("private-b", false),
            ("closed", false),
        ] {
            let said = answer(&mut socket, &format!(r#"{{"t":"sub","c":"{channel}"}}"#));
            assert_eq!(said.starts_with(r#"{"t":"ok""#), allowed, "{said}");
        }
        let said = answer(&mut socket, r#"{"t":"pub","c":"private-a.1","e":"e"}"#);
        assert!(said.starts_with(r#"{"t":"msg","c":"private-a.1","e":"e""#), "{said}");
        let said = answer(&mut socket, r#"{"t":"pub","c":"private-a.2","e":"e"}"#);
        assert_eq!(said, r#"{"t":"err","c":"private-a.2","r":"publish denied"}"#);
    }
    let mut socket = serve.connect();
    let said = answer(&mut socket, &format!(r#"{{"t":"auth","tk":"{good}"}}"#));
    assert!(said.starts_with(r#"{"t":"auth","exp":"#), "{said}");
    assert_eq!(answer(&mut socket, r#"{"t":"sub","c":"private-a.1"}"#), r#"{"t":"ok","c":"private-a.1"}"#);
    let elsewhere = token(&["--jwt-secret", SECRET, "--sub", "u1", "--channels", "private-a.*"]);
    let mut socket = serve.connect_as(&format!("?token={elsewhere}"), &[]);
    assert_eq!(text(&mut socket), r#"{"t":"err","c":"","r":"unauthorized"}"#);
    let said = answer(&mut socket, r#"{"t":"sub","c":"private-a.1"}"#);
    assert_eq!(said, r#"{"t":"err","c":"private-a.1","r":"unauthorized"}"#);
}

/// Answers every request over TLS with this JSON; its URL, and its certificate.
fn publish_over_tls(json: &'static str) -> (String, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .expect("a certificate and its key");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://localhost:{}/jwks.json", listener.local_addr().expect("an address").port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = BufReader::new(StreamOwned::new(connection, stream));
            let mut line = String::from("the first");
            // A client that does not trust the certificate breaks off.
            while !line.trim().is_empty() {
                line.clear();
                if stream.read_line(&mut line).is_err() {
                    break;
                }
            }
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", json.len());
            let _ = stream.get_mut().write_all((head + json).as_bytes());
        }
    });
    (url, certified.cert.pem())
}

#[test]
fn keys_come_over_tls_from_whom_the_system_trusts() {
    let known: serde_json::Value = serde_json::from_str(include_str!("../keys/known.json")).expect("JSON");
    let set = serde_json::json!({"keys": [known["ed25519"]["jwk"]]}).to_string();
    let token = known["ed25519"]["token"].as_str().expect("a token");
    let (url, certificate) = publish_over_tls(set.leak());
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = Folder::new("keys-over-tls");
    let file = folder.0.join("authorities.pem");
    for (authority, trusted) in [(certificate, true), (stranger.cert.pem(), false)] {
        fs::write(&file, authority).expect("a file");
        let mut serve = Serve::spawn(
            tidings(&["serve", "--bind", "127.0.0.1:0", "--history", "*=0", "--jwt-jwks", &url])
                .env("SSL_CERT_FILE", &file),
        );
        let mut socket = serve.connect_as(&format!("?token={token}"), &[]);
        if !trusted {
            assert_eq!(text(&mut socket), r#"{"t":"err","c":"","r":"unauthorized"}"#);
        }
        let said = answer(&mut socket, r#"{"t":"sub","c":"private-a.1"}"#);
        assert_eq!(said.starts_with(r#"{"t":"ok""#), trusted, "{said}");
        let log = serve.stopped();
        assert_eq!(log.contains("invalid peer certificate"), !trusted, "{log}");
    }
}

#[test]
fn the_log_says_why_and_never_what() {
    let mut serve = Serve::spawn(&mut tidings(&["serve", "--bind", "127.0.0.1:0", "--jwt-secret", SECRET]));
    let other = token(&["--jwt-secret", &SECRET.replace('0', "1"), "--sub", "somebody"]);
    drop(serve.connect_as(&format!("?token={other}"), &[]));
    let log = serve.stopped();
    assert!(log.contains("the token's signature is wrong"), "{log}");
    for secret in [SECRET, "somebody", &other, other.split('.').nth(1).expect("a payload")] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn what_is_wrong_with_it_is_named() {
    let folder = Folder::new("what-is-wrong-with-it");
    let (short, missing) = (folder.0.join("short"), folder.0.join("missing"));
    fs::write(&short, "hush-hush").expect("a file");
    let (short, missing) = (short.to_str().expect("text"), missing.to_str().expect("text"));
    for (arguments, parts) in [
        (&["--jwt-secret", "hush-hush"][..], &["--jwt-secret", "32 bytes"][..]),
        (&["--jwt-secret-file", short], &["--jwt-secret", "32 bytes"]),
        (&["--jwt-secret-file", missing], &["--jwt-secret-file", missing]),
        (&["--jwt-secret", SECRET, "--jwt-secret-file", short], &["--jwt-secret-file", "both"]),
        (&["--jwt-public-key", missing], &["--jwt-public-key", missing]),
        (&["--jwt-public-key", short], &["--jwt-public-key", "-----BEGIN PUBLIC KEY-----"]),
        (&["--jwt-secret", SECRET, "--jwt-public-key", short], &["--jwt-public-key", "allowed is one"]),
        (&["--jwt-jwks", "ftp://hush-hush"], &["--jwt-jwks", "https://"]),
        (&["--jwt-issuer", "a"], &["--jwt-issuer needs tokens"]),
        (&["--jwt-no-expiry"], &["--jwt-no-expiry needs tokens"]),
        (&["--rule", "a=claim"], &["--rule a=… needs tokens"]),
        (&["--rule", "a.{sub}=deny"], &["--rule a.{sub}=… needs tokens"]),
        (&["--rule", "a=anybody"], &["--rule", "anybody", "authenticated"]),
        (&["--rule", "a*b=deny"], &["--rule", "a*b", "trailing *"]),
        (&["--rule", "a=deny", "--rule", "a=public"], &["--rule", "two rules are for a"]),
        (
            &["--jwt-secret", SECRET, "--jwt-cookie", "s", "--allow-origin", "*"],
            &["--jwt-cookie", "--allow-origin"],
        ),
    ] {
        let arguments = [&["serve", "--bind", "127.0.0.1:0"], arguments].concat();
        assert_fails(&arguments, parts);
        let stderr = run(&arguments).stderr;
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(!stderr.contains(SECRET) && !stderr.contains("hush-hush"), "{stderr}");
    }
    #[cfg(feature = "webhooks")]
    for (arguments, parts) in [
        (&["--rule", "a=webhook"][..], &["--authorize-url"][..]),
        (&["--authorize-url", "http://127.0.0.1:1/"], &["--authorize-url", "--webhook-secret-file"]),
        (&["--webhook-url", "http://127.0.0.1:1/"], &["--webhook-url", "--webhook-secret-file"]),
        (&["--webhook-secret", SECRET], &["--webhook-secret", "--authorize-url"]),
        (&["--authorize-url", "x", "--webhook-secret", SECRET], &["--authorize-url", "https://"]),
        (
            &["--webhook-url", "http://hush-hush@a", "--webhook-secret", SECRET],
            &["--webhook-url", "https://"],
        ),
        (&["--webhook-url", "http://a", "--webhook-secret", "hush-hush"], &["--webhook-url", "32 bytes"]),
        (&["--authorize-url", "http://a", "--webhook-secret", SECRET], &["--authorize-url", "=webhook"]),
        (&["--authorize-timeout-ms", "0"], &["--authorize-timeout-ms"]),
    ] {
        let arguments = [&["serve", "--bind", "127.0.0.1:0"], arguments].concat();
        assert_fails(&arguments, parts);
        let stderr = run(&arguments).stderr;
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(!stderr.contains(SECRET) && !stderr.contains("hush-hush"), "{stderr}");
    }
    for (arguments, parts) in [
        (&["--sub", "u1"][..], &["--jwt-secret-file"][..]),
        (&["--sub", "", "--jwt-secret", SECRET], &["1 to 200 bytes"]),
        (&["--sub", "u1", "--jwt-secret", "short"], &["32 bytes"]),
        (&["--sub", "u1", "--jwt-secret", SECRET, "--expires", "soon"], &["--expires", "soon", "1h"]),
        (&["--sub", "u1", "--jwt-secret", SECRET, "--info", "{"], &["--info", "{"]),
        (&["--sub", "u1", "--jwt-secret", SECRET, "--channels", "a b"], &["--channels", "a b"]),
    ] {
        assert_fails(&[&["token"], arguments].concat(), parts);
    }
}
