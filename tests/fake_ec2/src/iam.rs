//! IAM policies: whether one lets somebody do something to something.
//!
//! As "Policy evaluation logic" in the IAM User Guide has it for one account: what a statement denies is denied, what none allows is
//! denied, too. Only what Bookend's policy is made of is understood. What is not is no policy here, so that nothing is let through
//! by being passed over: other elements (`NotAction`, `Principal`), other operators, other keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What a call wants to do to one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `ec2:StopInstances`.
    pub action: String,
    /// An ARN, or `*` where an action is about no resource.
    pub resource: String,
    /// Condition keys and their values.
    pub keys: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(Vec<Statement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    allows: bool,
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

/// Met when the key has one of the values.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    operator: Operator,
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    /// `"true"`: there is no such key.
    Null,
    Bool,
    StringEquals,
    StringLike,
}

/// Why something is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this policy is not understood: {0}")]
pub struct NoPolicy(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Document {
    version: String,
    statement: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Written {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: String,
    action: Value,
    resource: Value,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Policy {
    /// # Errors
    /// When it is no policy, or has what is not known here.
    pub fn read(text: &str) -> Result<Self, NoPolicy> {
        let document: Document = serde_json::from_str(text).map_err(|error| NoPolicy(error.to_string()))?;
        if document.version != "2012-10-17" {
            return Err(NoPolicy(format!("its version is {}", document.version)));
        }
        document.statement.into_iter().map(Written::read).collect::<Result<_, _>>().map(Self)
    }

    pub fn allows(&self, access: &Access) -> bool {
        let mut fitting = self.0.iter().filter(|statement| statement.fits(access)).peekable();
        fitting.peek().is_some() && fitting.all(|statement| statement.allows)
    }

    /// Whatever another policy allows.
    pub fn denies(&self, access: &Access) -> bool {
        self.0.iter().any(|statement| !statement.allows && statement.fits(access))
    }
}

impl Written {
    fn read(self) -> Result<Statement, NoPolicy> {
        let allows = match self.effect.as_str() {
            "Allow" => true,
            "Deny" => false,
            other => return Err(NoPolicy(format!("its effect is {other}"))),
        };
        let mut conditions = Vec::new();
        for (operator, keys) in self.condition {
            let operator = Operator::read(&operator)?;
            for (key, values) in keys {
                if !is_known(&key) {
                    return Err(NoPolicy(format!("it asks for {key}")));
                }
                conditions.push(Condition { operator, key, values: texts(&values)? });
            }
        }
        Ok(Statement { allows, actions: texts(&self.action)?, resources: texts(&self.resource)?, conditions })
    }
}

impl Operator {
    fn read(name: &str) -> Result<Self, NoPolicy> {
        match name {
            "Null" => Ok(Self::Null),
            "Bool" => Ok(Self::Bool),
            "StringEquals" => Ok(Self::StringEquals),
            "StringLike" => Ok(Self::StringLike),
            other => Err(NoPolicy(format!("it compares by {other}"))),
        }
    }
}

fn is_known(key: &str) -> bool {
    const TAGS: [&str; 2] = ["aws:RequestTag/", "aws:ResourceTag/"];
    const KEYS: [&str; 4] = ["ec2:CreateAction", "iam:PassedToService", "kms:GrantIsForAWSResource", "kms:ViaService"];
    KEYS.contains(&key) || TAGS.iter().any(|prefix| key.starts_with(prefix))
}

impl Statement {
    fn fits(&self, access: &Access) -> bool {
        let action = access.action.to_ascii_lowercase();
        self.actions.iter().any(|pattern| is_like(&pattern.to_ascii_lowercase(), &action))
            && self.resources.iter().any(|pattern| is_resource(pattern, &access.resource))
            && self.conditions.iter().all(|condition| condition.is_met(access.keys.get(&condition.key)))
    }
}

impl Condition {
    fn is_met(&self, found: Option<&String>) -> bool {
        let one = |fits: &dyn Fn(&str, &str) -> bool| {
            found.is_some_and(|found| self.values.iter().any(|value| fits(value, found)))
        };
        match self.operator {
            Operator::Null => self.values.iter().any(|value| (value == "true") == found.is_none()),
            Operator::Bool => one(&|value, found| value.eq_ignore_ascii_case(found)),
            Operator::StringEquals => one(&|value, found| value == found),
            Operator::StringLike => one(&is_like),
        }
    }
}

/// An ARN's six parts are compared each by itself: a star does not reach into the next one.
fn is_resource(pattern: &str, arn: &str) -> bool {
    let (patterns, parts): (Vec<_>, Vec<_>) = (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    pattern == "*"
        || patterns.len() == parts.len() && patterns.iter().zip(&parts).all(|(like, part)| is_like(like, part))
}

/// `*`: anything, or nothing; `?`: one character.
fn is_like(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = &pattern[1..];
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| is_like(rest, &text[at..]))
        }
        (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
            is_like(&pattern[wanted.len_utf8()..], &text[found.len_utf8()..])
        }
        _ => false,
    }
}

/// One text, or a list of them.
fn texts(value: &Value) -> Result<Vec<String>, NoPolicy> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        other => Err(NoPolicy(format!("{other} is no text"))),
    };
    match value {
        Value::Array(many) => many.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(action: &str, resource: &str, keys: &[(&str, &str)]) -> Access {
        let own = |text: &str| text.to_owned();
        Access {
            action: own(action),
            resource: own(resource),
            keys: keys.iter().map(|(key, value)| (own(key), own(value))).collect(),
        }
    }

    const POLICY: &str = r#"{
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*" },
            {
                "Effect": "Allow",
                "Action": ["ec2:StopInstances", "ec2:StartInstances"],
                "Resource": "arn:aws:ec2:*:*:instance/*",
                "Condition": {
                    "StringEquals": { "aws:ResourceTag/of": ["one", "two"] },
                    "Null": { "aws:ResourceTag/name": "false" }
                }
            },
            {
                "Effect": "Deny",
                "Action": "ec2:StopInstances",
                "Resource": "*",
                "Condition": { "StringLike": { "aws:ResourceTag/name": "prod-*" } }
            }
        ]
    }"#;

    #[test]
    fn what_no_statement_allows_is_denied_and_so_is_what_one_denies() {
        let policy = Policy::read(POLICY).expect("a policy");
        let arn = "arn:aws:ec2:eu-central-1:111122223333:instance/i-1";
        let allows = |action: &str, keys: &[(&str, &str)]| policy.allows(&access(action, arn, keys));
        assert!(policy.allows(&access("ec2:DescribeVolumes", "*", &[])));
        assert!(allows("ec2:StopInstances", &[("aws:ResourceTag/of", "two"), ("aws:ResourceTag/name", "dev-1")]));
        assert!(!allows("ec2:StopInstances", &[("aws:ResourceTag/of", "two"), ("aws:ResourceTag/name", "prod-1")]));
        assert!(!allows("ec2:StopInstances", &[("aws:ResourceTag/of", "three"), ("aws:ResourceTag/name", "dev-1")]));
        assert!(!allows("ec2:StopInstances", &[("aws:ResourceTag/of", "two")]), "both conditions are to be met");
        assert!(!allows("ec2:TerminateInstances", &[("aws:ResourceTag/of", "two"), ("aws:ResourceTag/name", "dev-1")]));
    }

    #[test]
    fn a_star_ends_with_its_part_of_an_arn() {
        let snapshot = "arn:aws:ec2:eu-central-1::snapshot/snap-1";
        assert!(is_resource("arn:aws:ec2:*::snapshot/*", snapshot));
        assert!(is_resource("arn:aws:ec2:*:*:snapshot/snap-?", snapshot), "nothing is something for a star");
        assert!(!is_resource("arn:aws:ec2:*:snapshot/*", snapshot));
        assert!(!is_resource("arn:aws:ec2:*:*:volume/*", snapshot));
    }

    #[test]
    fn what_is_not_known_here_is_no_policy() {
        for (known, unknown) in [
            ("StringLike", "ForAllValues:StringLike"),
            ("aws:ResourceTag/of", "aws:SourceIp"),
            ("Resource\": \"*\"", "NotResource\": \"*\""),
        ] {
            assert!(Policy::read(&POLICY.replace(known, unknown)).is_err(), "{unknown}");
        }
    }
}
