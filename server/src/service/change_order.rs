//! Another size or template version for an environment that has data: the servers change, the volumes stay.

use std::collections::BTreeMap;

use app::api::{ApiError, EnvironmentDetail, OrderChange, SnapshotReason, State};
use app::portal::SignedIn;
use serde_json::json;

use super::trouble::{failed, overtaken};
use super::{Service, access, catalog, environments, orders};
use crate::domain::actions::Change;
use crate::domain::note::Note;
use crate::domain::template::quantity::display_bytes;
use crate::domain::template::{self, Template, compile};
use crate::domain::topology::Topology;
use crate::store::{EnvironmentRecord, NewOrder, StoreError, Wanted};

pub(super) async fn change_order(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    change: OrderChange,
) -> Result<EnvironmentDetail, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let (id, name, state) = (&record.summary.id, &record.summary.name, record.summary.state);
    if !matches!(state, State::Ready | State::Repairing | State::Parked | State::Failed) {
        return Err(ApiError::conflict(format!("“{name}” is {state}"))
            .with_detail("What is ready or parked can become another size or version."));
    }
    let intent = &record.facts.intent;
    if intent.restoring.is_some() || intent.changing.is_some() {
        return Err(ApiError::conflict(format!("“{name}” is being changed already"))
            .with_detail("Wait until that is over, then decide."));
    }
    let (version, new) = becoming(service, by, &record, &change).await?;
    if version == record.summary.template_version && new.topology == record.facts.topology {
        return environments::environment(service, by, id).await;
    }
    keeps_all(&record, &new.topology, &version)?;
    let now = service.clock.now();
    let note = Note::new("changing", format!("Changing {name} to version {version}, with the values now asked for"));
    let desire = Change::prepared(intent.desired, note);
    let used = record.facts.observed.current_volumes().any(|volume| volume.seen);
    let reason = SnapshotReason::Change;
    let present = used.then_some(Wanted { environment: id, reason, label: "", actor: Some(&by.name) });
    let committed = async {
        let mut tx = service.store.write().await?;
        tx.change_desire(id, intent.generation, &desire, Some(&by.name), now).await?;
        tx.begin_change(id, &new, present, now).await?;
        let detail = json!({ "environment": id, "version": version, "parameters": change.parameters.keys().collect::<Vec<_>>() });
        service.audit(&mut tx, by, "change order", name, detail).await?;
        tx.commit().await
    };
    committed.await.map_err(|error| match error {
        StoreError::Stale => overtaken(),
        error => failed(error),
    })?;
    service.bell.ring(id);
    environments::environment(service, by, id).await
}

/// What it would become, and of which version.
async fn becoming(
    service: &Service,
    by: &SignedIn,
    record: &EnvironmentRecord,
    change: &OrderChange,
) -> Result<(String, NewOrder), ApiError> {
    let (id, name) = (&record.summary.id, &record.summary.name);
    let version = change.version.as_deref().unwrap_or(&record.summary.template_version);
    let template = &record.summary.template;
    let offered = catalog::to_order(&service.store, &by.team_id, template, Some(version), &service.places).await?;
    let secrets = match &record.sealed_secrets {
        None => BTreeMap::new(),
        Some(sealed) => service.key.unseal(id, sealed).map_err(|error| {
            tracing::error!(%error, environment = %id, "secret parameters could not be opened");
            ApiError::internal()
        })?,
    };
    let secrets = secrets.iter().map(|(name, secret)| (name.clone(), secret.reveal().to_owned()));
    let mut given = still_taken(&offered.template, record.parameters.clone().into_iter().chain(secrets));
    given.extend(change.parameters.clone());
    let values = template::resolve(&offered.template, &given).map_err(ApiError::invalid)?;
    // As its volumes are, whatever this portal would do with new ones.
    let capabilities = service.places.named(&record.provisioner).ok_or_else(|| elsewhere(&record.provisioner))?;
    if service.places.of(&offered.template).is_ok_and(|(name, _)| name != record.provisioner) {
        return Err(ApiError::conflict(format!("Version {} is for another provisioner", offered.version))
            .with_detail("What runs cannot move there. Order that version anew."));
    }
    let sharing = record.facts.topology.sharing().unwrap_or(orders::sharing(&capabilities));
    let new = NewOrder {
        template_version_id: offered.version_id.clone(),
        sealed_secrets: orders::sealed(service, id, &values)?,
        topology: compile(&offered.template, name, &values, sharing),
        parameters: values.plain,
    };
    Ok((offered.version.clone(), new))
}

fn elsewhere(provisioner: &str) -> ApiError {
    ApiError::conflict(format!("This portal does not have the provisioner “{provisioner}”"))
        .with_detail("An administrator has to start it with the one the environment is at.")
}

/// The values it has, as far as this version of the template takes them.
fn still_taken(template: &Template, values: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let taken = |(name, value): &(String, String)| {
        template.parameter(name).is_some_and(|known| template::check_value(&known.kind, value).is_ok())
    };
    values.filter(taken).collect()
}

/// # Errors
/// A volume would be lost, or become too small for what it holds.
fn keeps_all(record: &EnvironmentRecord, topology: &Topology, version: &str) -> Result<(), ApiError> {
    let mut lost = Vec::new();
    for volume in record.facts.observed.current_volumes() {
        match topology.volumes.iter().find(|known| known.name == volume.name) {
            None => lost.push(volume.name.as_str()),
            Some(known) if known.size_bytes < volume.size_bytes => {
                let (was, becomes) = (display_bytes(volume.size_bytes), display_bytes(known.size_bytes));
                return Err(ApiError::conflict(format!("Volume {} would shrink from {was} to {becomes}", volume.name))
                    .with_detail("Volumes only grow. Nothing was changed."));
            }
            Some(_) => {}
        }
    }
    match lost.as_slice() {
        [] => Ok(()),
        lost => {
            let title = format!("Volume {} would be lost", lost.join(" and "));
            let detail = format!(
                "Version {version} of {} has none of that name with these values. Nothing was changed.",
                record.summary.template
            );
            Err(ApiError::conflict(title).with_detail(detail))
        }
    }
}
