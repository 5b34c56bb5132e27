//! What the engine and the agents do around the plan, with luck and events from outside, and without a database.

use std::collections::{BTreeMap, BTreeSet};

use agent::api::{Phase, Status};
use app::api::Action;
use provisioners::{
    EnvironmentId, MachineState, ObservedServer, ObservedSnapshot, ServerId, SnapshotContent, SnapshotId, SnapshotPlan,
    SnapshotState, SnapshotVolume, Step, VolumeId, VolumeSource,
};

use super::world::World;
use crate::domain::actions::{self, Keep};
use crate::domain::facts::{
    AgentLink, Asked, Desired, Effect, Facts, Intent, Kept, Network, Observed, Outcome, ParkedIn, Server, Snapshot,
    SnapshotReason, Standing, Turns, Volume, VolumeRole,
};
use crate::domain::fixtures::{server, topology};
use crate::domain::plan::{Decision, Renewal, Request, Turn, Work, plan};
use crate::domain::state;
use crate::domain::topology::ParkMode;

/// An environment of three servers, as it is known.
pub struct Simulation {
    pub facts: Facts,
    pub now: i64,
    pub world: World,
    /// A person said that the volumes may go without a final snapshot.
    without: bool,
    /// Calls for snapshots whose thaw is known to have come in time.
    proven: BTreeSet<(SnapshotId, i64)>,
    /// Complete, and not asked to go.
    complete: BTreeSet<SnapshotId>,
}

/// What the world does at one call.
#[derive(Clone, Copy, Debug)]
pub enum Luck {
    Good,
    Retryable,
    Rejected,
    UnknownDone,
    UnknownNotDone,
    /// Accepted, and the answer is lost in a crash.
    Forgotten,
}

/// What happens between two looks.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    Nothing,
    Dies(usize),
    Vanishes(usize),
    LosesNetwork,
    AgentLost(usize),
    Fails(usize),
    /// Its cloud says that it takes it back.
    TakenBack(usize),
    Asks(Action),
}

impl Simulation {
    pub fn new() -> Simulation {
        Simulation::parked_by(ParkMode::Volumes)
    }

    pub fn parked_by(park: ParkMode) -> Simulation {
        let mut topology = topology([
            server("db").mounting(&["data"]),
            server("queue"),
            server("web").needing(&["db", "queue"]).mounting(&["data", "files"]),
        ]);
        topology.park = park;
        topology.servers.iter_mut().for_each(|server| server.spot = true);
        let servers = topology.servers.iter().map(|spec| Server {
            id: ServerId::new(&spec.name),
            name: spec.name.clone(),
            address: spec.address,
            generation: 1,
            attempts: 0,
            retry_at: 0,
            healthy_at: None,
            phase_at: None,
            link: AgentLink::Never,
            status: None,
            machines: Vec::new(),
            seen: false,
            started: 0,
            stopped: 0,
            start: Asked::default(),
            stops: BTreeMap::new(),
            turns: Turns::default(),
        });
        let volumes = topology.volumes.iter().map(|spec| Volume {
            id: VolumeId::new(&spec.name),
            name: spec.name.clone(),
            size_bytes: spec.size_bytes,
            present: false,
            seen: false,
            role: VolumeRole::Current,
            source: None,
            expendable: false,
            restore: None,
            delete_requested: false,
            create: Asked::default(),
            delete: Asked::default(),
        });
        let observed = Observed {
            listening_since: 0,
            network: Network::default(),
            servers: servers.collect(),
            volumes: volumes.collect(),
            snapshots: Vec::new(),
        };
        let intent = Intent {
            environment: EnvironmentId::new("environment"),
            name: "shop".into(),
            desired: Desired::Running,
            generation: 1,
            desired_at: 1000,
            by_schedule: false,
            forced: false,
            ready_at: None,
            deleted_at: None,
            failure: None,
            restoring: None,
            changing: None,
            final_snapshot: None,
            parked_in: None,
            snapshot_rule: None,
        };
        Simulation {
            facts: Facts { intent, topology, observed },
            now: 1000,
            world: World::default(),
            without: false,
            proven: BTreeSet::new(),
            complete: BTreeSet::new(),
        }
    }

    pub fn decide(&mut self) -> Decision {
        self.observe();
        let facts = &self.facts;
        let decision = plan(&facts.intent, &facts.topology, &facts.observed, self.now);
        let view = state::derive_from(facts, &decision, self.now);
        if let Decision::Wait(waiting) = &decision {
            assert!(!waiting.reasons.is_empty() && waiting.reasons.iter().all(|reason| !reason.text.is_empty()));
            assert!(waiting.until > self.now, "a wait ends later: {waiting:?}");
            assert!(view.waiting_for.is_some());
        }
        if decision == Decision::Settled && self.facts.intent.desired == Desired::Running {
            self.facts.intent.ready_at.get_or_insert(self.now);
        }
        let finished = view.state == app::api::State::Deleted;
        assert!(finished || !view.actions.is_empty(), "{:?} offers nothing", view.state);
        decision
    }

    /// As the engine does before each plan; what was seen before stays known.
    fn observe(&mut self) {
        self.world.write();
        let observed = &mut self.facts.observed;
        let network = &mut observed.network;
        network.seen = (network.seen || network.present) && network.created > network.deleted;
        network.present = self.world.network;
        for server in &mut observed.servers {
            server.seen = server.machines.iter().any(|machine| machine.generation == server.generation);
            server.machines = self
                .world
                .machines
                .get(&server.id)
                .map(|(generation, state)| ObservedServer {
                    server: server.id.clone(),
                    generation: *generation,
                    state: state.clone(),
                    limits: String::new(),
                    address: None,
                    running_since: None,
                    trouble: None,
                })
                .into_iter()
                .collect();
        }
        let new: Vec<VolumeId> = observed.new_volumes().map(|volume| volume.id.clone()).collect();
        for volume in &mut observed.volumes {
            volume.seen |= new.contains(&volume.id);
            volume.present = self.world.volumes.contains_key(&volume.id);
            volume.restore = self.world.refusal(&volume.id);
        }
        observed.volumes.retain(|volume| volume.role != VolumeRole::Outgoing || !volume.is_gone());
        for snapshot in &mut observed.snapshots {
            let seen = |(call, volumes): &(i64, BTreeMap<VolumeId, u64>)| ObservedSnapshot {
                snapshot: snapshot.id.clone(),
                call: *call,
                taken_at: self.now,
                state: SnapshotState::Complete,
                method: "copy".into(),
                contents: volumes
                    .keys()
                    .map(|id| SnapshotContent { volume: id.clone(), name: id.to_string(), manifest: None })
                    .collect(),
            };
            let seen = self.world.snapshots.get(&snapshot.id).map(seen);
            snapshot.seen = seen.filter(|seen| snapshot.counts(seen));
            if snapshot.is_news() && !snapshot.removal_requested {
                let proven = (snapshot.id.clone(), self.world.snapshots[&snapshot.id].0);
                assert!(self.proven.contains(&proven), "nobody knows that all stood still for {proven:?}");
                snapshot.standing = Standing::Complete;
                self.complete.insert(snapshot.id.clone());
            }
        }
        let intent = &mut self.facts.intent;
        let parked_in = intent.parked_in.as_mut().map(|parked_in| &mut parked_in.snapshot);
        for kept in intent.final_snapshot.as_mut().into_iter().chain(parked_in) {
            if let Some(one) = observed.snapshots.iter().find(|one| one.id == kept.id) {
                kept.standing = one.standing;
            }
        }
        if intent.parked_in.as_ref().is_some_and(|kept| kept.snapshot.standing == Standing::Failed) {
            intent.parked_in = None;
        }
        // Those with nothing left to do are not looked at any more.
        observed.snapshots.retain(|one| match one.removal_requested {
            true => !one.is_gone(),
            false => one.standing == Standing::Wanted,
        });
        self.all_that_was_written_is_kept();
    }

    /// In the volumes servers would use, or in what those would be made from.
    fn all_that_was_written_is_kept(&self) {
        if self.facts.intent.desired == Desired::Deleted {
            return;
        }
        for (name, written) in &self.world.written {
            let volume = self.facts.observed.current_volumes().find(|volume| volume.name == *name).unwrap();
            let kept = match (self.world.volumes.get(&volume.id), &volume.source) {
                (Some(held), _) => held,
                (None, Some(source)) if self.complete.contains(&source.snapshot) => {
                    &self.world.snapshots[&source.snapshot].1[&source.volume]
                }
                (None, _) => panic!("what was written to {name} is nowhere"),
            };
            assert_eq!(kept, written, "what was written to {name} last is nowhere");
        }
    }

    /// Records and does this work, with this luck call by call.
    pub fn work(&mut self, work: &Work, mut luck: impl FnMut() -> Luck) {
        if let Some(turn) = &work.turn {
            self.turn(turn);
        }
        for renewal in &work.renewals {
            let server = self.server(&renewal.server);
            assert_eq!(renewal.generation, server.generation + 1);
            server.renew(renewal);
        }
        let mut accepted = Vec::new();
        for request in &work.requests {
            self.record(request);
            let founded = request.after.iter().all(|earlier| accepted[*earlier]);
            let luck = if founded && !self.world.defers(&request.step) { luck() } else { Luck::Retryable };
            self.world.write();
            if matches!(luck, Luck::Good | Luck::UnknownDone | Luck::Forgotten) {
                let call = self.asked(request).latest.as_ref().unwrap().attempts;
                self.world.perform(&request.step, call);
            }
            accepted.push(matches!(luck, Luck::Good));
            self.answer(request, luck);
        }
    }

    /// As the store does in one transaction.
    fn turn(&mut self, turn: &Turn) {
        let Turn::PutAway { volumes: going } = turn else { panic!("nothing is restored or changed here: {turn:?}") };
        let Intent { desired, environment, parked_in, .. } = &self.facts.intent;
        let snapshot = &parked_in.as_ref().unwrap().snapshot.id;
        assert!(*desired == Desired::Parked && self.complete.contains(snapshot));
        let volumes = &mut self.facts.observed.volumes;
        for id in going {
            let volume = volumes.iter_mut().find(|volume| volume.id == *id).unwrap();
            let anew =
                VolumeSource { environment: environment.clone(), snapshot: snapshot.clone(), volume: id.clone() };
            let source = volume.source.clone().filter(|source| source.snapshot == *snapshot).unwrap_or(anew);
            let next = Volume {
                id: VolumeId::new(format!("{}-of-{}", volume.name, self.now)),
                present: false,
                seen: false,
                source: Some(source),
                create: Asked::default(),
                delete: Asked::default(),
                ..volume.clone()
            };
            (volume.role, volume.delete_requested, volume.expendable) = (VolumeRole::Outgoing, true, true);
            volumes.push(next);
        }
        self.now += 1;
    }

    fn every_asked(&mut self) -> impl Iterator<Item = &mut Asked> {
        let observed = &mut self.facts.observed;
        let network = [&mut observed.network.create, &mut observed.network.delete];
        let volumes = observed.volumes.iter_mut().flat_map(|one| [&mut one.create, &mut one.delete]);
        let snapshots = observed.snapshots.iter_mut().flat_map(|one| [&mut one.create, &mut one.delete]);
        let servers = observed.servers.iter_mut();
        let servers = servers.flat_map(|one| std::iter::once(&mut one.start).chain(one.stops.values_mut()));
        network.into_iter().chain(volumes).chain(snapshots).chain(servers)
    }

    fn asked(&mut self, request: &Request) -> &mut Asked {
        let observed = &mut self.facts.observed;
        match &request.step {
            Step::CreateNetwork => &mut observed.network.create,
            Step::DeleteNetwork => &mut observed.network.delete,
            Step::CreateVolume { volume } => {
                &mut observed.volumes.iter_mut().find(|one| one.id == volume.id).unwrap().create
            }
            Step::DeleteVolume { volume } => {
                &mut observed.volumes.iter_mut().find(|one| one.id == *volume).unwrap().delete
            }
            Step::StartServer { server } => {
                &mut observed.servers.iter_mut().find(|one| one.id == server.id).unwrap().start
            }
            Step::CreateSnapshot { snapshot: SnapshotPlan { id: snapshot, .. } } => {
                &mut observed.snapshots.iter_mut().find(|one| one.id == *snapshot).unwrap().create
            }
            Step::DeleteSnapshot { snapshot } => {
                &mut observed.snapshots.iter_mut().find(|one| one.id == *snapshot).unwrap().delete
            }
            Step::StopServer { server, generation } => {
                observed.servers.iter_mut().find(|one| one.id == *server).unwrap().stops.entry(*generation).or_default()
            }
            Step::SuspendServer { server, .. } => {
                &mut observed.servers.iter_mut().find(|one| one.id == *server).unwrap().turns.suspend
            }
            Step::WakeServer { server, .. } => {
                &mut observed.servers.iter_mut().find(|one| one.id == *server).unwrap().turns.wake
            }
        }
    }

    fn record(&mut self, request: &Request) {
        let now = self.now;
        if let Step::DeleteVolume { volume } = &request.step {
            let volume = self.facts.observed.volumes.iter().find(|one| one.id == *volume).unwrap();
            assert!(volume.delete_requested, "nobody asked for {} to be deleted", volume.name);
            let held = self.world.volumes.get(&volume.id);
            let then = std::iter::once(&volume.id).chain(volume.source.as_ref().map(|source| &source.volume));
            let then: Vec<&VolumeId> = then.collect();
            let has_it = |(_, held_then): &(i64, BTreeMap<VolumeId, u64>)| {
                then.iter().filter_map(|volume| held_then.get(*volume)).any(|then| held.is_none_or(|held| held == then))
            };
            let kept = self.complete.iter().any(|snapshot| self.world.snapshots.get(snapshot).is_some_and(has_it));
            let used = self.facts.intent.ready_at.is_some() && volume.seen;
            assert!(!used || kept || self.without, "{} goes without a final snapshot", volume.name);
        }
        if let Step::CreateSnapshot { .. } = request.step {
            let still: Vec<&ServerId> = request.freeze.iter().map(|freeze| &freeze.server).collect();
            let running = self.world.machines.iter().filter(|(_, (_, state))| *state == MachineState::Running);
            for (server, _) in running {
                assert!(still.contains(&server), "{server} writes while a snapshot is taken");
            }
        }
        if let Step::CreateNetwork = request.step {
            let network = &mut self.facts.observed.network;
            if request.generation > network.created {
                network.create = Asked::default();
                network.delete = Asked::default();
            }
            network.created = network.created.max(request.generation);
        }
        if let Step::StartServer { server } = &request.step {
            let known = self.server(&server.id);
            assert_eq!(server.generation, known.generation);
            assert!(
                known.machines.iter().all(|machine| machine.generation == server.generation),
                "the old one is gone"
            );
            assert!(
                known.started == known.generation || known.started <= known.stopped,
                "the one before was asked to stop"
            );
            known.started = known.started.max(server.generation);
        }
        if let Step::SuspendServer { server, wish, .. } = &request.step {
            self.server(server).turns.suspended = *wish;
        }
        if let Step::WakeServer { server, .. } = &request.step {
            let known = self.server(server);
            (known.status, known.healthy_at) = (None, None);
        }
        let asked = self.asked(request);
        assert_eq!(asked.rejected, request.attempt, "a new token only after a certain rejection");
        let before = asked.latest.as_ref().filter(|effect| effect.outcome != Outcome::Rejected);
        let (attempts, tries) = before.map_or((0, 0), |effect| (effect.attempts, effect.tries));
        asked.latest = Some(Effect {
            outcome: Outcome::Recorded,
            message: None,
            attempts: attempts + 1,
            tries: tries + 1,
            retry_at: 0,
            recorded_at: now,
            finished_at: None,
        });
    }

    fn answer(&mut self, request: &Request, luck: Luck) {
        let now = self.now;
        let asked = self.asked(request);
        let effect = asked.latest.as_mut().unwrap();
        let calls = effect.attempts;
        effect.outcome = match luck {
            Luck::Good => Outcome::Accepted,
            Luck::Retryable => Outcome::Retryable,
            Luck::Rejected => Outcome::Rejected,
            Luck::UnknownDone | Luck::UnknownNotDone => Outcome::Unknown,
            Luck::Forgotten => return,
        };
        effect.retry_at = now + 500;
        effect.finished_at = Some(now);
        effect.message = Some("as luck has it".into());
        asked.rejected += i64::from(matches!(luck, Luck::Rejected));
        if let (Luck::Rejected, Step::CreateSnapshot { snapshot }) = (&luck, &request.step) {
            let snapshot = self.facts.observed.snapshots.iter_mut().find(|one| one.id == snapshot.id).unwrap();
            (snapshot.standing, snapshot.removal_requested) = (Standing::Failed, true);
        }
        if matches!(luck, Luck::Good) {
            match &request.step {
                Step::StopServer { server, generation } => {
                    let server = self.server(server);
                    server.stopped = server.stopped.max(*generation);
                }
                Step::WakeServer { server, wish, .. } => {
                    let turns = &mut self.server(server).turns;
                    (turns.woken, turns.woken_at) = (*wish, now);
                }
                Step::DeleteNetwork => {
                    let network = &mut self.facts.observed.network;
                    network.deleted = network.deleted.max(request.generation);
                    network.create = Asked::default();
                    network.delete = Asked::default();
                }
                Step::CreateSnapshot { snapshot } => {
                    self.proven.insert((snapshot.id.clone(), calls));
                }
                _ => {}
            }
        }
    }

    fn server(&mut self, id: &ServerId) -> &mut Server {
        self.facts.observed.servers.iter_mut().find(|server| server.id == *id).unwrap()
    }

    /// Agents of running servers connect and become healthy.
    pub fn agents(&mut self) {
        let (now, machines) = (self.now, &self.world.machines);
        for server in &mut self.facts.observed.servers {
            let running = machines.get(&server.id) == Some(&(server.generation, MachineState::Running));
            if machines.get(&server.id).is_some_and(|(_, state)| matches!(state, MachineState::Suspended { .. }))
                && server.link == AgentLink::Connected
            {
                server.link = AgentLink::LostSince(now);
            }
            let failed = server.status.as_ref().is_some_and(|status| status.phase == Phase::Failed);
            if running && !failed {
                server.link = AgentLink::Connected;
                let ends_at = server.status.take().and_then(|status| status.ends_at);
                server.status = Some(Status { phase: Phase::Healthy, ends_at, ..Status::default() });
                server.healthy_at.get_or_insert(now);
            }
        }
    }

    pub fn happen(&mut self, event: Event) {
        let (now, at) = (self.now, |at: usize| ServerId::new(["db", "queue", "web"][at]));
        match event {
            Event::Nothing => {}
            Event::Dies(server) => self.world.kill(&at(server)),
            Event::Vanishes(server) => {
                self.world.machines.remove(&at(server));
            }
            Event::LosesNetwork => self.world.lose_network(),
            Event::AgentLost(server) => {
                let server = self.server(&at(server));
                if server.link == AgentLink::Connected {
                    server.link = AgentLink::LostSince(now);
                }
            }
            Event::Fails(server) => {
                let server = self.server(&at(server));
                if server.status.is_some() {
                    server.status = Some(Status { phase: Phase::Failed, ..Status::default() });
                    server.healthy_at = None;
                }
            }
            Event::TakenBack(server) => {
                let status = self.server(&at(server)).status.as_mut();
                status.into_iter().for_each(|status| status.ends_at = Some("2026-11-20T17:02:00Z".to_owned()));
            }
            Event::Asks(action) => self.ask(action),
        }
    }

    pub fn ask(&mut self, action: Action) {
        self.now += 1;
        let Ok(change) = actions::change(action, &self.facts, self.now) else { return };
        let intent = &mut self.facts.intent;
        intent.desired = change.desired;
        intent.forced = change.forced;
        intent.generation += 1;
        intent.desired_at = self.now;
        intent.failure = None;
        for server in &mut self.facts.observed.servers {
            server.attempts = 0;
            server.retry_at = 0;
            (server.turns.suspend, server.turns.wake) = Default::default();
            if change.renew.contains(&server.id) {
                let (server_id, generation) = (server.id.clone(), server.generation + 1);
                server.renew(&Renewal { server: server_id, generation, attempts: 0, retry_at: 0, note: None });
            }
        }
        self.every_asked().filter_map(|asked| asked.latest.as_mut()).for_each(|effect| {
            (effect.tries, effect.retry_at) = (0, 0);
        });
        for volume in &mut self.facts.observed.volumes {
            volume.delete_requested |= change.delete_volumes;
        }
        let intent = &mut self.facts.intent;
        if intent.desired != Desired::Parked {
            intent.parked_in = None;
        }
        let kept = |id, standing| Kept { id, standing, failure: None };
        match change.keep {
            Keep::AsBefore => {}
            Keep::Nothing => (self.facts.intent.final_snapshot, self.without) = (None, true),
            Keep::Already(id) => {
                let snapshot = kept(id, Standing::Complete);
                intent.parked_in = Some(ParkedIn { snapshot, volumes: Vec::new() });
            }
            Keep::In(_) | Keep::InsteadOfVolumes => {
                let reason = match change.keep {
                    Keep::In(reason) => reason,
                    _ => SnapshotReason::Park,
                };
                let id = SnapshotId::new(format!("snapshot-{}", self.facts.intent.generation));
                let volumes = self.facts.observed.current_volumes().filter(|volume| volume.seen);
                let volumes =
                    volumes.map(|volume| SnapshotVolume { volume: volume.id.clone(), name: volume.name.clone() });
                self.facts.observed.snapshots.push(Snapshot {
                    id: id.clone(),
                    reason,
                    standing: Standing::Wanted,
                    volumes: volumes.collect(),
                    removal_requested: false,
                    seen: None,
                    create: Asked::default(),
                    delete: Asked::default(),
                });
                let intent = &mut self.facts.intent;
                let volumes = self.facts.observed.snapshots.last().unwrap().volumes.iter();
                let volumes = volumes.map(|volume| volume.volume.clone()).collect();
                match change.keep {
                    Keep::InsteadOfVolumes => {
                        intent.parked_in = Some(ParkedIn { snapshot: kept(id, Standing::Wanted), volumes });
                    }
                    _ if reason == SnapshotReason::Delete => {
                        intent.final_snapshot = Some(kept(id, Standing::Wanted));
                    }
                    _ => {}
                }
            }
        }
        self.now += 1;
    }

    /// Lets everything go well from here and says how it ends.
    pub fn come_to_rest(&mut self) -> Decision {
        for _ in 0..400 {
            match self.decide() {
                Decision::Do(work) => self.work(&work, || Luck::Good),
                Decision::Wait(waiting) => {
                    self.agents();
                    if self.decide() == Decision::Wait(waiting.clone()) {
                        self.now = waiting.until;
                    }
                }
                Decision::GiveUp(failure) if self.facts.intent.failure.is_none() => {
                    self.facts.intent.failure = Some(failure);
                }
                rest => return rest,
            }
        }
        panic!("it never comes to rest: {:#?}", self.facts);
    }
}
