//! The command over TLS.

use crate::harness::{Folder, Serve, assert_fails, run, tidings};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::ChildStderr,
    sync::Arc,
};

/// Puts a new certificate and its key into a folder.
fn renew(folder: &Folder) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    folder.file("cert.pem", &cert.pem());
    folder.file("key.pem", &signing_key.serialize_pem());
    cert.der().clone()
}

fn start(folder: &Folder) -> (Serve, BufReader<ChildStderr>) {
    let (certificate, key) = (folder.0.join("cert.pem"), folder.0.join("key.pem"));
    let mut command = tidings(&["serve", "--bind", "127.0.0.1:0"]);
    let mut serve = Serve::spawn(command.env("TIDINGS_TLS_CERT", certificate).env("TIDINGS_TLS_KEY", key));
    let log = serve.log();
    (serve, log)
}

/// Asks whether the gateway lives, trusting in one certificate.
fn ask(serve: &Serve, trusted: &CertificateDer<'static>) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("settings");
    let mut stream: StreamOwned<_, TcpStream> = StreamOwned::new(connection, serve.stream());
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Reads the log up to a line with `text` in it.
fn wait_for(log: &mut BufReader<ChildStderr>, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(log.read_line(&mut line).expect("text") > 0, "never: {text}");
    }
}

#[test]
fn a_certificate_is_read_again_when_it_is_told_to() {
    let folder = Folder::new("read-again");
    let first = renew(&folder);
    let (serve, mut log) = start(&folder);
    assert!(ask(&serve, &first).expect("an answer").ends_with("alive\n"));

    let second = renew(&folder);
    assert!(ask(&serve, &first).is_ok(), "nobody has told it");
    serve.signal("HUP");
    wait_for(&mut log, "read again");
    assert!(ask(&serve, &second).expect("an answer").ends_with("alive\n"));
    assert!(ask(&serve, &first).is_err());

    folder.file("key.pem", "no key");
    serve.signal("HUP");
    wait_for(&mut log, "key.pem: there is no private key in it");
    assert!(ask(&serve, &second).is_ok());
    serve.signal("TERM");
    assert_eq!(serve.wait(), Some(0));
}

#[test]
fn without_a_certificate_it_goes_on() {
    let mut serve = Serve::spawn(&mut tidings(&["serve", "--bind", "127.0.0.1:0"]));
    let mut log = serve.log();
    serve.signal("HUP");
    wait_for(&mut log, "there is no certificate");
    assert_eq!(serve.request("GET /livez", "").0, 200);
}

#[test]
fn health_asks_over_tls_what_listens_over_tls() {
    let folder = Folder::new("health-over-tls");
    renew(&folder);
    let (serve, _log) = start(&folder);
    let (certificate, key) = (folder.0.join("cert.pem"), folder.0.join("key.pem"));
    let mut health = tidings(&["health"]);
    health
        .env("TIDINGS_BIND", serve.address.to_string())
        .env("TIDINGS_TLS_CERT", certificate)
        .env("TIDINGS_TLS_KEY", key);
    let output = health.output().expect("the command");
    assert!(output.status.success(), "{output:?}");
    // Whom to trust is the system's to say, once another gateway is asked.
    assert_fails(&["health", "--url", &format!("https://{}", serve.address)], &["no answer from https://"]);
}

#[test]
fn what_is_wrong_is_named() {
    let folder = Folder::new("wrong-certificates");
    renew(&folder);
    let certificate = folder.0.join("cert.pem");
    let certificate = certificate.to_str().expect("text");
    assert_fails(&["serve", "--tls-cert", certificate], &["--tls-cert without --tls-key"]);
    let half = folder.file("half.toml", &format!("workers = 0\n[tls]\nkey = '{certificate}'\n"));
    let parts = ["workers cannot be \"0\"", "--tls-key without --tls-cert", "2 things are wrong"];
    assert_fails(&["check", "--config", &half], &parts);
    let output = run(&["check", "--tls-cert", certificate, "--tls-key", certificate]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("cannot read the key") && said.contains(certificate),
        "{said}"
    );
    fs::remove_file(certificate).expect("a file");
    let key = folder.0.join("key.pem");
    assert_fails(
        &["serve", "--tls-cert", certificate, "--tls-key", key.to_str().expect("text")],
        &["cannot read the certificate", certificate],
    );
}
