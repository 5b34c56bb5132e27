//! The least that Bookend has to be allowed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::config::Config;

/// As an IAM policy, for all of these tables together: accounts of one of Amazon's partitions, which the first one names.
pub fn policy<'a>(configs: impl IntoIterator<Item = &'a Config>) -> Value {
    let configs: Vec<&Config> = configs.into_iter().collect();
    let partition = configs.first().map_or("aws", |config| partition(&config.region));
    let text = include_str!("../policy.json").replace("arn:aws:", &format!("arn:{partition}:"));
    let mut policy: Value = serde_json::from_str(&text).unwrap_or_default();
    let roles: BTreeSet<String> = configs.iter().filter_map(|config| role(config, partition)).collect();
    if let (false, Some(statements)) = (roles.is_empty(), policy["Statement"].as_array_mut()) {
        statements.push(json!({
            "Sid": "GiveServersTheirRole",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": roles,
            "Condition": { "StringEquals": { "iam:PassedToService": "ec2.amazonaws.com" } },
        }));
    }
    policy
}

/// The role that servers get. A launch names the profile, and Amazon asks for permission to pass the role in it
/// ("Grant a user permissions to pass a role to an AWS service", IAM User Guide); a role can only be passed in its own account.
fn role(config: &Config, partition: &str) -> Option<String> {
    let role = config.instance_role.as_ref().or(config.instance_profile.as_ref())?;
    if role.starts_with("arn:") {
        return Some(role.clone());
    }
    let account = config.assume_role.as_ref().and_then(|role| role.arn.split(':').nth(4));
    Some(format!("arn:{partition}:iam::{}:role/{}", account.unwrap_or("*"), role.trim_start_matches('/')))
}

/// Amazons that know nothing of each other ("Amazon Resource Names", AWS General Reference).
fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every call by its name, as the source has it.
    fn called() -> BTreeSet<String> {
        let sources = [include_str!("../amazon/describe.rs"), include_str!("../amazon/change.rs")];
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
        let limits = include_str!("../quotas.rs")
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

    const TABLES: &str = r#"
        [ec2.frankfurt]
        region = "eu-central-1"
        images.host = { owner = "amazon", name = "a" }
        sizes = [{ types = ["t3.small"] }]
        instance_profile = "servers"

        [ec2.dublin]
        region = "eu-west-1"
        images.host = { owner = "amazon", name = "a" }
        sizes = [{ types = ["t3.small"] }]
        assume_role = { arn = "arn:aws:iam::111122223333:role/portal" }
        instance_profile = "workers"
        instance_role = "app/worker-role"

        [ec2.paris]
        region = "eu-west-3"
        images.host = { owner = "amazon", name = "a" }
        sizes = [{ types = ["t3.small"] }]
    "#;

    fn passed(policy: &Value) -> Option<Value> {
        let statements = policy["Statement"].as_array().unwrap();
        let passes = |statement: &&Value| statement["Action"] == "iam:PassRole";
        statements.iter().find(passes).map(|statement| statement["Resource"].clone())
    }

    #[test]
    fn the_roles_of_all_tables_may_be_given_to_servers_and_no_other() {
        let tables = crate::config::read(TABLES).unwrap();
        let roles = json!(["arn:aws:iam::*:role/servers", "arn:aws:iam::111122223333:role/app/worker-role"]);
        assert_eq!(passed(&policy(tables.values())), Some(roles));
        assert_eq!(passed(&policy([&tables["paris"]])), None, "servers without a role");
        let role = "arn:aws:iam::111122223333:role/exact".to_owned();
        let exact = Config { instance_role: Some(role.clone()), ..tables["frankfurt"].clone() };
        assert_eq!(passed(&policy([&exact, &exact])), Some(json!([role])), "each once");
    }

    #[test]
    fn in_china_all_names_are_of_the_amazon_there() {
        let mut beijing = crate::config::read(TABLES).unwrap().remove("frankfurt").unwrap();
        beijing.region = "cn-north-1".to_owned();
        let text = policy([&beijing]).to_string();
        assert!(text.contains("arn:aws-cn:iam::*:role/servers"), "{text}");
        assert!(!text.contains("arn:aws:"), "{text}");
    }
}
