//! Volumes that begin with a snapshot's data: whoever uses them is told until when they read slowly.

use std::time::Duration;

use ec2::Ec2;
use ec2::buckets::Bucket;
use ec2::config::Config;
use fake_ec2::{Delays, Fake, Rules, Spread};
use provisioners::conformance::{effect, settled};
use provisioners::{
    EnvironmentId, Provisioner, ReadingIn, SnapshotId, SnapshotPlan, SnapshotVolume, Step, VolumeId, VolumePlan,
    VolumeSource,
};

use super::amazon::{Account, config};

/// Between Bookend's looks, and one for what is on its way.
const LOOKS: Duration = Duration::from_secs(17);
const GIB: u64 = 1 << 30;

/// An environment with a snapshot of one volume.
struct Story {
    account: Account,
    portal: Ec2,
    environment: EnvironmentId,
}

impl Story {
    async fn begin(config: Config) -> Story {
        // A volume of 10 GiB for ten minutes.
        let delays = Delays { reading_per_gib: Spread(60_000, 60_000), ..Delays::default() };
        let account = Account::new(Fake::new(Rules { delays, ..Rules::calm() }));
        let portal = account.open_with(config).await.expect("a region that can be used");
        let story = Story { account, portal, environment: EnvironmentId::new("cold") };
        story.ask(Step::CreateVolume { volume: plan("first", None) }).await;
        let volumes = vec![SnapshotVolume { volume: VolumeId::new("first"), name: "first".to_owned() }];
        story.ask(Step::CreateSnapshot { snapshot: SnapshotPlan { id: SnapshotId::new("kept"), volumes } }).await;
        story
    }

    async fn ask(&self, step: Step) {
        assert_eq!(self.portal.request(&effect(&self.environment, &step)).await, Ok(()), "{step:?}");
        settled(&self.portal, &self.environment).await;
    }

    /// Another volume, with what the snapshot holds.
    async fn restore(&self, name: &str) {
        let from = VolumeSource {
            environment: self.environment.clone(),
            snapshot: SnapshotId::new("kept"),
            volume: VolumeId::new("first"),
        };
        self.ask(Step::CreateVolume { volume: plan(name, Some(from)) }).await;
    }

    fn cold(&self) -> Vec<ReadingIn> {
        self.portal.reading_in(&self.environment)
    }

    fn looks(&self) -> u64 {
        self.account.fake.counts().of("DescribeVolumeStatus")
    }

    /// Amazon's volume of ours.
    fn volume(&self, name: &str) -> fake_ec2::TrueVolume {
        let truth = self.account.fake.truth();
        let mut ours =
            truth.volumes.into_iter().filter(|one| one.tags.get("bookend:volume").is_some_and(|of| of == name));
        ours.next().expect("a volume")
    }
}

fn plan(name: &str, from: Option<VolumeSource>) -> VolumePlan {
    VolumePlan { id: VolumeId::new(name), name: name.to_owned(), size_bytes: 10 * GIB, from }
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_told_to_read_slowly_until_its_snapshot_is_read_in_and_is_not_asked_about_again() {
    let story = Story::begin(config()).await;
    assert_eq!(story.cold(), [], "what began empty is never slow");
    story.restore("second").await;
    tokio::time::sleep(LOOKS + Duration::from_secs(5 * 60)).await;
    match story.cold().as_slice() {
        [ReadingIn { volume, percent: Some(50..=55), until: None }] if volume.as_str() == "second" => {}
        other => panic!("{other:?}"),
    }
    tokio::time::sleep(Duration::from_secs(5 * 60)).await;
    assert_eq!(story.cold(), []);

    // Neither by this portal nor by the next one, which knows nothing but the ledger.
    let looks = story.looks();
    let portal = story.account.open_with(config()).await.expect("the same region");
    settled(&portal, &story.environment).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!((portal.reading_in(&story.environment), story.looks()), (vec![], looks));
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_is_asked_for_tells_when_it_is_done_and_what_exceeds_the_accounts_limit_is_read_in_as_amazon_likes()
{
    let story = Story::begin(Config { volume_initialization_mib_per_second: Some(300), ..config() }).await;
    // 16 times 300 MiB a second are the last that 5,000 allow.
    for number in 0..17 {
        story.restore(&format!("copy-{number}")).await;
    }
    let rates: Vec<Option<i64>> = (0..17).map(|number| story.volume(&format!("copy-{number}")).reading_rate).collect();
    assert_eq!(rates, [vec![Some(300); 16], vec![None]].concat());
    tokio::time::sleep(LOOKS).await;
    let now = story.account.fake.now_ms();
    let cold = story.cold();
    assert_eq!(cold.len(), 17);
    for one in &cold {
        match (one.volume.as_str(), one.until) {
            ("copy-16", until) => assert_eq!(until, None),
            // 10 GiB take 34 s.
            (name, until) => assert!(until.is_some_and(|until| until < now + 35_000), "{name}: {until:?} at {now}"),
        }
    }
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(story.cold().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_another_reason_than_a_limit_is_not_asked_for_in_another_way() {
    let story = Story::begin(Config { volume_initialization_mib_per_second: Some(300), ..config() }).await;
    let calls = || story.account.fake.counts().of("CreateVolume");
    let before = calls();
    story.account.fake.set_denied(["CreateVolume"]);
    story.restore("second").await;
    tokio::time::sleep(LOOKS).await;
    assert_eq!(calls() - before, 1, "a call with a token of its own may bring another volume");
}

#[tokio::test(start_paused = true)]
async fn many_volumes_are_asked_about_together_and_one_that_is_gone_hides_no_other() {
    let story = Story::begin(config()).await;
    for number in 0..40 {
        story.restore(&format!("copy-{number}")).await;
    }
    let before = story.looks();
    tokio::time::sleep(LOOKS).await;
    assert!(story.looks() - before <= 2, "{} calls for 40 volumes", story.looks() - before);

    // Somebody else deletes one of them.
    let gone = story.volume("copy-7").id;
    let amazon = story.account.amazon();
    let paid = amazon.buckets.acquire(&[(Bucket::Call("DeleteVolume"), 1)]).await;
    amazon.delete_volume(paid, &gone).await.expect("it is deleted");
    tokio::time::sleep(LOOKS).await;
    let cold = story.cold();
    assert_eq!(cold.len(), 39, "{cold:?}");
    assert!(cold.iter().all(|one| one.percent.is_some() && one.volume.as_str() != "copy-7"));
}
