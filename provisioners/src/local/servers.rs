//! Servers: recorded, started, stopped.
//!
//! A server is there when its `record.json` is, written before anything else happens; from then on it is reported, and what
//! is missing of it is made good by whoever comes next. The record names the holder it was meant for: if that holder is gone,
//! so is the server, and it is reported dead, never started a second time. Stopping leaves a note of the generation, and a
//! generation that was stopped never starts again, however late a request for it arrives.

use std::path::Path;

use holder::{Reply, Request, ServerState};
use serde::{Deserialize, Serialize};

use super::disk::{self, Trash};
use super::error::{Attempt, LocalError, Result};
use super::holder::{self as client, Roster};
use super::image::Root;
use super::layout::{EnvironmentLayout, server};
use super::sandbox::{self, Machine};
use super::tools::Tools;
use super::{limits, volumes};
use crate::{EnvironmentId, MachineState, ObservedServer, Secret, ServerId, ServerPlan};

const RECORD: &str = "record.json";
const IDENTITY: &str = "identity";
const STOPPED: &str = "stopped";

/// What is written down about one generation of a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub plan: ServerPlan,
    /// The holder it was meant for.
    pub incarnation: String,
    pub limits: String,
    /// Why it can never start, if so.
    pub failure: Option<String>,
}

/// What the agent reads about itself (`agent::link::Identity`).
#[derive(Serialize)]
struct Identity<'a> {
    server: &'a str,
    generation: i64,
    enrolment: Option<&'a str>,
    link: Link,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Link {
    Unix(&'static str),
}

/// Notes that the server is wanted. Repeating it changes nothing.
pub fn accept(
    environment: &EnvironmentLayout,
    plan: &ServerPlan,
    enrolment: Option<&Secret>,
    roster: &Roster,
    tools: &Tools,
) -> Result<Record> {
    sandbox::check(plan)?;
    let stopped = disk::read(&environment.server(&plan.id).join(STOPPED))?;
    if stopped.and_then(|text| text.trim().parse::<i64>().ok()).is_some_and(|stopped| plan.generation <= stopped) {
        return Err(LocalError::Refused(format!(
            "Generation {} of server “{}” was stopped.",
            plan.generation, plan.name
        )));
    }
    if let Some(record) = record(environment, &plan.id, plan.generation)? {
        return Ok(record);
    }
    let others = generations(environment, &plan.id)?;
    if let Some(other) = others.iter().find(|other| **other != plan.generation) {
        if *other > plan.generation {
            return Err(LocalError::Refused(format!("Server “{}” is already at generation {other}.", plan.name)));
        }
        return Err(LocalError::Later(format!("Generation {other} of server “{}” is still to be stopped.", plan.name)));
    }
    for mount in &plan.mounts {
        if !volumes::exists(environment, &mount.volume) {
            let message = format!(
                "The volume for {} of server “{}” is missing. It is not replaced by an empty one.",
                mount.path, plan.name
            );
            return Err(LocalError::Refused(message));
        }
    }
    if tools.separate_disks {
        refuse_shared(environment, plan)?;
    }
    let directory = environment.generation(&plan.id, plan.generation);
    disk::make_directory(&directory)?;
    let identity = Identity {
        server: plan.id.as_str(),
        generation: plan.generation,
        enrolment: enrolment.map(Secret::reveal),
        link: Link::Unix(server::SOCKET),
    };
    let identity =
        serde_json::to_vec(&identity).map_err(std::io::Error::from).attempting(|| "describe a server".to_owned())?;
    disk::write_whole(&directory.join(IDENTITY), &identity, 0o600)?;
    let record = Record {
        plan: plan.clone(),
        incarnation: roster.incarnation.clone(),
        limits: tools.limits.words(plan),
        failure: None,
    };
    write_record(&directory, &record)?;
    Ok(record)
}

/// Where servers share no disk, a volume that another one has is not to be had.
fn refuse_shared(environment: &EnvironmentLayout, plan: &ServerPlan) -> Result<()> {
    for other in records(environment)?.iter().map(|record| &record.plan).filter(|other| other.id != plan.id) {
        let theirs = |mount: &&crate::VolumeMount| other.mounts.iter().any(|taken| taken.volume == mount.volume);
        if let Some(mount) = plan.mounts.iter().find(theirs) {
            return Err(LocalError::Refused(format!(
                "The volume for {} of server “{}” is attached to “{}”, and servers share no disk here. Order the environment \
                 anew, or start the portal without --local-separate-disks.",
                mount.path, plan.name, other.name
            )));
        }
    }
    Ok(())
}

/// Starts an accepted server whose image is there, unless its holder has started it.
pub fn launch(
    id: &EnvironmentId,
    environment: &EnvironmentLayout,
    record: &Record,
    root: &Root,
    images: &Path,
    tools: &Tools,
) -> Result<()> {
    let plan = &record.plan;
    let directory = environment.generation(&plan.id, plan.generation);
    // Stopped, or started by another request, since this one was accepted.
    let Some(identity) = disk::read(&directory.join(IDENTITY))? else { return Ok(()) };
    let roster = client::list(environment)?;
    if !pending(record, roster.as_ref()) {
        // Started by a portal that was killed before it could note that, or never to be started.
        return disk::remove_file(&directory.join(IDENTITY));
    }
    for mount in &plan.mounts {
        if let Some(link) = link_on_the_way(&images.join(&root.image), &mount.path) {
            let message =
                format!("A volume cannot be mounted at {}: {link} is a symbolic link in the image.", mount.path);
            return Err(LocalError::Refused(message));
        }
    }
    make_disk(&directory, plan, tools)?;
    let groups = tools.limits.prepare(id, plan)?;
    let by_groups = tools.limits.by_groups();
    let machine = Machine {
        bubblewrap: super::layout::inside::BUBBLEWRAP.to_owned(),
        agent: tools.agent.clone(),
        outlet: tools.outlet.clone(),
        processes: (!by_groups).then_some(limits::PROCESSES),
        memory_per_process: plan.memory_bytes.filter(|_| !by_groups),
    };
    let request = Request::Launch(Box::new(sandbox::compose(plan, root, &machine, &identity)));
    match client::request(environment, &request, &groups)? {
        Some(Reply::Launched) => disk::remove_file(&directory.join(IDENTITY)),
        Some(Reply::Failed { reason }) => fail(environment, record, &reason),
        Some(_) => Err(LocalError::Later("The environment's holder gave a wrong answer.".to_owned())),
        None => Err(LocalError::Later("The environment's network went away while the server started.".to_owned())),
    }
}

/// The first symbolic link an image has in the place of a mount point or above it. Mounting follows links, and an image's
/// may lead anywhere.
fn link_on_the_way(image: &Path, path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let ways = (1..=parts.len()).map(|length| parts[..length].join("/"));
    ways.into_iter().find(|way| image.join(way).is_symlink()).map(|way| format!("/{way}"))
}

/// Notes that a server can never start.
pub fn fail(environment: &EnvironmentLayout, record: &Record, reason: &str) -> Result<()> {
    let directory = environment.generation(&record.plan.id, record.plan.generation);
    write_record(&directory, &Record { failure: Some(reason.to_owned()), ..record.clone() })?;
    disk::remove_file(&directory.join(IDENTITY))
}

/// The server's own disk, empty but for what says where it is.
fn make_disk(directory: &Path, plan: &ServerPlan, tools: &Tools) -> Result<()> {
    let disk = directory.join("disk");
    let etc = disk.join("etc");
    for path in [&disk, &etc, &directory.join("work")] {
        disk::make_directory_for(path, tools.owner)?;
        disk::set_mode(path, 0o755)?;
    }
    let resolver = if plan.internet && tools.outlet.is_some() {
        format!("nameserver {}\n", super::outlet::RESOLVER)
    } else {
        "# No way out to the internet: names of peers are in /etc/hosts.\n".to_owned()
    };
    let files =
        [("hosts", sandbox::hosts_file(plan)), ("hostname", format!("{}\n", plan.name)), ("resolv.conf", resolver)];
    for (name, text) in files {
        let path = etc.join(name);
        disk::write_whole(&path, text.as_bytes(), 0o644)?;
        disk::give(&path, tools.owner)?;
    }
    Ok(())
}

/// Ends every generation up to this one and removes all that was theirs.
pub fn stop(
    id: &EnvironmentId,
    environment: &EnvironmentLayout,
    server: &ServerId,
    generation: i64,
    tools: &Tools,
    trash: &Trash,
) -> Result<()> {
    let directory = environment.server(server);
    if environment.servers().is_dir() {
        disk::make_directory(&directory)?;
        let before = disk::read(&directory.join(STOPPED))?.and_then(|text| text.trim().parse::<i64>().ok());
        if before.is_none_or(|before| before < generation) {
            disk::write_whole(&directory.join(STOPPED), generation.to_string().as_bytes(), 0o600)?;
        }
    }
    // No answer means no holder, and so no server.
    client::request(environment, &Request::Stop { server: server.to_string(), generation }, &[])?;
    for other in generations(environment, server)?.into_iter().filter(|other| *other <= generation) {
        tools.limits.remove(id, server.as_str(), other)?;
        trash.take(&environment.generation(server, other))?;
    }
    Ok(())
}

/// All records of an environment.
pub fn records(environment: &EnvironmentLayout) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for name in disk::names(&environment.servers())? {
        let id = ServerId::new(name);
        for generation in generations(environment, &id)? {
            records.extend(record(environment, &id, generation)?);
        }
    }
    Ok(records)
}

pub fn record(environment: &EnvironmentLayout, id: &ServerId, generation: i64) -> Result<Option<Record>> {
    let path = environment.generation(id, generation).join(RECORD);
    let Some(text) = disk::read(&path)? else { return Ok(None) };
    let record = serde_json::from_str(&text).map_err(std::io::Error::from);
    record.map(Some).attempting(|| format!("understand {}", path.display()))
}

fn write_record(directory: &Path, record: &Record) -> Result<()> {
    let text =
        serde_json::to_vec(record).map_err(std::io::Error::from).attempting(|| "describe a server".to_owned())?;
    disk::write_whole(&directory.join(RECORD), &text, 0o600)
}

fn generations(environment: &EnvironmentLayout, id: &ServerId) -> Result<Vec<i64>> {
    let names = disk::names(&environment.server(id))?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Whether a record asks for a launch that has not happened.
pub fn pending(record: &Record, roster: Option<&Roster>) -> bool {
    let plan = &record.plan;
    record.failure.is_none()
        && roster.is_some_and(|roster| {
            roster.incarnation == record.incarnation && roster.state(plan.id.as_str(), plan.generation).is_none()
        })
}

/// What is to be said of a recorded server. `doing` is what is being done about a pending one.
pub fn observed(
    id: &EnvironmentId,
    record: &Record,
    roster: Option<&Roster>,
    doing: Option<String>,
    tools: &Tools,
) -> ObservedServer {
    let plan = &record.plan;
    let known = roster.filter(|roster| roster.incarnation == record.incarnation);
    let state = match (&record.failure, known) {
        (Some(reason), _) => MachineState::Failed { reason: reason.clone() },
        (None, None) => MachineState::Dead { reason: "The environment's network was taken away.".to_owned() },
        (None, Some(roster)) => match roster.state(plan.id.as_str(), plan.generation) {
            None | Some(ServerState::Launching) => {
                MachineState::Starting { doing: doing.unwrap_or_else(|| "starting the server".to_owned()) }
            }
            Some(ServerState::Running) => MachineState::Running,
            Some(ServerState::Failed { reason }) => MachineState::Failed { reason: reason.clone() },
            Some(ServerState::Ended { reason }) => {
                let mut reason = format!("The server's first process {reason}.");
                if tools.limits.out_of_memory(id, plan.id.as_str(), plan.generation) {
                    reason.push_str(" Its memory ran out: order it with more, or have it use less.");
                }
                MachineState::Dead { reason }
            }
        },
    };
    ObservedServer {
        server: plan.id.clone(),
        generation: plan.generation,
        state,
        limits: record.limits.clone(),
        address: None,
        running_since: None,
        trouble: None,
    }
}
