//! Everything that runs on the server, made to stand still and to go on.
//!
//! Stopped are all processes this one shares a process namespace with, when it was started as the first or second of it, as
//! sandboxes do; elsewhere (on a machine of its own, in a test) what descends from this process. Parents are stopped before
//! their children and continued after them, so that a shell never sees a job of its own stopped.
//!
//! Whoever waits in the kernel for a child made by vfork (as shells and Python make theirs) cannot be stopped before that child
//! has become another program. So its children go on for a moment, until they have.
//!
//! Guaranteed: when [`stop_all`] returns, every thread was seen standing still twice in a row, with nothing new between. What
//! its own user had stopped before stays stopped: it is not among what [`go_on`] continues.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// Between two looks at processes that have been told to stop: they stop when they are next scheduled.
const LOOK: Duration = Duration::from_micros(500);
/// Children that somebody waits for in the kernel go on for so long at most, then all is looked at again.
const LONGEST_MOMENT: Duration = Duration::from_millis(50);

/// A process that was stopped here, told from a later one with its number by when it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stopped {
    id: i32,
    began: u64,
    depth: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    parent: i32,
    began: u64,
    /// Nothing of it can run: stopped, or over and waiting for its parent.
    still: bool,
    /// Something of it waits in the kernel and takes no signal meanwhile.
    waits: bool,
    over: bool,
}

/// Stops everything.
///
/// # Errors
/// What still ran when `patience` was over, in words; everything that was stopped goes on then.
pub(super) async fn stop_all(patience: Duration) -> Result<Vec<Stopped>, String> {
    let deadline = Instant::now() + patience;
    let mut stopped: BTreeMap<i32, Stopped> = BTreeMap::new();
    let mut still = BTreeSet::new();
    let mut moment = LOOK;
    loop {
        let present = present();
        let mut running: Vec<(usize, i32, u64)> = Vec::new();
        for (id, seen) in &present {
            if !seen.still {
                running.push((depth(*id, &present), *id, seen.began));
            }
        }
        running.sort_unstable();
        let told = |id: &i32| stopped.contains_key(id);
        let held_up: BTreeSet<i32> =
            running.iter().map(|(_, id, _)| *id).filter(|id| told(id) && present[id].waits).collect();
        let awaited = present.iter().filter(|(id, seen)| seen.still && told(id) && held_up.contains(&seen.parent));
        let awaited: Vec<i32> = awaited.map(|(id, _)| *id).collect();
        for (depth, id, began) in &running {
            if let Some(pid) = Pid::from_raw(*id)
                && kill_process(pid, Signal::STOP).is_ok()
            {
                stopped.insert(*id, Stopped { id: *id, began: *began, depth: *depth });
            }
        }
        let now: BTreeSet<i32> = present.keys().copied().collect();
        if running.is_empty() && now == still {
            return Ok(stopped.into_values().collect());
        }
        still = if running.is_empty() { now } else { BTreeSet::new() };
        if Instant::now() >= deadline {
            go_on(&stopped.into_values().collect::<Vec<_>>());
            let names: Vec<String> = running.iter().take(3).map(|(_, id, _)| name(*id)).collect();
            let seconds = patience.as_secs_f32();
            return Err(format!("{} did not stand still within {seconds:.1} s", names.join(", ")));
        }
        for pid in awaited.iter().filter_map(|id| Pid::from_raw(*id)) {
            kill_process(pid, Signal::CONT).ok();
        }
        if !awaited.is_empty() {
            sleep(moment).await;
            moment = (moment * 2).min(LONGEST_MOMENT);
        } else if !running.is_empty() {
            sleep(LOOK).await;
        }
    }
}

/// Lets what was stopped go on.
pub(super) fn go_on(stopped: &[Stopped]) {
    let mut stopped: Vec<&Stopped> = stopped.iter().collect();
    stopped.sort_by_key(|process| std::cmp::Reverse(process.depth));
    for process in stopped {
        let same = stat(process.id).is_some_and(|stat| stat.began == process.began);
        if let Some(pid) = Pid::from_raw(process.id).filter(|_| same) {
            // It ended: then it is no longer stopped.
            kill_process(pid, Signal::CONT).ok();
        }
    }
}

/// All that should stand still, by process id.
fn present() -> HashMap<i32, Seen> {
    let own = std::process::id().cast_signed();
    let mut all: HashMap<i32, Seen> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Some(stat) = stat(id)
        {
            let Threads { still, waits, over } = threads(id);
            all.insert(id, Seen { parent: stat.parent, began: stat.began, still, waits, over });
        }
    }
    let alone = own <= 2;
    // The first process of a namespace cannot be stopped from inside, and only waits.
    let all_of_namespace = |id: i32| alone && id != 1;
    let chosen: BTreeSet<i32> = all
        .keys()
        .copied()
        .filter(|id| *id != own && (all_of_namespace(*id) || descends(*id, own, &all)))
        .filter(|id| !all[id].over)
        .collect();
    all.retain(|id, _| chosen.contains(id));
    all
}

fn descends(id: i32, from: i32, all: &HashMap<i32, Seen>) -> bool {
    let mut at = id;
    for _ in 0..all.len() {
        match all.get(&at) {
            Some(seen) if seen.parent == from => return true,
            Some(seen) => at = seen.parent,
            None => return false,
        }
    }
    false
}

fn depth(id: i32, all: &HashMap<i32, Seen>) -> usize {
    let mut at = id;
    let mut depth = 0;
    while let Some(seen) = all.get(&at).filter(|_| depth < all.len()) {
        depth += 1;
        at = seen.parent;
    }
    depth
}

struct Stat {
    parent: i32,
    began: u64,
}

fn stat(id: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, began: fields.get(19)?.parse().ok()? })
}

struct Threads {
    still: bool,
    waits: bool,
    over: bool,
}

/// Whether all threads stand still, whether one waits in the kernel, and whether all are over. A process whose first thread
/// has ended may go on in others.
fn threads(id: i32) -> Threads {
    let (mut still, mut waits, mut over) = (true, false, true);
    for entry in std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        let ended = matches!(state, Some('Z' | 'X'));
        over &= ended;
        waits |= state == Some('D');
        still &= ended || matches!(state, Some('T' | 't'));
    }
    Threads { still, waits, over }
}

fn name(id: i32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    format!("`{}` (process {id})", name.trim())
}
