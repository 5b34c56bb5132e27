//! Snapshots with which volumes begin at full speed, for a while that somebody pays for: Amazon's *fast snapshot restore* ("Amazon EBS
//! fast snapshot restore", docs.aws.amazon.com/ebs/latest/userguide/ebs-fast-snapshot-restore.html). Where and until when it is
//! wanted stands in the snapshot's record; one watcher for all compares that with what Amazon shows and asks for what differs.
//!
//! The calls have no client token and need none: each says how it is to be, and may be repeated. That one is made is written
//! down first all the same, so that what it may have brought is ended.
//!
//! Guaranteed: what no record wants is switched off, at its end, with its snapshot, after a refusal, and what is found switched on
//! of a snapshot of this installation, unless nobody understands what is remembered of its environment. A record is over once
//! Amazon has accepted the end, and has shown nothing of it for as long as it may lag. Amazon itself knows no end: what is to end
//! while no portal runs ends with the next one.
//!
//! Deliberately absent: other zones than the one in which the environment's new volumes are made (a clone is at home in one of its
//! own), and counting volume creation credits: who is made without one reads slowly, and is told so (`warm`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use provisioners::{EnvironmentId, KeptWarm, LedgerError, ProvisionError, SnapshotId, WarmOffer, Warmth};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Shared;
use super::amazon::{CallError, FastState, LAG_MS};
use super::answers::{Accepted, rejected, soon};
use super::buckets::Bucket;
use super::orphans::remembered;
use super::records::{Fast, Record, Records, Snapshot};
use super::tags::{ENVIRONMENT, INSTALLATION};

/// Between looks while there are any.
const LOOK: Duration = Duration::from_secs(30);
/// To the first one after Amazon was asked.
const SOON: Duration = Duration::from_secs(5);
/// Between looks for what nothing remembers, where it is offered.
const PATROL: Duration = Duration::from_secs(3600);
/// To the next one when that could not be asked.
const AGAIN: Duration = Duration::from_secs(5 * 60);

/// One of Amazon's snapshots and a zone.
type Pair = (String, String);
/// What is switched on, or about to be.
type Shown = BTreeMap<Pair, FastState>;

/// Environments with snapshots that are kept warm, or were a moment ago.
#[derive(Default)]
pub struct Fasts {
    open: Mutex<BTreeSet<EnvironmentId>>,
    changed: Notify,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Amazon(#[from] CallError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What is to be asked of Amazon, for all of a snapshot in all its zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    On,
    Off,
}

impl Fasts {
    /// Takes up an environment that has any.
    pub fn note(&self, environment: &EnvironmentId, records: &Records) {
        if is_open(records) && self.open().insert(environment.clone()) {
            self.changed.notify_one();
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeSet<EnvironmentId>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_open(records: &Records) -> bool {
    records.snapshots.values().any(|kept| kept.record.fast.as_ref().is_some_and(|fast| !fast.over))
}

/// What it takes for a snapshot of so many volumes; `None`: the operator does not offer it, or Amazon has not said yet what there is.
pub(super) fn offer(shared: &Shared, environment: &EnvironmentId, volumes: usize) -> Option<WarmOffer> {
    shared.config.snapshots.as_ref().filter(|policy| policy.fast_restore)?;
    Some(price(shared, vec![shared.place()?.home(environment).zone.clone()], volumes))
}

fn price(shared: &Shared, zones: Vec<String>, volumes: usize) -> WarmOffer {
    WarmOffer { hour_cents: shared.config.prices.fast_restore(volumes.saturating_mul(zones.len())), zones }
}

/// Writes down until when a snapshot is wanted warm; the watcher does the rest.
pub(super) async fn ask(
    shared: &Shared,
    environment: &EnvironmentId,
    snapshot: &SnapshotId,
    until: Option<i64>,
) -> Accepted {
    let now = (shared.now)();
    let records = shared.known(environment).await?;
    let kept = records.snapshots.get(snapshot).filter(|kept| kept.record.delete_at.is_none());
    let kept = kept.ok_or_else(|| rejected(format!("“{}” has no snapshot {snapshot}", shared.name)))?;
    let record = &kept.record;
    let fast = match (until, record.fast.as_ref().filter(|fast| !fast.over)) {
        (None, None) => return Ok(()),
        (None, Some(fast)) => Fast { until: fast.until.min(now), ..fast.clone() },
        (Some(until), Some(fast)) if is_wanted(record, fast, now) => Fast { until, ..fast.clone() },
        (Some(_), Some(_)) => {
            return Err(soon("it is just being ended; ask again ten minutes later"));
        }
        (Some(_), None) if !record.complete => return Err(rejected("it is not complete yet")),
        (Some(until), None) => {
            let offer = offer(shared, environment, record.parts.len());
            let offer = offer.ok_or_else(|| rejected(format!("“{}” does not offer it", shared.name)))?;
            Fast::asked(offer.zones, until)
        }
    };
    let record = Snapshot { fast: Some(fast), ..record.clone() };
    shared.put(environment, kept.version, Record::Snapshot(Box::new(record))).await?;
    shared.fasts.open().insert(environment.clone());
    shared.fasts.changed.notify_one();
    Ok(())
}

/// How those stand for which it was asked.
pub(super) async fn kept(shared: &Shared, environment: &EnvironmentId) -> Result<Vec<KeptWarm>, ProvisionError> {
    let (records, now) = (shared.known(environment).await?, (shared.now)());
    let of = |snapshot: &Snapshot| {
        let fast = snapshot.fast.as_ref().filter(|_| snapshot.delete_at.is_none())?;
        Some(KeptWarm {
            snapshot: snapshot.plan.id.clone(),
            offer: price(shared, fast.zones.keys().cloned().collect(), snapshot.parts.len()),
            until: fast.until,
            state: warmth(fast, now),
        })
    };
    Ok(records.snapshots.values().filter_map(|kept| of(&kept.record)).collect())
}

fn warmth(fast: &Fast, now: i64) -> Warmth {
    if let Some(reason) = &fast.failure {
        return Warmth::Refused { reason: reason.clone() };
    }
    if now >= fast.until {
        return if fast.over { Warmth::Ended } else { Warmth::Ending };
    }
    let doing = match fast.zones.values().copied().min().flatten() {
        Some(FastState::Enabled) => return Warmth::Ready,
        Some(FastState::Optimizing) => "optimising",
        Some(FastState::Enabling) => "being switched on",
        None => "asking Amazon",
    };
    Warmth::Preparing { doing: doing.to_owned() }
}

/// Volumes made of it in this zone have all of their data at once.
pub fn is_ready(snapshot: &Snapshot, zone: &str, now: i64) -> bool {
    let fast = snapshot.fast.as_ref().filter(|fast| is_wanted(snapshot, fast, now));
    fast.is_some_and(|fast| fast.zones.get(zone) == Some(&Some(FastState::Enabled)))
}

fn is_wanted(snapshot: &Snapshot, fast: &Fast, now: i64) -> bool {
    !fast.over && fast.failure.is_none() && now < fast.until && snapshot.delete_at.is_none()
}

fn pairs(snapshot: &Snapshot, fast: &Fast) -> Vec<Pair> {
    let of_zone = |zone: &String| {
        let pair = |part: &super::records::Part| (part.snapshot.clone(), zone.clone());
        snapshot.parts.iter().map(pair).collect::<Vec<_>>()
    };
    fast.zones.keys().flat_map(of_zone).collect()
}

/// With what a look confirms. Pure.
fn learnt(snapshot: &Snapshot, fast: &Fast, shown: &Shown, now: i64) -> Fast {
    let mut fast = fast.clone();
    let pairs = pairs(snapshot, &fast);
    let there = pairs.iter().filter(|pair| shown.contains_key(pair)).count();
    if is_wanted(snapshot, &fast, now) {
        for (zone, known) in &mut fast.zones {
            let of_zone = pairs.iter().filter(|(_, of)| of == zone);
            *known = of_zone.map(|pair| shown.get(pair).copied()).min().flatten().max(*known);
        }
        fast.missing_since = match fast.accepted && there < pairs.len() {
            true => fast.missing_since.or(Some(now)),
            false => None,
        };
        if fast.missing_since.is_some_and(|since| now >= since + LAG_MS) {
            fast.failure = Some("Amazon shows that it is switched off again.".to_owned());
        }
    } else if there == 0 {
        fast.over |= fast.called_at.is_none() || fast.ended_at.is_some_and(|at| now >= at + LAG_MS);
    }
    fast
}

/// What is to be asked now. Pure.
fn next(snapshot: &Snapshot, fast: &Fast, shown: &Shown, now: i64) -> Option<Ask> {
    if is_wanted(snapshot, fast, now) {
        return (!fast.accepted).then_some(Ask::On);
    }
    let there = pairs(snapshot, fast).iter().any(|pair| shown.contains_key(pair));
    let asked = fast.ended_at.is_some() || fast.called_at.is_none();
    (!fast.over && (there || !asked)).then_some(Ask::Off)
}

/// Runs for as long as it is polled.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut patrol_at = Instant::now();
    let mut strangers = BTreeSet::new();
    loop {
        let patrols = Instant::now() >= patrol_at;
        if patrols {
            patrol_at = Instant::now() + PATROL;
            strangers.clear();
        }
        let offers = shared.config.snapshots.as_ref().is_some_and(|policy| policy.fast_restore);
        let open = std::mem::take(&mut *shared.fasts.open());
        let mut look_in = LOOK;
        if !open.is_empty() || (patrols && offers) {
            match round(&shared, &open, &mut strangers).await {
                Ok(soonest) => look_in = soonest.min(LOOK),
                Err(error) => {
                    tracing::warn!(provisioner = shared.name, %error, "snapshots that are kept warm cannot be looked after; trying again");
                    shared.fasts.open().extend(open);
                    patrol_at = patrol_at.min(Instant::now() + AGAIN);
                }
            }
        }
        let idle = shared.fasts.open().is_empty();
        let until = if idle { patrol_at } else { Instant::now() + look_in };
        tokio::select! {
            () = shared.fasts.changed.notified() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

/// Looks once, and asks for what differs. Says when to look again at the latest.
async fn round(
    shared: &Shared,
    open: &BTreeSet<EnvironmentId>,
    strangers: &mut BTreeSet<Pair>,
) -> Result<Duration, Trouble> {
    let shown = shared.amazon.fast_restores().await?;
    // After the look: whatever it shows was written down before it was asked for.
    let environments: Vec<EnvironmentId> = open.iter().cloned().collect();
    // Those of which nobody understands what is remembered are open again once the driver does.
    let (all, _) = shared.records(&environments).await?;
    let (mut known, mut soonest) = (BTreeSet::new(), LOOK);
    for (environment, records) in &all {
        if is_open(records) {
            shared.fasts.open().insert(environment.clone());
        }
        for (id, kept) in &records.snapshots {
            let Some(fast) = kept.record.fast.as_ref().filter(|fast| !fast.over) else { continue };
            known.extend(pairs(&kept.record, fast));
            let left = u64::try_from(fast.until - (shared.now)()).ok().filter(|left| *left > 0);
            soonest = left.map_or(soonest, |left| soonest.min(Duration::from_millis(left)));
            if attend(shared, (environment, id), &shown).await? == Some(Ask::On) {
                soonest = soonest.min(SOON);
            }
        }
    }
    let unknown = shown.into_keys().filter(|pair| !known.contains(pair) && !strangers.contains(pair));
    end_unwanted(shared, unknown.collect(), strangers).await?;
    Ok(soonest)
}

/// Says what Amazon was asked.
async fn attend(shared: &Shared, of: (&EnvironmentId, &SnapshotId), shown: &Shown) -> Result<Option<Ask>, LedgerError> {
    let now = (shared.now)();
    let Some((snapshot, fast)) = change(shared, of, |snapshot, fast| learnt(snapshot, fast, shown, now)).await? else {
        return Ok(None);
    };
    let asked = next(&snapshot, &fast, shown, now);
    match asked {
        None => {}
        Some(Ask::On) => switch_on(shared, of).await?,
        Some(Ask::Off) => {
            let is_shown = pairs(&snapshot, &fast).iter().any(|pair| shown.contains_key(pair));
            switch_off(shared, of, (&snapshot, &fast), is_shown).await?;
        }
    }
    Ok(asked)
}

async fn switch_on(shared: &Shared, of: (&EnvironmentId, &SnapshotId)) -> Result<(), LedgerError> {
    let now = (shared.now)();
    let called = |snapshot: &Snapshot, fast: &Fast| match is_wanted(snapshot, fast, now) {
        true => Fast { called_at: Some(now), ended_at: None, ..fast.clone() },
        false => fast.clone(),
    };
    let Some((snapshot, fast)) = change(shared, of, called).await? else { return Ok(()) };
    if !is_wanted(&snapshot, &fast, now) {
        return Ok(());
    }
    let (ids, zones) = about(&snapshot, &fast);
    let paid = shared.amazon.buckets.acquire(&[(Bucket::Call("EnableFastSnapshotRestores"), 1)]).await;
    let failure = match shared.amazon.enable_fast_restores(paid, &ids, &zones).await {
        Ok(()) => None,
        Err(error @ CallError::Refused { .. }) => Some(error.plain()),
        // The next look asks again.
        Err(_) => return Ok(()),
    };
    let answered = |_: &Snapshot, fast: &Fast| Fast { accepted: true, failure: failure.clone(), ..fast.clone() };
    change(shared, of, answered).await.map(drop)
}

/// `is_shown`: it is on for all we know; else what is refused is off.
async fn switch_off(
    shared: &Shared,
    of: (&EnvironmentId, &SnapshotId),
    (snapshot, fast): (&Snapshot, &Fast),
    is_shown: bool,
) -> Result<(), LedgerError> {
    let (ids, zones) = about(snapshot, fast);
    let paid = shared.amazon.buckets.acquire(&[(Bucket::Call("DisableFastSnapshotRestores"), 1)]).await;
    let ended = match shared.amazon.disable_fast_restores(paid, &ids, &zones).await {
        Ok(()) => Ok((shared.now)()),
        Err(CallError::Refused { code, .. }) if !is_shown || code == "InvalidSnapshot.NotFound" => Ok((shared.now)()),
        Err(error @ CallError::Refused { .. }) => Err(format!("It cannot be ended. {}", error.plain())),
        Err(_) => return Ok(()),
    };
    let answered = |_: &Snapshot, fast: &Fast| match &ended {
        Ok(at) => Fast { ended_at: Some(*at), ..fast.clone() },
        Err(reason) => Fast { failure: Some(reason.clone()), ..fast.clone() },
    };
    change(shared, of, answered).await.map(drop)
}

/// As a call names them: all snapshots, all zones.
fn about(snapshot: &Snapshot, fast: &Fast) -> (Vec<String>, Vec<String>) {
    let ids = snapshot.parts.iter().map(|part| part.snapshot.clone());
    (ids.collect(), fast.zones.keys().cloned().collect())
}

/// Whatever is on of a snapshot of this installation that no record wants, another provisioner's of the same account among them.
/// Others' are `strangers`, and not asked about again for a while.
async fn end_unwanted(shared: &Shared, unknown: Vec<Pair>, strangers: &mut BTreeSet<Pair>) -> Result<(), Trouble> {
    if unknown.is_empty() {
        return Ok(());
    }
    let ours = shared.amazon.snapshots(&[(INSTALLATION, std::slice::from_ref(&shared.installation))]).await?;
    let mut found: Vec<(Pair, EnvironmentId)> = Vec::new();
    for pair in unknown {
        let shown = ours.iter().find(|one| one.id == pair.0);
        match shown.and_then(|one| one.tags.get(ENVIRONMENT)) {
            Some(environment) => found.push((pair, EnvironmentId::new(environment))),
            None => drop(strangers.insert(pair)),
        }
    }
    let environments: Vec<EnvironmentId> = found.iter().map(|(_, environment)| environment.clone()).collect();
    let memory = remembered(shared, &environments).await?;
    let now = (shared.now)();
    let wants = |snapshot: &Snapshot, pair: &Pair| {
        let fast = snapshot.fast.as_ref().filter(|fast| is_wanted(snapshot, fast, now));
        fast.is_some_and(|fast| pairs(snapshot, fast).contains(pair))
    };
    for (pair, environment) in found {
        // Where nobody understands what is remembered it may be wanted.
        let Some(known) = memory.of(&environment) else {
            strangers.insert(pair);
            continue;
        };
        if known.all().any(|records| records.snapshots.values().any(|kept| wants(&kept.record, &pair))) {
            continue;
        }
        let (snapshot, zone) = pair;
        tracing::warn!(provisioner = shared.name, snapshot, zone, "nobody wants it kept warm: it is ended");
        let paid = shared.amazon.buckets.acquire(&[(Bucket::Call("DisableFastSnapshotRestores"), 1)]).await;
        shared.amazon.disable_fast_restores(paid, &[snapshot], &[zone]).await?;
    }
    Ok(())
}

/// Changes what is remembered of it, where anything is that is not over, and tells whoever looks at it. Returns what is now.
async fn change(
    shared: &Shared,
    (environment, snapshot): (&EnvironmentId, &SnapshotId),
    change: impl Fn(&Snapshot, &Fast) -> Fast,
) -> Result<Option<(Snapshot, Fast)>, LedgerError> {
    loop {
        let records = shared.records_of(environment).await?;
        let Some(kept) = records.snapshots.get(snapshot) else { return Ok(None) };
        let Some(fast) = kept.record.fast.as_ref().filter(|fast| !fast.over) else { return Ok(None) };
        let changed = change(&kept.record, fast);
        let record = Snapshot { fast: Some(changed.clone()), ..kept.record.clone() };
        if changed == *fast {
            return Ok(Some((record, changed)));
        }
        if shared.write(environment, vec![(kept.version, Record::Snapshot(Box::new(record.clone())))]).await? {
            // Nobody needs to listen.
            let _ = shared.changes.send(environment.clone());
            return Ok(Some((record, changed)));
        }
    }
}
