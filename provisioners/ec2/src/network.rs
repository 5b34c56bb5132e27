//! Who reaches whom: an environment's servers each other and the portal, and nobody else, in either direction. Those whose
//! template says `internet: true` have a second security group, one for all of the VPC, that lets everything out.
//!
//! A step only writes down that there is to be a network; the driver has the group made, then gives it its rules, and only then
//! are servers launched into it. What Amazon refuses is told of the servers that wait for it; the next try is theirs.
//!
//! Security groups do not hold back Amazon's name service, clock and instance metadata (VPC user guide, "Control traffic to your
//! AWS resources using security groups"), so names resolve without a rule.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use provisioners::{EnvironmentId, LedgerError, ProvisionError};
use tokio::try_join;

use super::Shared;
use super::amazon::{CallError, Called, LAG_MS, Rule};
use super::answers::{Accepted, soon};
use super::buckets::{Bucket, Paid};
use super::conclude::is_gone;
use super::errand::{GUESS_AGAIN, Outcome};
use super::records::{Kept, Network, Record, Server, Way};
use super::tags::{self, INSTALLATION, NAME, Tags};
use super::ways;

/// The calls that give a group its rules: in, out, and what Amazon gave it taken back.
pub const RULES: [&str; 3] =
    ["AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress", "RevokeSecurityGroupEgress"];
/// Those by which it follows the portal.
pub const WAYS: [&str; 2] = ["AuthorizeSecurityGroupEgress", "RevokeSecurityGroupEgress"];
/// Between trying whether a group is known when nobody else wants to call; and for how long after it was made.
const AGAIN_WHEN_QUIET: Duration = Duration::from_millis(150);
const QUICK_MS: i64 = 15_000;
const ALREADY: &str = "InvalidPermission.Duplicate";
const NOT_THERE: &str = "InvalidPermission.NotFound";

pub(super) async fn create(shared: &Shared, environment: &EnvironmentId) -> Accepted {
    let records = shared.known(environment).await?;
    let version = records.network.as_ref().map_or(0, |kept| kept.version);
    let now = (shared.now)();
    // Where somebody took the group away another one is made.
    let is_left = |network: &Network| !network.deleted && !is_gone(network.missing_since, now);
    let network = match records.network.map(|kept| kept.record).filter(is_left) {
        Some(network) if network.deleting => return Err(soon("the old private network is on its way out")),
        Some(network) if network.delete_at.is_none() => return Ok(()),
        Some(network) => Network { delete_at: None, ..network },
        None => Network { made_at: now, ..Network::default() },
    };
    shared.put(environment, version, Record::Network(network)).await
}

/// Servers that are left go with it.
pub(super) async fn delete(shared: &Shared, environment: &EnvironmentId) -> Accepted {
    let records = shared.known(environment).await?;
    let now = (shared.now)();
    let mut changes = Vec::new();
    for kept in records.servers.values().filter(|kept| kept.record.stop_at.is_none()) {
        let record = Server { stop_at: Some(now), trouble: None, ..kept.record.clone() };
        changes.push((kept.version, Record::Server(Box::new(record))));
    }
    if let Some(kept) = records.network.filter(|kept| kept.record.delete_at.is_none()) {
        changes.push((kept.version, Record::Network(Network { delete_at: Some(now), ..kept.record })));
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

/// Made without its rules; one that is to go again is only found out about.
pub(super) async fn create_group(
    shared: &Shared,
    environment: &EnvironmentId,
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    let name = format!("bookend-{environment}");
    let tags = tags::of(&shared.tags, environment.as_str(), &[(NAME, &name)]);
    let had = have_group(shared, paid, &name, "Servers of one Bookend environment", &tags).await;
    let now = (shared.now)();
    let group = match had {
        Ok(group) => group,
        Err(NoGroup::NotYet(why)) => return Ok(Outcome::Again(why)),
        Err(NoGroup::Refused(why)) => {
            let was_to_go = shared.change(environment, |records| {
                let kept = records.network.as_ref()?;
                let over = kept.record.delete_at.is_some() && now >= kept.record.made_at + LAG_MS;
                over.then(|| (kept.version, Record::Network(Network { deleted: true, ..kept.record.clone() })))
            });
            return match was_to_go.await? {
                true => Ok(Outcome::Changed),
                false => refuse_servers(shared, environment, &why, |_| true).await,
            };
        }
    };
    let portal = shared.place().map(|place| place.portal_rules.clone()).unwrap_or_default();
    shared
        .change(environment, |records| {
            let kept = records.network.as_ref().filter(|kept| kept.record.id().is_none())?;
            let ways = ways::ahead(&kept.record, &portal, now);
            let network = Network { making: Some(group.clone()), made_at: now, ways, ..kept.record.clone() };
            Some((kept.version, Record::Network(network)))
        })
        .await?;
    Ok(Outcome::Changed)
}

/// In and out for its members, out to the portal, and nothing else. Repeating it is harmless.
pub(super) async fn give_rules(
    shared: &Shared,
    environment: &EnvironmentId,
    group: &str,
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    let place = match shared.known_place() {
        Ok(place) => place,
        Err(error) => return Ok(Outcome::Again(error.to_string())),
    };
    let Some(ways) = written_ahead(shared, environment, group, &place.portal_rules).await? else {
        return Ok(Outcome::Changed);
    };
    let wanting = ways::wanting(&ways, &place.portal_rules);
    let given = allow_and_forbid(shared, &wanting, group, paid).await;
    let usable = match given {
        Ok(()) => Some(group.to_owned()),
        Err(error) if error.code() == "InvalidGroup.NotFound" => {
            let now = (shared.now)();
            let made_at = shared.records_of(environment).await?.network.map_or(now, |kept| kept.record.made_at);
            // A group made a moment ago is not known everywhere yet. To begin anew would be to wait until it is even shown.
            if now < made_at + LAG_MS {
                let quick = now < made_at + QUICK_MS && is_quiet(shared);
                return Ok(Outcome::TooEarly(if quick { AGAIN_WHEN_QUIET } else { GUESS_AGAIN }));
            }
            // Somebody took it away: another one is made.
            None
        }
        Err(error @ CallError::Refused { .. }) => {
            return refuse_servers(shared, environment, &error.plain(), |_| true).await;
        }
        Err(error) => return Ok(Outcome::Again(error.to_string())),
    };
    shared
        .change(environment, |records| {
            let kept = records.network.as_ref().filter(|kept| kept.record.making.as_deref() == Some(group))?;
            let ways = match usable {
                Some(_) => ways::behind(&kept.record.ways, &wanting, &[]),
                None => Vec::new(),
            };
            let network = Network { group: usable.clone(), making: None, ways, ..kept.record.clone() };
            Some((kept.version, Record::Network(network)))
        })
        .await?;
    Ok(Outcome::Changed)
}

/// Its servers may reach the portal where it is now, and where it was not long ago.
pub(super) async fn follow_portal(
    shared: &Shared,
    environment: &EnvironmentId,
    group: &str,
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    let place = match shared.known_place() {
        Ok(place) => place,
        Err(error) => return Ok(Outcome::Again(error.to_string())),
    };
    let wanted = &place.portal_rules;
    let Some(ways) = written_ahead(shared, environment, group, wanted).await? else { return Ok(Outcome::Changed) };
    let (wanting, over) = (ways::wanting(&ways, wanted), ways::over(&ways, wanted, (shared.now)()));
    let [for_out, for_nothing_else] = paid.apart();
    let former: Vec<Rule> = over.iter().map(|way| way.rule.clone()).collect();
    // First, for there may be no room else.
    let closed = all_or_each(shared, Out::Forbid, group, &former, for_nothing_else).await;
    let opened = all_or_each(shared, Out::Allow, group, &wanting, for_out).await;
    let opening = if opened.is_ok() { wanting.as_slice() } else { &[] };
    let closing = if closed.is_ok() { over.as_slice() } else { &[] };
    shared
        .change(environment, |records| {
            let kept = records.network.as_ref().filter(|kept| kept.record.group.as_deref() == Some(group))?;
            let ways = ways::behind(&kept.record.ways, opening, closing);
            (ways != kept.record.ways).then(|| (kept.version, Record::Network(Network { ways, ..kept.record.clone() })))
        })
        .await?;
    match opened.and(closed) {
        Ok(()) => Ok(Outcome::Changed),
        Err(error) => Ok(Outcome::Again(error.to_string())),
    }
}

/// Its page says what is to be asked for before it is; `None`: it is another group's by now.
async fn written_ahead(
    shared: &Shared,
    environment: &EnvironmentId,
    group: &str,
    wanted: &[Rule],
) -> Result<Option<Vec<Way>>, LedgerError> {
    let of_group = |kept: &&Kept<Network>| kept.record.id().is_some_and(|id| id == group);
    shared
        .change(environment, |records| {
            let Kept { version, record } = records.network.as_ref().filter(of_group)?;
            let network =
                Network { ways: ways::ahead(record, wanted, (shared.now)()), portal: Vec::new(), ..record.clone() };
            (network != *record).then_some((*version, Record::Network(network)))
        })
        .await?;
    let records = shared.records_of(environment).await?;
    Ok(records.network.as_ref().filter(of_group).map(|kept| kept.record.ways.clone()))
}

/// What is done with what a group lets out.
#[derive(Clone, Copy)]
enum Out {
    Allow,
    Forbid,
}

/// All in one call; where that is so already of one of them, which keeps all others of its call from it, each for itself.
async fn all_or_each(shared: &Shared, out: Out, group: &str, rules: &[Rule], paid: Paid) -> Called<()> {
    let (action, already) = match out {
        Out::Allow => ("AuthorizeSecurityGroupEgress", ALREADY),
        Out::Forbid => ("RevokeSecurityGroupEgress", NOT_THERE),
    };
    let call = async |paid, rules: &[Rule]| match out {
        Out::Allow => shared.amazon.allow_out(paid, group, rules).await,
        Out::Forbid => shared.amazon.forbid_out(paid, group, rules).await,
    };
    if rules.is_empty() {
        shared.amazon.buckets.give_back(paid);
        return Ok(());
    }
    match call(paid, rules).await {
        Err(error) if error.code() == already => {}
        other => return other,
    }
    for rule in rules.iter().filter(|_| rules.len() > 1) {
        let paid = shared.amazon.buckets.acquire(&[(Bucket::Call(action), 1)]).await;
        agreed(already, call(paid, std::slice::from_ref(rule))).await?;
    }
    Ok(())
}

/// All at once, where nobody else wants to call; else the first tells whether Amazon knows the group everywhere by now.
async fn allow_and_forbid(shared: &Shared, portal: &[Rule], group: &str, paid: Paid) -> Called<()> {
    let members = [Rule::Members(group.to_owned())];
    let out: Vec<Rule> = members.iter().chain(portal).cloned().collect();
    let [for_in, for_out, for_nothing_else] = paid.apart();
    let allowed_in = agreed(ALREADY, shared.amazon.allow_in(for_in, group, &members));
    let rest = async |for_out, for_nothing_else| {
        let allowed_out = all_or_each(shared, Out::Allow, group, &out, for_out);
        try_join!(allowed_out, forbid_everything(shared, group, for_nothing_else)).map(drop)
    };
    if is_quiet(shared) {
        return try_join!(allowed_in, rest(for_out, for_nothing_else)).map(drop);
    }
    if let Err(error) = allowed_in.await {
        shared.amazon.buckets.give_back(for_out);
        shared.amazon.buckets.give_back(for_nothing_else);
        return Err(error);
    }
    rest(for_out, for_nothing_else).await
}

fn is_quiet(shared: &Shared) -> bool {
    shared.amazon.buckets.are_half_full(&RULES.map(|name| (Bucket::Call(name), 1)))
}

/// Takes back what Amazon gives each new group: for IPv4, and in a VPC that has it for IPv6. Both in one call, until Amazon has
/// said once that its VPC does not have both; then each for itself.
async fn forbid_everything(shared: &Shared, group: &str, paid: Paid) -> Called<()> {
    let forbid = async |rules: &[Rule], paid| shared.amazon.forbid_out(paid, group, rules).await;
    let another = async || shared.amazon.buckets.acquire(&[(Bucket::Call("RevokeSecurityGroupEgress"), 1)]).await;
    let mut paid = Some(paid);
    if !shared.rules_one_by_one.load(Ordering::Relaxed)
        && let Some(paid) = paid.take()
    {
        match forbid(&[Rule::Everything, Rule::Everything6], paid).await {
            Err(error) if error.code() == NOT_THERE => shared.rules_one_by_one.store(true, Ordering::Relaxed),
            other => return other,
        }
    }
    for rule in [Rule::Everything, Rule::Everything6] {
        let paid = match paid.take() {
            Some(paid) => paid,
            None => another().await,
        };
        agreed(NOT_THERE, forbid(&[rule], paid)).await?;
    }
    Ok(())
}

/// A refusal that says it is so already is as good as an answer.
async fn agreed(already: &str, called: impl Future<Output = Called<()>>) -> Called<()> {
    match called.await {
        Err(error) if error.code() == already => Ok(()),
        other => other,
    }
}

/// For this environment's servers and all others that may reach the internet.
pub(super) async fn create_internet_group(
    shared: &Shared,
    environment: &EnvironmentId,
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    let name = format!("bookend-internet-{}", shared.installation);
    let mut tags = shared.tags.clone();
    tags.insert(NAME.to_owned(), name.clone());
    match have_group(shared, paid, &name, "Bookend servers that may reach the internet", &tags).await {
        Ok(group) => {
            *shared.internet_group.write().unwrap_or_else(PoisonError::into_inner) = Some(group);
            shared.active.wake();
            Ok(Outcome::Changed)
        }
        Err(NoGroup::NotYet(why)) => Ok(Outcome::Again(why)),
        Err(NoGroup::Refused(why)) => refuse_servers(shared, environment, &why, |server| server.plan.internet).await,
    }
}

enum NoGroup {
    /// There may be one, or it can be made later.
    NotYet(String),
    Refused(String),
}

/// The group of this name: made, or found when it was made before and the answer was lost.
async fn have_group(shared: &Shared, paid: Paid, name: &str, about: &str, tags: &Tags) -> Result<String, NoGroup> {
    let place = shared.known_place().map_err(|error| NoGroup::NotYet(error.to_string()))?;
    match shared.amazon.create_security_group(paid, &place.vpc, name, about, tags).await {
        Ok(group) => Ok(group),
        Err(error @ CallError::Refused { .. }) if error.code() == "InvalidGroup.Duplicate" => {
            let shown = shared.amazon.security_group_named(&place.vpc, name).await;
            let shown = shown.map_err(|error| NoGroup::NotYet(error.to_string()))?;
            let not_shown = || NoGroup::NotYet("Amazon has the security group, and does not show it yet".to_owned());
            let shown = shown.ok_or_else(not_shown)?;
            match shown.tags.get(INSTALLATION) == Some(&shared.installation) {
                true => Ok(shown.id),
                false => Err(NoGroup::Refused(format!(
                    "there is a security group {name} that is not Bookend's; remove or rename it"
                ))),
            }
        }
        Err(error @ CallError::Refused { .. }) => Err(NoGroup::Refused(error.plain())),
        Err(error) => Err(NoGroup::NotYet(error.to_string())),
    }
}

/// Tells those that wait for a group why there is none; where nobody waits yet, later.
async fn refuse_servers(
    shared: &Shared,
    environment: &EnvironmentId,
    why: &str,
    concerns: impl Fn(&Server) -> bool,
) -> Result<Outcome, LedgerError> {
    let waits = |server: &Server| {
        server.launch.is_none() && server.stop_at.is_none() && server.failure.is_none() && concerns(server)
    };
    loop {
        let records = shared.records_of(environment).await?;
        let refused = records.servers.values().filter(|kept| waits(&kept.record)).map(|kept| {
            let record = Server { failure: Some(why.to_owned()), ..kept.record.clone() };
            (kept.version, Record::Server(Box::new(record)))
        });
        let refused: Vec<_> = refused.collect();
        if refused.is_empty() {
            return Ok(Outcome::Again(why.to_owned()));
        }
        if shared.write(environment, refused).await? {
            return Ok(Outcome::Changed);
        }
    }
}

/// First it is said that the group is going, so that nobody begins to use it again while it goes. While Amazon refuses it, perhaps
/// for as long as somebody else's group names it, it can be used again.
pub(super) async fn delete_group(
    shared: &Shared,
    environment: &EnvironmentId,
    group: &str,
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    let going = shared.change(environment, |records| {
        let kept = records.network.as_ref()?;
        kept.record.delete_at?;
        Some((kept.version, Record::Network(Network { deleting: true, ..kept.record.clone() })))
    });
    if !going.await? {
        return Ok(Outcome::Changed);
    }
    match shared.amazon.delete_security_group(paid, group).await {
        Ok(()) => {}
        Err(error) if error.code() == "InvalidGroup.NotFound" => {
            let records = shared.records_of(environment).await?;
            let made_at = records.network.as_ref().map_or(0, |kept| kept.record.made_at);
            if (shared.now)() < made_at + LAG_MS {
                return Ok(Outcome::Again(error.to_string()));
            }
        }
        Err(CallError::Unknown { message, .. }) => return Ok(Outcome::Again(message)),
        Err(error) => {
            shared
                .change(environment, |records| {
                    let kept = records.network.as_ref().filter(|kept| kept.record.deleting)?;
                    Some((kept.version, Record::Network(Network { deleting: false, ..kept.record.clone() })))
                })
                .await?;
            return Ok(Outcome::Again(error.to_string()));
        }
    }
    shared
        .change(environment, |records| {
            let kept = records.network.as_ref()?;
            let network = match kept.record.delete_at {
                Some(_) => Network { deleted: true, ..kept.record.clone() },
                // Wanted again while another portal's call was refused: another one is made.
                None => Network { made_at: (shared.now)(), ..Network::default() },
            };
            Some((kept.version, Record::Network(network)))
        })
        .await?;
    Ok(Outcome::Changed)
}
