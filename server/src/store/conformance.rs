//! What the store promises, told once and run on SQLite and, when `BOOKEND_TEST_POSTGRES` names a server, on PostgreSQL.

use std::collections::BTreeMap;
use std::time::Duration;

use agent::api::{Conflict, Phase, SharedStatus, Status};
use app::api::{Action, State};
use provisioners::{Step, VolumeId};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};
use tempfile::TempDir;

mod describe;
mod ledger;
mod lists;
mod logs;
mod orphans;
mod records;
mod repository;
mod snapshot_copies;
mod snapshots;
mod writes;

use super::*;
use crate::domain::actions::change;
use crate::domain::facts::Outcome;
use crate::domain::fixtures::{server, topology};
use crate::domain::plan::{Request, Work};
use describe::what_people_say_of_an_environment_is_kept_and_found;
use ledger::of_two_who_change_a_page_one_is_told_to_read_again;
use lists::{a_list_in_any_order_is_the_same_whole_or_in_pages, lists_are_filtered_and_come_in_pages};
use logs::log_lines_are_kept_once_in_order_and_within_a_bound;
use orphans::{
    what_a_row_still_counts_on_is_nobodys_orphan, what_nobody_owns_is_counted_from_when_it_was_first_seen,
    what_two_provisioners_find_is_shown_once_and_nothing_of_those_that_are_gone,
    what_was_told_of_is_not_told_again_for_as_long_as_it_is_there,
};
use records::{
    a_person_is_told_of_their_own_last_orders_and_of_names_that_are_taken,
    how_long_coming_back_took_is_told_by_what_happened_lately_to_the_like,
    past_orders_tell_how_long_a_template_takes_and_how_often_it_comes,
};
use repository::{
    a_copy_outlives_its_snapshot_for_a_time_and_a_lost_one_is_made_again,
    a_policy_chooses_what_is_copied_and_people_may_ask_for_the_rest,
    a_repository_is_worked_on_by_one_at_a_time_and_a_late_one_writes_nothing,
};
use snapshot_copies::a_snapshot_is_copied_as_its_rule_says_and_its_copy_goes_with_it;
use snapshots::{
    a_replaced_volume_goes_only_when_what_it_held_is_safe, a_snapshot_is_written_down_from_wish_to_manifest,
    volumes_are_put_away_only_in_a_complete_snapshot_which_then_stays,
    what_was_deleted_can_come_back_until_its_snapshot_expires,
};
use writes::{a_write_that_is_dropped_undoes_itself_alone, who_leaves_at_any_moment_of_a_write_takes_nobody_along};

const NOW: i64 = 1_800_000_000_000;
const LEASE: Duration = Duration::from_secs(10);
const PLENTY: Quota = Quota { per_person: 10_000, per_team: 10_000 };

struct Fixture {
    store: Store,
    _directory: TempDir,
}

async fn sqlite() -> Option<Fixture> {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&sqlite_url(&directory.path().join("bookend.db"))).await.unwrap();
    Some(furnish(store, directory).await)
}

async fn postgres() -> Option<Fixture> {
    let server = std::env::var("BOOKEND_TEST_POSTGRES").ok()?;
    sqlx::any::install_default_drivers();
    let name = format!("store_{}", id(NOW).replace('-', "_"));
    let mut connection = AnyConnection::connect(&server).await.unwrap();
    connection.execute(AssertSqlSafe(format!("create database {name}"))).await.unwrap();
    let (address, options) =
        server.split_once('?').map_or((server.as_str(), ""), |(address, options)| (address, options));
    let slash = address.rfind('/').filter(|at| *at > "postgres://".len()).unwrap_or(address.len());
    let options = if options.is_empty() { String::new() } else { format!("?{options}") };
    let store = Store::open(&format!("{}/{name}{options}", &address[..slash])).await.unwrap();
    Some(furnish(store, tempfile::tempdir().unwrap()).await)
}

async fn furnish(store: Store, directory: TempDir) -> Fixture {
    let mut tx = store.write().await.unwrap();
    for row in [
        "insert into team (id, name) values ('t', 'team')",
        "insert into person (id, team_id, name, password_hash, role, created_at) values ('p', 't', 'anna', '', 'user', 0)",
        "insert into person (id, team_id, name, password_hash, role, created_at) values ('q', 't', 'bert', '', 'user', 0)",
        "insert into template (id, team_id, name, created_at) values ('tp', 't', 'shop', 0)",
        "insert into template_version (id, template_id, version, digest, source, created_at) \
         values ('tv', 'tp', '1', '', '', 0)",
    ] {
        tx.connection().execute(row).await.unwrap();
    }
    tx.commit().await.unwrap();
    Fixture { store, _directory: directory }
}

impl Fixture {
    fn new_environment(&self, name: &str, owner: &str) -> NewEnvironment {
        NewEnvironment {
            id: id(NOW),
            team_id: "t".into(),
            owner_id: owner.into(),
            orderer_id: owner.into(),
            orderer_name: owner.into(),
            name: name.into(),
            template_version_id: "tv".into(),
            provisioner: "local".into(),
            parameters: BTreeMap::from([("size".into(), "3".into())]),
            sealed_secrets: None,
            topology: topology([server("web").mounting(&["data"])]),
            copied: Vec::new(),
            upcoming: Default::default(),
        }
    }

    async fn order(&self, new: &NewEnvironment, key: Option<OrderKey<'_>>, quota: Quota) -> Ordered {
        let mut tx = self.store.write().await.unwrap();
        let ordered = tx.order(new, key, quota, NOW).await.unwrap();
        if ordered == Ordered::Created {
            tx.commit().await.unwrap();
        }
        ordered
    }

    async fn ordered(&self, name: &str) -> EnvironmentRecord {
        assert_eq!(self.order(&self.new_environment(name, "p"), None, PLENTY).await, Ordered::Created);
        self.store.environment("t", name).await.unwrap().unwrap()
    }

    async fn claimed(&self, now: i64) -> Lease {
        self.store.claim("worker", now, LEASE, 1).await.unwrap().pop().unwrap()
    }

    async fn change(&self, environment: &str, action: Action) {
        let mut tx = self.store.write().await.unwrap();
        let facts = tx.facts(environment).await.unwrap().unwrap().facts;
        let change = change(action, &facts, NOW).unwrap();
        tx.change_desire(environment, facts.intent.generation, &change, Some("anna"), NOW).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn asking(step: Step) -> Work {
    let request =
        Request { step, generation: 1, attempt: 0, after: Vec::new(), gently: None, freeze: Vec::new(), note: None };
    Work { requests: vec![request], ..Work::default() }
}

fn settlement(hints: i64, due_at: Option<i64>) -> Settlement {
    Settlement {
        state: State::Ready,
        waiting_for: None,
        failure: None,
        servers_ready: 1,
        ready_at: Some(NOW),
        deleted_at: None,
        undelete_until: None,
        due_at,
        hints,
        network_observed: true,
        observed: Vec::new(),
        volumes_seen: Vec::new(),
        volumes_gone: Vec::new(),
        snapshots: Vec::new(),
        snapshots_gone: Vec::new(),
        notes: Vec::new(),
    }
}

async fn orders_are_judged_in_one_transaction(at: Fixture) {
    let key = |digest| Some(OrderKey { request_id: "click", digest });
    let first = at.new_environment("one", "p");
    assert_eq!(at.order(&first, key("a"), PLENTY).await, Ordered::Created);
    let again = at.new_environment("one", "p");
    assert_eq!(at.order(&again, key("a"), PLENTY).await, Ordered::Repeated { environment: first.id.clone() });
    assert_eq!(at.order(&again, key("b"), PLENTY).await, Ordered::KeyReused);
    assert_eq!(at.order(&at.new_environment("one", "q"), None, PLENTY).await, Ordered::NameTaken);
    let one_each = Quota { per_person: 1, per_team: 2 };
    assert_eq!(at.order(&at.new_environment("two", "p"), None, one_each).await, Ordered::PersonQuota { limit: 1 });
    assert_eq!(at.order(&at.new_environment("two", "q"), None, one_each).await, Ordered::Created);
    let one_team = Quota { per_person: 9, per_team: 2 };
    assert_eq!(at.order(&at.new_environment("three", "q"), None, one_team).await, Ordered::TeamQuota { limit: 2 });

    let record = at.store.environment("t", "one").await.unwrap().unwrap();
    assert_eq!((record.summary.state, record.parameters["size"].as_str()), (State::Ordered, "3"));
    assert_eq!((record.facts.observed.servers.len(), record.facts.observed.volumes.len()), (1, 1));
    assert!(record.facts.observed.untouched());
    assert!(at.store.environment("other", &first.id).await.unwrap().is_none(), "another team's is not there");
}

async fn a_quota_holds_when_orders_race(at: Fixture) {
    let quota = Quota { per_person: 5, per_team: 100 };
    let names: Vec<String> = (0..20).map(|number| format!("race-{number}")).collect();
    let orders: Vec<NewEnvironment> = names.iter().map(|name| at.new_environment(name, "p")).collect();
    let answers = futures::future::join_all(orders.iter().map(|new| at.order(new, None, quota))).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Ordered::Created).count(), 5, "{answers:?}");
}

async fn every_due_environment_is_claimed_exactly_once(at: Fixture) {
    let mut tx = at.store.write().await.unwrap();
    for number in 0..400 {
        tx.order(&at.new_environment(&format!("many-{number}"), "p"), None, PLENTY, NOW).await.unwrap();
    }
    tx.commit().await.unwrap();
    let workers = (0..12).map(|worker| {
        let store = at.store.clone();
        tokio::spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let leases = store.claim(&format!("worker {worker}"), NOW, LEASE, 7).await.unwrap();
                if leases.is_empty() {
                    return claimed;
                }
                claimed.extend(leases.iter().map(|lease| lease.environment().clone()));
            }
        })
    });
    let mut all: Vec<_> =
        futures::future::join_all(workers).await.into_iter().flat_map(|claimed| claimed.unwrap()).collect();
    assert_eq!(all.len(), 400);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 400);
}

async fn who_lost_the_lease_cannot_write(at: Fixture) {
    at.ordered("one").await;
    let stale = at.claimed(NOW).await;
    assert!(at.store.claim("other", NOW + 1, LEASE, 1).await.unwrap().is_empty(), "it is held");
    let later = NOW + LEASE.as_millis() as i64;
    let fresh = at.claimed(later).await;
    let work = asking(Step::CreateNetwork);
    let refused = at.store.record(&stale, 1, State::Preparing, &work, later).await;
    assert!(matches!(refused, Err(StoreError::LeaseLost)));
    assert!(matches!(at.store.settle(&stale, 1, &settlement(0, None), later).await, Err(StoreError::LeaseLost)));
    assert!(matches!(at.store.answer(&stale, &[], later).await, Err(StoreError::LeaseLost)));
    at.store.record(&fresh, 1, State::Preparing, &work, later).await.unwrap();
}

async fn nothing_is_recorded_for_a_desire_that_has_changed(at: Fixture) {
    let record = at.ordered("one").await;
    let lease = at.claimed(NOW).await;
    at.change(&record.summary.id, Action::Park).await;
    let refused = at.store.record(&lease, 1, State::Preparing, &asking(Step::CreateNetwork), NOW).await;
    assert!(matches!(refused, Err(StoreError::Stale)));
    assert!(at.store.facts(&record.summary.id).await.unwrap().unwrap().facts.observed.untouched());
}

async fn a_step_is_recorded_with_its_exact_request_and_one_token(at: Fixture) {
    let record = at.ordered("one").await;
    let lease = at.claimed(NOW).await;
    let work = asking(Step::CreateNetwork);
    let first = at.store.record(&lease, 1, State::Preparing, &work, NOW).await.unwrap().pop().unwrap();
    let again = at.store.record(&lease, 1, State::Preparing, &work, NOW).await.unwrap().pop().unwrap();
    assert_eq!((first.token(), first.attempts(), again.attempts()), (again.token(), 1, 2));
    assert_eq!(first.token().as_str().len(), 64);
    let answer = Answer {
        token: first.token().clone(),
        outcome: Outcome::Accepted,
        message: None,
        retry_at: NOW,
        frozen_ms: None,
    };
    at.store.answer(&lease, &[answer], NOW + 5).await.unwrap();
    let network = at.store.facts(&record.summary.id).await.unwrap().unwrap().facts.observed.network;
    assert_eq!((network.created, network.deleted), (1, 0));
    assert_eq!(network.create.latest.unwrap().finished_at, Some(NOW + 5));
}

/// What a call has made is told from what another has by its number: whoever is told that one was accepted goes by it.
async fn a_wish_gives_a_step_all_its_tries_again_and_no_call_the_number_of_another(at: Fixture) {
    let id = at.ordered("one").await.summary.id;
    let lease = at.claimed(NOW).await;
    let asked = async |generation, outcome| {
        let recorded = at.store.record(&lease, generation, State::Preparing, &asking(Step::CreateNetwork), NOW).await;
        let recorded = recorded.unwrap().pop().unwrap();
        let token = recorded.token().clone();
        let answer = Answer { token, outcome, message: None, retry_at: NOW + 500, frozen_ms: None };
        at.store.answer(&lease, &[answer], NOW).await.unwrap();
        let network = at.store.facts(&id).await.unwrap().unwrap().facts.observed.network;
        let known = network.create.latest.unwrap();
        assert_eq!((known.attempts, known.tries), (recorded.attempts(), recorded.tries()));
        (recorded.attempts(), recorded.tries())
    };
    assert_eq!(asked(1, Outcome::Unknown).await, (1, 1));
    assert_eq!(asked(1, Outcome::Unknown).await, (2, 2));
    at.change(&id, Action::Park).await;
    let latest = at.store.facts(&id).await.unwrap().unwrap().facts.observed.network.create.latest.unwrap();
    assert_eq!((latest.attempts, latest.tries, latest.retry_at), (2, 0, 0));
    assert_eq!(asked(2, Outcome::Accepted).await, (3, 1));
    at.change(&id, Action::Delete).await;
    assert_eq!(asked(3, Outcome::Retryable).await, (4, 1));
}

async fn a_volume_is_deleted_only_when_that_was_asked_for(at: Fixture) {
    let record = at.ordered("one").await;
    let volume = record.facts.observed.volumes[0].id.clone();
    let lease = at.claimed(NOW).await;
    let work = asking(Step::DeleteVolume { volume });
    assert!(matches!(at.store.record(&lease, 1, State::Deleting, &work, NOW).await, Err(StoreError::Stale)));
    let foreign = asking(Step::DeleteVolume { volume: VolumeId::new("somebody else's") });
    assert!(matches!(at.store.record(&lease, 1, State::Deleting, &foreign, NOW).await, Err(StoreError::Stale)));
    at.change(&record.summary.id, Action::Delete).await;
    assert_eq!(at.store.record(&lease, 2, State::Deleting, &work, NOW).await.unwrap().len(), 1);
}

async fn what_people_want_is_claimed_before_what_schedules_want(at: Fixture) {
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(at.ordered(name).await.summary.id);
    }
    let wants = async |environment: &str, actor: Option<&str>, now: i64| {
        let mut tx = at.store.write().await.unwrap();
        let facts = tx.facts(environment).await.unwrap().unwrap().facts;
        let change = change(Action::Park, &facts, now).unwrap();
        tx.change_desire(environment, facts.intent.generation, &change, actor, now).await.unwrap();
        tx.commit().await.unwrap();
    };
    wants(&ids[0], None, NOW).await;
    wants(&ids[1], None, NOW + 1).await;
    wants(&ids[2], Some("anna"), NOW + 2).await;
    let claimed = at.store.claim("worker", NOW + 3, LEASE, 3).await.unwrap();
    let claimed: Vec<&str> = claimed.iter().map(|lease| lease.environment().as_str()).collect();
    assert_eq!(claimed, [&ids[2], &ids[0], &ids[1]]);
    let scheduled = |facts: Option<facts::Loaded>| facts.unwrap().facts.intent.by_schedule;
    assert!(scheduled(at.store.facts(&ids[0]).await.unwrap()) && !scheduled(at.store.facts(&ids[2]).await.unwrap()));
}

async fn what_happens_while_it_is_worked_on_makes_it_due_again(at: Fixture) {
    let record = at.ordered("one").await;
    let lease = at.claimed(NOW).await;
    let hints = at.store.facts(&record.summary.id).await.unwrap().unwrap().hints;
    let mut tx = at.store.write().await.unwrap();
    tx.touch(&record.summary.id, NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert!(at.store.claim("other", NOW + 1, LEASE, 1).await.unwrap().is_empty());
    at.store.settle(&lease, 1, &settlement(hints, None), NOW).await.unwrap();
    let lease = at.claimed(NOW).await;
    at.store.settle(&lease, 1, &settlement(hints + 1, None), NOW).await.unwrap();
    assert!(at.store.claim("other", NOW + 86_400_000, LEASE, 1).await.unwrap().is_empty(), "it rests");
    assert_eq!(at.store.next_due().await.unwrap(), None);
    let settled = at.store.environment("t", "one").await.unwrap().unwrap();
    assert_eq!((settled.summary.state, settled.summary.ready_at), (State::Ready, Some(NOW)));
}

async fn a_snapshot_sees_one_moment_whatever_is_written_meanwhile(at: Fixture) {
    let record = at.ordered("one").await;
    let mut snapshot = at.store.snapshot().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let hints: i64 = sqlx::query_scalar("select hints from environment").fetch_one(&mut *snapshot).await.unwrap();
        seen.push(hints);
        let mut tx = at.store.write().await.unwrap();
        tx.touch(&record.summary.id, NOW).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(seen[0], seen[1]);
}

async fn who_asked_first_is_served_first(at: Fixture) {
    let first = at.ordered("first").await;
    let begun = at.claimed(NOW).await;
    at.store.settle(&begun, 1, &settlement(0, None), NOW).await.unwrap();
    let mut tx = at.store.write().await.unwrap();
    tx.connection().execute("update environment set desired_at = desired_at - 10").await.unwrap();
    tx.commit().await.unwrap();
    at.ordered("second").await;
    // News of the first come when the second has been waiting for long.
    let mut tx = at.store.write().await.unwrap();
    tx.touch(&first.summary.id, NOW + 500).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(at.claimed(NOW + 500).await.environment().as_str(), first.summary.id);
}

async fn what_is_let_go_of_is_due_as_said_or_at_once_when_something_happened(at: Fixture) {
    let record = at.ordered("one").await;
    let lease = at.claimed(NOW).await;
    at.store.release(&lease, "a look", NOW + 1, NOW + 3_000).await.unwrap();
    assert_eq!(at.store.next_due().await.unwrap(), Some(NOW + 3_000));
    let lease = at.claimed(NOW + 3_000).await;
    let mut tx = at.store.write().await.unwrap();
    tx.touch(&record.summary.id, NOW + 3_001).await.unwrap();
    tx.commit().await.unwrap();
    at.store.release(&lease, "a look", NOW + 3_002, NOW + 60_000).await.unwrap();
    assert_eq!(at.store.next_due().await.unwrap(), Some(NOW + 3_002));
}

async fn effects_long_past_are_forgotten_and_nothing_else_changes(at: Fixture) {
    let record = at.ordered("one").await;
    let (environment, server) = (&record.summary.id, record.facts.observed.servers[0].id.as_str());
    let mut tx = at.store.write().await.unwrap();
    let renew = format!("update server set generation = 9 where id = '{server}'");
    tx.connection().execute(AssertSqlSafe(renew)).await.unwrap();
    for generation in 1..=9 {
        let network = [("create_network", "null"), ("delete_network", "null")];
        let server = format!("'{server}'");
        for (step, subject) in [("start_server", &*server), ("stop_server", &*server)].into_iter().chain(network) {
            let outcome = if step == "stop_server" && generation > 7 { "unknown" } else { "accepted" };
            let effect = format!(
                "insert into effect (token, environment_id, subject_id, generation, step, request, outcome, attempts, \
                 retry_at, recorded_at, fence) \
                 values ('{step}{generation}', '{environment}', {subject}, {generation}, '{step}', '', '{outcome}', 1, 0, 0, 0)"
            );
            tx.connection().execute(AssertSqlSafe(effect)).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
    let before = at.store.facts(environment).await.unwrap().unwrap();
    let lease = at.claimed(NOW).await;
    at.store.settle(&lease, 1, &settlement(before.hints, None), NOW).await.unwrap();
    let after = at.store.facts(environment).await.unwrap().unwrap();
    assert_eq!(after.facts.observed.servers, before.facts.observed.servers);
    let asked = |loaded: &Loaded| {
        let network = loaded.facts.observed.network.clone();
        (network.created, network.deleted, network.create, network.delete)
    };
    assert_eq!(asked(&after), asked(&before));
    let mut connection = at.store.read().await.unwrap();
    let kept = "select token from effect order by token";
    let kept: Vec<String> = sqlx::query_scalar(kept).fetch_all(&mut *connection).await.unwrap();
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    let expected = [
        "create_network8",
        "create_network9",
        "delete_network8",
        "delete_network9",
        "start_server8",
        "start_server9",
        "stop_server6",
        "stop_server7",
        "stop_server8",
        "stop_server9",
    ];
    assert_eq!(kept, expected);
}

async fn an_agent_enrols_once_per_generation_and_its_news_are_kept(at: Fixture) {
    let record = at.ordered("one").await;
    let server = record.facts.observed.servers[0].id.to_string();
    let tries = ["key one", "key two", "key three"].map(|key| at.store.enrol_agent(&server, 1, key));
    let won: Vec<bool> = futures::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert!(!at.store.enrol_agent(&server, 2, "key of no generation").await.unwrap());

    let since = async || at.store.environment("t", "one").await.unwrap().unwrap().facts.observed.servers[0].phase_at;
    assert_eq!(since().await, None);
    let checking = Status { phase: Phase::Checking, ..Status::default() };
    let later = Status { config: Some("c".into()), ..checking.clone() };
    for (status, at_ms) in [(&checking, NOW - 20), (&later, NOW - 10)] {
        assert!(at.store.report_status(&server, 1, status, at_ms).await.unwrap().is_some());
        assert_eq!(since().await, Some(NOW - 20), "a phase began when it was first reported");
    }
    let healthy = Status { phase: Phase::Healthy, ..Status::default() };
    assert_eq!(at.store.report_status(&server, 1, &healthy, NOW).await.unwrap().as_ref(), Some(&record.summary.id));
    assert_eq!(at.store.report_status(&server, 1, &healthy, NOW).await.unwrap(), None, "no news");
    assert_eq!(at.store.report_status(&server, 2, &healthy, NOW).await.unwrap(), None, "no such generation");
    assert!(at.store.set_agent_connected(&server, 1, false, NOW).await.unwrap().is_some());
    assert!(at.store.set_agent_connected(&server, 1, false, NOW).await.unwrap().is_none());
    assert!(at.store.set_agent_connected(&server, 1, true, NOW).await.unwrap().is_some());
    // Of conflicts people are told once, however often an agent says the same.
    for (at_ms, newest) in [(NOW + 1, 1), (NOW + 2, 1), (NOW + 3, 2)] {
        let conflicts = (1..=newest).map(|number| Conflict { number, path: format!("word.{number}") }).collect();
        let copy = SharedStatus { volume: "files".into(), in_step: true, words: at_ms.to_string(), conflicts };
        let status = Status { shared: vec![copy], ..healthy.clone() };
        assert!(at.store.report_status(&server, 1, &status, at_ms).await.unwrap().is_some());
    }
    let timeline = at.store.timeline(&record.summary.id, None, 10).await.unwrap().items;
    let kinds: Vec<&str> = timeline.iter().rev().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["ordered", "server_ready", "conflict", "conflict"]);
    let configuration = at.store.server_configuration(&server).await.unwrap().unwrap();
    assert_eq!((configuration.environment_name.as_str(), configuration.spec.name.as_str()), ("one", "web"));
    assert!(configuration.servers.iter().any(|neighbour| neighbour.name == "web" && neighbour.runs));
}

macro_rules! on_both {
    ($($story:ident,)*) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")] async fn $story() {
                super::$story(super::sqlite().await.unwrap()).await;
            })*
        }
        mod on_postgresql {
            $(#[tokio::test(flavor = "multi_thread")] async fn $story() {
                match super::postgres().await {
                    Some(fixture) => super::$story(fixture).await,
                    None => eprintln!("BOOKEND_TEST_POSTGRES names no server; `cargo xtask test` starts one"),
                }
            })*
        }
    };
}

on_both! {
    orders_are_judged_in_one_transaction,
    how_long_coming_back_took_is_told_by_what_happened_lately_to_the_like,
    past_orders_tell_how_long_a_template_takes_and_how_often_it_comes,
    what_people_say_of_an_environment_is_kept_and_found,
    a_person_is_told_of_their_own_last_orders_and_of_names_that_are_taken,
    a_quota_holds_when_orders_race,
    lists_are_filtered_and_come_in_pages,
    a_list_in_any_order_is_the_same_whole_or_in_pages,
    every_due_environment_is_claimed_exactly_once,
    what_people_want_is_claimed_before_what_schedules_want,
    who_lost_the_lease_cannot_write,
    nothing_is_recorded_for_a_desire_that_has_changed,
    a_step_is_recorded_with_its_exact_request_and_one_token,
    a_wish_gives_a_step_all_its_tries_again_and_no_call_the_number_of_another,
    a_volume_is_deleted_only_when_that_was_asked_for,
    a_snapshot_is_written_down_from_wish_to_manifest,
    a_replaced_volume_goes_only_when_what_it_held_is_safe,
    what_was_deleted_can_come_back_until_its_snapshot_expires,
    volumes_are_put_away_only_in_a_complete_snapshot_which_then_stays,
    a_repository_is_worked_on_by_one_at_a_time_and_a_late_one_writes_nothing,
    a_policy_chooses_what_is_copied_and_people_may_ask_for_the_rest,
    a_copy_outlives_its_snapshot_for_a_time_and_a_lost_one_is_made_again,
    what_happens_while_it_is_worked_on_makes_it_due_again,
    a_snapshot_sees_one_moment_whatever_is_written_meanwhile,
    who_asked_first_is_served_first,
    what_is_let_go_of_is_due_as_said_or_at_once_when_something_happened,
    effects_long_past_are_forgotten_and_nothing_else_changes,
    an_agent_enrols_once_per_generation_and_its_news_are_kept,
    of_two_who_change_a_page_one_is_told_to_read_again,
    what_nobody_owns_is_counted_from_when_it_was_first_seen,
    what_two_provisioners_find_is_shown_once_and_nothing_of_those_that_are_gone,
    what_was_told_of_is_not_told_again_for_as_long_as_it_is_there,
    what_a_row_still_counts_on_is_nobodys_orphan,
    a_snapshot_is_copied_as_its_rule_says_and_its_copy_goes_with_it,
    log_lines_are_kept_once_in_order_and_within_a_bound,
    a_write_that_is_dropped_undoes_itself_alone,
    who_leaves_at_any_moment_of_a_write_takes_nobody_along,
}
