//! What a region offers this provisioner: zones with their subnets, images behind aliases, types with their sizes, and how servers
//! find the portal. Pure; `survey` asks for each of them, `current` for all together.

use std::collections::BTreeMap;

use provisioners::{Architecture, EnvironmentId, Image, ServerAtRest, ServerPlan};
use sha2::{Digest, Sha256};

use super::amazon::{CallError, MachineImage, Rule, Subnet, TypeFacts};
use super::config::{Config, HOST_IMAGE};
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
    /// For whoever orders: what is to be changed, or waited for.
    pub fn plain(&self) -> String {
        match self {
            PlaceError::Call(CallError::Throttled(_) | CallError::Unknown { .. }) => {
                "Amazon does not answer, and the operator's page says why".to_owned()
            }
            PlaceError::Call(refusal) => refusal.plain().trim_end_matches('.').to_owned(),
            wrong => wrong.to_string(),
        }
    }

    /// Nobody has to change anything for it to be otherwise.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            PlaceError::Call(CallError::Throttled(_) | CallError::Unknown { .. }) | PlaceError::PortalAddress { .. }
        )
    }
}

impl Place {
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

pub fn has(facts: &TypeFacts, architecture: Architecture) -> bool {
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
