//! What an account and region lack for Bookend to work in them, found out before anybody orders. Nothing is changed: what cannot
//! be known by looking is rehearsed.

mod denials;
mod limits;
mod policy;
mod rehearsals;

use futures::FutureExt;
use serde::Serialize;

use super::amazon::{Amazon, Called, Rule, Subnet};
use super::config::Config;
use super::place::{self, Images, PlaceError};
use super::quotas::Quotas;
use super::survey;
use super::tags::INSTALLATION;

use self::denials::{is_permission, refusal};
pub use self::policy::{Known, policy};
use self::rehearsals::INSTEAD;
pub(super) use self::rehearsals::launching as rehearse_launch;

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

/// Where nothing may be made, and it was tried in nobody's name.
const NOBODYS: &str = "not known: where these credentials have a policy that is for one portal alone, as `bookend doctor ec2 --policy` \
                       prints it, name that portal's data with --data-dir, or with --database-url where it has PostgreSQL";

/// Everything in the order in which to mend it. When Amazon cannot be asked at all, only that. `installation`: the portal's, if
/// known; a policy may let nobody make or change what is another's.
pub async fn examine(
    amazon: &Amazon,
    quotas: &Quotas,
    config: &Config,
    portal_url: Option<&str>,
    installation: Option<&str>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let of = [installation.unwrap_or(INSTEAD).to_owned()];
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
    findings.push(encryption(amazon).boxed().await);
    let subnets = survey::subnets(amazon, config).await;
    match &subnets {
        Err(error) => findings.push(missing("subnets", told(error))),
        Ok(subnets) => findings.extend(subnets.iter().map(addresses)),
    }
    if let Some(subnet) = subnets.iter().flatten().next().filter(|_| !config.security_groups.is_empty()) {
        findings.push(match survey::groups(amazon, config, &subnet.vpc).await {
            Ok(()) => fine("extra security groups", config.security_groups.join(", ")),
            Err(error) => missing("extra security groups", told(&error)),
        });
    }
    let mut images = Images::new();
    for (alias, wanted) in &config.images {
        match survey::newest_images(amazon, alias, wanted).await {
            Err(error) => findings.push(missing(&format!("image “{alias}”"), told(&error))),
            Ok(newest) => {
                let found = newest.values().map(|image| format!("{} ({})", image.name, image.id));
                findings.push(fine(&format!("image “{alias}”"), found.collect::<Vec<_>>().join(", ")));
                images.insert(alias.clone(), newest);
            }
        }
    }
    let zones: Vec<&str> = subnets.iter().flatten().map(|subnet| subnet.zone.as_str()).collect();
    let sizes = survey::sizes(amazon, config).await;
    match &sizes {
        Err(error) => findings.push(missing("sizes", told(error))),
        Ok(sizes) => {
            findings.extend(types(amazon, config, &zones).await);
            findings.extend(limits::findings(quotas, sizes).await);
            let halves = place::halves(config, sizes, &images).into_iter();
            findings.extend(halves.filter(|_| images.len() == config.images.len()).map(|half| missing("sizes", half)));
        }
    }
    let host = place::first_image(sizes.as_deref().unwrap_or_default(), &images);
    if let Some(subnet) = subnets.iter().flatten().next() {
        let making = rehearsals::making(&amazon.rehearsing(), config, subnet, host, &of[0]).boxed().await;
        let nothing = making.iter().all(|one| !one.fine);
        findings.extend(making);
        findings
            .extend((nothing && installation.is_none()).then(|| missing("whose portal it is for", NOBODYS.to_owned())));
    }
    let zone = zones.first().copied();
    findings.extend(rehearsals::changing(&amazon.rehearsing(), installation, zone, offers).boxed().await);
    findings.push(portal(config, portal_url).await);
    findings
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

/// Amazon encrypts in the name of who calls, and looks at that after the call: nothing can be rehearsed.
async fn encryption(amazon: &Amazon) -> Finding {
    let about = "encrypting volumes";
    match amazon.default_key().await {
        Err(error) => missing(about, refusal(&error)),
        Ok(None) => fine(about, "with Amazon's own key".to_owned()),
        Ok(Some(key)) => fine(
            about,
            format!(
                "with {key}: these credentials need the kms: actions for it that `bookend doctor ec2 --policy` prints, and \
                 the key's own policy has to let them"
            ),
        ),
    }
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

async fn portal(config: &Config, portal_url: Option<&str>) -> Finding {
    let about = "the way to the portal";
    let Some(url) = config.portal_url.as_deref().or(portal_url) else {
        return missing(about, "not known: write `portal_url`, where servers reach this portal".to_owned());
    };
    match survey::portal_rules(config, url).await {
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
