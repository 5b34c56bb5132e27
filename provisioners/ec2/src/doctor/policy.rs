//! The least that Bookend has to be allowed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::config::Config;

/// What a policy can be stricter by, and what it has to allow besides.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The portal's; without it everything that carries some installation's tag may be changed.
    pub installation: Option<String>,
    /// The keys, by ARN, with which accounts encrypt volumes in the place of Amazon's own.
    pub keys: BTreeSet<String>,
}

/// As an IAM policy, for all of these tables together: accounts of one of Amazon's partitions, which the first one names.
pub fn policy<'a>(configs: impl IntoIterator<Item = &'a Config>, known: &Known) -> Value {
    let configs: Vec<&Config> = configs.into_iter().collect();
    let partition = configs.first().map_or("aws", |config| partition(&config.region));
    let text = include_str!("../policy.json").replace("arn:aws:", &format!("arn:{partition}:"));
    let mut policy: Value = serde_json::from_str(&text).unwrap_or_default();
    let Some(statements) = policy["Statement"].as_array_mut() else { return policy };
    if let Some(installation) = &known.installation {
        statements.iter_mut().for_each(|statement| name(statement, installation));
    }
    let roles: BTreeSet<String> = configs.iter().filter_map(|config| role(config, partition)).collect();
    if !roles.is_empty() {
        statements.push(json!({
            "Sid": "GiveServersTheirRole",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": roles,
            "Condition": { "StringEquals": { "iam:PassedToService": "ec2.amazonaws.com" } },
        }));
    }
    if !known.keys.is_empty() {
        statements.extend(encrypt(&known.keys));
    }
    policy
}

/// Some installation's tag is to be this one's.
fn name(statement: &mut Value, installation: &str) {
    let Some(Value::Object(any)) = statement["Condition"].get("Null").cloned() else { return };
    let one: serde_json::Map<String, Value> = any.into_iter().map(|(key, _)| (key, installation.into())).collect();
    statement["Condition"] = json!({ "StringEquals": one });
}

/// What EC2 asks of a customer's key in the name of who calls, and no other use of it ("Requirements for Amazon EBS encryption").
fn encrypt(keys: &BTreeSet<String>) -> [Value; 2] {
    let regions: BTreeSet<&str> = keys.iter().filter_map(|key| key.split(':').nth(3)).collect();
    let domain = |region: &str| if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let services: Vec<String> = regions.iter().map(|region| format!("ec2.{region}.{}", domain(region))).collect();
    let through = json!({ "kms:ViaService": services });
    [
        json!({
            "Sid": "EncryptVolumes",
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*"],
            "Resource": keys,
            "Condition": { "StringEquals": through },
        }),
        json!({
            "Sid": "LetServersReadVolumes",
            "Effect": "Allow",
            "Action": "kms:CreateGrant",
            "Resource": keys,
            "Condition": { "StringEquals": through, "Bool": { "kms:GrantIsForAWSResource": "true" } },
        }),
    ]
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
            "GetEbs",
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
        let policy = policy(None, &Known::default());
        let actions = policy["Statement"].as_array().unwrap().iter().flat_map(|statement| match &statement["Action"] {
            Value::String(one) => vec![one.clone()],
            many => many.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        });
        assert_eq!(actions.collect::<BTreeSet<_>>(), called());
    }

    #[test]
    fn nothing_without_our_tag_may_be_changed() {
        let policy = policy(None, &Known::default());
        for statement in policy["Statement"].as_array().unwrap() {
            let looks = statement["Action"].to_string().matches("ec2:").count()
                == statement["Action"].to_string().matches("ec2:Describe").count()
                    + statement["Action"].to_string().matches("ec2:Get").count();
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
        assert_eq!(passed(&policy(tables.values(), &Known::default())), Some(roles));
        assert_eq!(passed(&policy([&tables["paris"]], &Known::default())), None, "servers without a role");
        let role = "arn:aws:iam::111122223333:role/exact".to_owned();
        let exact = Config { instance_role: Some(role.clone()), ..tables["frankfurt"].clone() };
        assert_eq!(passed(&policy([&exact, &exact], &Known::default())), Some(json!([role])), "each once");
    }

    #[test]
    fn in_china_all_names_are_of_the_amazon_there() {
        let mut beijing = crate::config::read(TABLES).unwrap().remove("frankfurt").unwrap();
        beijing.region = "cn-north-1".to_owned();
        let text = policy([&beijing], &Known::default()).to_string();
        assert!(text.contains("arn:aws-cn:iam::*:role/servers"), "{text}");
        assert!(!text.contains("arn:aws:"), "{text}");
    }

    #[test]
    fn an_installation_that_is_known_is_the_only_one() {
        let (loose, known) =
            (Known::default(), Known { installation: Some("0192-ours".to_owned()), ..Known::default() });
        let (loose, strict) = (policy(None, &loose).to_string(), policy(None, &known).to_string());
        assert!(!strict.contains("Null"), "{strict}");
        let tags = |text: &str| text.matches("Tag/bookend:installation\"").count();
        let ours = |text: &str| text.matches("Tag/bookend:installation\":\"0192-ours\"").count();
        assert_eq!((tags(&strict), ours(&strict), ours(&loose)), (tags(&loose), tags(&loose), 0));
    }

    #[test]
    fn a_key_of_the_account_is_used_by_amazon_in_our_name_and_for_nothing_else() {
        let key = "arn:aws:kms:eu-central-1:111122223333:key/0b6a2f3c".to_owned();
        let known = Known { keys: BTreeSet::from([key.clone()]), ..Known::default() };
        let policy = policy(None, &known);
        let about_keys = |statement: &&Value| statement["Action"].to_string().contains("kms:");
        let statements: Vec<_> = policy["Statement"].as_array().unwrap().iter().filter(about_keys).collect();
        assert_eq!(statements.len(), 2);
        for statement in statements {
            assert_eq!(statement["Resource"], json!([key]));
            let through = &statement["Condition"]["StringEquals"]["kms:ViaService"];
            assert_eq!(*through, json!(["ec2.eu-central-1.amazonaws.com"]));
        }
    }

    /// "IAM and AWS STS quotas": characters of a managed policy, without white space.
    #[test]
    fn the_policy_fits_into_one_of_amazons() {
        let tables = crate::config::read(TABLES).unwrap();
        let keys = ["eu-central-1", "eu-west-1", "eu-west-3"];
        let keys = keys.map(|region| format!("arn:aws:kms:{region}:111122223333:key/{}", "0".repeat(36)));
        let known = Known { installation: Some("0".repeat(36)), keys: keys.into_iter().collect() };
        assert!(policy(tables.values(), &known).to_string().len() < 6144);
    }
}
