//! `parameters`: the fields of the order form.

use app::api::{ChoiceOption, ParameterKind, ParameterSpec, When};

use super::fields::{Fields, Reading, shortened};
use super::yaml::{Node, Value};
use crate::domain::template::names::{self, IDENTIFIER};
use crate::domain::template::order::check_value;
use crate::domain::template::problem::{Position, did_you_mean};

pub const COMMON: [&str; 5] = ["type", "title", "help", "default", "when"];
pub const TYPES: [(&str, &[&str]); 5] = [
    ("string", &["pattern", "max_length", "multiline"]),
    ("integer", &["min", "max"]),
    ("boolean", &[]),
    ("choice", &["options"]),
    ("secret", &["max_length", "multiline"]),
];

pub fn read(reading: &Reading, root: &Fields) -> Vec<ParameterSpec> {
    let mut parameters: Vec<ParameterSpec> = Vec::new();
    let entries = reading.named(root, "parameters");
    if entries.len() > 50 {
        reading.report(root.at, "parameters", format!("has {} entries; 50 are allowed", entries.len()));
    }
    for (key, node, path) in entries {
        if !names::is_identifier(&key.text) {
            reading.report(key.at, &path, format!("a parameter's name is {IDENTIFIER} characters"));
        }
        let parameter = read_one(reading, &key.text, node, &path, &parameters);
        parameters.extend(parameter);
    }
    parameters
}

fn read_one(
    reading: &Reading,
    name: &str,
    node: &Node,
    path: &str,
    earlier: &[ParameterSpec],
) -> Option<ParameterSpec> {
    let kind = type_of(reading, node, path)?;
    let own = TYPES.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, own)| own);
    let known: Vec<&str> = COMMON.iter().chain(own).copied().collect();
    let fields = Fields::open(reading, node, path, &known)?;
    let mut parameter = ParameterSpec {
        name: name.into(),
        title: match fields.get("title") {
            Some((node, path)) => reading.line(node, &path, 80),
            None => title_from(name),
        },
        help: fields.get("help").map(|(node, path)| reading.text(node, &path, 1000)),
        kind: read_kind(reading, &fields, kind),
        default: None,
        when: read_when(reading, &fields, earlier),
    };
    if let Some((node, path)) = fields.get("default") {
        parameter.default = read_default(reading, node, &path, &parameter);
    }
    Some(parameter)
}

fn type_of(reading: &Reading, node: &Node, path: &str) -> Option<&'static str> {
    let names = TYPES.map(|(name, _)| name);
    let Value::Mapping(entries) = &node.value else {
        reading.wrong(node, path, "should be a mapping that begins with `type:`");
        return None;
    };
    let Some((_, node)) = entries.iter().find(|(key, _)| key.text == "type") else {
        reading.report(node.at, &format!("{path}.type"), format!("is missing; it is one of {}", names.join(", ")));
        return None;
    };
    let path = format!("{path}.type");
    let given = reading.scalar(node, &path, 100)?;
    let found = names.into_iter().find(|name| *name == given);
    if found.is_none() {
        let hint = did_you_mean(&given, names);
        let message = format!("there is no type `{}`{hint} Types are {}", shortened(&given), names.join(", "));
        reading.report(node.at, &path, message);
    }
    found
}

fn read_kind(reading: &Reading, fields: &Fields, kind: &str) -> ParameterKind {
    let max_length = || match fields.get("max_length") {
        Some((node, path)) => u32::try_from(reading.integer(node, &path, 1..=20_000)).unwrap_or(u32::MAX),
        None => 1000,
    };
    let multiline = || fields.get("multiline").is_some_and(|(node, path)| reading.boolean(node, &path));
    match kind {
        "integer" => {
            let bound = |key, absent| match fields.get(key) {
                Some((node, path)) => (reading.integer(node, &path, i64::MIN..=i64::MAX), node.at),
                None => (absent, fields.at),
            };
            let ((min, _), (max, at)) = (bound("min", i64::MIN), bound("max", i64::MAX));
            if min > max {
                reading.report(at, &fields.path_of("max"), format!("{max} should not be below min, which is {min}"));
            }
            ParameterKind::Integer { min, max }
        }
        "boolean" => ParameterKind::Boolean,
        "choice" => ParameterKind::Choice { options: read_options(reading, fields) },
        "secret" => ParameterKind::Secret { max_length: max_length(), multiline: multiline() },
        _ => {
            let pattern = fields.get("pattern").and_then(|(node, path)| {
                let pattern = reading.scalar(node, &path, 1000)?;
                if let Err(error) = crate::domain::template::order::compile_pattern(&pattern) {
                    let message = format!("is no regular expression: {}", shortened_last_line(&error.to_string()));
                    reading.report(node.at, &path, message);
                    return None;
                }
                Some(pattern)
            });
            ParameterKind::String { pattern, max_length: max_length(), multiline: multiline() }
        }
    }
}

fn read_options(reading: &Reading, fields: &Fields) -> Vec<ChoiceOption> {
    let Some((node, path)) = fields.required("options") else { return Vec::new() };
    let mut options: Vec<ChoiceOption> = Vec::new();
    for (item, path) in reading.list(node, &path) {
        let option = match &item.value {
            Value::Mapping(_) => {
                let Some(fields) = Fields::open(reading, item, &path, &["value", "title"]) else { continue };
                let Some((value, value_path)) = fields.required("value") else { continue };
                let value = reading.line(value, &value_path, 200);
                let title = fields.get("title").map(|(node, path)| reading.line(node, &path, 80));
                ChoiceOption { title: title.unwrap_or_else(|| value.clone()), value }
            }
            _ => {
                let value = reading.line(item, &path, 200);
                ChoiceOption { title: value.clone(), value }
            }
        };
        if options.iter().any(|other| other.value == option.value) {
            reading.report(item.at, &path, format!("`{}` is in the list twice", shortened(&option.value)));
        }
        options.push(option);
    }
    if options.is_empty() {
        reading.report(node.at, &path, "has no option to choose from; give at least one");
    }
    options
}

fn read_when(reading: &Reading, fields: &Fields, earlier: &[ParameterSpec]) -> Option<When> {
    let (node, path) = fields.get("when")?;
    let Value::Mapping(entries) = &node.value else {
        reading.wrong(node, &path, "should be one line `OTHER_PARAMETER: VALUE`");
        return None;
    };
    let [(key, value_node)] = entries.as_slice() else {
        reading.report(node.at, &path, "should name exactly one other parameter");
        return None;
    };
    let Some(other) = earlier.iter().find(|other| other.name == key.text) else {
        let hint = did_you_mean(&key.text, earlier.iter().map(|other| other.name.as_str()));
        let message = format!("`{}` should be a parameter that stands above this one{hint}", shortened(&key.text));
        reading.report(key.at, &path, message);
        return None;
    };
    let equals = reading.scalar(value_node, &path, 1000)?;
    match &other.kind {
        ParameterKind::Secret { .. } => {
            reading.report(key.at, &path, format!("`{}` is a secret; nothing may depend on its value", key.text));
        }
        _ => {
            if let Err(message) = check_value(&other.kind, &equals) {
                reading.report(
                    value_node.at,
                    &path,
                    format!("`{}` is never {}: it {message}", key.text, shortened(&equals)),
                );
            }
        }
    }
    Some(When { parameter: key.text.clone(), equals })
}

fn read_default(reading: &Reading, node: &Node, path: &str, parameter: &ParameterSpec) -> Option<String> {
    let default = reading.scalar(node, path, 20_000)?;
    let wrong = |at: Position, message: String| reading.report(at, path, message);
    if let ParameterKind::Secret { .. } = parameter.kind {
        wrong(node.at, "a secret has no default: it would stand here for everybody to read; leave the key out".into());
        return None;
    }
    if let Err(message) = check_value(&parameter.kind, &default) {
        wrong(node.at, format!("`{}` does not fit: it {message}", shortened(&default)));
    }
    Some(default)
}

/// `admin_name` → `Admin name`.
fn title_from(name: &str) -> String {
    let mut title = name.replace('_', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

/// The regex crate draws a picture of several lines; its last line is the message.
fn shortened_last_line(error: &str) -> String {
    let line = error.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}
