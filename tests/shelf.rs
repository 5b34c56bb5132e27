//! The portable repository of a running portal: restic reads it, another portal takes it over, and trouble with it harms nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tests::{Api, Outcome, Portal, Setting};
use tokio::process::Command;

const PASSWORD: &str = "canary-kanarienvogel-47";
const BYTES: usize = 48 * 1024 * 1024;

/// A portal with a repository in this folder.
async fn portal_with(repository: &Path) -> Outcome<Portal> {
    let place = repository.display().to_string();
    Setting::new()?.options(&["--repository", &place]).variable("BOOKEND_REPOSITORY_PASSWORD", PASSWORD).start().await
}

fn shelf() -> Outcome<(tempfile::TempDir, PathBuf)> {
    let home = tempfile::Builder::new().prefix("bookend-shelf-").tempdir()?;
    let folder = home.path().join("shelf");
    Ok((home, folder))
}

async fn restic(repository: &Path, arguments: &[&str]) -> Outcome<Output> {
    let mut command = Command::new("restic");
    command.arg("--no-cache").arg("--repo").arg(repository).args(arguments);
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

/// Names, kinds, modes, owners, times, links and contents.
async fn same(one: &Path, other: &Path) -> Outcome {
    for script in ["diff --recursive --no-dereference \"$0\" \"$1\"", LISTED] {
        let output = Command::new("bash").args(["-c", script]).args([one, other]).output().await?;
        if !output.status.success() {
            return Err(format!("they differ: {}", String::from_utf8_lossy(&output.stdout)).into());
        }
    }
    Ok(())
}

const LISTED: &str =
    "list() { cd \"$1\" && find . -printf '%P %y %m %U %T@ %l\\n' | sort; }; diff <(list \"$0\") <(list \"$1\")";

const WORDS: &str = "mkdir -p /site/deep/er && echo first > /site/word && ln -s ../word /site/deep/link && \
     printf 'x' > \"$(printf '/site/a\\nb')\" && ln /site/word /site/deep/same && truncate -s 1M /site/hole && chmod 600 /site/word";

#[tokio::test]
async fn restic_checks_and_restores_what_the_portal_exports_and_the_password_is_nowhere() -> Outcome {
    let (_home, folder) = shelf()?;
    let portal = portal_with(&folder).await?;
    let api = portal.administrator().await?;
    let snapshot = kept(&portal, &api, "shop", WORDS).await?;
    let view = exported(&portal, &api, "shop", &snapshot).await?;
    assert!(view["export"]["bytes_total"].as_u64() >= Some(1024 * 1024), "{view:#}");

    restic(&folder, &["check", "--read-data"]).await?;
    let target = portal.scratch().join("restored");
    let place = target.display().to_string();
    restic(&folder, &["restore", "latest", "--host", "shop", "--target", &place]).await?;
    let volume = fs::read_dir(&target)?.next().ok_or("nothing was restored")??.path();
    same(&volume_of(&portal, &snapshot)?, &volume).await?;

    // The second one shares what has not changed, and says so.
    sh(&portal, &api, "shop", "echo second > /site/word").await?;
    said(&portal, &api, &["snapshot", "create", "shop", "--wait"]).await?;
    let second = exported(&portal, &api, "shop", "latest").await?;
    assert!(second["export"]["bytes_added"].as_u64() < Some(64 * 1024), "{second:#}");
    let standing = await_repository(&api, "measured", |view| view["snapshots"] == 2).await?;
    assert!(standing["stored_bytes"].as_u64() < standing["bytes"].as_u64(), "{standing:#}");

    let lines = Command::new("sh").args(["-c", "cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' '"]).output().await?;
    assert!(!String::from_utf8_lossy(&lines.stdout).contains(PASSWORD), "among the processes");
    let files = Command::new("grep").args(["-r", "-l", "-a", PASSWORD]).arg(portal.scratch()).output().await?;
    assert_eq!(String::from_utf8_lossy(&files.stdout), "", "in the portal's files");
    let told = api.get("/operator").await?.body.to_string() + &standing.to_string();
    assert!(!told.contains(PASSWORD) && !portal.log().contains(PASSWORD));
    let inside = sh(&portal, &api, "shop", "cat /proc/*/environ | tr '\\0' '\\n'; env").await?;
    assert!(!inside.contains(PASSWORD), "in a server");
    api.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test]
async fn another_portal_makes_an_environment_of_what_a_lost_machine_left_in_the_repository() -> Outcome {
    let (_home, folder) = shelf()?;
    let first = portal_with(&folder).await?;
    let ann = first.administrator().await?;
    let snapshot = kept(&first, &ann, "shop", WORDS).await?;
    exported(&first, &ann, "shop", &snapshot).await?;
    ann.act("shop", "delete").await?;
    drop(first);

    let second = portal_with(&folder).await?;
    let ben = second.administrator().await?;
    let listed = said(&second, &ben, &["--json", "snapshot", "import"]).await?;
    let listed: Value = serde_json::from_str(&listed)?;
    let there = listed.as_array().into_iter().flatten().find(|one| one["environment"] == "shop");
    let there = there.ok_or_else(|| format!("it is not listed: {listed:#}"))?;
    assert!(
        there["obstacle"].is_null() && there["template"].as_str().is_some_and(|name| name.starts_with("site@")),
        "{there:#}"
    );
    let id = there["id"].as_str().unwrap_or_default();
    let import = ["snapshot", "import", &id[..8], "--name", "again", "--wait", "--timeout", "300"];
    let imported = said(&second, &ben, &import).await?;
    assert_eq!(imported.trim(), "again: ready");
    let words = "cat /site/word /site/deep/link /site/deep/same; stat -c '%a %h %s' /site/word /site/hole";
    assert_eq!(sh(&second, &ben, "again", words).await?, "first\nfirst\nfirst\n600 2 6\n644 1 1048576\n");

    // The name is taken now; another one does.
    let refused = second.cli(&ben, &["snapshot", "import", id, "--name", "again"]).await?;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("already"), "{refused:?}");
    ben.act("again", "delete").await?;
    Ok(())
}

#[tokio::test]
async fn an_export_that_the_portal_was_killed_in_is_finished_and_there_once() -> Outcome {
    let (_home, folder) = shelf()?;
    let mut portal = portal_with(&folder).await?;
    let api = portal.administrator().await?;
    let script = format!("head -c {BYTES} /dev/urandom > /site/much");
    let snapshot = kept(&portal, &api, "shop", &script).await?;
    for _ in 0..2 {
        let is = |all: &Value| matches!(all[0]["export"]["state"].as_str(), Some("exporting" | "exported"));
        api.await_below("shop", "/snapshots", "exporting", is).await?;
        portal.crash().await?;
    }
    let view = exported(&portal, &api, "shop", &snapshot).await?;
    assert_eq!(view["export"]["state"], "exported", "{view:#}");
    restic(&folder, &["check", "--read-data"]).await?;
    let all = restic(&folder, &["snapshots", "--json", "--tag", &format!("snapshot={snapshot}")]).await?;
    let all: Value = serde_json::from_slice(&all.stdout)?;
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all:#}");
    api.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test]
async fn a_repository_that_goes_away_is_told_in_words_and_harms_no_environment() -> Outcome {
    let (_home, folder) = shelf()?;
    let portal = portal_with(&folder).await?;
    let api = portal.administrator().await?;
    let elsewhere = folder.with_extension("away");
    fs::rename(&folder, &elsewhere)?;
    let snapshot = kept(&portal, &api, "shop", WORDS).await?;
    let failed = |all: &Value| all[0]["export"]["state"] == "failed";
    let all = api.await_below("shop", "/snapshots", "a failed export", failed).await?;
    let why = all[0]["export"]["failure"].as_str().unwrap_or_default();
    assert!(why.contains("there is no repository at") && why.contains("mounted"), "{why}");
    let told = |view: &Value| view["trouble"].as_str().is_some_and(|trouble| trouble.contains("no repository"));
    await_repository(&api, "in trouble", told).await?;
    assert_eq!(sh(&portal, &api, "shop", "cat /site/word").await?, "first\n");
    assert_eq!(api.environment("shop").await?["state"], "ready");

    fs::rename(&elsewhere, &folder)?;
    exported(&portal, &api, "shop", &snapshot).await?;
    await_repository(&api, "well", |view| view["trouble"].is_null() && view["exported"] == 1).await?;
    api.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test]
async fn what_is_damaged_in_the_repository_is_refused_by_name_and_nothing_of_it_is_here() -> Outcome {
    let (_home, folder) = shelf()?;
    let portal = portal_with(&folder).await?;
    let api = portal.administrator().await?;
    let snapshot = kept(&portal, &api, "shop", &format!("head -c {} /dev/urandom > /site/much", 4 << 20)).await?;
    let view = exported(&portal, &api, "shop", &snapshot).await?;
    let name = view["export"]["repository_snapshot"].as_str().ok_or("no name")?.to_owned();
    let mut packs = Vec::new();
    for part in fs::read_dir(folder.join("data"))? {
        for pack in fs::read_dir(part?.path())? {
            packs.push(pack?.path());
        }
    }
    packs.sort_by_key(|pack| fs::metadata(pack).map_or(0, |meta| meta.len()));
    let largest = packs.pop().ok_or("nothing was stored")?;
    let mut bytes = fs::read(&largest)?;
    for (what, cut) in [("damaged", false), ("cut", true)] {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let damaged = if cut { &bytes[..middle] } else { &bytes[..] };
        fs::remove_file(&largest)?;
        fs::write(&largest, damaged)?;
        let import = ["snapshot", "import", &name, "--name", what, "--wait", "--timeout", "120"];
        let refused = portal.cli(&api, &import).await?;
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(6), "{words}");
        assert!(words.contains("data/") && words.contains("damaged"), "{words}");
        assert_eq!(api.get(&format!("/environments/{what}")).await?.status.as_u16(), 404, "nothing is made of it");
    }
    let places = fs::read_dir(portal.data_directory().join("local/snapshots"))?.count();
    assert_eq!(places, 1, "only the environment's own snapshots are here");
    assert_eq!(api.environment("shop").await?["state"], "ready");
    api.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test]
async fn a_portal_that_cannot_use_its_repository_says_why_and_does_not_start() -> Outcome {
    let (home, folder) = shelf()?;
    let place = folder.display().to_string();
    drop(portal_with(&folder).await?);
    let with = |place: &str, password: &str| -> Outcome<Setting> {
        Ok(Setting::new()?.options(&["--repository", place]).variable("BOOKEND_REPOSITORY_PASSWORD", password))
    };
    let wrong = with(&place, "canary-wrong")?.refusal().await?;
    assert!(wrong.contains("the password does not open the repository") && !wrong.contains("canary"), "{wrong}");
    let none = with(&place, "")?.refusal().await?;
    assert!(none.contains("--repository-password-file"), "{none}");
    fs::write(home.path().join("file"), "")?;
    let other = with(&home.path().display().to_string(), PASSWORD)?.refusal().await?;
    assert!(other.contains("there is no repository at"), "{other}");
    let nowhere = with("/nowhere/at/all", PASSWORD)?.refusal().await?;
    assert!(nowhere.contains("/nowhere/at/all"), "{nowhere}");
    Ok(())
}
