//! Stories of the engine in a simulated world: every fault at every step, not a few chosen ones.

mod agents;
mod alerts;
mod orphans;
mod snapshot_copies;
mod world;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use app::api::{Action, DrillReach, DrillResult, LiveEvent, SnapshotReason, SnapshotState, SnapshotView, State};
use provisioners::{MachineState, Provisioner, SnapshotId};
use sqlx::Executor;
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;

use self::world::{Behaviour, Fault, World};
use super::{Bell, Directory, Engine, Parts};
use crate::clock::Clock;
use crate::domain::actions::change;
use crate::domain::fixtures::{server, topology};
use crate::domain::schedule;
use crate::domain::topology::{Keep, ParkMode, Schedule, ScheduledAction, SnapshotRules, Topology};
use crate::keys::InstallationKey;
use crate::store::{EnvironmentRecord, NewEnvironment, OrderKey, Ordered, Quota, Store, Wanted, id, sqlite_url};

const MORNING: i64 = 1_800_000_000_000;

/// A portal's inside: database, engine, simulated world; time stands still unless it is moved.
struct House {
    _directory: TempDir,
    store: Store,
    time: Arc<AtomicI64>,
    clock: Clock,
    bell: Bell,
    world: Arc<World>,
    engine: Option<Engine>,
}

impl House {
    async fn new() -> House {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&sqlite_url(&directory.path().join("bookend.db"))).await.unwrap();
        let mut tx = store.write().await.unwrap();
        let rows = "insert into team (id, name) values ('t', 'team'); \
             insert into person (id, team_id, name, password_hash, role, created_at) values ('p', 't', 'anna', '', 'user', 0); \
             insert into template (id, team_id, name, created_at) values ('tp', 't', 'shop', 0); \
             insert into template_version (id, template_id, version, digest, source, created_at) \
             values ('tv', 'tp', '1', '', '', 0);";
        tx.connection().execute(rows).await.unwrap();
        tx.commit().await.unwrap();
        let time = Arc::new(AtomicI64::new(MORNING));
        let clock = Clock::set_by(time.clone());
        let bell = Bell::default();
        let key = InstallationKey::new([7; 32]);
        let world = World::new(Directory { store: store.clone(), key, clock: clock.clone(), bell: bell.clone() });
        let mut house = House { _directory: directory, store, time, clock, bell, world, engine: None };
        house.start().await;
        house
    }

    /// A portal begins, after a crash of the one before if there was one.
    async fn start(&mut self) {
        self.start_with(vec![self.world.clone()]).await;
    }

    /// The same with these places.
    async fn start_with(&mut self, provisioners: Vec<Arc<dyn Provisioner>>) {
        self.engine = None;
        let lock = crate::store::PortalLock::acquire(&self._directory.path().join("bookend.db")).unwrap();
        self.store.begin_life(Some(&lock), self.clock.now()).await.unwrap();
        self.engine = Some(Engine::start(Parts {
            store: self.store.clone(),
            clock: self.clock.clone(),
            key: InstallationKey::new([7; 32]),
            bell: self.bell.clone(),
            agents: self.world.clone(),
            provisioners,
            weekly_drills: true,
            alerts: None,
        }));
    }

    async fn order(&self, name: &str, topology: Topology) {
        let now = self.clock.now();
        let new = NewEnvironment {
            id: id(now),
            team_id: "t".into(),
            owner_id: "p".into(),
            orderer_id: "p".into(),
            orderer_name: "anna".into(),
            name: name.into(),
            template_version_id: "tv".into(),
            provisioner: "local".into(),
            parameters: BTreeMap::new(),
            sealed_secrets: None,
            upcoming: schedule::upcoming(&topology, None, now),
            topology,
            copied: Vec::new(),
        };
        let mut tx = self.store.write().await.unwrap();
        let key = OrderKey { request_id: name, digest: "d" };
        let ordered = tx.order(&new, Some(key), Quota { per_person: 1000, per_team: 1000 }, now).await.unwrap();
        assert_eq!(ordered, Ordered::Created);
        tx.commit().await.unwrap();
        self.bell.ring(&new.id);
    }

    async fn show(&self, name: &str) -> EnvironmentRecord {
        self.store.environment("t", name).await.unwrap().unwrap()
    }

    async fn ask(&self, name: &str, action: Action) {
        self.time.fetch_add(1, Ordering::SeqCst);
        let environment = self.show(name).await.summary.id;
        let now = self.clock.now();
        let mut tx = self.store.write().await.unwrap();
        let facts = tx.facts(&environment).await.unwrap().unwrap().facts;
        let change = change(action, &facts, now).unwrap();
        tx.change_desire(&environment, facts.intent.generation, &change, Some("anna"), now).await.unwrap();
        tx.commit().await.unwrap();
        self.bell.ring(&environment);
    }

    /// Returns when something has happened, or moves the time on to whatever the engine waits for: never while it is at work, which
    /// on a busy machine takes longer than nothing happening does.
    async fn pass(&self, news: &mut Receiver<LiveEvent>) {
        while tokio::time::timeout(Duration::from_millis(20), news.recv()).await.is_err() {
            let hangs = *self.world.hanging.borrow() > 0;
            if !hangs && self.at_work().await {
                continue;
            }
            if let Some(due) = self.store.next_due().await.unwrap() {
                self.time.fetch_max(due, Ordering::SeqCst);
                self.bell.wake();
            }
            return;
        }
    }

    /// A snapshot is asked for by a person.
    async fn keep(&self, id: &str) -> SnapshotId {
        let wanted = Wanted { environment: id, reason: SnapshotReason::Demand, label: "", actor: Some("anna") };
        let mut tx = self.store.write().await.unwrap();
        let wanted = tx.want_snapshot(&wanted, self.clock.now()).await.unwrap();
        tx.touch(id, self.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        self.bell.ring(id);
        SnapshotId::new(wanted.snapshot)
    }

    /// Moves the time on until there is another snapshot than this one.
    async fn next_snapshot(&self, id: &str, before: Option<&str>) -> SnapshotView {
        let mut news = self.bell.subscribe();
        for _ in 0..400 {
            let newest = self.store.snapshots(id).await.unwrap().into_iter().next().map(|newest| newest.view);
            if let Some(newest) = newest
                && newest.state == SnapshotState::Complete
                && before != Some(newest.id.as_str())
            {
                return newest;
            }
            self.pass(&mut news).await;
        }
        panic!("no snapshot after {before:?}: {:#?}", self.show(id).await)
    }

    /// Moves the time on until a drill has ended since now, and nothing of its place is left.
    async fn drilled(&self, id: &str) -> DrillResult {
        let began = self.clock.now();
        let mut news = self.bell.subscribe();
        self.bell.tell(id);
        for _ in 0..1_000 {
            let last = self.store.drill(id, true).await.unwrap().last.filter(|last| last.ended_at >= began);
            if let Some(last) = last
                && self.store.drill_under_way().await.unwrap().is_none()
            {
                return last;
            }
            self.pass(&mut news).await;
        }
        panic!("no drill ended: {:#?}", self.store.drill(id, true).await.unwrap())
    }

    /// Returns when the engine has dealt with all that this moment asks for.
    async fn until_nothing_is_due(&self) {
        let mut news = self.bell.subscribe();
        self.bell.wake();
        while self.store.next_due().await.unwrap().is_some_and(|due| due <= self.clock.now()) || self.at_work().await {
            let _ = tokio::time::timeout(Duration::from_millis(20), news.recv()).await;
        }
    }

    /// Somebody attends to an environment at this moment; then it is not due.
    async fn at_work(&self) -> bool {
        let mut reading = self.store.read().await.unwrap();
        let leased = sqlx::query("select 1 from environment where lease_until > 0").fetch_optional(&mut *reading).await;
        leased.unwrap().is_some()
    }

    /// Moves the time on to whatever the engine waits for, until the environment is in this state.
    async fn until(&self, id: &str, state: State) -> EnvironmentRecord {
        let mut news = self.bell.subscribe();
        for _ in 0..400 {
            let record = self.show(id).await;
            if record.summary.state == state {
                return record;
            }
            self.pass(&mut news).await;
        }
        let record = self.show(id).await;
        panic!(
            "never {state}: {:?} {:?}\n{:#?}",
            record.summary,
            record.facts.intent,
            self.timeline(&record.summary.id).await
        );
    }

    /// Until the first server has this generation.
    async fn until_generation(&self, id: &str, generation: i64) {
        let mut news = self.bell.subscribe();
        while self.show(id).await.facts.observed.servers[0].generation < generation {
            let _ = tokio::time::timeout(Duration::from_millis(50), news.recv()).await;
        }
    }

    async fn timeline(&self, environment: &str) -> Vec<String> {
        let events = self.store.timeline(environment, None, 200).await.unwrap().items;
        events.into_iter().rev().map(|event| format!("{}: {}", event.kind, event.message)).collect()
    }
}

/// A database and a web server that needs it.
fn shop() -> Topology {
    topology([server("db").mounting(&["data"]), server("web").needing(&["db"])])
}

#[tokio::test]
async fn an_order_becomes_ready_is_parked_resumed_and_deleted() {
    let house = House::new().await;
    house.order("shop", shop()).await;
    let ready = house.until("shop", State::Ready).await;
    assert_eq!((ready.summary.servers_ready, ready.summary.servers_total), (2, 2));
    let calls = house.world.with(|state| std::mem::take(&mut state.calls));
    assert_eq!(calls[..2].iter().collect::<std::collections::BTreeSet<_>>().len(), 2, "{calls:?}");
    assert_eq!(calls[2..], ["StartServer", "StartServer"]);

    house.ask("shop", Action::Park).await;
    house.until("shop", State::Parked).await;
    house.world.with(|state| {
        assert!(state.servers.is_empty() && state.networks.is_empty());
        assert_eq!(state.volumes.len(), 1, "the data is kept");
        assert_eq!(state.stopped_gently.len(), 2, "services were asked to end");
        assert_eq!(state.stopped_gently[0], ready.facts.observed.servers[1].id, "who needs another ends first");
    });

    house.ask("shop", Action::Resume).await;
    let resumed = house.until("shop", State::Ready).await;
    assert!(resumed.facts.observed.servers.iter().all(|server| server.generation == 2));

    house.ask("shop", Action::Delete).await;
    house.until(&ready.summary.id, State::Deleted).await;
    house.world.with(|state| {
        assert!(state.servers.is_empty() && state.networks.is_empty() && state.volumes.is_empty());
        assert_eq!(state.forgotten.len(), 2, "nothing is remembered of servers that are gone for good");
    });
    assert!(house.store.environment("t", "shop").await.unwrap().is_none(), "the name is free again");
    let timeline = house.timeline(&ready.summary.id).await;
    for kind in
        ["ordered", "server_starting", "server_ready", "ready", "parking", "parked", "resuming", "deleting", "deleted"]
    {
        assert!(timeline.iter().any(|line| line.starts_with(&format!("{kind}: "))), "{kind} in {timeline:#?}");
    }
}

#[tokio::test]
async fn servers_that_stand_by_while_it_is_parked_come_back_as_they_were() {
    let house = House::new().await;
    house.order("shop", Topology { park: ParkMode::Stop, ..shop() }).await;
    let ready = house.until("shop", State::Ready).await;
    for times in 1..=2 {
        house.ask("shop", Action::Park).await;
        house.until("shop", State::Parked).await;
        house.world.with(|state| {
            let asleep = MachineState::Suspended { hibernated: false };
            assert!(state.servers.values().all(|(.., machine)| *machine == asleep) && state.networks.len() == 1);
            assert_eq!(state.stopped_gently.len(), 2 * times, "services were asked to end");
        });
        house.ask("shop", Action::Resume).await;
        let resumed = house.until("shop", State::Ready).await;
        assert!(resumed.facts.observed.servers.iter().all(|server| server.generation == 1), "the same ones");
    }
    house.world.with(|state| {
        assert_eq!(state.started.len(), 2, "none was started anew");
        let told: BTreeSet<_> = state.hung_up.iter().collect();
        assert_eq!(told.len(), 2, "agents are told again what to do");
    });
    let id = ready.summary.id;
    assert!(house.timeline(&id).await.iter().any(|line| line.contains("is parked; its servers are stopped")));
    // What is parked can be deleted as it is.
    house.ask("shop", Action::Park).await;
    house.until("shop", State::Parked).await;
    house.ask(&id, Action::Delete).await;
    house.until(&id, State::Deleted).await;
    house
        .world
        .with(|state| assert!(state.servers.is_empty() && state.networks.is_empty() && state.volumes.is_empty()));
}

#[tokio::test]
async fn a_server_that_dies_is_replaced_and_the_timeline_says_so() {
    let house = House::new().await;
    house.order("shop", shop()).await;
    let ready = house.until("shop", State::Ready).await;
    let db = ready.facts.observed.servers[0].id.clone();
    house.world.kill(&db);
    house.until_generation("shop", 2).await;
    let repaired = house.until("shop", State::Ready).await;
    assert_eq!(repaired.facts.observed.servers[0].generation, 2);
    assert_eq!(repaired.facts.observed.servers[1].generation, 1, "the other one is left alone");
    let timeline = house.timeline(&ready.summary.id).await;
    assert!(timeline.iter().any(|line| line.contains("db died: killed by SIGKILL. It is replaced")), "{timeline:#?}");
    assert!(timeline.iter().any(|line| line.starts_with("drift_repaired")), "{timeline:#?}");
}

#[tokio::test]
async fn a_failed_set_up_is_told_with_its_cause_and_can_be_retried() {
    let house = House::new().await;
    house.world.with(|state| state.behaviour = Some(Behaviour::Fails));
    house.order("shop", shop()).await;
    let failed = house.until("shop", State::Failed).await;
    let failure = failed.facts.intent.failure.clone().unwrap();
    assert_eq!((failure.server.as_deref(), failure.cause.as_str()), (Some("db"), "ended with code 3"));
    assert_eq!(failure.lines, ["no such package"]);
    house.world.with(|state| state.behaviour = None);
    house.ask("shop", Action::Retry).await;
    house.until("shop", State::Ready).await;
}

#[tokio::test]
async fn a_server_whose_agent_never_connects_ends_in_a_failure_not_in_a_loop() {
    let house = House::new().await;
    house.world.with(|state| state.behaviour = Some(Behaviour::Silent));
    house.order("shop", shop()).await;
    let failed = house.until("shop", State::Failed).await;
    let failure = failed.facts.intent.failure.clone().unwrap();
    assert!(failure.cause.contains("its agent did not connect"), "{failure:?}");
    assert_eq!(house.world.with(|state| state.started.len()), 5);
    house.ask("shop", Action::Delete).await;
    house.until(&failed.summary.id, State::Deleted).await;
}

#[tokio::test]
async fn a_cancelled_order_that_was_never_ready_leaves_nothing() {
    let house = House::new().await;
    house.world.with(|state| state.behaviour = Some(Behaviour::Silent));
    house.order("shop", shop()).await;
    let starting = house.until("shop", State::Starting).await;
    house.ask("shop", Action::Cancel).await;
    house.until(&starting.summary.id, State::Deleted).await;
    house.world.with(|state| assert!(state.servers.is_empty() && state.volumes.is_empty()));
}

#[tokio::test]
async fn whoever_forces_it_waits_for_no_service_that_will_not_end() {
    let house = House::new().await;
    house.order("shop", shop()).await;
    house.until("shop", State::Ready).await;
    house.world.with(|state| state.stubborn = true);
    house.ask("shop", Action::Park).await;
    let parking = house.until("shop", State::Parking).await;
    house.ask("shop", Action::Force).await;
    house.until("shop", State::Parked).await;
    house.world.with(|state| assert!(state.servers.is_empty() && state.volumes.len() == 1));
    let timeline = house.timeline(&parking.summary.id).await;
    assert!(timeline.iter().any(|line| line.starts_with("forcing: ")), "{timeline:#?}");

    // The next one is asked politely again.
    house.world.with(|state| (state.stubborn, state.stopped_gently) = (false, Vec::new()));
    house.ask("shop", Action::Resume).await;
    house.until("shop", State::Ready).await;
    house.ask("shop", Action::Park).await;
    house.until("shop", State::Parked).await;
    let asked: BTreeSet<_> = house.world.with(|state| state.stopped_gently.drain(..).collect());
    assert_eq!(asked.len(), 2);
}

#[tokio::test]
async fn rules_are_obeyed_and_what_was_missed_is_done_once() {
    let mut house = House::new().await;
    let rule = |action, cron: &str| Schedule { action, cron: cron.into(), time_zone: "UTC".into() };
    let rules = vec![rule(ScheduledAction::Park, "0 19 * * *"), rule(ScheduledAction::Resume, "0 7 * * *")];
    house.order("shop", Topology { schedules: rules, ..shop() }).await;
    house.until("shop", State::Ready).await;
    house.until("shop", State::Parked).await;
    house.until("shop", State::Ready).await;

    house.engine = None;
    house.time.fetch_add(3 * 24 * 3_600_000, Ordering::SeqCst);
    let evening = house.clock.now() / 86_400_000 * 86_400_000 + 20 * 3_600_000;
    house.time.store(evening, Ordering::SeqCst);
    house.start().await;
    let parked = house.until("shop", State::Parked).await;
    let timeline = house.timeline(&parked.summary.id).await;
    assert_eq!(timeline.iter().filter(|line| line.starts_with("parked: ")).count(), 2, "{timeline:#?}");
}

#[tokio::test]
async fn snapshots_are_taken_by_rule_while_it_runs_and_no_more_stay_than_the_template_keeps() {
    let house = House::new().await;
    let keep = Keep { last: 2, ..Keep::default() };
    let snapshots = SnapshotRules { take: Some("0 12 * * *".into()), time_zone: "UTC".into(), keep };
    house.order("shop", Topology { snapshots, ..shop() }).await;
    let id = house.until("shop", State::Ready).await.summary.id;
    let mut before = None;
    for _ in 0..4 {
        let taken = house.next_snapshot(&id, before.as_deref()).await;
        assert_eq!((taken.reason, taken.actor), (SnapshotReason::Schedule, None));
        assert_eq!(taken.requested_at / 3_600_000 % 24, 12);
        before = Some(taken.id);
    }
    assert_eq!(house.store.snapshots(&id).await.unwrap().len(), 2);

    // What is parked is kept already: three noons pass, and the engine has seen them.
    house.ask("shop", Action::Park).await;
    house.until("shop", State::Parked).await;
    house.time.fetch_add(3 * 24 * 3_600_000, Ordering::SeqCst);
    house.until_nothing_is_due().await;
    let newest = house.store.snapshots(&id).await.unwrap().remove(0).view;
    assert_eq!(newest.reason, SnapshotReason::Park);
}

#[tokio::test]
async fn of_a_snapshot_whose_portal_was_killed_before_the_thaw_nobody_knows_what_it_is_so_another_is_taken() {
    let mut house = House::new().await;
    house.order("shop", shop()).await;
    let id = house.until("shop", State::Ready).await.summary.id;
    house.world.with(|state| state.script = vec![Fault::HangsDone].into());
    let snapshot = house.keep(&id).await;
    house.world.hanging.subscribe().wait_for(|hanging| *hanging > 0).await.unwrap();
    let call = |house: &House| house.world.with(|state| state.snapshots[&snapshot].1);
    assert_eq!(call(&house), 1, "it is there as a whole");

    house.start().await;
    house.next_snapshot(&id, None).await;
    // On a machine with much to do the next one may take long enough to be asked for once more.
    assert!(call(&house) > 1);
}

#[tokio::test]
async fn an_agent_that_calls_again_a_moment_later_costs_no_snapshot_and_one_that_stays_away_lets_the_others_go_on() {
    let house = House::new().await;
    house.order("shop", shop()).await;
    let record = house.until("shop", State::Ready).await;
    let (id, web) = (record.summary.id, record.facts.observed.servers[1].id.clone());
    house.world.with(|state| state.away.insert(web.clone(), 1));
    let snapshot = house.keep(&id).await;
    house.next_snapshot(&id, None).await;
    let call = house.world.with(|state| state.snapshots[&snapshot].1);
    assert!(call > 1, "it was taken when all stood still");

    house.world.with(|state| state.away.insert(web.clone(), u32::MAX));
    let lost = house.keep(&id).await;
    let mut news = house.bell.subscribe();
    let failure = loop {
        let all = house.store.snapshots(&id).await.unwrap();
        let ended = all.into_iter().find(|one| one.view.id == lost.as_str()).and_then(|one| one.view.failure);
        match ended {
            Some(failure) => break failure,
            None => house.pass(&mut news).await,
        }
    };
    assert!(failure.contains("could not be held still: it is not connected"), "{failure}");
    house.world.with(|state| assert!(state.frozen.is_empty(), "{:?}", state.frozen));
}

#[tokio::test]
async fn whoever_waits_for_others_snapshots_is_ready_meanwhile_stands_not_still_and_has_lost_nothing_when_its_turn_comes()
 {
    let house = House::new().await;
    house.order("shop", shop()).await;
    let id = house.until("shop", State::Ready).await.summary.id;
    house.world.with(|state| state.crowded = 20);
    let snapshot = house.keep(&id).await;
    house.until_nothing_is_due().await;
    let meanwhile = house.show("shop").await;
    assert_eq!(meanwhile.summary.state, State::Ready);
    assert!(meanwhile.summary.waiting_for.is_some_and(|what| what.contains("its turn")));
    house.world.with(|state| assert!(state.frozen.is_empty() && state.snapshots.is_empty()));

    house.next_snapshot(&id, None).await;
    let (crowded, call) = house.world.with(|state| (state.crowded, state.snapshots[&snapshot].1));
    assert_eq!(crowded, 0);
    assert!(call < 5, "waiting is no failed call, of which there may be three: {call}");
}

#[tokio::test]
async fn every_week_the_newest_snapshot_is_brought_up_elsewhere_and_that_is_thrown_away() {
    let house = House::new().await;
    house.order("shop", shop()).await;
    let id = house.until("shop", State::Ready).await.summary.id;
    house.ask("shop", Action::Park).await;
    house.until("shop", State::Parked).await;
    house.ask("shop", Action::Resume).await;
    house.until("shop", State::Ready).await;
    let own = house.world.with(|state| state.servers.len());

    let week = house.store.drill(&id, true).await.unwrap().next_at.unwrap();
    assert!(week - house.clock.now() > 6 * 24 * 3_600_000);
    house.time.fetch_max(week, Ordering::SeqCst);
    let first = house.drilled(&id).await;
    assert_eq!((first.reach, first.failure), (DrillReach::Ready, None));
    house.world.with(|state| assert_eq!((state.servers.len(), state.volumes.len()), (own, 1), "nothing is left of it"));
    let snapshot = house.store.snapshots(&id).await.unwrap().remove(0).view;
    assert_eq!((&first.snapshot, snapshot.verified_at), (&snapshot.id, Some(first.ended_at)));

    // Its servers come up no more: the drill says so, and the environment runs on.
    house.world.with(|state| state.behaviour = Some(Behaviour::Fails));
    house.time.fetch_add(8 * 24 * 3_600_000, Ordering::SeqCst);
    let second = house.drilled(&id).await;
    assert!(second.failure.is_some_and(|why| why.contains("set-up")), "why it failed is told");
    assert_eq!(house.show("shop").await.summary.state, State::Ready);
    assert!(house.timeline(&id).await.iter().any(|line| line.starts_with("drill_failed: ")));
}

/// Runs order → ready → park → resume → delete with one fault at the `at`-th call, and a crash where a call hangs. Says
/// whether there was such a call.
async fn life_with(park: ParkMode, fault: Fault, at: usize) -> bool {
    let mut house = House::new().await;
    let mut script = vec![Fault::None; at];
    script.push(fault);
    house.world.with(|state| state.script = script.into());
    house.order("shop", Topology { park, ..shop() }).await;
    let id = house.show("shop").await.summary.id;
    let stages = [
        (None, State::Ready),
        (Some(Action::Park), State::Parked),
        (Some(Action::Resume), State::Ready),
        (Some(Action::Delete), State::Deleted),
    ];
    for (action, wanted) in stages {
        if let Some(action) = action {
            house.ask(&id, action).await;
        }
        let mut hanging = house.world.hanging.subscribe();
        tokio::select! {
            _ = house.until(&id, wanted) => {}
            _ = hanging.wait_for(|hanging| *hanging > 0) => {}
            _ = house.until(&id, State::Failed) => {}
        }
        if *hanging.borrow() > 0 {
            house.world.hanging.send_replace(0);
            house.start().await;
        }
        if fault == Fault::Rejected {
            tokio::select! {
                _ = house.until(&id, wanted) => {}
                _ = house.until(&id, State::Failed) => house.ask(&id, Action::Retry).await,
            }
        }
        house.until(&id, wanted).await;
    }
    house.world.with(|state| {
        assert!(state.servers.is_empty() && state.networks.is_empty() && state.volumes.is_empty(), "no leftovers");
        let mut once = state.started.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), state.started.len(), "no server twice: {:?}", state.started);
        assert!(state.started.len() >= if park.suspends() { 2 } else { 4 });
        state.script.is_empty()
    })
}

macro_rules! every_step_survives {
    ($($name:ident: $fault:ident,)*) => {$(
        #[tokio::test]
        async fn $name() {
            for park in ParkMode::ALL {
                let mut at = 0;
                while life_with(park, Fault::$fault, at).await {
                    at += 1;
                }
                assert!(at > 10, "only {at} calls");
            }
        }
    )*};
}

every_step_survives! {
    every_step_may_be_performed_twice: Twice,
    every_step_may_have_to_be_tried_again: Retryable,
    every_step_may_be_rejected_and_retried_by_a_person: Rejected,
    every_step_may_fail_without_anybody_knowing: UnknownNotDone,
    every_step_may_succeed_without_anybody_knowing: UnknownDone,
    the_portal_may_be_killed_before_every_step: HangsNotDone,
    the_portal_may_be_killed_after_every_step: HangsDone,
}
