//! What a portal left on the machine: processes and mounts that have to do with its folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Portal;

/// A process that works for, or on, the portal's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub id: u32,
    pub command: String,
}

/// Everything that runs for the portal's environments: holders, sandboxes, agents, and what they started.
pub fn of_servers(portal: &Portal) -> Vec<Process> {
    let mut found = processes(portal.scratch());
    found.retain(|process| Some(process.id) != portal.process_id());
    found
}

/// How many servers these are: each has one agent, which is the first process of its own namespace.
pub fn servers(processes: &[Process]) -> usize {
    let is_first = |process: &&Process| {
        let status = fs::read_to_string(format!("/proc/{}/status", process.id)).unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        process.command.contains("bookend-agent") && ids.split_whitespace().nth(2) == Some("1")
    };
    processes.iter().filter(is_first).count()
}

/// Processes that name a path below `home` in their command line, or see one among their mounts, or work in one.
pub fn processes(home: &Path) -> Vec<Process> {
    let Some(home) = home.to_str() else { return Vec::new() };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&id: &u32| id != std::process::id())
        .filter_map(|id| {
            let of = |name: &str| fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
            let command = String::from_utf8_lossy(&of("cmdline")).replace('\0', " ");
            let place = fs::read_link(format!("/proc/{id}/cwd")).unwrap_or_default();
            let concerned = command.contains(home)
                || place.starts_with(home)
                || String::from_utf8_lossy(&of("mountinfo")).contains(home);
            concerned.then_some(Process { id, command })
        })
        .collect()
}

/// Mounts of this process' own namespace below `home`.
pub fn mounts(home: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let place = |line: &str| line.split(' ').nth(4).map(str::to_owned);
    table.lines().filter_map(place).filter(|place| Path::new(place).starts_with(home)).collect()
}

/// Ends and undoes all that is below `home`, so that the folder can be removed. For the end of a story; a story that says
/// nothing is left behind asks [`processes`] and [`mounts`] before.
pub fn sweep(home: &Path) {
    // What is being ended may be starting something: look again until nothing is found.
    for _ in 0..50 {
        let found = processes(home);
        if found.is_empty() {
            break;
        }
        for process in found {
            if let Some(id) = rustix::process::Pid::from_raw(process.id.cast_signed()) {
                let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for mount in mounts(home).iter().rev() {
        let _ = Command::new("umount").args(["--lazy", "--", mount]).status();
    }
}
