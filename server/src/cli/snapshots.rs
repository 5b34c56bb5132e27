//! `snapshot`, `restore` and `undelete`: what volumes hold, kept and brought back.

use std::time::{Duration, Instant};

use app::api::{
    DrillReach, DrillResult, DrillView, EnvironmentDetail, EnvironmentSummary, FileChangeKind, Page, RestoreRequest,
    SnapshotChange, SnapshotComparison, SnapshotCopyState, SnapshotCopyView, SnapshotRequest, SnapshotRule,
    SnapshotState, SnapshotVerification, SnapshotView, SnapshotWarmth, SnapshotWarmthState, State, VolumePresence,
    WarmRequest,
};
use app::words::dollars;
use reqwest::Method;
use serde_json::json;

use super::arguments::{OneSnapshot, RestoreArguments, SnapshotCommand, UndeleteArguments, WaitArguments};
use super::client::Client;
use super::copy::Bar;
use super::events::Events;
use super::failure::{Failure, exit};
use super::output::{Output, clean, table, time};
use super::repository;
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
                taken = until_complete(client, &environment, &taken.id, &wait, output).await?;
            }
            output.result(&taken, || format!("{}: {}", taken.id, taken.state.as_str()))
        }
        SnapshotCommand::List { environment } => {
            let all = all(client, &environment).await?;
            output.result(&all, || listed(&all))
        }
        SnapshotCommand::Show(one) => {
            let found = find(client, &one).await?;
            output.result(&found, || shown(&found))
        }
        SnapshotCommand::Verify(one) => verify(client, &one, output).await,
        SnapshotCommand::Diff { first, second } => {
            let path = ["environments", &first.environment, "snapshots", &first.snapshot, "compare"];
            let mut query = vec![("follow", "true")];
            query.extend(second.iter().map(|second| ("with", second.as_str())));
            let compared: SnapshotComparison = Events::of(client.stream(&path, &query).await?).outcome(output).await?;
            output.result(&compared, || differences(&compared))
        }
        SnapshotCommand::Delete(OneSnapshot { environment, snapshot }) => {
            client.delete(&["environments", &environment, "snapshots", &snapshot], &[]).await?;
            output.result(&json!({ "deleted": snapshot }), || format!("{} is deleted", clean(&snapshot)))
        }
        SnapshotCommand::Label { one, label } => {
            let words = match label.trim() {
                "" => "has no label".to_owned(),
                label => format!("is called “{}”", clean(label)),
            };
            change(client, &one, SnapshotChange { label: Some(label), pinned: None }, &words, output).await
        }
        SnapshotCommand::Pin(one) => {
            let words = "is pinned: it never goes by itself";
            change(client, &one, SnapshotChange { label: None, pinned: Some(true) }, words, output).await
        }
        SnapshotCommand::Unpin(one) => {
            let change_to = SnapshotChange { label: None, pinned: Some(false) };
            change(client, &one, change_to, "is not pinned", output).await
        }
        SnapshotCommand::Warm { one, hours, off } => warm(client, &one, hours, off, output).await,
        SnapshotCommand::Rule { environment, cron, time_zone, template, never } => {
            let wanted = match (cron, template, never) {
                (Some(cron), ..) => Some(SnapshotRule::At { cron, time_zone }),
                (_, true, _) => Some(SnapshotRule::Template),
                (.., true) => Some(SnapshotRule::Never),
                _ => None,
            };
            rule(client, &environment, wanted, output).await
        }
        SnapshotCommand::Drill { environment, wait } => drill(client, &environment, &wait, output).await,
        SnapshotCommand::Export(export) => repository::export(client, export, output).await,
        SnapshotCommand::Import(import) => repository::import(client, import, output).await,
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
        None => {
            let found: EnvironmentDetail = client.get(&["environments", &environment], &[]).await?;
            // What is there would lose what it has now.
            if found.summary.state != State::Deleted {
                let (name, state) = (clean(&found.summary.name), found.summary.state);
                return Err(Failure::with(exit::REFUSED, "conflict", format!("“{name}” is {state}, not deleted"))
                    .detail(format!("`bookend restore {name} SNAPSHOT` brings an earlier moment of it back.")));
            }
            found.summary.id
        }
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
    one: &OneSnapshot,
    change: SnapshotChange,
    words: &str,
    output: Output,
) -> Result<(), Failure> {
    let path = ["environments", &one.environment, "snapshots", &one.snapshot];
    let changed: SnapshotView = client.patch(&path, &change).await?;
    output.result(&changed, || format!("{} {words}", changed.id))
}

async fn warm(
    client: &Client,
    one: &OneSnapshot,
    hours: Option<u32>,
    off: bool,
    output: Output,
) -> Result<(), Failure> {
    let path = ["environments", &one.environment, "snapshots", &one.snapshot, "warm"];
    let found: SnapshotView = match hours {
        Some(hours) => client.put(&path, &WarmRequest { hours }).await?,
        None => {
            if off {
                client.delete(&path, &[]).await?;
            }
            find(client, one).await?
        }
    };
    output.result(&found, || match &found.warmth {
        Some(warmth) => format!("{}: {}", found.id, warmth_in_words(warmth)),
        None => format!("{}: nobody keeps it warm, and that is not offered here", found.id),
    })
}

fn warmth_in_words(warmth: &SnapshotWarmth) -> String {
    let price = format!("about {} an hour", dollars(warmth.hour_cents));
    let zones = clean(&warmth.zones.join(", "));
    let until = warmth.until.map(|at| format!(" until {}", time(at))).unwrap_or_default();
    let doing = warmth.doing.as_deref().map(|doing| format!(" ({})", clean(doing))).unwrap_or_default();
    match warmth.state {
        SnapshotWarmthState::Cold => format!("not kept warm; in {zones} it would be for {price} (--hours)"),
        SnapshotWarmthState::Preparing => format!("getting ready{doing} in {zones}{until}, {price}"),
        SnapshotWarmthState::Ready => format!("back at full speed in {zones}{until}, {price}"),
        SnapshotWarmthState::Ending => format!("being ended in {zones}"),
        SnapshotWarmthState::Ended => format!("was back at full speed in {zones}{until}"),
        SnapshotWarmthState::Refused => {
            format!("not kept warm in {zones}: {}", clean(warmth.failure.as_deref().unwrap_or_default()))
        }
    }
}

async fn find(client: &Client, one: &OneSnapshot) -> Result<SnapshotView, Failure> {
    let mut all = all(client, &one.environment).await?.into_iter();
    let found = match one.snapshot.as_str() {
        "latest" => all.find(|other| other.state == SnapshotState::Complete),
        id => all.find(|other| other.id == id),
    };
    found.ok_or_else(|| Failure::not_found(format!("There is no snapshot “{}”", clean(&one.snapshot))))
}

/// Told how far it has come while it goes on; going away stops it.
async fn verify(client: &Client, one: &OneSnapshot, output: Output) -> Result<(), Failure> {
    let path = ["environments", &one.environment, "snapshots", &one.snapshot, "verify"];
    let request = client.request(Method::POST, &path)?.header("accept", "text/event-stream");
    let verification: SnapshotVerification = Events::of(client.send(request).await?).outcome(output).await?;
    output.result(&verification, || found(&verification))?;
    match verification.damaged {
        0 => Ok(()),
        _ => Err(Failure { exit: exit::ENVIRONMENT_FAILED, error: None }),
    }
}

fn found(verification: &SnapshotVerification) -> String {
    let read = format!("{} files, {}", verification.files, display_bytes(verification.bytes));
    if verification.damaged == 0 {
        return format!("{} is what was taken: {read}", verification.snapshot);
    }
    let places =
        if verification.damaged == 1 { "1 place".to_owned() } else { format!("{} places", verification.damaged) };
    let mut text = format!("{} is damaged in {places}: {read}", verification.snapshot);
    for damage in &verification.damage {
        text.push_str(&format!("\n  {}: {} {}", clean(&damage.volume), clean(&damage.path), damage.what));
    }
    text
}

fn shown(one: &SnapshotView) -> String {
    let mut rows: Vec<(&str, String)> = vec![
        ("Snapshot", one.id.clone()),
        ("State", one.state.as_str().to_owned()),
        ("Why", one.reason.as_str().to_owned()),
        ("Asked for by", one.actor.as_deref().map_or_else(|| "a schedule".to_owned(), clean)),
        ("Taken", time(one.taken_at.unwrap_or(one.requested_at))),
    ];
    let mut also = |name, value: Option<String>| rows.extend(value.map(|value| (name, value)));
    also("Label", Some(clean(&one.label)).filter(|label| !label.is_empty()));
    also("Failure", one.failure.as_deref().map(clean));
    also("Method", one.method.as_deref().filter(|method| !method.is_empty()).map(clean));
    also("Servers stood still", one.frozen_ms.map(|frozen| format!("{frozen} ms")));
    also("Verified", one.verified_at.map(time));
    also("Goes", one.expires_at.filter(|_| !one.pinned).map(time));
    also("Pinned", one.pinned.then(|| "it never goes by itself".to_owned()));
    let asked = |warmth: &&SnapshotWarmth| warmth.state != SnapshotWarmthState::Cold;
    rows.extend(one.warmth.iter().filter(asked).map(|warmth| ("Warm", warmth_in_words(warmth))));
    rows.extend(one.copies.iter().map(|copy| ("Copied", copied(copy))));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let facts: String = rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect();
    let volumes: Vec<Vec<String>> = one
        .volumes
        .iter()
        .map(|volume| {
            vec![
                volume.name.clone(),
                volume.files.to_string(),
                volume.directories.to_string(),
                display_bytes(volume.bytes),
                display_bytes(volume.stored_bytes),
                volume.digest.clone().unwrap_or_default(),
            ]
        })
        .collect();
    format!("{facts}\n{}", table(&["VOLUME", "FILES", "FOLDERS", "SIZE", "ON DISK", "DIGEST"], &volumes))
}

/// “to dublin, complete since 2026-11-22 …”.
fn copied(copy: &SnapshotCopyView) -> String {
    let to = clean(&copy.provisioner);
    let more = |words: &Option<String>| words.as_deref().map(|words| format!(": {}", clean(words))).unwrap_or_default();
    match copy.state {
        SnapshotCopyState::Complete => {
            format!(
                "to {to}, complete{}",
                copy.completed_at.map(|at| format!(" since {}", time(at))).unwrap_or_default()
            )
        }
        SnapshotCopyState::Copying => format!("to {to}, on its way{}", more(&copy.doing)),
        SnapshotCopyState::Wanted => format!("to {to}, waits for its turn{}", more(&copy.failure)),
        SnapshotCopyState::Failed => format!("to {to}, failed{}", more(&copy.failure)),
    }
}

fn differences(compared: &SnapshotComparison) -> String {
    let mut text = String::new();
    for volume in &compared.volumes {
        let name = clean(&volume.name);
        match volume.presence {
            VolumePresence::OnlyFirst => text.push_str(&format!("{name}: only the first has it\n")),
            VolumePresence::OnlySecond => text.push_str(&format!("{name}: only the second has it\n")),
            VolumePresence::Both if volume.added + volume.changed + volume.removed == 0 => {
                text.push_str(&format!("{name}: nothing differs\n"));
            }
            VolumePresence::Both => {
                let (added, changed, removed) = (volume.added, volume.changed, volume.removed);
                text.push_str(&format!("{name}: {added} added, {changed} changed, {removed} removed\n"));
                for change in &volume.changes {
                    let sign = match change.kind {
                        FileChangeKind::Added => '+',
                        FileChangeKind::Changed => '~',
                        FileChangeKind::Removed => '-',
                    };
                    text.push_str(&format!("  {sign} {} ({})\n", clean(&change.path), display_bytes(change.size)));
                }
                let more = added + changed + removed - volume.changes.len() as u64;
                if more > 0 {
                    text.push_str(&format!("  and {more} more\n"));
                }
            }
        }
    }
    text
}

async fn until_complete(
    client: &Client,
    environment: &str,
    snapshot: &str,
    wait: &WaitArguments,
    output: Output,
) -> Result<SnapshotView, Failure> {
    let began = Instant::now();
    let mut bar = Bar::new(None, output);
    loop {
        let found = all(client, environment).await?.into_iter().find(|one| one.id == snapshot);
        match found {
            Some(found) if found.state == SnapshotState::Complete => return Ok(found),
            Some(found) if matches!(found.state, SnapshotState::Failed | SnapshotState::Damaged) => {
                let why = found.failure.unwrap_or_else(|| "nobody knows why".to_owned());
                return Err(Failure::environment(format!("no snapshot of “{environment}” was taken: {}", clean(&why))));
            }
            None => return Err(Failure::environment(format!("the snapshot of “{environment}” was deleted meanwhile"))),
            Some(found) => {
                if let Some(work) = &found.reading {
                    bar.show(work);
                }
            }
        }
        if wait.timeout.is_some_and(|seconds| began.elapsed() > Duration::from_secs(seconds)) {
            return Err(Failure::environment(format!("the snapshot of “{environment}” was not complete in time")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn rule(client: &Client, environment: &str, wanted: Option<SnapshotRule>, output: Output) -> Result<(), Failure> {
    let detail: EnvironmentDetail = match wanted {
        Some(wanted) => client.put(&["environments", environment, "snapshot-rule"], &wanted).await?,
        None => client.get(&["environments", environment], &[]).await?,
    };
    let Some(rule) = detail.snapshot_rule else {
        return Err(Failure::local(format!("“{}” has no volumes: there is nothing to keep", clean(environment))));
    };
    output.result(&rule, || {
        let whose = if rule.rule == SnapshotRule::Template { "as its template says" } else { "by its own rule" };
        match &rule.words {
            Some(words) => format!("Snapshots are taken {words}, {whose}"),
            None => format!("No snapshots are taken by themselves, {whose}"),
        }
    })
}

async fn drill(client: &Client, environment: &str, wait: &WaitArguments, output: Output) -> Result<(), Failure> {
    let mut detail: EnvironmentDetail = client.post(&["environments", environment, "drill"], &json!({}), &[]).await?;
    let (id, began) = (detail.summary.id.clone(), Instant::now());
    while wait.wait && detail.drill.as_ref().is_some_and(|drill| drill.since.is_some()) {
        if wait.timeout.is_some_and(|seconds| began.elapsed() > Duration::from_secs(seconds)) {
            return Err(Failure::environment(format!("the drill of “{}” was not over in time", clean(environment))));
        }
        tokio::time::sleep(LOOK).await;
        detail = client.get(&["environments", &id], &[]).await?;
    }
    let drill = detail.drill.unwrap_or_default();
    match drill.last.as_ref().and_then(|last| last.failure.as_deref()).filter(|_| drill.since.is_none()) {
        Some(why) => {
            let why = clean(why);
            Err(Failure::environment(format!(
                "what is kept of “{}” could not be brought up: {why}",
                clean(environment)
            )))
        }
        None => output.result(&drill, || drilled(&drill)),
    }
}

fn drilled(drill: &DrillView) -> String {
    match (&drill.since, &drill.last) {
        (None, Some(DrillResult { reach: DrillReach::Ready, snapshot, .. })) => {
            format!("{snapshot} was restored elsewhere, and all servers became healthy")
        }
        (None, Some(DrillResult { reach: DrillReach::Data, snapshot, .. })) => {
            format!(
                "{snapshot} was restored elsewhere, and it is what was taken; servers that need the internet stayed down"
            )
        }
        _ => "A drill has begun".to_owned(),
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
                one.export.as_ref().map(|export| export.state.as_str().to_owned()).unwrap_or_default(),
                clean(one.failure.as_deref().unwrap_or(&one.label)),
            ]
        })
        .collect();
    table(&["SNAPSHOT", "STATE", "WHY", "TAKEN", "FILES", "SIZE", "FROZEN", "", "COPY", "LABEL"], &rows)
}
