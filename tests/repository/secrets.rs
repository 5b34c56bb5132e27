//! Attack 21: what an environment was ordered with as secrets does not leave the portal with its snapshots.

use std::path::Path;

use repository::{Config, Place, Repository, Secret};
use tests::{Outcome, Setting};

use super::{PASSWORD, exported, place, restic, said};

const SECRET: &str = "canary-zaunkoenig-3141";
const MOTTO: &str = "canary-that-may-be-seen";

const VAULT: &str = r#"name: vault
version: "1"
title: Vault
summary: A server with a secret and a volume.
category: Tests
parameters:
  token: {type: secret}
  motto: {type: string}
servers:
  api:
    variables: {TOKEN: "${parameters.token}"}
volumes:
  site: {size: 1 GiB, mounts: {api: /site}}
"#;

/// Everything in a repository, decrypted: descriptions, the index, lists of files, what is in them, its own configuration.
async fn decrypted(repository: &Path) -> Outcome<String> {
    let mut all = String::from_utf8_lossy(&restic(repository, &["cat", "config"]).await?.stdout).into_owned();
    // restic shows of a description what it knows itself.
    let config = Config { place: Place::Folder(repository.to_owned()), password: Secret::new(PASSWORD) };
    let described = tokio::task::spawn_blocking(move || Repository::open(&config)?.list()).await??;
    all += &format!("{described:?}");
    for (kind, one) in [("snapshots", "snapshot"), ("index", "index"), ("keys", "key"), ("blobs", "blob")] {
        let listed = restic(repository, &["list", kind]).await?.stdout;
        for line in String::from_utf8_lossy(&listed).lines() {
            let id = line.split_whitespace().last().unwrap_or_default();
            all += &String::from_utf8_lossy(&restic(repository, &["cat", one, id]).await?.stdout);
        }
    }
    Ok(all)
}

#[tokio::test]
async fn attack_21_secret_parameters_are_nowhere_in_the_repository_and_have_to_be_given_anew() -> Outcome {
    let (_home, folder) = place()?;
    let shown = folder.display().to_string();
    let portal = || -> Outcome<Setting> {
        let setting = Setting::new()?.template("vault", VAULT)?.options(&["--repository", &shown]);
        Ok(setting.variable("BOOKEND_REPOSITORY_PASSWORD", PASSWORD))
    };
    let first = portal()?.start().await?;
    let ann = first.administrator().await?;
    let (token, motto) = (format!("token={SECRET}"), format!("motto={MOTTO}"));
    said(&first, &ann, &["order", "vault", "--name", "safe", "--set", &token, "--set", &motto]).await?;
    ann.await_state("safe", "ready").await?;
    let script = "test \"$TOKEN\" && echo treasure > /site/word";
    said(&first, &ann, &["exec", "safe/api", "--", "sh", "-c", script]).await?;
    said(&first, &ann, &["snapshot", "create", "safe", "--wait"]).await?;
    let view = exported(&first, &ann, "safe", "latest").await?;
    let name = view["export"]["repository_snapshot"].as_str().ok_or("no name")?.to_owned();

    let all = decrypted(&folder).await?;
    assert!(all.contains(MOTTO) && all.contains("treasure"), "what is no secret is found this way");
    assert!(!all.contains(SECRET), "the secret is in the repository");
    ann.act("safe", "delete").await?;
    drop(first);

    let second = portal()?.start().await?;
    let ben = second.administrator().await?;
    let refused = second.cli(&ben, &["snapshot", "import", &name, "--name", "again"]).await?;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("token"), "{words}");
    let import =
        ["snapshot", "import", &name, "--name", "again", "--set", "token=another", "--wait", "--timeout", "300"];
    said(&second, &ben, &import).await?;
    let script = "echo \"$TOKEN $BOOKEND_PARAM_MOTTO\"; cat /site/word";
    let inside = said(&second, &ben, &["exec", "again/api", "--", "sh", "-c", script]).await?;
    assert_eq!(inside, format!("another {MOTTO}\ntreasure\n"));
    ben.act("again", "delete").await?;
    Ok(())
}
