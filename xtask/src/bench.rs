//! `bench`: builds in release and hands over to `xtask/bench`, which measures.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::arguments::Bench;
use crate::build;
use crate::machine;
use crate::npm;
use crate::progress::Progress;
use crate::pypi;
use crate::run;
use crate::up;
use crate::workspace::Workspace;

/// The newest that Debian 12's node runs.
const LIGHTHOUSE: &str = "lighthouse@12.8.2";
const CUSTODIAN: &str = "c7n==0.9.53";

pub fn bench(bench: &Bench) -> Outcome<()> {
    let workspace = Workspace::find();
    match bench {
        Bench::Data { megabytes, files } => return data(&workspace, *megabytes, *files),
        Bench::Fleet { environments, servers } => return fleet(&workspace, *environments, *servers),
        _ => {}
    }
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
        // Needs no portal; see above.
        Bench::Data { .. } | Bench::Fleet { .. } => {}
        Bench::Order { orders, at_once } => {
            program.arg("order").arg(workspace.dist()).args([orders.to_string(), at_once.to_string()]);
        }
        Bench::Click { orders, at_once } => {
            program.arg("click").arg(workspace.dist()).args([orders.to_string(), at_once.to_string()]);
        }
        Bench::Park { rounds } => {
            program.arg("park").arg(workspace.dist()).arg(rounds.to_string());
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

/// Optimised as the portal is, and without its pages. In a mount namespace of its own where root may have one: what is mounted
/// goes with the program, however that ends.
fn data(workspace: &Workspace, megabytes: u32, files: u32) -> Outcome<()> {
    let progress = Progress::begin();
    let needs = [machine::RUNNING, machine::COMPARING].concat();
    machine::provide(workspace, &progress, "measure, and compare with Debian's programs", &needs)?;
    let agent = build::agent(workspace, &progress)?;
    progress.part("bench", |part| {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--release", "--package", "bench-data"]);
        run::logged("build the bench", &mut cargo, &workspace.log("bench"), part)
    })?;
    drop(progress);
    let bench = workspace.target.join("release/bench-data");
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let mut program = match is_root {
        true => {
            let mut unshare = Command::new("unshare");
            unshare.args(["--mount", "--propagation", "private", "--"]).arg(bench);
            unshare
        }
        false => Command::new(bench),
    };
    program.current_dir(&workspace.root).arg(agent).arg(&workspace.target);
    let error = program.args([megabytes.to_string(), files.to_string()]).exec();
    Err(format!("Cannot run {:?}: {error}", program.get_program()))
}

/// Ours, and then Cloud Custodian's stop of as many servers. Optimised, for every server of the fleet is described again and again.
fn fleet(workspace: &Workspace, environments: u32, servers: u32) -> Outcome<()> {
    let progress = Progress::begin();
    progress.part("bench", |part| {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--release", "--package", "bench-fleet"]);
        run::logged("build the bench", &mut cargo, &workspace.log("bench"), part)
    })?;
    machine::provide(workspace, &progress, "run Cloud Custodian", machine::PYTHON)?;
    let python = pypi::fetched(workspace, &progress, "Cloud Custodian", "custodian", &[CUSTODIAN])?;
    drop(progress);
    let bench = workspace.target.join("release/bench-fleet");
    let mut ours = Command::new(&bench);
    ours.current_dir(&workspace.root).arg("virtual").args([environments.to_string(), servers.to_string()]);
    run::shown("measure the fleet", &mut ours)?;
    let mut theirs = Command::new(&bench);
    theirs.current_dir(&workspace.root).arg("custodian").arg(python.with_file_name("custodian"));
    let error = theirs.arg((environments * servers).to_string()).exec();
    Err(format!("Cannot run {:?}: {error}", theirs.get_program()))
}

/// The folder Lighthouse is installed in; fetched once.
fn lighthouse(workspace: &Workspace, progress: &Progress) -> Outcome<PathBuf> {
    machine::provide(workspace, progress, "look at pages with Lighthouse", machine::LOOKING)?;
    npm::fetched(workspace, progress, "Lighthouse", "lighthouse", LIGHTHOUSE)
}
