//! `up` and `build`: from a clone to a running portal.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::Outcome;
use crate::arguments::UpOptions;
use crate::build::{self, Flavour};
use crate::machine;
use crate::progress::Progress;
use crate::wasm;
use crate::workspace::Workspace;

/// Builds in release, then becomes the portal: its words are the last ones, and Ctrl-C reaches it.
pub fn up(options: &UpOptions) -> Outcome<()> {
    let workspace = Workspace::find();
    build(&workspace)?;
    let mut portal = Command::new(workspace.dist().join("bookend"));
    portal.arg("serve");
    // What is not said here, the portal decides, so that `bookend serve` by itself finds the same data.
    for (name, value) in [("--data-dir", &options.data_dir), ("--listen", &options.listen)] {
        if let Some(value) = value {
            portal.arg(name).arg(value);
        }
    }
    let error = portal.exec();
    Err(format!("Cannot start {:?}: {error}", portal.get_program()))
}

pub fn build_only() -> Outcome<()> {
    let workspace = Workspace::find();
    build(&workspace)?;
    println!("{}", workspace.dist().display());
    Ok(())
}

/// Sets up and builds everything in release.
pub fn build(workspace: &Workspace) -> Outcome<()> {
    let progress = Progress::begin();
    prepare(workspace, &progress).map(|()| eprintln!("{}", progress.end()))
}

fn prepare(workspace: &Workspace, progress: &Progress) -> Outcome<()> {
    let compiler = wasm::choose(workspace, progress)?;
    let needs = [machine::RUNNING, compiler.needs()].concat();
    machine::provide(workspace, progress, "build Bookend and run servers of its own", &needs)?;
    compiler.prepare(workspace, progress)?;
    build::everything(workspace, progress, &compiler, Flavour::Release)
}
