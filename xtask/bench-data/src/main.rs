//! What is called fast about data is measured here, against what Debian's programs do with the same tree in the same run.
//!
//! `bench-data AGENT PLACE MEGABYTES FILES`: makes a tree in PLACE, then on a btrfs and an XFS of its own (as root) and on PLACE's
//! filesystem takes snapshots, restores, verifies and exports it, beside `cp -a`, `rsync`, `restic` and `borg`. The page cache is
//! warm for all. Wall time depends on who else uses the machine; CPU seconds hardly do, so the aims about work are in these.
//!
//! `cargo xtask bench data` builds it and starts it in a mount namespace of its own: however it ends, its mounts and loop devices
//! go with it. Its folder goes too, unless it is killed with SIGKILL; the next run removes that.

mod disks;
mod meter;
mod others;
mod ours;
mod table;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::table::Table;

pub type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [agent, place, megabytes, files] => match (megabytes.parse(), files.parse()) {
            (Ok(megabytes), Ok(files)) => run(Path::new(agent), Path::new(place), megabytes, files),
            _ => Err("MEGABYTES and FILES are numbers.".into()),
        },
        _ => {
            eprintln!("usage: bench-data AGENT PLACE MEGABYTES FILES");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(agent: &Path, place: &Path, megabytes: u64, files: u64) -> Outcome<()> {
    let home = disks::Home::make(place)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("no runtime: {error}"))?;
    let clean = home.path().to_owned();
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            disks::sweep(&clean);
            std::process::exit(130);
        }
    });
    let tree = home.path().join("tree");
    eprintln!("making a tree of {megabytes} MB in {files} files");
    tree::make(&tree, megabytes * 1_000_000, files)?;
    let mut table = Table::default();
    for disk in disks::all(home.path()) {
        let (name, folder, fast) = match disk {
            Ok(disk) => disk,
            Err(why) => {
                println!("{why}");
                continue;
            }
        };
        eprintln!("on {name}");
        let measured = runtime.block_on(ours::moments(agent, &tree, &folder.join("ours"), &name, fast, &mut table));
        measured.map_err(|problem| format!("on {name}: {problem}"))?;
        if !fast {
            others::copies(&tree, &folder, &mut table)?;
        }
        disks::leave(&folder);
    }
    eprintln!("repositories");
    let repositories: PathBuf = home.path().join("repositories");
    std::fs::create_dir(&repositories).map_err(|error| format!("{}: {error}", repositories.display()))?;
    ours::exports(&tree, &repositories, &mut table)?;
    others::repositories(&tree, &repositories, &mut table);
    println!("{table}");
    Ok(())
}
