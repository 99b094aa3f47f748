//! The `tidings` command, as a process.

mod calling;
mod configuring;
mod harness;
#[cfg(feature = "tokens")]
mod identity;
mod keys;
mod logging;
mod packaging;
#[cfg(feature = "tls")]
mod securing;

use harness::{Folder, Serve, assert_fails, run, text, tidings};
use std::{fs, io::Read, net::TcpListener};
use tokio_tungstenite::tungstenite::Message;

#[test]
fn stops_cleanly_with_clients_connected() {
    for signal in ["TERM", "INT"] {
        let serve = Serve::start(&["--history", "*=0"]);
        let mut clients = [serve.connect(), serve.connect(), serve.connect()];
        for socket in &mut clients {
            socket.send(Message::text(r#"{"t":"sub","c":"a"}"#)).expect("an open connection");
            assert_eq!(text(socket), r#"{"t":"ok","c":"a"}"#);
        }
        serve.signal(signal);
        for socket in &mut clients {
            assert!(text(socket).starts_with(r#"{"t":"bye","code":1012,"after":"#));
            let Message::Close(Some(frame)) = socket.read().expect("a close frame") else {
                panic!("no close")
            };
            assert_eq!(u16::from(frame.code), 1012);
            assert!(socket.read().is_err());
        }
        assert_eq!(serve.wait(), Some(0), "{signal}");
    }
}

#[test]
fn stops_cleanly_without_anyone() {
    let serve = Serve::start(&["--workers", "1"]);
    serve.signal("TERM");
    assert_eq!(serve.wait(), Some(0));
}

#[test]
fn says_where_it_is() {
    let folder = Folder::new("says-where-it-is");
    let mut serve = Serve::start(&["--path", "/rt", "--static-dir", folder.path()]);
    let mut lines = String::new();
    serve.signal("TERM");
    serve.stdout.read_to_string(&mut lines).expect("text");
    let address = serve.address;
    for part in
        [format!("ws://{address}/rt"), format!("POST http://{address}/api/publish"), folder.path().into()]
    {
        assert!(lines.contains(&part), "{lines}");
    }
}

#[test]
fn backends_publish() {
    let serve = Serve::start(&["--history", "a=0"]);
    let mut client = serve.connect();
    client.send(Message::text(r#"{"t":"sub","c":"a"}"#)).expect("an open connection");
    assert_eq!(text(&mut client), r#"{"t":"ok","c":"a"}"#);
    let (status, answer) = serve.request("POST /api/publish", r#"{"channel":"a","event":"e","data":[1]}"#);
    assert_eq!(status, 200, "{answer}");
    assert!(text(&mut client).starts_with(r#"{"t":"msg","c":"a","e":"e","d":[1],"i":""#));
}

#[test]
fn clients_publish_where_they_may() {
    let serve = Serve::start(&[
        "--allow-client-publish",
        "chat.*",
        "--allow-client-publish",
        "lobby",
        "--history",
        "*=0",
    ]);
    let mut client = serve.connect();
    for channel in ["chat.1", "lobby"] {
        client.send(Message::text(format!(r#"{{"t":"sub","c":"{channel}"}}"#))).expect("an open connection");
        assert_eq!(text(&mut client), format!(r#"{{"t":"ok","c":"{channel}"}}"#));
        client
            .send(Message::text(format!(r#"{{"t":"pub","c":"{channel}","e":"e"}}"#)))
            .expect("an open connection");
        assert!(text(&mut client).starts_with(r#"{"t":"msg""#));
    }
    client.send(Message::text(r#"{"t":"pub","c":"news","e":"e"}"#)).expect("an open connection");
    assert_eq!(text(&mut client), r#"{"t":"err","c":"news","r":"publish denied"}"#);
}

#[test]
fn static_files_and_nothing_beside_them() {
    let folder = Folder::new("static-files");
    fs::create_dir_all(folder.0.join("public/sub")).expect("a folder");
    fs::write(folder.0.join("secret.txt"), "secret").expect("a file");
    fs::write(folder.0.join("public/index.html"), "the index").expect("a file");
    fs::write(folder.0.join("public/sub/a.js"), "the script").expect("a file");
    fs::write(folder.0.join("public/.hidden"), "hidden").expect("a file");
    let serve = Serve::start(&["--static-dir", folder.0.join("public").to_str().expect("text")]);
    for (path, content) in [("/", "the index"), ("/index.html", "the index"), ("/sub/a.js", "the script")] {
        let (status, answer) = serve.request(&format!("GET {path}"), "");
        assert!(status == 200 && answer.ends_with(content), "{path}: {answer}");
    }
    for path in [
        "/missing",
        "/sub/",
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "//../secret.txt",
        "/.hidden",
        "/sub/%00",
    ] {
        let (status, answer) = serve.request(&format!("GET {path}"), "");
        assert!((400..500).contains(&status), "{path}: {answer}");
        assert!(!answer.contains("secret\n") && !answer.ends_with("secret") && !answer.ends_with("hidden"));
    }
    assert_eq!(serve.request("GET /_broadcast", "").0, 426);
}

#[test]
fn who_has_lost_the_way_is_told_it() {
    let serve = Serve::start(&["--path", "/rt"]);
    for line in ["GET /", "GET /_broadcast", "POST /api/publsh", "GET /api/publish/"] {
        let (status, answer) = serve.request(line, "");
        assert_eq!(status, 404, "{line}");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert!(head.contains("application/problem+json"), "{head}");
        assert_eq!(problem["code"], "request.path");
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains("connect to /rt,") && detail.contains("POST /api/publish,"), "{detail}");
    }
}

#[test]
fn a_taken_port() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    assert_fails(&["serve", "--bind", &address], &["cannot listen on", &address, "another port with --bind"]);
    assert_fails(
        &["serve", "--bind", "127.0.0.1:0", "--admin-bind", &address],
        &["cannot listen on --admin-bind", &address, "another port with --admin-bind"],
    );
}

#[test]
fn what_is_wrong_is_named() {
    let folder = Folder::new("what-is-wrong");
    let file = folder.0.join("file");
    fs::write(&file, "").expect("a file");
    let (file, missing) = (file.to_str().expect("text"), folder.0.join("missing"));
    let missing = missing.to_str().expect("text");
    for (arguments, parts) in [
        (&["serve", "--prot", "1"][..], &["--prot"][..]),
        (&["server"], &["server"]),
        (&["serve", "extra"], &["extra"]),
        (&["serve", "--bind", "nowhere"], &["--bind", "nowhere", "ADDR:PORT"]),
        (&["serve", "--bind", "127.0.0.1:99999"], &["--bind", "127.0.0.1:99999"]),
        (&["serve", "--workers", "0"], &["--workers", "0"]),
        (&["serve", "--ping-interval-ms", "-1"], &["-1"]),
        (&["serve", "--ping-interval-ms", "soon"], &["--ping-interval-ms", "soon"]),
        (&["serve", "--allow-client-publish", "a*b"], &["--allow-client-publish", "a*b", "trailing *"]),
        (&["serve", "--bind", "127.0.0.1:0", "--allow-origin", "example.com"], &["example.com", "https://"]),
        (&["serve", "--bind", "127.0.0.1:0", "--path", "rt"], &["path", "rt", "/_broadcast"]),
        (&["serve", "--bind", "127.0.0.1:0", "--static-dir", missing], &["--static-dir", missing]),
        (&["serve", "--bind", "127.0.0.1:0", "--static-dir", file], &["--static-dir", file, "no folder"]),
    ] {
        assert_fails(arguments, parts);
    }
}

#[test]
fn help_and_version() {
    let output = run(&["--version"]);
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        format!("tidings {}", env!("CARGO_PKG_VERSION"))
    );
    let help = run(&["serve", "--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--bind"));
    assert!(!run(&[]).status.success());
}

#[cfg(feature = "postgres")]
#[test]
fn the_migration_is_printed_and_only_postgresql_has_one() {
    let backplane = "postgres://tidings:secret@127.0.0.1:1/app";
    let arguments = ["migrate", "--backplane", backplane, "--postgres-table", "app.events", "--print"];
    let printed = tidings(&arguments).output().expect("the command");
    let sql = String::from_utf8(printed.stdout).expect("text");
    assert!(printed.status.success());
    assert!(
        sql.starts_with("BEGIN;") && sql.ends_with("COMMIT;\n") && sql.contains("\"app\".\"events\""),
        "{sql}"
    );
    for (arguments, wanted) in [
        (vec!["migrate", "--backplane", "memory"], "only PostgreSQL needs it"),
        (vec!["migrate", "--backplane", backplane], "PostgreSQL at 127.0.0.1:1: "),
        (vec!["serve", "--backplane", backplane], "PostgreSQL at 127.0.0.1:1: "),
        (vec!["serve", "--backplane", "redis://tidings:secret@127.0.0.1/?foo=1"], "no setting \"foo\""),
        (vec!["serve", "--backplane", "mysql://tidings:secret@127.0.0.1"], "no backplane \"mysql\""),
        (vec!["serve", "--backplane", backplane, "--postgres-table", "A"], "invalid table \"A\""),
    ] {
        let refused = tidings(&arguments).output().expect("the command");
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && error.contains(wanted) && !error.contains("secret"), "{error}");
    }
}
