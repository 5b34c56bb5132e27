//! Volumes: directories that outlive servers. A volume is there when its `volume.json` is: it is written last, and its
//! directory is on the disk before the caller hears that it exists. Sizes are noted, not enforced: a directory has none.

use std::path::PathBuf;

use super::disk::{self, Trash};
use super::error::{Attempt, LocalError, Result};
use super::layout::EnvironmentLayout;
use super::tools::Tools;
use super::tree;
use crate::{VolumeId, VolumePlan};

const RECORD: &str = "volume.json";
const DATA: &str = "data";

/// An empty one.
pub fn create(environment: &EnvironmentLayout, plan: &VolumePlan, tools: &Tools) -> Result<()> {
    if exists(environment, &plan.id) {
        return Ok(());
    }
    begin(environment, plan)?;
    tree::create(&data(environment, &plan.id), tools.owner, tools.support)?;
    finish(environment, plan)
}

/// Makes the place of a volume that is not there yet.
pub fn begin(environment: &EnvironmentLayout, plan: &VolumePlan) -> Result<()> {
    disk::make_directory(environment.root())?;
    check_space(environment, plan)?;
    disk::make_directory(&environment.volume(&plan.id))
}

/// Says that it is there, once its data is.
pub fn finish(environment: &EnvironmentLayout, plan: &VolumePlan) -> Result<()> {
    let directory = environment.volume(&plan.id);
    let record =
        serde_json::to_vec(plan).map_err(std::io::Error::from).attempting(|| "describe a volume".to_owned())?;
    disk::write_whole(&directory.join(RECORD), &record, 0o600)?;
    disk::persist(&directory)?;
    disk::persist(&environment.volumes())
}

pub fn exists(environment: &EnvironmentLayout, id: &VolumeId) -> bool {
    environment.volume(id).join(RECORD).is_file()
}

pub fn list(environment: &EnvironmentLayout) -> Result<Vec<VolumeId>> {
    let names = disk::names(&environment.volumes())?;
    Ok(names.into_iter().map(VolumeId::new).filter(|id| exists(environment, id)).collect())
}

/// Removes the volume of this id and nothing else; the last one of an environment takes the environment's directory along.
pub fn delete(environment: &EnvironmentLayout, id: &VolumeId, trash: &Trash) -> Result<()> {
    trash.take(&environment.volume(id))?;
    if !environment.holder().exists() && environment.root().exists() {
        let _ = disk::remove_if_empty(&environment.volumes())? && disk::remove_if_empty(environment.root())?;
    }
    Ok(())
}

pub fn data(environment: &EnvironmentLayout, id: &VolumeId) -> PathBuf {
    environment.volume(id).join(DATA)
}

fn check_space(environment: &EnvironmentLayout, plan: &VolumePlan) -> Result<()> {
    let status = rustix::fs::statvfs(environment.root());
    let status = status.attempting(|| format!("ask for the space left at {}", environment.root().display()))?;
    let whole = status.f_blocks.saturating_mul(status.f_frsize);
    if plan.size_bytes > whole {
        return Err(LocalError::Refused(format!(
            "Volume “{}” is to hold {} GiB, but the whole disk of the portal's data directory has {} GiB. Order a smaller one.",
            plan.name,
            plan.size_bytes.div_ceil(1 << 30),
            whole >> 30
        )));
    }
    Ok(())
}
