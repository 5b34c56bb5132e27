//! Simulated worlds: whatever was seen, asked and wished before, following the plan arrives, and keeps its promises on the
//! way.

mod properties;
mod simulation;
mod world;

use agent::api::{Phase, Status};
use app::api::{Action, State};
use provisioners::{DataProgress, MachineState, RestoreState, VolumeId};

use self::simulation::{Event, Luck, Simulation};
use super::*;
use crate::domain::facts::{AgentLink, Asked, Effect, Outcome, Server};
use crate::domain::progress::progress;
use crate::domain::state;
use crate::domain::topology::ParkMode;

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
    assert!(simulation.world.is_whole());
}

#[test]
fn a_volume_that_held_data_and_is_gone_is_never_made_again_empty() {
    let mut simulation = Simulation::new();
    assert_eq!(simulation.come_to_rest(), Decision::Settled);
    simulation.world.volumes.remove(&VolumeId::new("data"));
    simulation.world.written.remove("data");
    let Decision::GiveUp(failure) = simulation.come_to_rest() else { panic!() };
    assert!(failure.cause.contains("its data is gone"), "{failure:?}");
}

#[test]
fn a_healthy_server_that_is_replaced_is_not_called_ready_meanwhile() {
    let mut simulation = Simulation::new();
    assert_eq!(simulation.come_to_rest(), Decision::Settled);
    simulation.world.network = false;
    let decision = simulation.decide();
    let Decision::Do(work) = &decision else { panic!() };
    assert_eq!(work.renewals.len(), 3, "all of them have lost their network");
    let state = |facts: &Facts| state::derive_from(facts, &decision, simulation.now).state;
    assert_eq!(state(&simulation.facts), State::Ready, "each by itself still looks well");
    assert_ne!(state(&work.renewed(&simulation.facts)), State::Ready);
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
fn a_server_that_is_taken_back_ends_in_order_and_is_replaced_however_often() {
    let mut simulation = Simulation::new();
    assert_eq!(simulation.come_to_rest(), Decision::Settled);
    for times in 1..=6 {
        simulation.happen(Event::TakenBack(0));
        let Decision::Do(work) = simulation.decide() else { panic!() };
        let told = work.renewals[0].note.as_ref().map(|note| note.message.as_str());
        assert_eq!(told, Some("db is taken back by its cloud at 17:02 UTC. It is replaced now"));
        let [stop] = work.requests.as_slice() else { panic!("{:?}", work.requests) };
        assert_eq!((stop.name(), stop.gently.map(|gently| gently.generation)), ("stop_server", Some(times)));
        assert_eq!(simulation.come_to_rest(), Decision::Settled, "after {times} times");
        assert!(simulation.world.is_whole());
    }
}

#[test]
fn a_server_that_nobody_may_take_back_says_so_in_vain() {
    let mut simulation = Simulation::new();
    assert_eq!(simulation.come_to_rest(), Decision::Settled);
    simulation.facts.topology.servers.iter_mut().for_each(|server| server.spot = false);
    simulation.happen(Event::TakenBack(0));
    assert_eq!(simulation.decide(), Decision::Settled);
}

#[test]
fn what_is_parked_again_before_all_memory_was_woken_comes_to_rest() {
    let mut simulation = Simulation::parked_by(ParkMode::Hibernate);
    assert_eq!(simulation.come_to_rest(), Decision::Settled);
    simulation.ask(Action::Park);
    assert_eq!(simulation.come_to_rest(), Decision::Settled);
    simulation.ask(Action::Resume);
    let Decision::Do(work) = simulation.decide() else { panic!() };
    simulation.work(&work, || Luck::Rejected);
    simulation.ask(Action::Cancel);
    simulation.ask(Action::Park);
    assert_eq!(simulation.come_to_rest(), Decision::Settled);
}

#[test]
fn a_machine_that_boots_by_itself_is_given_time_from_the_moment_it_runs() {
    let mut simulation = Simulation::new();
    let Decision::Do(work) = simulation.decide() else { panic!() };
    simulation.work(&work, || Luck::Good);
    simulation.decide();
    let after = |running_since: Option<i64>, minutes: i64, attempts: i64| {
        let mut facts = simulation.facts.clone();
        for server in &mut facts.observed.servers {
            (server.link, server.attempts) = (AgentLink::Never, attempts);
            for machine in &mut server.machines {
                (machine.state, machine.running_since) = (MachineState::Running, running_since);
            }
        }
        plan(&facts.intent, &facts.topology, &facts.observed, simulation.now + minutes * 60_000)
    };
    let is_replaced = |running_since, minutes| matches!(after(running_since, minutes, 0), Decision::Do(work) if !work.renewals.is_empty());
    assert!(is_replaced(None, 2), "an agent that starts with its machine speaks at once");
    let four_minutes_pending = Some(simulation.now + 4 * 60_000);
    assert!(!is_replaced(four_minutes_pending, 8));
    assert!(is_replaced(four_minutes_pending, 10));
    let remedy = |running_since| match after(running_since, 10, 100) {
        Decision::GiveUp(failure) => failure.remedy,
        other => panic!("{other:?}"),
    };
    assert!(remedy(four_minutes_pending).contains("`portal_url`"), "there is no log of whose agent never called");
    assert!(remedy(None).contains("Read the log"));
}

#[test]
fn time_in_which_a_server_waits_for_its_turn_at_its_cloud_is_not_taken_for_its_own() {
    let mut simulation = Simulation::new();
    let Decision::Do(work) = simulation.decide() else { panic!() };
    simulation.work(&work, || Luck::Good);
    simulation.decide();
    let fails = |had: Option<i64>, minutes: i64| {
        let mut facts = simulation.facts.clone();
        for server in &mut facts.observed.servers {
            server.link = AgentLink::Connected;
            server.status = Some(Status { phase: Phase::SettingUp, ..Status::default() });
            for machine in &mut server.machines {
                (machine.state, machine.running_since) = (MachineState::Running, had);
            }
        }
        let now = simulation.now + minutes * 60_000;
        matches!(plan(&facts.intent, &facts.topology, &facts.observed, now), Decision::GiveUp(_))
    };
    assert!(fails(None, 60), "an hour is too long to set up");
    let after_an_hour = Some(simulation.now + 60 * 60_000);
    assert!(!fails(after_an_hour, 60));
    assert!(fails(after_an_hour, 120));
}

#[test]
fn an_agent_that_talks_is_believed_before_its_cloud_and_not_where_its_server_stood_by() {
    let mut simulation = Simulation::new();
    let Decision::Do(work) = simulation.decide() else { panic!() };
    simulation.work(&work, || Luck::Good);
    simulation.decide();
    let is_running = |link: AgentLink, suspended: i64| {
        let mut observed = simulation.facts.observed.clone();
        let server = &mut observed.servers[0];
        (server.link, server.turns.suspended) = (link, suspended);
        for machine in &mut server.machines {
            machine.state = MachineState::Starting { doing: "pending".to_owned() };
        }
        observed.believe_agents();
        observed.servers[0].is_running()
    };
    assert!(is_running(AgentLink::Connected, 0));
    assert!(!is_running(AgentLink::Never, 0));
    assert!(!is_running(AgentLink::LostSince(0), 0));
    assert!(!is_running(AgentLink::Connected, 1), "the connection may be from before");
}

/// Whether it is given up that was accepted 20 times, the last time a moment ago.
fn is_given_up(facts: &Facts, now: i64) -> bool {
    matches!(plan(&facts.intent, &facts.topology, &facts.observed, now), Decision::GiveUp(_))
}

fn often_accepted(now: i64) -> Asked {
    let latest = Effect {
        outcome: Outcome::Accepted,
        message: None,
        attempts: 20,
        tries: 20,
        retry_at: 0,
        recorded_at: now,
        finished_at: Some(now),
    };
    Asked { latest: Some(latest), rejected: 0 }
}

#[test]
fn what_is_seen_to_end_is_waited_for_however_long_it_takes_and_what_is_not_is_told() {
    let mut simulation = up(ParkMode::Volumes);
    simulation.ask(Action::Park);
    let now = simulation.now;
    let mut facts = simulation.facts.clone();
    for server in &mut facts.observed.servers {
        server.stops.insert(server.generation, often_accepted(now));
        server.machines.iter_mut().for_each(|machine| machine.state = MachineState::Stopping);
    }
    assert!(!is_given_up(&facts, now + 1_000), "one that hangs takes minutes, and thousands wait for their turn");
    for server in &mut facts.observed.servers {
        server.link = AgentLink::Never;
        server.machines.iter_mut().for_each(|machine| machine.state = MachineState::Running);
    }
    assert!(is_given_up(&facts, now + 1_000), "they were asked to end and run on");
}

#[test]
fn a_volume_that_is_being_made_is_waited_for_however_long_it_takes() {
    let mut simulation = Simulation::new();
    let Decision::Do(work) = simulation.decide() else { panic!("nothing to do for an order") };
    simulation.work(&work, || Luck::Good);
    let now = simulation.now;
    let mut facts = simulation.facts.clone();
    for volume in &mut facts.observed.volumes {
        (volume.create, volume.seen, volume.present) = (often_accepted(now), false, false);
        volume.restore = Some(RestoreState::Copying(DataProgress::default()));
    }
    assert!(!is_given_up(&facts, now + 1_000));
    facts.observed.volumes.iter_mut().for_each(|volume| volume.restore = None);
    assert!(is_given_up(&facts, now + 1_000), "nobody knows anything of it");
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

/// What servers are asked for until all is at rest.
fn steps_of(simulation: &mut Simulation, action: Action) -> Vec<&'static str> {
    simulation.ask(action);
    let mut steps = Vec::new();
    loop {
        match simulation.decide() {
            Decision::Do(work) => {
                steps.extend(work.requests.iter().map(Request::name));
                simulation.work(&work, || Luck::Good);
            }
            Decision::Wait(waiting) => {
                simulation.agents();
                if simulation.decide() == Decision::Wait(waiting.clone()) {
                    simulation.now = waiting.until;
                }
            }
            _ => return steps,
        }
    }
}

fn up(park: ParkMode) -> Simulation {
    let mut simulation = Simulation::parked_by(park);
    assert_eq!(simulation.come_to_rest(), Decision::Settled);
    simulation.facts.intent.ready_at = Some(simulation.now);
    simulation
}

#[test]
fn servers_that_stand_by_come_back_as_they_are_in_the_order_of_their_needs() {
    let mut simulation = up(ParkMode::Stop);
    let parking = steps_of(&mut simulation, Action::Park);
    assert_eq!(parking, ["suspend_server", "suspend_server", "suspend_server", "create_snapshot"]);
    assert!(simulation.world.stands_by() && simulation.world.network);
    let resuming = steps_of(&mut simulation, Action::Resume);
    assert_eq!(resuming, ["wake_server", "wake_server", "wake_server"]);
    assert!(simulation.world.is_whole());
    assert!(simulation.facts.observed.servers.iter().all(|server| server.generation == 1 && server.is_healthy()));
    // And again: each time is a new wish.
    assert_eq!(steps_of(&mut simulation, Action::Park)[..3], ["suspend_server"; 3]);
    assert_eq!(steps_of(&mut simulation, Action::Resume), ["wake_server"; 3]);
}

#[test]
fn what_hibernates_is_kept_in_a_snapshot_before_it_sleeps() {
    let mut simulation = up(ParkMode::Hibernate);
    let parking = steps_of(&mut simulation, Action::Park);
    assert_eq!(parking, ["create_snapshot", "suspend_server", "suspend_server", "suspend_server"]);
    assert!(simulation.facts.observed.servers.iter().all(Server::is_hibernated));
    // One that is out of touch cannot be held still: nothing of it is only in memory then.
    let mut simulation = up(ParkMode::Hibernate);
    simulation.happen(Event::AgentLost(1));
    let parking = steps_of(&mut simulation, Action::Park);
    assert_eq!(parking, ["suspend_server", "suspend_server", "suspend_server", "create_snapshot"]);
    assert!(!simulation.facts.observed.servers.iter().any(Server::is_hibernated));
}

#[test]
fn what_cannot_stand_by_goes_and_what_is_deleted_does_not_wake_before() {
    let mut simulation = up(ParkMode::Stop);
    simulation.happen(Event::Dies(1));
    let parking = steps_of(&mut simulation, Action::Park);
    assert_eq!(parking, ["stop_server", "suspend_server", "suspend_server", "create_snapshot"]);
    let deleting = steps_of(&mut simulation, Action::Delete);
    assert!(!deleting.contains(&"wake_server") && deleting.contains(&"stop_server"), "{deleting:?}");
    assert!(simulation.world.has_no_servers() && simulation.world.volumes.is_empty());
}

#[test]
fn what_is_parked_by_snapshot_has_its_volumes_go_and_made_again_before_anything_starts() {
    let mut simulation = up(ParkMode::Snapshot);
    let parking = steps_of(&mut simulation, Action::Park);
    assert_eq!(parking[..3], ["stop_server"; 3]);
    assert_eq!(parking[3..], ["delete_network", "create_snapshot", "delete_volume", "delete_volume"]);
    assert!(simulation.world.has_no_servers() && simulation.world.volumes.is_empty());
    let resuming = steps_of(&mut simulation, Action::Resume);
    assert_eq!(resuming[..3], ["create_network", "create_volume", "create_volume"]);
    assert!(resuming[3..].iter().all(|step| *step == "start_server"), "{resuming:?}");
    assert!(simulation.world.is_whole());
    // And again: each park has a snapshot of its own.
    assert_eq!(steps_of(&mut simulation, Action::Park)[4..], ["create_snapshot", "delete_volume", "delete_volume"]);
    assert!(steps_of(&mut simulation, Action::Delete).is_empty(), "nothing is left but the snapshot");
}

#[test]
fn a_volume_that_could_not_be_had_is_told_at_once_and_asked_for_again_when_a_person_retries() {
    let mut parked = up(ParkMode::Snapshot);
    steps_of(&mut parked, Action::Park);
    parked.ask(Action::Resume);
    for mut simulation in [Simulation::new(), parked] {
        simulation.world.refuses_volumes = true;
        let began_at = simulation.now;
        let Decision::GiveUp(failure) = simulation.come_to_rest() else { panic!("it cannot come up") };
        assert_eq!(failure.cause, "Bookend may not do this");
        assert!(failure.remedy.contains("choose Retry"), "{failure:?}");
        assert!(simulation.now < began_at + 5_000, "told after {} ms", simulation.now - began_at);

        simulation.world.refuses_volumes = false;
        simulation.ask(Action::Retry);
        let retried_at = simulation.now;
        assert_eq!(simulation.come_to_rest(), Decision::Settled);
        assert!(simulation.world.is_whole() && simulation.now < retried_at + 5_000);
    }
}

#[test]
fn who_retries_gives_a_step_all_its_tries_again() {
    let mut simulation = Simulation::new();
    let first = tries_of_the_network(&mut simulation);
    simulation.ask(Action::Retry);
    assert_eq!((first, tries_of_the_network(&mut simulation)), (20, 20));
    let latest = simulation.facts.observed.network.create.latest.as_ref().unwrap();
    assert_eq!(latest.attempts, 40, "each call has a number of its own");
}

#[test]
fn what_is_accepted_and_never_comes_about_has_all_its_tries_again_however_many_calls_there_were() {
    let mut simulation = Simulation::new();
    let Decision::Do(work) = simulation.decide() else { panic!("nothing to do for an order") };
    simulation.work(&work, || Luck::Good);
    let now = simulation.now;
    let mut facts = simulation.facts.clone();
    (facts.observed.network.create, facts.observed.network.present) = (often_accepted(now), false);
    assert!(is_given_up(&facts, now + 1_000));
    let latest = facts.observed.network.create.latest.as_mut().unwrap();
    (latest.attempts, latest.tries) = (21, 1);
    assert!(!is_given_up(&facts, now + 1_000));
}

/// How often it is asked for until that is given up, where everything fails that could be done later.
fn tries_of_the_network(simulation: &mut Simulation) -> usize {
    let mut tries = 0;
    loop {
        match simulation.decide() {
            Decision::Do(work) => {
                tries += work.requests.iter().filter(|request| request.name() == "create_network").count();
                simulation.work(&work, || Luck::Retryable);
            }
            Decision::Wait(waiting) => simulation.now = waiting.until,
            decision => {
                let Decision::GiveUp(failure) = decision else { panic!("it cannot settle") };
                simulation.facts.intent.failure = Some(failure);
                return tries;
            }
        }
    }
}

#[test]
fn volumes_stay_until_the_snapshot_that_takes_their_place_counts() {
    for lost in [Luck::Forgotten, Luck::UnknownDone, Luck::UnknownNotDone, Luck::Retryable] {
        let mut simulation = up(ParkMode::Snapshot);
        let parked = parked_with(&mut simulation, lost);
        assert!(parked.len() > 1, "{lost:?}: it is asked for again");
        assert!(simulation.world.volumes.is_empty(), "{lost:?}");
    }
    // It cannot be taken: parked all the same, on its volumes.
    let mut simulation = up(ParkMode::Snapshot);
    assert_eq!(parked_with(&mut simulation, Luck::Rejected).len(), 1);
    assert!(simulation.world.has_no_servers() && simulation.world.volumes.len() == 2);
    assert!(!steps_of(&mut simulation, Action::Resume).contains(&"create_volume"));
}

/// Parks, where the first call for the snapshot has this luck, and gives all calls for it.
fn parked_with(simulation: &mut Simulation, lost: Luck) -> Vec<&'static str> {
    simulation.ask(Action::Park);
    let mut calls = Vec::new();
    loop {
        match simulation.decide() {
            Decision::Do(work) => {
                let before = calls.len();
                let of_it = work.requests.iter().map(Request::name).filter(|step| *step == "create_snapshot");
                calls.extend(of_it);
                let luck = if (before, calls.len()) == (0, 1) { lost } else { Luck::Good };
                simulation.work(&work, || luck);
            }
            Decision::Wait(waiting) => simulation.now = waiting.until,
            decision => {
                assert_eq!(decision, Decision::Settled);
                return calls;
            }
        }
    }
}

#[test]
fn what_a_server_writes_while_it_ends_is_in_the_snapshot_that_takes_its_volumes_place() {
    for action in [Action::Park, Action::Delete] {
        let mut simulation = up(ParkMode::Snapshot);
        simulation.ask(action);
        let Decision::Do(work) = simulation.decide() else { panic!() };
        let mut luck = [Luck::Good, Luck::Good].into_iter();
        simulation.work(&work, || luck.next().unwrap_or(Luck::UnknownNotDone));
        let Decision::Wait(waiting) = simulation.decide() else { panic!("{action:?}: one still runs") };
        simulation.now = waiting.until;
        assert_eq!(simulation.come_to_rest(), Decision::Settled);
        assert!(simulation.world.volumes.is_empty());
    }
}

#[test]
fn who_parks_again_before_what_was_put_away_is_in_use_loses_nothing_and_keeps_no_volume() {
    let mut simulation = up(ParkMode::Snapshot);
    steps_of(&mut simulation, Action::Park);
    simulation.ask(Action::Resume);
    let Decision::Do(work) = simulation.decide() else { panic!() };
    // One of the two is made.
    let mut luck = [Luck::Good, Luck::Good].into_iter();
    simulation.work(&work, || luck.next().unwrap_or(Luck::Retryable));
    let parking = steps_of(&mut simulation, Action::Cancel);
    assert!(!parking.contains(&"create_snapshot"), "nothing has changed since the last: {parking:?}");
    assert!(simulation.world.volumes.is_empty());
    steps_of(&mut simulation, Action::Resume);
    assert!(simulation.world.is_whole());
}

#[test]
fn who_changes_their_mind_while_it_parks_has_running_servers_again() {
    for lost in [Luck::Good, Luck::Forgotten, Luck::UnknownNotDone, Luck::Rejected] {
        let mut simulation = up(ParkMode::Stop);
        simulation.ask(Action::Park);
        let Decision::Do(work) = simulation.decide() else { panic!() };
        simulation.work(&work, || lost);
        // The agents were told to end what runs, whatever became of the rest.
        let mut steps = steps_of(&mut simulation, Action::Cancel);
        steps.retain(|step| *step != "create_snapshot");
        assert_eq!(steps, ["wake_server"; 3], "{lost:?}");
        assert!(simulation.world.is_whole());
    }
}

#[test]
fn progress_only_grows_while_all_goes_well_and_ends_with_what_was_wanted() {
    for park in ParkMode::ALL {
        progress_only_grows(Simulation::parked_by(park));
    }
}

fn progress_only_grows(mut simulation: Simulation) {
    for action in [None, Some(Action::Park), Some(Action::Resume), Some(Action::Delete)] {
        if let Some(action) = action {
            simulation.facts.intent.ready_at.get_or_insert(simulation.now);
            simulation.ask(action);
        }
        let mut seen = Vec::new();
        loop {
            let decision = simulation.decide();
            let view = state::derive_from(&simulation.facts, &decision, simulation.now);
            seen.extend(progress(&simulation.facts, &view).map(|progress| (progress.done, progress.total)));
            match decision {
                Decision::Do(work) => simulation.work(&work, || Luck::Good),
                Decision::Wait(waiting) => {
                    simulation.agents();
                    if simulation.decide() == Decision::Wait(waiting.clone()) {
                        simulation.now = waiting.until;
                    }
                }
                _ => break,
            }
        }
        assert!(seen.len() > 1, "{action:?} is seen under way");
        assert!(seen.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 == pair[1].1), "{action:?}: {seen:?}");
        assert!(seen.iter().all(|(done, total)| done < total), "{action:?} is done when it is settled: {seen:?}");
    }
}
