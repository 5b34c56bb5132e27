//! Attack 30: repositories that were damaged or made to lie, by somebody who has the password. Each is refused in words, nothing
//! of it is left, no disk is filled by it, and whoever is there notices nothing.

use std::fs;
use std::path::{Path, PathBuf};

use repository::{Config, Found, Place, Repository, Secret, SnapshotMeta, Unchanged, Watcher};
use serde_json::{Value, json};
use tests::portal::Disk;
use tests::{Api, Outcome, Portal, Setting};

use super::{PASSWORD, WORDS, exported, kept, place, portal_with, said, sh};

#[tokio::test]
async fn what_is_damaged_in_the_repository_is_refused_by_name_and_nothing_of_it_is_here() -> Outcome {
    let (_home, folder) = place()?;
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

/// Asks for it and waits; what it is refused with.
async fn refusal(portal: &Portal, api: &Api, snapshot: &str, name: &str) -> Outcome<String> {
    let import = ["snapshot", "import", snapshot, "--name", name, "--wait", "--timeout", "120"];
    let refused = portal.cli(api, &import).await?;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    if refused.status.success() {
        return Err(format!("{snapshot} was imported: {words}").into());
    }
    assert_eq!(api.get(&format!("/environments/{name}")).await?.status.as_u16(), 404, "nothing is made of it: {words}");
    Ok(words)
}

fn files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    found.sort();
    Ok(found)
}

#[tokio::test]
async fn attack_30_a_damaged_description_or_index_is_named_and_the_other_snapshots_can_be_had() -> Outcome {
    let (_home, folder) = place()?;
    let portal = portal_with(&folder).await?;
    let api = portal.administrator().await?;
    let first = kept(&portal, &api, "shop", WORDS).await?;
    let view = exported(&portal, &api, "shop", &first).await?;
    let name = view["export"]["repository_snapshot"].as_str().ok_or("no name")?.to_owned();
    // There is a second one, so that something is left that is good.
    let second = kept(&portal, &api, "other", WORDS).await?;
    let other = exported(&portal, &api, "other", &second).await?;
    let other = other["export"]["repository_snapshot"].as_str().ok_or("no name")?.to_owned();

    let description = folder.join("snapshots").join(&name);
    let good = fs::read(&description)?;
    let mut bytes = good.clone();
    bytes[40] ^= 1;
    fs::remove_file(&description)?;
    fs::write(&description, &bytes)?;
    let words = refusal(&portal, &api, &name, "copy").await?;
    assert!(words.contains("damaged") && words.contains(&format!("snapshots/{name}")), "{words}");
    let listed = said(&portal, &api, &["--json", "snapshot", "import"]).await?;
    assert!(listed.contains(&other) && !listed.contains(&name), "{listed}");

    let index = files(&folder.join("index"))?;
    for file in &index {
        let whole = fs::read(file)?;
        fs::remove_file(file)?;
        fs::write(file, &whole[..whole.len() / 2])?;
    }
    let words = refusal(&portal, &api, &other, "copy").await?;
    assert!(words.contains("damaged") && words.contains("index/"), "{words}");
    assert_eq!(files(&portal.data_directory().join("local/snapshots"))?.len(), 2, "only their own snapshots are here");
    for name in ["shop", "other"] {
        assert_eq!(api.environment(name).await?["state"], "ready");
        assert_eq!(sh(&portal, &api, name, "cat /site/word").await?, "first\n");
        api.act(name, "delete").await?;
    }
    Ok(())
}

/// The one snapshot in a repository, and stores the same files once more with another description.
struct Forger {
    repository: Repository,
    honest: Found,
}

impl Forger {
    fn of(folder: &Path) -> Outcome<Self> {
        let repository =
            Repository::open(&Config { place: Place::Folder(folder.to_owned()), password: Secret::new(PASSWORD) })?;
        let honest = repository.list()?.found.pop().ok_or("nothing was exported")?;
        Ok(Self { repository, honest })
    }

    fn lie(&self, volume: &Path, what: &str, says: Value) -> Outcome<String> {
        let mut meta: SnapshotMeta = self.honest.meta.clone().ok_or("no description")?;
        let manifest = &mut meta.manifest["volumes"][0];
        let name = manifest["name"].as_str().ok_or("a volume without a name")?.to_owned();
        manifest["manifest"][what] = says;
        meta.snapshot = format!("lies-about-{what}");
        let volumes = [(name.as_str(), volume)];
        Ok(self.repository.export(&volumes, &meta, Unchanged::ByContent, &Watcher::silent())?.id.0)
    }
}

#[tokio::test]
async fn attack_30_a_manifest_that_says_other_than_the_data_is_refused_and_fills_no_disk() -> Outcome {
    let (_home, folder) = place()?;
    let portal = portal_with(&folder).await?;
    let api = portal.administrator().await?;
    // A few kilobytes in the repository, and more than all of the disk that they are brought to.
    let bomb = "head -c 64M /dev/zero | tr '\\0' a > /site/much";
    let snapshot = kept(&portal, &api, "shop", bomb).await?;
    exported(&portal, &api, "shop", &snapshot).await?;
    let volume = super::volume_of(&portal, &snapshot)?;
    let forger = tokio::task::spawn_blocking({
        let folder = folder.clone();
        move || Forger::of(&folder).map_err(|error| error.to_string())
    })
    .await??;
    let lies = [
        ("bytes", json!(1000), "more bytes than it says"),
        ("digest", json!("0".repeat(64)), "is not what was kept of it"),
        ("stored_bytes", json!(1u64 << 50), "Make room"),
    ];
    let mut told = Vec::new();
    for (what, says, why) in lies {
        let id = forger.lie(&volume, what, says)?;
        told.push((what, id, why));
    }
    // It takes next to nothing, it says.
    let small = forger.lie(&volume, "stored_bytes", json!(4096))?;
    for (what, id, why) in &told {
        let words = refusal(&portal, &api, id, "copy").await?;
        assert!(words.contains(why), "{what}: {words}");
    }
    assert_eq!(files(&portal.data_directory().join("local/snapshots"))?.len(), 1, "only its own snapshots are here");
    assert_eq!(sh(&portal, &api, "shop", "stat -c %s /site/much").await?, format!("{}\n", 64 << 20));

    let password = ("BOOKEND_REPOSITORY_PASSWORD", PASSWORD);
    let shown = folder.display().to_string();
    let setting = Setting::new()?.options(&["--repository", &shown]).variable(password.0, password.1);
    let cramped = setting.small_disk(Disk::Empty).start().await?;
    let ben = cramped.administrator().await?;
    let words = refusal(&cramped, &ben, &small, "copy").await?;
    assert!(words.contains("more than there is room for"), "{words}");
    let left = files(&cramped.data_directory_inside().join("local/snapshots"))?;
    assert_eq!(left, Vec::<PathBuf>::new(), "nothing of it is left");
    ben.get("/repository").await?.expect_success()?;
    api.act("shop", "delete").await?;
    Ok(())
}
