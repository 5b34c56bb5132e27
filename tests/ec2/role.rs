//! A role in another account, which its owner gives to whoever names an external id.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_ec2::config::Credentials;
use ec2::amazon::Amazon;
use ec2::config::{AssumeRole, Config, Endpoints};
use ec2::{Ec2, PlaceError};
use fake_ec2::{Fake, Rules};
use provisioners::conformance::{effect, settled};
use provisioners::{EnvironmentId, Provisioner, Step, VolumeId, VolumePlan};
use tokio::net::TcpListener;

use super::amazon::{INSTALLATION, Pages, config, open};

const TWO_HOURS_MS: i64 = 2 * 3_600_000;
const LOOK: Duration = Duration::from_millis(20);

/// An Amazon that answers for EC2 and for STS.
struct Story {
    fake: Fake,
    address: String,
    ledger: Arc<Pages>,
}

impl Story {
    async fn begin() -> Story {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis();
        let start_ms = i64::try_from(now).expect("a clock");
        let fake = Fake::with_bodies(Rules { start_ms, ..Rules::calm() }, 1.0, None);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("its address"));
        tokio::spawn(fake_ec2::serve(fake.clone(), listener));
        Story { fake, address, ledger: Arc::default() }
    }

    fn config(&self, external_id: &str) -> Config {
        let role = AssumeRole {
            arn: "arn:aws:iam::444455556666:role/bookend".to_owned(),
            external_id: Some(external_id.to_owned()),
        };
        Config {
            endpoint: Some(self.address.clone()),
            endpoints: Endpoints { sts: Some(self.address.clone()), service_quotas: None },
            assume_role: Some(role),
            ..config()
        }
    }

    async fn portal(&self, config: Config) -> Result<Ec2, PlaceError> {
        let fake = self.fake.clone();
        let now = Arc::new(move || fake.now_ms());
        let amazon = connected(&config).await;
        open(config, amazon, self.ledger.clone(), INSTALLATION, now).await
    }
}

/// With credentials of the fake's first account.
async fn connected(config: &Config) -> Amazon {
    let credentials = Credentials::new("AKIAFAKEOURS", "secret", None, None, "a story");
    ec2::connect_as(config, Some(credentials)).await
}

#[tokio::test]
async fn what_a_portal_with_a_role_makes_is_in_the_account_that_gave_it() {
    let story = Story::begin().await;
    let portal = story.portal(story.config("bookend-444455556666")).await.expect("a region that can be used");
    let create = effect(&EnvironmentId::new("env"), &Step::CreateNetwork);
    assert_eq!(portal.request(&create).await, Ok(()));
    // It is made beside that.
    let made = || story.fake.truth().groups.into_iter().find(|one| one.name == "bookend-env");
    while made().is_none() {
        tokio::time::sleep(LOOK).await;
    }
    assert_eq!(made().map(|one| one.account), Some("444455556666".to_owned()));
}

#[tokio::test]
async fn a_role_that_is_not_given_with_this_external_id_is_told_at_the_start() {
    let story = Story::begin().await;
    let refused = story.portal(story.config("somebody-elses")).await.map(drop).expect_err("nobody gave it").to_string();
    assert!(refused.contains("not with this `external_id`"), "{refused}");
    assert!(refused.contains("is not authorized to perform: sts:AssumeRole"), "{refused}");
}

#[tokio::test]
async fn what_is_refused_for_credentials_that_have_expired_comes_with_new_ones_and_nobody_has_to_ask_again() {
    let story = Story::begin().await;
    let portal = story.portal(story.config("bookend-444455556666")).await.expect("a region that can be used");
    let environment = EnvironmentId::new("env");
    let volume = VolumePlan { id: VolumeId::new("data"), name: "data".to_owned(), size_bytes: 1 << 30, from: None };
    story.fake.advance(TWO_HOURS_MS);
    assert_eq!(portal.request(&effect(&environment, &Step::CreateVolume { volume })).await, Ok(()));
    // Amazon is asked for it meanwhile, in vain.
    for _ in 0..20 {
        let told = portal.observe(std::slice::from_ref(&environment)).await.expect_err("it cannot look").to_string();
        assert!(told.contains("an administrator has to look") && told.contains("RequestExpired"), "{told}");
        tokio::time::sleep(LOOK).await;
    }
    drop(portal);
    let portal = story.portal(story.config("bookend-444455556666")).await.expect("with a new session");
    assert_eq!(settled(&portal, &environment).await.volumes, [VolumeId::new("data")]);
}

#[tokio::test]
async fn an_endpoint_is_that_of_ec2_alone() {
    let story = Story::begin().await;
    // Where nobody answers.
    let endpoint = Some("http://127.0.0.1:9".to_owned());
    let amazon = connected(&Config { endpoint, ..story.config("bookend-444455556666") }).await;
    amazon.security_groups(&[]).await.expect_err("nobody answers for EC2");
    assert_eq!(story.fake.counts().of("AssumeRole"), 1, "STS is asked where it is");
}
