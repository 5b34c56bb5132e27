//! Ends what a task started, however the task itself ends.
//!
//! A signal or a SIGKILL leaves no time to clean up. So a small shell stands by, reading from a pipe that only the task
//! holds open: when the task is gone, for whatever reason, the pipe closes and the shell ends the process and removes the
//! folder it was told of.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Outcome;

/// While this lives, nothing is touched; when it goes, `folder` goes.
pub struct Debris {
    broom: Child,
}

const SWEEP: &str = r#"
while read -r process; do processes="$processes $process"; done
for process in $processes; do kill -INT "$process" 2>/dev/null; done
for process in $processes; do
    tries=0
    while kill -0 "$process" 2>/dev/null && [ "$tries" -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
    kill -KILL "$process" 2>/dev/null
done
rm -rf -- "$1"
"#;

impl Debris {
    /// Makes sure `folder` is removed at the end.
    pub fn of(folder: &Path) -> Outcome<Self> {
        let broom = Command::new("sh")
            .args(["-c", SWEEP, "sweep"])
            .arg(folder)
            .stdin(Stdio::piped())
            // A group of its own: Ctrl-C at the keyboard must not reach it.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("Cannot run a shell: {error}"))?;
        Ok(Self { broom })
    }

    /// Makes sure `process` is ended too, before the folder goes.
    pub fn process(&mut self, process: u32) -> Outcome<()> {
        use std::io::Write;
        let pipe = self.broom.stdin.as_mut().ok_or("The shell that cleans up takes no more.")?;
        writeln!(pipe, "{process}").map_err(|error| format!("The shell that cleans up is gone: {error}"))
    }
}

impl Drop for Debris {
    fn drop(&mut self) {
        drop(self.broom.stdin.take());
        let _ = self.broom.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn when_it_goes_the_process_is_ended_and_the_folder_removed() {
        let folder = std::env::temp_dir().join(format!("bookend-debris-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("temp directory");
        let mut debris = Debris::of(&folder).expect("broom");
        let mut process = Command::new("sleep").arg("600").spawn().expect("sleep");
        debris.process(process.id()).expect("noted");
        let reaper = std::thread::spawn(move || process.wait().expect("ended"));
        drop(debris);
        assert!(!folder.exists());
        assert!(!reaper.join().expect("joined").success());
    }
}
