//! What the kernel knows about a process.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// A running process and its threads.
pub(crate) struct Process {
    pid: u32,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// This one.
    pub(crate) fn own() -> Self {
        Self::new(std::process::id())
    }

    /// CPU time of its threads so far, in user and kernel mode, to the nanosecond.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let folder = format!("/proc/{}/task", self.pid);
        let mut total = Duration::ZERO;
        for thread in fs::read_dir(&folder).with_context(|| format!("reading {folder}"))? {
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
            total += Duration::from_nanos(nanoseconds.context("schedstat begins with the CPU time")?);
        }
        Ok(total)
    }

    /// Resident memory in KiB.
    pub(crate) fn memory_kb(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.pid);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).context("status tells VmRSS")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_time_and_memory() {
        let own = Process::own();
        let before = own.cpu().unwrap();
        let sum: u64 = (0..2_000_000).map(std::hint::black_box).sum();
        assert!(sum > 0 && own.cpu().unwrap() >= before);
        assert!(own.memory_kb().unwrap() > 100.0);
    }
}
