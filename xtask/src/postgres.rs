//! A PostgreSQL of the tests' own: made empty, reached by a unix socket only, gone at the end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::debris::Debris;
use crate::machine;
use crate::progress::Part;
use crate::run;
use crate::workspace::Workspace;

pub struct Postgres {
    /// For `BOOKEND_TEST_POSTGRES`.
    pub url: String,
    _debris: Debris,
}

/// Starts it. As root it runs as the user `postgres`, because it refuses to run as root.
pub fn start(workspace: &Workspace, part: &Part) -> Outcome<Postgres> {
    let program = |name: &str| machine::find(name).ok_or_else(|| format!("There is no {name} on this machine."));
    let (initdb, postgres) = (program("initdb")?, program("postgres")?);
    // In the system's folder for temporary files: socket paths must be short, and the other user must reach it.
    let folder = std::env::temp_dir().join(format!("bookend-postgres-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).map_err(|error| format!("Cannot create {}: {error}", folder.display()))?;
    let mut debris = Debris::of(&folder)?;
    let user = if machine::is_root() { Some("postgres") } else { None };
    if let Some(user) = user {
        let owned = Command::new("chown").arg(format!("{user}:")).arg(&folder).status();
        if !owned.is_ok_and(|status| status.success()) {
            return Err(format!("Cannot give {} to the user {user}.", folder.display()));
        }
    }
    let open = fs::set_permissions(&folder, fs::Permissions::from_mode(0o755));
    open.map_err(|error| format!("Cannot open {}: {error}", folder.display()))?;

    part.at("making an empty database");
    let data = folder.join("data");
    let mut make = as_user(user, &initdb);
    make.arg("--pgdata").arg(&data).args(["--username=bookend", "--auth=trust", "--no-sync", "--encoding=UTF8"]);
    make.args(["--locale=C", "--no-instructions"]);
    run::logged("make a database for the tests", &mut make, &workspace.log("initdb"), part)?;

    part.at("starting");
    let log = workspace.log("postgres");
    let output = fs::File::create(&log).map_err(|error| format!("Cannot write {}: {error}", log.display()))?;
    let mut server = as_user(user, &postgres)
        .arg("-D")
        .arg(&data)
        .arg("-k")
        .arg(&folder)
        // Nothing of it needs to survive: no waiting for the disk. Many tests at once, each with connections of its own.
        .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "synchronous_commit=off"])
        .args(["-c", "full_page_writes=off", "-c", "max_connections=400"])
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(|error| format!("Cannot write {}: {error}", log.display()))?)
        .stderr(output)
        .spawn()
        .map_err(|error| format!("Cannot start PostgreSQL: {error}"))?;
    debris.process(server.id())?;
    await_answers(&program("pg_isready")?, &folder, &mut server, &log)?;
    // Reaps it: a zombie would look alive to whoever waits for its end.
    std::thread::spawn(move || server.wait());
    let url = format!("postgres://bookend@localhost/postgres?host={}", folder.display());
    Ok(Postgres { url, _debris: debris })
}

/// PostgreSQL tells nobody when it is ready, so it is asked.
fn await_answers(pg_isready: &Path, folder: &Path, server: &mut Child, log: &Path) -> Outcome<()> {
    let patience = Instant::now() + Duration::from_secs(60);
    while run::answer(Command::new(pg_isready).arg("--quiet").arg("--host").arg(folder)).is_none() {
        let ended = server.try_wait().is_ok_and(|ended| ended.is_some());
        if ended || Instant::now() > patience {
            let what = if ended { "ended at once" } else { "did not answer for a minute" };
            return Err(format!("PostgreSQL {what}; what it said is in {}.", log.display()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn as_user(user: Option<&str>, program: &Path) -> Command {
    let Some(user) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}")]).args(["--init-groups", "--"]).arg(program);
    // Its own folder: the one this program runs in may be closed to the other user.
    command.current_dir("/");
    command
}
