//! The keys of the HTTP API.

use crate::harness::{Folder, Serve, assert_fails, run};
use std::{fs, io::Read};

#[test]
fn backends_with_a_key_publish_from_everywhere() {
    let folder = Folder::new("api-keys");
    let file = folder.0.join("keys");
    fs::write(&file, "# shop, since May\nshop=0123456789abcdef\n\n  till=fedcba9876543210 \n")
        .expect("a file");
    let file = file.to_str().expect("text");
    let mut serve = Serve::start(&[
        "--api-keys-file",
        file,
        "--api-key",
        "old=00112233445566778899",
        "--api-body-bytes",
        "1024",
    ]);
    let publish = |header: &str, body: &str| serve.request_with("POST /api/publish", header, body).0;
    let body = r#"{"channel":"a","event":"e"}"#;
    for secret in ["0123456789abcdef", "fedcba9876543210", "00112233445566778899"] {
        let header = format!("x-forwarded-for: 203.0.113.7\r\nauthorization: Bearer {secret}");
        assert_eq!(publish(&header, body), 200, "{secret}");
        for (length, status) in [(1_024, 200), (1_025, 413)] {
            assert_eq!(publish(&header, &(body.to_owned() + &" ".repeat(length - body.len()))), status);
        }
    }
    for header in ["x-a: b", "authorization: Bearer 0123456789abcdeg", "authorization: Bearer since"] {
        assert_eq!(publish(header, body), 401, "{header}");
    }
    serve.signal("TERM");
    let mut lines = String::new();
    serve.stdout.read_to_string(&mut lines).expect("text");
    assert!(lines.contains("/api/publish, with an API key"), "{lines}");
}

#[test]
fn what_is_wrong_with_a_key_is_named_and_the_key_is_not_shown() {
    let folder = Folder::new("wrong-api-keys");
    let file = |name: &str, text: &str| {
        let path = folder.0.join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("text").to_owned()
    };
    let (none, short) =
        (file("none", "# no key\n"), file("short", "\nshop=0123456789abcdef\ntill=hunter2\n"));
    let missing = folder.0.join("missing");
    let missing = missing.to_str().expect("text");
    for (arguments, parts) in [
        (&["--api-key", "shophunter2"][..], &["--api-key number 1", "NAME=SECRET"][..]),
        (&["--api-key", "a=0123456789abcdef", "--api-key", "b=hunter2"], &["number 2", "\"b\"", "16 to 256"]),
        (
            &["--api-key", "a=0123456789abcdef", "--api-key", "a=hunter2hunter2hunter2"],
            &["two API keys", "\"a\""],
        ),
        (&["--api-keys-file", &none], &["--api-keys-file", &none, "no key"]),
        (&["--api-keys-file", &short], &[&short, "line 3", "\"till\"", "16 to 256"]),
        (&["--api-keys-file", missing], &["--api-keys-file", missing]),
        (&["--api-body-bytes", "1023"], &["--api-body-bytes", "1023", "1024"]),
        (&["--api-body-bytes", "67108865"], &["--api-body-bytes", "67108864"]),
    ] {
        let arguments = [&["serve", "--bind", "127.0.0.1:0"], arguments].concat();
        assert_fails(&arguments, parts);
        let said = String::from_utf8_lossy(&run(&arguments).stderr).into_owned();
        assert!(!said.contains("hunter2") && !said.contains("0123"), "{said}");
    }
}

#[test]
fn a_key_is_not_shown() {
    let checked = run(&["check", "--api-key", "shop=0123456789abcdef"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.contains("shop=***") && !said.contains("0123"), "{said}");
    let checked = run(&["check", "--admin-bind", "127.0.0.1:0", "--admin-key", "ann=0123456789abcdef"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.contains("ann=***") && !said.contains("0123"), "{said}");
    let refused = run(&["check", "--api-key", "a=hunter2", "--api-key", "b=hunter2"]);
    let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
    assert!(!refused.status.success() && !said.contains("hunter2"), "{said}");
    assert!(said.contains("--api-key number 1") && said.contains("--api-key number 2"), "{said}");
}
