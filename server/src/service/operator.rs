//! What operators look after. For administrators; environments and effects are those of their own team, provisioners and
//! what nobody owns are the installation's.

use app::api::{
    Action, ApiError, CapacityView, EffectView, Leftover, LeftoverKind, Operation, ProvisionerView, State, StateCount,
};
use app::portal::SignedIn;
use provisioners::OrphanKind;
use serde_json::json;

use super::trouble::{failed, no_such};
use super::{Service, environments};
use crate::engine::{FoundOrphan, Health, Unowned};
use crate::store::{EffectRow, OrphanLook};

const EFFECTS: u32 = 100;

pub(super) async fn operation(service: &Service, by: &SignedIn) -> Result<Operation, ApiError> {
    let now = service.clock.now();
    let store = &service.store;
    let counts = store.count_states(&by.team_id).await.map_err(failed)?;
    let states = counts.into_iter().filter_map(|(state, count)| {
        let state: State = serde_json::from_value(json!(state)).ok()?;
        Some(StateCount { state, count: count.unsigned_abs() })
    });
    let mut effects: Vec<EffectView> = Vec::new();
    for row in store.effects_in_flight(&by.team_id, EFFECTS).await.map_err(failed)? {
        let actions = match effects.iter().find(|known| known.environment_id == row.environment_id) {
            Some(known) => known.actions.clone(),
            None => actions(service, by, &row.environment_id).await,
        };
        effects.push(effect(row, actions, now));
    }
    let looks = service.machines.looks().await?;
    Ok(Operation {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        database: store.kind().to_owned(),
        agents_connected: u32::try_from(service.hub.connected()).unwrap_or(u32::MAX),
        states: states.collect(),
        provisioners: service.machines.health().await.into_iter().map(|health| provisioner(health, &looks)).collect(),
        effects,
    })
}

/// What can be asked of an environment about what it has in flight.
async fn actions(service: &Service, by: &SignedIn, environment: &str) -> Vec<Action> {
    let about = [Action::Retry, Action::Cancel, Action::Force];
    match environments::environment(service, by, environment).await {
        Ok(detail) => detail.actions.into_iter().filter(|action| about.contains(action)).collect(),
        Err(_) => Vec::new(),
    }
}

fn effect(row: EffectRow, actions: Vec<Action>, now: i64) -> EffectView {
    EffectView {
        retry_at: (row.outcome != "recorded" && row.retry_at > now).then_some(row.retry_at),
        environment_id: row.environment_id,
        environment: row.environment,
        step: row.step,
        subject: row.subject,
        outcome: row.outcome,
        message: row.message,
        attempts: small(row.attempts),
        recorded_at: row.recorded_at,
        actions,
    }
}

fn provisioner(health: Health, looks: &[OrphanLook]) -> ProvisionerView {
    let Health { name, capabilities, capacity, environments } = health;
    let look = looks.iter().find(|look| look.provisioner == name);
    ProvisionerView {
        looked_through_at: look.and_then(|look| look.looked_at),
        look_trouble: look.and_then(|look| look.trouble.clone()),
        name,
        trouble: environments.as_ref().err().cloned(),
        oci_images: capabilities.oci_images,
        internet: capabilities.internet,
        cgroups: capabilities.cgroups,
        shared_volumes: capabilities.shared_volumes,
        notes: capabilities.closed.into_iter().chain(capabilities.notes).collect(),
        environments: environments.map_or(0, |count| count as u64),
        capacity: capacity.map(|capacity| CapacityView {
            disk_bytes: capacity.disk_bytes,
            disk_free_bytes: capacity.disk_free_bytes,
            memory_bytes: capacity.memory_bytes,
            memory_free_bytes: capacity.memory_free_bytes,
            processors: capacity.processors,
        }),
    }
}

pub(super) async fn leftovers(service: &Service) -> Result<Vec<Leftover>, ApiError> {
    let found = service.machines.unowned(service.clock.now()).await?;
    let orphans = service.machines.orphans().await?;
    Ok(found.iter().map(leftover).chain(orphans.iter().map(single)).collect())
}

pub(super) async fn leftovers_found(service: &Service) -> Result<u64, ApiError> {
    service.store.count_orphans().await.map_err(failed)
}

/// `typed` has to be the leftover's id where there is data: that goes for ever.
pub(super) async fn remove_leftover(
    service: &Service,
    by: &SignedIn,
    provisioner: &str,
    id: &str,
    typed: Option<&str>,
) -> Result<(), ApiError> {
    let now = service.clock.now();
    if let Some(found) = service.machines.orphan(provisioner, id).await? {
        return remove_single(service, by, &found, typed, now).await;
    }
    let found = service.machines.unowned_one(provisioner, id, now).await?;
    let unowned = found.ok_or_else(|| no_such("leftover", id))?;
    if !unowned.remains.volumes.is_empty() && typed.map(str::trim) != Some(id) {
        return Err(ApiError::field("typed", "type the whole id: its volumes and their data go for ever"));
    }
    let noted = async {
        let mut tx = service.store.write().await?;
        let detail = json!({ "provisioner": provisioner, "volumes": unowned.remains.volumes.len() });
        service.audit(&mut tx, by, "remove_leftover", id, detail).await?;
        tx.commit().await
    };
    noted.await.map_err(failed)?;
    service.machines.remove(&unowned, now).await
}

async fn remove_single(
    service: &Service,
    by: &SignedIn,
    found: &FoundOrphan,
    typed: Option<&str>,
    now: i64,
) -> Result<(), ApiError> {
    let (row, view) = (&found.row, single(found));
    if view.kind.holds_data() && typed.map(str::trim) != Some(view.id.as_str()) {
        return Err(ApiError::field("typed", "type the whole id: what it holds goes for ever"));
    }
    let noted = async {
        let mut tx = service.store.write().await?;
        let detail = json!({ "provisioner": row.provisioner, "about": row.orphan.about });
        service.audit(&mut tx, by, "remove_leftover", &view.id, detail).await?;
        tx.commit().await
    };
    noted.await.map_err(failed)?;
    service.machines.remove_orphan(found, now).await
}

fn single(found: &FoundOrphan) -> Leftover {
    let orphan = &found.row.orphan;
    let kind = match orphan.kind {
        OrphanKind::Server => LeftoverKind::Server,
        OrphanKind::Volume => LeftoverKind::Volume,
        OrphanKind::Snapshot => LeftoverKind::Snapshot,
        OrphanKind::Network => LeftoverKind::Network,
    };
    Leftover {
        provisioner: found.row.provisioner.clone(),
        kind,
        id: orphan.id.clone(),
        environment: Some(orphan.environment.to_string()),
        about: Some(orphan.about.clone()),
        made_at: orphan.made_at,
        first_seen_at: Some(found.row.first_seen_at),
        monthly_cents: orphan.monthly_cents,
        ends_at: found.ends_at,
        deleted_at: None,
        network: kind == LeftoverKind::Network,
        servers: u32::from(kind == LeftoverKind::Server),
        volumes: u32::from(kind == LeftoverKind::Volume),
        bytes: None,
        changed_at: None,
    }
}

fn leftover(unowned: &Unowned) -> Leftover {
    let remains = &unowned.remains;
    Leftover {
        provisioner: unowned.provisioner.clone(),
        kind: LeftoverKind::Environment,
        id: remains.environment.to_string(),
        environment: None,
        about: None,
        made_at: None,
        first_seen_at: None,
        monthly_cents: None,
        ends_at: None,
        deleted_at: unowned.deleted_at,
        network: remains.network,
        servers: u32::try_from(remains.servers).unwrap_or(u32::MAX),
        volumes: u32::try_from(remains.volumes.len()).unwrap_or(u32::MAX),
        bytes: remains.bytes,
        changed_at: remains.changed_at,
    }
}

fn small(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}
