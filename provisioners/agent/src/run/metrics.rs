//! What the server uses, from `/proc` as the server sees it: in a PID namespace these are its own processes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::logs::now_ms;
use crate::api::Metrics;

const INTERVAL: Duration = Duration::from_secs(3);
/// Disk use is found by walking: not often, not far, and not all at once.
const DISK_INTERVAL: Duration = Duration::from_secs(60);
const DISK_ENTRIES: usize = 50_000;
const DISK_SLICE: usize = 200;

/// A server has better things to do while it starts.
const FIRST: Duration = Duration::from_secs(1);

/// Samples for ever.
pub(super) async fn sample(newest: watch::Sender<Option<Metrics>>, places: watch::Receiver<Vec<PathBuf>>) {
    let mut before: Option<(Instant, u64)> = None;
    let mut disk = (Instant::now(), 0);
    let mut first = true;
    tokio::time::sleep(FIRST).await;
    loop {
        if first || disk.0.elapsed() >= DISK_INTERVAL || places.has_changed().unwrap_or(false) {
            let places = places.borrow().clone();
            disk = (Instant::now(), disk_use(places).await);
            first = false;
        }
        let used = processes();
        let now = Instant::now();
        let cpu_millis = before.map_or(0, |(then, ticks)| {
            let milliseconds = now.duration_since(then).as_millis().max(1);
            let ticks = u128::from(used.ticks.saturating_sub(ticks));
            u32::try_from(ticks * 1000 * 1000 / u128::from(ticks_per_second()) / milliseconds).unwrap_or(u32::MAX)
        });
        before = Some((now, used.ticks));
        newest.send_replace(Some(Metrics {
            at_ms: now_ms(),
            cpu_millis,
            memory_bytes: used.memory_bytes,
            memory_limit_bytes: None,
            disk_bytes: disk.1,
            uptime_ms: uptime_ms(),
            processes: used.count,
        }));
        tokio::time::sleep(INTERVAL).await;
    }
}

#[derive(Default)]
struct Use {
    count: u32,
    /// Of all processes, and of the ended ones they waited for.
    ticks: u64,
    memory_bytes: u64,
}

fn processes() -> Use {
    let mut total = Use::default();
    let page = rustix::param::page_size() as u64;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Some(fields) = stat(&entry.path()) else { continue };
        total.count += 1;
        total.ticks += fields.get(11..15).map_or(0, |times| times.iter().sum::<u64>());
        // Pages of its own; shared ones would count several times.
        let memory = std::fs::read_to_string(entry.path().join("statm")).unwrap_or_default();
        let mut pages = memory.split_whitespace().skip(1).map_while(|pages| pages.parse::<u64>().ok());
        if let (Some(resident), Some(shared)) = (pages.next(), pages.next()) {
            total.memory_bytes += resident.saturating_sub(shared) * page;
        }
    }
    total
}

/// Fields of `/proc/PID/stat` from the third on as numbers; the letter of the state counts as 0.
fn stat(process: &Path) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(process.join("stat")).ok()?;
    let rest = text.rsplit_once(") ")?.1;
    Some(rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

/// Since the server's first process began.
fn uptime_ms() -> u64 {
    let since_boot = std::fs::read_to_string("/proc/uptime").ok();
    let since_boot = since_boot.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0);
    let started = stat(Path::new("/proc/1")).and_then(|fields| fields.get(19).copied()).unwrap_or(0);
    let started = started as f64 / ticks_per_second() as f64;
    ((since_boot - started).max(0.0) * 1000.0) as u64
}

fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

/// Bytes in files below these places, each on its own filesystem only; a lower bound where there are very many files.
async fn disk_use(places: Vec<PathBuf>) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    let mut seen = 0;
    for place in places {
        let Ok(device) = place.metadata().map(|directory| directory.dev()) else { continue };
        let mut waiting = vec![place];
        while let Some(directory) = waiting.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                bytes += metadata.blocks() * 512;
                seen += 1;
                if metadata.is_dir() && metadata.dev() == device {
                    waiting.push(entry.path());
                }
                if seen >= DISK_ENTRIES {
                    return bytes;
                }
                if seen % DISK_SLICE == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
    bytes
}
