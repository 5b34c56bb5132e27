//! How many servers an account may have at once: a limit of processors for each group of families, on demand and spot.

use super::{Finding, fine, is_permission, missing};
use crate::amazon::{Called, TypeFacts};
use crate::quotas::{Limit, Quotas, of_type};

/// All limits that a type of these sizes counts for, each asked for once.
pub async fn findings(quotas: &Quotas, sizes: &[Vec<TypeFacts>]) -> Vec<Finding> {
    let mut limits: Vec<&Limit> = Vec::new();
    let mut unknown: Vec<&str> = Vec::new();
    for facts in sizes.iter().flatten() {
        match of_type(&facts.name) {
            Some(limit) if !limits.contains(&limit) => limits.push(limit),
            Some(_) => {}
            None => unknown.push(&facts.name),
        }
    }
    let mut findings = Vec::new();
    for limit in limits {
        let counted = sizes.iter().flatten().filter(|facts| of_type(&facts.name) == Some(limit)).collect::<Vec<_>>();
        findings.extend(on_demand(limit, &counted, &quotas.processors(limit.on_demand).await));
        if let Some(code) = limit.spot {
            findings.extend(spot(limit, code, &counted, &quotas.processors(code).await));
        }
    }
    if !unknown.is_empty() {
        let found = "not known to Bookend: look its family up at Service Quotas, EC2";
        findings.push(fine(&format!("processors at once of {}", unknown.join(", ")), found.to_owned()));
    }
    findings
}

/// `None` when there is no type.
fn on_demand(limit: &Limit, counted: &[&TypeFacts], asked: &Called<u32>) -> Option<Finding> {
    let about = format!("processors at once of {}", limit.of);
    let (least, most) = smallest_and_largest(counted)?;
    let ask = more(limit.on_demand);
    Some(match asked {
        Ok(limit) if *limit < processors(most) => {
            missing(&about, format!("{limit}, and one {} alone has {}: {ask}", most.name, processors(most)))
        }
        Ok(limit) => {
            fine(&about, format!("{limit}, as many as {} of {}; {ask}", limit / processors(least), least.name))
        }
        Err(error) => untold(&about, error),
    })
}

/// As [`on_demand`]. A low one keeps nobody from a server: where no spot server is to be had, any other is taken.
fn spot(limit: &Limit, code: &str, counted: &[&TypeFacts], asked: &Called<u32>) -> Option<Finding> {
    let about = format!("processors at once of {}, spot", limit.of);
    let (least, most) = smallest_and_largest(counted)?;
    let ask = more(code);
    Some(match asked {
        Ok(limit) if *limit < processors(most) => {
            let why = format!("{limit}, and one {} alone has {}", most.name, processors(most));
            fine(&about, format!("{why}: where a template says `spot: true` it comes on demand instead; {ask}"))
        }
        Ok(limit) => {
            fine(&about, format!("{limit}, as many as {} of {}; {ask}", limit / processors(least), least.name))
        }
        Err(error) => untold(&about, error),
    })
}

fn untold(about: &str, error: &crate::amazon::CallError) -> Finding {
    match is_permission(error) {
        true => missing(about, "not allowed: give these credentials servicequotas:GetServiceQuota".to_owned()),
        false => missing(about, error.plain()),
    }
}

fn more(code: &str) -> String {
    format!("ask Amazon for more at Service Quotas ({code})")
}

fn smallest_and_largest<'a>(counted: &[&'a TypeFacts]) -> Option<(&'a TypeFacts, &'a TypeFacts)> {
    let by_size = |facts: &&&TypeFacts| facts.cpu_millis;
    Some((counted.iter().min_by_key(by_size)?, counted.iter().max_by_key(by_size)?))
}

fn processors(facts: &TypeFacts) -> u32 {
    facts.cpu_millis.div_ceil(1000).max(1)
}
