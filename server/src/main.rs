//! The `tidings` command.

mod command;

use std::{env, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::run(env::args_os().collect(), env::vars_os().collect())
}
