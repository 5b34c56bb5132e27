//! The list's own address, understood: it can be kept, sent, and gone back to.

use crate::api::{EnvironmentQuery, EnvironmentSort};
use crate::site::Visit;

/// What people look for, and the states it means.
pub(super) const STANDINGS: [(&str, &str, &str); 4] = [
    ("ready", "Ready", "ready,repairing"),
    ("busy", "On its way", "ordered,preparing,starting,setting_up,checking,parking,deleting"),
    ("parked", "Parked", "parked"),
    ("failed", "Failed", "failed"),
];

pub(super) const SORTS: [(&str, &str, EnvironmentSort); 4] = [
    ("newest", "Newest first", EnvironmentSort::Newest),
    ("name", "By name", EnvironmentSort::Name),
    ("state", "What needs you first", EnvironmentSort::State),
    ("next", "Next on schedule first", EnvironmentSort::NextEvent),
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Look {
    #[default]
    Table,
    Cards,
}

impl Look {
    pub fn word(self) -> &'static str {
        match self {
            Look::Table => "table",
            Look::Cards => "cards",
        }
    }
    pub fn parse(word: &str) -> Option<Self> {
        [Look::Table, Look::Cards].into_iter().find(|look| look.word() == word)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub everyone: bool,
    pub search: String,
    pub standing: String,
    pub template: String,
    pub provisioner: String,
    pub sort: EnvironmentSort,
    pub look: Look,
    /// Whether the address itself says how it is to look.
    pub look_is_said: bool,
    pub cursor: Option<String>,
    /// Every environment on the page is ticked: what “all” means where no script runs.
    pub all_ticked: bool,
}

impl Asked {
    pub fn of(visit: &Visit) -> Self {
        let value = |name: &str| visit.query.get(name).filter(|value| !value.is_empty()).cloned();
        let sort = value("sort").unwrap_or_default();
        let said = value("view").and_then(|word| Look::parse(&word));
        Self {
            everyone: value("of").as_deref() == Some("everyone"),
            search: value("search").unwrap_or_default(),
            standing: value("standing").unwrap_or_default(),
            template: value("template").unwrap_or_default(),
            provisioner: value("provisioner").unwrap_or_default(),
            sort: SORTS.iter().find(|(word, _, _)| *word == sort).map(|(_, _, sort)| *sort).unwrap_or_default(),
            look: said.or_else(|| Look::parse(&visit.list_look)).unwrap_or_default(),
            look_is_said: said.is_some(),
            cursor: value("cursor"),
            all_ticked: value("ticked").as_deref() == Some("all"),
        }
    }

    pub fn query(&self, visit: &Visit) -> EnvironmentQuery {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let states =
            STANDINGS.iter().find(|(word, _, _)| *word == self.standing).map(|(_, _, states)| states.to_string());
        EnvironmentQuery {
            search: given(&self.search),
            state: states,
            owner: visit.person().filter(|_| !self.everyone).map(|person| person.name.clone()),
            template: given(&self.template),
            provisioner: given(&self.provisioner),
            sort: Some(self.sort),
            cursor: self.cursor.clone(),
            limit: None,
        }
    }

    pub fn is_narrowed(&self) -> bool {
        let narrowing = [&self.search, &self.standing, &self.template, &self.provisioner];
        narrowing.iter().any(|value| !value.is_empty()) || self.cursor.is_some()
    }

    pub fn sort_word(&self) -> &'static str {
        SORTS.iter().find(|(_, _, sort)| *sort == self.sort).map_or("newest", |(word, _, _)| word)
    }

    /// What goes along in every address and form of the page, without the place in the list.
    pub fn kept(&self) -> Vec<(&'static str, String)> {
        let sort = if self.sort == EnvironmentSort::default() { "" } else { self.sort_word() };
        let everyone = if self.everyone { "everyone" } else { "" };
        let pairs = [
            ("of", everyone),
            ("search", self.search.as_str()),
            ("standing", self.standing.as_str()),
            ("template", self.template.as_str()),
            ("provisioner", self.provisioner.as_str()),
            ("sort", sort),
        ];
        let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| (name, value.to_owned())).collect()
    }

    /// This page's address, with these instead of its own.
    pub fn address(&self, instead: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let own = self.kept();
        let kept = own.iter().filter(|(name, _)| !instead.iter().any(|(other, _)| other == name));
        for (name, value) in kept.map(|(name, value)| (*name, value.as_str())).chain(instead.iter().copied()) {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        match query.finish() {
            query if query.is_empty() => "/environments".to_owned(),
            query => format!("/environments?{query}"),
        }
    }

    /// The address of this very page of the list.
    pub fn here(&self) -> String {
        self.address(&[("cursor", self.cursor.as_deref().unwrap_or_default())])
    }
}
