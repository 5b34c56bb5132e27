//! Reading a template's source strictly, with everything that is wrong told at once.

mod checks;
mod fields;
mod parameters;
mod presets;
mod rest;
mod scope;
mod servers;
mod yaml;

#[cfg(test)]
mod schema_tests;

use self::fields::{Fields, Reading};
use self::scope::Scope;
use self::yaml::Value;
use super::model::Template;
use super::names::{self, LABEL, TAG, VERSION};
use super::problem::Problems;

pub use self::yaml::MAX_BYTES;

const KEYS: [&str; 20] = [
    "name",
    "version",
    "title",
    "summary",
    "description",
    "icon",
    "category",
    "tags",
    "maintainer",
    "featured",
    "changes",
    "parameters",
    "presets",
    "provisioner",
    "servers",
    "volumes",
    "outputs",
    "schedules",
    "snapshots",
    "park",
];

/// What a provisioner's name looks like, in words.
const PROVISIONER: &str = "the name of one of the portal's provisioners, like `local`";

/// Reads a template.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(source: &str) -> Result<Template, Problems> {
    let mut problems = Vec::new();
    let root = yaml::parse(source, &mut problems);
    let reading = Reading::new(source, problems);
    let template = root.and_then(|root| {
        let fields = Fields::open(&reading, &root, "", &KEYS)?;
        Some(read_template(&reading, &fields))
    });
    match (Problems::found(reading.into_problems()), template) {
        (None, Some(template)) => Ok(template),
        (Some(problems), _) => Err(problems),
        (None, None) => Err(Problems::one("the file cannot be read as a template")),
    }
}

/// The name a template gives itself, even when much else of it is wrong: so that a broken file is shown in its place.
pub fn name_in(source: &str) -> Option<String> {
    let root = yaml::parse(source, &mut Vec::new())?;
    let Value::Mapping(entries) = root.value else { return None };
    entries.into_iter().find_map(|(key, node)| match node.value {
        Value::Scalar { text, .. } if key.text == "name" && names::is_label(&text) => Some(text),
        _ => None,
    })
}

fn read_template(reading: &Reading, root: &Fields) -> Template {
    let parameters = parameters::read(reading, root);
    let entries = reading.peek_named(root, "servers");
    let scope = Scope {
        parameters,
        servers: entries.iter().map(|(key, ..)| key.text.clone()).collect(),
        several: servers::several(&entries),
    };
    let servers = servers::read(reading, root, &scope);
    let volumes = rest::read_volumes(reading, root, &scope, &servers);
    let line = |key, max| root.required(key).map(|(node, path)| reading.line(node, &path, max)).unwrap_or_default();
    let formed = |key, form, fits: fn(&str) -> bool| {
        root.required(key).map(|(node, path)| reading.formed(node, &path, form, fits)).unwrap_or_default()
    };
    Template {
        name: formed("name", LABEL, names::is_label),
        version: formed("version", VERSION, names::is_version),
        title: line("title", 80),
        summary: line("summary", 200),
        description: root.get("description").map(|(node, path)| reading.text(node, &path, 20_000)).unwrap_or_default(),
        icon: rest::read_icon(reading, root),
        category: line("category", 40),
        tags: root.words("tags", TAG, names::is_tag).into_iter().map(|(tag, _)| tag).collect(),
        maintainer: root.get("maintainer").map(|(node, path)| reading.line(node, &path, 120)),
        provisioner: root
            .get("provisioner")
            .map(|(node, path)| reading.formed(node, &path, PROVISIONER, names::is_label)),
        featured: root.get("featured").is_some_and(|(node, path)| reading.boolean(node, &path)),
        changes: root.get("changes").map(|(node, path)| reading.text(node, &path, 2000).trim_end().to_owned()),
        presets: presets::read(reading, root, &scope.parameters),
        outputs: rest::read_outputs(reading, root, &scope),
        schedules: rest::read_schedules(reading, root),
        snapshots: rest::read_snapshots(reading, root),
        park: rest::read_park(reading, root, &servers),
        parameters: scope.parameters,
        servers,
        volumes,
    }
}
