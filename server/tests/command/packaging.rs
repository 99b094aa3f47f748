//! The files by which the command is installed.

use crate::harness::Folder;
use std::process::Command;

const UNIT: &str = include_str!("../../../packaging/tidings.service");

/// systemd finds nothing wrong with the unit. Where there is no systemd, that is printed and nothing is checked.
#[test]
fn the_unit_is_in_order() {
    let folder = Folder::new("unit");
    let installed = UNIT.replace("/usr/local/bin/tidings", env!("CARGO_BIN_EXE_tidings"));
    assert_ne!(installed, UNIT);
    let file = folder.file("tidings.service", &installed);
    match Command::new("systemd-analyze").args(["verify", "--man=no", &file]).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let wrong: Vec<_> = said.lines().filter(|line| line.contains("tidings.service")).collect();
            assert!(output.status.success() && wrong.is_empty(), "{said}");
        }
        Err(error) => println!("NOT CHECKED: the unit, by systemd-analyze: {error}"),
    }
}

/// The variables that the image sets are settings.
#[test]
fn the_image_is_set_up_by_settings_that_there_are() {
    let image = include_str!("../../../Dockerfile");
    let set =
        image.lines().filter_map(|line| line.strip_prefix("ENV ")).filter_map(|line| line.split_once('='));
    let mut check = crate::harness::tidings(&["check"]);
    check.envs(set);
    let output = check.output().expect("the command");
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("0.0.0.0:8080"), "{output:?}");
}

/// The image is built by the version of Rust that the sources are written for.
#[test]
fn the_image_has_the_compiler_of_the_sources() {
    let image = include_str!("../../../Dockerfile");
    let toolchain = include_str!("../../../rust-toolchain.toml");
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert!(image.contains(&format!("\nFROM rust:{version}-")), "{image}");
    assert!(toolchain.contains(&format!("channel = \"{version}.")), "{toolchain}");
}
