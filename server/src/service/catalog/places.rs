//! Where environments can be had: the provisioners of this portal, and which of them a template is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use provisioners::Capabilities;

use super::host::lacking;
use crate::domain::template::Template;

/// What a provisioner can do now: asked each time, for it may change while the portal runs.
pub type Able = Arc<dyn Fn() -> Capabilities + Send + Sync>;

/// See the module.
#[derive(Clone)]
pub struct Places {
    by_name: BTreeMap<String, Able>,
    usual: String,
}

impl Places {
    /// `usual` is for templates that name none; it is among `by_name`.
    pub fn new(by_name: BTreeMap<String, Able>, usual: String) -> Places {
        Places { by_name, usual }
    }

    /// The provisioner of this template's environments.
    ///
    /// # Errors
    /// Why this portal has none, for people.
    pub fn of(&self, template: &Template) -> Result<(&str, Capabilities), String> {
        let wanted = template.provisioner.as_deref().unwrap_or(&self.usual);
        match self.by_name.get_key_value(wanted) {
            Some((name, able)) => Ok((name, able())),
            None => Err(format!(
                "It is for the provisioner “{wanted}”, which this portal does not have (it has {}).",
                self.by_name.keys().map(|name| format!("“{name}”")).collect::<Vec<_>>().join(", ")
            )),
        }
    }

    /// As [`of`](Self::of), for what begins with data that is at a provisioner already: data does not move between them.
    ///
    /// # Errors
    /// As there, and when the template is for another one.
    pub fn beside(&self, data_at: &str, template: &Template) -> Result<(&str, Capabilities), String> {
        let named = || self.by_name.get_key_value(data_at).map(|(name, able)| (name.as_str(), able()));
        match template.provisioner.as_deref() {
            Some(wanted) if wanted != data_at => Err(format!(
                "Its data is at the provisioner “{data_at}”, and the template is for “{wanted}”; data does not move there."
            )),
            _ => named()
                .ok_or_else(|| format!("Its data is at the provisioner “{data_at}”, which this portal does not have.")),
        }
    }

    /// For what begins with a copy that another provisioner has of its data, wherever the template is for.
    ///
    /// # Errors
    /// Why its servers cannot be there, for people.
    pub fn elsewhere(&self, at: &str, template: &Template) -> Result<(&str, Capabilities), String> {
        let named = self.by_name.get_key_value(at);
        let (name, able) = named.ok_or_else(|| format!("This portal has no provisioner “{at}”."))?;
        let capabilities = able();
        match lacking(template, &capabilities) {
            None => Ok((name, capabilities)),
            Some(reason) => Err(reason),
        }
    }

    /// What an environment's own provisioner can do; `None` when this portal does not have it.
    pub fn named(&self, name: &str) -> Option<Capabilities> {
        self.by_name.get(name).map(|able| able())
    }
}

/// One that never changes.
#[cfg(test)]
pub fn always(capabilities: Capabilities) -> Able {
    Arc::new(move || capabilities.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::template::read;

    fn template(more: &str) -> Template {
        let head = "name: a\nversion: 1\ntitle: A\nsummary: A.\ncategory: C\n";
        read(&format!("{head}{more}servers: {{a: {{}}}}\n")).unwrap()
    }

    #[test]
    fn what_begins_with_data_comes_up_where_the_data_is() {
        let names = ["local", "frankfurt"].map(|name| (name.to_owned(), always(Capabilities::default())));
        let places = Places::new(names.into(), "frankfurt".to_owned());
        let place =
            |data_at: &str, more: &str| places.beside(data_at, &template(more)).map(|(name, _)| name.to_owned());
        assert_eq!(places.of(&template("")).map(|(name, _)| name.to_owned()), Ok("frankfurt".to_owned()));
        assert_eq!(place("local", ""), Ok("local".to_owned()), "whatever is usual now");
        assert_eq!(place("local", "provisioner: local\n"), Ok("local".to_owned()));
        let elsewhere = place("local", "provisioner: frankfurt\n").unwrap_err();
        assert!(elsewhere.contains("at the provisioner “local”, and the template is for “frankfurt”"), "{elsewhere}");
        assert!(place("dublin", "").unwrap_err().contains("“dublin”, which this portal does not have"));
    }
}
