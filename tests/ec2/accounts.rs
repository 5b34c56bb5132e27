//! One portal, two accounts side by side: each a table with a profile, as an operator writes them.

use std::collections::BTreeSet;

use fake_ec2::{Fake, Rules};
use provisioners::EnvironmentId;
use serde_json::Value;
use tests::amazon::{self, table};
use tests::{Outcome, Setting};

use super::place::left;

const OURS: &str = "111122223333";
const THEIRS: &str = "444455556666";

const PROFILES: &str = r#"
[first]
aws_access_key_id = AKIAFAKEOURS
aws_secret_access_key = is-not-looked-at

[second]
aws_access_key_id = AKIAFAKETHEIRS
aws_secret_access_key = is-not-looked-at
"#;

/// Two servers with a volume each.
const PAIR: &str = r#"
name: NAME
version: "1.0.0"
title: Pair
summary: Two servers with something on volumes.
category: Basics
provisioner: NAME
servers:
  one: {}
  two: {}
volumes:
  shelf: {size: 1 GiB, mounts: {one: /shelf}}
  drawer: {size: 1 GiB, mounts: {two: /drawer}}
"#;

/// A portal with these tables, each by its name and profile, on whose machine somebody has set keys of the first account besides.
pub async fn setting_on(fake: &Fake, tables: &[(&str, &str)]) -> Outcome<Setting> {
    let endpoint = amazon::listen(fake).await?;
    let of =
        |(name, profile): &(&str, &str)| table(name, "eu-central-1", &endpoint) + &format!("profile = \"{profile}\"\n");
    let mut setting = Setting::new()?.provisioners(&tables.iter().map(of).collect::<String>())?;
    for (name, _) in tables {
        setting = setting.template(name, &PAIR.replace("NAME", name))?;
    }
    let profiles = setting.home().join("credentials");
    std::fs::write(&profiles, PROFILES)?;
    let setting = setting.variable("AWS_SHARED_CREDENTIALS_FILE", &profiles.display().to_string());
    Ok(setting.variable("AWS_CONFIG_FILE", "/dev/null"))
}

/// In which accounts there is something of an environment, and how many servers.
fn accounts_of(fake: &Fake, environment: &str) -> (BTreeSet<String>, usize) {
    let truth = fake.truth();
    let of = |tags: &std::collections::BTreeMap<String, String>| {
        tags.get("bookend:environment").is_some_and(|of| of == environment)
    };
    let servers: Vec<&str> =
        truth.instances.iter().filter(|one| one.is_alive() && of(&one.tags)).map(|one| one.account.as_str()).collect();
    let volumes = truth.volumes.iter().filter(|one| one.is_alive() && of(&one.tags)).map(|one| one.account.as_str());
    let groups = truth.groups.iter().filter(|one| one.is_alive() && of(&one.tags)).map(|one| one.account.as_str());
    (servers.iter().copied().chain(volumes).chain(groups).map(str::to_owned).collect(), servers.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ordered_from_each_of_two_accounts_is_in_that_one_and_neither_is_touched_through_the_other() -> Outcome
{
    let fake = Fake::new(Rules::calm());
    let portal = setting_on(&fake, &[("ours", "first"), ("theirs", "second")]).await?.start().await?;
    let api = portal.administrator().await?;
    let id = |ordered: &Value| ordered["id"].as_str().map(str::to_owned).ok_or("It has no id.");
    let (ours, theirs) = (id(&api.order("ours", "near").await?)?, id(&api.order("theirs", "far").await?)?);
    for (environment, account) in [(&ours, OURS), (&theirs, THEIRS)] {
        let only = (BTreeSet::from([account.to_owned()]), 2);
        while accounts_of(&fake, environment) != only {
            let told = accounts_of(&fake, environment);
            assert!(told.0.is_subset(&only.0), "{told:?}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    // One of them goes, and the other is as it was.
    api.act("near", "delete").await?;
    api.await_state(&ours, "deleted").await?;
    assert_eq!(left(&fake.truth(), &EnvironmentId::new(ours)), Vec::<String>::new());
    assert_eq!(accounts_of(&fake, &theirs), (BTreeSet::from([THEIRS.to_owned()]), 2));
    // Nobody of one account was ever asked about what is of the other.
    let truth = fake.truth();
    let instances = truth.instances.iter().map(|one| (&one.id, &one.account));
    let volumes = truth.volumes.iter().map(|one| (&one.id, &one.account));
    let groups = truth.groups.iter().map(|one| (&one.id, &one.account));
    for (id, account) in instances.chain(volumes).chain(groups) {
        let by_another: Vec<_> = fake.touches_of(id).into_iter().filter(|touch| touch.account != *account).collect();
        assert_eq!(by_another, [], "{id} is of {account}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_is_not_there_or_holds_nothing_is_told_at_the_start() -> Outcome {
    let fake = Fake::new(Rules::calm());
    let said = setting_on(&fake, &[("ours", "firts")]).await?.refusal().await?;
    assert!(said.contains("[ec2.ours]") && said.contains("`profile` is \"firts\""), "{said}");
    assert!(said.contains("profile `firts` was not defined") && said.contains("~/.aws/credentials"), "{said}");
    let known: u64 = fake.counts().calls.values().sum();
    assert_eq!(known, 0, "nobody else's credentials were tried");
    Ok(())
}
