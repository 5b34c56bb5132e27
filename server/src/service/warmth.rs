//! Snapshots that are kept warm for as long as somebody pays for it: asked for by whoever may restore them, with the price said before.
//! Until when it is wanted is the provisioner's to remember, and to end.

use app::api::{ApiError, SnapshotState, SnapshotView, SnapshotWarmth, SnapshotWarmthState};
use app::portal::SignedIn;
use provisioners::{EnvironmentId, KeptWarm, SnapshotId, WarmOffer, Warmth};
use serde_json::json;

use super::trouble::{failed, not_done};
use super::{Service, access, environments, snapshots};
use crate::domain::parking;
use crate::store::EnvironmentRecord;

/// So that nobody pays for what was forgotten.
const MOST_HOURS: u32 = 168;
const HOUR_MS: i64 = 3_600_000;

/// For so many hours from now on; `None`: no longer.
pub(super) async fn keep(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    snapshot: &str,
    hours: Option<u32>,
) -> Result<SnapshotView, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let found = snapshots::find(service, &record, snapshot).await?;
    let now = service.clock.now();
    let cost = hours.map(|hours| hourly(service, &record, &found.view, hours)).transpose()?;
    let (id, snapshot) = (&record.summary.id, &found.view.id);
    let detail = json!({ "environment": id, "snapshot": snapshot, "hours": hours, "cents": cost });
    let committed = async {
        let mut tx = service.store.write().await?;
        service.audit(&mut tx, by, "keep snapshot warm", &record.summary.name, detail).await?;
        tx.commit().await
    };
    committed.await.map_err(failed)?;
    let until = hours.map(|hours| now + i64::from(hours) * HOUR_MS);
    let (environment, snapshot) = (EnvironmentId::new(id.clone()), SnapshotId::new(snapshot.clone()));
    let asked = service.machines.keep_warm(&record.provisioner, &environment, &snapshot, until).await;
    asked.map_err(not_done)?;
    service.bell.tell(id);
    let mut told = [snapshots::find(service, &record, snapshot.as_str()).await?.view];
    tell(service, &record, &mut told).await;
    let [view] = told;
    Ok(view)
}

/// Cents for all of the hours.
fn hourly(service: &Service, record: &EnvironmentRecord, view: &SnapshotView, hours: u32) -> Result<u64, ApiError> {
    if !(1..=MOST_HOURS).contains(&hours) {
        return Err(ApiError::field("hours", format!("is a number from 1 to {MOST_HOURS}")));
    }
    if view.state != SnapshotState::Complete {
        return Err(ApiError::conflict("It is not complete").with_detail("Only what can be restored is kept warm."));
    }
    let at = &record.provisioner;
    match offer(service, record, view) {
        Some(offer) => Ok(offer.hour_cents * u64::from(hours)),
        None if at == "local" => Err(ApiError::conflict("What is restored here is at full speed anyway")),
        None => Err(ApiError::conflict(format!("“{at}” does not keep snapshots warm"))
            .with_detail(format!("An administrator can allow it: `snapshots.fast_restore = true` in [ec2.{at}]."))),
    }
}

fn offer(service: &Service, record: &EnvironmentRecord, view: &SnapshotView) -> Option<WarmOffer> {
    let environment = EnvironmentId::new(record.summary.id.clone());
    service.machines.warm_offer(&record.provisioner, &environment, view.volumes.len())
}

/// Adds how it stands with each; without an answer nothing is said of it.
pub(super) async fn tell(service: &Service, record: &EnvironmentRecord, all: &mut [SnapshotView]) {
    let environment = EnvironmentId::new(record.summary.id.clone());
    let kept = match service.machines.kept_warm(&record.provisioner, &environment).await {
        Ok(kept) => kept,
        Err(error) => return tracing::warn!(%error, "which snapshots are kept warm is not known now"),
    };
    for view in all {
        let kept = kept.iter().find(|kept| kept.snapshot.as_str() == view.id);
        let offer = offer(service, record, view).filter(|_| view.state == SnapshotState::Complete);
        view.warmth = warmth(kept, offer);
        let is_ready = view.warmth.as_ref().is_some_and(|warmth| warmth.state == SnapshotWarmthState::Ready);
        let restorable = view.state == SnapshotState::Complete && !is_ready;
        let paid = service.machines.paid_reading(&record.provisioner).filter(|_| restorable);
        view.begins = paid.map(parking::reading_in);
    }
}

fn warmth(kept: Option<&KeptWarm>, offer: Option<WarmOffer>) -> Option<SnapshotWarmth> {
    let offered = offer.is_some();
    // What is over says what it was, and another one costs what it costs now.
    let WarmOffer { zones, hour_cents } = match kept {
        Some(kept) if !(offered && kept.state == Warmth::Ended) => kept.offer.clone(),
        _ => offer?,
    };
    let (mut doing, mut failure) = (None, None);
    let state = match kept.map(|kept| &kept.state) {
        None => SnapshotWarmthState::Cold,
        Some(Warmth::Preparing { doing: far }) => {
            doing = Some(far.clone());
            SnapshotWarmthState::Preparing
        }
        Some(Warmth::Ready) => SnapshotWarmthState::Ready,
        Some(Warmth::Ending) => SnapshotWarmthState::Ending,
        Some(Warmth::Ended) => SnapshotWarmthState::Ended,
        Some(Warmth::Refused { reason }) => {
            failure = Some(reason.clone());
            SnapshotWarmthState::Refused
        }
    };
    let until = kept.map(|kept| kept.until);
    Some(SnapshotWarmth { state, zones, hour_cents, doing, until, failure, offered })
}
