//! Provisioners beyond this machine, as a file names them: read, connected, and asked whether they can be used, before the portal
//! answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ec2::config::Config;
use ec2::{Connections, Ec2, Parts};
use provisioners::{AgentProgram, Architecture, Provisioner};

use super::StartError;
use crate::clock::Clock;
use crate::keys::InstallationKey;
use crate::store::{Store, StoredLedger};

/// What `bookend serve` is told of provisioners.
#[derive(Clone, Debug, clap::Args)]
pub struct CloudOptions {
    /// File with provisioners beyond this machine (TOML): tables [ec2.NAME], each with an account and region. `${NAME}` in a text
    /// there is the environment's variable of that name.
    #[arg(long, value_name = "FILE", env = "BOOKEND_PROVISIONERS")]
    pub provisioners: Option<PathBuf>,

    /// The provisioner of templates that name none: a NAME of that file, or local.
    #[arg(long, value_name = "NAME", env = "BOOKEND_DEFAULT_PROVISIONER", default_value = LOCAL)]
    pub default_provisioner: String,
}

const LOCAL: &str = "local";

/// As when nothing is said.
impl Default for CloudOptions {
    fn default() -> Self {
        Self { provisioners: None, default_provisioner: LOCAL.to_owned() }
    }
}

/// What they stand on.
pub(super) struct Ground<'a> {
    pub store: &'a Store,
    pub key: &'a InstallationKey,
    pub clock: &'a Clock,
    pub programs: &'a BTreeMap<Architecture, AgentProgram>,
    pub public_url: Option<&'a str>,
    /// Of this database: on everything made for it.
    pub installation: &'a str,
}

impl CloudOptions {
    /// The file's tables; nothing is connected yet.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub(super) fn read(&self) -> Result<BTreeMap<String, Config>, StartError> {
        let named = match &self.provisioners {
            None => BTreeMap::new(),
            Some(path) => {
                let failed = |why: String| StartError::Provisioners(format!("{}: {why}", path.display()));
                let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
                ec2::config::read(&text).map_err(|error| failed(error.to_string()))?
            }
        };
        if self.default_provisioner != LOCAL && !named.contains_key(&self.default_provisioner) {
            let known: Vec<&str> = std::iter::once(LOCAL).chain(named.keys().map(String::as_str)).collect();
            return Err(StartError::Provisioners(format!(
                "--default-provisioner is “{}”, and there is {}",
                self.default_provisioner,
                known.join(", ")
            )));
        }
        Ok(named)
    }
}

/// Connects one of them and asks whether it can be used.
///
/// # Errors
/// Why it cannot, and what to do.
pub(super) async fn open(
    name: &str,
    config: Config,
    ground: &Ground<'_>,
    connections: &mut Connections,
) -> Result<Arc<dyn Provisioner>, StartError> {
    let failed = |why: String| StartError::Provisioners(format!("[ec2.{name}] {why}"));
    let url = config.portal_url.as_deref().or(ground.public_url);
    let url =
        url.ok_or_else(|| failed("needs `portal_url` (or --public-url): where its servers reach this portal".into()))?;
    let url = url.trim_end_matches('/').to_owned();
    let authorities = match &config.portal_ca_file {
        None => None,
        Some(path) => {
            let read = std::fs::read_to_string(path);
            Some(read.map_err(|error| failed(format!("`portal_ca_file` {} cannot be read: {error}", path.display())))?)
        }
    };
    let agents = ground.programs.iter().map(|(architecture, program)| (*architecture, program.sha256.clone()));
    let portal = config.portal(url, agents.collect(), authorities);
    let (key, clock) = (ground.key.clone(), ground.clock.clone());
    let parts = Parts {
        name: name.to_owned(),
        amazon: connections.connect(&config).await,
        config,
        ledger: Arc::new(StoredLedger { store: ground.store.clone(), provisioner: name.to_owned() }),
        installation: ground.installation.to_owned(),
        portal,
        enrolments: Arc::new(move |server, generation| key.enrolment(server, generation)),
        now: Arc::new(move || clock.now()),
    };
    let opened = Ec2::open(parts).await;
    Ok(Arc::new(opened.map_err(|error| failed(error.to_string()))?))
}
