//! Stories of who may speak for a server, and of what it is told about where its peers are.

use agent::api::{HostEntry, Phase, Status};
use agent::link::Hello;
use provisioners::ServerId;

use super::*;
use crate::agents::{AgentDirectory, EnrolError};
use crate::domain::topology::MountSpec;

const MINUTE: i64 = 60_000;

impl House {
    /// What an agent with these papers is told: `welcome`, or why not.
    async fn knock(&self, server: &str, generation: i64, token: Option<String>, key: &str) -> String {
        let hello = Hello { enrolment: token, ..Hello::new(server, generation, key) };
        match self.world.directory.enrol(&hello).await {
            Ok(_) => "welcome".into(),
            Err(EnrolError::Refused(reason)) => reason,
            Err(EnrolError::Unavailable(error)) => panic!("{error}"),
        }
    }

    async fn server(&self, environment: &str, name: &str) -> ServerId {
        let record = self.show(environment).await;
        record.facts.observed.servers.iter().find(|server| server.name == name).unwrap().id.clone()
    }
}

fn token(server: &ServerId, generation: i64) -> Option<String> {
    Some(InstallationKey::new([7; 32]).enrolment(server, generation).reveal().to_owned())
}

const WRONG: &str = "the enrolment token is wrong or used";
const REPLACED: &str = "this server has been replaced";

#[tokio::test]
async fn attack_27_whoever_comes_with_forged_stale_or_used_papers_is_refused() {
    let mut house = House::new().await;
    house.world.with(|state| state.behaviour = Some(Behaviour::Silent));
    house.order("shop", topology([server("db"), server("web")])).await;
    house.until("shop", State::Starting).await;
    house.until_nothing_is_due().await;
    house.engine = None;
    let (db, web) = (house.server("shop", "db").await, house.server("shop", "web").await);

    assert_eq!(house.knock("nobody", 1, token(&db, 1), "k").await, "no such server");
    assert_eq!(house.knock(web.as_str(), 1, token(&db, 1), "k").await, WRONG, "another server's token");
    assert_eq!(house.knock(db.as_str(), 1, None, "k").await, WRONG);
    assert_eq!(house.knock(db.as_str(), 1, token(&db, 2), "k").await, WRONG, "another generation's token");
    assert_eq!(house.knock(db.as_str(), 2, token(&db, 2), "k").await, REPLACED, "a generation that is not there");

    // Nobody came for an hour: the token is in an image by now, or in what is said of the instance.
    house.time.fetch_add(61 * MINUTE, Ordering::SeqCst);
    assert_eq!(
        house.knock(db.as_str(), 1, token(&db, 1), "k").await,
        "the enrolment token is older than 60 minutes",
        "the right one, too late"
    );
    assert_eq!(house.knock(db.as_str(), 1, token(&web, 1), "k").await, WRONG, "who has no token learns nothing of it");
    house.time.fetch_sub(2 * MINUTE, Ordering::SeqCst);
    assert_eq!(house.knock(db.as_str(), 1, token(&db, 1), "its key").await, "welcome");
    assert_eq!(house.knock(db.as_str(), 1, token(&db, 1), "its key").await, "welcome", "its answer was lost");
    assert_eq!(house.knock(db.as_str(), 1, token(&db, 1), "a thief's key").await, WRONG, "a token works once");
    assert_eq!(house.knock(web.as_str(), 1, None, "its key").await, WRONG, "a key speaks for its own server alone");

    house.time.fetch_add(500 * MINUTE, Ordering::SeqCst);
    assert_eq!(house.knock(db.as_str(), 1, None, "its key").await, "welcome", "an agent comes again at any time");
}

#[tokio::test]
async fn a_token_counts_from_when_there_is_a_machine_that_may_have_it() {
    let mut house = House::new().await;
    house.world.with(|state| (state.behaviour, state.behind) = (Some(Behaviour::Silent), true));
    house.order("shop", topology([server("db")])).await;
    house.until("shop", State::Starting).await;
    house.until_nothing_is_due().await;
    house.engine = None;
    let db = house.server("shop", "db").await;
    house.time.fetch_add(300 * MINUTE, Ordering::SeqCst);
    assert_eq!(house.knock(db.as_str(), 1, token(&db, 1), "its key").await, "welcome", "it had to wait for room");
}

#[tokio::test]
async fn whose_agent_says_that_all_is_well_is_ready_before_its_cloud_shows_that_it_runs() {
    let house = House::new().await;
    house.world.with(|state| {
        state.behaviour = Some(Behaviour::Silent);
        state.behind = true;
    });
    house.order("shop", topology([server("db").mounting(&["data"])])).await;
    house.until("shop", State::Starting).await;
    house.until_nothing_is_due().await;
    let db = house.server("shop", "db").await;
    house.world.with(|state| state.dark = true);
    assert_eq!(house.knock(db.as_str(), 1, token(&db, 1), "its key").await, "welcome");
    let well = Status { phase: Phase::Healthy, ..Status::default() };
    house.world.directory.record_status(&db, 1, &well).await.unwrap();
    let ready = house.until("shop", State::Ready).await;
    assert_eq!(ready.facts.observed.servers[0].machine().map(|machine| &machine.state), Some(&MachineState::Running));
}

#[tokio::test]
async fn the_hour_of_a_token_begins_when_its_server_was_last_asked_for() {
    let house = House::new().await;
    house.world.with(|state| {
        state.behaviour = Some(Behaviour::Silent);
        state.script = [Fault::None, Fault::Retryable].into();
    });
    house.order("shop", topology([server("db")])).await;
    let mut news = house.bell.subscribe();
    let mut asked = std::collections::BTreeSet::new();
    let calls = || house.world.with(|state| state.calls.iter().filter(|call| call.contains("StartServer")).count());
    while calls() < 2 || asked.len() < 2 {
        house.pass(&mut news).await;
        let Some(db) = house.show("shop").await.facts.observed.servers.pop() else { continue };
        asked.extend(house.store.agent_credentials(db.id.as_str()).await.unwrap().unwrap().start_asked_at);
    }
    assert_eq!(asked.len(), 2, "the second time counts");
}

#[tokio::test]
async fn attack_26_what_was_kept_on_a_disk_from_before_opens_nothing_after_a_resume() {
    let house = House::new().await;
    house.order("shop", topology([server("db")])).await;
    house.until("shop", State::Ready).await;
    let db = house.server("shop", "db").await;
    let key = format!("key of {db} 1");
    assert_eq!(house.knock(db.as_str(), 1, None, &key).await, "welcome");
    house.ask("shop", Action::Park).await;
    house.until("shop", State::Parked).await;
    house.ask("shop", Action::Resume).await;
    house.until("shop", State::Ready).await;
    assert_eq!(house.knock(db.as_str(), 1, None, &key).await, REPLACED);
    assert_eq!(house.knock(db.as_str(), 1, token(&db, 1), &key).await, REPLACED);
    assert_eq!(house.knock(db.as_str(), 2, token(&db, 1), &key).await, WRONG);
    assert_eq!(house.knock(db.as_str(), 2, token(&db, 2), &key).await, WRONG, "the new one has used it");
}

#[tokio::test]
async fn where_servers_really_are_is_told_to_their_peers_and_to_their_programs() {
    let house = House::new().await;
    let mut shop = topology([server("db").mounting(&["copy-one"]), server("web").mounting(&["copy-two"])]);
    for spec in &mut shop.servers {
        spec.mounts =
            spec.mounts.iter().map(|mount| MountSpec { copy_of: Some("docs".into()), ..mount.clone() }).collect();
    }
    house.order("shop", shop).await;
    let environment = house.until("shop", State::Ready).await.summary.id;
    let (db, web) = (house.server("shop", "db").await, house.server("shop", "web").await);
    let told = async |server: &ServerId, from| house.world.directory.present(server, 1, from).await.unwrap();
    let present = async |server: &ServerId| told(server, None).await;
    let planned = present(&web).await;
    assert_eq!((planned.hosts.len(), house.world.with(|state| state.moves)), (0, 0), "all are where they were planned");
    let config = planned.config.unwrap();
    assert_eq!(config.variables["BOOKEND_ADDRESS"], "10.0.0.3");
    assert_eq!(config.shared[0].peers[0].address, "10.0.0.2:22000");

    let said = told(&web, Some([172, 31, 5, 9].into())).await.config.unwrap();
    assert_eq!(said.variables["BOOKEND_ADDRESS"], "172.31.5.9", "as its agent says, as long as nobody knows more");

    let look = async || {
        let mut tx = house.store.write().await.unwrap();
        tx.touch(&environment, house.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        house.until_nothing_is_due().await;
    };
    house.world.with(|state| state.addresses.insert(web.clone(), [172, 31, 5, 9].into()));
    look().await;
    let elsewhere = present(&web).await;
    assert_eq!(house.world.with(|state| state.moves), 1);
    let host = |name: &str, address: [u8; 4]| HostEntry { name: name.into(), address: address.into() };
    assert_eq!(elsewhere.hosts, [host("web", [172, 31, 5, 9])]);
    assert_eq!(present(&db).await.hosts, elsewhere.hosts);
    assert_eq!(present(&db).await.config.unwrap().variables["BOOKEND_ADDRESS"], "10.0.0.2");
    let moved = elsewhere.config.unwrap();
    assert_eq!(moved.variables["BOOKEND_ADDRESS"], "172.31.5.9");
    assert_eq!(moved.shared[0].listen.to_string(), "0.0.0.0:22000");
    assert_eq!(moved.shared[0].peers[0].address, "db:22000");
    assert_ne!(moved.digest, config.digest);
    assert_eq!(moved.digest, said.digest, "what it was told when it called stands: nothing begins anew");
    let next = told(&web, Some([172, 31, 7, 7].into())).await.config.unwrap();
    assert_eq!(next.variables["BOOKEND_ADDRESS"], "172.31.7.7", "what is known may be of the one before it");

    house.world.with(|state| state.addresses.insert(db.clone(), [172, 31, 5, 8].into()));
    look().await;
    let both = present(&web).await;
    assert_eq!(both.hosts, [host("db", [172, 31, 5, 8]), host("web", [172, 31, 5, 9])]);
    assert_eq!(both.config.unwrap().digest, moved.digest, "a peer that comes changes nothing for who is there");
    look().await;
    assert_eq!(house.world.with(|state| state.moves), 2, "what is as it was is not told again");
}
