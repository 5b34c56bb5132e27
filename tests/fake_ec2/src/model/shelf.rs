//! All resources of one kind in one account and region, and finding them: by id, by filter, page by page.
//!
//! Found by the index are those that have, or had, a value; each is then looked at as it was at the moment its describe
//! sees. So a describe by a tag takes as long as there are resources with it, and not as long as there are resources.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::filter::Filter;
use super::kept::Kept;

pub type Tags = BTreeMap<String, String>;

/// What has an id, tags, and values that filters ask for.
pub trait Resource: Clone {
    /// What its ids begin with.
    const PREFIX: &'static str;
    /// The filters there are, besides tags.
    const FILTERS: &'static [&'static str];
    /// Filters that are looked up rather than tried on each; tags always are.
    const INDEXED: &'static [&'static str];

    fn id(&self) -> &str;
    fn tags(&self) -> &Tags;
    fn tags_mut(&mut self) -> &mut Tags;

    /// Whether describes show it, at a moment.
    fn is_visible(&self, at_ms: i64) -> bool;

    /// Adds the values a filter of this name compares with.
    fn values<'a>(&'a self, filter: &str, at_ms: i64, values: &mut Vec<Cow<'a, str>>);
}

#[derive(Clone, Debug)]
pub struct Shelf<T> {
    things: BTreeMap<String, Kept<T>>,
    /// `filter=value` → ids.
    index: HashMap<String, BTreeSet<String>>,
    /// How far back describes look.
    reach_ms: i64,
}

/// The result of a describe: what is on the page, and where the next one begins.
pub struct Page<'a, T> {
    pub things: Vec<(&'a T, i64)>,
    /// The last id of this page, when there is more.
    pub more_after: Option<String>,
}

impl<T: Resource> Shelf<T> {
    pub fn new(reach_ms: i64) -> Self {
        Self { things: BTreeMap::new(), index: HashMap::new(), reach_ms }
    }

    pub fn put(&mut self, now_ms: i64, thing: T) {
        note(&mut self.index, &thing, now_ms);
        self.things.insert(thing.id().to_owned(), Kept::new(now_ms, thing));
    }

    /// As it really is, whether or not describes show it.
    pub fn get(&self, id: &str) -> Option<&T> {
        self.things.get(id).map(Kept::now)
    }

    /// When it was made.
    pub fn born_ms(&self, id: &str) -> Option<i64> {
        self.things.get(id).map(Kept::born_ms)
    }

    pub fn at(&self, id: &str, moment_ms: i64) -> Option<&T> {
        self.things.get(id)?.at(moment_ms)
    }

    /// Everything there ever was, as it is now.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.things.values().map(Kept::now)
    }

    pub fn change(&mut self, id: &str, now_ms: i64, change: impl FnOnce(&mut T)) {
        let Some(kept) = self.things.get_mut(id) else { return };
        kept.change(now_ms, self.reach_ms, change);
        note(&mut self.index, kept.now(), now_ms);
    }

    /// Those that have, or had, a value.
    pub fn with(&self, filter: &str, value: &str) -> impl Iterator<Item = &T> {
        let ids = self.index.get(&format!("{filter}={value}"));
        ids.into_iter().flatten().filter_map(|id| self.get(id))
    }

    /// Those that fit all filters, in the order of their ids, beginning after `after`, at most `most`. `moment` tells how a
    /// resource is looked at.
    pub fn select(
        &self,
        filters: &[Filter],
        after: Option<&str>,
        most: usize,
        moment: impl Fn(&str) -> i64,
    ) -> Page<'_, T> {
        let mut page: Page<'_, T> = Page { things: Vec::new(), more_after: None };
        let mut goes_on = |id: &str| {
            let at = moment(id);
            let Some(thing) = self.at(id, at) else { return true };
            if !thing.is_visible(at) || !filters.iter().all(|filter| fits(filter, thing, at)) {
                return true;
            }
            if page.things.len() == most {
                page.more_after = page.things.last().map(|(last, _)| last.id().to_owned());
                return false;
            }
            page.things.push((thing, at));
            true
        };
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        match self.candidates(filters) {
            Some(ids) => ids.range::<str, _>(range).all(|id| goes_on(id)),
            None => self.things.range::<str, _>(range).all(|(id, _)| goes_on(id)),
        };
        page
    }

    /// One that is visible at a moment and fits all filters.
    pub fn one(&self, id: &str, filters: &[Filter], at_ms: i64) -> Option<(&T, i64)> {
        let thing = self.at(id, at_ms).filter(|thing| thing.is_visible(at_ms))?;
        filters.iter().all(|filter| fits(filter, thing, at_ms)).then_some((thing, at_ms))
    }

    /// The fewest that can fit, where a filter is indexed.
    fn candidates(&self, filters: &[Filter]) -> Option<BTreeSet<&str>> {
        let indexed = filters.iter().filter(|filter| {
            (is_tag(&filter.name) || T::INDEXED.contains(&filter.name.as_str())) && !filter.has_wildcard()
        });
        let ids = indexed.map(|filter| {
            let found = |value: &String| self.index.get(&format!("{}={value}", filter.name));
            filter.values.iter().filter_map(found).collect::<Vec<_>>()
        });
        let fewest = ids.min_by_key(|sets| sets.iter().map(|set| set.len()).sum::<usize>())?;
        Some(fewest.into_iter().flatten().map(String::as_str).collect())
    }
}

fn note<T: Resource>(index: &mut HashMap<String, BTreeSet<String>>, thing: &T, now_ms: i64) {
    let id = thing.id();
    let mut add = |key: String| {
        let ids = index.entry(key).or_default();
        if !ids.contains(id) {
            ids.insert(id.to_owned());
        }
    };
    for (key, value) in thing.tags() {
        add(format!("tag:{key}={value}"));
        add(format!("tag-key={key}"));
    }
    let mut values = Vec::new();
    for filter in T::INDEXED {
        values.clear();
        thing.values(filter, now_ms, &mut values);
        for value in &values {
            add(format!("{filter}={value}"));
        }
    }
}

/// Whether there is such a filter, for this kind.
pub fn knows<T: Resource>(filter: &str) -> bool {
    is_tag(filter) || T::FILTERS.contains(&filter)
}

fn is_tag(filter: &str) -> bool {
    filter == "tag-key" || filter.starts_with("tag:")
}

fn fits<T: Resource>(filter: &Filter, thing: &T, at_ms: i64) -> bool {
    if let Some(key) = filter.name.strip_prefix("tag:") {
        return thing.tags().get(key).is_some_and(|value| filter.fits(value));
    }
    if filter.name == "tag-key" {
        return thing.tags().keys().any(|key| filter.fits(key));
    }
    let mut values = Vec::new();
    thing.values(&filter.name, at_ms, &mut values);
    values.iter().any(|value| filter.fits(value))
}
