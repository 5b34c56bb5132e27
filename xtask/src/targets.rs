//! The standard library of the compiler in use for other machines than this one. rustup brings it where it can.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::machine;
use crate::progress::Progress;
use crate::run;
use crate::workspace::Workspace;

/// Whether it is there, and if not, was brought. `title` is what people are told of it.
pub fn provided(workspace: &Workspace, progress: &Progress, title: &'static str, target: &str) -> bool {
    if is_there(target) {
        progress.fresh(title, "all there");
        return true;
    }
    if !machine::has("rustup") {
        return false;
    }
    let brought = progress.part(title, |part| {
        let mut rustup = Command::new("rustup");
        rustup.args(["target", "add", target]);
        let log = workspace.log(&title.replace(' ', "-"));
        Ok(run::logged(&format!("add the {title}"), &mut rustup, &log, part).is_ok() && is_there(target))
    });
    brought.unwrap_or(false)
}

fn is_there(target: &str) -> bool {
    let libraries = run::answer(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    libraries.is_some_and(|folder| has_library(Path::new(&folder), "libstd-"))
}

pub fn has_library(folder: &Path, prefix: &str) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(prefix) && name.ends_with(".rlib")
        })
    })
}
