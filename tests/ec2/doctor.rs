//! `bookend doctor ec2`: what is missing is said before anybody orders, and asking changes nothing.

use ec2::config::{Config, Size};
use ec2::doctor::{Finding, Known, examine, policy};
use fake_ec2::{Fake, Rules};

use super::amazon::{ACCESS_KEY, Account, INSTALLATION, config, keeps_warm};
use super::orphans::bring_up;
use super::seeds::Life;

const PORTAL: &str = "https://bookend.example.com";

async fn missing(account: &Account, config: &Config) -> Vec<String> {
    let findings = examine(&account.amazon(), &account.quotas(), config, Some(PORTAL), None).await;
    let missing = findings.into_iter().filter(|finding| !finding.fine);
    missing.map(|Finding { about, found, .. }| format!("{about}: {found}")).collect()
}

#[tokio::test(start_paused = true)]
async fn in_a_region_that_can_be_used_nothing_is_missing_and_nothing_is_made() {
    let account = Account::new(Fake::new(Rules::calm()));
    assert_eq!(missing(&account, &config()).await, Vec::<String>::new());
    let truth = account.fake.truth();
    assert_eq!((truth.instances.len(), truth.volumes.len()), (0, 0));
    assert!(truth.groups.iter().all(|group| group.name == "default"), "{:?}", truth.groups);
}

#[tokio::test(start_paused = true)]
async fn each_permission_that_is_missing_is_named() {
    let account = Account::new(Fake::new(Rules::calm()));
    account.fake.set_denied(["DescribeVolumes", "RunInstances", "CreateSecurityGroup", "DescribeImages"]);
    let missing = missing(&account, &config()).await;
    let allow = |call: &str| {
        format!("not allowed: give these credentials ec2:{call} (`bookend doctor ec2 --policy` prints all it takes)")
    };
    let wanted = [
        format!("looking at volumes: {}", allow("DescribeVolumes")),
        format!("image “host”: {}", allow("DescribeImages")),
        format!("making security groups: {}", allow("CreateSecurityGroup")),
    ];
    assert_eq!(missing, wanted, "a launch cannot be rehearsed without an image");
    account.fake.set_denied(["RunInstances"]);
    assert_eq!(self::missing(&account, &config()).await, [format!("launching servers: {}", allow("RunInstances"))]);
}

/// As a large company's administrators keep its accounts from making what they do not want.
#[tokio::test(start_paused = true)]
async fn what_an_organization_forbids_is_told_as_that_and_not_as_a_permission_to_give() {
    let account = Account::new(Fake::new(Rules::calm()));
    let allow = r#"{ "Effect": "Allow", "Action": "*", "Resource": "*" }"#;
    let deny = r#"{ "Effect": "Deny", "Action": "ec2:RunInstances", "Resource": "arn:aws:ec2:*:*:volume/*" }"#;
    let all_but_servers = format!(r#"{{ "Version": "2012-10-17", "Statement": [{allow}, {deny}] }}"#);
    account.fake.set_organization(Some(&all_but_servers)).expect("a policy that is understood");
    let change = "whatever permissions these credentials are given";
    let wanted = format!(
        "launching servers: not allowed: a service control policy forbids ec2:RunInstances, {change}: whoever administers the \
         organization that the account is in has to change it"
    );
    assert_eq!(missing(&account, &config()).await, [wanted]);

    // As where an organization lists what may be, and where the credentials' own policy denies something.
    let looks = allow.replace("\"*\", \"R", "[\"ec2:Describe*\", \"ec2:GetEbs*\", \"servicequotas:*\"], \"R");
    let looks = format!(r#"{{ "Version": "2012-10-17", "Statement": [{looks}] }}"#);
    account.fake.set_organization(Some(&looks)).expect("a policy that is understood");
    let told = missing(&account, &config()).await;
    assert!(
        told[0].contains("making volumes: not allowed: a service control policy forbids ec2:CreateVolume"),
        "{told:#?}"
    );
    account.fake.set_organization(None).expect("no policy");
    account.fake.set_policy(ACCESS_KEY, Some(&all_but_servers)).expect("a policy that is understood");
    let wanted = format!(
        "launching servers: not allowed: an identity-based policy forbids ec2:RunInstances, {change}: it has to be changed"
    );
    assert_eq!(missing(&account, &config()).await, [wanted]);
}

/// As a doctor that is not told of the portal's database: what it rehearses carries nobody's tag.
#[tokio::test(start_paused = true)]
async fn whoever_has_a_policy_for_one_portal_alone_is_told_to_name_it() {
    let account = Account::new(Fake::new(Rules::calm()));
    let known = Known { installation: Some(INSTALLATION.to_owned()), ..Known::default() };
    let policy = policy([&config()], &known).to_string();
    account.fake.set_policy(ACCESS_KEY, Some(&policy)).expect("a policy that is understood");
    let told = missing(&account, &config()).await.pop().expect("nothing may be made");
    assert!(told.starts_with("whose portal it is for: not known") && told.contains("--database-url"), "{told}");
    let findings = examine(&account.amazon(), &account.quotas(), &config(), Some(PORTAL), Some(INSTALLATION)).await;
    assert!(findings.iter().all(|finding| finding.fine), "{findings:#?}");
}

const STANDARD: &str = "processors at once of Standard (A, C, D, H, I, M, R, T, Z)";

async fn told(account: &Account, config: &Config, about: &str) -> String {
    let findings = examine(&account.amazon(), &account.quotas(), config, Some(PORTAL), None).await;
    let told = findings.iter().find(|finding| finding.about == about).map(|one| one.found.clone());
    told.unwrap_or_else(|| panic!("nothing is said of {about}: {findings:#?}"))
}

#[tokio::test(start_paused = true)]
async fn an_account_that_may_not_have_a_single_server_of_a_size_is_told_where_to_ask_for_more() {
    let account = Account::new(Fake::new(Rules::calm()));
    account.fake.set_vcpu_limit(Some(1));
    let wanted = "1, and one m6i.large alone has 2: ask Amazon for more at Service Quotas (L-1216C47A)";
    assert_eq!(missing(&account, &config()).await.first(), Some(&format!("{STANDARD}: {wanted}")));
    account.fake.set_vcpu_limit(Some(32));
    let wanted = "32, as many as 16 of t3.small; ask Amazon for more at Service Quotas (L-1216C47A)";
    assert_eq!(told(&account, &config(), STANDARD).await, wanted);
    account.fake.set_denied(["GetServiceQuota"]);
    let wanted = "not allowed: give these credentials servicequotas:GetServiceQuota";
    assert_eq!(
        missing(&account, &config()).await,
        [format!("{STANDARD}: {wanted}"), format!("{STANDARD}, spot: {wanted}")]
    );
}

#[tokio::test(start_paused = true)]
async fn each_limit_that_a_configured_type_counts_for_is_looked_at_and_no_other() {
    let account = Account::new(Fake::new(Rules::calm()));
    let mut config = config();
    config.sizes.push(Size { types: vec!["g5.xlarge".to_owned()] });
    account.fake.set_quota("L-DB2E81BA", 0);
    account.fake.set_quota("L-34B43A08", 5);
    account.fake.set_quota("L-3819A6DF", 2);
    let wanted = "processors at once of G and VT: 0, and one g5.xlarge alone has 4: ask Amazon for more at Service Quotas \
                  (L-DB2E81BA)";
    assert_eq!(missing(&account, &config).await, [wanted]);
    let spot = "5, as many as 2 of t3.small; ask Amazon for more at Service Quotas (L-34B43A08)";
    assert_eq!(told(&account, &config, &format!("{STANDARD}, spot")).await, spot);
    let spot = "2, and one g5.xlarge alone has 4: where a template says `spot: true` it comes on demand instead; ask Amazon \
                for more at Service Quotas (L-3819A6DF)";
    assert_eq!(told(&account, &config, "processors at once of G and VT, spot").await, spot);
    let findings = examine(&account.amazon(), &account.quotas(), &config, Some(PORTAL), None).await;
    let limits = findings.iter().filter(|finding| finding.about.starts_with("processors")).count();
    assert_eq!(limits, 4);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_be_passed_is_named_as_it_is_called_and_not_as_its_profile() {
    let account = Account::new(Fake::new(Rules::calm()));
    let config = Config { instance_profile: Some("servers".to_owned()), ..config() };
    assert_eq!(missing(&account, &config).await, Vec::<String>::new());
    account.fake.set_denied(["PassRole"]);
    let wanted = "launching servers: not allowed: give these credentials iam:PassRole for \
                  arn:aws:iam::111122223333:role/servers-role (`bookend doctor ec2 --policy` prints it; write `instance_role` \
                  where the role is not called as its profile)";
    assert_eq!(missing(&account, &config).await, [wanted]);
}

#[tokio::test(start_paused = true)]
async fn what_is_configured_and_not_there_is_said_with_what_to_do() {
    let account = Account::new(Fake::new(Rules::calm()));
    let mut config = config();
    config.images.get_mut("host").expect("an image").name = "no-such-image-*".to_owned();
    config.sizes[0].types.push("z9.huge".to_owned());
    config.security_groups = vec!["sg-00000000000000000".to_owned()];
    config.portal_networks.clear();
    config.portal_url = Some("not a url".to_owned());
    let missing = missing(&account, &config).await;
    let has = |text: &str| assert!(missing.iter().any(|one| one.contains(text)), "{text} is not in {missing:#?}");
    has("amazon has no image named \"no-such-image-*\"");
    has("z9.huge");
    has("extra security groups: `security_groups` has sg-00000000000000000, which this account has not in this region");
    has("`portal_url` is \"not a url\"");
}

#[tokio::test(start_paused = true)]
async fn whichever_permission_is_taken_away_from_a_portal_with_an_environment_is_named_and_nothing_changes() {
    let mut life = Life::begin(7, Rules::calm()).await;
    bring_up(&mut life).await;
    let account = life.account.clone();
    assert_eq!(missing(&account, &keeps_warm()).await, Vec::<String>::new());
    let before = account.fake.touches();
    let policy = policy(None, &Known::default());
    let actions = policy["Statement"].as_array().expect("statements").iter().flat_map(|statement| {
        let action = &statement["Action"];
        action.as_array().cloned().unwrap_or_else(|| vec![action.clone()])
    });
    for action in actions {
        let action = action.as_str().expect("an action");
        let (_, call) = action.split_once(':').expect("a service");
        account.fake.set_denied([call]);
        let missing = missing(&account, &keeps_warm()).await;
        assert!(
            missing.iter().any(|one| one.contains(&format!("give these credentials {action}"))),
            "{action}: {missing:?}"
        );
    }
    assert_eq!(account.fake.touches(), before);
}
