//! The catalog: what can be ordered here and now.
//!
//! Everything takes the team whose catalog it is. Versions are immutable, so a parsed one is kept; what a request reads
//! anew is only which versions are on offer.

mod host;
mod kept;
mod load;
mod parsed;
mod places;
mod records;
mod resumes;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use app::api::{ApiError, CatalogEntry, TemplateDetail, TemplatePort, TemplateServer, TemplateVersion, TemplateVolume};

use crate::domain::template::{Count, Limits, Size, Template};
use crate::domain::{schedule, template};
use crate::store::{Store, StoreError, TemplateRecords, TemplateRow, VersionRow};

pub use kept::Catalogs;
pub use load::{Source, SourceFile, files, keep_current, refresh};
pub use places::{Able, Places};
pub use records::Records;
pub use resumes::Resumes;

/// A template version that can be ordered.
#[derive(Clone, Debug)]
pub struct Offered {
    /// Row id.
    pub version_id: String,
    /// As the catalog shows it.
    pub version: String,
    pub template: Arc<Template>,
}

/// What past orders tell whoever looks at the catalog.
#[derive(Clone, Debug, Default)]
pub struct Past {
    pub records: Arc<TemplateRecords>,
    /// Template row id → when this person last ordered it.
    pub mine: HashMap<String, i64>,
}

/// Versions of which is told what changed: as many as somebody reads.
const COMPARED: usize = 20;

/// The catalog of a team, by title.
///
/// # Errors
/// When the database cannot be asked.
pub async fn catalog(
    store: &Store,
    team_id: &str,
    places: &Places,
    past: &Past,
) -> Result<Vec<CatalogEntry>, ApiError> {
    let mut entries = Vec::new();
    for row in store.templates(team_id).await.map_err(failed)? {
        entries.push(match parsed::offered(store, &row).await.map_err(failed)? {
            Some(Ok(offered)) => entry(&row, &offered, places, past),
            Some(Err(error)) => bare_entry(&row, error),
            None => bare_entry(&row, row.broken.clone().unwrap_or_default()),
        });
    }
    entries.sort_by(|a, b| (a.title.to_lowercase(), &a.name).cmp(&(b.title.to_lowercase(), &b.name)));
    Ok(entries)
}

/// One template in full, but for `park`: the version on offer, or the one that is named.
///
/// # Errors
/// There is no such template or version; no version of it was ever good.
pub async fn detail(
    store: &Store,
    team_id: &str,
    name: &str,
    version: Option<&str>,
    places: &Places,
    past: &Past,
) -> Result<(TemplateDetail, Offered), ApiError> {
    let row = find(store, team_id, name).await?;
    let versions = store.template_versions(&row.id).await.map_err(failed)?;
    let offered = of_version(store, &row, version).await?;
    let template = &offered.template;
    let detail = TemplateDetail {
        entry: entry(&row, &offered, places, past),
        description: template.description.clone(),
        parameters: template.parameters.clone(),
        presets: template.presets.clone(),
        servers: template.servers.iter().map(|server| server_view(template, server)).collect(),
        volumes: template.volumes.iter().map(volume_view).collect(),
        schedules: template
            .schedules
            .iter()
            .map(schedule::describe)
            .chain(schedule::describe_snapshots(&template.snapshots))
            .collect(),
        park: None,
        versions: versions_view(&versions),
    };
    Ok((detail, offered))
}

/// What an order of this template gets.
///
/// # Errors
/// There is no such template or version; no version of it was ever good; it cannot run here.
pub async fn to_order(
    store: &Store,
    team_id: &str,
    name: &str,
    version: Option<&str>,
    places: &Places,
) -> Result<Offered, ApiError> {
    let row = find(store, team_id, name).await?;
    let offered = of_version(store, &row, version).await?;
    match host::unavailable(&offered.template, places) {
        None => Ok(offered),
        Some(why) => Err(ApiError::conflict(format!("“{name}” cannot be ordered here")).with_detail(why)),
    }
}

/// A template version with its template's row id, to begin an order with; whether it can run here is not asked.
///
/// # Errors
/// There is no such template or version; no version of it was ever good.
pub async fn to_draft(
    store: &Store,
    team_id: &str,
    name: &str,
    version: Option<&str>,
) -> Result<(String, Offered), ApiError> {
    let row = find(store, team_id, name).await?;
    let offered = of_version(store, &row, version).await?;
    Ok((row.id, offered))
}

async fn find(store: &Store, team_id: &str, name: &str) -> Result<TemplateRow, ApiError> {
    let row = store.template(team_id, name).await.map_err(failed)?;
    row.ok_or_else(|| ApiError::not_found("template", name).with_detail("`bookend catalog` lists what can be ordered."))
}

async fn of_version(store: &Store, row: &TemplateRow, version: Option<&str>) -> Result<Offered, ApiError> {
    let unusable =
        |why: String| ApiError::conflict(format!("“{}” cannot be ordered: it is broken", row.name)).with_detail(why);
    let Some(version) = version else {
        return match parsed::offered(store, row).await.map_err(failed)? {
            Some(Ok(offered)) => Ok(offered),
            Some(Err(error)) => Err(unusable(error)),
            None => Err(unusable(row.broken.clone().unwrap_or_default())),
        };
    };
    let versions = store.template_versions(&row.id).await.map_err(failed)?;
    let Some(found) = versions.into_iter().find(|known| known.version == version) else {
        let error = ApiError::not_found("version", version);
        let title = format!("{} of “{}”", error.title, row.name);
        return Err(ApiError { title, ..error });
    };
    parsed::of(&found)
        .map(|template| Offered { version_id: found.id, version: found.version, template })
        .map_err(unusable)
}

fn entry(row: &TemplateRow, offered: &Offered, places: &Places, past: &Past) -> CatalogEntry {
    let template = &offered.template;
    let count = |server: &template::Server| match &server.count {
        Count::Fixed(count) => *count,
        Count::Parameter(name) => default_of(template, name).and_then(|value| value.parse().ok()).unwrap_or(1),
    };
    CatalogEntry {
        name: row.name.clone(),
        version: offered.version.clone(),
        title: template.title.clone(),
        summary: template.summary.clone(),
        category: template.category.clone(),
        tags: template.tags.clone(),
        icon: template.icon.clone(),
        maintainer: template.maintainer.clone(),
        featured: template.featured,
        software: software(template),
        offered_since: row.offered_since,
        server_count: template.servers.iter().map(count).sum(),
        volume_count: u32::try_from(template.volumes.len()).unwrap_or(u32::MAX),
        unavailable: host::unavailable(template, places),
        broken: row.broken.clone(),
        asks_nothing: template.asks_nothing(),
        ordered_by_me_at: past.mine.get(&row.id).copied(),
        record: past.records.get(&row.id).cloned(),
    }
}

fn software(template: &Template) -> Vec<String> {
    let mut commands: Vec<String> = template.servers.iter().flat_map(|server| server.requires.clone()).collect();
    commands.sort_unstable();
    commands.dedup();
    commands
}

/// A template of which nothing can be read: its name and what is wrong.
fn bare_entry(row: &TemplateRow, error: String) -> CatalogEntry {
    CatalogEntry {
        name: row.name.clone(),
        version: row.version.clone().unwrap_or_default(),
        title: row.name.clone(),
        summary: "Its file is broken and no earlier version is on offer.".into(),
        category: "Broken".into(),
        tags: Vec::new(),
        icon: None,
        maintainer: None,
        featured: false,
        software: Vec::new(),
        offered_since: row.offered_since,
        server_count: 0,
        volume_count: 0,
        unavailable: Some("No version of it can be read.".into()),
        broken: Some(error),
        asks_nothing: false,
        ordered_by_me_at: None,
        record: None,
    }
}

fn server_view(template: &Template, server: &template::Server) -> TemplateServer {
    let limits = match &server.size {
        Size::Unlimited => Limits::default(),
        Size::Fixed(limits) => *limits,
        Size::Parameter(name) => default_of(template, name).and_then(template::size_named).unwrap_or_default(),
    };
    let mounts = template.volumes.iter().flat_map(|volume| {
        let here = volume.mounts.iter().filter(|(name, _)| *name == server.name);
        here.map(|(_, path)| (volume.name.clone(), path.clone()))
    });
    TemplateServer {
        name: server.name.clone(),
        count: match &server.count {
            Count::Fixed(count) => *count,
            Count::Parameter(name) => default_of(template, name).and_then(|value| value.parse().ok()).unwrap_or(1),
        },
        image: server.image.to_string(),
        architecture: server.architecture.map(|architecture| architecture.to_string()),
        cpu_millis: limits.cpu_millis,
        memory_bytes: limits.memory_bytes,
        needs: server.needs.clone(),
        ports: server.ports.iter().map(|port| TemplatePort { port: port.port, title: port.title.clone() }).collect(),
        mounts: mounts.collect(),
    }
}

fn volume_view(volume: &template::Volume) -> TemplateVolume {
    TemplateVolume {
        name: volume.name.clone(),
        size_bytes: volume.size_bytes,
        servers: volume.mounts.iter().map(|(server, _)| server.clone()).collect(),
    }
}

/// Newest first, each with what is new in it.
fn versions_view(versions: &[VersionRow]) -> Vec<TemplateVersion> {
    let read: Vec<Option<Arc<Template>>> =
        versions.iter().take(COMPARED + 1).map(|version| parsed::of(version).ok()).collect();
    let at = |index: usize| read.get(index).and_then(Option::as_deref);
    let view = |(index, version): (usize, &VersionRow)| TemplateVersion {
        version: version.version.clone(),
        created_at: version.created_at,
        note: at(index).and_then(|template| template.changes.clone()),
        changes: match (at(index + 1), at(index)) {
            (Some(before), Some(after)) => template::differences(before, after),
            _ => Vec::new(),
        },
    };
    versions.iter().enumerate().map(view).collect()
}

fn default_of<'a>(template: &'a Template, parameter: &str) -> Option<&'a str> {
    template.parameter(parameter)?.default.as_deref()
}

fn failed(error: StoreError) -> ApiError {
    tracing::error!(%error, "the catalog could not be read");
    ApiError::internal()
}
