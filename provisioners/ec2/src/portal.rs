//! The portal as its servers know it, and the agents that it has for them: one for each kind of processor.

use std::collections::BTreeMap;

use provisioners::Architecture;

use super::records::Directions;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portal {
    /// Without a slash at its end.
    pub url: String,
    /// SHA-256 of the agents it has, lower-case hex.
    pub agents: BTreeMap<Architecture, String>,
    /// As [`Directions`] have them, like what follows.
    pub authorities: Option<String>,
    pub proxy: Option<String>,
    pub away_seconds: Option<u32>,
}

impl Portal {
    /// For a server with such processors.
    ///
    /// # Errors
    /// That it has no agent for it, and how it gets one.
    pub fn directions(&self, architecture: Architecture) -> Result<Directions, String> {
        let agent = self.agents.get(&architecture).ok_or_else(|| format!("there is {}", no_agent(architecture)))?;
        Ok(Directions {
            url: self.url.clone(),
            agent_sha256: agent.clone(),
            authorities: self.authorities.clone(),
            proxy: self.proxy.clone(),
            away_seconds: self.away_seconds,
        })
    }
}

/// How the portal's program for servers with other processors than its own is found is said in the server's `serve::program`.
pub fn no_agent(architecture: Architecture) -> String {
    format!(
        "no agent for {architecture}: put bookend-agent-{architecture}, which `cargo xtask build` makes, beside the portal's \
         own and start the portal again"
    )
}
