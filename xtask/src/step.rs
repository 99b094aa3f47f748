//! Steps: one line when a step starts, one when it ends.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

/// Announces `title`, does the work, prints how long it took.
pub(crate) fn step<T>(title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("▸ {title}");
    let start = Instant::now();
    let outcome = work();
    let seconds = start.elapsed().as_secs_f32();
    match &outcome {
        Ok(_) => eprintln!("  {title}: done in {seconds:.1} s"),
        Err(_) => eprintln!("  {title}: failed after {seconds:.1} s"),
    }
    outcome.with_context(|| format!("{title} failed"))
}

/// Runs a command and lets it write to the terminal.
pub(crate) fn show(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", name(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", name(command));
    }
    Ok(())
}

/// Runs a command and shows its output only when it fails.
pub(crate) fn quiet(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Runs a command and returns what it wrote to its standard output; shows its output when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", name(command)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        eprint!("{text}{}", String::from_utf8_lossy(&output.stderr));
        bail!("{} ended with {}", name(command), output.status);
    }
    Ok(text.into_owned())
}

/// The command's output, when it can be had.
pub(crate) fn read(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as a person would type it.
fn name(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args().take(4))
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
