//! `doctor`: what a place lacks for environments to be had in it. Asks the cloud itself, with the credentials of whoever calls it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ec2::config::{self, Config};
use ec2::doctor::{Finding, Known, examine, policy};

use super::failure::{Failure, exit};
use super::output::{Output, clean};
use crate::serve::{database_url, default_data_dir};
use crate::store::known_installation;

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// One of the file's [ec2.NAME]; all of them when absent
    #[arg(value_name = "NAME", requires = "provisioners")]
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
    /// The portal's data directory: a policy lets nobody change what another portal's tag is on
    #[arg(long, value_name = "DIR", env = "BOOKEND_DATA_DIR", default_value_os_t = default_data_dir())]
    data_dir: PathBuf,
    /// The portal's PostgreSQL database, when it has one
    #[arg(long, value_name = "URL", env = "BOOKEND_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

/// The exit code: 0 when nothing is missing.
pub async fn ec2(arguments: &DoctorArguments, output: Output) -> Result<u8, Failure> {
    let wanted = wanted(arguments)?;
    let installation = installation(arguments).await?;
    if arguments.policy {
        if installation.is_none() {
            writeln!(std::io::stderr(), "{ANY_INSTALLATION}")?;
        }
        let policy = policy(wanted.values(), &Known { installation, keys: keys(&wanted).await? });
        output.result(&policy, || format!("{policy:#}"))?;
        return Ok(0);
    }
    let mut found: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for (name, config) in wanted {
        output.passing(&format!("Asking Amazon about “{name}” …"));
        let (amazon, quotas) = (ec2::connect(&config).await, ec2::connect_quotas(&config).await);
        let findings = examine(&amazon, &quotas, &config, arguments.public_url.as_deref(), installation.as_deref());
        let findings = findings.await;
        found.insert(name, findings);
    }
    output
        .result(&found, || found.iter().map(|(name, findings)| told(name, findings)).collect::<Vec<_>>().join("\n"))?;
    let well = found.values().flatten().all(|finding| finding.fine);
    Ok(if well { 0 } else { exit::FAILED })
}

/// Where no portal is known whose policy it is.
const ANY_INSTALLATION: &str = "This policy allows to change what carries any Bookend's tag. Print it once more when the portal has been \
                                started with its provisioners, with its --data-dir (or --database-url), for one that names this portal alone.";

/// How long somebody without credentials may keep a policy from being printed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The name that is on everything of this portal's; `None` before it has one.
async fn installation(arguments: &DoctorArguments) -> Result<Option<String>, Failure> {
    let (directory, given) = (&arguments.data_dir, arguments.database_url.as_deref());
    if given.is_none() && !directory.join("bookend.db").exists() {
        return Ok(None);
    }
    let known = known_installation(&database_url(directory, given)).await;
    known.map_err(|error| Failure::local(format!("the portal's data cannot be read: {}", super::chain(&error))))
}

/// The keys of their own that these accounts encrypt volumes with. Where Amazon does not say it the policy is printed without.
async fn keys(wanted: &BTreeMap<String, Config>) -> Result<BTreeSet<String>, Failure> {
    let mut keys = BTreeSet::new();
    for (name, config) in wanted {
        let amazon = ec2::connect(config).await;
        match tokio::time::timeout(PATIENCE, amazon.default_key()).await {
            Ok(Ok(key)) => keys.extend(key),
            Ok(Err(_)) | Err(_) => writeln!(
                std::io::stderr(),
                "Amazon does not say whether “{name}” encrypts volumes with a key of its own. Where it does, print the policy \
                 once more with credentials that may ec2:GetEbsDefaultKmsKeyId: it has a statement for the key then."
            )?,
        }
    }
    Ok(keys)
}

fn wanted(arguments: &DoctorArguments) -> Result<BTreeMap<String, Config>, Failure> {
    let Some(path) = &arguments.provisioners else { return Ok(BTreeMap::new()) };
    let failed = |why: String| Failure::local(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let mut all = config::read(&text).map_err(|error| failed(error.to_string()))?;
    if all.is_empty() {
        return Err(failed("has no table [ec2.NAME]: there is nothing to look at".to_owned()));
    }
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
