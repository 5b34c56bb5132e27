//! Snapshots that are kept warm for a while: volumes that begin with one are at full speed at once, it is on for as long as somebody
//! pays for it and no longer, and whoever asked is told how it stands.

use std::sync::Arc;
use std::time::Duration;

use ec2::Ec2;
use ec2::buckets::Bucket;
use ec2::config::Config;
use fake_ec2::{Delays, Fake, Faults, Rules, Spread, TrueFastRestore, TrueVolume};
use provisioners::conformance::{effect, settled};
use provisioners::{
    EnvironmentId, Ledger, PageChange, ProvisionError, Provisioner, SnapshotId, SnapshotPlan, SnapshotVolume, Step,
    VolumeId, VolumePlan, VolumeSource, WarmOffer, Warmth,
};

use super::amazon::{Account, Pages, Trouble, config, keeps_warm};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// Twice as long as Amazon may show the past.
const LAG: Duration = Duration::from_secs(11 * 60);

/// An environment with a snapshot of some volumes, which takes half an hour to be on.
struct Story {
    account: Account,
    environment: EnvironmentId,
}

impl Story {
    async fn begin(volumes: usize) -> (Story, Ec2) {
        let delays = Delays {
            fast_restore: Spread(30 * 60_000, 30 * 60_000),
            reading_per_gib: Spread(60_000, 60_000),
            ..Delays::default()
        };
        let account = Account::new(Fake::new(Rules { delays, ..Rules::calm() }));
        let story = Story { account, environment: EnvironmentId::new("hurried") };
        let portal = story.open().await;
        story.take(&portal, volumes).await;
        (story, portal)
    }

    async fn take(&self, portal: &Ec2, volumes: usize) {
        let names: Vec<String> = (0..volumes).map(|number| format!("data-{number}")).collect();
        for name in &names {
            ask(portal, &self.environment, Step::CreateVolume { volume: plan(name, None) }).await;
        }
        let kept = |name: &String| SnapshotVolume { volume: VolumeId::new(name.clone()), name: name.clone() };
        let snapshot = SnapshotPlan { id: kept_id(), volumes: names.iter().map(kept).collect() };
        ask(portal, &self.environment, Step::CreateSnapshot { snapshot }).await;
    }

    async fn open(&self) -> Ec2 {
        self.open_with(keeps_warm()).await
    }

    async fn open_with(&self, config: Config) -> Ec2 {
        self.account.open_with(config).await.expect("a region that can be used")
    }

    fn in_hours(&self, hours: i64) -> Option<i64> {
        Some(self.account.fake.now_ms() + hours * 3_600_000)
    }

    async fn keep(&self, portal: &Ec2, until: Option<i64>) -> Result<(), ProvisionError> {
        portal.keep_warm(&self.environment, &kept_id(), until).await
    }

    async fn told(&self, portal: &Ec2) -> Option<Warmth> {
        let all = portal.kept_warm(&self.environment).await.expect("an answer");
        all.into_iter().next().map(|kept| kept.state)
    }

    /// What is really on.
    fn on(&self) -> Vec<TrueFastRestore> {
        self.account.fake.truth().fast_restores
    }

    /// Another volume, with what the snapshot holds.
    async fn restore(&self, portal: &Ec2, name: &str) -> TrueVolume {
        let (environment, snapshot) = (self.environment.clone(), kept_id());
        let from = VolumeSource { environment, snapshot, volume: VolumeId::new("data-0") };
        ask(portal, &self.environment, Step::CreateVolume { volume: plan(name, Some(from)) }).await;
        let volumes = self.account.fake.truth().volumes.into_iter();
        let mut ours = volumes.filter(|one| one.tags.get("bookend:volume").is_some_and(|of| of == name));
        ours.next().expect("a volume")
    }
}

fn kept_id() -> SnapshotId {
    SnapshotId::new("kept")
}

fn plan(name: &str, from: Option<VolumeSource>) -> VolumePlan {
    VolumePlan { id: VolumeId::new(name), name: name.to_owned(), size_bytes: 10 << 30, from }
}

async fn ask(portal: &Ec2, environment: &EnvironmentId, step: Step) {
    assert_eq!(portal.request(&effect(environment, &step)).await, Ok(()), "{step:?}");
    settled(portal, environment).await;
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_becomes_warm_and_what_begins_with_it_then_is_never_slow_nor_asked_a_rate_for() {
    let (story, portal) = Story::begin(2).await;
    drop(portal);
    let portal = story.open_with(Config { volume_initialization_mib_per_second: Some(100), ..keeps_warm() }).await;
    let early = story.restore(&portal, "early").await;
    assert_eq!((early.reading_rate, early.fast_restored), (Some(100), false));
    let offer = portal.warm_offer(&story.environment, 2).expect("an offer");
    assert_eq!(offer, WarmOffer { zones: vec![early.zone.clone()], hour_cents: 150 });
    assert_eq!(story.told(&portal).await, None);

    story.keep(&portal, story.in_hours(4)).await.expect("it is accepted");
    pass(MINUTE).await;
    let preparing = |doing: &str| Some(Warmth::Preparing { doing: doing.to_owned() });
    assert_eq!(story.told(&portal).await, preparing("being switched on"));
    pass(10 * MINUTE).await;
    assert_eq!(story.told(&portal).await, preparing("optimising"));
    let on: Vec<(String, bool)> =
        story.on().into_iter().map(|one| (one.zone.clone(), one.zone == early.zone)).collect();
    assert_eq!(on, vec![(early.zone.clone(), true); 2], "both volumes' snapshots, in one zone");
    pass(20 * MINUTE).await;
    assert_eq!(story.told(&portal).await, Some(Warmth::Ready));
    let kept = portal.kept_warm(&story.environment).await.expect("an answer");
    assert_eq!(kept[0].offer, offer);

    let quick = story.restore(&portal, "quick").await;
    assert_eq!((quick.reading_rate, quick.fast_restored), (None, true));
    let cold = portal.reading_in(&story.environment);
    assert!(cold.iter().all(|one| one.volume.as_str() != "quick"), "{cold:?}");

    pass(4 * HOUR).await;
    assert_eq!((story.on(), story.told(&portal).await), (vec![], Some(Warmth::Ended)));
    assert_eq!(story.restore(&portal, "late").await.reading_rate, Some(100));
    let looks = story.account.fake.counts().of("DescribeFastSnapshotRestores");
    pass(MINUTE * 50).await;
    assert!(story.account.fake.counts().of("DescribeFastSnapshotRestores") <= looks + 1, "nobody asks about nothing");
    story.keep(&portal, story.in_hours(1)).await.expect("and again");
    pass(MINUTE).await;
    assert_eq!(story.on().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn it_ends_at_its_hour_by_another_portal_and_earlier_or_later_when_somebody_says_so() {
    let (story, portal) = Story::begin(1).await;
    story.keep(&portal, story.in_hours(2)).await.expect("it is accepted");
    pass(MINUTE).await;
    assert_eq!(story.on().len(), 1);
    story.keep(&portal, story.in_hours(3)).await.expect("another hour");
    drop(portal);
    pass(HOUR).await;
    let portal = story.open().await;
    pass(2 * HOUR - 2 * MINUTE).await;
    assert_eq!((story.on().len(), story.told(&portal).await), (1, Some(Warmth::Ready)));
    pass(3 * MINUTE).await;
    assert_eq!((story.on(), story.told(&portal).await), (vec![], Some(Warmth::Ending)));
    let again = story.keep(&portal, story.in_hours(1)).await;
    assert!(
        matches!(again, Err(ProvisionError::Retryable { .. })),
        "what still may be shown is not begun anew: {again:?}"
    );
    pass(LAG).await;
    assert_eq!(story.told(&portal).await, Some(Warmth::Ended));

    story.keep(&portal, story.in_hours(100)).await.expect("it is accepted");
    pass(HOUR).await;
    story.keep(&portal, None).await.expect("it is accepted");
    story.keep(&portal, None).await.expect("as often as anybody likes");
    pass(MINUTE).await;
    assert_eq!(story.on(), vec![]);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_nobody_understands_keeps_nothing_of_others_on_and_what_may_be_wanted_by_it_is_not_ended() {
    let (odd, portal) = Story::begin(1).await;
    let sound = Story { account: odd.account.clone(), environment: EnvironmentId::new("sound") };
    sound.take(&portal, 2).await;
    odd.keep(&portal, odd.in_hours(24)).await.expect("it is accepted");
    pass(MINUTE).await;
    let pages = odd.account.ledger.read(std::slice::from_ref(&odd.environment)).await.expect("a ledger");
    let page = pages.into_iter().find(|page| page.key == "snapshot/kept").expect("a snapshot's page");
    let write = async |from: i64, body: &str| {
        let change = PageChange {
            environment: odd.environment.clone(),
            key: page.key.clone(),
            from,
            body: Some(body.to_owned()),
        };
        assert_eq!(odd.account.ledger.write(&[change]).await, Ok(true));
    };
    write(page.version, "{}").await;
    sound.keep(&portal, sound.in_hours(1)).await.expect("it is accepted");
    pass(MINUTE).await;
    assert_eq!(sound.on().len(), 3);
    pass(HOUR).await;
    assert_eq!(sound.on().len(), 1, "what is over ends");
    drop(portal);
    let portal = odd.open().await;
    pass(3 * HOUR).await;
    assert_eq!(odd.on().len(), 1, "what may be wanted stays");

    write(page.version + 1, &page.body).await;
    pass(21 * HOUR).await;
    assert_eq!(odd.on(), []);
    assert_eq!(odd.told(&portal).await, Some(Warmth::Ended));
}

#[tokio::test(start_paused = true)]
async fn exactly_what_is_wanted_is_on_with_a_portal_killed_or_a_connection_cut_at_every_moment() {
    for trouble in [Trouble::Kill, Trouble::Break] {
        let mut moments = 0;
        loop {
            let (story, portal) = Story::begin(2).await;
            let until = story.in_hours(1);
            story.account.moments.arm(trouble, moments);
            let asked = async {
                while story.keep(&portal, until).await.is_err() {
                    pass(MINUTE).await;
                }
                pass(2 * MINUTE).await;
                while story.keep(&portal, None).await.is_err() {
                    pass(MINUTE).await;
                }
                pass(LAG).await;
            };
            tokio::select! {
                () = asked => {}
                () = story.account.moments.killed() => {}
            }
            let struck = story.account.moments.struck();
            drop(portal);
            story.account.moments.disarm();
            let next = story.open().await;
            pass(2 * MINUTE).await;
            let wanted = match story.told(&next).await {
                Some(Warmth::Preparing { .. } | Warmth::Ready) => 2,
                None | Some(Warmth::Ending | Warmth::Ended) => 0,
                other => panic!("{other:?}"),
            };
            assert_eq!(story.on().len(), wanted, "{trouble:?} at moment {moments}");
            pass(HOUR).await;
            assert_eq!(story.on(), vec![], "{trouble:?} at moment {moments}: it never outlives its hours");
            if !struck {
                break;
            }
            moments += 1;
        }
        assert!(moments >= 12, "only {moments} moments: where have the others gone?");
    }
}

#[tokio::test(start_paused = true)]
async fn it_goes_with_its_snapshot_and_with_nobody_who_remembers_it() {
    let (story, portal) = Story::begin(1).await;
    story.keep(&portal, story.in_hours(100)).await.expect("it is accepted");
    pass(HOUR).await;
    ask(&portal, &story.environment, Step::DeleteSnapshot { snapshot: kept_id() }).await;
    pass(MINUTE).await;
    assert_eq!((story.on(), story.told(&portal).await), (vec![], None));
    assert!(story.keep(&portal, story.in_hours(1)).await.is_err());

    // A database that was set back knows nothing of it.
    let (story, portal) = Story::begin(1).await;
    story.keep(&portal, story.in_hours(100)).await.expect("it is accepted");
    pass(HOUR).await;
    drop(portal);
    let stranger = foreign(&story).await;
    assert_eq!(story.on().len(), 2);
    let lost = Account { ledger: Arc::new(Pages::default()), ..story.account.clone() };
    let _portal = lost.open_with(keeps_warm()).await.expect("a region that can be used");
    pass(MINUTE).await;
    let left: Vec<String> = story.on().into_iter().map(|one| one.snapshot).collect();
    assert_eq!(left, [stranger], "what is not ours stays");
}

#[tokio::test(start_paused = true)]
async fn what_another_provisioner_of_the_account_wants_stays_on_until_its_hour() {
    let (story, portal) = Story::begin(1).await;
    story.keep(&portal, story.in_hours(3)).await.expect("it is accepted");
    pass(HOUR).await;
    drop(portal);
    let renamed = story.account.of_another("renamed");
    let _portal = renamed.open_with(keeps_warm()).await.expect("a region that can be used");
    pass(HOUR).await;
    assert_eq!(story.on().len(), 1);
    pass(2 * HOUR).await;
    assert_eq!(story.on(), vec![], "whoever finds it ends it");
}

/// Fast restore of somebody else's snapshot in the same account.
async fn foreign(story: &Story) -> String {
    let theirs = Account::of(story.account.fake.clone(), "somebody-else");
    let portal = theirs.open_with(keeps_warm()).await.expect("a region that can be used");
    let environment = EnvironmentId::new("theirs");
    ask(&portal, &environment, Step::CreateVolume { volume: plan("theirs", None) }).await;
    let volumes = vec![SnapshotVolume { volume: VolumeId::new("theirs"), name: "theirs".to_owned() }];
    ask(&portal, &environment, Step::CreateSnapshot { snapshot: SnapshotPlan { id: kept_id(), volumes } }).await;
    let until = story.in_hours(100);
    portal.keep_warm(&environment, &kept_id(), until).await.expect("it is accepted");
    pass(MINUTE).await;
    let on = story.on().into_iter().max_by_key(|one| one.asked_ms).expect("theirs");
    on.snapshot
}

#[tokio::test(start_paused = true)]
async fn what_amazon_refuses_is_told_and_nothing_of_it_stays_on() {
    // Six at once, and Amazon has five.
    let (story, portal) = Story::begin(6).await;
    story.keep(&portal, story.in_hours(5)).await.expect("it is accepted");
    pass(2 * MINUTE).await;
    match story.told(&portal).await {
        Some(Warmth::Refused { reason }) => assert_eq!(
            reason,
            "Amazon refused: You have fast snapshot restore for 5 snapshots. (FastSnapshotRestoreLimitExceeded)."
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(story.on(), vec![], "half of it is worth nothing");

    let (story, portal) = Story::begin(1).await;
    story.account.fake.set_denied(["EnableFastSnapshotRestores"]);
    story.keep(&portal, story.in_hours(5)).await.expect("it is accepted");
    pass(2 * MINUTE).await;
    let refused = story.told(&portal).await;
    assert!(
        matches!(&refused, Some(Warmth::Refused { reason }) if reason.contains("may not do this on Amazon")),
        "{refused:?}"
    );
    story.account.fake.set_denied([]);
    pass(LAG).await;
    story.keep(&portal, story.in_hours(5)).await.expect("a new try");
    pass(2 * MINUTE).await;
    assert_eq!(story.on().len(), 1);

    // Somebody else ends it.
    let amazon = story.account.amazon();
    let paid = amazon.buckets.acquire(&[(Bucket::Call("DisableFastSnapshotRestores"), 1)]).await;
    let (ids, zones) = ([story.on()[0].snapshot.clone()], [story.on()[0].zone.clone()]);
    amazon.disable_fast_restores(paid, &ids, &zones).await.expect("it is disabled");
    pass(LAG).await;
    let refused = story.told(&portal).await;
    assert!(matches!(&refused, Some(Warmth::Refused { reason }) if reason.contains("off again")), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn it_is_on_and_off_in_the_end_on_an_amazon_where_everything_goes_wrong() {
    let (story, portal) = Story::begin(3).await;
    story.account.fake.set_faults(Faults::everywhere(0.3));
    story.keep(&portal, story.in_hours(2)).await.expect("it is accepted");
    pass(HOUR).await;
    assert_eq!((story.on().len(), story.told(&portal).await), (3, Some(Warmth::Ready)));
    pass(HOUR + 30 * MINUTE).await;
    assert_eq!(story.on(), vec![]);
}

#[tokio::test(start_paused = true)]
async fn where_no_operator_allows_it_it_is_neither_offered_nor_looked_for_and_what_is_on_ends_at_its_hour() {
    let (story, portal) = Story::begin(1).await;
    story.keep(&portal, story.in_hours(2)).await.expect("it is accepted");
    pass(MINUTE).await;
    drop(portal);
    let portal = story.open_with(config()).await;
    assert_eq!(portal.warm_offer(&story.environment, 1), None);
    pass(2 * HOUR).await;
    assert_eq!(story.on(), vec![]);
    pass(LAG).await;
    let looks = story.account.fake.counts().of("DescribeFastSnapshotRestores");
    assert!(matches!(story.keep(&portal, story.in_hours(2)).await, Err(ProvisionError::Rejected { .. })));
    pass(5 * HOUR).await;
    assert_eq!(story.account.fake.counts().of("DescribeFastSnapshotRestores"), looks);
}
