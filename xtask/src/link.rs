//! The linker of the client's wasm: Rust's own, with less to keep.
//!
//! rustc has a linker export whatever a crate marks for export, used or not. What js-sys marks runs futures in JavaScript:
//! with all that hangs on it, no client ever calls it.

use std::{env, ffi::OsString, process::Command};

use anyhow::{Result, ensure};

/// What is exported, and called by nobody.
const UNUSED: &str = "__wbg_jspi_task_poll";

/// What rustc calls a linker for wasm with first.
const FLAVOR: &str = "-flavor";

/// The command line when this program was called as a linker.
pub(crate) fn called() -> Option<Vec<OsString>> {
    let words: Vec<_> = env::args_os().skip(1).collect();
    (words.first()? == FLAVOR).then_some(words)
}

/// Links. rustc has put the folder of its linker into `PATH`.
pub(crate) fn run(words: Vec<OsString>) -> Result<()> {
    let status = Command::new("rust-lld").args(used(words)).status()?;
    ensure!(status.success(), "rust-lld ended with {status}");
    Ok(())
}

/// The command line without the order to export what nobody calls.
fn used(words: Vec<OsString>) -> Vec<OsString> {
    let mut used: Vec<OsString> = Vec::with_capacity(words.len());
    for word in words {
        if word == UNUSED && used.last().is_some_and(|order| order == "--export") {
            used.pop();
        } else {
            used.push(word);
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_calls_is_not_exported() {
        let words = ["-flavor", "wasm", "--export", "client_on", "--export", UNUSED, "-o", UNUSED];
        let left = ["-flavor", "wasm", "--export", "client_on", "-o", UNUSED];
        assert_eq!(used(words.map(OsString::from).to_vec()), left.map(OsString::from));
    }
}
