//! Restore drills: every week, and when somebody asks, the newest snapshot of an environment is restored into a place of its
//! own and everything in it is brought up as it would be after a disaster. One at a time in the whole installation.
//!
//! What is under way is in the database alone: a portal that was killed goes on with it, or another does.

use std::sync::Arc;
use std::time::Duration;

use app::api::SnapshotState;
use tokio::time::sleep;

use super::Shared;
use crate::domain::actions::{self, Change};
use crate::domain::facts::{Desired, Failure};
use crate::domain::note::Note;
use crate::domain::{drill, schedule::Upcoming};
use crate::keys::KeyError;
use crate::store::{self, DrillDue, DrillUnderWay, EnvironmentRecord, NewEnvironment, Ordered, Quota, StoreError};

/// Looked at this often, if nothing is heard of.
const LOOK: Duration = Duration::from_secs(5);
/// However much is heard of, not more often.
const REST: Duration = Duration::from_millis(250);
/// Nobody orders these but this module, one at a time.
const NO_QUOTA: Quota = Quota { per_person: i64::MAX, per_team: i64::MAX };

/// `weekly`: drills begin by themselves, not only when somebody asks for one.
pub(super) async fn run(shared: Arc<Shared>, weekly: bool) {
    let mut news = shared.bell.subscribe();
    loop {
        if let Err(error) = look(&shared, weekly).await {
            tracing::warn!(%error, "restore drills have to wait");
        }
        sleep(REST).await;
        tokio::select! {
            () = sleep(LOOK) => {}
            _ = news.recv() => {}
        }
    }
}

async fn look(shared: &Shared, weekly: bool) -> Result<(), StoreError> {
    let now = shared.clock.now();
    if let Some(under_way) = shared.store.drill_under_way().await? {
        return follow(shared, &under_way, now).await;
    }
    match shared.store.drill_due(now, weekly).await? {
        Some(due) => begin(shared, &due, now).await,
        None => Ok(()),
    }
}

async fn begin(shared: &Shared, due: &DrillDue, now: i64) -> Result<(), StoreError> {
    let record = shared.store.environment(&due.team, &due.environment).await?;
    let newest = shared.store.snapshots(&due.environment).await?.into_iter();
    let newest = newest.map(|found| (found.view.state, found)).find(|(state, _)| *state == SnapshotState::Complete);
    let living = record.filter(|record| record.facts.intent.deleted_at.is_none());
    let (Some(record), Some((_, snapshot))) = (&living, newest) else {
        let later = living.map(|_| now + drill::LATER_MS);
        let mut tx = shared.store.write().await?;
        tx.reschedule_drills(&due.environment, later).await?;
        return tx.commit().await;
    };
    let source = snapshot.source(&due.environment);
    let (topology, reach) = drill::place(&record.facts.topology);
    let sizes: Vec<_> = topology.volumes.iter().map(|volume| (volume.name.clone(), volume.size_bytes)).collect();
    let place = store::id(now);
    let sealed_secrets = match sealed_anew(shared, record, &place) {
        Ok(sealed) => sealed,
        Err(error) => {
            tracing::warn!(environment = due.environment, %error, "it cannot be drilled now");
            let mut tx = shared.store.write().await?;
            tx.reschedule_drills(&due.environment, Some(now + drill::LATER_MS)).await?;
            return tx.commit().await;
        }
    };
    let new = NewEnvironment {
        team_id: drill::TEAM.to_owned(),
        owner_id: drill::PERSON.to_owned(),
        orderer_id: drill::PERSON.to_owned(),
        orderer_name: drill::PERSON_NAME.to_owned(),
        name: format!("drill-{}", &place[place.len() - 12..]),
        template_version_id: record.template_version_id.clone(),
        provisioner: record.provisioner.clone(),
        parameters: record.parameters.clone(),
        sealed_secrets,
        topology,
        copied: source.volumes.iter().map(|volume| volume.name.clone()).collect(),
        upcoming: Upcoming::default(),
        id: place,
    };
    let mut tx = shared.store.write().await?;
    if tx.order(&new, None, NO_QUOTA, now).await? != Ordered::Created
        || !tx.begin_drill(&due.environment, &new.id, &snapshot.view.id, reach, now).await?
    {
        return Ok(());
    }
    tx.begin_restore(&new.id, &source, &sizes, None, now).await?;
    if drill::desired(reach) == Desired::Parked {
        let note = Note::new("preparing", "Only the data: its servers would reach the internet");
        tx.change_desire(&new.id, 1, &Change::prepared(Desired::Parked, note), None, now).await?;
    }
    tx.commit().await?;
    shared.bell.ring(&new.id);
    shared.bell.tell(&due.environment);
    Ok(())
}

/// The same secrets, sealed for the place: they go where the data goes, and nobody can enter it.
fn sealed_anew(shared: &Shared, record: &EnvironmentRecord, place: &str) -> Result<Option<String>, KeyError> {
    let Some(sealed) = &record.sealed_secrets else { return Ok(None) };
    let secrets = shared.key.unseal(&record.summary.id, sealed)?;
    let secrets = secrets.into_iter().map(|(name, secret)| (name, secret.reveal().to_owned())).collect();
    shared.key.seal(place, &secrets).map(Some)
}

async fn follow(shared: &Shared, under_way: &DrillUnderWay, now: i64) -> Result<(), StoreError> {
    let DrillUnderWay { environment, place, snapshot, began_at, reach, ended } = under_way;
    let loaded = shared.store.facts(place).await?;
    let Some(loaded) = loaded.filter(|loaded| loaded.facts.intent.deleted_at.is_none()) else {
        let mut tx = shared.store.write().await?;
        tx.end_drill(place, Some("its place was taken down before it was over"), now).await?;
        tx.clear_drill(place).await?;
        tx.commit().await?;
        shared.bell.tell(environment);
        return Ok(());
    };
    let failure = loaded.facts.intent.failure.as_ref().map(words);
    if *ended {
        return Ok(());
    }
    let Some(outcome) = drill::outcome(*reach, loaded.state, failure.as_deref(), *began_at, now) else {
        return Ok(());
    };
    let mut tx = shared.store.write().await?;
    if !tx.end_drill(place, outcome.as_ref().err().map(String::as_str), now).await? {
        return Ok(());
    }
    if outcome.is_ok() {
        // Each volume was compared with its manifest before it was there.
        tx.snapshot_verified(snapshot, None, now).await?;
    }
    tx.add_event(environment, &drill::note(*reach, &outcome), None, now).await?;
    tx.change_desire(place, loaded.facts.intent.generation, &actions::throw_away(&loaded.facts), None, now).await?;
    tx.commit().await?;
    shared.bell.ring(place);
    shared.bell.tell(environment);
    Ok(())
}

fn words(failure: &Failure) -> String {
    let server = failure.server.as_ref().map(|server| format!("{server}, ")).unwrap_or_default();
    format!("{server}{}: {}", failure.step, failure.cause)
}
