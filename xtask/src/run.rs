//! Running other programs: quietly into a log while all is well, with the end of that log when it is not.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::Outcome;
use crate::progress::Part;

/// How the problem of a program begins that was ended because another failed.
pub const GAVE_UP: &str = "Did not finish to";

const LINES_SHOWN_ON_FAILURE: usize = 60;

/// Runs `command`, which `attempt` names ("build the agent"), writing all it says to `log` and its latest line to `part`.
pub fn logged(attempt: &str, command: &mut Command, log: &Path, part: &Part) -> Outcome<()> {
    if let Some(directory) = log.parent() {
        fs::create_dir_all(directory).map_err(|error| format!("Cannot create {}: {error}", directory.display()))?;
    }
    let file = File::create(log).map_err(|error| format!("Cannot write {}: {error}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("Could not {attempt}: cannot run {:?}: {error}", command.get_program()))?;
    let written = Mutex::new((file, Counted::default()));
    let given_up = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if let Some(stdout) = child.stdout.take() {
            scope.spawn(|| copy_lines(BufReader::new(stdout), &written, part));
        }
        if let Some(stderr) = child.stderr.take() {
            scope.spawn(|| copy_lines(BufReader::new(stderr), &written, part));
        }
        // Something beside it failed: this one's result is of no use any more.
        while !child.try_wait().is_ok_and(|ended| ended.is_some()) {
            if part.others_failed() && !given_up.swap(true, Ordering::Relaxed) {
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let status = child.wait().map_err(|error| format!("Could not {attempt}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    if given_up.load(Ordering::Relaxed) {
        return Err(format!("{GAVE_UP} {attempt}."));
    }
    Err(format!("Could not {attempt} ({status}). All it said is in {}; the end of it:\n\n{}", log.display(), tail(log)))
}

/// Runs a program that speaks for itself.
pub fn shown(attempt: &str, command: &mut Command) -> Outcome<()> {
    let ended = command.status();
    let status =
        ended.map_err(|error| format!("Could not {attempt}: cannot run {:?}: {error}", command.get_program()))?;
    if status.success() { Ok(()) } else { Err(format!("Could not {attempt} ({status}).")) }
}

/// Runs a short program and returns what it printed, or `None` when it is missing or fails.
pub fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// How many crates cargo has begun, so that a waiting person sees it move.
#[derive(Default)]
struct Counted {
    crates: u32,
}

fn copy_lines(source: impl BufRead, written: &Mutex<(File, Counted)>, part: &Part) {
    for line in source.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let Ok(mut guard) = written.lock() else { return };
        let _ = writeln!(guard.0, "{line}");
        let words = line.trim();
        if let Some(compiled) = words.strip_prefix("Compiling ") {
            guard.1.crates += 1;
            let name = compiled.split(' ').next().unwrap_or_default();
            part.at(&format!("{} crates, {name}", guard.1.crates));
        } else if words.starts_with("Download") || words.starts_with("Updating") || words.starts_with("Blocking") {
            part.at(words);
        }
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN_ON_FAILURE)..].join("\n")
}
