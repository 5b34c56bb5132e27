//! Restore drills on request. How one goes is the engine's.

use app::api::{ApiError, EnvironmentDetail, SnapshotState};
use app::portal::SignedIn;
use serde_json::json;

use super::trouble::failed;
use super::{Service, access, environments};

pub(super) async fn drill(service: &Service, by: &SignedIn, environment: &str) -> Result<EnvironmentDetail, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let (id, name) = (&record.summary.id, &record.summary.name);
    if record.facts.intent.deleted_at.is_some() {
        return Err(
            ApiError::conflict(format!("“{name}” is deleted")).with_detail("Bring it back: that is the restore.")
        );
    }
    let snapshots = service.store.snapshots(id).await.map_err(failed)?;
    if !snapshots.iter().any(|one| one.view.state == SnapshotState::Complete) {
        return Err(ApiError::conflict(format!("There is no snapshot of “{name}” that could be brought up"))
            .with_detail("Take one first."));
    }
    let now = service.clock.now();
    let committed = async {
        let mut tx = service.store.write().await?;
        if tx.want_drill(id, &by.name, now).await? {
            service.audit(&mut tx, by, "drill", name, json!({ "environment": id })).await?;
        }
        tx.commit().await
    };
    committed.await.map_err(failed)?;
    service.bell.tell(id);
    environments::environment(service, by, id).await
}
