//! Programs that only npm has, each fetched once into a folder of its own below `target/`.

use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::progress::Progress;
use crate::run;
use crate::workspace::Workspace;

/// The folder that `package`, NAME@VERSION, is installed in. `folder` names it and its log.
pub fn fetched(
    workspace: &Workspace,
    progress: &Progress,
    title: &'static str,
    folder: &str,
    package: &str,
) -> Outcome<PathBuf> {
    let home = workspace.target.join(folder);
    let name = package.rsplit_once('@').map_or(package, |(name, _)| name);
    // Written last by npm: a fetch that was interrupted is done again.
    if home.join("node_modules").join(name).exists() && home.join("package-lock.json").exists() {
        progress.fresh(title, "there");
        return Ok(home);
    }
    progress.part(title, |part| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&home).arg(package);
        run::logged(&format!("fetch {title}"), &mut npm, &workspace.log(folder), part)
    })?;
    Ok(home)
}
