//! Settings from a file, the environment and flags.

use crate::harness::{Folder, Serve, assert_fails, run, tidings};
use std::{fs, io::Read};

/// What `tidings check` says, and whether it found everything in order.
fn check(arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
    let mut command = tidings(&[&["check"], arguments].concat());
    let output = command.envs(environment.iter().copied()).output().expect("the command");
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.success(), String::from_utf8(said).expect("text"))
}

/// The line of a setting, without the spaces.
fn line(said: &str, name: &str) -> String {
    let line = said.lines().find(|line| line.split_whitespace().next() == Some(name));
    let words: Vec<_> = line.unwrap_or_else(|| panic!("no {name}: {said}")).split_whitespace().collect();
    words.join(" ")
}

#[test]
fn flags_beat_variables_and_these_beat_the_file() {
    let folder = Folder::new("three-sources");
    let file = folder.file(
        "tidings.toml",
        "path = '/file'\nallow_origin = ['https://file.example']\nworkers = 1\n\n[history]\n'a.*' = [5, 60]\n'*' = 0\n",
    );
    let environment =
        [("TIDINGS_PATH", "/env"), ("TIDINGS_ALLOW_ORIGIN", "https://a.example https://b.example")];
    let (fine, said) = check(&["--config", &file, "--path", "/flag"], &environment);
    assert!(fine, "{said}");
    assert_eq!(line(&said, "path"), "path /flag [flag]");
    let origins = "allow-origin https://a.example https://b.example [TIDINGS_ALLOW_ORIGIN]";
    assert_eq!(line(&said, "allow-origin"), origins);
    assert_eq!(line(&said, "workers"), format!("workers 1 [{file}:3:1]"));
    assert_eq!(line(&said, "history"), format!("history a.*=5,60 *=0 [{file}:5:2]"));
    assert_eq!(line(&said, "drain-ms"), "drain-ms 30000 [default]");
    assert_eq!(line(&said, "static-dir"), "static-dir (not set) [default]");
}

#[test]
fn a_gateway_runs_with_them() {
    let folder = Folder::new("runs-with-settings");
    let file = folder.file("tidings.toml", "bind = '127.0.0.1:0'\npath = '/rt'\nping-interval-ms = 1234\n");
    let mut serve = Serve::spawn(tidings(&["serve"]).env("TIDINGS_CONFIG", &file));
    let (_, answer) = serve.request("GET /rt", "");
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    serve.signal("TERM");
    let mut said = String::new();
    serve.stdout.read_to_string(&mut said).expect("text");
    assert!(said.contains("/rt"), "{said}");
}

#[test]
fn all_mistakes_are_told_with_their_places() {
    let folder = Folder::new("all-mistakes");
    let file =
        folder.file("tidings.toml", "bint = '127.0.0.1:0'\nping-interval-ms = 'soon'\n[tls]\ncerd = 'x'\n");
    let missing = folder.0.join("missing");
    let missing = missing.to_str().expect("text");
    let environment = [("TIDINGS_WORKERS", "0"), ("TIDINGS_BINT", "x"), ("TIDINGS_STATIC_DIR", missing)];
    let (fine, said) = check(&["--config", &file, "--path", "rt"], &environment);
    assert!(!fine, "{said}");
    for part in [
        format!("{file}:1:1: no setting \"bint\"; is bind meant?"),
        format!("{file}:2:1: ping-interval-ms cannot be \"soon\": invalid digit"),
        format!("{file}:4:1: no setting \"tls-cerd\"; is tls-cert meant?"),
        "TIDINGS_WORKERS: workers cannot be \"0\": 0 is not in 1..=1024".to_owned(),
        "TIDINGS_BINT: no setting of this name; is TIDINGS_BIND meant?".to_owned(),
        "invalid path \"rt\"".to_owned(),
        format!("--static-dir {missing}"),
        "7 things are wrong".to_owned(),
    ] {
        assert!(said.contains(&part), "{part} is not in {said}");
    }
    assert_fails(&["serve", "--config", &file], &["no setting \"bint\"", "cannot be \"soon\""]);
    assert_fails(&["serve", "--config", missing], &["cannot read --config", missing]);
    let syntax = folder.file("syntax.toml", "bind = '127.0.0.1:0'\npath = \n");
    assert_fails(&["serve", "--config", &syntax], &[&format!("{syntax}:2:8: ")]);
}

#[test]
fn no_secret_is_told() {
    let folder = Folder::new("no-secret");
    let url = "redis://me:hunter2@127.0.0.1:1/0";
    let file = folder.file("tidings.toml", &format!("backplane = '{url}'\n"));
    for (arguments, environment) in [
        (&["--config", &file][..], &[][..]),
        (&["--backplane", url], &[]),
        (&[], &[("TIDINGS_BACKPLANE", url)]),
    ] {
        let (fine, said) = check(arguments, environment);
        assert!(fine && !said.contains("hunter2"), "{said}");
        assert!(line(&said, "backplane").starts_with("backplane redis://***@127.0.0.1:1/0 ["), "{said}");
    }
    let wrong = folder.file("wrong.toml", "backplane = 'mysql://me:hunter2@127.0.0.1'\nbackplane = 1\n");
    for arguments in
        [&["--config", &wrong][..], &["--backplane", "redis://me:hunter2@127.0.0.1/?foo=hunter2"]]
    {
        let (fine, said) = check(arguments, &[]);
        assert!(!fine && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn an_url_from_a_file() {
    let folder = Folder::new("url-from-a-file");
    let file = folder.file("url", "mysql://me:hunter2@127.0.0.1\n");
    let (fine, said) = check(&["--backplane-file", &file], &[]);
    assert!(!fine && said.contains("no backplane \"mysql\"") && !said.contains("hunter2"), "{said}");
    let file = folder.file("url", "memory\n");
    assert!(check(&["--backplane-file", &file], &[]).0);
    fs::remove_file(&file).expect("a file");
    let (fine, said) = check(&["--backplane-file", &file], &[]);
    assert!(!fine && said.contains("--backplane-file") && said.contains("url"), "{said}");
    assert_fails(&["serve", "--backplane-file", &file, "--backplane", "memory"], &["cannot be used with"]);
}

/// The file is made with every feature on.
#[cfg(all(feature = "postgres", feature = "tls", feature = "tokens", feature = "webhooks"))]
#[test]
fn the_example_is_the_one_that_is_printed() {
    let printed = run(&["config", "--example"]);
    let kept = include_str!("../../../docs/tidings.example.toml");
    assert!(
        String::from_utf8(printed.stdout).expect("text") == kept,
        "make it anew: cargo run -p tidings-server -- config --example > docs/tidings.example.toml"
    );
}

#[cfg(feature = "postgres")]
#[test]
fn a_migration_takes_what_it_needs_of_them() {
    let folder = Folder::new("migration");
    let file = folder.file(
        "tidings.toml",
        "bind = '127.0.0.1:0'\nbackplane = 'postgres://me:hunter2@127.0.0.1:1/app'\n[postgres]\ntable = 'app.told'\n",
    );
    let printed = run(&["migrate", "--config", &file, "--print"]);
    assert!(String::from_utf8_lossy(&printed.stdout).contains("\"app\".\"told\""), "{printed:?}");
}

#[test]
fn help_is_in_groups() {
    let long = String::from_utf8(run(&["serve", "--help"]).stdout).expect("text");
    let short = String::from_utf8(run(&["serve", "-h"]).stdout).expect("text");
    for heading in ["\nSettings:\n", "\nListening:\n", "\nClients:\n", "\nEvents:\n", "\nLogging:\n"] {
        assert!(long.contains(heading) && short.contains(heading), "{heading}");
    }
    assert!(long.contains("TIDINGS_PING_INTERVAL_MS=30000") && short.lines().count() < long.lines().count());
}
