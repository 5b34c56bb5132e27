//! Zones without room: servers go on in another one, with all their volumes held, and nothing is there twice or left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ec2::Ec2;
use fake_ec2::{Fake, Fault, Faults, Lag, Rules, Touch, TrueVolume};
use provisioners::conformance::{Performed, Place, Trouble, effect, settled};
use provisioners::{
    Effect, EnvironmentId, Ledger, MachineState, ObservedEnvironment, Page, ProvisionError, Provisioner, ServerPlan,
    SnapshotId, SnapshotPlan, SnapshotState, SnapshotVolume, Step, VolumeId, VolumeMount, VolumePlan,
};

use tests::Outcome;
use tests::tryout::Tryout;

use super::amazon::Account;
use super::place::{Ec2Place, left, until_trouble};
use super::seeds::{Life, Told, all_run, seeds, server, stop};

const ZONES: [&str; 3] = ["eu-central-1a", "eu-central-1b", "eu-central-1c"];
/// After so long nothing may be left; twice as long as describes lag.
const SWEPT: Duration = Duration::from_secs(40 * 60);
/// A server that nobody counts on is ended after so long: between two patrols, what Amazon lags, and the call.
const SOON_ENDED: Duration = Duration::from_secs(7 * 60);

fn have_room(fake: &Fake, zones: &[&str], is_there: bool) {
    for zone in zones {
        ["t3.small", "t3a.small"].iter().for_each(|kind| fake.set_capacity(kind, zone, (!is_there).then_some(0)));
    }
}

fn blank(name: &str) -> Step {
    let volume = VolumePlan { id: VolumeId::new(name), name: name.to_owned(), size_bytes: 3 << 30, from: None };
    Step::CreateVolume { volume }
}

/// Amazon's volumes that a volume is and was.
fn incarnations(account: &Account, environment: &EnvironmentId, name: &str) -> Vec<TrueVolume> {
    let volumes = account.fake.truth().volumes;
    let is = |one: &TrueVolume, key: &str, value: &str| one.tags.get(key).is_some_and(|of| of == value);
    let ours =
        |one: &TrueVolume| is(one, "bookend:volume", name) && is(one, "bookend:environment", environment.as_str());
    volumes.into_iter().filter(ours).collect()
}

fn present(account: &Account, environment: &EnvironmentId, name: &str) -> TrueVolume {
    let mut alive: Vec<_> = incarnations(account, environment, name).into_iter().filter(TrueVolume::is_alive).collect();
    assert_eq!(alive.len(), 1, "there is one of {name}: {alive:#?}");
    alive.remove(0)
}

fn accepted(touches: Vec<Touch>, action: &str) -> impl Iterator<Item = Touch> {
    touches.into_iter().filter(move |touch| touch.action == action && touch.refused.is_none())
}

/// All that was ever written to a volume is in what it is now: whatever server had one of those it was before, that one was kept
/// in a snapshot after the server had been ended, was given to none after that, and went only when the next one was there.
fn nothing_is_lost(account: &Account, environment: &EnvironmentId, name: &str) {
    let truth = account.fake.truth();
    let all = incarnations(account, environment, name);
    let attached: BTreeSet<&String> = all
        .iter()
        .map(|one| &one.id)
        .filter(|id| accepted(account.fake.touches_of(id), "AttachVolume").next().is_some())
        .collect();
    let mut now = present(account, environment, name);
    let mut ancestors = BTreeSet::from([now.id.clone()]);
    while let Some(snapshot) = now.snapshot.as_ref().and_then(|id| truth.snapshots.iter().find(|one| one.id == *id)) {
        let Some(before) = all.iter().find(|one| one.id == snapshot.volume) else { break };
        let touches = account.fake.touches();
        for given in accepted(account.fake.touches_of(&before.id), "AttachVolume") {
            assert!(given.at_ms < snapshot.started_ms, "{name}: given to a server after it was copied: {given:?}");
            let to = |touch: &&Touch| touch.at_ms == given.at_ms && touch.action == "AttachVolume";
            for to in touches.iter().filter(to).filter(|touch| touch.id.starts_with("i-")) {
                let mut ends = accepted(account.fake.touches_of(&to.id), "TerminateInstances");
                let ended = ends.any(|end| end.at_ms < snapshot.started_ms);
                assert!(ended, "{name}: copied while {} could write to it", to.id);
            }
        }
        for gone in accepted(account.fake.touches_of(&before.id), "DeleteVolume") {
            assert!(now.created_ms < gone.at_ms, "{name}: it went before there was another: {gone:?}");
        }
        ancestors.insert(before.id.clone());
        now = before.clone();
    }
    let lost: Vec<&&String> = attached.iter().filter(|id| !ancestors.contains(**id)).collect();
    assert!(lost.is_empty(), "{name}: what was written to {lost:?} is not in what there is: {all:#?}");
}

/// An environment with a server on a volume, in whichever zone.
struct Story {
    account: Account,
    portal: Ec2,
    environment: EnvironmentId,
}

impl Story {
    async fn begin() -> Story {
        Story::on(Rules::calm()).await
    }

    async fn on(rules: Rules) -> Story {
        let account = Account::new(Fake::new(rules));
        let portal = account.open().await;
        let story = Story { account, portal, environment: EnvironmentId::new("env") };
        story.ask(&[Step::CreateNetwork, blank("data")]).await;
        story.account.until_network(&story.environment).await;
        story
    }

    /// A server has written to its volume and is gone, and its zone has no room any more.
    async fn in_a_full_zone() -> Story {
        let story = Story::begin().await;
        story.ask(&[server("db", 1, Some("data"))]).await;
        story.ask(&[stop("db", 1)]).await;
        have_room(&story.account.fake, &[&story.present().zone], false);
        story
    }

    async fn ask(&self, steps: &[Step]) -> ObservedEnvironment {
        for step in steps {
            assert_eq!(self.portal.request(&effect(&self.environment, step)).await, Ok(()), "{step:?}");
        }
        settled(&self.portal, &self.environment).await
    }

    fn present(&self) -> TrueVolume {
        present(&self.account, &self.environment, "data")
    }

    /// Until all that is under way is over: one volume, and no snapshot of ours but `kept`.
    async fn comes_to_rest(&self, kept: usize) {
        let by = tokio::time::Instant::now() + SWEPT;
        loop {
            let truth = self.account.fake.truth();
            let ours = |tags: &std::collections::BTreeMap<String, String>| tags.contains_key("bookend:volume");
            let volumes = truth.volumes.iter().filter(|one| one.is_alive() && ours(&one.tags)).count();
            let snapshots = truth.snapshots.iter().filter(|one| one.is_alive() && ours(&one.tags)).count();
            if (volumes, snapshots) == (1, kept) {
                return;
            }
            assert!(tokio::time::Instant::now() < by, "{volumes} volumes and {snapshots} snapshots are left");
            // Whoever looks at it has it noticed that the volume is read in.
            let _ = self.portal.observe(std::slice::from_ref(&self.environment)).await;
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    }
}

fn state(observed: &ObservedEnvironment) -> &MachineState {
    &observed.servers[0].state
}

/// A morning on which a zone is full: what a schedule brings back takes its volumes elsewhere, and each of them wants the next snapshot
/// that may be taken.
#[tokio::test(start_paused = true)]
async fn volumes_that_move_for_a_schedule_let_a_persons_snapshot_of_several_go_first() {
    let story = Story::begin().await;
    let shelves: Vec<String> = (0..12).map(|number| format!("shelf-{number}")).collect();
    story.ask(&shelves.iter().map(|name| blank(name)).collect::<Vec<_>>()).await;
    let db = |generation| {
        let mount = |name: &String| VolumeMount { volume: VolumeId::new(name), path: format!("/{name}") };
        let plan = provisioners::conformance::server("db", generation);
        Step::StartServer { server: Box::new(ServerPlan { mounts: shelves.iter().map(mount).collect(), ..plan }) }
    };
    story.ask(&[db(1)]).await;
    story.ask(&[stop("db", 1)]).await;
    have_room(&story.account.fake, &[&present(&story.account, &story.environment, "shelf-0").zone], false);

    let admit = async |name: &str, volumes: usize| {
        let volume = |number| SnapshotVolume { volume: VolumeId::new(format!("{name}-{number}")), name: String::new() };
        let snapshot = SnapshotPlan { id: SnapshotId::new(name), volumes: (0..volumes).map(volume).collect() };
        story.portal.admit(&EnvironmentId::new("another"), &Step::CreateSnapshot { snapshot }, false).await
    };
    assert_eq!(admit("all-there-are", 100).await, Ok(()));
    let start = Effect { by_schedule: true, ..effect(&story.environment, &db(2)) };
    assert_eq!(story.portal.request(&start).await, Ok(()));
    let moving = async || {
        let pages = story.account.ledger.read(std::slice::from_ref(&story.environment)).await.expect("a ledger");
        let moves = |page: &Page| {
            let body: serde_json::Value = serde_json::from_str(&page.body).expect("a page");
            body["moving"]["copy"]["snapshot"].is_null() && body["moving"]["copy"].is_object()
        };
        pages.iter().filter(|page| moves(page)).count()
    };
    let mut others = 0;
    while moving().await == 0 {
        // Somebody takes what comes back meanwhile.
        others += 1;
        let _ = admit(&format!("other-{others}"), 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while let Err(wait) = admit("a-persons", 2).await {
        tokio::time::sleep(wait).await;
    }
    assert!(moving().await >= 6, "{} of {} wait until then", moving().await, shelves.len());
    settled(&story.portal, &story.environment).await;
    assert_eq!(story.account.fake.truth().instances.iter().filter(|one| one.is_alive()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_nobody_wrote_to_is_made_anew_where_its_server_can_be() {
    let story = Story::begin().await;
    settled(&story.portal, &story.environment).await;
    let home = story.present();
    have_room(&story.account.fake, &[&home.zone], false);
    let there = story.ask(&[server("db", 1, Some("data"))]).await;
    assert_eq!(state(&there), &MachineState::Running);
    assert_eq!(there.volumes, [VolumeId::new("data")]);
    story.comes_to_rest(0).await;
    let moved = story.present();
    assert!(moved.zone != home.zone && moved.attached.is_some(), "{moved:?}");
    assert_eq!(story.account.fake.counts().of("CreateSnapshot"), 0, "there was nothing to copy");
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_zone_is_full_goes_on_in_another_one_with_what_its_volume_held() {
    let story = Story::in_a_full_zone().await;
    let before = story.present();
    let start = server("db", 2, Some("data"));
    assert_eq!(story.portal.request(&effect(&story.environment, &start)).await, Ok(()));
    let mut told = BTreeSet::new();
    loop {
        let there = story.portal.observe(std::slice::from_ref(&story.environment)).await.expect("a look").remove(0);
        assert_eq!(there.volumes, [VolumeId::new("data")], "whatever becomes of it, it is there");
        match state(&there) {
            MachineState::Starting { doing } => drop(told.insert(doing.clone())),
            MachineState::Running => break,
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let says = |words: &str| told.iter().any(|told| told.contains(words));
    assert!(says(&format!("{} has no room: going on in eu-central-1", before.zone)), "{told:?}");
    nothing_is_lost_and_one_is_left(&story, &before).await;

    // Back in the first zone it does not wander without need.
    have_room(&story.account.fake, &ZONES, true);
    let moved = story.present();
    let there = story.ask(&[stop("db", 2), server("db", 3, Some("data"))]).await;
    assert_eq!((state(&there), story.present().id), (&MachineState::Running, moved.id));
}

async fn nothing_is_lost_and_one_is_left(story: &Story, before: &TrueVolume) {
    story.comes_to_rest(0).await;
    let moved = story.present();
    assert!(moved.zone != before.zone && moved.attached.is_some() && moved.encrypted, "{moved:?}");
    nothing_is_lost(&story.account, &story.environment, "data");
}

#[tokio::test(start_paused = true)]
async fn the_copy_stays_until_the_new_volume_has_read_all_of_it_in() {
    let mut rules = Rules::calm();
    rules.delays.reading_per_gib = fake_ec2::Spread(600_000, 600_000);
    let story = Story::on(rules).await;
    story.ask(&[server("db", 1, Some("data"))]).await;
    story.ask(&[stop("db", 1)]).await;
    have_room(&story.account.fake, &[&story.present().zone], false);
    story.ask(&[server("db", 2, Some("data"))]).await;
    story.comes_to_rest(1).await;
    tokio::time::sleep(Duration::from_secs(20 * 60)).await;
    story.comes_to_rest(1).await;
    tokio::time::sleep(Duration::from_secs(10 * 60)).await;
    story.comes_to_rest(0).await;
}

#[tokio::test(start_paused = true)]
async fn where_no_zone_has_room_it_is_said_in_words_and_the_volume_is_as_it_was() {
    let story = Story::in_a_full_zone().await;
    let before = story.present();
    have_room(&story.account.fake, &ZONES, false);
    let there = story.ask(&[server("db", 2, Some("data"))]).await;
    let MachineState::Failed { reason } = state(&there) else { panic!("{there:?}") };
    for zone in ZONES {
        assert!(reason.contains(&format!("t3a.small in {zone}: Amazon has none left at the moment")), "{reason}");
    }
    assert_eq!(there.volumes, [VolumeId::new("data")]);
    // The next try needs no other copy.
    let there = story.ask(&[stop("db", 2), server("db", 3, Some("data"))]).await;
    assert!(matches!(state(&there), MachineState::Failed { .. }), "{there:?}");
    assert_eq!(story.account.fake.counts().of("CreateSnapshot"), 1);
    story.comes_to_rest(0).await;
    assert_eq!(story.present(), before);

    have_room(&story.account.fake, &[&before.zone], true);
    let there = story.ask(&[stop("db", 3), server("db", 4, Some("data"))]).await;
    assert_eq!((state(&there), story.present().id), (&MachineState::Running, before.id));
    // What was copied before that server wrote is not gone by.
    have_room(&story.account.fake, &ZONES, true);
    have_room(&story.account.fake, &[&before.zone], false);
    let there = story.ask(&[stop("db", 4), server("db", 5, Some("data"))]).await;
    assert_eq!(state(&there), &MachineState::Running);
    story.comes_to_rest(0).await;
    nothing_is_lost(&story.account, &story.environment, "data");
}

#[tokio::test(start_paused = true)]
async fn what_a_server_wrote_after_a_copy_was_taken_is_copied_anew() {
    let story = Story::in_a_full_zone().await;
    let before = story.present();
    have_room(&story.account.fake, &ZONES, false);
    story.ask(&[server("db", 2, Some("data"))]).await;
    // The copy of that try is still there when the next server is had after all, and writes.
    have_room(&story.account.fake, &[&before.zone], true);
    let there = story.ask(&[stop("db", 2), server("db", 3, Some("data"))]).await;
    assert_eq!((state(&there), story.account.fake.counts().of("CreateSnapshot")), (&MachineState::Running, 1));
    have_room(&story.account.fake, &ZONES, true);
    have_room(&story.account.fake, &[&before.zone], false);
    story.ask(&[stop("db", 3), server("db", 4, Some("data"))]).await;
    nothing_is_lost_and_one_is_left(&story, &before).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_copied_while_the_last_server_is_still_on_its_way_out() {
    let mut rules = Rules::calm();
    rules.delays.shutting_down = fake_ec2::Spread(30_000, 30_000);
    let story = Story::on(rules).await;
    story.ask(&[server("db", 1, Some("data"))]).await;
    have_room(&story.account.fake, &[&story.present().zone], false);
    for step in [stop("db", 1), server("db", 2, Some("data"))] {
        assert_eq!(story.portal.request(&effect(&story.environment, &step)).await, Ok(()), "{step:?}");
    }
    while story.account.fake.counts().of("CreateSnapshot") == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(story.present().attached, None);
    let there = settled(&story.portal, &story.environment).await;
    assert_eq!(state(&there), &MachineState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_account_moves_no_data() {
    let story = Story::in_a_full_zone().await;
    have_room(&story.account.fake, &ZONES, true);
    let before = story.present();
    story.account.fake.set_vcpu_limit(Some(0));
    let there = story.ask(&[server("db", 2, Some("data"))]).await;
    let MachineState::Failed { reason } = state(&there) else { panic!("{there:?}") };
    assert!(reason.contains("the account's limit of processors is reached"), "{reason}");
    assert_eq!((story.present(), story.account.fake.counts().of("CreateSnapshot")), (before, 0));
}

#[tokio::test(start_paused = true)]
async fn a_move_that_amazon_refuses_is_said_and_the_volume_is_as_it_was() {
    for denied in ["CreateSnapshot", "CreateVolume"] {
        let story = Story::in_a_full_zone().await;
        let before = story.present();
        story.account.fake.set_denied([denied]);
        let there = story.ask(&[server("db", 2, Some("data"))]).await;
        let MachineState::Failed { reason } = state(&there) else { panic!("{there:?}") };
        assert!(reason.contains("its volume data cannot come to") && reason.contains(denied), "{reason}");
        story.account.fake.set_denied([]);
        story.ask(&[stop("db", 2)]).await;
        story.comes_to_rest(0).await;
        assert_eq!(story.present(), before);
        let there = story.ask(&[server("db", 3, Some("data"))]).await;
        assert_eq!(state(&there), &MachineState::Running);
        nothing_is_lost_and_one_is_left(&story, &before).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_changes_their_mind_in_the_middle_has_what_there_was() {
    for after in 0..6 {
        let story = Story::in_a_full_zone().await;
        let before = story.present();
        let start = server("db", 2, Some("data"));
        assert_eq!(story.portal.request(&effect(&story.environment, &start)).await, Ok(()));
        tokio::time::sleep(Duration::from_millis(600 * after)).await;
        story.ask(&[stop("db", 2)]).await;
        story.comes_to_rest(0).await;
        have_room(&story.account.fake, &ZONES, true);
        let there = story.ask(&[server("db", 3, Some("data"))]).await;
        assert_eq!(state(&there), &MachineState::Running);
        nothing_is_lost(&story.account, &story.environment, "data");
        let now = story.present();
        assert!(now.id == before.id || now.snapshot.is_some(), "{now:?}");
    }
}

/// A start in a full zone, with trouble at each of so many of its moments.
async fn trouble_on_the_way(rules: Rules, trouble: Trouble, full: &[&str], each: usize) -> u64 {
    let place = Ec2Place::new(rules);
    let fake = place.account.fake.clone();
    for moment in (0..).step_by(each) {
        let environment = EnvironmentId::new(format!("moving-{}-{moment}", full.len()));
        let perform = async |portal: &dyn Provisioner, step: &Step| {
            while let Err(error) = portal.request(&effect(&environment, step)).await {
                assert!(matches!(error, ProvisionError::Retryable { .. }), "{step:?}: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            settled(portal, &environment).await
        };
        have_room(&fake, &ZONES, true);
        let portal = place.open().await;
        for step in [Step::CreateNetwork, blank("data"), server("db", 1, Some("data")), stop("db", 1)] {
            perform(portal.as_ref(), &step).await;
        }
        drop(portal);
        let before = present(&place.account, &environment, "data");
        have_room(&fake, &[&before.zone], false);
        have_room(&fake, full, false);
        let start = server("db", 2, Some("data"));
        let portal = place.account.open().await;
        let performed =
            until_trouble(portal, &place.account.moments, &effect(&environment, &start), trouble, moment).await;
        let context = format!("{trouble:?} at moment {moment}: {performed:?}");

        let portal = place.open().await;
        let known = portal.observe(std::slice::from_ref(&environment)).await.expect("a look");
        assert_eq!(known[0].volumes, [VolumeId::new("data")], "{context}");
        let asked = portal.request(&effect(&environment, &start)).await;
        let there = settled(portal.as_ref(), &environment).await;
        let running = place.running(&environment).await;
        if full.len() == ZONES.len() {
            let refused = matches!(&asked, Ok(()) | Err(ProvisionError::Rejected { .. }));
            assert!(refused && matches!(state(&there), MachineState::Failed { .. }), "{context}: {there:?}");
            assert_eq!(running, 0, "{context}");
            have_room(&fake, &ZONES, true);
            perform(portal.as_ref(), &stop("db", 2)).await;
            let there = perform(portal.as_ref(), &server("db", 3, Some("data"))).await;
            assert_eq!(state(&there), &MachineState::Running, "{context}");
        } else {
            assert_eq!((state(&there), running), (&MachineState::Running, 1), "{context}");
        }
        while incarnations(&place.account, &environment, "data").iter().filter(|one| one.is_alive()).count() > 1 {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        nothing_is_lost(&place.account, &environment, "data");
        for step in [stop("db", 3), Step::DeleteVolume { volume: VolumeId::new("data") }, Step::DeleteNetwork] {
            perform(portal.as_ref(), &step).await;
        }
        drop(portal);
        assert_eq!(place.leftovers(&environment).await, Vec::<String>::new(), "{context}");
        if performed == Performed::Done {
            return moment;
        }
    }
    unreachable!("a start has an end")
}

#[tokio::test(start_paused = true)]
async fn a_move_survives_a_portal_killed_at_every_moment_on_an_amazon_that_shows_the_past() {
    let lag = Lag { describes_ms: 20_000, changes_ms: 3_000, wavering: true };
    let moments = trouble_on_the_way(Rules { lag, ..Rules::calm() }, Trouble::Kill, &[], 1).await;
    assert!(moments > 25, "only {moments} moments: where have the others gone?");
}

#[tokio::test(start_paused = true)]
async fn a_move_survives_a_connection_that_is_cut() {
    trouble_on_the_way(Rules::calm(), Trouble::Fail, &[], 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_move_to_nowhere_survives_portals_that_are_killed() {
    trouble_on_the_way(Rules::calm(), Trouble::Kill, &ZONES, 5).await;
}

/// Up, down and up again, time and again, where no zone but one has room for sure.
async fn wander(life: &mut Life) {
    let environment = life.environment.clone();
    life.perform(&[Step::CreateNetwork, blank("data"), blank("more")]).await;
    for generation in 1..=4 {
        life.perform(&[
            server("db", generation, Some("data")),
            server("web-1", generation, Some("more")),
            server("web-2", generation, None),
        ])
        .await;
        life.until("up", all_run).await;
        life.perform(&["db", "web-1", "web-2"].map(|name| stop(name, generation))).await;
        life.until("down", |observed| observed.servers.is_empty()).await;
    }
    let kept = |name: &str| SnapshotVolume { volume: VolumeId::new(name), name: name.to_owned() };
    let snapshot = SnapshotPlan { id: SnapshotId::new("kept"), volumes: vec![kept("data"), kept("more")] };
    life.perform(&[Step::CreateSnapshot { snapshot }]).await;
    let complete = |observed: &ObservedEnvironment| {
        observed.snapshots.iter().any(|one| one.state == SnapshotState::Complete) && observed.volumes.len() == 2
    };
    life.until("kept", complete).await;
    let one_each =
        |name: &str| incarnations(&life.account, &environment, name).iter().filter(|one| one.is_alive()).count() == 1;
    while !(one_each("data") && one_each("more")) {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    ["data", "more"].iter().for_each(|name| nothing_is_lost(&life.account, &environment, name));
    life.perform(&[
        Step::DeleteNetwork,
        Step::DeleteVolume { volume: VolumeId::new("data") },
        Step::DeleteVolume { volume: VolumeId::new("more") },
        Step::DeleteSnapshot { snapshot: SnapshotId::new("kept") },
    ])
    .await;
    let by = tokio::time::Instant::now() + Duration::from_secs(3600);
    while let Some(left) = Some(left(&life.account.fake.truth(), &environment)).filter(|left| !left.is_empty()) {
        assert!(tokio::time::Instant::now() < by, "left behind: {left:?}");
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_while_zones_lose_their_room_there_is_one_server_for_each_and_no_data_is_lost() {
    let (mut moved, seeds) = (0, seeds([1, 3, 5, 8]));
    for seed in seeds.iter().copied() {
        let _told = Told(seed);
        let rules = Rules::lifelike(seed);
        let mut life = Life::begin(seed, rules).await;
        // What a refused call brings that arrives once more is more than one for each, for minutes: a story of its own, below.
        life.account.fake.set_faults(Faults { twice: 0.0, ..Faults::everywhere(0.03) });
        let open = usize::try_from(seed).unwrap_or(0) % ZONES.len();
        let others = ZONES.iter().enumerate().filter(|(number, _)| *number != open);
        life.set_tides(others.map(|(_, zone)| (*zone).to_owned()).collect());
        wander(&mut life).await;
        let snapshots = life.account.fake.truth().snapshots;
        moved += snapshots.iter().filter(|one| one.tags.contains_key("bookend:move")).count();
    }
    assert!(moved >= seeds.len(), "only {moved} times data went to another zone: where is the trouble?");
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_that_arrives_once_more_when_there_is_room_brings_a_server_that_counts_for_nothing_and_is_ended()
{
    let lag = Lag { describes_ms: 60_000, changes_ms: 0, wavering: true };
    for late in [2_000_u64, 600_000] {
        let story = Story::on(Rules { lag, ..Rules::calm() }).await;
        let (fake, zone) = (&story.account.fake, story.present().zone);
        fake.set_capacity("t3.small", &zone, Some(0));
        let at = BTreeMap::from([(1, Fault::Twice(late.cast_signed()))]);
        fake.set_faults(Faults { at, only: vec!["RunInstances".to_owned()], ..Faults::default() });
        let start = server("db", 1, Some("data"));
        assert_eq!(story.portal.request(&effect(&story.environment, &start)).await, Ok(()));
        while fake.counts().of("RunInstances") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fake.set_capacity("t3.small", &zone, None);
        let arrives = tokio::time::Instant::now() + Duration::from_millis(late);
        settled(&story.portal, &story.environment).await;

        // Whatever is there besides, one server is told of, and it is the one that has the volume.
        let alive = || fake.truth().instances.into_iter().filter(|one| one.is_alive()).collect::<Vec<_>>();
        let mut strayed = false;
        while tokio::time::Instant::now() < arrives + SOON_ENDED {
            // Ended ones are shown for a while.
            strayed |= fake.truth().instances.iter().any(|one| one.instance_type == "t3.small");
            let now = story.portal.observe(std::slice::from_ref(&story.environment)).await.expect("a look").remove(0);
            assert_eq!((now.servers.len(), state(&now)), (1, &MachineState::Running));
            assert!(now.servers[0].limits.starts_with("t3a.small"), "{now:?}");
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        let alive = alive();
        assert!(strayed, "it arrived {late} ms later, and there was room");
        assert_eq!(
            alive.iter().map(|one| one.instance_type.as_str()).collect::<Vec<_>>(),
            ["t3a.small"],
            "{late} ms late"
        );
        assert_eq!(story.present().attached.map(|(to, _)| to).as_ref(), Some(&alive[0].id));
    }
}

const NOTES: &str = r#"
name: notes
version: "1.0.0"
title: Notes
summary: A server with a volume.
category: Basics
servers:
  box: {}
volumes:
  shelf: {size: 1 GiB, mounts: {box: /shelf}}
"#;

#[tokio::test]
async fn what_a_parked_environment_holds_is_there_when_it_comes_back_in_another_zone() -> Outcome {
    comes_back_in_another_zone(NOTES).await
}

#[tokio::test]
async fn what_was_put_away_is_made_again_in_a_zone_that_has_room() -> Outcome {
    comes_back_in_another_zone(&NOTES.replace("category:", "park: snapshot\ncategory:")).await
}

async fn comes_back_in_another_zone(template: &str) -> Outcome {
    let tryout = Tryout::offering("notes", template, &[]).await?;
    let api = tryout.person("root").await?;
    api.order("notes", "notes").await?;
    api.await_state("notes", "ready").await?;
    tryout.run(&api, "notes/box", "echo kept > /shelf/word && sync").await?;
    let [home] = &tryout.ours("instances").await?[..] else { return Err("not one server".into()) };
    let full = home["zone"].as_str().ok_or("it is nowhere")?.to_owned();
    api.act("notes", "park").await?;
    api.await_state("notes", "parked").await?;

    for kind in ["t3.small", "t3a.small", "m6i.large"] {
        tryout.have(&format!("capacity?type={kind}&zone={full}&free=0")).await?;
    }
    api.act("notes", "resume").await?;
    api.await_state("notes", "ready").await?;
    assert_eq!(tryout.run(&api, "notes/box", "cat /shelf/word").await?, "kept\n");
    let [there] = &tryout.ours("instances").await?[..] else { return Err("not one server".into()) };
    assert_ne!(there["zone"], full.as_str());
    Ok(())
}
