//! `tidings check`.

use super::{serve::Serve, settings::Settings};
use clap::Args;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Check {
    #[command(flatten)]
    serve: Serve,
}

/// Prints the settings on standard output, and what is wrong with them on standard error.
pub(super) fn run(options: &Check, settings: &Settings) -> ExitCode {
    let width = settings.effective.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    for setting in &settings.effective {
        let values =
            if setting.values.is_empty() { "(not set)".to_owned() } else { setting.values.join(" ") };
        println!("{:width$}  {values}  [{}]", setting.name, setting.origin);
    }
    let planned = options.serve.plan().err().unwrap_or_default();
    let mistakes = settings.mistakes.iter().map(ToString::to_string);
    let wrong: Vec<_> = mistakes.chain(planned.iter().map(ToString::to_string)).collect();
    for wrong in &wrong {
        eprintln!("error: {wrong}");
    }
    match wrong.len() {
        0 => {
            println!("\nThe settings are in order.");
            ExitCode::SUCCESS
        }
        1 => {
            eprintln!("\nOne thing is wrong.");
            ExitCode::FAILURE
        }
        count => {
            eprintln!("\n{count} things are wrong.");
            ExitCode::FAILURE
        }
    }
}
