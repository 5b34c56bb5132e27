//! Which names mean something where.

use app::api::{ParameterKind, ParameterSpec};

use super::fields::Reading;
use super::yaml::Node;
use crate::domain::template::expression::Name;
use crate::domain::template::names::parameter_variable;
use crate::domain::template::problem::did_you_mean;

/// The names a template defines.
pub struct Scope {
    pub parameters: Vec<ParameterSpec>,
    pub servers: Vec<String>,
    /// Servers that are, or can be, more than one.
    pub several: Vec<String>,
}

impl Scope {
    /// What is wrong with a name, as the rest of a sentence that begins with it.
    pub fn wrong_with(&self, name: &Name, in_variable: bool) -> Option<String> {
        match name {
            Name::Parameter(parameter) if self.parameters.iter().any(|known| known.name == *parameter) => None,
            Name::Parameter(parameter) => {
                let hint = did_you_mean(parameter, self.parameters.iter().map(|known| known.name.as_str()));
                Some(format!("names no parameter of this template{hint}"))
            }
            Name::Address(server) | Name::Addresses(server) if !self.servers.contains(server) => {
                let hint = did_you_mean(server, self.servers.iter().map(String::as_str));
                Some(format!("names no server of this template{hint}"))
            }
            Name::Address(server) if self.several.contains(server) => Some(format!(
                "means one address, but `{server}` can be several servers; use ${{servers.{server}.addresses}}"
            )),
            Name::OwnName if !in_variable => Some("only means something in a server's variables".into()),
            Name::Address(_) | Name::Addresses(_) | Name::EnvironmentName | Name::OwnName => None,
        }
    }

    pub fn is_secret(&self, name: &Name) -> bool {
        matches!(name, Name::Parameter(parameter) if self.parameters.iter().any(|known| {
            known.name == *parameter && matches!(known.kind, ParameterKind::Secret { .. })
        }))
    }
}

/// Nothing is ever substituted in a script; who tries is told how a value gets there.
pub fn expression_in_script(reading: &Reading, node: &Node, path: &str, script: &str) {
    for root in ["${parameters.", "${servers.", "${environment.", "${server."] {
        for (start, _) in script.match_indices(root) {
            let rest = &script[start..];
            let end = rest.find('}').map_or(rest.len().min(60), |end| end + 1);
            let written = rest.get(..end).unwrap_or(root);
            let instead = match rest[root.len()..].split('}').next() {
                Some(parameter) if root == "${parameters." => {
                    format!("${}, or the file /run/bookend/parameters/{parameter}", parameter_variable(parameter))
                }
                _ => format!("a variable: give it the value {written} under `variables`"),
            };
            let message = format!("`{written}` is not substituted in scripts; use {instead}");
            reading.report(reading.position_of(node, written), path, message);
        }
    }
}
