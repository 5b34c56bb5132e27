//! Security groups.

use crate::cloud::call::Call;
use crate::cloud::describe::show;
use crate::model::network::Peer;
use crate::model::place::everything_out;
use crate::model::{Course, Group, Permission, Presence, Resource};
use crate::problem::Problem;
use crate::query::Asked;
use crate::xml::Xml;

/// Inbound, and as many outbound; of IPv4, and as many of IPv6. Those that name a group count as both ("Amazon VPC quotas").
const MOST_RULES: usize = 60;

pub fn create(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (now, name) = (call.now, asked.required("GroupName")?);
    let description = asked.required("GroupDescription")?;
    let vpc = match asked.text("VpcId") {
        Some(id) => call.vpc(id)?.id.clone(),
        None => call.place.default_vpc().map(|vpc| vpc.id.clone()).unwrap_or_default(),
    };
    let usable = |text: &str| {
        text.chars().count() <= 255
            && text.chars().all(|one| one.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(one))
    };
    if !usable(name) || name.starts_with("sg-") {
        return Err(Problem::value("groupName", name, "Character sets beyond ASCII are not supported."));
    }
    if !usable(description) {
        return Err(Problem::value("groupDescription", description, "Character sets beyond ASCII are not supported."));
    }
    let same = |group: &&Group| group.vpc == vpc && group.is_visible(now);
    if call.place.groups.with("group-name", name).any(|group| same(&group)) {
        let message = format!("The security group '{name}' already exists for VPC '{vpc}'");
        return Err(Problem::client("InvalidGroup.Duplicate", message));
    }
    let tags = call.new_tags(asked, "security-group", &["security-group"])?;
    let (id, rule) = (call.shared.id("sg"), call.shared.id("sgr"));
    xml.value("return", true).value("groupId", &id).tags(&tags);
    call.place.groups.put(
        now,
        Group {
            id,
            name: name.to_owned(),
            description: description.to_owned(),
            vpc,
            owner: call.place.account.clone(),
            tags,
            permissions: vec![everything_out(rule)],
            course: Course::new(&[(now, Presence::Here)]),
        },
    );
    Ok(())
}

pub fn delete(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (now, id) = (call.now, named(call, asked)?);
    let group = call.group(&id)?;
    if group.name == "default" {
        let message = format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user");
        return Err(Problem::client("CannotDelete", message));
    }
    let used = call.place.interfaces.with("group-id", &id).any(|interface| interface.is_visible(now));
    let meant = call.place.groups.all().any(|other| {
        let means = |one: &Permission| matches!(&one.peer, Peer::Group(peer) if *peer == id);
        other.id != id && other.is_visible(now) && other.permissions.iter().any(means)
    });
    if used || meant {
        return Err(Problem::client("DependencyViolation", format!("resource {id} has a dependent object")));
    }
    call.place.groups.change(&id, now, |group| group.course.turn(now, &[(now, Presence::Gone)]));
    xml.value("return", true).value("groupId", id);
    Ok(())
}

pub fn authorize_ingress(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    authorize(call, asked, false, xml)
}

pub fn authorize_egress(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    authorize(call, asked, true, xml)
}

pub fn revoke_ingress(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    revoke(call, asked, false, xml)
}

pub fn revoke_egress(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    revoke(call, asked, true, xml)
}

fn authorize(call: &mut Call<'_>, asked: &Asked<'_>, egress: bool, xml: &mut Xml) -> Result<(), Problem> {
    let id = named(call, asked)?;
    let mut wanted = permissions(call, asked, egress)?;
    let group = call.group(&id)?;
    if let Some(there) = wanted.iter().find(|one| group.permissions.iter().any(|other| one.same(other))) {
        let message = format!("the specified rule \"{}\" already exists", describe(there));
        return Err(Problem::client("InvalidPermission.Duplicate", message));
    }
    if wanted.iter().enumerate().any(|(index, one)| wanted[..index].iter().any(|other| one.same(other))) {
        let message = "The same permission must not appear multiple times";
        return Err(Problem::client("InvalidParameterValue", message));
    }
    let rules = || group.permissions.iter().filter(|one| one.egress == egress).chain(&wanted);
    let (four, six) =
        (rules().filter(|one| one.peer.cidr6().is_none()), rules().filter(|one| one.peer.cidr4().is_none()));
    if four.count().max(six.count()) > MOST_RULES {
        let message = "The maximum number of rules per security group has been reached.";
        return Err(Problem::client("RulesPerSecurityGroupLimitExceeded", message));
    }
    for one in &mut wanted {
        one.id = call.shared.id("sgr");
    }
    xml.value("return", true);
    let account = call.place.account.clone();
    xml.list("securityGroupRuleSet", &wanted, |xml, one| show::rule(xml, &id, &account, one));
    call.place.groups.change(&id, call.now, |group| group.permissions.extend(wanted));
    Ok(())
}

fn revoke(call: &mut Call<'_>, asked: &Asked<'_>, egress: bool, xml: &mut Xml) -> Result<(), Problem> {
    let id = named(call, asked)?;
    let rules = asked.list("SecurityGroupRuleId");
    let unwanted = if rules.is_empty() { permissions(call, asked, egress)? } else { Vec::new() };
    let group = call.group(&id)?;
    let goes = |one: &Permission| {
        one.egress == egress && (rules.contains(&one.id.as_str()) || unwanted.iter().any(|other| other.same(one)))
    };
    // "For a default VPC, if the values you specify do not match the existing rule's values, no error is returned."
    let strict = call.place.vpcs.get(&group.vpc).is_none_or(|vpc| !vpc.default);
    let missing = strict && unwanted.iter().any(|one| !group.permissions.iter().any(|other| one.same(other)))
        || rules.iter().any(|rule| !group.permissions.iter().any(|one| one.id == *rule));
    if missing {
        let message = "The specified rule does not exist in this security group.";
        return Err(Problem::client("InvalidPermission.NotFound", message));
    }
    let keep: Vec<Permission> = group.permissions.iter().filter(|one| !goes(one)).cloned().collect();
    call.place.groups.change(&id, call.now, |group| group.permissions = keep);
    xml.value("return", true);
    Ok(())
}

fn named(call: &Call<'_>, asked: &Asked<'_>) -> Result<String, Problem> {
    if let Some(id) = asked.text("GroupId").filter(|id| !id.is_empty()) {
        return Ok(call.group(id)?.id.clone());
    }
    let name = asked.required("GroupName")?;
    let found = call.place.groups.with("group-name", name).find(|group| group.is_visible(call.now));
    let absent = || {
        Problem::client("InvalidGroup.NotFound", format!("The security group '{name}' does not exist in default VPC"))
    };
    Ok(found.ok_or_else(absent)?.id.clone())
}

/// One for each range and each group, as Amazon keeps them.
fn permissions(call: &Call<'_>, asked: &Asked<'_>, egress: bool) -> Result<Vec<Permission>, Problem> {
    let mut found = Vec::new();
    for item in asked.items("IpPermissions") {
        let mut peers = Vec::new();
        for range in item.items("IpRanges") {
            peers.push((Peer::Cidr4(cidr(range.required("CidrIp")?)?), range.text("Description")));
        }
        for range in item.items("Ipv6Ranges") {
            peers.push((Peer::Cidr6(range.required("CidrIpv6")?.to_owned()), range.text("Description")));
        }
        for group in item.items("Groups") {
            let id = group.required("GroupId")?;
            peers.push((Peer::Group(call.group(id)?.id.clone()), group.text("Description")));
        }
        for (peer, description) in peers {
            found.push(permission(&item, egress, peer, description)?);
        }
    }
    if let Some(range) = asked.text("CidrIp") {
        found.push(permission(asked, egress, Peer::Cidr4(cidr(range)?), None)?);
    }
    if found.is_empty() {
        return Err(Problem::missing("ipPermissions"));
    }
    Ok(found)
}

fn permission(asked: &Asked<'_>, egress: bool, peer: Peer, description: Option<&str>) -> Result<Permission, Problem> {
    let protocol = match asked.required("IpProtocol")? {
        "6" => "tcp",
        "17" => "udp",
        "1" => "icmp",
        other => other,
    };
    let (from, to) = match protocol {
        "-1" => (None, None),
        "tcp" | "udp" => {
            let (from, to) = (asked.number("FromPort")?, asked.number("ToPort")?);
            let (Some(first), Some(last)) = (from, to) else { return Err(Problem::missing("FromPort")) };
            if !(0..=65_535).contains(&first) || !(first..=65_535).contains(&last) {
                let message = format!("Invalid TCP/UDP port range ({first}:{last})");
                return Err(Problem::client("InvalidParameterValue", message));
            }
            (from, to)
        }
        _ => (asked.number("FromPort")?, asked.number("ToPort")?),
    };
    Ok(Permission {
        id: String::new(),
        egress,
        protocol: protocol.to_owned(),
        from,
        to,
        peer,
        description: description.map(str::to_owned),
    })
}

fn cidr(text: &str) -> Result<String, Problem> {
    let valid = text.split_once('/').is_some_and(|(address, bits)| {
        address.parse::<std::net::Ipv4Addr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= 32)
    });
    let invalid = || Problem::client("InvalidParameterValue", format!("CIDR block {text} is malformed"));
    valid.then(|| text.to_owned()).ok_or_else(invalid)
}

fn describe(permission: &Permission) -> String {
    let peer = match &permission.peer {
        Peer::Cidr4(peer) | Peer::Cidr6(peer) | Peer::Group(peer) => peer,
    };
    format!("peer: {peer}, {}, ALLOW", permission.protocol)
}
