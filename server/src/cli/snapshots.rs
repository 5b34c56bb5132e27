//! `snapshot`, `restore` and `undelete`: what volumes hold, kept and brought back.

use std::time::{Duration, Instant};

use app::api::{
    EnvironmentDetail, EnvironmentSummary, Page, RestoreRequest, SnapshotChange, SnapshotRequest, SnapshotState,
    SnapshotView,
};
use serde_json::json;

use super::arguments::{RestoreArguments, SnapshotCommand, UndeleteArguments, WaitArguments};
use super::client::Client;
use super::failure::Failure;
use super::output::{Output, clean, table, time};
use super::wait::{self, Target};
use crate::domain::template::quantity::display_bytes;

/// How a snapshot comes along is asked this often.
const LOOK: Duration = Duration::from_millis(300);

pub async fn snapshot(client: &Client, command: SnapshotCommand, output: Output) -> Result<(), Failure> {
    match command {
        SnapshotCommand::Create { environment, label, wait } => {
            let path = ["environments", &environment, "snapshots"];
            let request = SnapshotRequest { label: label.unwrap_or_default() };
            let mut taken: SnapshotView = client.post(&path, &json!(request), &[]).await?;
            if wait.wait {
                taken = until_complete(client, &environment, &taken.id, &wait).await?;
            }
            output.result(&taken, || format!("{}: {}", taken.id, taken.state.as_str()))
        }
        SnapshotCommand::List { environment } => {
            let all = all(client, &environment).await?;
            output.result(&all, || listed(&all))
        }
        SnapshotCommand::Delete { environment, snapshot } => {
            client.delete(&["environments", &environment, "snapshots", &snapshot]).await?;
            output.result(&json!({ "deleted": snapshot }), || format!("{} is deleted", clean(&snapshot)))
        }
        SnapshotCommand::Pin { environment, snapshot } => change(client, &environment, &snapshot, true, output).await,
        SnapshotCommand::Unpin { environment, snapshot } => {
            change(client, &environment, &snapshot, false, output).await
        }
    }
}

pub async fn restore(client: &Client, restore: RestoreArguments, output: Output) -> Result<(), Failure> {
    let path = ["environments", &restore.environment, "restore"];
    let request = RestoreRequest { snapshot: Some(restore.snapshot) };
    let before: EnvironmentDetail = client.post(&path, &json!(request), &[]).await?;
    came_back(client, before, &restore.wait, output).await
}

/// By name, the one that was deleted last; with its final snapshot, the newest.
pub async fn undelete(client: &Client, undelete: UndeleteArguments, output: Output) -> Result<(), Failure> {
    let UndeleteArguments { environment, wait } = undelete;
    let query = [("state", "deleted"), ("search", environment.as_str()), ("limit", "200")];
    let deleted: Page<EnvironmentSummary> = client.get(&["environments"], &query).await?;
    let id = match deleted.items.into_iter().find(|one| one.name == environment) {
        Some(found) => found.id,
        None => environment,
    };
    let request = RestoreRequest::default();
    let before: EnvironmentDetail = client.post(&["environments", &id, "restore"], &json!(request), &[]).await?;
    came_back(client, before, &wait, output).await
}

async fn came_back(
    client: &Client,
    before: EnvironmentDetail,
    wait: &WaitArguments,
    output: Output,
) -> Result<(), Failure> {
    let mut detail = before;
    if wait.wait {
        let id = detail.summary.id.clone();
        if let Some(now) = wait::until(client, &id, Target::Settled, wait, output).await? {
            detail = now;
        }
    }
    output.result(&detail, || format!("{}: {}", clean(&detail.summary.name), detail.summary.state))
}

async fn change(
    client: &Client,
    environment: &str,
    snapshot: &str,
    pinned: bool,
    output: Output,
) -> Result<(), Failure> {
    let change = SnapshotChange { label: None, pinned: Some(pinned) };
    let changed: SnapshotView = client.patch(&["environments", environment, "snapshots", snapshot], &change).await?;
    let words = if pinned { "is pinned: it never goes by itself" } else { "is not pinned" };
    output.result(&changed, || format!("{} {words}", changed.id))
}

async fn until_complete(
    client: &Client,
    environment: &str,
    snapshot: &str,
    wait: &WaitArguments,
) -> Result<SnapshotView, Failure> {
    let began = Instant::now();
    loop {
        let found = all(client, environment).await?.into_iter().find(|one| one.id == snapshot);
        match found {
            Some(found) if found.state == SnapshotState::Complete => return Ok(found),
            Some(found) if matches!(found.state, SnapshotState::Failed | SnapshotState::Damaged) => {
                let why = found.failure.unwrap_or_else(|| "nobody knows why".to_owned());
                return Err(Failure::environment(format!("no snapshot of “{environment}” was taken: {}", clean(&why))));
            }
            None => return Err(Failure::environment(format!("the snapshot of “{environment}” was deleted meanwhile"))),
            Some(_) => {}
        }
        if wait.timeout.is_some_and(|seconds| began.elapsed() > Duration::from_secs(seconds)) {
            return Err(Failure::environment(format!("the snapshot of “{environment}” was not complete in time")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn all(client: &Client, environment: &str) -> Result<Vec<SnapshotView>, Failure> {
    client.get(&["environments", environment, "snapshots"], &[]).await
}

fn listed(all: &[SnapshotView]) -> String {
    if all.is_empty() {
        return "No snapshots. `bookend snapshot create` takes one; parking does too.".into();
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            let bytes = one.volumes.iter().map(|volume| volume.bytes).sum();
            let files: u64 = one.volumes.iter().map(|volume| volume.files).sum();
            vec![
                one.id.clone(),
                one.state.as_str().to_owned(),
                one.reason.as_str().to_owned(),
                time(one.taken_at.unwrap_or(one.requested_at)),
                files.to_string(),
                display_bytes(bytes),
                one.frozen_ms.map(|frozen| format!("{frozen} ms")).unwrap_or_default(),
                if one.pinned { "pinned".to_owned() } else { String::new() },
                clean(one.failure.as_deref().unwrap_or(&one.label)),
            ]
        })
        .collect();
    table(&["SNAPSHOT", "STATE", "WHY", "TAKEN", "FILES", "SIZE", "FROZEN", "", "LABEL"], &rows)
}
