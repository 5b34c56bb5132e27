//! Programs that only PyPI has, each fetched once into a virtual environment of its own below `target/python/`.

use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::progress::Progress;
use crate::run;
use crate::workspace::Workspace;

/// The Python of the environment that `packages`, NAME==VERSION, are installed in. `folder` names it and its log.
pub fn fetched(
    workspace: &Workspace,
    progress: &Progress,
    title: &'static str,
    folder: &str,
    packages: &[&str],
) -> Outcome<PathBuf> {
    let home = workspace.target.join("python").join(folder);
    let (python, complete) = (home.join("bin/python"), home.join("complete"));
    // Written last: a fetch that was interrupted, or was of other versions, is done again.
    if std::fs::read_to_string(&complete).is_ok_and(|there| there == packages.join(" ")) {
        progress.fresh(title, "there");
        return Ok(python);
    }
    progress.part(title, |part| {
        let log = workspace.log(folder);
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(&home);
        run::logged(&format!("make a Python environment for {title}"), &mut venv, &log, part)?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input"]).args(packages);
        run::logged(&format!("fetch {title}"), &mut pip, &log, part)?;
        std::fs::write(&complete, packages.join(" ")).map_err(|error| format!("Cannot write {complete:?}: {error}"))?;
        Ok(())
    })?;
    Ok(python)
}
