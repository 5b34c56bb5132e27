//! Which templates the catalog's address asks for, in which order: values in, values out.

use std::collections::BTreeMap;

use crate::api::CatalogEntry;
use crate::site::Fields;

/// On each of the small shelves above the catalog.
const PER_SHELF: usize = 3;

/// As many as a person looks through before searching; a page of them stays light however many there are.
const PER_PAGE: usize = 60;

/// What the address says. Whatever it does not know changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Words that all must be found.
    pub search: String,
    pub category: String,
    pub tag: String,
    pub order: Order,
    /// From 1.
    pub page: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Title,
    Newest,
    MostOrdered,
}

impl Order {
    pub const ALL: [Order; 3] = [Order::Title, Order::Newest, Order::MostOrdered];
    /// As addresses have it.
    pub fn word(self) -> &'static str {
        match self {
            Order::Title => "title",
            Order::Newest => "newest",
            Order::MostOrdered => "most-ordered",
        }
    }
    pub fn label(self) -> &'static str {
        match self {
            Order::Title => "By title",
            Order::Newest => "Newest first",
            Order::MostOrdered => "Most ordered first",
        }
    }
}

/// What there is to show.
#[derive(Debug, PartialEq)]
pub(super) struct Chosen {
    /// This page's.
    pub entries: Vec<CatalogEntry>,
    /// On all pages.
    pub count: usize,
    pub pages: usize,
    /// Categories and tags that would leave something to show beside what else is asked for, with how much; the chosen one is
    /// always among them. By name; tags by how many there are.
    pub categories: Vec<(String, usize)>,
    pub tags: Vec<(String, usize)>,
}

/// A few templates that are nearer to hand than the others.
#[derive(Debug, PartialEq)]
pub(super) struct Shelf {
    pub kind: Kind,
    /// At least one.
    pub entries: Vec<CatalogEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mine,
    Team,
    Featured,
}

impl Choice {
    pub fn of(query: &Fields) -> Self {
        let value = |name: &str| query.get(name).map(|value| value.trim().to_owned()).unwrap_or_default();
        let order = value("sort");
        Self {
            search: value("q"),
            category: value("category"),
            tag: value("tag"),
            order: Order::ALL.into_iter().find(|known| known.word() == order).unwrap_or_default(),
            page: value("page").parse().unwrap_or(1).max(1),
        }
    }

    pub fn is_narrowed(&self) -> bool {
        !(self.search.is_empty() && self.category.is_empty() && self.tag.is_empty())
    }

    /// The catalog's address that asks for this.
    pub fn address(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let order = if self.order == Order::default() { "" } else { self.order.word() };
        let page = if self.page > 1 { self.page.to_string() } else { String::new() };
        let pairs = [
            ("q", self.search.as_str()),
            ("category", &self.category),
            ("tag", &self.tag),
            ("sort", order),
            ("page", &page),
        ];
        for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        match query.finish() {
            query if query.is_empty() => "/".into(),
            query => format!("/?{query}"),
        }
    }

    /// The same with another category; none for the one that is chosen.
    pub fn with_category(&self, category: &str) -> Self {
        Self { category: toggled(&self.category, category), page: 1, ..self.clone() }
    }

    pub fn with_tag(&self, tag: &str) -> Self {
        Self { tag: toggled(&self.tag, tag), page: 1, ..self.clone() }
    }

    pub fn with_page(&self, page: usize) -> Self {
        Self { page, ..self.clone() }
    }

    /// The small shelves, of what can be ordered; only where nothing particular is looked for. Nothing stands on two of them.
    pub fn shelves(&self, catalog: &[CatalogEntry]) -> Vec<Shelf> {
        if self.is_narrowed() || self.page > 1 {
            return Vec::new();
        }
        let can_be_ordered = |entry: &&CatalogEntry| entry.unavailable.is_none();
        let lately = |at: &dyn Fn(&CatalogEntry) -> Option<i64>| {
            let mut entries: Vec<&CatalogEntry> =
                catalog.iter().filter(can_be_ordered).filter(|entry| at(entry).is_some()).collect();
            entries.sort_by_key(|entry| std::cmp::Reverse(at(entry)));
            entries.truncate(PER_SHELF);
            entries
        };
        let mine = lately(&|entry| entry.ordered_by_me_at);
        let team = lately(&|entry| match entry.ordered_by_me_at {
            None => entry.record.as_ref().map(|record| record.last_ordered_at),
            Some(_) => None,
        });
        let featured = catalog.iter().filter(can_be_ordered).filter(|entry| entry.featured);
        let featured = featured.filter(|entry| entry.ordered_by_me_at.is_none() && !team.contains(entry));
        let featured: Vec<&CatalogEntry> = featured.take(PER_SHELF).collect();
        [(Kind::Mine, mine), (Kind::Team, team), (Kind::Featured, featured)]
            .into_iter()
            .filter(|(_, entries)| !entries.is_empty())
            .map(|(kind, entries)| Shelf { kind, entries: entries.into_iter().cloned().collect() })
            .collect()
    }

    /// What of the catalog is asked for.
    pub fn choose(&self, catalog: &[CatalogEntry]) -> Chosen {
        let words: Vec<String> = self.search.split_whitespace().map(str::to_lowercase).collect();
        let mut found: Vec<&CatalogEntry> = catalog.iter().filter(|entry| says(entry, &words)).collect();
        let in_category = |entry: &CatalogEntry| self.category.is_empty() || entry.category == self.category;
        let has_tag = |entry: &CatalogEntry| self.tag.is_empty() || entry.tags.contains(&self.tag);

        let categories = found.iter().filter(|entry| has_tag(entry)).map(|entry| entry.category.as_str());
        let categories = counted(categories, &self.category);
        let tags =
            found.iter().filter(|entry| in_category(entry)).flat_map(|entry| entry.tags.iter().map(String::as_str));
        let mut tags = counted(tags, &self.tag);
        tags.sort_by_key(|(_, count)| std::cmp::Reverse(*count));

        found.retain(|entry| in_category(entry) && has_tag(entry));
        self.sort(&mut found, &words);
        let (count, pages) = (found.len(), found.len().div_ceil(PER_PAGE).max(1));
        let shown = found.into_iter().skip((self.page.min(pages) - 1) * PER_PAGE).take(PER_PAGE);
        let entries = shown.cloned().collect();
        Chosen { entries, count, pages, categories, tags }
    }

    /// By title, those with all words in their very title before the others; or as asked for, by title where that is equal.
    fn sort(&self, entries: &mut [&CatalogEntry], words: &[String]) {
        let title = |entry: &CatalogEntry| entry.title.to_lowercase();
        let orders = |entry: &CatalogEntry| entry.record.as_ref().map_or(0, |record| record.orders);
        match self.order {
            Order::Title => entries.sort_by_cached_key(|entry| {
                let title = title(entry);
                (!words.iter().all(|word| title.contains(word)), title)
            }),
            Order::Newest => {
                entries.sort_by_cached_key(|entry| (std::cmp::Reverse(entry.offered_since), title(entry)));
            }
            Order::MostOrdered => entries.sort_by_cached_key(|entry| (std::cmp::Reverse(orders(entry)), title(entry))),
        }
    }
}

fn toggled(present: &str, chosen: &str) -> String {
    if present == chosen { String::new() } else { chosen.to_owned() }
}

/// Whether each of the words, in small letters, is somewhere in what the template says of itself.
fn says(entry: &CatalogEntry, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let CatalogEntry { name, title, summary, category, maintainer, tags, software, .. } = entry;
    let texts = [title, name, summary, category].into_iter().chain(maintainer).chain(tags).chain(software);
    let texts: Vec<String> = texts.map(|text| text.to_lowercase()).collect();
    words.iter().all(|word| texts.iter().any(|text| text.contains(word.as_str())))
}

/// Each name once with how often it came; the chosen one even when it did not.
fn counted<'a>(names: impl Iterator<Item = &'a str>, chosen: &'a str) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::new();
    if !chosen.is_empty() {
        counts.insert(chosen, 0);
    }
    for name in names {
        *counts.entry(name).or_insert(0) += 1;
    }
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
