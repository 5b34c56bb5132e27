//! `up` and `build`: from a clone to a running portal.
//!
//! `BOOKEND_DIST` names a folder with what is to be started as it is; then nothing is built. Stories do that.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::arguments::UpOptions;
use crate::build::{self, Flavour};
use crate::fake_ec2;
use crate::machine;
use crate::others;
use crate::progress::Progress;
use crate::wasm;
use crate::workspace::Workspace;

/// Builds in release, then becomes the portal: its words are the last ones, and Ctrl-C reaches it.
pub fn up(options: &UpOptions) -> Outcome<()> {
    let workspace = Workspace::find();
    let dist = match env::var_os("BOOKEND_DIST") {
        Some(built) => PathBuf::from(built),
        None => {
            build_for(&workspace, options.fake_ec2, false)?;
            workspace.dist()
        }
    };
    let mut portal = Command::new(dist.join("bookend"));
    portal.arg("serve");
    if options.fake_ec2 {
        fake_ec2::beside(&mut portal, &workspace, &dist.join("fake-ec2"), options.listen.as_deref())?;
    } else {
        // What is not said here, the portal decides, so that `bookend serve` by itself finds the same data.
        for (name, value) in [("--data-dir", &options.data_dir), ("--listen", &options.listen)] {
            if let Some(value) = value {
                portal.arg(name).arg(value);
            }
        }
    }
    let error = portal.exec();
    Err(format!("Cannot start {:?}: {error}", portal.get_program()))
}

pub fn build_only() -> Outcome<()> {
    let workspace = Workspace::find();
    build_for(&workspace, false, true)?;
    println!("{}", workspace.dist().display());
    Ok(())
}

/// Sets up and builds everything in release.
pub fn build(workspace: &Workspace) -> Outcome<()> {
    build_for(workspace, false, false)
}

/// `others`: with the agent for servers with other processors. It takes minutes, for which nobody has to wait who tries Bookend out;
/// who has it keeps it, of the same age as everything else.
fn build_for(workspace: &Workspace, fake_ec2: bool, others: bool) -> Outcome<()> {
    let progress = Progress::begin();
    prepare(workspace, &progress, fake_ec2, others).map(|()| eprintln!("{}", progress.end()))
}

fn prepare(workspace: &Workspace, progress: &Progress, fake_ec2: bool, others: bool) -> Outcome<()> {
    let compiler = wasm::choose(workspace, progress)?;
    let bodies = if fake_ec2 { machine::BODIES } else { &[] };
    let needs = [machine::RUNNING, bodies, compiler.needs()].concat();
    machine::provide(workspace, progress, "build Bookend and run servers of its own", &needs)?;
    compiler.prepare(workspace, progress)?;
    let wanted = others || others::was_made(&workspace.dist()) || (fake_ec2 && others::is_usual());
    let other = if wanted { others::prepared(workspace, progress, fake_ec2) } else { None };
    build::everything(workspace, progress, &compiler, Flavour::Release, other)?;
    if fake_ec2 { build::fake_ec2(workspace, progress) } else { Ok(()) }
}
