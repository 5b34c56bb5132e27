//! What an account and region lack for Bookend to work in them, found out before anybody orders. Nothing is changed: what cannot
//! be known by looking is rehearsed.

mod rehearsals;

use serde::Serialize;
use serde_json::{Value, json};

use super::amazon::{Amazon, CallError, Called, Rule, Subnet, TypeFacts};
use super::config::{Config, HOST_IMAGE};
use super::perform::plain;
use super::place::{self, PlaceError};
use super::quotas::{Quotas, STANDARD, is_standard};
use super::tags::INSTALLATION;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub about: String,
    pub fine: bool,
    /// What was found; if it is not fine, what to do.
    pub found: String,
}

/// A subnet with fewer runs out soon.
const FEW_ADDRESSES: i32 = 16;

/// Everything in the order in which to mend it. When Amazon cannot be asked at all, only that.
pub async fn examine(amazon: &Amazon, quotas: &Quotas, config: &Config, portal_url: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let of = [rehearsals::INSTEAD.to_owned()];
    let ours: [(&str, &[String]); 1] = [(INSTALLATION, &of)];
    let mut looks = vec![
        ("instances", amazon.instances(&ours).await.map(drop)),
        ("volumes", amazon.volumes(&ours).await.map(drop)),
        ("what volumes read in", amazon.may_ask_for_readings().await),
        ("snapshots", amazon.snapshots(&ours).await.map(drop)),
        ("security groups", amazon.security_groups(&ours).await.map(drop)),
    ];
    let offers = config.snapshots.as_ref().is_some_and(|policy| policy.fast_restore);
    if offers {
        looks.push(("fast snapshot restores", amazon.fast_restores().await.map(drop)));
    }
    if let (_, Err(error)) = &looks[0]
        && !is_permission(error)
    {
        return vec![finding("asking Amazon", &looks[0].1, "")];
    }
    for (what, looked) in looks {
        findings.push(finding(&format!("looking at {what}"), &looked, "allowed"));
    }
    let subnets = place::subnets(amazon, config).await;
    match &subnets {
        Err(error) => findings.push(missing("subnets", told(error))),
        Ok(subnets) => findings.extend(subnets.iter().map(addresses)),
    }
    let mut host = None;
    for (alias, wanted) in &config.images {
        match place::newest_image(amazon, alias, wanted).await {
            Err(error) => findings.push(missing(&format!("image “{alias}”"), told(&error))),
            Ok(image) => {
                findings.push(fine(&format!("image “{alias}”"), format!("{} ({})", image.name, image.id)));
                host = if alias == HOST_IMAGE { Some(image) } else { host };
            }
        }
    }
    let zones: Vec<&str> = subnets.iter().flatten().map(|subnet| subnet.zone.as_str()).collect();
    match place::sizes(amazon, config).await {
        Err(error) => findings.push(missing("sizes", told(&error))),
        Ok(sizes) => {
            findings.extend(types(amazon, config, &zones).await);
            findings.extend(processors(quotas, &sizes).await);
        }
    }
    if let Some(subnet) = subnets.iter().flatten().next() {
        findings.extend(rehearsals::making(&amazon.rehearsing(), config, subnet, host.as_ref()).await);
    }
    findings.extend(rehearsals::changing(&amazon.rehearsing(), zones.first().copied().filter(|_| offers)).await);
    findings.push(portal(config, portal_url).await);
    findings
}

/// The least that Bookend has to be allowed, as an IAM policy.
pub fn policy(config: Option<&Config>) -> Value {
    let mut policy: Value = serde_json::from_str(include_str!("policy.json")).unwrap_or_default();
    if let (Some(profile), Some(statements)) =
        (config.and_then(|config| config.instance_profile.as_ref()), policy["Statement"].as_array_mut())
    {
        statements.push(json!({
            "Sid": "GiveServersTheirRole",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": format!("arn:aws:iam::*:role/{profile}"),
            "Condition": { "StringEquals": { "iam:PassedToService": "ec2.amazonaws.com" } },
        }));
    }
    policy
}

fn fine(about: &str, found: String) -> Finding {
    Finding { about: about.to_owned(), fine: true, found }
}

fn missing(about: &str, found: String) -> Finding {
    Finding { about: about.to_owned(), fine: false, found }
}

fn finding(about: &str, called: &Called<()>, allowed: &str) -> Finding {
    match called {
        Ok(()) => fine(about, allowed.to_owned()),
        Err(error) => missing(about, refusal(error)),
    }
}

fn is_permission(error: &CallError) -> bool {
    ["UnauthorizedOperation", "AccessDenied", "AccessDeniedException"].contains(&error.code())
}

fn refusal(error: &CallError) -> String {
    match error {
        CallError::Refused { call, .. } if is_permission(error) => not_allowed(&[call]),
        _ => plain(error),
    }
}

fn not_allowed(calls: &[&str]) -> String {
    let calls: Vec<String> = calls.iter().map(|call| format!("ec2:{call}")).collect();
    let calls = calls.join(", ");
    format!("not allowed: give these credentials {calls} (`bookend doctor ec2 --policy` prints all it takes)")
}

fn told(error: &PlaceError) -> String {
    match error {
        PlaceError::Call(error) => refusal(error),
        other => other.to_string(),
    }
}

fn addresses(subnet: &Subnet) -> Finding {
    let about = format!("subnet {} in {}", subnet.id, subnet.zone);
    match subnet.free_addresses {
        few if few < FEW_ADDRESSES => {
            missing(&about, format!("{few} free addresses: name a larger one in `subnets`, or remove what is not used"))
        }
        many => fine(&about, format!("{many} free addresses")),
    }
}

async fn types(amazon: &Amazon, config: &Config, zones: &[&str]) -> Vec<Finding> {
    let names: Vec<String> = config.sizes.iter().flat_map(|size| size.types.clone()).collect();
    let offered = match amazon.offerings(&names).await {
        Ok(offered) => offered,
        Err(error) => return vec![missing("sizes", refusal(&error))],
    };
    let of_type = |name: &String| {
        let there: Vec<&str> = zones
            .iter()
            .copied()
            .filter(|zone| offered.iter().any(|(kind, place)| kind == name && place == zone))
            .collect();
        let about = format!("type {name}");
        match there.as_slice() {
            [] => missing(
                &about,
                "offered in none of the zones: take it out of `sizes`, or add a subnet where it is".into(),
            ),
            there => fine(&about, format!("offered in {}", there.join(", "))),
        }
    };
    names.iter().map(of_type).collect()
}

/// How many servers the account may have at once; `None` when the limit is about none of the types.
async fn processors(quotas: &Quotas, sizes: &[Vec<TypeFacts>]) -> Option<Finding> {
    let about = "processors at once";
    let standard = || sizes.iter().flatten().filter(|facts| is_standard(facts));
    let smallest = standard().min_by_key(|facts| facts.cpu_millis)?;
    let largest = standard().max_by_key(|facts| facts.cpu_millis)?;
    let (few, many) = (smallest.cpu_millis.div_ceil(1000).max(1), largest.cpu_millis.div_ceil(1000));
    let ask = format!("ask Amazon for more at Service Quotas ({STANDARD})");
    Some(match quotas.standard().await {
        Ok(limit) if limit < many => {
            missing(about, format!("{limit}, and one {} alone has {many}: {ask}", largest.name))
        }
        Ok(limit) => fine(about, format!("{limit}, as many as {} of {}; {ask}", limit / few, smallest.name)),
        Err(error) if is_permission(&error) => {
            missing(about, "not allowed: give these credentials servicequotas:GetServiceQuota".to_owned())
        }
        Err(error) => missing(about, plain(&error)),
    })
}

async fn portal(config: &Config, portal_url: Option<&str>) -> Finding {
    let about = "the way to the portal";
    let Some(url) = config.portal_url.as_deref().or(portal_url) else {
        return missing(about, "not known: write `portal_url`, where servers reach this portal".to_owned());
    };
    match place::portal_rules(config, url).await {
        Err(error) => missing(about, error.to_string()),
        Ok(rules) => {
            let through = config.portal_proxy.iter().map(|proxy| format!(", through {proxy}")).collect::<String>();
            fine(about, format!("{url}{through}, which servers may reach at {}", networks(&rules)))
        }
    }
}

fn networks(rules: &[Rule]) -> String {
    let network = |rule: &Rule| match rule {
        Rule::Port { network, port } => Some(format!("{network} port {port}")),
        _ => None,
    };
    rules.iter().filter_map(network).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every call by its name, as the source has it.
    fn called() -> BTreeSet<String> {
        let sources = [include_str!("amazon/describe.rs"), include_str!("amazon/change.rs")];
        let words = sources.iter().flat_map(|source| source.split('"').skip(1).step_by(2));
        let verbs = [
            "Describe",
            "Copy",
            "Create",
            "Delete",
            "Disable",
            "Enable",
            "Run",
            "Start",
            "Stop",
            "Terminate",
            "Attach",
            "Authorize",
            "Revoke",
        ];
        let is_call = |word: &&str| {
            verbs.iter().any(|verb| word.starts_with(verb)) && word.chars().all(|letter| letter.is_ascii_alphabetic())
        };
        let limits = include_str!("quotas.rs")
            .contains("\"GetServiceQuota\"")
            .then(|| "servicequotas:GetServiceQuota".to_owned());
        words.filter(is_call).map(|word| format!("ec2:{word}")).chain(limits).collect()
    }

    #[test]
    fn the_policy_allows_every_call_there_is_and_no_other() {
        let policy = policy(None);
        let actions = policy["Statement"].as_array().unwrap().iter().flat_map(|statement| match &statement["Action"] {
            Value::String(one) => vec![one.clone()],
            many => many.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        });
        assert_eq!(actions.collect::<BTreeSet<_>>(), called());
    }

    #[test]
    fn nothing_without_our_tag_may_be_changed() {
        let policy = policy(None);
        for statement in policy["Statement"].as_array().unwrap() {
            let looks = statement["Action"].to_string().matches("ec2:").count()
                == statement["Action"].to_string().matches("ec2:Describe").count();
            let sid = statement["Sid"].as_str().unwrap();
            let from = ["LaunchFrom", "MakeGroupsInNetworks", "TagWhatIsMade"].contains(&sid);
            let condition = statement["Condition"].to_string();
            assert!(looks || from || condition.contains("bookend:installation"), "{sid}");
        }
    }
}
