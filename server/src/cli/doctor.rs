//! `doctor`: what a place lacks for environments to be had in it. Asks the cloud itself, with the credentials of whoever calls it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use ec2::config::{self, Config};
use ec2::doctor::{Finding, examine, policy};

use super::failure::{Failure, exit};
use super::output::{Output, clean};

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// One of the file's [ec2.NAME]; all of them when absent
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// File with provisioners, as for `bookend serve`
    #[arg(long, value_name = "FILE", env = "BOOKEND_PROVISIONERS", required_unless_present = "policy")]
    provisioners: Option<PathBuf>,
    /// The address of the portal where the file has no `portal_url`
    #[arg(long, value_name = "URL", env = "BOOKEND_PUBLIC_URL")]
    public_url: Option<String>,
    /// Print the least that Bookend has to be allowed, as an IAM policy. With --provisioners it has what that file's tables need besides
    #[arg(long)]
    policy: bool,
}

/// The exit code: 0 when nothing is missing.
pub async fn ec2(arguments: &DoctorArguments, output: Output) -> Result<u8, Failure> {
    let wanted = wanted(arguments)?;
    if arguments.policy {
        let policy = policy(wanted.values());
        output.result(&policy, || format!("{policy:#}"))?;
        return Ok(0);
    }
    let mut found: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for (name, config) in wanted {
        output.passing(&format!("Asking Amazon about “{name}” …"));
        let (amazon, quotas) = (ec2::connect(&config).await, ec2::connect_quotas(&config).await);
        let findings = examine(&amazon, &quotas, &config, arguments.public_url.as_deref()).await;
        found.insert(name, findings);
    }
    output
        .result(&found, || found.iter().map(|(name, findings)| told(name, findings)).collect::<Vec<_>>().join("\n"))?;
    let well = found.values().flatten().all(|finding| finding.fine);
    Ok(if well { 0 } else { exit::FAILED })
}

fn wanted(arguments: &DoctorArguments) -> Result<BTreeMap<String, Config>, Failure> {
    let Some(path) = &arguments.provisioners else { return Ok(BTreeMap::new()) };
    let failed = |why: String| Failure::local(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let mut all = config::read(&text).map_err(|error| failed(error.to_string()))?;
    let Some(name) = &arguments.name else { return Ok(all) };
    match all.remove_entry(name) {
        Some((name, config)) => Ok(BTreeMap::from([(name, config)])),
        None => {
            let known: Vec<String> = all.into_keys().map(|name| format!("“{name}”")).collect();
            Err(failed(format!("has no [ec2.{name}], but {}", known.join(", "))).exiting(exit::NOT_FOUND))
        }
    }
}

fn told(name: &str, findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let mark = if finding.fine { "ok     " } else { "MISSING" };
        format!("  {mark} {}: {}", clean(&finding.about), clean(&finding.found))
    };
    let lines: Vec<String> = findings.iter().map(line).collect();
    let missing = findings.iter().filter(|finding| !finding.fine).count();
    let sum = match missing {
        0 => "Nothing is missing.".to_owned(),
        1 => "1 thing is missing.".to_owned(),
        many => format!("{many} things are missing."),
    };
    format!("{name}\n{}\n{sum}\n", lines.join("\n"))
}
