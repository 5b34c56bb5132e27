//! The portable repository of a running portal: restic reads it, another portal takes it over, and trouble with it harms nothing.

mod bucket;
mod lies;
mod secrets;
mod trouble;
mod whole;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tests::{Api, Outcome, Portal, Setting};
use tokio::process::Command;

const PASSWORD: &str = "canary-kanarienvogel-47";

/// A portal with a repository in this folder.
async fn portal_with(repository: &Path) -> Outcome<Portal> {
    let place = repository.display().to_string();
    Setting::new()?.options(&["--repository", &place]).variable("BOOKEND_REPOSITORY_PASSWORD", PASSWORD).start().await
}

fn place() -> Outcome<(tempfile::TempDir, PathBuf)> {
    let home = tempfile::Builder::new().prefix("bookend-repository-").tempdir()?;
    let folder = home.path().join("repository");
    Ok((home, folder))
}

async fn restic(repository: impl AsRef<OsStr>, arguments: &[&str]) -> Outcome<Output> {
    let mut command = Command::new("restic");
    command.arg("--no-cache").arg("--repo").arg(repository).args(arguments).envs(bucket::KEYS);
    let output = command.env("RESTIC_PASSWORD", PASSWORD).output().await?;
    match output.status.success() {
        true => Ok(output),
        false => Err(format!("restic {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Runs a command of `bookend` that must succeed; what it printed.
async fn said(portal: &Portal, api: &Api, arguments: &[&str]) -> Outcome<String> {
    let output = portal.cli(api, arguments).await?;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.success() {
        true => Ok(said.into_owned()),
        false => {
            Err(format!("{arguments:?} ended with {}: {said}{complained}\n{}", output.status, portal.log()).into())
        }
    }
}

async fn sh(portal: &Portal, api: &Api, environment: &str, script: &str) -> Outcome<String> {
    said(portal, api, &["exec", &format!("{environment}/api"), "--", "sh", "-c", script]).await
}

/// An environment with words in its volume, and a snapshot of them; the snapshot's id.
async fn kept(portal: &Portal, api: &Api, name: &str, script: &str) -> Outcome<String> {
    api.order("site", name).await?;
    api.await_state(name, "ready").await?;
    sh(portal, api, name, script).await?;
    let taken = said(portal, api, &["--json", "snapshot", "create", name, "--wait"]).await?;
    let taken: Value = serde_json::from_str(&taken)?;
    Ok(taken["id"].as_str().ok_or("a snapshot without an id")?.to_owned())
}

async fn exported(portal: &Portal, api: &Api, name: &str, snapshot: &str) -> Outcome<Value> {
    let said =
        said(portal, api, &["--json", "snapshot", "export", name, snapshot, "--wait", "--timeout", "300"]).await?;
    Ok(serde_json::from_str(&said)?)
}

/// Once the repository is as the story wants it.
async fn await_repository(api: &Api, what: &str, is: impl Fn(&Value) -> bool) -> Outcome<Value> {
    let mut last = Value::Null;
    for _ in 0..600 {
        last = api.get("/repository").await?.expect_success()?;
        if is(&last) {
            return Ok(last);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(format!("the repository never became {what}: {last:#}").into())
}

/// The folder of the one volume that a snapshot has on this machine.
fn volume_of(portal: &Portal, snapshot: &str) -> Outcome<PathBuf> {
    let mut found = None;
    for environment in fs::read_dir(portal.data_directory().join("local/snapshots"))? {
        let volumes = environment?.path().join(snapshot).join("volumes");
        if volumes.is_dir() {
            found = fs::read_dir(volumes)?.next().transpose()?.map(|volume| volume.path());
        }
    }
    Ok(found.ok_or("the snapshot has no volume")?)
}

const WORDS: &str = "mkdir -p /site/deep/er && echo first > /site/word && ln -s ../word /site/deep/link && \
     printf 'x' > \"$(printf '/site/a\\nb')\" && ln /site/word /site/deep/same && truncate -s 1M /site/hole && chmod 600 /site/word";
