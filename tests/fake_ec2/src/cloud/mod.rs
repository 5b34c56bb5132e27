//! The whole of Amazon as one value: a request and the time go in, an answer comes out, and what there is has changed.
//!
//! Pure but for what it keeps: no clock, no sockets, no tasks. What takes time is written down with the moments at which it
//! becomes so; whoever asks later sees it become so.

mod act;
mod audit;
mod call;
mod control;
mod describe;
mod foreign;
mod permissions;
mod quotas;
mod sts;
mod truth;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use audit::{Counts, Touch};
pub use call::Pool;
pub use control::Unknown;
pub use truth::{Census, TrueFastRestore, TrueGroup, TrueInstance, TrueInterface, TrueSnapshot, TrueVolume, Truth};

use self::audit::Audit;
use self::call::{Call, Shared};
use crate::buckets::is_describe;
use crate::iam::Policy;
use crate::model::Place;
use crate::problem::Problem;
use crate::query::{Caller, Request};
use crate::rules::{Account, Rules};
use crate::seed::dice;
use crate::xml::Xml;

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// What is sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    /// Its content type.
    pub kind: &'static str,
}

const XML: &str = "text/xml;charset=UTF-8";
const JSON: &str = "application/x-amz-json-1.1";

pub struct Cloud {
    rules: Rules,
    /// By account and region.
    places: BTreeMap<(String, String), Place>,
    sessions: HashMap<String, sts::Session>,
    shared: Shared,
    audit: Audit,
    denied: BTreeSet<String>,
    /// By access key, or a role's ARN; who has none here may do everything.
    policies: BTreeMap<String, Policy>,
    /// Of the organization that all accounts are in: what it does not let through nobody may.
    organization: Option<Policy>,
    /// What Service Quotas tells, by code; what is not here is plenty.
    quotas: BTreeMap<String, u32>,
    /// Requests that the network delivers once more, by the moment it does.
    again: BTreeMap<(i64, u64), Request>,
}

impl Cloud {
    pub fn new(rules: Rules) -> Self {
        Self {
            shared: Shared::new(rules.seed),
            rules,
            places: BTreeMap::new(),
            sessions: HashMap::new(),
            audit: Audit::default(),
            denied: BTreeSet::new(),
            policies: BTreeMap::new(),
            organization: None,
            quotas: BTreeMap::new(),
            again: BTreeMap::new(),
        }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn answer(&mut self, now_ms: i64, request: &Request) -> Answer {
        self.catch_up(now_ms);
        self.answer_now(now_ms, request)
    }

    /// Has a request delivered a second time, at a moment.
    pub fn deliver_again(&mut self, at_ms: i64, request: Request) {
        self.again.insert((at_ms, self.shared.count()), request);
    }

    /// What was delivered again until now happens.
    pub fn catch_up(&mut self, now_ms: i64) {
        while let Some(entry) = self.again.first_entry().filter(|entry| entry.key().0 <= now_ms) {
            let ((at_ms, _), request) = entry.remove_entry();
            // Whoever asked is gone; nobody reads this answer.
            drop(self.answer_now(at_ms, &request));
        }
    }

    /// What this request would be answered with when it is refused by Amazon's own trouble.
    pub fn trouble(&mut self, unavailable: bool) -> Answer {
        let problem = match unavailable {
            true => Problem::new(503, "Unavailable", "The service is unavailable. Please try again shortly."),
            false => Problem::new(500, "InternalError", "An internal error has occurred"),
        };
        refusal(&problem, &self.shared.request_id())
    }

    fn answer_now(&mut self, now_ms: i64, request: &Request) -> Answer {
        let id = self.shared.request_id();
        let action = request.action().to_owned();
        if sts::is_one(&action) {
            return self.answer_sts(now_ms, request, &id);
        }
        if quotas::is_one(&action) {
            return self.answer_quotas(now_ms, request);
        }
        let mut xml = Xml::new();
        let mut outcome = Ok(());
        xml.root(&format!("{action}Response"), NAMESPACE, |xml| {
            xml.value("requestId", &id);
            outcome = self.act(now_ms, &action, request, xml);
        });
        match outcome {
            Ok(()) => Answer { status: 200, body: xml.into_text(), kind: XML },
            Err(problem) => refusal(&problem, &id),
        }
    }

    fn act(&mut self, now_ms: i64, action: &str, request: &Request, xml: &mut Xml) -> Result<(), Problem> {
        let who = self.caller(request.caller.as_ref(), now_ms)?;
        let outcome = self.act_as(now_ms, &who, action, request, xml);
        let mutating = !is_describe(action) && !request.is_dry_run();
        self.audit.note(now_ms, &who.account, action, mutating, request, outcome.as_ref().err());
        outcome
    }

    fn act_as(
        &mut self,
        now_ms: i64,
        who: &Who,
        action: &str,
        request: &Request,
        xml: &mut Xml,
    ) -> Result<(), Problem> {
        let asked = request.asked();
        let Some((run, known)) = act::action(action).or_else(|| describe::action(action)) else {
            let message = format!("The action {action} is not valid for this web service.");
            return Err(Problem::client("InvalidAction", message));
        };
        let source = self.source_of_copy(request);
        let place = self
            .places
            .entry((who.account.clone(), who.region.clone()))
            .or_insert_with(|| Place::new(&who.account, &who.region, &self.rules));
        let instances = match action {
            "RunInstances" => asked.number("MaxCount").ok().flatten().unwrap_or(1),
            _ => i64::try_from(asked.list("InstanceId").len()).unwrap_or(i64::MAX),
        };
        let narrowed = request.parameters.keys().any(|name| name.starts_with("Filter.") || name == "MaxResults");
        let left = 100 - self.rules.others_percent;
        if self.rules.buckets && !place.buckets.take(action, narrowed, instances, now_ms, left) {
            return Err(Problem::throttled());
        }
        if self.denied.contains(action) {
            let message = "You are not authorized to perform this operation.";
            return Err(Problem::new(403, "UnauthorizedOperation", message));
        }
        let profile = asked.within("IamInstanceProfile").text("Name");
        if let Some(profile) = profile.filter(|_| self.denied.contains("PassRole")) {
            return Err(permissions::not_passed(&who.arn, &who.account, profile));
        }
        recognised(request, known)?;
        let own = self.policies.get(&who.principal);
        let policies = [(permissions::IDENTITY_BASED, own), (permissions::SERVICE_CONTROL, self.organization.as_ref())];
        let policies: Vec<_> = policies.into_iter().filter_map(|(kind, policy)| Some((kind, policy?))).collect();
        let key = act::volumes::default_key(&self.rules, place);
        let encrypts =
            own.is_none_or(|policy| !self.rules.own_key || permissions::lets_encrypt(policy, &who.region, &key));
        let (rules, shared) = (&self.rules, &mut self.shared);
        let mut call = Call { now: now_ms, rules, place, shared, request, source, encrypts };
        if let Some((access, why)) = permissions::missing(&policies, &call, action) {
            *self.audit.counts.forbidden.entry(access.action.clone()).or_default() += 1;
            return Err(permissions::refused(&who.arn, &access, &why));
        }
        // Launches and new volumes are checked as a whole first.
        if !matches!(action, "RunInstances" | "CreateVolume") {
            call.would_happen()?;
        }
        run(&mut call, &asked, xml)
    }

    /// Whose call it is, and where.
    fn caller(&self, caller: Option<&Caller>, now_ms: i64) -> Result<Who, Problem> {
        let refused =
            || Problem::new(401, "AuthFailure", "AWS was not able to validate the provided access credentials");
        let caller = caller.ok_or_else(refused)?;
        let region = caller.region.clone();
        if !self.rules.knows_region(&region) {
            return Err(refused());
        }
        if let Some(session) = self.sessions.get(&caller.access_key) {
            if caller.session_token.as_deref() != Some(session.token.as_str()) {
                return Err(refused());
            }
            if session.expires_ms <= now_ms {
                return Err(Problem::client("RequestExpired", "Request has expired."));
            }
            let principal = format!("arn:aws:iam::{}:role/{}", session.account, session.role);
            return Ok(Who { account: session.account.clone(), region, principal, arn: session.arn() });
        }
        let account = self.account_of_key(&caller.access_key).ok_or_else(refused)?.id.clone();
        let (principal, arn) = (caller.access_key.clone(), sts::user(&account));
        Ok(Who { account, region, principal, arn })
    }

    fn account_of_key(&self, key: &str) -> Option<&Account> {
        self.rules.accounts.iter().find(|account| account.access_key == key)
    }

    /// A copy's source may lie in another region.
    fn source_of_copy(&self, request: &Request) -> Option<crate::model::Snapshot> {
        let asked = request.asked();
        let (region, id) = (asked.text("SourceRegion")?, asked.text("SourceSnapshotId")?);
        let of_region = self.places.iter().filter(|((_, name), _)| name == region);
        of_region.filter_map(|(_, place)| place.snapshots.get(id)).next().cloned()
    }
}

/// Who calls, and where.
struct Who {
    account: String,
    region: String,
    /// What a policy is attached to.
    principal: String,
    /// As Amazon names them.
    arn: String,
}

/// Amazon refuses what it does not know; so is found out what a client sends and nothing here honours.
fn recognised(request: &Request, known: &[&str]) -> Result<(), Problem> {
    const ALWAYS: [&str; 4] = ["Action", "Version", "DryRun", "AWSAccessKeyId"];
    for name in request.parameters.keys() {
        let first = name.split('.').next().unwrap_or(name);
        if !known.contains(&first) && !ALWAYS.contains(&first) {
            return Err(Problem::client("UnknownParameter", format!("The parameter {first} is not recognized")));
        }
    }
    Ok(())
}

fn refusal(problem: &Problem, request_id: &str) -> Answer {
    let mut xml = Xml::new();
    xml.node("Response", |xml| {
        xml.node("Errors", |xml| {
            xml.node("Error", |xml| {
                xml.value("Code", &problem.code).value("Message", &problem.message);
            });
        });
        xml.value("RequestID", request_id);
    });
    Answer { status: problem.status, body: xml.into_text(), kind: XML }
}

/// A number as an id of Amazon's: 17 hexadecimal digits.
fn id_of(seed: u64, prefix: &str, number: u64) -> String {
    format!("{prefix}-0{:016x}", dice(seed, &format!("{prefix} {number}")))
}
