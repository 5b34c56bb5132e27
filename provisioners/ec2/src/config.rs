//! What an operator says about one account and region: a table `[ec2.NAME]` of the file with provisioners.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use provisioners::{Architecture, Copied};
use serde::Deserialize;

use super::Portal;
use super::prices::Prices;
use super::variables::{self, Unfilled};

/// See the module. What is not known is refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub region: String,
    /// Of `~/.aws/config`; absent, the usual chain of credentials is asked (environment, web identity, instance).
    pub profile: Option<String>,
    pub assume_role: Option<AssumeRole>,
    /// Of EC2 alone, as an interface endpoint of a VPC is; absent: the region's own.
    pub endpoint: Option<String>,
    /// Of the services that are asked besides.
    #[serde(default)]
    pub endpoints: Endpoints,
    /// Absent: the region's default VPC.
    pub vpc: Option<String>,
    /// In the order in which their zones are tried; absent: every subnet that is its zone's default.
    #[serde(default)]
    pub subnets: Vec<String>,
    /// Besides the one that each environment has of its own.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// By its name.
    pub instance_profile: Option<String>,
    /// The role in that profile, by its name with its path, or by its ARN; absent: it is called as the profile is. For the policy that
    /// the doctor prints.
    pub instance_role: Option<String>,
    pub key_pair: Option<String>,
    /// What `image: host` and `image: { ec2: ALIAS }` of a template stand for.
    pub images: BTreeMap<String, ImageAlias>,
    /// From the smallest to the largest.
    pub sizes: Vec<Size>,
    /// On everything, besides Bookend's own.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// How fast what a snapshot holds is read into a new volume, 100 to 300; Amazon asks for it. Absent: as Amazon likes, at no cost.
    pub volume_initialization_mib_per_second: Option<i32>,
    /// How servers reach the portal; absent: `--public-url`.
    pub portal_url: Option<String>,
    /// The proxy that servers reach it through, such as `http://proxy.example.com:3128`; absent: none.
    pub portal_proxy: Option<String>,
    /// Networks (CIDR) in which servers find the portal, or that proxy; absent: the addresses that its name has.
    #[serde(default)]
    pub portal_networks: Vec<String>,
    /// PEM file of the authorities that vouch for it, when not those that every system knows.
    pub portal_ca_file: Option<PathBuf>,
    /// When a server has not reached its portal for so long, it brings what its volumes hold to their disks again and again.
    /// Absent: 300.
    pub portal_away_seconds: Option<u32>,
    #[serde(default)]
    pub prices: Prices,
    #[serde(default)]
    pub orphans: OrphanPolicy,
    pub snapshots: Option<SnapshotPolicy>,
}

/// Absent: the region's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// For `assume_role`.
    pub sts: Option<String>,
    /// For `bookend doctor ec2`.
    pub service_quotas: Option<String>,
}

/// What may become of snapshots, once they are complete.
#[derive(Default, Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotPolicy {
    /// Another table of the file, which has copies of them: the same account, in another region. Absent: they stay where they are.
    pub copy_to: Option<String>,
    /// Absent: all of them.
    pub copy: Option<Copied>,
    /// Whether people may keep them warm, which Amazon asks for by the hour.
    #[serde(default)]
    pub fast_restore: bool,
}

/// What becomes of what nothing remembered names. Volumes and snapshots hold data: only people remove those.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrphanPolicy {
    /// Servers are ended so long after they were first seen; 0 or "never": only people end them.
    #[serde(default)]
    servers_after_hours: Hours,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "`servers_after_hours` is a number of hours, or \"never\"")]
enum Hours {
    Number(u16),
    Word(Never),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Never {
    Never,
}

impl Default for Hours {
    fn default() -> Self {
        Hours::Number(24)
    }
}

impl OrphanPolicy {
    /// `None`: never.
    pub fn servers_after(&self) -> Option<Duration> {
        match self.servers_after_hours {
            Hours::Number(0) | Hours::Word(Never::Never) => None,
            Hours::Number(hours) => Some(Duration::from_secs(u64::from(hours) * 3600)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssumeRole {
    pub arn: String,
    /// Keeps others who know the role's name from having us act for them (the confused deputy).
    pub external_id: Option<String>,
}

/// The newest image of an owner whose name fits, for each kind of processor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageAlias {
    /// An account's number, `amazon` or `self`.
    pub owner: String,
    /// `*` and `?` stand for any characters.
    pub name: String,
    /// The same of images for arm64, where their names differ; absent: those among `name`.
    pub arm64: Option<String>,
}

/// Types that are as good as each other, the preferred one first. How large they are, and what processors they have, Amazon
/// says; a server gets one with its own kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    pub types: Vec<String>,
}

/// Why a file with provisioners is not understood.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    #[error("[ec2.{name}] {problem}")]
    Table { name: String, problem: String },
}

/// All tables of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    ec2: BTreeMap<String, Config>,
}

/// What a variable of the environment is; `None`: it is not set.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Amazon's limit is 50 for each thing; Bookend needs some itself.
const MOST_TAGS: usize = 35;
/// The alias that `image: host` stands for.
pub const HOST_IMAGE: &str = "host";

/// The provisioners of a file, by name, with what its texts leave to the variables of this process. One that is empty is not set.
///
/// # Errors
/// [`ConfigError`] says which table and what to do.
pub fn read(text: &str) -> Result<BTreeMap<String, Config>, ConfigError> {
    read_with(text, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// The same with these variables.
fn read_with(text: &str, variable: Variables) -> Result<BTreeMap<String, Config>, ConfigError> {
    let file = File::deserialize(filled(text, variable)?);
    // As it stands it is told with its line.
    let file = file.map_err(|error| toml::from_str::<File>(text).err().unwrap_or(error))?;
    for (name, config) in &file.ec2 {
        let checked = config.check(name).and_then(|()| has_copies(name, config, &file.ec2));
        checked.map_err(|problem| ConfigError::Table { name: name.clone(), problem })?;
    }
    Ok(file.ec2)
}

fn filled(text: &str, variable: Variables) -> Result<toml::Table, ConfigError> {
    let mut file: toml::Table = text.parse()?;
    let tables = file.get_mut("ec2").and_then(toml::Value::as_table_mut);
    for (name, table) in tables.into_iter().flatten() {
        let Some(table) = table.as_table_mut() else { continue };
        variables::fill(table, variable).map_err(|Unfilled { key, problem }| ConfigError::Table {
            name: name.clone(),
            problem: format!("`{key}` {problem}"),
        })?;
    }
    Ok(file)
}

impl Config {
    /// A portal at this address, which has agents of these SHA-256 for its servers.
    pub fn portal(&self, url: String, agents: BTreeMap<Architecture, String>, authorities: Option<String>) -> Portal {
        let (proxy, away_seconds) = (self.portal_proxy.clone(), self.portal_away_seconds);
        Portal { url, agents, authorities, proxy, away_seconds }
    }

    fn check(&self, name: &str) -> Result<(), String> {
        let fine = |name: &str| {
            let letters = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
            name.starts_with(|first: char| first.is_ascii_lowercase())
                && name.chars().all(|character| letters(character) || character == '-')
                && name.len() <= 40
        };
        if !fine(name) || name == "local" {
            return Err(
                "needs a name of lower-case letters, digits and hyphens (at most 40), other than “local”".into()
            );
        }
        if self.region.is_empty() || !fine(&self.region) {
            return Err(format!("`region` is {:?}; write one like \"eu-central-1\"", self.region));
        }
        if self.profile.is_some() && self.assume_role.is_some() {
            return Err("has `profile` and `assume_role`; keep one (a profile may itself assume a role)".into());
        }
        if !self.images.contains_key(HOST_IMAGE) {
            let example = "images.host = { owner = \"amazon\", name = \"al2023-ami-2023.*-x86_64\" }";
            return Err(format!("needs the image that servers get when their template names none: `{example}`"));
        }
        if self.sizes.is_empty() || self.sizes.iter().any(|size| size.types.is_empty()) {
            return Err(
                "needs at least one size, each with at least one type: `sizes = [{ types = [\"t3.small\"] }]`".into()
            );
        }
        if let Some(profile) = self.instance_profile.as_deref().filter(|profile| profile.contains([':', '/'])) {
            return Err(format!("`instance_profile` is {profile:?}; write its name alone, without path or ARN"));
        }
        if self.instance_role.is_some() && self.instance_profile.is_none() {
            return Err("`instance_role` needs `instance_profile`, the profile that has this role".into());
        }
        if self.tags.len() > MOST_TAGS {
            return Err(format!("has {} tags; at most {MOST_TAGS} leave room for Bookend's own", self.tags.len()));
        }
        for (key, value) in &self.tags {
            if key.is_empty() || key.len() > 128 || value.len() > 256 {
                return Err(format!("tag {key:?}: keys have 1 to 128 characters, values up to 256"));
            }
            if key.starts_with("aws:") || key.starts_with(super::tags::PREFIX) {
                return Err(format!("tag {key:?}: keys that begin with `aws:` or `{}` are taken", super::tags::PREFIX));
            }
        }
        if let Some(rate) = self.volume_initialization_mib_per_second.filter(|rate| !(100..=300).contains(rate)) {
            return Err(format!("`volume_initialization_mib_per_second` is {rate}; Amazon has 100 to 300"));
        }
        if let Some(network) = self.portal_networks.iter().find(|network| !is_network(network)) {
            return Err(format!("`portal_networks` has {network:?}; write networks like \"10.0.0.0/16\""));
        }
        if let Some(proxy) = self.portal_proxy.as_deref().filter(|proxy| !is_proxy(proxy)) {
            let given = if proxy.contains('@') { "has an @".to_owned() } else { format!("is {proxy:?}") };
            return Err(format!(
                "`portal_proxy` {given}; it is like http://proxy.example.com:3128, without a name or password: every program on a \
                 server can read it"
            ));
        }
        if self.portal_away_seconds == Some(0) {
            return Err("`portal_away_seconds` is 0; a portal that restarts is away for some".to_owned());
        }
        let Endpoints { sts, service_quotas } = &self.endpoints;
        for (name, endpoint) in
            [("endpoint", &self.endpoint), ("endpoints.sts", sts), ("endpoints.service_quotas", service_quotas)]
        {
            if let Some(endpoint) = endpoint.as_deref().filter(|endpoint| !endpoint.starts_with("http")) {
                return Err(format!("`{name}` is {endpoint:?}; it begins with https:// (or http://)"));
            }
        }
        Ok(())
    }
}

/// What it copies its snapshots to is another one that there is.
fn has_copies(name: &str, config: &Config, all: &BTreeMap<String, Config>) -> Result<(), String> {
    let Some(policy) = &config.snapshots else { return Ok(()) };
    let Some(to) = policy.copy_to.as_deref() else {
        return match policy.copy {
            None => Ok(()),
            Some(_) => Err("`snapshots.copy` needs `snapshots.copy_to`, the table that has the copies".into()),
        };
    };
    match all.get(to).filter(|_| to != name) {
        Some(other) if other.region != config.region => return Ok(()),
        Some(_) => {
            return Err(format!(
                "`snapshots.copy_to` is {to:?}, which is in {}, too; name another region",
                config.region
            ));
        }
        None => {}
    }
    let others: Vec<&str> = all.keys().map(String::as_str).filter(|other| *other != name).collect();
    Err(match others.as_slice() {
        [] => format!("`snapshots.copy_to` is {to:?}; write a table for that region into this file, and name it"),
        others => format!("`snapshots.copy_to` is {to:?}; name another table of this file: {}", others.join(", ")),
    })
}

/// One that is spoken to by plain http, as agents do.
fn is_proxy(text: &str) -> bool {
    let uri: Option<Uri> = text.parse().ok();
    uri.is_some_and(|uri| {
        let place = uri.authority().is_some_and(|place| !place.as_str().contains('@') && place.port_u16().is_some());
        place && uri.scheme_str() == Some("http") && uri.path() == "/"
    })
}

fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = r#"
        [ec2.frankfurt]
        region = "eu-central-1"
        images.host = { owner = "amazon", name = "al2023-ami-2023.*-x86_64" }
        sizes = [{ types = ["t3.small", "t3a.small"] }]
    "#;

    #[test]
    fn a_few_lines_are_a_provisioner() {
        let read = read(SMALLEST).unwrap();
        let frankfurt = &read["frankfurt"];
        assert_eq!(frankfurt.sizes[0].types, ["t3.small", "t3a.small"]);
        assert_eq!((&frankfurt.vpc, frankfurt.subnets.len()), (&None, 0));
    }

    #[test]
    fn an_image_may_have_another_pattern_for_arm64() {
        let text = SMALLEST.replace("-x86_64\" }", "-x86_64\", arm64 = \"al2023-ami-2023.*-arm64\" }");
        let arm64 = |text: &str| read(text).unwrap()["frankfurt"].images["host"].arm64.clone();
        assert_eq!((arm64(SMALLEST), arm64(&text).as_deref()), (None, Some("al2023-ami-2023.*-arm64")));
    }

    #[test]
    fn servers_that_nobody_owns_end_after_a_day_unless_an_operator_says_otherwise() {
        let after = |more: &str| {
            let text = SMALLEST.replace("region =", &format!("{more}\nregion ="));
            read(&text).unwrap()["frankfurt"].orphans.servers_after().map(|after| after.as_secs() / 3600)
        };
        assert_eq!(after(""), Some(24));
        assert_eq!(after("orphans.servers_after_hours = 2"), Some(2));
        assert_eq!(after("orphans.servers_after_hours = 0"), None);
        assert_eq!(after("orphans.servers_after_hours = \"never\""), None);
    }

    #[test]
    fn snapshots_are_copied_to_another_table_of_the_file() {
        let dublin = "[ec2.dublin]\nregion = \"eu-west-1\"\nimages.host = { owner = \"amazon\", name = \"a\" }\n";
        let dublin = format!("{dublin}sizes = [{{ types = [\"t3.small\"] }}]\n");
        let with = |more: &str| {
            let frankfurt = SMALLEST.replace("region =", &format!("{more}\nregion ="));
            read(&format!("{frankfurt}\n{dublin}")).map(|mut all| all.remove("frankfurt").unwrap().snapshots)
        };
        assert_eq!(with("").unwrap(), None);
        let all = SnapshotPolicy { copy_to: Some("dublin".into()), ..SnapshotPolicy::default() };
        assert_eq!(with("snapshots.copy_to = \"dublin\"").unwrap(), Some(all.clone()));
        let kept = with("snapshots = { copy_to = \"dublin\", copy = \"kept\" }").unwrap();
        assert_eq!(kept, Some(SnapshotPolicy { copy: Some(Copied::Kept), ..all }));
        let near = "snapshots.copy_to = \"dublin\"\n";
        let near = read(&format!(
            "{}\n{}",
            SMALLEST.replace("region =", &format!("{near}region =")),
            dublin.replace("eu-west-1", "eu-central-1")
        ));
        let near = near.unwrap_err().to_string();
        assert!(near.contains("is in eu-central-1, too; name another region"), "{near}");
        let warm = SnapshotPolicy { fast_restore: true, ..SnapshotPolicy::default() };
        assert_eq!(with("snapshots.fast_restore = true").unwrap(), Some(warm));
        let nobody = with("snapshots.copy_to = \"paris\"").unwrap_err().to_string();
        assert!(nobody.contains("name another table of this file: dublin"), "{nobody}");
    }

    #[test]
    fn texts_of_the_file_may_come_from_variables() {
        let given =
            "assume_role = { arn = \"arn:aws:iam::${ACCOUNT}:role/bookend\", external_id = \"${EXTERNAL_ID}\" }";
        let text = SMALLEST.replace("region =", &format!("{given}\nendpoint = \"$${{\"\nregion ="));
        let variables = |name: &str| match name {
            "ACCOUNT" => Some("111122223333".to_owned()),
            "EXTERNAL_ID" => Some("sesame\"\nregion = \"us-east-1".to_owned()),
            _ => None,
        };
        let told = read_with(&text, &variables).unwrap_err().to_string();
        assert!(told.contains("`endpoint` is \"${\"; it begins with"), "{told}");
        let text = text.replace("$${", "https://ec2.example.com");
        let frankfurt = read_with(&text, &variables).unwrap().remove("frankfurt").unwrap();
        let role = frankfurt.assume_role.unwrap();
        assert_eq!(role.arn, "arn:aws:iam::111122223333:role/bookend");
        assert_eq!(role.external_id.as_deref(), Some("sesame\"\nregion = \"us-east-1"), "a value is a text");
        assert_eq!(frankfurt.region, "eu-central-1");
        let told = read_with(&text, &|name| variables(name).filter(|_| name == "ACCOUNT")).unwrap_err().to_string();
        let wanted = "[ec2.frankfurt] `assume_role.external_id` wants the variable EXTERNAL_ID, which is not set";
        assert!(told.starts_with(wanted), "{told}");
    }

    #[test]
    fn a_choice_may_come_from_a_variable_and_a_wrong_one_is_told() {
        let text = SMALLEST.replace("region =", "orphans.servers_after_hours = \"${ENDS}\"\nregion =");
        let ends = |value: &str| read_with(&text, &|_| Some(value.to_owned()));
        assert_eq!(ends("never").unwrap()["frankfurt"].orphans.servers_after(), None);
        let told = ends("soon").unwrap_err().to_string();
        assert!(told.contains("servers_after_hours"), "{told}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_what_to_write() {
        for (from, to, says) in [
            ("region = \"eu-central-1\"", "", "missing field `region`"),
            ("region", "regoin", "unknown field `regoin`"),
            ("ec2.frankfurt", "ec2.Frankfurt", "[ec2.Frankfurt] needs a name of lower-case letters"),
            ("ec2.frankfurt", "ec2.local", "other than “local”"),
            ("images.host", "images.debian", "needs the image that servers get when their template names none"),
            ("[{ types = [\"t3.small\", \"t3a.small\"] }]", "[]", "needs at least one size"),
            ("region", "tags.\"bookend:x\" = \"1\"\nregion", "keys that begin with `aws:` or `bookend:` are taken"),
            ("region", "portal_networks = [\"10.0.0.0\"]\nregion", "write networks like \"10.0.0.0/16\""),
            ("region", "volume_initialization_mib_per_second = 50\nregion", "is 50; Amazon has 100 to 300"),
            ("region", "portal_proxy = \"https://proxy.example.com:3128\"\nregion", "it is like http://proxy"),
            (
                "region",
                "portal_proxy = \"http://ann:sesame@proxy.example.com:3128\"\nregion",
                "without a name or password",
            ),
            ("region", "portal_proxy = \"http://proxy.example.com\"\nregion", "it is like http://proxy"),
            ("region", "portal_away_seconds = 0\nregion", "a portal that restarts"),
            ("region", "instance_role = \"servers\"\nregion", "needs `instance_profile`"),
            ("region", "instance_profile = \"arn:aws:iam::1:instance-profile/a\"\nregion", "write its name alone"),
            ("region", "endpoint = \"localhost:1\"\nregion", "it begins with https://"),
            ("region", "endpoints.sts = \"localhost:1\"\nregion", "`endpoints.sts` is \"localhost:1\"; it begins with"),
            ("region", "endpoints.ec2 = \"https://a\"\nregion", "unknown field `ec2`"),
            ("region", "orphans.servers_after_hours = \"soon\"\nregion", "is a number of hours, or \"never\""),
            ("region", "snapshots.copy_to = \"dublin\"\nregion", "write a table for that region into this file"),
            ("region", "snapshots.copy_to = \"frankfurt\"\nregion", "write a table for that region into this file"),
            ("region", "snapshots.copy = \"all\"\nregion", "needs `snapshots.copy_to`"),
            ("region", "profile = \"a\"\nassume_role = { arn = \"b\" }\nregion", "keep one"),
        ] {
            let error = read(&SMALLEST.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(says), "{to:?}: {error}");
        }
    }
}
