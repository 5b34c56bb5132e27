//! `snapshot export` and `snapshot import`: to the portable repository, and from there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use app::api::{
    EnvironmentDetail, ExportState, ImportRequest, ImportState, ImportView, RepositorySnapshot, RepositoryView,
    SnapshotView, TransferView,
};
use clap::Args;
use serde_json::json;

use super::arguments::{Assignment, WaitArguments};
use super::client::Client;
use super::failure::Failure;
use super::order::parameters;
use super::output::{Output, clean, table, time};
use super::wait::{self, Target};
use crate::domain::template::quantity::display_bytes;

/// How something comes along is asked this often.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct ExportArguments {
    #[arg(value_name = "ENV", add = crate::cli::complete::environments())]
    environment: String,
    /// Its id, or `latest`
    snapshot: String,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Without SNAPSHOT: lists what the repository has, of this portal and of others.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// Its id in the repository, or the first 8 digits and more
    #[arg(requires = "name")]
    snapshot: Option<String>,
    /// Name of the new environment
    #[arg(long, requires = "snapshot")]
    name: Option<String>,
    /// Value of a parameter, instead of the one it had; secrets have to be given; may be given several times
    #[arg(long = "set", value_name = "PARAMETER=VALUE", requires = "snapshot")]
    set: Vec<Assignment>,
    /// Value of a parameter from a file, without one line end at its end; `-` is standard input
    #[arg(long = "set-file", value_name = "PARAMETER=FILE", requires = "snapshot")]
    set_file: Vec<Assignment>,
    #[command(flatten)]
    wait: WaitArguments,
}

pub async fn export(client: &Client, export: ExportArguments, output: Output) -> Result<(), Failure> {
    let ExportArguments { environment, snapshot, wait } = export;
    let path = ["environments", &environment, "snapshots", &snapshot, "export"];
    let mut view: SnapshotView = client.post(&path, &json!({}), &[]).await?;
    let began = Instant::now();
    let mut told = String::new();
    loop {
        if !wait.wait {
            break;
        }
        let state = view.export.as_ref().map(|export| export.state);
        match (state, &view.export) {
            (Some(ExportState::Exported), _) => break,
            (Some(ExportState::Failed), Some(export)) => {
                let why = export.failure.clone().unwrap_or_default();
                return Err(Failure::environment(format!("the snapshot was not exported: {}", clean(&why)))
                    .detail("It is tried again by itself.".to_owned()));
            }
            (Some(ExportState::Exporting), Some(export)) => {
                tell(export.progress.as_ref(), "exported", &mut told, output);
            }
            _ => {}
        }
        in_time(&wait, began, "exported")?;
        tokio::time::sleep(LOOK).await;
        let all: Vec<SnapshotView> = client.get(&["environments", &environment, "snapshots"], &[]).await?;
        let found = all.into_iter().find(|one| one.id == view.id);
        view = found.ok_or_else(|| Failure::environment("the snapshot was deleted meanwhile".to_owned()))?;
    }
    output.result(&view, || exported(&view))
}

fn exported(view: &SnapshotView) -> String {
    let Some(export) = &view.export else { return view.id.clone() };
    let of_it = match (export.bytes_total, export.bytes_added) {
        (Some(total), Some(added)) => format!(", {} of {} were new", display_bytes(added), display_bytes(total)),
        (Some(total), None) => format!(", {}", display_bytes(total)),
        _ => String::new(),
    };
    let name = export.repository_snapshot.as_deref().map(|name| format!(" as {}", short(name))).unwrap_or_default();
    format!("{}: {}{name}{of_it}", view.id, export.state.as_str())
}

pub async fn import(client: &Client, import: ImportArguments, output: Output) -> Result<(), Failure> {
    let (Some(snapshot), Some(name)) = (&import.snapshot, &import.name) else { return list(client, output).await };
    let parameters: BTreeMap<String, String> = parameters(&import.set, &import.set_file)?;
    let request = ImportRequest { name: name.clone(), parameters };
    let mut view: ImportView =
        client.post(&["repository", "snapshots", snapshot, "import"], &json!(request), &[]).await?;
    let began = Instant::now();
    let mut told = String::new();
    loop {
        if !import.wait.wait {
            break;
        }
        match view.state {
            ImportState::Imported => break,
            ImportState::Failed => {
                let why = view.failure.clone().unwrap_or_default();
                return Err(Failure::environment(format!("“{name}” was not imported: {}", clean(&why))));
            }
            ImportState::Wanted | ImportState::Importing => {
                tell(view.progress.as_ref(), "imported", &mut told, output);
            }
        }
        in_time(&import.wait, began, "imported")?;
        tokio::time::sleep(LOOK).await;
        let repository: RepositoryView = client.get(&["repository"], &[]).await?;
        let found = repository.imports.into_iter().find(|one| one.environment_id == view.environment_id);
        view = found.ok_or_else(|| Failure::environment(format!("nothing is known of the import of “{name}”")))?;
    }
    if import.wait.wait {
        let id = view.environment_id.clone();
        let there: Option<EnvironmentDetail> = wait::until(client, &id, Target::Ready, &import.wait, output).await?;
        if let Some(detail) = there {
            return output.result(&detail, || format!("{}: {}", clean(&detail.summary.name), detail.summary.state));
        }
    }
    output.result(&view, || format!("{}: {}", clean(&view.environment), view.state.as_str()))
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let all: Vec<RepositorySnapshot> = client.get(&["repository", "snapshots"], &[]).await?;
    output.result(&all, || listed(&all))
}

fn listed(all: &[RepositorySnapshot]) -> String {
    if all.is_empty() {
        return "The repository is empty. `bookend snapshot export` brings a snapshot there.".into();
    }
    let row = |one: &RepositorySnapshot| {
        vec![
            short(&one.id).to_owned(),
            time(one.taken_at),
            clean(&one.environment),
            clean(one.template.as_deref().unwrap_or("")),
            clean(&one.volumes.join(", ")),
            one.bytes.map(display_bytes).unwrap_or_default(),
            clean(one.installation.as_deref().map(short).unwrap_or("")),
            clean(one.obstacle.as_deref().unwrap_or(&one.label)),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let header = ["SNAPSHOT", "TAKEN", "ENVIRONMENT", "TEMPLATE", "VOLUMES", "SIZE", "PORTAL", ""];
    table(&header, &rows)
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// How far it is, when that has changed.
fn tell(progress: Option<&TransferView>, done: &str, told: &mut String, output: Output) {
    let Some(progress) = progress.filter(|progress| progress.bytes_total > 0) else { return };
    let percent = progress.bytes_done.saturating_mul(100) / progress.bytes_total.max(1);
    let rate = progress.bytes_per_second.map(|rate| format!(", {}/s", display_bytes(rate))).unwrap_or_default();
    let left = progress.milliseconds_left.map(|left| format!(", {} s left", (left + 999) / 1000)).unwrap_or_default();
    let words = format!("{percent} % {done}{rate}{left}");
    if words != *told {
        output.passing(&words);
        *told = words;
    }
}

fn in_time(wait: &WaitArguments, began: Instant, done: &str) -> Result<(), Failure> {
    match wait.timeout.is_some_and(|seconds| began.elapsed() > Duration::from_secs(seconds)) {
        true => Err(Failure::environment(format!("it was not {done} in time")).detail("It goes on.".to_owned())),
        false => Ok(()),
    }
}
