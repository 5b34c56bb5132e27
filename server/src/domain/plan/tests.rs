//! Simulated worlds: whatever was seen, asked and wished before, following the plan arrives, and keeps its promises on the
//! way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use agent::api::{Phase, Status};
use app::api::Action;
use proptest::prelude::*;
use provisioners::{EnvironmentId, Image, MachineState, ObservedServer, ServerId, Step, VolumeId};

use super::*;
use crate::domain::actions;
use crate::domain::facts::{AgentLink, Asked, Effect, Facts, Network, Outcome, Server, Volume};
use crate::domain::state;
use crate::domain::topology::{MountSpec, ServerSpec, Topology, VolumeSpec};

/// An environment and the world around it, as the engine would drive it.
struct Simulation {
    facts: Facts,
    now: i64,
    /// Machines that are there, with the generation; and the rest of the world.
    machines: BTreeMap<ServerId, (i64, MachineState)>,
    network: bool,
    volumes: BTreeSet<VolumeId>,
    starts: BTreeSet<(ServerId, i64)>,
    /// Volumes that a running server has used.
    used: BTreeSet<VolumeId>,
}

/// What the world does at one call.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Good,
    Retryable,
    Rejected,
    UnknownDone,
    UnknownNotDone,
    /// Accepted, and the answer is lost in a crash.
    Forgotten,
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        6 => Just(Luck::Good),
        1 => Just(Luck::Retryable),
        1 => Just(Luck::Rejected),
        1 => Just(Luck::UnknownDone),
        1 => Just(Luck::UnknownNotDone),
        1 => Just(Luck::Forgotten),
    ]
}

/// What happens between two looks.
#[derive(Clone, Copy, Debug)]
enum Event {
    Nothing,
    Dies(usize),
    Vanishes(usize),
    LosesNetwork,
    AgentLost(usize),
    Fails(usize),
    Asks(Action),
}

fn event() -> impl Strategy<Value = Event> {
    let action = (0..Action::ALL.len()).prop_map(|at| Event::Asks(Action::ALL[at]));
    prop_oneof![
        6 => Just(Event::Nothing),
        1 => (0..3usize).prop_map(Event::Dies),
        1 => (0..3usize).prop_map(Event::Vanishes),
        1 => Just(Event::LosesNetwork),
        1 => (0..3usize).prop_map(Event::AgentLost),
        1 => (0..3usize).prop_map(Event::Fails),
        4 => action,
    ]
}

fn topology() -> Topology {
    let server = |name: &str, number: u8, needs: &[&str], volumes: &[&str]| ServerSpec {
        name: name.into(),
        group: name.into(),
        address: Ipv4Addr::new(10, 0, 0, number),
        image: Image::Host,
        cpu_millis: None,
        memory_bytes: None,
        internet: false,
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        mounts: volumes.iter().map(|name| MountSpec { volume: (*name).into(), path: "/data".into() }).collect(),
        variables: BTreeMap::new(),
        requires: Vec::new(),
        setup: None,
        startup: None,
        services: Vec::new(),
        checks: Vec::new(),
        ports: Vec::new(),
    };
    Topology {
        servers: vec![
            server("db", 2, &[], &["data"]),
            server("queue", 3, &[], &[]),
            server("web", 4, &["db", "queue"], &["data", "files"]),
        ],
        volumes: ["data", "files"].map(|name| VolumeSpec { name: name.into(), size_bytes: 1 }).to_vec(),
        ..Topology::default()
    }
}

impl Simulation {
    fn new() -> Simulation {
        let topology = topology();
        let servers = topology.servers.iter().map(|spec| Server {
            id: ServerId::new(&spec.name),
            name: spec.name.clone(),
            address: spec.address,
            generation: 1,
            attempts: 0,
            retry_at: 0,
            healthy_at: None,
            link: AgentLink::Never,
            status: None,
            machines: Vec::new(),
            seen: false,
            started: 0,
            stopped: 0,
            start: Asked::default(),
            stops: BTreeMap::new(),
        });
        let volumes = topology.volumes.iter().map(|spec| Volume {
            id: VolumeId::new(&spec.name),
            name: spec.name.clone(),
            size_bytes: 1,
            present: false,
            seen: false,
            delete_requested: false,
            create: Asked::default(),
            delete: Asked::default(),
        });
        let observed = Observed {
            listening_since: 0,
            network: Network::default(),
            servers: servers.collect(),
            volumes: volumes.collect(),
        };
        let intent = Intent {
            environment: EnvironmentId::new("environment"),
            name: "shop".into(),
            desired: Desired::Running,
            generation: 1,
            desired_at: 1000,
            ready_at: None,
            deleted_at: None,
            failure: None,
        };
        Simulation {
            facts: Facts { intent, topology, observed },
            now: 1000,
            machines: BTreeMap::new(),
            network: false,
            volumes: BTreeSet::new(),
            starts: BTreeSet::new(),
            used: BTreeSet::new(),
        }
    }

    /// As the engine does before each plan; what was seen before stays known.
    fn observe(&mut self) {
        let observed = &mut self.facts.observed;
        let network = &mut observed.network;
        network.seen = (network.seen || network.present) && network.created > network.deleted;
        network.present = self.network;
        for server in &mut observed.servers {
            server.seen = server.machines.iter().any(|machine| machine.generation == server.generation);
            server.machines = self
                .machines
                .get(&server.id)
                .map(|(generation, state)| ObservedServer {
                    server: server.id.clone(),
                    generation: *generation,
                    state: state.clone(),
                    limits: String::new(),
                })
                .into_iter()
                .collect();
        }
        for volume in &mut observed.volumes {
            volume.seen |= volume.present;
            volume.present = self.volumes.contains(&volume.id);
        }
    }

    fn decide(&mut self) -> Decision {
        self.observe();
        let facts = &self.facts;
        let decision = plan(&facts.intent, &facts.topology, &facts.observed, self.now);
        let view = state::derive_from(facts, &decision, self.now);
        if let Decision::Wait(waiting) = &decision {
            assert!(!waiting.reasons.is_empty() && waiting.reasons.iter().all(|reason| !reason.text.is_empty()));
            assert!(waiting.until > self.now, "a wait ends later: {waiting:?}");
            assert!(view.waiting_for.is_some());
        }
        let finished = view.state == app::api::State::Deleted;
        assert!(finished || !view.actions.is_empty(), "{:?} offers nothing", view.state);
        decision
    }

    /// Records and does this work, with this luck call by call.
    fn work(&mut self, work: &Work, mut luck: impl FnMut() -> Luck) {
        for renewal in &work.renewals {
            let server = self.server(&renewal.server);
            assert_eq!(renewal.generation, server.generation + 1);
            server.generation = renewal.generation;
            server.attempts = renewal.attempts;
            server.retry_at = renewal.retry_at;
            server.healthy_at = None;
            server.link = AgentLink::Never;
            server.status = None;
            server.seen = false;
            server.start = Asked::default();
        }
        let mut accepted = Vec::new();
        for request in &work.requests {
            self.record(request);
            let luck = match request.after.iter().all(|earlier| accepted[*earlier]) {
                true => luck(),
                false => Luck::Retryable,
            };
            if matches!(luck, Luck::Good | Luck::UnknownDone | Luck::Forgotten) {
                self.perform(&request.step);
            }
            accepted.push(matches!(luck, Luck::Good));
            self.answer(request, luck);
        }
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
            Step::StopServer { server, generation } => {
                observed.servers.iter_mut().find(|one| one.id == *server).unwrap().stops.entry(*generation).or_default()
            }
        }
    }

    fn record(&mut self, request: &Request) {
        let now = self.now;
        if let Step::DeleteVolume { volume } = &request.step {
            let volume = self.facts.observed.volumes.iter().find(|one| one.id == *volume).unwrap();
            assert!(volume.delete_requested, "nobody asked for {} to be deleted", volume.name);
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
        let asked = self.asked(request);
        assert_eq!(asked.rejected, request.attempt, "a new token only after a certain rejection");
        let attempts =
            asked.latest.as_ref().filter(|effect| effect.outcome != Outcome::Rejected).map_or(0, |e| e.attempts);
        asked.latest = Some(Effect {
            outcome: Outcome::Recorded,
            message: None,
            attempts: attempts + 1,
            retry_at: 0,
            recorded_at: now,
            finished_at: None,
        });
    }

    fn answer(&mut self, request: &Request, luck: Luck) {
        let now = self.now;
        let asked = self.asked(request);
        let effect = asked.latest.as_mut().unwrap();
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
        if matches!(luck, Luck::Good) {
            match &request.step {
                Step::StopServer { server, generation } => {
                    let server = self.server(server);
                    server.stopped = server.stopped.max(*generation);
                }
                Step::DeleteNetwork => {
                    let network = &mut self.facts.observed.network;
                    network.deleted = network.deleted.max(request.generation);
                    network.create = Asked::default();
                    network.delete = Asked::default();
                }
                _ => {}
            }
        }
    }

    fn perform(&mut self, step: &Step) {
        match step {
            Step::CreateNetwork => self.network = true,
            Step::DeleteNetwork => {
                assert!(self.machines.is_empty(), "servers go before their network");
                self.network = false;
            }
            Step::CreateVolume { volume } => {
                let fresh = self.volumes.insert(volume.id.clone());
                assert!(!(fresh && self.used.contains(&volume.id)), "{} comes back empty", volume.name);
            }
            Step::DeleteVolume { volume } => {
                self.volumes.remove(volume);
                self.used.remove(volume);
            }
            Step::StartServer { server } => {
                assert!(self.network && server.mounts.iter().all(|mount| self.volumes.contains(&mount.volume)));
                if let Some((generation, _)) = self.machines.get(&server.id) {
                    assert_eq!(*generation, server.generation, "two of one server");
                    return;
                }
                self.used.extend(server.mounts.iter().map(|mount| mount.volume.clone()));
                if self.starts.insert((server.id.clone(), server.generation)) {
                    self.machines.insert(server.id.clone(), (server.generation, MachineState::Running));
                }
            }
            Step::StopServer { server, generation } => {
                if self.machines.get(server).is_some_and(|(running, _)| running <= generation) {
                    self.machines.remove(server);
                }
            }
        }
    }

    fn server(&mut self, id: &ServerId) -> &mut Server {
        self.facts.observed.servers.iter_mut().find(|server| server.id == *id).unwrap()
    }

    /// Agents of running servers connect and become healthy.
    fn agents(&mut self) {
        let (now, machines) = (self.now, self.machines.clone());
        for server in &mut self.facts.observed.servers {
            let running = machines.get(&server.id) == Some(&(server.generation, MachineState::Running));
            let failed = server.status.as_ref().is_some_and(|status| status.phase == Phase::Failed);
            if running && !failed {
                server.link = AgentLink::Connected;
                server.status = Some(Status { phase: Phase::Healthy, ..Status::default() });
                server.healthy_at.get_or_insert(now);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        let (now, at) = (self.now, |at: usize| ServerId::new(["db", "queue", "web"][at]));
        match event {
            Event::Nothing => {}
            Event::Dies(server) => {
                if let Some((_, state)) = self.machines.get_mut(&at(server)) {
                    *state = MachineState::Dead { reason: "killed".into() };
                }
            }
            Event::Vanishes(server) => {
                self.machines.remove(&at(server));
            }
            Event::LosesNetwork => self.network = false,
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
            Event::Asks(action) => self.ask(action),
        }
    }

    fn ask(&mut self, action: Action) {
        self.now += 1;
        let Ok(change) = actions::change(action, &self.facts, self.now) else { return };
        let intent = &mut self.facts.intent;
        intent.desired = change.desired;
        intent.generation += 1;
        intent.desired_at = self.now;
        intent.failure = None;
        for server in &mut self.facts.observed.servers {
            server.attempts = 0;
            server.retry_at = 0;
            if change.renew.contains(&server.id) {
                server.generation += 1;
                server.healthy_at = None;
                server.link = AgentLink::Never;
                server.status = None;
                server.seen = false;
                server.start = Asked::default();
            }
        }
        for volume in &mut self.facts.observed.volumes {
            volume.delete_requested |= change.delete_volumes;
        }
        self.now += 1;
    }

    /// Lets everything go well from here and says how it ends.
    fn come_to_rest(&mut self) -> Decision {
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

fn everything_is_there(simulation: &Simulation) -> bool {
    simulation.network && simulation.volumes.len() == 2 && simulation.machines.len() == 3
}

#[test]
fn a_fresh_order_makes_network_volumes_and_first_servers_at_once_and_the_others_by_their_needs() {
    let mut simulation = Simulation::new();
    let Decision::Do(work) = simulation.decide() else { panic!() };
    let names: Vec<&str> = work.requests.iter().map(Request::name).collect();
    assert_eq!(names, ["create_network", "create_volume", "create_volume", "start_server", "start_server"]);
    assert_eq!(work.requests[3].after, [0, 1], "db stands on the network and its volume");
    simulation.work(&work, || Luck::Good);
    let Decision::Wait(waiting) = simulation.decide() else { panic!() };
    let web = waiting.reasons.iter().find(|reason| reason.server.as_deref() == Some("web")).unwrap();
    assert_eq!(web.text, "db and queue to be healthy");
    assert_eq!(simulation.come_to_rest(), Decision::Settled);
    assert!(everything_is_there(&simulation));
}

#[test]
fn a_volume_that_held_data_and_is_gone_is_never_made_again_empty() {
    let mut simulation = Simulation::new();
    assert_eq!(simulation.come_to_rest(), Decision::Settled);
    simulation.volumes.remove(&VolumeId::new("data"));
    let Decision::GiveUp(failure) = simulation.come_to_rest() else { panic!() };
    assert!(failure.cause.contains("its data is gone"), "{failure:?}");
}

#[test]
fn a_server_that_keeps_dying_ends_in_a_failure() {
    let mut simulation = Simulation::new();
    assert_eq!(simulation.come_to_rest(), Decision::Settled);
    for _ in 0..4 {
        simulation.happen(Event::Dies(1));
        assert_eq!(simulation.come_to_rest(), Decision::Settled);
    }
    simulation.happen(Event::Dies(1));
    let Decision::GiveUp(failure) = simulation.come_to_rest() else { panic!() };
    assert_eq!(failure.server.as_deref(), Some("queue"));
    assert!(failure.cause.contains("so did the 4 before it"), "{failure:?}");
    simulation.ask(Action::Retry);
    assert_eq!(simulation.come_to_rest(), Decision::Settled);
}

#[test]
fn a_death_now_and_then_is_no_failure() {
    let mut simulation = Simulation::new();
    for _ in 0..20 {
        assert_eq!(simulation.come_to_rest(), Decision::Settled);
        simulation.now += STABLE_MS;
        simulation.happen(Event::Dies(0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any history of wishes, deaths and bad luck: when it is over, a person who asks once more gets what they want.
    #[test]
    fn whatever_happened_before_what_is_wanted_comes_about(
        history in prop::collection::vec((event(), prop::collection::vec(luck(), 8), 0..40_000i64), 0..25),
        last in prop_oneof![Just(Desired::Running), Just(Desired::Parked), Just(Desired::Deleted)],
    ) {
        let mut simulation = Simulation::new();
        for (event, luck, pause) in history {
            simulation.happen(event);
            let mut luck = luck.into_iter().cycle();
            for _ in 0..3 {
                match simulation.decide() {
                    Decision::Do(work) => simulation.work(&work, || luck.next().unwrap()),
                    Decision::GiveUp(failure) => { simulation.facts.intent.failure = Some(failure); }
                    Decision::Wait(_) => simulation.agents(),
                    Decision::Settled => {
                        simulation.facts.intent.failure = None;
                        simulation.facts.intent.ready_at = Some(simulation.now);
                        if simulation.facts.intent.desired == Desired::Deleted {
                            simulation.facts.intent.deleted_at = Some(simulation.now);
                        }
                    }
                }
            }
            simulation.now += pause;
        }
        if simulation.facts.intent.deleted_at.is_some() {
            return Ok(());
        }
        let gone = simulation.facts.intent.desired == Desired::Deleted;
        let wanted = if gone { Desired::Deleted } else { last };
        let action = match wanted {
            Desired::Running => [Action::Resume, Action::Retry, Action::Cancel],
            Desired::Parked => [Action::Park, Action::Retry, Action::Retry],
            Desired::Deleted => [Action::Delete, Action::Retry, Action::Retry],
        };
        for _ in 0..3 {
            if simulation.come_to_rest() == Decision::Settled && simulation.facts.intent.desired == wanted {
                break;
            }
            for action in action {
                if simulation.facts.intent.desired != wanted || simulation.facts.intent.failure.is_some() {
                    simulation.ask(action);
                }
            }
        }
        prop_assert_eq!(simulation.come_to_rest(), Decision::Settled);
        prop_assert_eq!(simulation.facts.intent.desired, wanted);
        match wanted {
            Desired::Running => prop_assert!(everything_is_there(&simulation)),
            Desired::Parked => prop_assert!(simulation.machines.is_empty() && !simulation.network),
            Desired::Deleted => {
                prop_assert!(simulation.machines.is_empty() && !simulation.network && simulation.volumes.is_empty());
            }
        }
    }
}
