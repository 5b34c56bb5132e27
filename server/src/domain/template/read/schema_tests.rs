//! The published schema is written by hand, for its words; here it is held against what is really read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{checks, parameters, presets, rest, servers};
use crate::domain::template::{SCHEMA, SIZES};

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn properties(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().expect("an object with properties").keys().cloned().collect()
}

fn keys(known: &[&str]) -> BTreeSet<String> {
    known.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn the_schema_offers_exactly_the_keys_that_are_read() {
    let schema = schema();
    let definition = |name: &str| properties(&schema["$defs"][name]);
    assert_eq!(properties(&schema), keys(&super::KEYS));
    assert_eq!(definition("server"), keys(&servers::KEYS));
    assert_eq!(definition("service"), keys(&servers::SERVICE_KEYS));
    assert_eq!(definition("check"), keys(&checks::KEYS));
    assert_eq!(definition("preset"), keys(&presets::KEYS));
    assert_eq!(definition("volume"), keys(&rest::VOLUME_KEYS));
    assert_eq!(definition("output"), keys(&rest::OUTPUT_KEYS));
    assert_eq!(definition("schedules"), keys(&rest::SCHEDULE_KEYS));
    assert_eq!(definition("snapshots"), keys(&rest::SNAPSHOT_KEYS));
    assert_eq!(properties(&schema["$defs"]["snapshots"]["properties"]["keep"]), keys(&rest::KEEP_KEYS));
    let server = &schema["$defs"]["server"]["properties"];
    assert_eq!(properties(&server["size"]["anyOf"][2]), keys(&servers::SIZE_KEYS));
    assert_eq!(properties(&server["image"]["anyOf"][1]), keys(&servers::PROVISIONERS));
    assert_eq!(properties(&server["setup"]["anyOf"][1]), keys(&servers::SCRIPT_KEYS));
    assert_eq!(properties(&server["ports"]["items"]), keys(&servers::PORT_KEYS));
    assert_eq!(properties(&schema["$defs"]["check"]["properties"]["http"]["anyOf"][1]), keys(&checks::HTTP_KEYS));
    let types = schema["$defs"]["parameter"]["oneOf"].as_array().unwrap();
    assert_eq!(types.len(), parameters::TYPES.len());
    for (schema, (name, own)) in types.iter().zip(parameters::TYPES) {
        assert_eq!(schema["properties"]["type"]["const"], name);
        let mut expected: BTreeSet<String> =
            parameters::COMMON.iter().chain(own).map(|key| (*key).to_owned()).collect();
        if name == "secret" {
            expected.remove("default");
        }
        assert_eq!(properties(schema), expected, "{name}");
    }
}

#[test]
fn the_schema_names_the_same_words_as_the_code() {
    let schema = schema();
    let words = |value: &Value| -> Vec<String> { serde_json::from_value(value["enum"].clone()).unwrap() };
    assert_eq!(words(&schema["properties"]["icon"]), app::api::TEMPLATE_ICONS);
    assert_eq!(words(&schema["properties"]["park"]), crate::domain::topology::ParkMode::ALL.map(|mode| mode.as_str()));
    assert_eq!(words(&schema["$defs"]["server"]["properties"]["size"]["anyOf"][0]), SIZES.map(|(name, _)| name));
    let max = &schema["$defs"]["server"]["properties"]["count"]["anyOf"][0]["maximum"];
    assert_eq!(*max, servers::MAX_SERVERS);
    assert_eq!(schema["properties"]["presets"]["maxProperties"], presets::MOST);
}

/// Every object in the schema is closed, or editors would let through what is refused here.
#[test]
fn the_schema_lets_no_unknown_key_through() {
    fn walk(schema: &Value, path: &str) {
        if let Some(object) = schema.as_object() {
            if object.get("properties").is_some_and(|properties| properties.get("type").is_none_or(|t| t.is_object())) {
                assert_eq!(object.get("additionalProperties"), Some(&Value::Bool(false)), "{path}");
            }
            object.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}")));
        } else if let Some(list) = schema.as_array() {
            list.iter().enumerate().for_each(|(index, value)| walk(value, &format!("{path}/{index}")));
        }
    }
    walk(&schema(), "");
}
