//! Who reaches whom: an environment's servers each other and the portal, and nobody else, in either direction. Those whose
//! template says `internet: true` have a second security group, one for all of the VPC, that lets everything out.
//!
//! Security groups do not hold back Amazon's name service, clock and instance metadata (VPC user guide, "Control traffic to your
//! AWS resources using security groups"), so names resolve without a rule.

use std::sync::atomic::Ordering;
use std::time::Duration;

use provisioners::{EnvironmentId, ProvisionError};
use tokio::time::sleep;
use tokio::try_join;

use super::Shared;
use super::amazon::{CallError, Called, Rule};
use super::buckets::Bucket;
use super::conclude::LAG_MS;
use super::records::{Network, Record, Server};
use super::steps::{Accepted, refused, rejected, soon};
use super::tags::{self, INSTALLATION, NAME, Tags};

/// Between trying whether a group is known: when nobody else wants to call, and when others do at first and at most; and for how
/// long that is tried.
const AGAIN_WHEN_QUIET: Duration = Duration::from_millis(150);
const AGAIN: Duration = Duration::from_secs(1);
const MOST_AGAIN: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn create(shared: &Shared, environment: &EnvironmentId) -> Accepted {
    let records = shared.known(environment).await?;
    let mut version = records.network.as_ref().map_or(0, |kept| kept.version);
    let old = records.network.map(|kept| kept.record);
    match &old {
        Some(network) if network.deleting && !network.deleted => {
            return Err(soon("the old private network is on its way out"));
        }
        Some(network) if network.group.is_some() && !network.deleted => {
            let back = Network { delete_at: None, ..network.clone() };
            return if back == *network {
                Ok(())
            } else {
                shared.put(environment, version, Record::Network(back)).await
            };
        }
        _ => {}
    }
    let place = shared.known_place()?;
    let mut network = Network { made_at: (shared.now)(), ..Network::default() };
    shared.put(environment, version, Record::Network(network.clone())).await?;
    version += 1;
    let name = group_name(environment);
    let tags = tags::of(&shared.tags, environment.as_str(), &[(NAME, &name)]);
    let group = have_group(shared, &name, "Servers of one Bookend environment", &tags).await?;
    match give_rules(shared, &place.portal_rules, &group).await {
        Ok(()) => {}
        Err(error) if error.code() == "InvalidGroup.NotFound" => return Err(soon(error.to_string())),
        Err(error) => return Err(refused(error)),
    }
    network.group = Some(group);
    shared.put(environment, version, Record::Network(network)).await
}

/// In and out for its members, out to the portal, and nothing else. Repeating it is harmless.
async fn give_rules(shared: &Shared, portal: &[Rule], group: &str) -> Called<()> {
    let members = [Rule::Members(group.to_owned())];
    let probe = [(Bucket::Call("AuthorizeSecurityGroupIngress"), 1)];
    let probed = || {
        agreed("InvalidPermission.Duplicate", async {
            let paid = shared.amazon.buckets.acquire(&probe).await;
            shared.amazon.allow_in(paid, group, &members).await
        })
    };
    once_known(probed, || shared.amazon.buckets.are_half_full(&probe)).await?;
    let out: Vec<Rule> = members.iter().chain(portal).cloned().collect();
    let rules = try_join!(
        agreed("InvalidPermission.Duplicate", async {
            let paid = shared.amazon.buckets.acquire(&[(Bucket::Call("AuthorizeSecurityGroupEgress"), 1)]).await;
            shared.amazon.allow_out(paid, group, &out).await
        }),
        forbid_everything(shared, group),
    );
    rules.map(drop)
}

/// A group made a moment ago is not known everywhere yet: then the same again a little later, and rarer and rarer where others
/// want to call, too. To begin anew would be to wait until it is even shown.
async fn once_known<Calling: Future<Output = Called<()>>>(
    call: impl Fn() -> Calling,
    is_quiet: impl Fn() -> bool,
) -> Called<()> {
    let (mut pause, mut waited) = (AGAIN, Duration::ZERO);
    loop {
        match call().await {
            Err(error) if error.code() == "InvalidGroup.NotFound" && waited < PATIENCE => {
                let this_time = if is_quiet() { AGAIN_WHEN_QUIET } else { (pause * 2).min(MOST_AGAIN) };
                pause = this_time.max(AGAIN);
                sleep(this_time).await;
                waited += this_time;
            }
            other => return other,
        }
    }
}

/// Takes back what Amazon gives each new group: for IPv4, and in a VPC that has it for IPv6. Both in one call, until Amazon has
/// said once that its VPC does not have both; then each for itself.
async fn forbid_everything(shared: &Shared, group: &str) -> Called<()> {
    const NOT_THERE: &str = "InvalidPermission.NotFound";
    let forbid = async |rules: &[Rule]| {
        let paid = shared.amazon.buckets.acquire(&[(Bucket::Call("RevokeSecurityGroupEgress"), 1)]).await;
        shared.amazon.forbid_out(paid, group, rules).await
    };
    if !shared.rules_one_by_one.load(Ordering::Relaxed) {
        match forbid(&[Rule::Everything, Rule::Everything6]).await {
            Err(error) if error.code() == NOT_THERE => shared.rules_one_by_one.store(true, Ordering::Relaxed),
            other => return other,
        }
    }
    agreed(NOT_THERE, forbid(&[Rule::Everything])).await?;
    agreed(NOT_THERE, forbid(&[Rule::Everything6])).await
}

/// A refusal that says it is so already is as good as an answer.
async fn agreed(already: &str, called: impl Future<Output = Called<()>>) -> Called<()> {
    match called.await {
        Err(error) if error.code() == already => Ok(()),
        other => other,
    }
}

/// The group for servers that may reach the internet, made when it is not there yet.
pub(super) async fn to_the_internet(shared: &Shared) -> Result<String, ProvisionError> {
    let made = shared.internet_group.get_or_try_init(|| async {
        let name = format!("bookend-internet-{}", shared.installation);
        let mut tags = shared.tags.clone();
        tags.insert(NAME.to_owned(), name.clone());
        have_group(shared, &name, "Bookend servers that may reach the internet", &tags).await
    });
    made.await.cloned()
}

/// The group of this name: made, or found when it was made before and the answer was lost.
async fn have_group(shared: &Shared, name: &str, about: &str, tags: &Tags) -> Result<String, ProvisionError> {
    let vpc = &shared.known_place()?.vpc;
    let paid = shared.amazon.buckets.acquire(&[(Bucket::Call("CreateSecurityGroup"), 1)]).await;
    match shared.amazon.create_security_group(paid, vpc, name, about, tags).await {
        Ok(group) => Ok(group),
        Err(error @ CallError::Refused { .. }) if error.code() == "InvalidGroup.Duplicate" => {
            let shown = shared.amazon.security_group_named(vpc, name).await.map_err(refused)?;
            let shown = shown.ok_or_else(|| soon("Amazon has the security group, and does not show it yet"))?;
            match shown.tags.get(INSTALLATION) == Some(&shared.installation) {
                true => Ok(shown.id),
                false => Err(rejected(format!(
                    "there is a security group {name} that is not Bookend's; remove or rename it"
                ))),
            }
        }
        Err(error) => Err(refused(error)),
    }
}

fn group_name(environment: &EnvironmentId) -> String {
    format!("bookend-{environment}")
}

/// Servers that are left go with it.
pub(super) async fn delete(shared: &Shared, environment: &EnvironmentId) -> Accepted {
    let records = shared.known(environment).await?;
    let now = (shared.now)();
    let mut changes = Vec::new();
    for kept in records.servers.values().filter(|kept| kept.record.stop_at.is_none()) {
        let record = Server { stop_at: Some(now), ..kept.record.clone() };
        changes.push((kept.version, Record::Server(Box::new(record))));
    }
    if let Some(kept) = records.network.filter(|kept| kept.record.delete_at.is_none()) {
        let mut record = Network { delete_at: Some(now), ..kept.record };
        if record.group.is_none() {
            // Asked for, and nobody knows what became of it: its name tells.
            let name = group_name(environment);
            match shared.amazon.security_group_named(&shared.known_place()?.vpc, &name).await.map_err(refused)? {
                Some(shown) => record.group = Some(shown.id),
                None if now < record.made_at + LAG_MS => {
                    return Err(soon("it is not known yet whether there is a security group"));
                }
                None => record.deleted = true,
            }
        }
        changes.push((kept.version, Record::Network(record)));
    }
    if changes.is_empty() {
        return Ok(());
    }
    match shared.write(environment, changes).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(soon("another step of this environment was quicker")),
        Err(error) => Err(ProvisionError::Unknown { message: error.to_string() }),
    }
}
