//! What changed from one version of a template to the next, in sentences for the people who order it.
//!
//! Told is what somebody would notice: servers, volumes, fields of the order form, what runs and where. Scripts are only
//! said to be others: their text is for curators.

use app::api::{ParameterKind, ParameterSpec};
use provisioners::Architecture;

use super::model::{Count, Limits, Server, Size, Template, Volume};
use super::quantity::display_bytes;
use crate::domain::schedule;

/// One sentence for each thing that is new, gone or different; none when people would notice nothing.
pub fn differences(before: &Template, after: &Template) -> Vec<String> {
    let mut said = Vec::new();
    compare(&before.servers, &after.servers, |server| format!("server {}", server.name), server, &mut said);
    compare(&before.volumes, &after.volumes, |volume| format!("volume {}", volume.name), volume, &mut said);
    parameters(&before.parameters, &after.parameters, &mut said);
    compare(
        &before.presets,
        &after.presets,
        |preset| format!("preset “{}”", preset.title),
        |before, after| (before.values != after.values).then(|| "sets other values".into()).into_iter().collect(),
        &mut said,
    );
    compare(
        &before.outputs,
        &after.outputs,
        |output| format!("output “{}”", output.title),
        |before, after| (before != after).then(|| "says something else".into()).into_iter().collect(),
        &mut said,
    );
    for rule in after.schedules.iter().filter(|rule| !before.schedules.contains(rule)) {
        said.push(format!("Now {}", schedule::describe(rule)));
    }
    for rule in before.schedules.iter().filter(|rule| !after.schedules.contains(rule)) {
        said.push(format!("No longer {}", schedule::describe(rule)));
    }
    let (was, is) = (schedule::describe_snapshots(&before.snapshots), schedule::describe_snapshots(&after.snapshots));
    said.extend(is.iter().filter(|rule| !was.contains(rule)).map(|rule| format!("Now {rule}")));
    said.extend(was.iter().filter(|rule| !is.contains(rule)).map(|rule| format!("No longer {rule}")));
    said.extend(now_was("Parked by", before.park.as_str(), after.park.as_str()));
    said.extend(words(before, after));
    said
}

/// New, gone and different things of one kind. `called` says what a thing is, and tells it from its like.
fn compare<T>(
    before: &[T],
    after: &[T],
    called: impl Fn(&T) -> String,
    changed: impl Fn(&T, &T) -> Vec<String>,
    said: &mut Vec<String>,
) {
    for thing in after {
        let name = called(thing);
        match before.iter().find(|earlier| called(earlier) == name) {
            None => said.push(format!("New {name}")),
            Some(earlier) => said.extend(sentence(&name, changed(earlier, thing))),
        }
    }
    for thing in before.iter().map(&called).filter(|name| !after.iter().any(|later| called(later) == *name)) {
        said.push(format!("{} is gone", capital(&thing)));
    }
}

fn sentence(name: &str, changes: Vec<String>) -> Option<String> {
    (!changes.is_empty()).then(|| format!("{}: {}", capital(name), changes.join("; ")))
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn server(before: &Server, after: &Server) -> Vec<String> {
    let mut said = Vec::new();
    said.extend(now_was("count", &count(&before.count), &count(&after.count)));
    said.extend(now_was("size", &size(&before.size), &size(&after.size)));
    said.extend(now_was("image", &before.image.to_string(), &after.image.to_string()));
    let alias = |server: &Server| server.alias.clone().unwrap_or_else(|| "the usual one".to_owned());
    said.extend(now_was("image on ec2", &alias(before), &alias(after)));
    let processor = |server: &Server| server.architecture.map_or("the usual one", Architecture::as_str);
    said.extend(now_was("processor", processor(before), processor(after)));
    if before.internet != after.internet {
        let words = if after.internet { "may reach the internet" } else { "no longer reaches the internet" };
        said.push(words.into());
    }
    if before.spot != after.spot {
        said.push(if after.spot { "on spot servers".into() } else { "no longer on spot servers".into() });
    }
    list(&before.needs, &after.needs, "needs", "no longer needs", &mut said);
    list(&before.requires, &after.requires, "requires the command", "no longer requires the command", &mut said);
    let ports = |server: &Server| -> Vec<String> {
        server.ports.iter().map(|port| format!("port {} ({})", port.port, port.title)).collect()
    };
    list(&ports(before), &ports(after), "new", "without", &mut said);
    for (script, before, after) in [
        ("set-up script", &before.setup, &after.setup),
        ("start-up script", &before.startup, &after.startup),
        ("script before snapshots", &before.before_snapshot, &after.before_snapshot),
        ("script after snapshots", &before.after_snapshot, &after.after_snapshot),
    ] {
        match (before, after) {
            (None, Some(_)) => said.push(format!("has a {script} now")),
            (Some(_), None) => said.push(format!("has no {script} any more")),
            (Some(before), Some(after)) if before != after => said.push(format!("another {script}")),
            _ => {}
        }
    }
    named(&before.services, &after.services, "service", |service| &service.name, &mut said);
    named(&before.checks, &after.checks, "check", |check| &check.name, &mut said);
    if before.variables != after.variables {
        said.push("other variables".into());
    }
    said
}

fn volume(before: &Volume, after: &Volume) -> Vec<String> {
    let mut said = Vec::new();
    said.extend(now_was("size", &display_bytes(before.size_bytes), &display_bytes(after.size_bytes)));
    if (&before.mounts, before.per_server) != (&after.mounts, after.per_server) {
        let mounts = after.mounts.iter().map(|(server, path)| format!("on {server} at {path}")).collect::<Vec<_>>();
        let each = if after.per_server { ", one for each server" } else { "" };
        said.push(format!("now {}{each}", mounts.join(" and ")));
    }
    said
}

/// By name; told by what the form calls them.
fn parameters(before: &[ParameterSpec], after: &[ParameterSpec], said: &mut Vec<String>) {
    for parameter in after {
        match before.iter().find(|earlier| earlier.name == parameter.name) {
            None => said.push(format!("New field “{}”", parameter.title)),
            Some(earlier) => {
                let mut changes = Vec::new();
                if earlier.title != parameter.title {
                    changes.push(format!("was called “{}”", earlier.title));
                }
                changes.extend(kind(&earlier.kind, &parameter.kind));
                match (&earlier.default, &parameter.default) {
                    (before, Some(after)) if before.as_ref() != Some(after) => {
                        changes.push(format!("starts as {}", shown(after)));
                    }
                    (Some(_), None) => changes.push("needs an answer now".into()),
                    _ => {}
                }
                if earlier.when != parameter.when {
                    changes.push("asked on another condition".into());
                }
                said.extend(sentence(&format!("field “{}”", parameter.title), changes));
            }
        }
    }
    for gone in before.iter().filter(|earlier| !after.iter().any(|later| later.name == earlier.name)) {
        said.push(format!("Field “{}” is gone", gone.title));
    }
}

fn kind(before: &ParameterKind, after: &ParameterKind) -> Vec<String> {
    match (before, after) {
        _ if before == after => Vec::new(),
        (ParameterKind::Integer { .. }, ParameterKind::Integer { min, max }) => vec![match (*min, *max) {
            (i64::MIN, i64::MAX) => "any whole number".into(),
            (min, i64::MAX) => format!("at least {min}"),
            (i64::MIN, max) => format!("at most {max}"),
            (min, max) => format!("from {min} to {max}"),
        }],
        (ParameterKind::Choice { options: before }, ParameterKind::Choice { options: after }) => {
            let titles = |options: &[app::api::ChoiceOption]| -> Vec<String> {
                options.iter().map(|option| format!("“{}”", option.title)).collect()
            };
            let mut said = Vec::new();
            list(&titles(before), &titles(after), "new choice", "without the choice", &mut said);
            said
        }
        (before, after) if std::mem::discriminant(before) == std::mem::discriminant(after) => {
            vec!["takes other texts".into()]
        }
        (_, ParameterKind::String { .. }) => vec!["takes a text now".into()],
        (_, ParameterKind::Integer { .. }) => vec!["takes a number now".into()],
        (_, ParameterKind::Boolean) => vec!["is yes or no now".into()],
        (_, ParameterKind::Choice { .. }) => vec!["is chosen from a list now".into()],
        (_, ParameterKind::Secret { .. }) => vec!["is a secret now".into()],
    }
}

/// What is on the catalog's card and the template's page.
fn words(before: &Template, after: &Template) -> Option<String> {
    let changed = [
        ("title", before.title != after.title),
        ("summary", before.summary != after.summary),
        ("description", before.description != after.description),
        ("category", before.category != after.category),
        ("tags", before.tags != after.tags),
        ("maintainer", before.maintainer != after.maintainer),
        ("provisioner", before.provisioner != after.provisioner),
        ("icon", before.icon != after.icon),
    ];
    let changed: Vec<&str> = changed.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect();
    (!changed.is_empty()).then(|| format!("Another {}", changed.join(", another ")))
}

fn now_was(what: &str, before: &str, after: &str) -> Option<String> {
    (before != after).then(|| format!("{what} {after} instead of {before}"))
}

fn list(before: &[String], after: &[String], new: &str, gone: &str, said: &mut Vec<String>) {
    said.extend(after.iter().filter(|one| !before.contains(one)).map(|one| format!("{new} {one}")));
    said.extend(before.iter().filter(|one| !after.contains(one)).map(|one| format!("{gone} {one}")));
}

fn named<T: PartialEq>(before: &[T], after: &[T], what: &str, name: impl Fn(&T) -> &String, said: &mut Vec<String>) {
    for thing in after {
        match before.iter().find(|earlier| name(earlier) == name(thing)) {
            None => said.push(format!("new {what} {}", name(thing))),
            Some(earlier) if earlier != thing => said.push(format!("{what} {} changed", name(thing))),
            Some(_) => {}
        }
    }
    let gone = before.iter().filter(|earlier| !after.iter().any(|later| name(later) == name(earlier)));
    said.extend(gone.map(|earlier| format!("without {what} {}", name(earlier))));
}

fn count(count: &Count) -> String {
    match count {
        Count::Fixed(count) => count.to_string(),
        Count::Parameter(name) => format!("chosen by `{name}`"),
    }
}

fn size(size: &Size) -> String {
    match size {
        Size::Unlimited | Size::Fixed(Limits { cpu_millis: None, memory_bytes: None }) => "without limits".into(),
        Size::Fixed(Limits { cpu_millis, memory_bytes }) => {
            let cpu = cpu_millis.map(|millis| format!("{} CPU", f64::from(millis) / 1000.0));
            let memory = memory_bytes.map(display_bytes);
            cpu.into_iter().chain(memory).collect::<Vec<_>>().join(" and ")
        }
        Size::Parameter(name) => format!("chosen by `{name}`"),
    }
}

/// A value in a sentence: one line, not too long.
fn shown(value: &str) -> String {
    let line = value.lines().next().unwrap_or_default();
    let short: String = line.chars().take(40).collect();
    match (short.is_empty(), short.len() < value.len()) {
        (true, _) => "empty".into(),
        (false, true) => format!("“{short}…”"),
        (false, false) => format!("“{short}”"),
    }
}

#[cfg(test)]
#[path = "tests/differences.rs"]
mod tests;
