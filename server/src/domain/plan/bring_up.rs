//! Bringing an environment up and keeping it up: network and volumes, then servers in the order of their needs; what died is
//! replaced by a new generation, with backoff, until that has failed too often.

use agent::api::{Phase, Status};
use provisioners::{Host, MachineState, ObservedServer, RestoreState, ServerPlan, Step, VolumeMount};

use super::ask::{Progress, Wish};
use super::{
    BOOT_MS, CONNECT_MS, Draft, LOOK_AGAIN_MS, LOST_MS, MAX_REPAIRS, OVERDUE_MS, RECONNECT_MS, Renewal, STABLE_MS,
};
use super::{keep, stand_by, take_down};
use crate::domain::facts::{AgentLink, Asked, Failure, Network, Observed, Outcome, Server, Turns, Volume};
use crate::domain::note::Note;
use crate::domain::topology::{MountSpec, ParkMode, ServerSpec, Topology};

pub(super) fn bring_up(draft: &mut Draft, topology: &Topology, observed: &Observed) {
    let mut observed = observed.clone();
    let network_lost = is_lost(&observed.network);
    let mut failed = Vec::new();
    for (server, spec) in observed.servers.iter_mut().zip(&topology.servers) {
        match judge(server, spec, network_lost, observed.listening_since, draft) {
            Verdict::Fine => {}
            Verdict::Renew(renewal) => {
                server.renew(&renewal);
                draft.work.renewals.push(renewal);
            }
            Verdict::Fail(failure) => {
                failed.push(server.name.clone());
                draft.fail(failure);
            }
        }
    }
    let observed = &observed;

    let superseded = |server: &&Server| {
        !failed.contains(&server.name)
            && (server.machines.iter().any(|machine| machine.generation != server.generation)
                || (server.started < server.generation && server.started > server.stopped))
    };
    let doomed: Vec<&Server> = observed.servers.iter().filter(superseded).collect();
    take_down::stop(draft, topology, doomed.iter().map(|server| (*server, server.generation - 1)).collect());

    let network = network(draft, observed, network_lost);
    let volumes: Vec<(&str, Progress)> =
        observed.current_volumes().map(|volume| volume_progress(draft, observed, volume)).collect();
    for (server, spec) in observed.servers.iter().zip(&topology.servers) {
        if failed.contains(&server.name) || doomed.iter().any(|other| other.id == server.id) {
            continue;
        }
        if let Some(machine) = server.machine().filter(|_| !server.is_to_be_woken()) {
            follow(draft, server, machine);
            continue;
        }
        let unmet: Vec<&str> = spec
            .needs
            .iter()
            .filter(|need| !observed.servers.iter().any(|other| other.name == **need && other.is_healthy()))
            .map(String::as_str)
            .collect();
        if !unmet.is_empty() {
            draft.wait(Some(&server.name), format!("{} to be healthy", unmet.join(" and ")), draft.now + LOOK_AGAIN_MS);
            continue;
        }
        if server.is_to_be_woken() {
            stand_by::wake(draft, server);
            continue;
        }
        if server.retry_at > draft.now {
            draft.wait(Some(&server.name), format!("the next start of {}", server.name), server.retry_at);
            continue;
        }
        let mounted = volumes.iter().filter(|(name, _)| spec.mounts.iter().any(|mount| mount.volume == *name));
        let foundations: Vec<Progress> =
            std::iter::once(network).chain(mounted.map(|(_, progress)| *progress)).collect();
        if foundations.contains(&Progress::NotYet) {
            draft.wait(Some(&server.name), "its network and volumes", draft.now + LOOK_AGAIN_MS);
            continue;
        }
        let after = foundations
            .iter()
            .filter_map(|progress| match progress {
                Progress::Requested(at) => Some(*at),
                _ => None,
            })
            .collect();
        start(draft, server, spec, topology, observed, after);
    }
}

/// What to do about a server that was asked to start.
enum Verdict {
    Fine,
    Renew(Renewal),
    Fail(Failure),
}

fn judge(server: &Server, spec: &ServerSpec, network_lost: bool, listening_since: i64, draft: &Draft) -> Verdict {
    let now = draft.now;
    if server.started < server.generation {
        return Verdict::Fine;
    }
    if server.stop(server.generation).latest.is_some() {
        // It was taken down to park, or is going down still; what is wanted now is a new one.
        return Verdict::Renew(renewal(server, server.attempts, now, None));
    }
    let Some(start) = &server.start.latest else { return Verdict::Fine };
    let asked_at = start.finished_at.unwrap_or(start.recorded_at);
    if start.outcome == Outcome::Rejected {
        return match asked_at < draft.desired_at {
            true => Verdict::Renew(renewal(server, server.attempts, now, None)),
            false => Verdict::Fail(rejected(server, start.message.as_deref())),
        };
    }
    if network_lost {
        return lost(server, "lost its private network", now);
    }
    if server.is_to_be_woken() {
        return Verdict::Fine;
    }
    let waiting_since = asked_at.max(listening_since).max(server.turns.woken_at);
    let machine = server.machine();
    let (booting_since, patience) = match machine.and_then(|machine| machine.running_since) {
        Some(since) => (since, BOOT_MS),
        None => (0, CONNECT_MS),
    };
    // Nobody knows how long it takes to catch up with others' copies; what comes after that is counted from then. Nor is it its own
    // time in which it waited for its turn at its cloud.
    let shares = spec.mounts.iter().any(|mount| mount.copy_of.is_some());
    let working_since = waiting_since.max(booting_since).max(server.phase_at.filter(|_| shares).unwrap_or(0));
    match machine.map(|machine| &machine.state) {
        None if server.seen => lost(server, "disappeared", now),
        Some(MachineState::Dead { reason }) => lost(server, &format!("died: {reason}"), now),
        Some(MachineState::Failed { reason }) => lost(server, &format!("could not be started: {reason}"), now),
        Some(MachineState::Running) => match (&server.link, &server.status) {
            (AgentLink::Never, _) if now >= waiting_since.max(booting_since) + patience => {
                lost(server, &format!("runs, but its agent did not connect within {} seconds", patience / 1000), now)
            }
            (AgentLink::LostSince(since), _) if now >= out_of_touch_until(server, (*since).max(listening_since)) => {
                lost(server, &format!("has been out of touch for {} seconds", (now - since) / 1000), now)
            }
            (_, Some(status)) if spec.spot && status.ends_at.is_some() => {
                Verdict::Renew(taken_back(server, status, now))
            }
            (_, Some(status)) if status.phase == Phase::Failed => Verdict::Fail(reported(server, status)),
            (AgentLink::Connected, Some(status))
                if matches!(status.phase, Phase::Idle | Phase::SettingUp | Phase::StartingUp | Phase::Checking)
                    && now >= working_since + allowance(spec) =>
            {
                Verdict::Fail(overdue(server, spec))
            }
            _ => Verdict::Fine,
        },
        _ => Verdict::Fine,
    }
}

/// When an agent that is out of touch is given up. One that was woken has to boot first.
fn out_of_touch_until(server: &Server, since: i64) -> i64 {
    let runs_since = server.machine().and_then(|machine| machine.running_since).unwrap_or(0);
    match server.turns.woken_at {
        0 => since + LOST_MS,
        woken_at => (since + LOST_MS).max(woken_at.max(runs_since) + BOOT_MS),
    }
}

fn renewal(server: &Server, attempts: i64, retry_at: i64, note: Option<Note>) -> Renewal {
    Renewal { server: server.id.clone(), generation: server.generation + 1, attempts, retry_at, note }
}

fn lost(server: &Server, how: &str, now: i64) -> Verdict {
    let name = &server.name;
    let stable = server.healthy_at.is_some_and(|since| now - since >= STABLE_MS);
    let attempts = if stable { 1 } else { server.attempts + 1 };
    if attempts > MAX_REPAIRS {
        return Verdict::Fail(Failure {
            server: Some(name.clone()),
            step: format!("keeping {name} up"),
            cause: format!("{name} {how}; so did the {MAX_REPAIRS} before it"),
            lines: Vec::new(),
            remedy: remedy(server),
        });
    }
    let pause = match attempts {
        ..=1 => 0,
        2 => 2_000,
        3 => 8_000,
        _ => 20_000,
    };
    let again = if pause == 0 { String::new() } else { format!(" in {} seconds", pause / 1000) };
    let note = Note::about("drift", name, format!("{name} {how}. It is replaced{again}"));
    Verdict::Renew(renewal(server, attempts, now + pause, Some(note)))
}

/// Where machines boot by themselves, whose agent never called has no log to read: mostly it finds no way to its portal.
fn remedy(server: &Server) -> String {
    let boots = server.machine().is_some_and(|machine| machine.running_since.is_some());
    match server.link {
        AgentLink::Never if boots => {
            "See that it reaches this portal: that its subnet has a way out, that `portal_url` is where servers find the portal, and that \
             they know its certificate (`bookend doctor ec2` looks). Then choose Retry."
                .to_owned()
        }
        _ => format!("Read the log of {} for why it ends, then choose Retry.", server.name),
    }
}

/// No failure of its own, so it counts for none: what follows has all of its tries.
fn taken_back(server: &Server, status: &Status, now: i64) -> Renewal {
    let when = status.ends_at.as_deref().and_then(|at| at.get(11..16));
    let when = when.map(|when| format!(" at {when} UTC")).unwrap_or_default();
    let text = format!("{} is taken back by its cloud{when}. It is replaced now", server.name);
    renewal(server, server.attempts, now, Some(Note::about("drift", &server.name, text)))
}

fn rejected(server: &Server, message: Option<&str>) -> Failure {
    Failure {
        server: Some(server.name.clone()),
        step: format!("starting {}", server.name),
        cause: message.unwrap_or("it was refused without a reason").to_owned(),
        lines: Vec::new(),
        remedy: "Put right what the cause names, then choose Retry.".to_owned(),
    }
}

fn reported(server: &Server, status: &Status) -> Failure {
    let failure = status.failure.clone().unwrap_or(agent::api::Failure {
        step: "agent".to_owned(),
        cause: "the agent reported a failure without its cause".to_owned(),
        lines: Vec::new(),
        remedy: String::new(),
    });
    let remedy = match failure.remedy.is_empty() {
        true => "Read its log, then choose Retry.".to_owned(),
        false => failure.remedy,
    };
    let server = Some(server.name.clone());
    Failure { server, step: failure.step, cause: failure.cause, lines: failure.lines, remedy }
}

/// How long the template lets this server take, in all, until it is healthy.
fn allowance(spec: &ServerSpec) -> i64 {
    let scripts: u64 = [&spec.setup, &spec.startup].into_iter().flatten().map(|script| script.timeout_ms).sum();
    let checks = spec.checks.iter().map(|check| check.start_timeout_ms).max().unwrap_or(0);
    i64::try_from(scripts + checks).unwrap_or(i64::MAX / 2) + OVERDUE_MS
}

fn overdue(server: &Server, spec: &ServerSpec) -> Failure {
    Failure {
        server: Some(server.name.clone()),
        step: format!("setting up {}", server.name),
        cause: format!("it was not healthy after {} seconds", allowance(spec) / 1000),
        lines: Vec::new(),
        remedy: "Read its log for where it hangs, then choose Retry.".to_owned(),
    }
}

/// It was there, nobody asked for it to go, and it is not there.
fn is_lost(network: &Network) -> bool {
    !network.present && network.seen && network.created > network.deleted
}

fn network(draft: &mut Draft, observed: &Observed, lost: bool) -> Progress {
    let network = &observed.network;
    let going = network.present && network.created > 0 && network.created <= network.deleted;
    if lost || going {
        // What is left of the old one goes before a new one comes, and after the servers that were in it.
        if observed.servers.iter().all(Server::is_gone) {
            take_down::delete_network(draft, observed);
        }
        draft.wait(None, "the old private network to be removed", draft.now + LOOK_AGAIN_MS);
        return Progress::NotYet;
    }
    if network.present {
        return Progress::Accepted;
    }
    draft.pursue(Wish {
        step: Step::CreateNetwork,
        generation: network.generation(),
        asked: &network.create,
        what: "the private network".to_owned(),
        under_way: false,
        server: None,
        after: Vec::new(),
        gently: None,
        freeze: Vec::new(),
        note: None,
    })
}

fn volume_progress<'a>(draft: &mut Draft, observed: &Observed, volume: &'a Volume) -> (&'a str, Progress) {
    if volume.put_away_in().is_some() {
        return (&volume.name, keep::bring_back(draft, observed, volume));
    }
    if volume.present {
        return (&volume.name, Progress::Accepted);
    }
    if volume.seen {
        draft.fail(Failure {
            server: None,
            step: format!("volume {}", volume.name),
            cause: "its data is gone from where it was kept; Bookend did not remove it".to_owned(),
            lines: Vec::new(),
            remedy: "Bring the data back to where it was and choose Retry, or delete the environment.".to_owned(),
        });
        return (&volume.name, Progress::NotYet);
    }
    let wish = Wish {
        step: Step::CreateVolume { volume: volume.plan() },
        generation: 1,
        asked: &volume.create,
        what: format!("volume {}", volume.name),
        // With many others it takes as long as its place lets them be made.
        under_way: matches!(volume.restore, Some(RestoreState::Copying(_))),
        server: None,
        after: Vec::new(),
        gently: None,
        freeze: Vec::new(),
        note: None,
    };
    let progress = match &volume.restore {
        Some(RestoreState::Failed { reason }) => draft.pursue_again(wish, reason),
        _ => draft.pursue(wish),
    };
    (&volume.name, progress)
}

fn start(
    draft: &mut Draft,
    server: &Server,
    spec: &ServerSpec,
    topology: &Topology,
    observed: &Observed,
    after: Vec<usize>,
) {
    let volume = |name: &str| observed.current_volumes().find(|volume| volume.name == name);
    let mount =
        |mount: &MountSpec| Some(VolumeMount { volume: volume(&mount.volume)?.id.clone(), path: mount.path.clone() });
    let plan = ServerPlan {
        id: server.id.clone(),
        name: server.name.clone(),
        generation: server.generation,
        address: server.address,
        image: spec.image.clone(),
        alias: spec.alias.clone(),
        architecture: spec.architecture,
        cpu_millis: spec.cpu_millis,
        memory_bytes: spec.memory_bytes,
        mounts: spec.mounts.iter().filter_map(mount).collect(),
        hosts: topology.servers.iter().map(|peer| Host { name: peer.name.clone(), address: peer.address }).collect(),
        internet: spec.internet,
        spot: spec.spot,
        hibernates: topology.park == ParkMode::Hibernate,
    };
    draft.pursue(Wish {
        step: Step::StartServer { server: Box::new(plan) },
        generation: server.generation,
        asked: &server.start,
        what: format!("{} to start", server.name),
        under_way: false,
        server: Some(&server.name),
        after,
        gently: None,
        freeze: Vec::new(),
        note: Some(Note::about("server_starting", &server.name, format!("Starting {}", server.name))),
    });
}

/// A server that is there and about which [`judge`] had nothing to say: what is waited for.
fn follow(draft: &mut Draft, server: &Server, machine: &ObservedServer) {
    let name = Some(server.name.as_str());
    let look_again = draft.now + LOOK_AGAIN_MS;
    match &machine.state {
        MachineState::Starting { doing } => {
            draft.wait(name, machine.told(format!("{}: {doing}", server.name)), look_again);
        }
        MachineState::Suspending | MachineState::Suspended { .. } => {
            draft.wait(name, machine.told(format!("{} to wake", server.name)), look_again);
        }
        MachineState::Stopping => {
            draft.wait(name, machine.told(format!("{} to end", server.name)), look_again);
        }
        MachineState::Running => {
            let phase = server.status.as_ref().map(|status| status.phase).unwrap_or_default();
            match (server.link, phase) {
                (AgentLink::Connected, Phase::Healthy) => {}
                (AgentLink::LostSince(since), _) => {
                    let lost_at = out_of_touch_until(server, since);
                    let until = if draft.now < since + RECONNECT_MS { since + RECONNECT_MS } else { lost_at };
                    draft.wait(
                        name,
                        format!("the agent of {} to connect again", server.name),
                        until.max(draft.now + 1),
                    );
                }
                (AgentLink::Never, _) => draft.wait(name, format!("the agent of {}", server.name), look_again),
                (AgentLink::Connected, phase) => {
                    draft.wait(name, format!("{} to {}", server.name, next(phase)), look_again);
                    let copies = server.status.iter().flat_map(|status| &status.shared).filter(|copy| !copy.in_step);
                    copies.filter(|_| phase == Phase::CatchingUp).for_each(|copy| {
                        draft.wait(name, format!("{} on {}: {}", copy.volume, server.name, copy.words), look_again);
                    });
                }
            }
        }
        // Judged: it failed for good or gets a new generation.
        MachineState::Dead { .. } | MachineState::Failed { .. } => {}
    }
}

fn next(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "take its configuration",
        Phase::Mounting => "mount its volumes",
        Phase::CatchingUp => "have what its peers have",
        Phase::SettingUp => "be set up",
        Phase::StartingUp => "run its start-up script",
        Phase::Checking => "pass its health checks",
        Phase::Unhealthy => "be healthy again",
        Phase::Healthy | Phase::Failed => "settle",
    }
}

impl Server {
    /// As it is once this renewal is written.
    pub(super) fn renew(&mut self, renewal: &Renewal) {
        self.generation = renewal.generation;
        self.attempts = renewal.attempts;
        self.retry_at = renewal.retry_at;
        self.healthy_at = None;
        self.link = AgentLink::Never;
        self.status = None;
        self.seen = false;
        self.start = Asked::default();
        self.turns = Turns::default();
    }
}
