//! What Bookend takes: the local provisioner as the portal calls it, and the portable repository.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use provisioners::local::{Config, Local};
use provisioners::{
    AgentGateway, Duplex, Effect, EffectToken, EnvironmentId, ProvisionError, Provisioner, SnapshotId, SnapshotPlan,
    SnapshotState, SnapshotVolume, Step, Tree, VolumeId, VolumePlan, VolumeSource,
};
use repository::{ImportOptions, Place, Repository, Secret, SnapshotMeta, Unchanged, Watcher};

use crate::Outcome;
use crate::disks::stored;
use crate::meter::Meter;
use crate::table::Table;

/// No server runs here, so no agent dials.
struct Nobody;

impl AgentGateway for Nobody {
    fn accepted(&self, _stream: Box<dyn Duplex>) {}
}

fn id(name: &str) -> String {
    format!("bench-{name}")
}

struct Bench {
    local: Local,
    environment: EnvironmentId,
    volume: VolumeId,
}

/// Snapshots and restores of the tree on one filesystem. `fast`: nothing is copied there, so the second of everything is cheap.
pub async fn moments(
    agent: &Path,
    tree: &Path,
    folder: &Path,
    disk: &str,
    fast: bool,
    table: &mut Table,
) -> Outcome<()> {
    let config = Config { directory: folder.to_owned(), agent: agent.to_owned(), separate_disks: false };
    let local = Local::open(config, Arc::new(Nobody)).await.map_err(|error| error.to_string())?;
    let bench = Bench { local, environment: EnvironmentId::new(id("env")), volume: VolumeId::new(id("volume")) };
    let plan = VolumePlan { id: bench.volume.clone(), name: "data".into(), size_bytes: 0, from: None };
    bench.request(Step::CreateVolume { volume: plan }).await?;
    let at = Tree { environment: bench.environment.clone(), snapshot: None, volume: bench.volume.clone() };
    let data = bench.local.folder(&at).await.map_err(words)?.ok_or("volumes are no folders")?;
    let filled = Command::new("cp").arg("-a").arg(tree.join(".")).arg(&data).status();
    if !filled.is_ok_and(|status| status.success()) {
        return Err("the volume could not be filled".into());
    }
    rustix::fs::sync();

    let who = format!("bookend, {disk}");
    let meter = Meter::start();
    bench.snapshot("one").await?;
    table.add(&who, "snapshot", meter.stop(), None);
    let meter = Meter::start();
    bench.complete("one").await?;
    table.add(&who, "  read for its manifest", meter.stop(), None);
    if fast {
        let meter = Meter::start();
        bench.snapshot("two").await?;
        table.add(&who, "snapshot, unchanged", meter.stop(), None);
        bench.complete("two").await?;
    }
    let meter = Meter::start();
    bench.restore("one").await?;
    table.add(&who, "restore", meter.stop(), None);
    let meter = Meter::start();
    let told = tokio::sync::watch::Sender::default();
    let verified = bench.local.verify(&bench.environment, &SnapshotId::new(id("one")), &told).await.map_err(words)?;
    if verified.damaged > 0 {
        return Err(format!("{} places are damaged", verified.damaged));
    }
    table.add(&who, "verify", meter.stop(), None);
    Ok(())
}

impl Bench {
    async fn request(&self, step: Step) -> Outcome<()> {
        let token = EffectToken::new("0".repeat(64));
        let effect =
            Effect { token, environment: self.environment.clone(), step, call: 1, enrolment: None, by_schedule: false };
        self.local.request(&effect).await.map_err(words)
    }

    async fn snapshot(&self, name: &str) -> Outcome<()> {
        let volumes = vec![SnapshotVolume { volume: self.volume.clone(), name: "data".into() }];
        let snapshot = SnapshotPlan { id: SnapshotId::new(id(name)), volumes };
        self.request(Step::CreateSnapshot { snapshot }).await
    }

    async fn complete(&self, name: &str) -> Outcome<()> {
        loop {
            let seen = self.local.observe(std::slice::from_ref(&self.environment)).await.map_err(words)?;
            let state = seen.iter().flat_map(|seen| &seen.snapshots).find(|one| one.snapshot.as_str() == id(name));
            match state.map(|one| &one.state) {
                Some(SnapshotState::Complete) => return Ok(()),
                Some(SnapshotState::Failed { reason } | SnapshotState::Damaged { reason }) => {
                    return Err(reason.clone());
                }
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    async fn restore(&self, snapshot: &str) -> Outcome<()> {
        let from = VolumeSource {
            environment: self.environment.clone(),
            snapshot: SnapshotId::new(id(snapshot)),
            volume: self.volume.clone(),
        };
        let volume = VolumeId::new(id("restored"));
        let plan = VolumePlan { id: volume.clone(), name: "data".into(), size_bytes: 0, from: Some(from) };
        self.request(Step::CreateVolume { volume: plan }).await?;
        loop {
            let seen = self.local.observe(std::slice::from_ref(&self.environment)).await.map_err(words)?;
            if seen.iter().any(|seen| seen.volumes.contains(&volume)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn words(error: ProvisionError) -> String {
    error.to_string()
}

/// The tree to a repository, twice, and back.
pub fn exports(tree: &Path, repositories: &Path, table: &mut Table) -> Outcome<()> {
    let failed = |error: repository::Error| error.to_string();
    let folder = repositories.join("bookend");
    let config = repository::Config { place: Place::Folder(folder.clone()), password: Secret::new("measured") };
    let repository = Repository::open_or_create(&config).map_err(failed)?;
    let meta = SnapshotMeta {
        environment: "bench".into(),
        snapshot: "one".into(),
        template: "bench@1".into(),
        taken_at: jiff::Timestamp::UNIX_EPOCH,
        manifest: serde_json::Value::Null,
    };
    let watcher = Watcher::silent();
    let volumes = [("data", tree)];
    let meter = Meter::start();
    let exported = repository.export(&volumes, &meta, Unchanged::ByContent, &watcher).map_err(failed)?;
    table.add("bookend", "export", meter.stop(), Some(stored(&folder)));
    let meter = Meter::start();
    repository.export(&volumes, &meta, Unchanged::ByContent, &watcher).map_err(failed)?;
    table.add("bookend", "export, unchanged", meter.stop(), None);
    let meter = Meter::start();
    let into = repositories.join("imported");
    repository.import(&exported.id, &into, ImportOptions::default(), &watcher).map_err(failed)?;
    table.add("bookend", "import", meter.stop(), None);
    let _ = std::fs::remove_dir_all(into);
    Ok(())
}
