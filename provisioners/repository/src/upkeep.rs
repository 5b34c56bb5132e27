//! Looking after a repository: is it whole, and what may go.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;
use rustic_core::repofile::SnapshotId as EngineId;
use rustic_core::{CheckOptions, LimitOption, NoProgressBars, PruneOptions};

use crate::backend::Gate;
use crate::error::{Error, Outcome, brief};
use crate::found::{Found, Listed};
use crate::keys::name_of;
use crate::lock::Sharing;
use crate::storage::Kind;
use crate::{Repository, SnapshotId};

/// Something in the repository that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Data is or may be lost. Otherwise it is only untidy.
    pub is_damage: bool,
    /// What it is, and which file it is in.
    pub what: String,
}

impl Problem {
    fn damage(what: impl Into<String>) -> Self {
        Self { is_damage: true, what: what.into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    pub bytes_freed: u64,
}

pub(crate) fn check(repository: &Repository, read_data: bool) -> Outcome<Vec<Problem>> {
    let _lock = repository.lock(Sharing::Shared)?;
    let mut problems = Vec::new();
    for kind in [Kind::Key, Kind::Index, Kind::Snapshot] {
        problems.extend(changed_files(repository, kind)?);
    }
    let engine = repository.engine(&Arc::new(Gate::default()), None, NoProgressBars {}, "open")?;
    let mut trees = Vec::new();
    for (name, size) in
        repository.storage.list(Kind::Snapshot).map_err(repository.storage_failure("list the snapshots"))?
    {
        match repository.described(&engine, &name, size) {
            Ok(snapshot) => trees.push(snapshot.tree),
            // Told already.
            Err(Error::Damaged { .. }) => {}
            Err(error) => problems.push(Problem::damage(error.to_string())),
        }
    }
    let index_is_damaged = problems.iter().any(|problem| problem.is_damage && problem.what.starts_with("index/"));
    if index_is_damaged {
        // Without its index nothing can be said of the rest but that it is not to be found.
        return Ok(problems);
    }
    let mut options = CheckOptions::default();
    options.read_data = read_data;
    let results = engine.check_with_trees(options, trees).map_err(|error| repository.failure("check", &error))?;
    problems.extend(
        results
            .0
            .into_iter()
            .map(|(level, found)| Problem { is_damage: format!("{level:?}") == "Error", what: in_words(&found) }),
    );
    Ok(problems)
}

/// The file that has the problem, where there is one, and what rustic says of it.
fn in_words(found: &impl std::error::Error) -> String {
    let text = found.to_string();
    match found.source().and_then(|source| source.downcast_ref::<rustic_core::RusticError>()) {
        Some(source) => format!("{} ({})", text.lines().next().unwrap_or_default(), brief(source)),
        None => text,
    }
}

fn changed_files(repository: &Repository, kind: Kind) -> Outcome<Vec<Problem>> {
    let storage = &repository.storage;
    let names = storage.list(kind).map_err(repository.storage_failure("list the files"))?;
    let found = names.par_iter().filter_map(|(name, _)| match storage.read(kind, name, None) {
        Ok(bytes) if name_of(&bytes) == *name => None,
        Ok(_) => Some(Problem::damage(format!("{}: its content is not what its name says", kind.path(name)))),
        Err(error) => Some(Problem::damage(format!("{}: {error}", kind.path(name)))),
    });
    Ok(found.collect())
}

pub(crate) fn list(repository: &Repository) -> Outcome<Listed> {
    repository.still_there()?;
    let engine = repository.engine(&Arc::new(Gate::default()), None, NoProgressBars {}, "open")?;
    let names = repository.storage.list(Kind::Snapshot).map_err(repository.storage_failure("list the snapshots"))?;
    let mut snapshots = Vec::new();
    let mut damaged = Vec::new();
    for (name, size) in names {
        match repository.described(&engine, &name, size) {
            Ok(snapshot) => snapshots.push(snapshot),
            // Forgotten between the two looks.
            Err(Error::Damaged { .. }) if !is_there(repository, &name)? => {}
            Err(error @ (Error::Damaged { .. } | Error::Engine { .. })) => damaged.push((SnapshotId(name), error)),
            Err(error) => return Err(error),
        }
    }
    snapshots.sort();
    Ok(Listed { found: snapshots.iter().map(Found::from_snapshot).collect(), damaged })
}

fn is_there(repository: &Repository, snapshot: &str) -> Outcome<bool> {
    let names = repository.storage.list(Kind::Snapshot).map_err(repository.storage_failure("list the snapshots"))?;
    Ok(names.iter().any(|(name, _)| name == snapshot))
}

pub(crate) fn forget(repository: &Repository, ids: &[SnapshotId]) -> Outcome<()> {
    let lock = repository.lock(Sharing::Exclusive)?;
    let known = repository.storage.list(Kind::Snapshot).map_err(repository.storage_failure("list the snapshots"))?;
    let known: BTreeSet<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    let mut numbers = Vec::<EngineId>::new();
    for id in ids {
        let number = id.0.parse().ok().filter(|_| known.contains(id.0.as_str()));
        numbers
            .push(number.ok_or_else(|| Error::NoSuchSnapshot { location: repository.location(), id: id.0.clone() })?);
    }
    let engine = repository.engine(&Arc::new(Gate::default()), Some(&lock), NoProgressBars {}, "open")?;
    engine.delete_snapshots(&numbers).map_err(|error| repository.failure("forget snapshots of", &error))
}

pub(crate) fn prune(repository: &Repository) -> Outcome<Pruned> {
    let lock = repository.lock(Sharing::Exclusive)?;
    let before = packed_bytes(repository)?;
    let failed = |error: Box<rustic_core::RusticError>| repository.failure("prune", &error);
    let gate = Arc::new(Gate::default());
    let engine = repository.engine(&gate, Some(&lock), NoProgressBars {}, "open")?;
    // Alone in the repository, nobody can be adding what refers to data that goes: it goes at once.
    let mut options = PruneOptions::default();
    options.instant_delete = true;
    options.max_repack = LimitOption::Unlimited;
    let plan = engine.prune_plan(&options).map_err(failed)?;
    engine.prune(&options, plan).map_err(failed)?;
    gate.check()?;
    Ok(Pruned { bytes_freed: before.saturating_sub(packed_bytes(repository)?) })
}

pub(crate) fn packed_bytes(repository: &Repository) -> Outcome<u64> {
    let packs = repository.storage.list(Kind::Pack).map_err(repository.storage_failure("list the data"))?;
    Ok(packs.iter().map(|(_, size)| size).sum())
}
