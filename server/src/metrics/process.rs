//! What the system says of this process, where it is Linux: under the names that Prometheus' own clients use.

/// How often the kernel counts in a second, for programs.
#[cfg(target_os = "linux")]
const TICKS: f64 = 100.0;

/// What the system says at this moment.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) open_files: u64,
    pub(super) most_files: u64,
    pub(super) started_at: f64,
}

#[cfg(target_os = "linux")]
impl Process {
    pub(super) fn now() -> Option<Self> {
        let stat = read("/proc/self/stat")?;
        // The second field, the name in brackets, may have anything in it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let pages: u64 = read("/proc/self/statm")?.split_whitespace().nth(1)?.parse().ok()?;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) as f64 / TICKS,
            resident_bytes: pages * page_bytes(),
            open_files: open_files()?,
            most_files: most_files()?,
            started_at: started_at(field(22)?)?,
        })
    }
}

#[cfg(target_os = "linux")]
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(target_os = "linux")]
fn page_bytes() -> u64 {
    // SAFETY: it reads a setting of the system, and has no other effect.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4_096)
}

/// The folder's size is the number, since Linux 6.2: with a hundred thousand connections it would take long to count them.
#[cfg(target_os = "linux")]
fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    match std::fs::metadata(FOLDER).ok()?.len() {
        0 => Some(std::fs::read_dir(FOLDER).ok()?.count() as u64),
        count => Some(count),
    }
}

#[cfg(target_os = "linux")]
fn most_files() -> Option<u64> {
    let limits = read("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Seconds since 1970, the same each time.
#[cfg(target_os = "linux")]
fn started_at(ticks_after_boot: u64) -> Option<f64> {
    use std::{
        sync::OnceLock,
        time::{SystemTime, UNIX_EPOCH},
    };
    static STARTED_AT: OnceLock<f64> = OnceLock::new();
    if let Some(at) = STARTED_AT.get() {
        return Some(*at);
    }
    let up: f64 = read("/proc/uptime")?.split_whitespace().next()?.parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    let at = now - up + ticks_after_boot as f64 / TICKS;
    Some(*STARTED_AT.get_or_init(|| at))
}

#[cfg(not(target_os = "linux"))]
impl Process {
    pub(super) fn now() -> Option<Self> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::{
        fs::File,
        time::{SystemTime, UNIX_EPOCH},
    };

    #[test]
    fn what_the_system_says() {
        let before = Process::now().expect("a Linux process");
        let files: Vec<_> = (0..50).map(|_| File::open("/dev/null").expect("a file")).collect();
        let memory = vec![1_u8; 64 * 1024 * 1024];
        while Process::now().expect("a process").cpu_seconds <= before.cpu_seconds {
            std::hint::black_box(memory.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        }
        let after = Process::now().expect("a Linux process");
        // Other tests run beside this one.
        assert!(after.open_files >= files.len() as u64 && after.most_files >= after.open_files);
        assert!(after.resident_bytes >= memory.len() as u64, "{after:?}");
        assert!((after.started_at - before.started_at).abs() < f64::EPSILON);
        let age =
            SystemTime::now().duration_since(UNIX_EPOCH).expect("a date").as_secs_f64() - after.started_at;
        assert!((-1.0..86_400.0).contains(&age), "{age} s ago");
    }
}
