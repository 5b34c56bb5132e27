//! `bench`: builds in release and hands over to `xtask/bench`, which measures.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::arguments::Bench;
use crate::machine;
use crate::progress::Progress;
use crate::run;
use crate::up;
use crate::workspace::Workspace;

/// The newest that Debian 12's node runs.
const LIGHTHOUSE: &str = "lighthouse@12.8.2";

pub fn bench(bench: &Bench) -> Outcome<()> {
    let workspace = Workspace::find();
    up::build(&workspace)?;
    let progress = Progress::begin();
    progress.part("bench", |part| {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--package", "bench"]);
        run::logged("build the bench", &mut cargo, &workspace.log("bench"), part)
    })?;
    let mut program = Command::new(workspace.target.join("debug/bench"));
    program.current_dir(&workspace.root);
    match bench {
        Bench::Order { orders, at_once } => {
            program.arg("order").arg(workspace.dist()).args([orders.to_string(), at_once.to_string()]);
        }
        Bench::Page { seconds } => {
            let lighthouse = lighthouse(&workspace, &progress)?;
            program.arg("page").arg(workspace.dist()).arg(seconds.to_string()).arg(lighthouse);
        }
    }
    drop(progress);
    let error = program.exec();
    Err(format!("Cannot run {:?}: {error}", program.get_program()))
}

/// The folder Lighthouse is installed in; fetched once.
fn lighthouse(workspace: &Workspace, progress: &Progress) -> Outcome<PathBuf> {
    machine::provide(workspace, progress, "look at pages with Lighthouse", machine::LOOKING)?;
    let folder = workspace.target.join("lighthouse");
    if folder.join("node_modules/lighthouse").exists() {
        progress.fresh("Lighthouse", "there");
        return Ok(folder);
    }
    progress.part("Lighthouse", |part| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg(LIGHTHOUSE);
        run::logged("fetch Lighthouse", &mut npm, &workspace.log("lighthouse"), part)
    })?;
    Ok(folder)
}
