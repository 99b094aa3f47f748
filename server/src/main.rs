//! The `tidings` command.

mod command;

use std::{env, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // By huge pages a silent connection takes a quarter more memory, cleared by the kernel and never used. The allocator
    // does not ask for them (`no_thp`), but a system may give them to everybody; where it forbids to choose, so be it.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    command::run(env::args_os().collect(), env::vars_os().collect())
}
