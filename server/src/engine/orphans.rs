//! Looking for what nobody owns, now and then: single things that a provisioner has of this installation, that it remembers
//! nothing of and that no row here counts on ([`Provisioner::orphans`]).
//!
//! What is found is kept with the time it was first seen, told in the log, shown to operators, and sent to where
//! they are (`alerts`). Servers that are seen for as
//! long as the provisioner's policy says are ended; everything else waits for a person. Guaranteed: the audit event is committed
//! before anything is asked for, and right before that the database and then the provisioner are asked once more. Of several
//! portals one looks; two that did would do the same twice, which is harmless.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use provisioners::{Orphan, OrphanKind, Orphans, ProvisionError, Provisioner};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{Alerts, Shared};
use crate::store::{AuditEvent, Store, StoreError, id as new_id};

/// Between two looks at one provisioner.
const EVERY_MS: i64 = 15 * 60_000;
/// How often it is asked whether it is time.
const TICK: Duration = Duration::from_secs(30);
/// For a whole look; Amazon's pages of many things come slowly.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Who removed it, in the audit.
const POLICY: &str = "orphan policy";

pub(super) async fn run(shared: Arc<Shared>, alerts: Option<Alerts>) {
    let names: Vec<&str> = shared.provisioners.values().map(|provisioner| provisioner.name()).collect();
    if let Err(error) = shared.store.forget_orphans_but_of(&names).await {
        tracing::warn!(%error, "leftovers are shown of provisioners that there are no more");
    }
    let each = shared.provisioners.values().map(|provisioner| watch(&shared, provisioner.as_ref(), alerts.as_ref()));
    join_all(each).await;
}

/// For ever, beside all others: one that does not answer keeps nobody from hearing of what they have.
async fn watch(shared: &Shared, provisioner: &dyn Provisioner, alerts: Option<&Alerts>) {
    loop {
        if let Err(error) = look(&shared.store, provisioner, shared.clock.now()).await {
            tracing::warn!(%error, "what nobody owns could not be looked for");
        }
        if let Some(alerts) = alerts
            && let Err(error) = alerts.send(&shared.store, shared.clock.now()).await
        {
            tracing::warn!(%error, "operators could not be told of what nobody owns");
        }
        sleep(TICK).await;
    }
}

/// If it is time.
pub(super) async fn look(store: &Store, provisioner: &dyn Provisioner, now: i64) -> Result<(), StoreError> {
    let name = provisioner.name();
    if !store.claim_orphan_look(name, now, now + EVERY_MS).await? {
        return Ok(());
    }
    let answered = timeout(PATIENCE, provisioner.orphans()).await;
    let Orphans { found, left_out } = match answered.map_err(|_| "it did not answer".to_owned()) {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return store.write_orphan_trouble(name, &error.to_string()).await,
        Err(trouble) => return store.write_orphan_trouble(name, &trouble).await,
    };
    let mut owned_by_nobody = Vec::new();
    for orphan in found {
        if !store.counts_on(name, &orphan).await? {
            owned_by_nobody.push(orphan);
        }
    }
    for orphan in store.write_orphans(name, &owned_by_nobody, now).await? {
        let Orphan { id, about, environment, .. } = &orphan;
        tracing::warn!(provisioner = name, id, about, %environment, "nobody owns this: see /operator");
    }
    if let Some(left_out) = left_out {
        store.write_orphan_trouble(name, &left_out).await?;
    }
    obey(store, provisioner, now).await
}

/// Ends the servers that are seen for long enough.
async fn obey(store: &Store, provisioner: &dyn Provisioner, now: i64) -> Result<(), StoreError> {
    let Some(after) = provisioner.orphan_servers_end_after() else { return Ok(()) };
    let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
    for row in store.orphans().await? {
        let due = row.provisioner == provisioner.name() && row.orphan.kind == OrphanKind::Server;
        if !due || now < row.first_seen_at.saturating_add(after) {
            continue;
        }
        let mut tx = store.write().await?;
        let detail =
            json!({ "provisioner": row.provisioner, "about": row.orphan.about, "first_seen_at": row.first_seen_at });
        let (id, action, target) = (new_id(now), "remove_leftover", row.orphan.id.as_str());
        tx.audit(&AuditEvent { id: &id, team_id: None, at: now, actor: POLICY, action, target, detail }).await?;
        tx.commit().await?;
        match remove(store, provisioner, &row.orphan, now).await {
            Ok(()) => tracing::warn!(provisioner = row.provisioner, id = target, "ended: nobody owned it for too long"),
            Err(error) => tracing::warn!(%error, id = target, "it cannot be ended; trying again at the next look"),
        }
    }
    Ok(())
}

/// Why an orphan was not removed.
#[derive(Debug, thiserror::Error)]
pub enum NotRemoved {
    #[error("a row here counts on it after all: it was let alone")]
    Owned,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Provisioner(#[from] ProvisionError),
}

/// The audit event that says so is committed.
pub(super) async fn remove(
    store: &Store,
    provisioner: &dyn Provisioner,
    orphan: &Orphan,
    now: i64,
) -> Result<(), NotRemoved> {
    if store.counts_on(provisioner.name(), orphan).await? {
        return Err(NotRemoved::Owned);
    }
    provisioner.remove_orphan(orphan).await?;
    let mut tx = store.write().await?;
    tx.note_orphan_removed(provisioner.name(), &orphan.id, now).await?;
    Ok(tx.commit().await?)
}
