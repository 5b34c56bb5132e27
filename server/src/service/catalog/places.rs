//! Where environments can be had: the provisioners of this portal, and which of them a template is for.

use std::collections::BTreeMap;

use provisioners::Capabilities;

use crate::domain::template::Template;

/// See the module.
#[derive(Clone, Debug)]
pub struct Places {
    by_name: BTreeMap<String, Capabilities>,
    usual: String,
}

impl Places {
    /// `usual` is for templates that name none; it is among `by_name`.
    pub fn new(by_name: BTreeMap<String, Capabilities>, usual: String) -> Places {
        Places { by_name, usual }
    }

    /// The provisioner of this template's environments.
    ///
    /// # Errors
    /// Why this portal has none, for people.
    pub fn of(&self, template: &Template) -> Result<(&str, &Capabilities), String> {
        let wanted = template.provisioner.as_deref().unwrap_or(&self.usual);
        match self.by_name.get_key_value(wanted) {
            Some((name, capabilities)) => Ok((name, capabilities)),
            None => Err(format!(
                "It is for the provisioner “{wanted}”, which this portal does not have (it has {}).",
                self.by_name.keys().map(|name| format!("“{name}”")).collect::<Vec<_>>().join(", ")
            )),
        }
    }

    /// What an environment's own provisioner can do; `None` when this portal does not have it.
    pub fn named(&self, name: &str) -> Option<&Capabilities> {
        self.by_name.get(name)
    }
}
