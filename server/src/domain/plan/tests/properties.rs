//! Histories that nobody would think of.

use app::api::Action;
use proptest::prelude::*;

use super::simulation::{Event, Luck, Simulation};
use crate::domain::facts::Desired;
use crate::domain::plan::Decision;
use crate::domain::topology::ParkMode;

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any history of wishes, deaths and bad luck: when it is over, a person who asks once more gets what they want.
    #[test]
    fn whatever_happened_before_what_is_wanted_comes_about(
        history in prop::collection::vec((event(), prop::collection::vec(luck(), 8), 0..40_000i64), 0..25),
        last in prop_oneof![Just(Desired::Running), Just(Desired::Parked), Just(Desired::Deleted)],
        park in (0..ParkMode::ALL.len()).prop_map(|at| ParkMode::ALL[at]),
    ) {
        let mut simulation = Simulation::parked_by(park);
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
            Desired::Running => prop_assert!(simulation.world.is_whole()),
            Desired::Parked if park.suspends() => prop_assert!(simulation.world.stands_by(), "{:?}", simulation.world),
            Desired::Parked => prop_assert!(simulation.world.has_no_servers()),
            Desired::Deleted => {
                prop_assert!(simulation.world.has_no_servers() && simulation.world.volumes.is_empty());
            }
        }
    }
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

fn event() -> impl Strategy<Value = Event> {
    let action = (0..Action::ALL.len()).prop_map(|at| Event::Asks(Action::ALL[at]));
    prop_oneof![
        6 => Just(Event::Nothing),
        1 => (0..3usize).prop_map(Event::Dies),
        1 => (0..3usize).prop_map(Event::Vanishes),
        1 => Just(Event::LosesNetwork),
        1 => (0..3usize).prop_map(Event::AgentLost),
        1 => (0..3usize).prop_map(Event::Fails),
        1 => (0..3usize).prop_map(Event::TakenBack),
        4 => action,
    ]
}
