//! What a region offers this provisioner: zones with their subnets, images behind aliases, types with their sizes, and how servers
//! find the portal. Found out at start, and again every hour.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Uri;
use provisioners::{Architecture, EnvironmentId, Image, ServerAtRest, ServerPlan};
use sha2::{Digest, Sha256};
use tokio::net::lookup_host;

use super::Shared;
use super::amazon::{Amazon, CallError, MachineImage, Rule, Subnet, TypeFacts};
use super::config::{Config, HOST_IMAGE, ImageAlias};
use super::named;
use super::records::Possibility;

/// What a server's processors are when its template does not say, whatever a region has besides.
pub const USUAL: Architecture = Architecture::X86;

/// See the module.
#[derive(Clone, Debug)]
pub struct Place {
    pub vpc: String,
    /// One for each zone, the preferred zone first.
    pub subnets: Vec<Subnet>,
    /// From the smallest to the largest; each the types that are as good as each other.
    pub sizes: Vec<Vec<TypeFacts>>,
    pub images: Images,
    /// How servers may reach their portal.
    pub portal_rules: Vec<Rule>,
}

/// By alias; at least one for each.
pub type Images = BTreeMap<String, BTreeMap<Architecture, MachineImage>>;

/// Between looks for newer images and the like.
const REFRESH: Duration = Duration::from_secs(3600);
/// After somebody met what is no more; others meet it, too.
const SOON: Duration = Duration::from_secs(1);
/// Between looks while nothing is known.
const RETRY: Duration = Duration::from_secs(10);

/// Runs for as long as it is polled. What was known stays when Amazon does not answer.
pub(super) async fn keep_current(shared: Arc<Shared>) {
    loop {
        let known = shared.place();
        let pause = if known.is_some() { REFRESH } else { RETRY };
        // Sooner when something that it names is no more, but not each time that is met.
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.outdated.notified() => tokio::time::sleep(SOON).await,
        }
        match Place::find(&shared.amazon, &shared.config, &shared.portal.url, &shared.installation).await {
            Ok(place) => {
                *shared.place.write().unwrap_or_else(PoisonError::into_inner) = Ok(Arc::new(place));
                if known.is_none() {
                    tracing::info!(provisioner = shared.name, "it is known what Amazon offers");
                    shared.active.wake();
                }
            }
            Err(error) => {
                tracing::warn!(provisioner = shared.name, %error, "what Amazon offers is not known anew");
                let next = match known {
                    None => Err(error.to_string()),
                    Some(known) => Ok(Arc::new(known.where_the_portal_is(&shared).await)),
                };
                *shared.place.write().unwrap_or_else(PoisonError::into_inner) = next;
            }
        }
    }
}

/// A type and where to try it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    pub instance_type: &'a str,
    pub subnet: &'a Subnet,
    pub spot: bool,
    /// It is to hibernate, and can: GiB of its memory.
    pub hibernation_gib: Option<i32>,
}

impl Candidate<'_> {
    pub fn possibility(&self) -> Possibility {
        let (instance_type, subnet) = (self.instance_type.to_owned(), self.subnet.id.clone());
        Possibility { instance_type, subnet, spot: self.spot }
    }
}

/// Why a region cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("there is no subnet: the region has no default VPC; name `vpc` or `subnets`")]
    NoSubnet,
    #[error(
        "the subnets {first} and {other} are of different VPCs; servers of one environment could not reach each other"
    )]
    TwoNetworks { first: String, other: String },
    #[error("`subnets`: {message}; write ids of subnets that this account has in this region")]
    UnknownSubnet { message: String },
    #[error("`subnets` has {subnet}, which is of {of}, and `vpc` is {vpc}; keep one of the two")]
    OtherNetwork { subnet: String, of: String, vpc: String },
    #[error("`security_groups` has {id}, which this account has not in this region; write ids of those it has (sg-…)")]
    NoGroup { id: String },
    #[error("`security_groups` has {id}, which is of {of}, and servers come in {vpc}; write ids of groups of that VPC")]
    OtherGroup { id: String, of: String, vpc: String },
    #[error(
        "`instance_profile` is {name:?}, which this account has not; write the name of an instance profile (a role's alone \
         will not do), or make it: `aws iam create-instance-profile --instance-profile-name {name}`"
    )]
    NoProfile { name: String },
    #[error(
        "`key_pair` is {name:?}, which this account has not in this region; write the name of one it has, or take it out"
    )]
    NoKeyPair { name: String },
    #[error("image “{alias}”: {owner} has no image named {name:?} for {processors} in this region")]
    NoImage { alias: String, owner: String, name: String, processors: String },
    #[error(
        "type {name} has neither x86_64 nor arm64 processors, for which Bookend has agents; take it out of `sizes`"
    )]
    OtherProcessor { name: String },
    #[error("Amazon does not know type {name} in this region; take it out of `sizes`")]
    NoType { name: String },
    #[error("`portal_url` is {url:?}; it is like https://bookend.example.com")]
    PortalUrl { url: String },
    #[error(
        "{host} in `portal_url` has no address that servers could use ({why}); name the networks it is in: `portal_networks = [\"10.0.0.0/16\"]`"
    )]
    PortalAddress { host: String, why: String },
}

impl PlaceError {
    /// Nobody has to change anything for it to be otherwise.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            PlaceError::Call(CallError::Throttled(_) | CallError::Unknown { .. }) | PlaceError::PortalAddress { .. }
        )
    }
}

impl Place {
    /// The same, and where the portal is now: what servers run has to be found whatever new ones lack.
    async fn where_the_portal_is(&self, shared: &Shared) -> Place {
        match portal_rules(&shared.config, &shared.portal.url).await {
            Ok(portal_rules) => Place { portal_rules, ..self.clone() },
            Err(_) => self.clone(),
        }
    }

    /// Apart from whoever waits for it: calls of Amazon's client are large, and several of them are more than a thread's stack has
    /// room for in a build without optimisation.
    ///
    /// # Errors
    /// [`PlaceError`] says what is missing.
    pub fn find<'a>(
        amazon: &'a Amazon,
        config: &'a Config,
        portal_url: &'a str,
        installation: &'a str,
    ) -> BoxFuture<'a, Result<Place, PlaceError>> {
        Box::pin(async move {
            let subnets = subnets(amazon, config).await?;
            let place = Place {
                vpc: subnets[0].vpc.clone(),
                subnets,
                sizes: sizes(amazon, config).boxed().await?,
                images: images(amazon, config).boxed().await?,
                portal_rules: portal_rules(config, portal_url).await?,
            };
            named::check(amazon, config, &place, installation).boxed().await?;
            Ok(place)
        })
    }

    /// The zone an environment begins in: always the same one for the same environment, all of them alike often.
    pub fn home(&self, environment: &EnvironmentId) -> &Subnet {
        let digest = Sha256::digest(environment.as_str());
        &self.subnets[usize::from(digest[0]) % self.subnets.len()]
    }

    /// Where a server could be had, in the order in which to try. Where its data is everything is tried before it goes elsewhere.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub fn candidates<'a>(
        &'a self,
        environment: &EnvironmentId,
        plan: &ServerPlan,
        data_in: Option<&str>,
    ) -> Result<Vec<Candidate<'a>>, String> {
        let size = self.size(plan.architecture, plan.cpu_millis.unwrap_or(0), plan.memory_bytes.unwrap_or(0))?;
        let home = self.subnets.iter().position(|subnet| subnet.id == self.home(environment).id).unwrap_or(0);
        let zones = self.subnets.iter().cycle().skip(home).take(self.subnets.len());
        let (nearest, others): (Vec<&Subnet>, Vec<&Subnet>) =
            zones.partition(|subnet| data_in.is_none_or(|zone| subnet.zone == zone));
        // Where no spot server is to be had, any other is better than none.
        let markets = if plan.spot { &[true, false][..] } else { &[false] };
        let of = |zones: Vec<&'a Subnet>| {
            let market = |spot: &bool| zones.iter().map(|subnet| (*spot, *subnet)).collect::<Vec<_>>();
            markets.iter().flat_map(market).collect::<Vec<_>>()
        };
        let further = others.into_iter().flat_map(|subnet| of(vec![subnet]));
        let candidates = of(nearest).into_iter().chain(further.collect::<Vec<_>>());
        let types = choices(&size, plan.hibernates);
        Ok(candidates
            .flat_map(|(spot, subnet)| {
                types.iter().map(move |(facts, hibernation_gib)| Candidate {
                    instance_type: &facts.name,
                    subnet,
                    spot,
                    hibernation_gib: *hibernation_gib,
                })
            })
            .collect())
    }

    /// GiB of the disk that such a server has of its own where it gets the first type of its size; `None` when that is not known.
    pub fn root_gib(&self, server: &ServerAtRest) -> Option<i32> {
        let image = self.image_of(server.alias.as_deref(), &server.image, server.architecture).ok()?.root_gib?;
        let (cpu, memory) = (server.cpu_millis.unwrap_or(0), server.memory_bytes.unwrap_or(0));
        let size = self.size(server.architecture, cpu, memory).ok()?;
        let (_, hibernation_gib) = *choices(&size, server.hibernates).first()?;
        Some(image.saturating_add(hibernation_gib.unwrap_or(0)))
    }

    pub fn has_types(&self, architecture: Architecture) -> bool {
        self.sizes.iter().flatten().any(|facts| has(facts, architecture))
    }

    pub fn has_image(&self, alias: &str, architecture: Architecture) -> bool {
        self.images.get(alias).is_some_and(|images| images.contains_key(&architecture))
    }

    /// Types with such processors, of the smallest size of which all those are large enough.
    fn size(&self, architecture: Option<Architecture>, cpu: u32, memory: u64) -> Result<Vec<&TypeFacts>, String> {
        let architecture = architecture.unwrap_or(USUAL);
        let large_enough = |facts: &&TypeFacts| facts.cpu_millis >= cpu && facts.memory_bytes >= memory;
        let mut sizes = self.sizes.iter().map(|size| size.iter().filter(|facts| has(facts, architecture)).collect());
        sizes.find(|size: &Vec<&TypeFacts>| !size.is_empty() && size.iter().all(large_enough)).ok_or_else(|| {
            let gibibytes = memory as f64 / f64::from(1 << 30);
            let processors = f64::from(cpu) / 1000.0;
            format!(
                "no size this provisioner offers has {processors} {architecture} processors and {gibibytes:.1} GiB of memory"
            )
        })
    }

    /// What a server's root is made from.
    ///
    /// # Errors
    /// Why there is no such image here, for people.
    pub fn image(&self, plan: &ServerPlan) -> Result<&MachineImage, String> {
        self.image_of(plan.alias.as_deref(), &plan.image, plan.architecture)
    }

    fn image_of(
        &self,
        alias: Option<&str>,
        image: &Image,
        architecture: Option<Architecture>,
    ) -> Result<&MachineImage, String> {
        let alias = match (alias, image) {
            (Some(alias), _) => alias,
            (None, Image::Host) => HOST_IMAGE,
            (None, Image::Oci(reference)) => {
                return Err(format!(
                    "the container image {reference} cannot be a server here; name one of {} in the template",
                    self.aliases()
                ));
            }
        };
        let images = self.images.get(alias);
        let images = images.ok_or_else(|| format!("there is no image “{alias}” here, but {}", self.aliases()))?;
        let architecture = architecture.unwrap_or(USUAL);
        images.get(&architecture).ok_or_else(|| format!("there is no image “{alias}” for {architecture} here"))
    }

    fn aliases(&self) -> String {
        self.images.keys().map(|alias| format!("“{alias}”")).collect::<Vec<_>>().join(", ")
    }
}

/// Types of a size to try, in their order, with the GiB of memory that is kept on the disk of one that hibernates. Where one can
/// hibernate that is to, one that cannot is no choice.
fn choices<'a>(size: &[&'a TypeFacts], to_hibernate: bool) -> Vec<(&'a TypeFacts, Option<i32>)> {
    let hibernates = to_hibernate && size.iter().any(|facts| facts.hibernates);
    let gib = |facts: &TypeFacts| i32::try_from(facts.memory_bytes.div_ceil(1 << 30)).unwrap_or(i32::MAX);
    let types = size.iter().filter(|facts| facts.hibernates || !hibernates);
    types.map(|facts| (*facts, hibernates.then(|| gib(facts)))).collect()
}

fn has(facts: &TypeFacts, architecture: Architecture) -> bool {
    facts.architectures.iter().any(|one| one == architecture.as_str())
}

/// What servers whose template names no image are made from, for the processors of the first type there is: a launch of that type
/// can be rehearsed with it.
pub fn first_image<'a>(sizes: &[Vec<TypeFacts>], images: &'a Images) -> Option<&'a MachineImage> {
    let first = sizes.iter().flatten().next();
    let fits = |architecture: Architecture| first.is_none_or(|facts| has(facts, architecture));
    images.get(HOST_IMAGE)?.iter().find(|(architecture, _)| fits(**architecture)).map(|(_, image)| image)
}

/// Why servers with such processors cannot be had, and what would bring them.
pub fn no_type(provisioner: &str, architecture: Architecture) -> String {
    let example = match architecture {
        Architecture::X86 => "t3.small",
        Architecture::Arm64 => "t4g.small",
    };
    format!("no type in `sizes` of [ec2.{provisioner}] has one; add one there, such as {example}")
}

/// Why there is no image of this alias for such processors, and what would bring one.
pub fn no_image(provisioner: &str, alias: &str, architecture: Architecture) -> String {
    let key = match architecture {
        Architecture::X86 => "name",
        Architecture::Arm64 => "arm64",
    };
    format!("write the pattern of such images' names as `{key}` to `images.{alias}` of [ec2.{provisioner}]")
}

/// What is configured for a kind of processor and leads to no server, because the other half is missing.
pub fn halves(config: &Config, sizes: &[Vec<TypeFacts>], images: &Images) -> Vec<String> {
    let mut said = Vec::new();
    for architecture in Architecture::ALL {
        let first = sizes.iter().flatten().find(|facts| has(facts, architecture));
        if let Some(facts) = first.filter(|_| !images.values().any(|images| images.contains_key(&architecture))) {
            said.push(format!("Type {} is for {architecture}, and no image is: add one to `images`.", facts.name));
        }
    }
    let arm = sizes.iter().flatten().any(|facts| has(facts, Architecture::Arm64));
    if let Some((alias, _)) = config.images.iter().find(|(_, wanted)| wanted.arm64.is_some()).filter(|_| !arm) {
        said.push(format!("Image “{alias}” is for arm64, too, and no type is: add one to `sizes`, such as t4g.small."));
    }
    said
}

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
