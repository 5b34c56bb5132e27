//! What carries our tag and nothing remembered names, beside everything that must be let alone: what is remembered, what another
//! installation has in the same account, and a hundred thousand things of others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fake_ec2::{Fake, Rules, Touch, Truth};
use provisioners::{
    EnvironmentId, Ledger, MachineState, ObservedEnvironment, ObservedServer, Orphan, OrphanKind, Orphans, PageChange,
    ProvisionError, Provisioner, ServerId, SnapshotId, SnapshotPlan, SnapshotVolume, Step, VolumeId, VolumePlan,
};

use super::amazon::{Account, Pages};
use super::seeds::{Life, Told, seeds, server};

const OURS: &str = "0192-this-installation";
const THEIRS: &str = "0192-another-installation";
/// Longer than anything may take to be shown, and be believed.
const LONG: Duration = Duration::from_secs(45 * 60);

/// A server with a volume, and a snapshot of that.
pub async fn bring_up(life: &mut Life) {
    let volume = VolumePlan { id: VolumeId::new("data"), name: "data".into(), size_bytes: 3 << 30, from: None };
    let kept = SnapshotVolume { volume: VolumeId::new("data"), name: "data".into() };
    let snapshot = SnapshotPlan { id: SnapshotId::new("kept"), volumes: vec![kept] };
    life.perform(&[Step::CreateNetwork, Step::CreateVolume { volume }]).await;
    life.perform(&[server("db", 1, None), server("web", 1, None)]).await;
    // Not only asked for: what was never launched leaves nothing.
    let runs = |server: &ObservedServer| server.state == MachineState::Running;
    let up = |observed: &ObservedEnvironment| observed.servers.len() == 2 && observed.servers.iter().all(runs);
    life.until("up", |observed| up(observed) && observed.volumes.len() == 1).await;
    life.perform(&[Step::CreateSnapshot { snapshot }]).await;
    life.until("kept", |observed| observed.snapshots.len() == 1).await;
}

fn ids(orphans: &[Orphan]) -> BTreeSet<String> {
    orphans.iter().map(|orphan| orphan.id.clone()).collect()
}

/// What there is of an installation that does not go with something else, as it really is.
fn of(truth: &Truth, installation: &str) -> BTreeSet<String> {
    let tagged = |tags: &std::collections::BTreeMap<String, String>| {
        tags.get("bookend:installation").is_some_and(|of| of == installation)
            && tags.contains_key("bookend:environment")
    };
    let instances = truth.instances.iter().filter(|one| one.is_alive() && tagged(&one.tags)).map(|one| &one.id);
    let volumes = truth.volumes.iter().filter(|one| one.is_alive() && one.attached.is_none() && tagged(&one.tags));
    let snapshots = truth.snapshots.iter().filter(|one| one.is_alive() && tagged(&one.tags)).map(|one| &one.id);
    let groups = truth.groups.iter().filter(|one| one.is_alive() && tagged(&one.tags)).map(|one| &one.id);
    instances.chain(volumes.map(|one| &one.id)).chain(snapshots).chain(groups).cloned().collect()
}

/// Calls that named one of these and changed something since then.
fn touches(fake: &Fake, ids: &BTreeSet<String>, before: &[Touch]) -> Vec<Touch> {
    let all = ids.iter().flat_map(|id| fake.touches_of(id));
    all.filter(|touch| !before.contains(touch)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_nothing_remembered_names_is_found_and_goes_one_by_one_and_nothing_else_is_touched() {
    let seed = seeds([7])[0];
    let _told = Told(seed);
    let rules = || Rules { buckets: false, ..Rules::lifelike(seed) };
    let mut lost = Life::begin(seed, rules()).await;
    let fake = lost.account.fake.clone();
    let keys = ["bookend:installation", "bookend:environment", "bookend:server", "bookend:volume", "bookend:snapshot"];
    let foreign: BTreeSet<String> = fake.plant_foreign(100_000, 99, &keys).into_iter().collect();
    let mut theirs = Life::on(Account::of(fake.clone(), THEIRS), "life-of-others").await;
    bring_up(&mut lost).await;
    bring_up(&mut theirs).await;

    // All of it is remembered, however long it stands.
    tokio::time::sleep(LONG).await;
    for portal in [lost.portal(), theirs.portal()] {
        assert_eq!(portal.orphans().await, Ok(Orphans::default()));
    }

    // A portal whose database was set back to before all this, and what it has made since.
    let orphaned = of(&fake.truth(), OURS);
    assert_eq!(orphaned.len(), 5, "two servers, a volume, a snapshot, a group: {orphaned:?}");
    lost.stop();
    let account = Account { ledger: Arc::new(Pages::default()), ..lost.account.clone() };
    let mut back = Life::on(account, "life-after").await;
    bring_up(&mut back).await;
    let kept = of(&fake.truth(), OURS);
    let kept: BTreeSet<String> = kept.difference(&orphaned).cloned().collect();
    let found = back.portal().orphans().await.expect("an answer").found;
    assert_eq!(ids(&found), orphaned);
    tokio::time::sleep(LONG).await;
    assert_eq!(
        ids(&back.portal().orphans().await.expect("an answer").found),
        orphaned,
        "what is remembered never becomes one"
    );

    // What it is, of what, and what it costs.
    let shown = |kind: OrphanKind| found.iter().find(|one| one.kind == kind).expect("one of each");
    let (machine, volume, snapshot) =
        (shown(OrphanKind::Server), shown(OrphanKind::Volume), shown(OrphanKind::Snapshot));
    assert!(found.iter().all(|one| one.environment == lost.environment), "{found:#?}");
    assert!(machine.about.starts_with("t3.small in eu-central-1"), "{machine:?}");
    assert!(machine.monthly_cents.is_some_and(|cents| cents >= 1518) && machine.made_at.is_some(), "{machine:?}");
    assert_eq!((volume.subject.clone(), volume.monthly_cents), (Some(("data".into(), None)), Some(24)));
    assert_eq!((snapshot.subject.clone(), snapshot.monthly_cents), (Some(("kept".into(), None)), Some(15)));

    // Whatever else somebody asks to have removed is let alone.
    let before = fake.touches();
    let mut untouchable: BTreeSet<String> = kept.union(&of(&fake.truth(), THEIRS)).cloned().collect();
    untouchable.extend(foreign.iter().cloned());
    let others = of(&fake.truth(), THEIRS);
    let asked = kept.iter().chain(&others).chain(foreign.iter().step_by(5_000)).cloned().collect();
    for environment in [&back.environment, &lost.environment, &theirs.environment] {
        for named in as_orphans(&asked, environment) {
            match back.portal().remove_orphan(&named).await {
                Err(ProvisionError::Rejected { .. }) | Ok(()) => {}
                other => panic!("{named:?}: {other:?}"),
            }
        }
    }
    assert_eq!(touches(&fake, &untouchable, &before), []);

    // One by one, servers before what they hold.
    for kind in [OrphanKind::Server, OrphanKind::Volume, OrphanKind::Snapshot, OrphanKind::Network] {
        for orphan in found.iter().filter(|one| one.kind == kind) {
            back.portal().remove_orphan(orphan).await.expect("it goes");
            back.portal().remove_orphan(orphan).await.expect("asking again is harmless");
        }
        tokio::time::sleep(LONG).await;
    }
    assert_eq!(back.portal().orphans().await, Ok(Orphans::default()));
    assert_eq!(of(&fake.truth(), OURS), kept);
    assert_eq!(touches(&fake, &untouchable, &before), [], "calls that named what is not an orphan");
}

#[tokio::test(start_paused = true)]
async fn what_was_made_a_moment_ago_is_no_orphan_yet() {
    let seed = seeds([8])[0];
    let _told = Told(seed);
    let mut lost = Life::begin(seed, Rules { buckets: false, ..Rules::lifelike(seed) }).await;
    bring_up(&mut lost).await;
    lost.stop();
    let account = Account { ledger: Arc::new(Pages::default()), ..lost.account.clone() };
    let portal = account.open().await;
    let kinds = async || -> BTreeSet<OrphanKind> {
        portal.orphans().await.expect("an answer").found.iter().map(|orphan| orphan.kind).collect()
    };
    // Amazon does not say how old a security group is; it costs nothing, and only people remove it.
    assert!(kinds().await.iter().all(|kind| *kind == OrphanKind::Network));
    tokio::time::sleep(LONG).await;
    assert_eq!(kinds().await.len(), 4);
}

/// As leftovers, of whichever environment.
fn as_orphans(ids: &BTreeSet<String>, environment: &EnvironmentId) -> Vec<Orphan> {
    let kind = |id: &String| match id.split('-').next() {
        Some("i") => OrphanKind::Server,
        Some("vol") => OrphanKind::Volume,
        Some("snap") => OrphanKind::Snapshot,
        _ => OrphanKind::Network,
    };
    let named = |id: &String| Orphan {
        kind: kind(id),
        id: id.clone(),
        environment: environment.clone(),
        subject: None,
        about: String::new(),
        made_at: None,
        monthly_cents: None,
    };
    ids.iter().map(named).collect()
}

#[tokio::test(start_paused = true)]
async fn what_another_table_of_the_same_account_and_region_has_is_no_orphan_nor_what_it_had_under_another_name() {
    let seed = seeds([9])[0];
    let _told = Told(seed);
    let mut small = Life::begin(seed, Rules { buckets: false, ..Rules::lifelike(seed) }).await;
    let (fake, environment) = (small.account.fake.clone(), small.environment.clone());
    let gpu = small.account.of_another("gpu").open().await;
    bring_up(&mut small).await;
    let theirs = of(&fake.truth(), OURS);
    assert_eq!(theirs.len(), 5, "two servers, a volume, a snapshot, a group: {theirs:?}");
    let lets_alone = async |portal: &ec2::Ec2| {
        // Right after they were made, and when they are old.
        for _ in 0..4 {
            assert_eq!(portal.orphans().await, Ok(Orphans::default()));
            tokio::time::sleep(LONG / 3).await;
        }
        let before = fake.touches();
        for orphan in as_orphans(&theirs, &environment) {
            let refused = portal.remove_orphan(&orphan).await;
            assert!(matches!(refused, Err(ProvisionError::Rejected { .. })), "{orphan:?}: {refused:?}");
        }
        assert_eq!(touches(&fake, &theirs, &before), []);
    };
    lets_alone(&gpu).await;

    // Its table has another name from now on.
    small.stop();
    lets_alone(&small.account.of_another("renamed").open().await).await;

    // What no table remembers is still found, whoever looks.
    let fresh = Account { ledger: Arc::new(Pages::default()), ..small.account.clone() };
    assert_eq!(ids(&fresh.open().await.orphans().await.expect("an answer").found), theirs);
}

/// As after a portal of a newer Bookend, or a hand in the database.
#[tokio::test(start_paused = true)]
async fn a_page_that_nobody_understands_hides_nothing_of_others_and_nothing_of_its_environment_is_listed_or_removed() {
    let rules = Rules { buckets: false, ..Rules::calm() };
    let mut odd = Life::begin(11, rules).await;
    let (account, fake) = (odd.account.clone(), odd.account.fake.clone());
    let mut sound = Life::on(account.clone(), "sound").await;
    bring_up(&mut odd).await;
    bring_up(&mut sound).await;
    let counted = of(&fake.truth(), OURS);
    let forgotten = Account { ledger: Arc::new(Pages::default()), ..account.clone() };
    let mut lost = Life::on(forgotten, "lost").await;
    bring_up(&mut lost).await;
    lost.stop();
    let all = of(&fake.truth(), OURS);
    let orphaned: BTreeSet<String> = all.difference(&counted).cloned().collect();
    tokio::time::sleep(LONG).await;

    let pages = account.ledger.read(std::slice::from_ref(&odd.environment)).await.expect("a ledger");
    let page = pages.into_iter().find(|page| page.key.starts_with("volume/")).expect("a volume's page");
    let change =
        PageChange { environment: page.environment, key: page.key, from: page.version, body: Some("{}".into()) };
    assert_eq!(account.ledger.write(&[change]).await, Ok(true));
    let has = |page: &str| format!("page “{page}” of environment {} cannot be read", odd.environment);
    // Its own table, and another one of the same account and region.
    for portal in [sound.portal(), &account.of_another("gpu").open().await] {
        let Orphans { found, left_out } = portal.orphans().await.expect("an answer");
        assert_eq!(ids(&found), orphaned, "what nobody counts on, and nothing else");
        let left_out = left_out.expect("somebody has to look");
        assert!(left_out.contains(&has("volume/data")), "{left_out}");
        let before = fake.touches();
        for orphan in as_orphans(&counted, &odd.environment) {
            let refused = portal.remove_orphan(&orphan).await;
            assert!(matches!(refused, Err(ProvisionError::Unknown { .. })), "{orphan:?}: {refused:?}");
        }
        assert_eq!(touches(&fake, &counted, &before), []);
    }
    let kept = (sound.environment.clone(), SnapshotId::new("kept"));
    assert_eq!(sound.portal().kept_snapshots().await, Ok(vec![kept]));
    assert_eq!(sound.portal().inventory().await, Ok(vec![sound.environment.clone()]));
}

/// Protected by somebody, or by a policy that lacks an action: it costs money, and its environment may be gone from sight.
#[tokio::test(start_paused = true)]
async fn what_was_to_go_and_amazon_does_not_let_go_is_told_of_with_the_reason() {
    let mut life = Life::begin(10, Rules { buckets: false, ..Rules::calm() }).await;
    bring_up(&mut life).await;
    let fake = life.account.fake.clone();
    fake.set_denied(["TerminateInstances", "DeleteVolume", "DeleteSnapshot"]);
    let ids = ["db", "web"].map(ServerId::new);
    let stops = ids.map(|server| Step::StopServer { server, generation: 1 });
    life.perform(&stops).await;
    let told = |server: &ObservedServer| server.trouble.as_deref().unwrap_or_default().to_owned();
    let refused = |server: &ObservedServer| told(server).contains("TerminateInstances");
    let observed = life.until("told", |observed| observed.servers.iter().all(refused)).await;
    assert!(told(&observed.servers[0]).contains("`bookend doctor ec2` says what is missing"), "{observed:?}");
    fake.set_denied(["DeleteVolume", "DeleteSnapshot"]);
    life.until("ended", |observed| observed.servers.is_empty()).await;
    let snapshot = SnapshotId::new("kept");
    life.perform(&[Step::DeleteSnapshot { snapshot }, Step::DeleteVolume { volume: VolumeId::new("data") }]).await;
    life.until("out of sight", |observed| observed.volumes.is_empty() && observed.snapshots.is_empty()).await;

    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(life.portal().orphans().await, Ok(Orphans::default()), "it is tried");
    tokio::time::sleep(Duration::from_secs(3900)).await;
    let overdue = life.portal().orphans().await.expect("an answer").found;
    let kinds: Vec<OrphanKind> = overdue.iter().map(|orphan| orphan.kind).collect();
    assert_eq!(kinds, [OrphanKind::Volume, OrphanKind::Snapshot]);
    for orphan in &overdue {
        assert!(orphan.about.ends_with(", which was to go long ago"), "{orphan:?}");
        let why = life.portal().remove_orphan(orphan).await.expect_err("refused").to_string();
        assert!(why.contains("UnauthorizedOperation") || why.contains("Bookend may not do this"), "{why}");
    }

    fake.set_denied([]);
    life.portal().remove_orphan(&overdue[0]).await.expect("it goes");
    tokio::time::sleep(LONG).await;
    assert_eq!(life.portal().orphans().await, Ok(Orphans::default()));
    let left = of(&fake.truth(), OURS);
    assert!(left.len() == 1 && left.iter().all(|id| id.starts_with("sg-")), "its network alone: {left:?}");
}
