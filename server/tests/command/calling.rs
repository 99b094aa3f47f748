//! The commands that call a gateway.

use crate::harness::{Folder, Serve, assert_fails, run, text, tidings};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::Stdio,
    thread,
};
use tokio_tungstenite::tungstenite::Message;

fn url(serve: &Serve) -> String {
    format!("http://{}", serve.address)
}

#[test]
fn an_event_is_published() {
    let serve = Serve::start(&["--history", "*=0"]);
    let mut client = serve.connect();
    client.send(Message::text(r#"{"t":"sub","c":"a"}"#)).expect("an open connection");
    assert_eq!(text(&mut client), r#"{"t":"ok","c":"a"}"#);
    for (data, told) in [(&[r#"{"n":1}"#][..], r#"{"n":1}"#), (&[], "null"), (&["-1.50"], "-1.50")] {
        let published = run(&[&["publish", "a", "e", "--url", &url(&serve)], data].concat());
        let answer = String::from_utf8_lossy(&published.stdout).into_owned();
        assert!(published.status.success() && answer.starts_with(r#"{"id":""#), "{published:?}");
        let frame = text(&mut client);
        assert!(frame.starts_with(&format!(r#"{{"t":"msg","c":"a","e":"e","d":{told},"i":""#)), "{frame}");
    }
    let mut piped = tidings(&["publish", "a", "e", "-", "--url", &url(&serve)])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the command");
    piped.stdin.take().expect("piped").write_all(b" [2]\n").expect("a command that reads");
    assert!(piped.wait().expect("a child").success());
    assert!(text(&mut client).contains(r#""d":[2],"#));
}

#[test]
fn what_is_wrong_with_a_publish_is_told() {
    let serve = Serve::start(&[]);
    let url = url(&serve);
    for (arguments, parts) in [
        (&["a", "e", "hello", "--url", &url][..], &["no JSON", "'\"hello\"'"][..]),
        (&["a b", "e", "--url", &url], &["400", "invalid channel"]),
        (&["a", "e", "--url", "localhost:8080"], &["invalid URL \"localhost:8080\"", "http://host:port"]),
        (&["a", "e", "--url", "http://127.0.0.1:1"], &["no answer from http://127.0.0.1:1"]),
        (&["a", "e", "--api-key", "k", "--api-key-file", "f"], &["cannot be used with"]),
        (&["a", "e", "--api-key-file", "/nowhere/key"], &["--api-key-file /nowhere/key"]),
    ] {
        assert_fails(&[&["publish"], arguments].concat(), parts);
    }
}

#[test]
fn a_key_is_sent_and_not_told() {
    let folder = Folder::new("api-key");
    let file = folder.file("key", "hunter2\n");
    for key in [["--api-key", "hunter2"], ["--api-key-file", &file]] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a call");
            let head: Vec<_> = BufReader::new(&stream)
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            let answer = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";
            stream.write_all(answer.as_bytes()).expect("a caller");
            let _ = stream.read_to_end(&mut Vec::new());
            head
        });
        let output = run(&[&["publish", "a", "e", "--url", &url][..], &key].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("answered 401: no") && !said.contains("hunter2"),
            "{said}"
        );
        let head = server.join().expect("a head");
        assert!(
            head.iter().any(|line| line.eq_ignore_ascii_case("authorization: Bearer hunter2")),
            "{head:?}"
        );
    }
}

#[test]
fn a_gateway_with_keys_takes_its_own_file() {
    let folder = Folder::new("own-key-file");
    let file = folder.file("keys", "# of the shop\nshop=0123456789abcdef0123\n");
    let serve = Serve::start(&["--api-keys-file", &file]);
    let url = url(&serve);
    let published = run(&["publish", "a", "e", "--url", &url, "--api-key-file", &file]);
    assert!(published.status.success(), "{published:?}");
    assert_fails(&["publish", "a", "e", "--url", &url], &["answered 401"]);
}

#[test]
fn health_is_readiness() {
    let serve = Serve::start(&[]);
    let healthy = run(&["health", "--url", &url(&serve)]);
    assert!(healthy.status.success(), "{healthy:?}");
    assert_eq!(String::from_utf8_lossy(&healthy.stdout).trim(), "ready");

    // A gateway that sends its clients away is not ready, and says so.
    let mut client = serve.connect();
    serve.signal("TERM");
    assert!(text(&mut client).starts_with(r#"{"t":"bye""#));
    let output = run(&["health", "--url", &url(&serve)]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_fails(&["health", "--url", "http://127.0.0.1:1"], &["no answer"]);
}

#[test]
fn health_finds_the_gateway_by_its_settings() {
    let serve = Serve::start(&[]);
    let port = serve.address.port();
    let folder = Folder::new("health");
    let file = folder.file("tidings.toml", &format!("bind = '0.0.0.0:{port}'\n"));
    assert!(run(&["health", "--config", &file]).status.success());
    let by_variable = tidings(&["health"]).env("TIDINGS_BIND", format!("0.0.0.0:{port}")).output();
    assert!(by_variable.expect("the command").status.success());
    let wrong = folder.file("wrong.toml", "bint = 1\n");
    assert_fails(&["health", "--config", &wrong], &["no setting \"bint\""]);
}
