//! How far what is under way has come, counted in steps that were really taken, and how long the like took before.
//!
//! Deliberately absent: guessing. Nothing moves because time passes.

use app::api::State;

use super::facts::{Desired, Facts, Server, Snapshot};
use super::state::View;

/// Starting, setting up, checking, ready: what each server goes through.
const STEPS_OF_SERVER: u32 = 4;

/// Steps taken towards what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: u32,
    pub total: u32,
    /// When it was asked for.
    pub since: i64,
    /// When the present state began, where that is known.
    pub state_since: Option<i64>,
}

/// `None` when nothing is under way, or what is under way is a repair: nobody asked for that.
pub fn progress(facts: &Facts, view: &View) -> Option<Progress> {
    let (intent, observed) = (&facts.intent, &facts.observed);
    let repaired = view.state == State::Repairing && intent.ready_at.is_some_and(|at| at >= intent.desired_at);
    if view.state.is_settled() || repaired {
        return None;
    }
    let count = |gone: usize| u32::try_from(gone).unwrap_or(u32::MAX);
    let (servers, volumes) = (count(observed.servers.len()), count(observed.volumes.len()));
    let servers_gone = count(observed.servers.iter().filter(|server| server.is_gone()).count());
    let network_gone = u32::from(observed.network.is_gone());
    let asleep = count(observed.servers.iter().filter(|server| server.is_asleep()).count());
    let (done, total) = match intent.desired {
        Desired::Running => {
            let stands = u32::from(!observed.network.is_gone());
            (stands + view.servers.iter().map(|server| taken(server.state)).sum::<u32>(), 1 + servers * STEPS_OF_SERVER)
        }
        Desired::Parked => {
            let down = servers_gone + asleep;
            // What stands by keeps its network.
            let network = u32::from(down == servers && (asleep > 0 || network_gone == 1));
            let kept = network == 1 && !observed.snapshots.iter().any(Snapshot::is_wanted);
            (down + network + u32::from(kept), servers + 2)
        }
        Desired::Deleted => {
            let removed = observed.volumes.iter().filter(|volume| volume.delete_requested && volume.is_gone());
            (servers_gone + network_gone + count(removed.count()), servers + volumes + 1)
        }
    };
    Some(Progress { done: done.min(total), total, since: intent.desired_at, state_since: state_since(facts, view) })
}

/// Steps behind a server in this state.
fn taken(state: State) -> u32 {
    match state {
        State::Starting => 1,
        State::SettingUp => 2,
        State::Checking => 3,
        State::Ready => STEPS_OF_SERVER,
        _ => 0,
    }
}

/// Of an environment: since the first of the servers that hold it in its state got there.
fn state_since(facts: &Facts, view: &View) -> Option<i64> {
    let observed = &facts.observed;
    match view.state {
        State::Ordered | State::Parking | State::Deleting => Some(facts.intent.desired_at),
        State::Preparing => observed.network.create.latest.as_ref().map(|effect| effect.recorded_at),
        state => {
            let servers = observed.servers.iter().zip(&view.servers).filter(|(_, view)| view.state == state);
            servers.filter_map(|(server, _)| server_since(server, state)).min()
        }
    }
}

/// When this server came into this state, where that is known.
pub fn server_since(server: &Server, state: State) -> Option<i64> {
    match state {
        State::Starting => server.start.latest.as_ref().map(|effect| effect.recorded_at),
        State::SettingUp | State::Checking => server.phase_at,
        State::Parking | State::Deleting => {
            server.stop(server.generation).latest.as_ref().map(|effect| effect.recorded_at)
        }
        _ => None,
    }
}

/// Kinds of timeline events that say that something else is wanted from now on, and those that say that it has come.
pub const TURNS: [&str; 10] = [
    "ordered",
    "resuming",
    "restarting",
    "parking",
    "deleting",
    "retrying",
    "cancelling",
    "forcing",
    "ready",
    "parked",
];

/// What half, and what 95 of 100, of this environment's own past undertakings of the present kind did not exceed,
/// milliseconds. `turns` are its events of [`TURNS`], the newest first. `None` when fewer than two tell of it.
pub fn usual(turns: &[(String, i64)]) -> Option<(i64, i64)> {
    let (present, before) = turns.split_first()?;
    let end = match present.0.as_str() {
        "resuming" | "restarting" => "ready",
        "parking" => "parked",
        _ => return None,
    };
    let took = took(before.iter().rev(), &present.0, end);
    if took.len() < 2 { None } else { Some((rank(&took, 50)?, rank(&took, 95)?)) }
}

/// What half of the resumes of these environments did not exceed, milliseconds. Of each its events of [`TURNS`], the oldest
/// first. `None` when there are none.
pub fn usual_resume(environments: &[Vec<(String, i64)>]) -> Option<i64> {
    half_within(environments.iter().flat_map(|turns| took(turns.iter(), "resuming", "ready")).collect())
}

/// What half of these did not exceed; `None` when there are none.
pub fn half_within(mut all: Vec<i64>) -> Option<i64> {
    all.sort_unstable();
    rank(&all, 50)
}

/// How long each undertaking of a kind took that came to its end, the shortest first.
fn took<'a>(oldest_first: impl Iterator<Item = &'a (String, i64)>, kind: &str, end: &str) -> Vec<i64> {
    let is_end = |kind: &str| kind == "ready" || kind == "parked";
    let mut took = Vec::new();
    let mut begun = None;
    for (next, at) in oldest_first {
        if next == end {
            took.extend(begun.take().map(|begun: i64| (at - begun).max(0)));
        } else if !is_end(next) {
            begun = (next == kind).then_some(*at);
        }
    }
    took.sort_unstable();
    took
}

/// By nearest rank, of what is sorted.
fn rank(sorted: &[i64], percent: usize) -> Option<i64> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(newest_first: &[(&str, i64)]) -> Vec<(String, i64)> {
        newest_first.iter().map(|(kind, at)| ((*kind).to_owned(), *at)).collect()
    }

    #[test]
    fn what_is_usual_is_told_by_the_same_undertakings_of_before() {
        let past = [
            ("resuming", 900),
            ("parked", 860),
            ("parking", 850),
            ("ready", 830),
            ("resuming", 800),
            ("ready", 620),
            // A restart is no resume, and what was cancelled tells nothing.
            ("restarting", 600),
            ("cancelling", 560),
            ("resuming", 550),
            ("ready", 510),
            ("resuming", 500),
            ("parked", 400),
            ("parking", 350),
            ("ready", 100),
            ("ordered", 0),
        ];
        assert_eq!(usual(&told(&past)), Some((10, 30)), "10 and 30 ms");
        assert_eq!(usual(&told(&past[2..])), None, "it was parked only once before");
        assert_eq!(usual(&told(&[("deleting", 1), ("ready", 0)])), None);
        assert_eq!(usual(&[]), None);
        let of = |newest_first: &[(&str, i64)]| told(newest_first).into_iter().rev().collect::<Vec<_>>();
        let other = of(&[("ready", 90), ("resuming", 20), ("parked", 10)]);
        assert_eq!(usual_resume(&[of(&past), other.clone(), of(&past[..4])]), Some(30), "10, 30 and 70 ms");
        assert_eq!(usual_resume(&[of(&[("parked", 1)]), other[..2].to_vec()]), None);
    }
}
