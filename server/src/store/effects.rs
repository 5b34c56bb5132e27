//! The engine's writing: effects before they are asked for, what came of them, and where an environment stands afterwards.
//! Every statement here is behind the lease's fence.

use app::api::State;
use provisioners::{
    EffectToken, EnvironmentId, ObservedServer, ObservedSnapshot, ServerId, SnapshotId, Step, VolumeId,
};
use sqlx::Row;

use super::snapshots::is_being_read;
use super::{Lease, Store, StoreError, Tx, json, timeline};
use crate::domain::facts::{Failure, Outcome, actual_address};
use crate::domain::note::Note;
use crate::domain::plan::Work;

/// A step that is committed to the database with its token and exact request. The engine calls a provisioner with nothing
/// else, and only [`Store::record`] makes one.
#[derive(Debug)]
pub struct Recorded {
    token: EffectToken,
    environment: EnvironmentId,
    step: Step,
    attempts: i64,
    tries: i64,
}

impl Recorded {
    pub fn token(&self) -> &EffectToken {
        &self.token
    }
    pub fn environment(&self) -> &EnvironmentId {
        &self.environment
    }
    /// As first recorded: a repetition asks for exactly the same.
    pub fn step(&self) -> &Step {
        &self.step
    }
    /// Calls so far, the coming one included.
    pub fn attempts(&self) -> i64 {
        self.attempts
    }
    /// Those of them since somebody last wanted something of the environment.
    pub fn tries(&self) -> i64 {
        self.tries
    }
}

/// What came of calling a provisioner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub token: EffectToken,
    pub outcome: Outcome,
    pub message: Option<String>,
    pub retry_at: i64,
    /// With a snapshot: how long servers stood still for it.
    pub frozen_ms: Option<i64>,
}

/// Where an environment stands when its worker lets go of it.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub state: State,
    pub waiting_for: Option<String>,
    pub failure: Option<Failure>,
    pub servers_ready: usize,
    /// Set when it has become ready or deleted now.
    pub ready_at: Option<i64>,
    pub deleted_at: Option<i64>,
    /// With `deleted_at`: its snapshots go then; `None`: they stay.
    pub undelete_until: Option<i64>,
    /// When to look again without being asked; `None`: only when something changes.
    pub due_at: Option<i64>,
    /// Reasons to look that were considered; newer ones make it due at once.
    pub hints: i64,
    pub network_observed: bool,
    /// Servers whose observation is another than the one written down.
    pub observed: Vec<(ServerId, Vec<ObservedServer>)>,
    /// Volumes seen for the first time.
    pub volumes_seen: Vec<VolumeId>,
    /// Replaced ones that are gone now.
    pub volumes_gone: Vec<VolumeId>,
    /// Snapshots that are found otherwise than written down.
    pub snapshots: Vec<ObservedSnapshot>,
    pub snapshots_gone: Vec<SnapshotId>,
    pub notes: Vec<Note>,
}

impl Store {
    /// Commits, in one transaction: new server generations, the steps about to be asked for, and the label meanwhile. Steps come back in the
    /// order they were given.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], or [`StoreError::Stale`] when the desire changed: nothing was written, nothing may be
    /// done. A volume is never recorded for deletion unless its deletion was asked for.
    pub async fn record(
        &self,
        lease: &Lease,
        generation: i64,
        label: State,
        work: &Work,
        now: i64,
    ) -> Result<Vec<Recorded>, StoreError> {
        let Work { renewals, requests, turn } = work;
        let environment = lease.environment();
        let mut tx = self.write().await?;
        tx.guard(lease, Some(generation)).await?;
        sqlx::query("update environment set state = $2, waiting_for = null where id = $1")
            .bind(environment.as_str())
            .bind(label.as_str())
            .execute(tx.connection())
            .await?;
        for renewal in renewals {
            let renewed = sqlx::query(
                "update server set generation = generation + 1, attempts = $3, retry_at = $4, healthy_at = null, \
                 disconnected_at = null where id = $1 and generation = $2 - 1",
            )
            .bind(renewal.server.as_str())
            .bind(renewal.generation)
            .bind(renewal.attempts)
            .bind(renewal.retry_at)
            .execute(tx.connection())
            .await?;
            if renewed.rows_affected() == 0 {
                return Err(StoreError::Stale);
            }
            if let Some(note) = &renewal.note {
                timeline::insert(tx.connection(), environment.as_str(), note, None, now).await?;
            }
        }
        if let Some(turn) = turn {
            tx.turn(environment.as_str(), turn, now).await?;
        }
        let mut recorded = Vec::with_capacity(requests.len());
        for request in requests {
            let wish = match &request.step {
                Step::DeleteVolume { volume } => Some((VOLUME_MAY_GO.to_owned(), volume.as_str())),
                Step::DeleteSnapshot { snapshot } => Some((snapshot_may_go(), snapshot.as_str())),
                _ => None,
            };
            if let Some((statement, subject)) = wish {
                // Locks the row, so that the wish cannot be taken back between this check and the commit.
                let statement = sqlx::query(sqlx::AssertSqlSafe(statement));
                let wished = statement.bind(subject).bind(environment.as_str()).execute(tx.connection()).await?;
                if wished.rows_affected() == 0 {
                    return Err(StoreError::Stale);
                }
            }
            let token = request.token(environment);
            let row = sqlx::query(
                "insert into effect (token, environment_id, subject_id, generation, step, request, outcome, attempts, \
                 tries, retry_at, recorded_at, asked_at, fence) values ($1, $2, $3, $4, $5, $6, 'recorded', 1, 1, 0, $7, $7, $8) \
                 on conflict (token) do update set outcome = 'recorded', attempts = effect.attempts + 1, \
                 tries = effect.tries + 1, finished_at = null, asked_at = excluded.asked_at, fence = excluded.fence \
                 returning request, attempts, tries",
            )
            .bind(token.as_str())
            .bind(environment.as_str())
            .bind(request.subject())
            .bind(request.generation)
            .bind(request.name())
            .bind(json::write("a step", &request.step)?)
            .bind(now)
            .bind(lease.fence())
            .fetch_one(tx.connection())
            .await?;
            let (attempts, tries) = (row.try_get("attempts")?, row.try_get("tries")?);
            if let (1, Some(note)) = (tries, &request.note) {
                timeline::insert(tx.connection(), environment.as_str(), note, None, now).await?;
            }
            if let (1, Step::WakeServer { server, .. }) = (attempts, &request.step) {
                // What its agent said before it stood by says nothing about it once it wakes.
                sqlx::query("update server set status = null, status_generation = 0, healthy_at = null where id = $1")
                    .bind(server.as_str())
                    .execute(tx.connection())
                    .await?;
            }
            recorded.push(Recorded {
                token,
                environment: environment.clone(),
                step: json::read("a step", &row.try_get::<String, _>("request")?)?,
                attempts,
                tries,
            });
        }
        tx.commit().await?;
        Ok(recorded)
    }

    /// Commits what came of the steps asked for.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]: nothing was written; whoever has the lease now finds the steps unanswered.
    pub async fn answer(&self, lease: &Lease, answers: &[Answer], now: i64) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.guard(lease, None).await?;
        for answer in answers {
            let answered = sqlx::query(
                "update effect set outcome = $3, message = $4, retry_at = $5, finished_at = $6 \
                 where token = $1 and fence = $2 returning step, subject_id",
            )
            .bind(answer.token.as_str())
            .bind(lease.fence())
            .bind(answer.outcome.as_str())
            .bind(answer.message.as_deref())
            .bind(answer.retry_at)
            .bind(now)
            .fetch_optional(tx.connection())
            .await?;
            let Some(row) =
                answered.filter(|row| row.try_get("step").is_ok_and(|step: String| step == "create_snapshot"))
            else {
                continue;
            };
            let (environment, snapshot) = (lease.environment().as_str(), row.try_get::<String, _>("subject_id")?);
            match answer.outcome {
                Outcome::Accepted => tx.snapshot_taken(environment, &snapshot, answer.frozen_ms, now).await?,
                Outcome::Rejected => {
                    let reason = answer.message.as_deref().unwrap_or("it was refused without a reason");
                    tx.snapshot_failed(environment, &snapshot, reason, now).await?;
                }
                Outcome::Recorded | Outcome::Retryable | Outcome::Unknown => {}
            }
        }
        tx.commit().await
    }

    /// Commits, in one transaction: where the environment stands, and that the lease is over.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], or [`StoreError::Stale`] when the desire changed: nothing was written.
    pub async fn settle(
        &self,
        lease: &Lease,
        generation: i64,
        settlement: &Settlement,
        now: i64,
    ) -> Result<(), StoreError> {
        let environment = lease.environment().as_str();
        let mut tx = self.write().await?;
        tx.guard(lease, Some(generation)).await?;
        sqlx::query(
            "update environment set state = $2, waiting_for = $3, failure = $4, servers_ready = $5, \
             ready_at = coalesce($6, ready_at), first_ready_at = coalesce(first_ready_at, $6), deleted_at = coalesce($7, deleted_at), network_observed = $8, \
             due_at = case when hints = $9 then $10 else $11 end, lease_until = 0, lease_owner = null where id = $1",
        )
        .bind(environment)
        .bind(settlement.state.as_str())
        .bind(settlement.waiting_for.as_deref())
        .bind(settlement.failure.as_ref().map(|failure| json::write("a failure", failure)).transpose()?)
        .bind(settlement.servers_ready as i64)
        .bind(settlement.ready_at)
        .bind(settlement.deleted_at)
        .bind(i64::from(settlement.network_observed))
        .bind(settlement.hints)
        .bind(settlement.due_at)
        .bind(now)
        .execute(tx.connection())
        .await?;
        for (server, machines) in &settlement.observed {
            sqlx::query("update server set observed = $2, actual_address = $3 where id = $1")
                .bind(server.as_str())
                .bind(json::write("an observation", machines)?)
                .bind(actual_address(machines).map(|address| address.to_string()))
                .execute(tx.connection())
                .await?;
        }
        for volume in &settlement.volumes_seen {
            sqlx::query("update volume set observed_at = $2 where id = $1 and observed_at is null")
                .bind(volume.as_str())
                .bind(now)
                .execute(tx.connection())
                .await?;
        }
        for volume in &settlement.volumes_gone {
            sqlx::query("update volume set deleted_at = $2, role = 'gone' where id = $1")
                .bind(volume.as_str())
                .bind(now)
                .execute(tx.connection())
                .await?;
        }
        if let Some(deleted_at) = settlement.deleted_at {
            sqlx::query(
                "update volume set deleted_at = coalesce(deleted_at, $2), role = 'gone' where environment_id = $1",
            )
            .bind(environment)
            .bind(deleted_at)
            .execute(tx.connection())
            .await?;
            sqlx::query(
                "update snapshot set state = 'failed', failure = 'the environment was deleted before it was taken', \
                 removal_requested_at = $2 where environment_id = $1 and state = 'wanted'",
            )
            .bind(environment)
            .bind(deleted_at)
            .execute(tx.connection())
            .await?;
            sqlx::query("update snapshot set expires_at = $2 where environment_id = $1")
                .bind(environment)
                .bind(settlement.undelete_until)
                .execute(tx.connection())
                .await?;
            sqlx::query(
                "update environment set restoring_snapshot_id = null, present_snapshot_id = null where id = $1",
            )
            .bind(environment)
            .execute(tx.connection())
            .await?;
        }
        if settlement.deleted_at.is_some() {
            tx.reschedule_drills(environment, None).await?;
            tx.forget_change(environment).await?;
        }
        for snapshot in &settlement.snapshots {
            tx.snapshot_seen(environment, snapshot, now).await?;
        }
        for snapshot in &settlement.snapshots_gone {
            tx.snapshot_gone(snapshot, now).await?;
        }
        if settlement.ready_at.is_some() || settlement.state == State::Parked {
            forget_past_effects(&mut tx, environment).await?;
        }
        for note in &settlement.notes {
            timeline::insert(tx.connection(), environment, note, None, now).await?;
        }
        tx.commit().await
    }

    /// Lets go of an environment that could not be worked on, to look again at `due_at`, or at once when something has
    /// happened to it meanwhile.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when there is nothing to let go of.
    pub async fn release(&self, lease: &Lease, waiting_for: &str, now: i64, due_at: i64) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.guard(lease, None).await?;
        // A claim makes it due when the lease ends; whatever happens meanwhile makes it due then.
        sqlx::query(
            "update environment set waiting_for = $2, due_at = case when due_at <= $3 then $3 else $4 end, \
             lease_until = 0, lease_owner = null where id = $1",
        )
        .bind(lease.environment().as_str())
        .bind(waiting_for)
        .bind(now)
        .bind(due_at)
        .execute(tx.connection())
        .await?;
        tx.commit().await
    }
}

/// Only what an explicit delete, the restore of another in its place, or a park by snapshot asked for; never what the last snapshot of it is
/// still to be made of.
const VOLUME_MAY_GO: &str = "update volume set delete_requested_at = delete_requested_at \
    where id = $1 and environment_id = $2 and delete_requested_at is not null \
    and not exists (select 1 from snapshot s where s.id = kept_in_snapshot_id and s.state <> 'complete') \
    and not exists (select 1 from environment e join snapshot s on s.id = e.final_snapshot_id \
        where e.id = $2 and e.desired = 'deleted' and volume.role = 'current' and s.state <> 'complete')";
/// Never what something is being made from, or is all there is of volumes that were put away.
fn snapshot_may_go() -> String {
    format!(
        "update snapshot set removal_requested_at = removal_requested_at \
         where id = $1 and environment_id = $2 and removal_requested_at is not null and not {}",
        is_being_read("snapshot")
    )
}

/// What was asked of generations before the last two has no bearing on anything any more.
async fn forget_past_effects(tx: &mut Tx, environment: &str) -> Result<(), StoreError> {
    sqlx::query(
        "delete from effect where environment_id = $1 and generation < (select max(newer.generation) - 1 from effect newer \
         where newer.environment_id = $1 and newer.step = effect.step \
         and coalesce(newer.subject_id, '') = coalesce(effect.subject_id, '') and newer.outcome = 'accepted')",
    )
    .bind(environment)
    .execute(tx.connection())
    .await?;
    Ok(())
}
