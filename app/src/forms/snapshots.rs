//! Takes, keeps, restores and deletes snapshots.

use axum::extract::Path;
use axum::response::Response;

use crate::api::{ApiError, RestoreRequest, SnapshotChange, SnapshotRequest};
use crate::pages;
use crate::site::{Fields, Form, Visit, see_other};

pub(crate) async fn snapshots(Path(environment): Path<String>, Form(visit, fields): Form) -> Response {
    match done(&visit, &environment, &fields).await {
        Ok(address) => see_other(&address, None),
        Err(error) => pages::snapshots(visit.refused(fields, error), Path(environment)).await,
    }
}

/// Where it leads on to.
async fn done(visit: &Visit, environment: &str, fields: &Fields) -> Result<String, ApiError> {
    let value = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let (portal, actor, snapshot) = (&visit.portal, &visit.actor, value("snapshot"));
    let pinned = |pinned| SnapshotChange { label: None, pinned: Some(pinned) };
    let what = match value("do") {
        "restore" => {
            let request = RestoreRequest { snapshot: Some(snapshot.to_owned()) };
            let after = portal.restore(actor, environment, request).await?;
            return Ok(format!("/environments/{}", after.summary.name));
        }
        "take" => {
            portal.take_snapshot(actor, environment, SnapshotRequest { label: value("label").to_owned() }).await?;
            "take"
        }
        "pin" => {
            portal.change_snapshot(actor, environment, snapshot, pinned(true)).await?;
            "pin"
        }
        "unpin" => {
            portal.change_snapshot(actor, environment, snapshot, pinned(false)).await?;
            "unpin"
        }
        "delete" => {
            portal.delete_snapshot(actor, environment, snapshot).await?;
            "delete"
        }
        _ => return Err(ApiError::field("do", "this is not among the things to do with snapshots")),
    };
    Ok(format!("/environments/{environment}/snapshots?done={what}"))
}
