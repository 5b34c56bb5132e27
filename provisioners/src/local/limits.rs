//! Limits on memory, processor and processes, by the best means the machine offers: control groups where they may be used
//! (version 1 or 2), otherwise resource limits per process. The page says which ([`Limits::words`]).
//!
//! Whatever the template asks, a server has a bound on its processes: one that forks without end must not take the machine
//! along.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::disk;
use super::error::{Attempt, Result};
use super::moments::moment;
use crate::{EnvironmentId, ServerPlan};

/// Most processes and threads of one server.
pub const PROCESSES: u64 = 4096;

/// Period over which the processor limit holds, in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;

/// By which file a process joins. Version 1 can be told of a single thread, and who joins has only one: moving a whole
/// process makes the kernel wait for every processor first, 9 ms measured (`cgroup_procs_write_start` in
/// `kernel/cgroup/cgroup.c`).
const THREADS_V1: &str = "tasks";
const PROCESSES_V2: &str = "cgroup.procs";

/// What version 2 is asked for.
const CONTROLLERS: &str = "+memory +cpu +pids";

/// The group of the portal itself, in a group that it may use: systemd's `DelegateSubgroup=` makes it.
pub const PORTAL_GROUP: &str = "bookend-portal";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limits {
    /// Directories below which each server gets its groups, one per controller.
    GroupsV1 { memory: PathBuf, cpu: PathBuf, processes: PathBuf },
    /// The directory below which each server gets its group.
    GroupsV2(PathBuf),
    /// Nothing but what each process may do.
    PerProcess,
}

impl Limits {
    /// Finds the best means; `tag` names this installation among others on the machine.
    pub fn find(tag: &str) -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        find_v2(&mounts, &own, tag).or_else(|| find_v1(&mounts, tag)).unwrap_or(Self::PerProcess)
    }

    pub fn by_groups(&self) -> bool {
        !matches!(self, Self::PerProcess)
    }

    /// Which limits hold and by what means, for people.
    pub fn words(&self, plan: &ServerPlan) -> String {
        let memory = plan.memory_bytes.map(|bytes| format!("memory {} MiB", bytes >> 20));
        let cpu = plan.cpu_millis.map(|millis| format!("CPU {}.{:02}", millis / 1000, millis % 1000 / 10));
        let memory = memory.unwrap_or_else(|| "memory unlimited".to_owned());
        match self {
            Self::GroupsV1 { .. } | Self::GroupsV2(_) => {
                let version = if matches!(self, Self::GroupsV2(_)) { "v2" } else { "v1" };
                format!(
                    "{memory}, {}, by control groups ({version})",
                    cpu.unwrap_or_else(|| "CPU unlimited".to_owned())
                )
            }
            Self::PerProcess if plan.memory_bytes.is_some() => {
                format!("{memory} for each process, by rlimit; CPU unlimited: no control groups here")
            }
            Self::PerProcess => format!("{memory}, CPU unlimited: no control groups here"),
        }
    }

    /// Makes a server's groups and opens the files by which its first process joins them.
    pub fn prepare(&self, environment: &EnvironmentId, plan: &ServerPlan) -> Result<Vec<OwnedFd>> {
        let name = group_name(environment, plan.id.as_str(), plan.generation);
        let mut joined = Vec::new();
        match self {
            Self::PerProcess => {}
            Self::GroupsV1 { memory, cpu, processes } => {
                let directory = make_group(memory, &name)?;
                if let Some(bytes) = plan.memory_bytes {
                    write(&directory, "memory.limit_in_bytes", &bytes.to_string())?;
                }
                joined.push(open_group(&directory, THREADS_V1)?);
                let directory = make_group(cpu, &name)?;
                if let Some(millis) = plan.cpu_millis {
                    write(&directory, "cpu.cfs_quota_us", &quota(millis).to_string())?;
                }
                joined.push(open_group(&directory, THREADS_V1)?);
                let directory = make_group(processes, &name)?;
                write(&directory, "pids.max", &PROCESSES.to_string())?;
                joined.push(open_group(&directory, THREADS_V1)?);
            }
            Self::GroupsV2(base) => {
                if !base.is_dir() {
                    disk::make_directory(base)?;
                    write(base, "cgroup.subtree_control", CONTROLLERS)?;
                }
                let directory = make_group(base, &name)?;
                if let Some(bytes) = plan.memory_bytes {
                    write(&directory, "memory.max", &bytes.to_string())?;
                }
                if let Some(millis) = plan.cpu_millis {
                    write(&directory, "cpu.max", &format!("{} {PERIOD}", quota(millis)))?;
                }
                write(&directory, "pids.max", &PROCESSES.to_string())?;
                joined.push(open_group(&directory, PROCESSES_V2)?);
            }
        }
        Ok(joined)
    }

    /// Removes a server's groups; its processes are gone.
    pub fn remove(&self, environment: &EnvironmentId, server: &str, generation: i64) -> Result<()> {
        for base in self.bases() {
            disk::remove_group(&base.join(group_name(environment, server, generation)))?;
        }
        Ok(())
    }

    /// Removes every group of an environment; its processes are gone.
    pub fn remove_all(&self, environment: &EnvironmentId) -> Result<()> {
        let prefix = format!("{environment}.");
        for base in self.bases() {
            for name in disk::names(base)?.iter().filter(|name| name.starts_with(&prefix)) {
                disk::remove_group(&base.join(name))?;
            }
            // The last environment's: made again by the next server. Still in use when this fails.
            let _ = std::fs::remove_dir(base);
        }
        Ok(())
    }

    /// How often the kernel ended a process of the server because its memory ran out.
    pub fn out_of_memory(&self, environment: &EnvironmentId, server: &str, generation: i64) -> bool {
        let name = group_name(environment, server, generation);
        let (file, base) = match self {
            Self::PerProcess => return false,
            Self::GroupsV1 { memory, .. } => ("memory.oom_control", memory),
            Self::GroupsV2(base) => ("memory.events", base),
        };
        let text = std::fs::read_to_string(base.join(name).join(file)).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.is_some_and(|count| count.trim() != "0")
    }

    fn bases(&self) -> Vec<&Path> {
        match self {
            Self::PerProcess => Vec::new(),
            Self::GroupsV1 { memory, cpu, processes } => vec![memory, cpu, processes],
            Self::GroupsV2(base) => vec![base],
        }
    }
}

fn group_name(environment: &EnvironmentId, server: &str, generation: i64) -> String {
    format!("{environment}.{server}.{generation}")
}

/// Microseconds of processor time per period; the kernel takes no less than a millisecond.
fn quota(millis: u32) -> u64 {
    (u64::from(millis) * PERIOD / 1000).max(1000)
}

fn make_group(base: &Path, name: &str) -> Result<PathBuf> {
    let directory = base.join(name);
    disk::make_directory(&directory)?;
    Ok(directory)
}

fn write(group: &Path, file: &str, value: &str) -> Result<()> {
    let path = group.join(file);
    let written = moment().and_then(|()| std::fs::write(&path, value));
    written.attempting(|| format!("write {value} to {}", path.display()))
}

fn open_group(group: &Path, members: &str) -> Result<OwnedFd> {
    let path = group.join(members);
    let file: File = OpenOptions::new().write(true).open(&path).attempting(|| format!("open {}", path.display()))?;
    Ok(file.into())
}

/// Mount points of this filesystem type, with the mount's super options.
fn mounts_of<'a>(mounts: &'a str, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    mounts.lines().filter_map(move |line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let found = after.next()? == kind;
        found.then_some((before.split(' ').nth(4)?, after.nth(1)?))
    })
}

fn find_v1(mounts: &str, tag: &str) -> Option<Limits> {
    let controller = |name: &str| {
        let has = |(_, options): &(&str, &str)| options.split(',').any(|option| option == name);
        let (point, _) = mounts_of(mounts, "cgroup").find(has)?;
        let base = Path::new(point).join(format!("bookend-{tag}"));
        may_make(&base).then_some(base)
    };
    Some(Limits::GroupsV1 { memory: controller("memory")?, cpu: controller("cpu")?, processes: controller("pids")? })
}

fn find_v2(mounts: &str, own: &str, tag: &str) -> Option<Limits> {
    let (root, _) = mounts_of(mounts, "cgroup2").next()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    usable(Path::new(root), own).into_iter().find_map(|parent| use_v2(parent, tag)).map(Limits::GroupsV2)
}

/// Groups to try, `own` below `root` being the portal's. Version 2 wants processes in leaves only (cgroup-v2.rst, "No
/// Internal Process Constraint"): a supervisor that starts the portal in a group which controls others is refused, and
/// servers that run on keep it so. So never the group the portal is started in, but the one around [`PORTAL_GROUP`], and the
/// root, where root may.
fn usable(root: &Path, own: &str) -> Vec<PathBuf> {
    let own = root.join(own);
    let around = own.parent().filter(|_| own.ends_with(PORTAL_GROUP)).map(Path::to_owned);
    around.into_iter().chain([root.to_owned()]).collect()
}

fn use_v2(parent: PathBuf, tag: &str) -> Option<PathBuf> {
    let controllers = std::fs::read_to_string(parent.join("cgroup.controllers")).ok()?;
    let wanted = ["memory", "cpu", "pids"];
    if !wanted.iter().all(|wanted| controllers.split_whitespace().any(|controller| controller == *wanted)) {
        return None;
    }
    let base = parent.join(format!("bookend-{tag}"));
    if !may_make(&base) {
        return None;
    }
    let enable = || std::fs::write(parent.join("cgroup.subtree_control"), CONTROLLERS);
    if enable().is_err() {
        // In a container the root has processes, perhaps none but the portal.
        let leaf = parent.join(PORTAL_GROUP);
        let moved = std::fs::create_dir_all(&leaf).and_then(|()| std::fs::write(leaf.join("cgroup.procs"), "0"));
        moved.and_then(|()| enable()).ok()?;
    }
    Some(base)
}

/// Whether this group exists or could; it is not left behind.
fn may_make(group: &Path) -> bool {
    group.is_dir() || std::fs::create_dir(group).and_then(|()| std::fs::remove_dir(group)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mounts_of_a_hybrid_machine_are_told_apart() {
        let mounts = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mounts_of(mounts, "cgroup").collect::<Vec<_>>(), [("/sys/fs/cgroup/memory", "rw,memory")]);
        assert_eq!(mounts_of(mounts, "cgroup2").collect::<Vec<_>>(), [("/sys/fs/cgroup/unified", "rw")]);
    }

    #[test]
    fn a_group_is_left_alone_when_the_portal_is_started_in_it() {
        let usable = |own| usable(Path::new("/cg"), own);
        assert_eq!(usable("system.slice/bookend.service"), [Path::new("/cg")]);
        let delegated = Path::new("/cg/system.slice/bookend.service");
        assert_eq!(usable("system.slice/bookend.service/bookend-portal"), [delegated, Path::new("/cg")]);
        assert_eq!(usable(""), [Path::new("/cg")]);
    }

    #[test]
    fn a_processor_limit_is_never_below_what_the_kernel_takes() {
        assert_eq!(quota(1500), 150_000);
        assert_eq!(quota(1), 1000);
    }
}
