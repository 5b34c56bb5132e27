//! The portable repository: how it stands, copies of snapshots in it, and environments from it.
//!
//! What is in a repository may be of every team of every portal that uses it, so only administrators see it and import from it.

use std::collections::BTreeMap;

use app::api::{
    ApiError, ImportRequest, ImportView, OrderRequest, RepositorySnapshot, RepositoryView, Role, SnapshotState,
    SnapshotView,
};
use app::portal::SignedIn;
use provisioners::Manifest;
use repository::{Error, Found, SnapshotId};
use serde_json::json;

use super::trouble::{failed, no_such};
use super::{Service, access, catalog, environments, orders, snapshots};
use crate::domain::note::Note;
use crate::domain::repository::Description;
use crate::engine::OpenRepository;
use crate::store::{NewImport, Ordered};

const IMPORTS: u32 = 20;
/// Of an id of a snapshot in the repository, what names it at least.
const SHORTEST_ID: usize = 8;

pub(super) async fn repository(service: &Service, by: &SignedIn) -> Result<RepositoryView, ApiError> {
    let Some(open) = service.repository.get() else {
        return Ok(RepositoryView { export: "none".into(), ..RepositoryView::default() });
    };
    let standing = service.store.repository_standing(open.id()).await.map_err(failed)?;
    let administrator = by.role == Role::Administrator;
    let imports = match administrator {
        true => service.store.imports(&by.team_id, IMPORTS, service.clock.now()).await.map_err(failed)?,
        false => Vec::new(),
    };
    Ok(RepositoryView {
        location: administrator.then(|| open.location()),
        configured: true,
        export: open.policy.as_str().into(),
        keep_days: open.keep_days,
        trouble: standing.trouble.filter(|_| administrator),
        trouble_since: standing.trouble_since,
        looked_at: standing.looked_at,
        snapshots: standing.snapshots,
        stored_bytes: standing.stored_bytes,
        bytes: standing.bytes,
        exported: standing.exported,
        waiting: standing.waiting,
        failed: standing.failed,
        imports,
    })
}

pub(super) async fn export(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    snapshot: &str,
) -> Result<SnapshotView, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let found = snapshots::find(service, &record, snapshot).await?;
    let open = open(service)?;
    let view = found.view;
    if !matches!(view.state, SnapshotState::Complete) {
        return Err(ApiError::conflict(format!("That snapshot is {}", view.state.as_str()))
            .with_detail("Only a complete one can be exported."));
    }
    let now = service.clock.now();
    let committed = async {
        let mut tx = service.store.write().await?;
        tx.want_export(open.id(), &view.id, &by.name, now).await?;
        let detail = json!({ "environment": record.summary.id, "snapshot": view.id });
        service.audit(&mut tx, by, "export snapshot", &record.summary.name, detail).await?;
        tx.commit().await
    };
    committed.await.map_err(failed)?;
    service.bell.tell(&record.summary.id);
    let mut told = vec![view];
    tell_exports(service, &record.summary.id, &mut told).await?;
    told.pop().ok_or_else(ApiError::internal)
}

/// Adds how it stands with the snapshots' copies.
pub(super) async fn tell_exports(
    service: &Service,
    environment: &str,
    all: &mut [SnapshotView],
) -> Result<(), ApiError> {
    let Some(repository) = service.repository.id() else { return Ok(()) };
    let mut exports = service.store.exports(repository, environment, service.clock.now()).await.map_err(failed)?;
    for one in all {
        one.export = exports.remove(&one.id);
    }
    Ok(())
}

pub(super) async fn list(service: &Service, by: &SignedIn) -> Result<Vec<RepositorySnapshot>, ApiError> {
    let found = open(service)?.list().await.map_err(unusable)?.found;
    // Many are of one template.
    let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut all = Vec::new();
    for found in found.into_iter().rev() {
        let description = description(&found);
        let obstacle = match &description {
            None => {
                Some("It was not exported by this version of Bookend; `restic restore` brings its files back.".into())
            }
            Some(description) => {
                let template = description.template_and_version();
                if !known.contains_key(&template) {
                    known.insert(template.clone(), template_obstacle(service, by, description).await);
                }
                known.get(&template).cloned().flatten()
            }
        };
        all.push(shown(found, description, obstacle));
    }
    Ok(all)
}

fn shown(found: Found, description: Option<Description>, obstacle: Option<String>) -> RepositorySnapshot {
    let volumes = match &description {
        Some(description) => description.volumes.iter().map(|volume| volume.name.clone()).collect(),
        None => found.paths,
    };
    RepositorySnapshot {
        id: found.id.0,
        taken_at: found.taken_at.as_millisecond(),
        installation: description.as_ref().map(|description| description.installation.clone()),
        environment: description.as_ref().map_or(found.host, |description| description.environment.clone()),
        label: description.as_ref().map(|description| description.label.clone()).unwrap_or_default(),
        template: description.as_ref().map(Description::template_and_version),
        volumes,
        bytes: found.bytes,
        files: found.files,
        obstacle,
    }
}

async fn template_obstacle(service: &Service, by: &SignedIn, description: &Description) -> Option<String> {
    let (name, version) = (&description.template, Some(description.template_version.as_str()));
    match catalog::to_order(&service.store, &by.team_id, name, version, &service.places).await {
        Ok(_) => None,
        Err(error) => Some(match error.detail {
            Some(detail) => format!("{}: {detail}", error.title),
            None => error.title,
        }),
    }
}

pub(super) async fn import(
    service: &Service,
    by: &SignedIn,
    snapshot: &str,
    request: ImportRequest,
) -> Result<ImportView, ApiError> {
    let open = open(service)?;
    let found = find(open, snapshot).await?;
    let description = description(&found).ok_or_else(|| {
        ApiError::conflict("It was not exported by this version of Bookend")
            .with_detail("`restic restore` brings its files back.")
    })?;
    let mut parameters = description.parameters.clone();
    parameters.extend(request.parameters);
    let order = OrderRequest {
        template: description.template.clone(),
        version: Some(description.template_version.clone()),
        name: Some(request.name),
        parameters,
        data: None,
        owner: None,
    };
    let (offered, values) = orders::checked(service, by, &order).await?;
    let mut new = orders::environment(service, by, &offered, &values, order.name.unwrap_or_default(), None)?;
    let volumes =
        volumes(&description, &new.topology.volumes.iter().map(|volume| volume.name.as_str()).collect::<Vec<_>>())?;
    new.copied = volumes.iter().map(|(name, _)| name.clone()).collect();
    let now = service.clock.now();
    let import = NewImport {
        environment: &new.id,
        repository: open.id(),
        name: &found.id.0,
        actor: &by.name,
        label: &description.label,
        taken_at: found.taken_at.as_millisecond(),
        volumes: &volumes,
    };
    let committed = async {
        let mut tx = service.store.write().await?;
        let ordered = tx.order(&new, None, orders::QUOTA, now).await?;
        if ordered == Ordered::Created {
            tx.want_import(&import, now).await?;
            let words =
                format!("Its data comes from the repository: {} of {}", description.environment, found.taken_at);
            tx.add_event(&new.id, &Note::new("importing", words), Some(&by.name), now).await?;
            let detail = json!({ "environment": new.id, "snapshot": found.id.0 });
            service.audit(&mut tx, by, "import snapshot", &new.name, detail).await?;
            tx.commit().await?;
        }
        Ok(ordered)
    };
    match committed.await.map_err(failed)? {
        Ordered::Created => {}
        refused => return Err(orders::refusal(&refused, &new.name, true)),
    }
    service.bell.tell(&new.id);
    let imports = service.store.imports(&by.team_id, IMPORTS, now).await.map_err(failed)?;
    imports.into_iter().find(|one| one.environment_id == new.id).ok_or_else(ApiError::internal)
}

/// By its id, or the beginning of one that no other begins with.
async fn find(open: &OpenRepository, snapshot: &str) -> Result<Found, ApiError> {
    let is_it = |id: &SnapshotId| snapshot.len() >= SHORTEST_ID && id.0.starts_with(snapshot);
    let listed = open.list().await.map_err(unusable)?;
    let mut named: Vec<Found> = listed.found.into_iter().filter(|found| is_it(&found.id)).collect();
    let damaged = listed.damaged.into_iter().find(|(id, _)| is_it(id));
    if let (true, Some((_, why))) = (named.is_empty(), damaged) {
        return Err(ApiError::conflict("That snapshot is damaged").with_detail(why.to_string()));
    }
    match named.len() {
        0 => Err(no_such("snapshot in the repository", snapshot)
            .with_detail("`bookend snapshot import` lists what there is; give at least 8 digits of an id.")),
        1 => Ok(named.remove(0)),
        _ => Err(ApiError::conflict(format!("{} snapshots begin with these digits", named.len()))
            .with_detail("Give more of them.")),
    }
}

/// What the environment is to have, in what there is; nothing begins empty, and nothing is left behind.
fn volumes(description: &Description, wanted: &[&str]) -> Result<Vec<(String, Manifest)>, ApiError> {
    let there: BTreeMap<&str, &Manifest> =
        description.volumes.iter().map(|volume| (volume.name.as_str(), &volume.manifest)).collect();
    let missing: Vec<&str> = wanted.iter().copied().filter(|name| !there.contains_key(name)).collect();
    let superfluous: Vec<&str> = there.keys().copied().filter(|name| !wanted.contains(name)).collect();
    let (title, names) = match (missing.as_slice(), superfluous.as_slice()) {
        ([], []) => {
            return Ok(there.iter().map(|(name, manifest)| ((*name).to_owned(), (*manifest).clone())).collect());
        }
        ([], more) => ("The template has no volume for", more),
        (missing, _) => ("That snapshot has nothing of", missing),
    };
    Err(ApiError::conflict(format!("{title} {}", names.join(" and "))).with_detail(
        "The template is not what it was when the snapshot was taken. Put that version of it into the catalog.",
    ))
}

fn description(found: &Found) -> Option<Description> {
    found.meta.as_ref().and_then(|meta| Description::read(&meta.manifest))
}

fn open(service: &Service) -> Result<&OpenRepository, ApiError> {
    service.repository.get().ok_or_else(|| {
        ApiError::conflict("This portal has no repository").with_detail(
            "Its operator gives it one with `bookend serve --repository PLACE`: a folder on another disk, or a bucket.",
        )
    })
}

fn unusable(error: Error) -> ApiError {
    ApiError::unavailable("The repository cannot be used").with_detail(error.to_string())
}
