//! What goes there comes back as it was, through restic and through another portal, and the password is nowhere.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::Outcome;
use tokio::process::Command;

use super::{PASSWORD, WORDS, await_repository, exported, kept, place, portal_with, restic, said, sh, volume_of};

#[tokio::test]
async fn restic_checks_and_restores_what_the_portal_exports_and_the_password_is_nowhere() -> Outcome {
    let (_home, folder) = place()?;
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
    let (_home, folder) = place()?;
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
