//! Takes, keeps, restores and deletes snapshots.

use std::time::Duration;

use axum::extract::Path;
use axum::response::Response;

use super::outcome;
use crate::api::{ApiError, RestoreRequest, SnapshotChange, SnapshotRequest, SnapshotRule};
use crate::pages;
use crate::site::{Fields, Form, Visit, see_other};

/// A verification that is over so soon is answered with what was found; a longer one goes on, and the page tells of it.
const AT_ONCE: Duration = Duration::from_secs(2);

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
        "verify" => verify(visit, environment, snapshot).await?,
        "stop" => {
            portal.stop_verification(actor, environment, snapshot).await?;
            "stop"
        }
        "label" => {
            let change = SnapshotChange { label: Some(value("label").to_owned()), pinned: None };
            portal.change_snapshot(actor, environment, snapshot, change).await?;
            "label"
        }
        "pin" => {
            portal.change_snapshot(actor, environment, snapshot, pinned(true)).await?;
            "pin"
        }
        "unpin" => {
            portal.change_snapshot(actor, environment, snapshot, pinned(false)).await?;
            "unpin"
        }
        "rule" | "rule-template" | "rule-never" => {
            let rule = match value("do") {
                "rule" => {
                    SnapshotRule::At { cron: value("cron").trim().into(), time_zone: value("time_zone").trim().into() }
                }
                "rule-never" => SnapshotRule::Never,
                _ => SnapshotRule::Template,
            };
            portal.set_snapshot_rule(actor, environment, rule).await?;
            "rule"
        }
        "drill" => {
            portal.drill(actor, environment).await?;
            "drill"
        }
        "export" => {
            portal.export_snapshot(actor, environment, snapshot).await?;
            "export"
        }
        "warm" => {
            let hours = value("hours").parse().map_err(|_| ApiError::field("hours", "is a number from 1 to 168"))?;
            portal.keep_snapshot_warm(actor, environment, snapshot, Some(hours)).await?;
            "warm"
        }
        "cool" => {
            portal.keep_snapshot_warm(actor, environment, snapshot, None).await?;
            "cool"
        }
        "delete" => {
            portal.delete_snapshot(actor, environment, snapshot).await?;
            "delete"
        }
        _ => return Err(ApiError::field("do", "this is not among the things to do with snapshots")),
    };
    Ok(format!("/environments/{environment}/snapshots?done={what}"))
}

/// The word to lead on with.
async fn verify(visit: &Visit, environment: &str, snapshot: &str) -> Result<&'static str, ApiError> {
    let mut events = visit.portal.verify_snapshot(&visit.actor, environment, snapshot).await?;
    match tokio::time::timeout(AT_ONCE, outcome(&mut events)).await {
        Ok(verification) => {
            let verification = verification?;
            let Some(first) = verification.damage.first() else { return Ok("verify") };
            let place = format!("“{}” of volume “{}” {}.", first.path, first.volume, first.what);
            let title = match verification.damaged {
                1 => "The snapshot is damaged in one place".to_owned(),
                places => format!("The snapshot is damaged in {places} places"),
            };
            Err(ApiError::conflict(title).with_detail(format!("{place} Nothing is restored from it any more.")))
        }
        Err(_) => {
            tokio::spawn(async move { outcome(&mut events).await });
            Ok("verifying")
        }
    }
}
