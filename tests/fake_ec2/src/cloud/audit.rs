//! What was asked for: calls by action, and which call named which resource.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::problem::Problem;
use crate::query::Request;

/// Calls by action, since the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub calls: BTreeMap<String, u64>,
    /// Those refused by Amazon's buckets.
    pub throttled: BTreeMap<String, u64>,
    /// Those refused for other reasons, by code.
    pub refused: BTreeMap<String, u64>,
    /// What policies did not allow, by action: `ec2:StopInstances`.
    pub forbidden: BTreeMap<String, u64>,
}

impl Counts {
    pub fn of(&self, action: &str) -> u64 {
        self.calls.get(action).copied().unwrap_or(0)
    }

    pub fn all(&self) -> u64 {
        self.calls.values().sum()
    }

    pub fn all_throttled(&self) -> u64 {
        self.throttled.values().sum()
    }
}

/// A call that would change something named a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Touch {
    pub at_ms: i64,
    /// Who called.
    pub account: String,
    pub action: String,
    pub id: String,
    /// The code it was refused with.
    pub refused: Option<String>,
}

#[derive(Default)]
pub struct Audit {
    pub counts: Counts,
    touches: Vec<Touch>,
    by_id: HashMap<String, Vec<usize>>,
}

impl Audit {
    pub fn note(
        &mut self,
        now_ms: i64,
        account: &str,
        action: &str,
        mutating: bool,
        request: &Request,
        problem: Option<&Problem>,
    ) {
        *self.counts.calls.entry(action.to_owned()).or_default() += 1;
        match problem {
            Some(problem) if problem.code == "RequestLimitExceeded" => {
                *self.counts.throttled.entry(action.to_owned()).or_default() += 1;
            }
            Some(problem) => *self.counts.refused.entry(problem.code.clone().into_owned()).or_default() += 1,
            None => {}
        }
        if !mutating {
            return;
        }
        for id in request.parameters.values().filter(|value| looks_like_id(value)) {
            self.by_id.entry(id.clone()).or_default().push(self.touches.len());
            self.touches.push(Touch {
                at_ms: now_ms,
                account: account.to_owned(),
                action: action.to_owned(),
                id: id.clone(),
                refused: problem.map(|problem| problem.code.clone().into_owned()),
            });
        }
    }

    pub fn touches(&self) -> &[Touch] {
        &self.touches
    }

    pub fn of(&self, id: &str) -> Vec<Touch> {
        self.by_id.get(id).into_iter().flatten().map(|index| self.touches[*index].clone()).collect()
    }
}

fn looks_like_id(value: &str) -> bool {
    let Some((prefix, digits)) = value.split_once('-') else { return false };
    prefix.bytes().all(|byte| byte.is_ascii_lowercase())
        && matches!(digits.len(), 8 | 17)
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}
