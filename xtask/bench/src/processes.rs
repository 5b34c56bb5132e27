//! Processes of the portal's servers: what they take in memory, and their end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::portal::Portal;

pub struct Memory {
    /// Of all servers' processes together, in bytes; a page that several share counts in shares.
    pub servers: u64,
    pub processes: usize,
    /// The portal's largest resident size so far, in bytes.
    pub portal_peak: u64,
}

/// What is taken now.
pub fn memory(portal: &Portal) -> Memory {
    let servers: Vec<u32> = concerned_with(&portal.home()).into_iter().filter(|&id| id != portal.id()).collect();
    Memory {
        servers: servers.iter().map(|id| kibibytes(&format!("/proc/{id}/smaps_rollup"), "Pss:")).sum::<u64>() * 1024,
        processes: servers.len(),
        portal_peak: kibibytes(&format!("/proc/{}/status", portal.id()), "VmHWM:") * 1024,
    }
}

/// Ends whatever still has to do with `home`.
pub fn sweep(home: &Path) {
    for _ in 0..50 {
        let found = concerned_with(home);
        for id in &found {
            if let Some(id) = rustix::process::Pid::from_raw(id.cast_signed()) {
                let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
        }
        if found.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes that name a path below `home` in their command line or see one among their mounts.
fn concerned_with(home: &Path) -> Vec<u32> {
    let home = home.to_string_lossy();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let names = |id: u32, file: &str| {
        let content = fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&content).contains(home.as_ref())
    };
    ids.filter(|&id| id != std::process::id() && (names(id, "cmdline") || names(id, "mountinfo"))).collect()
}

fn kibibytes(file: &str, label: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
