//! `presets`: answers to the order form that go together.

use std::collections::BTreeMap;

use app::api::{ParameterKind, ParameterSpec, Preset};

use super::fields::{Fields, Reading, shortened};
use crate::domain::template::names::{self, LABEL};
use crate::domain::template::order::check_value;
use crate::domain::template::problem::did_you_mean;

pub const KEYS: [&str; 3] = ["title", "help", "values"];
/// More would be a form of their own.
pub const MOST: usize = 12;

pub fn read(reading: &Reading, root: &Fields, parameters: &[ParameterSpec]) -> Vec<Preset> {
    let entries = reading.named(root, "presets");
    if entries.len() > MOST {
        reading.report(root.at, "presets", format!("has {} entries; {MOST} are allowed", entries.len()));
    }
    let mut presets = Vec::new();
    for (key, node, path) in entries {
        if !names::is_label(&key.text) {
            reading.report(key.at, &path, format!("a preset's name is {LABEL} characters"));
        }
        let Some(fields) = Fields::open(reading, node, &path, &KEYS) else { continue };
        presets.push(Preset {
            name: key.text.clone(),
            title: fields.required("title").map(|(node, path)| reading.line(node, &path, 60)).unwrap_or_default(),
            help: fields.get("help").map(|(node, path)| reading.line(node, &path, 200)),
            values: read_values(reading, &fields, parameters),
        });
    }
    presets
}

fn read_values(reading: &Reading, preset: &Fields, parameters: &[ParameterSpec]) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let Some((values_node, values_path)) = preset.required("values") else { return values };
    let entries = reading.named(preset, "values");
    for (key, node, path) in &entries {
        let Some(parameter) = parameters.iter().find(|known| known.name == key.text) else {
            let hint = did_you_mean(&key.text, parameters.iter().map(|known| known.name.as_str()));
            reading.report(key.at, path, format!("there is no parameter `{}`{hint}", shortened(&key.text)));
            continue;
        };
        if let ParameterKind::Secret { .. } = parameter.kind {
            reading.report(key.at, path, "is a secret: it would stand here for everybody to read; leave it out");
            continue;
        }
        let Some(value) = reading.scalar(node, path, 20_000) else { continue };
        match check_value(&parameter.kind, &value) {
            Ok(()) => drop(values.insert(key.text.clone(), value)),
            Err(message) => {
                reading.report(node.at, path, format!("`{}` does not fit: it {message}", shortened(&value)))
            }
        }
    }
    if entries.is_empty() {
        reading.report(values_node.at, &values_path, "sets nothing; give at least one `PARAMETER: VALUE`");
    }
    for (key, _, path) in &entries {
        let when = parameters.iter().find(|known| known.name == key.text).and_then(|known| known.when.as_ref());
        let Some(when) = when else { continue };
        let default =
            parameters.iter().find(|known| known.name == when.parameter).and_then(|known| known.default.as_ref());
        if values.get(&when.parameter).or(default) != Some(&when.equals) {
            let message = format!("only applies when `{}` is `{}`; set that too", when.parameter, when.equals);
            reading.report(key.at, path, message);
        }
    }
    values
}
