//! The security token service: who one is, and becoming somebody else.
//!
//! A role of another account is assumed only with the external id it asks for, so that nobody can have a third party's
//! access used for them.

use crate::cloud::{Answer, Cloud, XML};
use crate::problem::Problem;
use crate::query::Request;
use crate::seed::dice;
use crate::time::iso;
use crate::xml::Xml;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Writes what an action answers.
type Fields = Box<dyn FnOnce(&mut Xml)>;

/// A role somebody assumed.
pub struct Session {
    pub account: String,
    pub role: String,
    pub name: String,
    pub token: String,
    pub expires_ms: i64,
}

impl Session {
    pub fn arn(&self) -> String {
        let Self { account, role, name, .. } = self;
        format!("arn:aws:sts::{account}:assumed-role/{role}/{name}")
    }
}

/// The one user of an account.
pub fn user(account: &str) -> String {
    format!("arn:aws:iam::{account}:user/operator")
}

pub fn is_one(action: &str) -> bool {
    matches!(action, "GetCallerIdentity" | "AssumeRole")
}

impl Cloud {
    pub(super) fn answer_sts(&mut self, now_ms: i64, request: &Request, id: &str) -> Answer {
        let action = request.action().to_owned();
        let outcome = self.act_sts(now_ms, &action, request);
        let status = outcome.as_ref().err().map_or(200, |problem| problem.status);
        self.audit.note(now_ms, "sts", &action, false, request, outcome.as_ref().err());
        let mut xml = Xml::new();
        match outcome {
            Ok(fields) => xml.root(&format!("{action}Response"), NAMESPACE, |xml| {
                xml.node(&format!("{action}Result"), |xml| fields(xml));
                xml.node("ResponseMetadata", |xml| {
                    xml.value("RequestId", id);
                });
            }),
            Err(problem) => xml.root("ErrorResponse", NAMESPACE, |xml| {
                xml.node("Error", |xml| {
                    xml.value("Type", "Sender").value("Code", &problem.code).value("Message", &problem.message);
                });
                xml.value("RequestId", id);
            }),
        };
        Answer { status, body: xml.into_text(), kind: XML }
    }

    fn act_sts(&mut self, now_ms: i64, action: &str, request: &Request) -> Result<Fields, Problem> {
        let message = "The security token included in the request is invalid.";
        let refused = || Problem::new(403, "InvalidClientTokenId", message);
        let key = request.caller.as_ref().map(|caller| caller.access_key.as_str()).ok_or_else(refused)?;
        let (account, arn, user) = match self.sessions.get(key) {
            Some(session) if session.expires_ms <= now_ms => {
                let message = "The security token included in the request is expired";
                return Err(Problem::new(403, "ExpiredToken", message));
            }
            Some(session) => (session.account.clone(), session.arn(), format!("AROAFAKE:{}", session.name)),
            None => {
                let account = self.account_of_key(key).ok_or_else(refused)?.id.clone();
                let arn = user(&account);
                (account, arn, "AIDAFAKE".to_owned())
            }
        };
        if action == "GetCallerIdentity" {
            return Ok(Box::new(move |xml| {
                xml.value("Arn", arn).value("UserId", user).value("Account", account);
            }));
        }
        self.assume(now_ms, request, &arn)
    }

    fn assume(&mut self, now_ms: i64, request: &Request, caller: &str) -> Result<Fields, Problem> {
        let asked = request.asked();
        let (arn, name) = (asked.required("RoleArn")?, asked.required("RoleSessionName")?);
        let seconds = asked.number("DurationSeconds")?.unwrap_or(3600);
        if !(900..=43_200).contains(&seconds) {
            let message = "DurationSeconds must be from 900 to 43200";
            return Err(Problem::client("ValidationError", message));
        }
        let denied = || {
            let message = format!("User: {caller} is not authorized to perform: sts:AssumeRole on resource: {arn}");
            Problem::new(403, "AccessDenied", message)
        };
        // arn:aws:iam::ACCOUNT:role/NAME
        let (account, role) = arn
            .strip_prefix("arn:aws:iam::")
            .and_then(|rest| rest.split_once(":role/"))
            .ok_or_else(|| Problem::client("ValidationError", format!("{arn} is invalid")))?;
        let roles = self.rules.accounts.iter().filter(|one| one.id == account).flat_map(|one| &one.roles);
        let known = roles.into_iter().find(|one| one.name == role).ok_or_else(denied)?;
        if known.external_id.is_some() && known.external_id.as_deref() != asked.text("ExternalId") {
            return Err(denied());
        }
        let number = self.shared.count();
        let key = format!("ASIA{:016X}", dice(self.rules.seed, &format!("session {number}")));
        let secret = format!("{:016x}", dice(self.rules.seed, &format!("secret {number}")));
        let token = format!("{:016x}", dice(self.rules.seed, &format!("token {number}")));
        let session = Session {
            account: account.to_owned(),
            role: role.to_owned(),
            name: name.to_owned(),
            token: token.clone(),
            expires_ms: now_ms + seconds * 1000,
        };
        let (expires, user) = (iso(session.expires_ms), format!("AROAFAKE:{name}"));
        let assumed = format!("arn:aws:sts::{account}:assumed-role/{role}/{name}");
        self.sessions.insert(key.clone(), session);
        Ok(Box::new(move |xml| {
            xml.node("AssumedRoleUser", |xml| {
                xml.value("AssumedRoleId", user).value("Arn", assumed);
            });
            xml.node("Credentials", |xml| {
                xml.value("AccessKeyId", key).value("SecretAccessKey", secret);
                xml.value("SessionToken", token).value("Expiration", expires);
            });
        }))
    }
}
