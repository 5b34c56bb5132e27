//! What Debian's programs take for the same.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::disks::stored;
use crate::meter::{Meter, Taken};
use crate::table::Table;

const PASSWORD: &str = "measured";

fn run(program: &str, arguments: &[&str], directory: &Path) -> Outcome<Taken> {
    let meter = Meter::start();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null());
    command.envs([("RESTIC_PASSWORD", PASSWORD), ("BORG_PASSPHRASE", PASSWORD)]);
    command.env("BORG_BASE_DIR", directory.join("borg-home"));
    let output =
        command.stderr(Stdio::piped()).output().map_err(|error| format!("{program} is not measured: {error}"))?;
    let taken = meter.stop();
    match output.status.success() {
        true => Ok(taken),
        false => Err(format!("{program} is not measured: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Copies of the whole tree, on the filesystem of `folder`.
pub fn copies(tree: &Path, folder: &Path, table: &mut Table) -> Outcome<()> {
    let from = tree.display().to_string();
    for (program, arguments) in [("cp", vec!["-a", &from, "copied"]), ("rsync", vec!["-aH", &from, "copied"])] {
        match run(program, &arguments, folder) {
            Ok(taken) => {
                table.add(&format!("{program} -a"), "copy", taken, Some(stored(&folder.join("copied"))));
            }
            Err(why) => table.say(why),
        }
        let again = (program == "rsync").then(|| run(program, &arguments, folder));
        if let Some(Ok(taken)) = again {
            table.add("rsync -a", "copy, unchanged", taken, None);
        }
        let _ = std::fs::remove_dir_all(folder.join("copied"));
    }
    Ok(())
}

pub fn repositories(tree: &Path, repositories: &Path, table: &mut Table) {
    let from = tree.display().to_string();
    let restic = |words: &[&str]| run("restic", &[&["--no-cache", "--repo", "restic"], words].concat(), repositories);
    let measured = restic(&["init"]).and_then(|_| {
        table.add("restic", "backup", restic(&["backup", &from])?, Some(stored(&repositories.join("restic"))));
        table.add("restic", "backup, unchanged", restic(&["backup", &from])?, None);
        table.add("restic", "restore", restic(&["restore", "latest", "--target", "restic-restored"])?, None);
        Ok(())
    });
    if let Err(why) = measured {
        table.say(why);
    }
    let _ = std::fs::remove_dir_all(repositories.join("restic-restored"));
    let borg = |words: &[&str]| run("borg", words, repositories);
    let measured = borg(&["init", "--encryption", "repokey", "borg"]).and_then(|_| {
        table.add("borg", "backup", borg(&["create", "borg::one", &from])?, Some(stored(&repositories.join("borg"))));
        table.add("borg", "backup, unchanged", borg(&["create", "borg::two", &from])?, None);
        Ok(())
    });
    if let Err(why) = measured {
        table.say(why);
    }
}
