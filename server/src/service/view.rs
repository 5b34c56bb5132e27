//! An environment as one person may see it.

use std::collections::BTreeMap;

use app::api::{
    ApiError, CheckView, EnvironmentDetail, HistoryView, MetricsView, OutputView, PortView, ProgressView, ServerView,
    ServiceView, State, VolumeView,
};
use app::portal::SignedIn;
use app::words::about;
use provisioners::{EnvironmentId, ReadingIn, Secret};

use super::trouble::failed;
use super::{Service, access, parking, snapshot_rule};
use crate::agents::STRETCH_MS;
use crate::domain;
use crate::domain::facts::{Desired, Server, VolumeRole, actual_address};
use crate::domain::progress::{self, Progress};
use crate::domain::state::{self, View};
use crate::domain::topology::{PortSpec, ServerSpec};
use crate::store::EnvironmentRecord;

/// What stands for a value that is not shown.
const HIDDEN: &str = "***";

/// # Errors
/// When the database cannot be asked how long the like took before.
pub(super) async fn detail(
    service: &Service,
    by: &SignedIn,
    record: &EnvironmentRecord,
) -> Result<EnvironmentDetail, ApiError> {
    let view = state::derive(&record.facts, service.clock.now());
    let theirs = access::is_theirs(by, record);
    let secrets = secrets(service, record);
    // The label as the engine last wrote it, so that this page and the lists never contradict each other.
    let summary = record.summary.clone();
    let mut parameters = record.parameters.clone();
    parameters.extend(secrets.keys().map(|name| (name.clone(), HIDDEN.to_string())));
    let progress = match progress::progress(&record.facts, &view) {
        Some(made) => Some(progress_view(service, by, record, made).await?),
        None => None,
    };
    let drill = match record.facts.topology.volumes.is_empty() {
        true => None,
        false => Some(service.store.drill(&summary.id, service.weekly_drills).await.map_err(failed)?),
    };
    let park = parking::of_environment(service, record).await?;
    Ok(EnvironmentDetail {
        provisioner: record.provisioner.clone(),
        parameters,
        servers: servers(service, record, &view),
        volumes: volumes(service, record),
        outputs: outputs(record, summary.state, theirs.then_some(&secrets)),
        failure: view.failure,
        actions: if theirs { view.actions } else { Vec::new() },
        progress,
        note_html: app::components::harmless_html(&record.note),
        note: record.note.clone(),
        drill,
        snapshot_rule: snapshot_rule::view(&record.facts, service.clock.now()),
        when_parked: domain::parking::words(&park),
        park,
        summary,
    })
}

/// A first order is held against all orders of its template, everything later against the environment's own past.
async fn progress_view(
    service: &Service,
    by: &SignedIn,
    record: &EnvironmentRecord,
    progress: Progress,
) -> Result<ProgressView, ApiError> {
    let (usual_ms, slow_ms) = if record.facts.intent.ready_at.is_none() {
        let records = service.records.of_team(&service.store, &by.team_id, service.clock.now()).await?;
        let known = records.get(&record.template_id);
        // Whoever wants it gone does not wait for it to become ready.
        let known = known.filter(|_| record.facts.intent.desired == Desired::Running);
        (known.and_then(|known| known.ready_p50_ms), known.and_then(|known| known.ready_p95_ms))
    } else {
        let turns = service.store.turns(&record.summary.id).await.map_err(failed)?;
        progress::usual(&turns).unzip()
    };
    let Progress { done, total, since, state_since } = progress;
    Ok(ProgressView { since, state_since, done, total, usual_ms, slow_ms })
}

/// The order's secrets; none when they cannot be opened, which the log says.
fn secrets(service: &Service, record: &EnvironmentRecord) -> BTreeMap<String, Secret> {
    let Some(sealed) = &record.sealed_secrets else { return BTreeMap::new() };
    service.key.unseal(&record.summary.id, sealed).unwrap_or_else(|error| {
        tracing::error!(environment = %record.summary.id, %error, "secret parameters could not be opened");
        BTreeMap::new()
    })
}

fn outputs(record: &EnvironmentRecord, state: State, secrets: Option<&BTreeMap<String, Secret>>) -> Vec<OutputView> {
    if state != State::Ready {
        return Vec::new();
    }
    let none = BTreeMap::new();
    let outputs = record.facts.topology.outputs.iter().map(|output| OutputView {
        name: output.name.clone(),
        title: output.title.clone(),
        value: match (output.sensitive, secrets) {
            (true, None) => HIDDEN.to_string(),
            (_, secrets) => output.with_secrets(secrets.unwrap_or(&none)),
        },
        sensitive: output.sensitive,
    });
    outputs.collect()
}

fn servers(service: &Service, record: &EnvironmentRecord, view: &View) -> Vec<ServerView> {
    let observed = record.facts.observed.servers.iter().zip(&view.servers);
    observed
        .map(|(server, view)| {
            let spec = record.facts.topology.servers.iter().find(|spec| spec.name == server.name);
            let status = server.status.as_ref();
            ServerView {
                id: server.id.to_string(),
                name: server.name.clone(),
                state: view.state,
                generation: server.generation,
                address: actual_address(&server.machines).unwrap_or(server.address).to_string(),
                image: spec.map_or_else(String::new, |spec| spec.image.to_string()),
                waiting_for: view.waiting_for.clone(),
                limits: server.machine().map(|machine| machine.limits.clone()).filter(|limits| !limits.is_empty()),
                services: status.map_or_else(Vec::new, |status| status.services.iter().map(service_view).collect()),
                checks: status.map_or_else(Vec::new, |status| status.checks.iter().map(check_view).collect()),
                ports: spec.map_or_else(Vec::new, |spec| ports(&record.summary.name, spec)),
                metrics: metrics(service, server, spec.and_then(|spec| spec.memory_bytes)),
                history: history(service, server),
                state_since: progress::server_since(server, view.state),
                failure: view.failure.clone(),
            }
        })
        .collect()
}

fn service_view(service: &agent::api::ServiceStatus) -> ServiceView {
    ServiceView {
        name: service.name.clone(),
        running: service.running,
        restarts: service.restarts,
        last_end: service.last_end.clone(),
    }
}

fn check_view(check: &agent::api::CheckStatus) -> CheckView {
    CheckView { name: check.name.clone(), passing: check.passing, message: check.message.clone() }
}

fn ports(environment: &str, server: &ServerSpec) -> Vec<PortView> {
    let url = |port: &PortSpec| {
        let path: String = form_urlencoded::byte_serialize(port.path.as_bytes()).collect();
        let query = if port.path == "/" { String::new() } else { format!("?path={path}") };
        format!("/open/{environment}/{}/{}{query}", server.name, port.port)
    };
    server.ports.iter().map(|port| PortView { port: port.port, title: port.title.clone(), url: url(port) }).collect()
}

/// `ordered` is how much memory its template gives it.
fn metrics(service: &Service, server: &Server, ordered: Option<u64>) -> Option<MetricsView> {
    let sample = service.hub.metrics(&server.id)?;
    Some(MetricsView {
        at: sample.at_ms,
        cpu_millis: sample.cpu_millis,
        memory_bytes: sample.memory_bytes,
        memory_limit_bytes: sample.memory_limit_bytes.or(ordered),
        disk_bytes: sample.disk_bytes,
        uptime_ms: sample.uptime_ms,
    })
}

fn history(service: &Service, server: &Server) -> Option<HistoryView> {
    let stretches = service.hub.history(&server.id);
    (stretches.len() > 1).then(|| HistoryView {
        every_ms: STRETCH_MS.unsigned_abs(),
        cpu_millis: stretches.iter().map(|stretch| stretch.cpu_millis).collect(),
        memory_bytes: stretches.iter().map(|stretch| stretch.memory_bytes).collect(),
        disk_bytes: stretches.iter().map(|stretch| stretch.disk_bytes).collect(),
    })
}

fn volumes(service: &Service, record: &EnvironmentRecord) -> Vec<VolumeView> {
    let now = service.clock.now();
    let environment = EnvironmentId::new(&record.summary.id);
    let cold = service.machines.reading_in(&record.provisioner, &environment);
    let servers_of = |volume: &str| {
        let mounted = |server: &&ServerSpec| server.mounts.iter().any(|mount| mount.volume == volume);
        record.facts.topology.servers.iter().filter(mounted).map(|server| server.name.clone()).collect()
    };
    let standing = |volume: &str| {
        record.facts.topology.servers.iter().find_map(|spec| {
            let copy_of = spec.mounts.iter().find(|mount| mount.volume == volume)?.copy_of.as_ref()?;
            let server = record.facts.observed.servers.iter().find(|server| server.name == spec.name)?;
            let status = server.status.as_ref().filter(|_| server.is_running())?;
            Some(status.shared.iter().find(|copy| copy.volume == *copy_of)?.words.clone())
        })
    };
    let volumes = record.facts.observed.volumes.iter().map(|volume| VolumeView {
        id: volume.id.to_string(),
        name: volume.name.clone(),
        size_bytes: volume.size_bytes,
        servers: servers_of(&volume.name),
        standing: match (volume.role, volume.put_away_in(), cold.iter().find(|cold| cold.volume == volume.id)) {
            (VolumeRole::Outgoing, ..) => Some("going".to_owned()),
            (_, Some(_), _) => Some("in a snapshot".to_owned()),
            (_, None, Some(cold)) => Some(reading_in(cold, now)),
            (_, None, None) => standing(&volume.name),
        },
    });
    volumes.collect()
}

fn reading_in(cold: &ReadingIn, now: i64) -> String {
    let far = cold.percent.map(|percent| format!(" ({percent} %)")).unwrap_or_default();
    let left = cold.until.map(|until| format!(" for about {}", about((until - now).max(1000)))).unwrap_or_default();
    format!("its data is still being read in from its snapshot{far}: first reads are slow{left}")
}

#[cfg(test)]
mod tests {
    use provisioners::VolumeId;

    use super::*;

    #[test]
    fn as_much_is_said_of_a_cold_volume_as_is_known() {
        let cold = |percent, until| reading_in(&ReadingIn { volume: VolumeId::new("v"), percent, until }, 60_000);
        assert_eq!(cold(None, None), "its data is still being read in from its snapshot: first reads are slow");
        assert_eq!(
            cold(Some(43), Some(780_000)),
            "its data is still being read in from its snapshot (43 %): first reads are slow for about 12 min"
        );
    }
}
