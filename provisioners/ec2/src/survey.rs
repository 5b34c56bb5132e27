//! One look at each thing that a region offers or an operator names: for servers to be had in it, and for the doctor.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use http::Uri;
use provisioners::Architecture;
use tokio::net::lookup_host;

use super::amazon::{Amazon, CallError, MachineImage, Rule, Subnet, TypeFacts};
use super::config::{Config, ImageAlias};
use super::place::{Images, PlaceError, has};

/// One for each zone, at least one, all of one VPC.
pub async fn subnets(amazon: &Amazon, config: &Config) -> Result<Vec<Subnet>, PlaceError> {
    let found = match amazon.subnets(&config.subnets, config.vpc.as_deref()).await {
        Err(CallError::Refused { code, message, .. }) if code.starts_with("InvalidSubnetID") => {
            return Err(PlaceError::UnknownSubnet { message });
        }
        found => found?,
    };
    let first = found.first().ok_or(PlaceError::NoSubnet)?;
    if let Some(vpc) = config.vpc.as_ref().filter(|vpc| **vpc != first.vpc) {
        let (subnet, of, vpc) = (first.id.clone(), first.vpc.clone(), vpc.clone());
        return Err(PlaceError::OtherNetwork { subnet, of, vpc });
    }
    if let Some(other) = found.iter().find(|subnet| subnet.vpc != first.vpc) {
        return Err(PlaceError::TwoNetworks { first: first.id.clone(), other: other.id.clone() });
    }
    let mut subnets: Vec<Subnet> = Vec::new();
    for subnet in found {
        if !subnets.iter().any(|known| known.zone == subnet.zone) {
            subnets.push(subnet);
        }
    }
    Ok(subnets)
}

/// What servers must reach to find their portal: the networks an operator named, or the addresses its name has now.
///
/// # Errors
/// When neither tells.
pub async fn portal_rules(config: &Config, url: &str) -> Result<Vec<Rule>, PlaceError> {
    let wrong = || PlaceError::PortalUrl { url: url.to_owned() };
    let url = config.portal_proxy.as_deref().unwrap_or(url);
    let parsed: Uri = url.parse().map_err(|_| wrong())?;
    let host = parsed.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
    let usual = if parsed.scheme_str() == Some("https") { 443 } else { 80 };
    let port = parsed.port_u16().unwrap_or(usual);
    let mut networks = config.portal_networks.clone();
    if networks.is_empty() {
        let unknown = |why: String| PlaceError::PortalAddress { host: host.clone(), why };
        let found = lookup_host((host.as_str(), port)).await.map_err(|error| unknown(error.to_string()))?;
        let found: Vec<IpAddr> = found.map(|found| found.ip()).collect();
        networks = networks_of(&host, &found).map_err(unknown)?;
    }
    Ok(networks.into_iter().map(|network| Rule::Port { network, port }).collect())
}

/// Of each address of a host that leads to it from elsewhere. Where it is written as an address, that is what an operator wants.
///
/// # Errors
/// Why servers find no portal at any of a name's addresses.
fn networks_of(host: &str, found: &[IpAddr]) -> Result<Vec<String>, String> {
    let is_a_name = host.parse::<IpAddr>().is_err();
    let (own, others): (Vec<IpAddr>, Vec<IpAddr>) =
        found.iter().partition(|found| is_a_name && is_each_machines_own(**found));
    if let (Some(own), []) = (own.first(), others.as_slice()) {
        return Err(format!("{own} is this machine's own, as /etc/hosts may say of its name"));
    }
    let network = |found: &IpAddr| format!("{found}/{}", if found.is_ipv4() { 32 } else { 128 });
    Ok(others.iter().map(network).collect::<BTreeSet<_>>().into_iter().collect())
}

/// From a server it leads to that server, or no further than its own wire.
fn is_each_machines_own(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    address.is_loopback() || address.is_unspecified() || is_link_local
}

/// The newest images behind each alias.
pub async fn images(amazon: &Amazon, config: &Config) -> Result<Images, PlaceError> {
    let mut images = BTreeMap::new();
    for (alias, wanted) in &config.images {
        images.insert(alias.clone(), newest_images(amazon, alias, wanted).await?);
    }
    Ok(images)
}

/// What an alias stands for now.
pub async fn newest_images(
    amazon: &Amazon,
    alias: &str,
    wanted: &ImageAlias,
) -> Result<BTreeMap<Architecture, MachineImage>, PlaceError> {
    let none = |name: &str, processors: &str| PlaceError::NoImage {
        alias: alias.to_owned(),
        owner: wanted.owner.clone(),
        name: name.to_owned(),
        processors: processors.to_owned(),
    };
    let mut newest = BTreeMap::new();
    for image in amazon.images(&wanted.owner, &wanted.name).await? {
        if let Some(architecture) = Architecture::named(&image.architecture) {
            newest.entry(architecture).or_insert(image);
        }
    }
    let Some(name) = &wanted.arm64 else {
        return if newest.is_empty() { Err(none(&wanted.name, "x86_64 or arm64")) } else { Ok(newest) };
    };
    if !newest.contains_key(&Architecture::X86) {
        return Err(none(&wanted.name, "x86_64"));
    }
    let found = amazon.images(&wanted.owner, name).await?;
    let arm = found.into_iter().find(|image| image.architecture == Architecture::Arm64.as_str());
    newest.insert(Architecture::Arm64, arm.ok_or_else(|| none(name, "arm64"))?);
    Ok(newest)
}

pub async fn sizes(amazon: &Amazon, config: &Config) -> Result<Vec<Vec<TypeFacts>>, PlaceError> {
    let names: Vec<String> = config.sizes.iter().flat_map(|size| size.types.clone()).collect();
    let known = amazon.instance_types(&names).await?;
    let facts = |name: &String| {
        let facts = known.iter().find(|facts| facts.name == *name);
        let facts = facts.ok_or_else(|| PlaceError::NoType { name: name.clone() })?;
        match Architecture::ALL.into_iter().any(|architecture| has(facts, architecture)) {
            true => Ok(facts.clone()),
            false => Err(PlaceError::OtherProcessor { name: name.clone() }),
        }
    };
    config.sizes.iter().map(|size| size.types.iter().map(facts).collect()).collect()
}

/// All that are configured are there, in the VPC that servers come in.
///
/// # Errors
/// [`PlaceError`] says which one is not.
pub async fn groups(amazon: &Amazon, config: &Config, vpc: &str) -> Result<(), PlaceError> {
    if config.security_groups.is_empty() {
        return Ok(());
    }
    let networks = amazon.networks_of_groups(&config.security_groups).await?;
    for id in &config.security_groups {
        match networks.get(id) {
            None => return Err(PlaceError::NoGroup { id: id.clone() }),
            Some(of) if of != vpc => {
                let (id, of, vpc) = (id.clone(), of.clone(), vpc.to_owned());
                return Err(PlaceError::OtherGroup { id, of, vpc });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(portal_networks: &str) -> Config {
        let text = format!(
            r#"
            [ec2.here]
            region = "eu-central-1"
            images.host = {{ owner = "amazon", name = "any" }}
            sizes = [{{ types = ["t3.small"] }}]
            {portal_networks}
            "#
        );
        crate::config::read(&text).expect("a good file").remove("here").expect("its table")
    }

    async fn rules(portal_networks: &str, url: &str) -> Result<Vec<Rule>, String> {
        portal_rules(&config(portal_networks), url).await.map_err(|error| error.to_string())
    }

    fn to(network: &str, port: u16) -> Rule {
        Rule::Port { network: network.to_owned(), port }
    }

    #[tokio::test]
    async fn a_portals_name_that_leads_to_the_machine_it_is_asked_on_is_refused_with_what_to_write() {
        let told = rules("", "https://localhost").await.expect_err("each server would ask itself");
        assert!(told.starts_with("localhost in `portal_url` has no address that servers could use"), "{told}");
        assert!(told.contains("is this machine's own, as /etc/hosts may say of its name"), "{told}");
        assert!(told.ends_with("name the networks it is in: `portal_networks = [\"10.0.0.0/16\"]`"), "{told}");
        let remedied = rules("portal_networks = [\"10.0.0.0/16\"]", "https://localhost").await;
        assert_eq!(remedied, Ok(vec![to("10.0.0.0/16", 443)]));
    }

    #[test]
    fn so_is_one_that_leads_no_further_than_the_own_wire_unless_it_leads_elsewhere_too() {
        let networks = |found: &[&str]| {
            let found: Vec<IpAddr> = found.iter().map(|address| address.parse().expect("an address")).collect();
            networks_of("bookend.example.com", &found)
        };
        for own in ["127.0.1.1", "::1", "0.0.0.0", "::", "169.254.10.1", "fe80::1"] {
            assert!(networks(&[own]).is_err(), "{own}");
            assert_eq!(networks(&["192.0.2.7", own]), Ok(vec!["192.0.2.7/32".to_owned()]), "{own} leads nowhere");
        }
        let both = ["192.0.2.7/32", "2001:db8::7/128"].map(str::to_owned).to_vec();
        assert_eq!(networks(&["192.0.2.7", "2001:db8::7", "192.0.2.7"]), Ok(both));
    }

    #[tokio::test]
    async fn a_portals_address_that_is_written_as_a_number_is_taken_as_it_is() {
        for (url, wanted) in [
            ("http://127.0.0.1:3000", to("127.0.0.1/32", 3000)),
            ("http://169.254.10.1", to("169.254.10.1/32", 80)),
            ("https://[::1]:8443", to("::1/128", 8443)),
            ("https://192.0.2.7", to("192.0.2.7/32", 443)),
        ] {
            assert_eq!(rules("", url).await, Ok(vec![wanted]), "{url}");
        }
    }
}
