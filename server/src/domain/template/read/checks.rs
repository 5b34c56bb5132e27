//! `checks`: how a server's health is seen.

use agent::api::{Check, Probe};

use super::fields::{Fields, Reading};
use super::scope::expression_in_script;
use super::yaml::Value;
use crate::domain::template::names::{self, LABEL, URL_PATH};

pub const KEYS: [&str; 7] = ["tcp", "http", "exec", "interval", "timeout", "start_timeout", "failures"];
pub const HTTP_KEYS: [&str; 3] = ["port", "path", "status"];
const PROBES: [&str; 3] = ["tcp", "http", "exec"];

pub fn read(reading: &Reading, server: &Fields) -> Vec<Check> {
    let mut checks = Vec::new();
    for (key, node, path) in reading.named(server, "checks") {
        if !names::is_label(&key.text) {
            reading.report(key.at, &path, format!("a check's name is {LABEL} characters"));
        }
        let Some(fields) = Fields::open(reading, node, &path, &KEYS) else { continue };
        let duration = |key, default, range| match fields.get(key) {
            Some((node, path)) => reading.duration_ms(node, &path, range),
            None => default,
        };
        let Some(probe) = read_probe(reading, &fields) else { continue };
        checks.push(Check {
            name: key.text.clone(),
            probe,
            interval_ms: duration("interval", 2000, 100..=3_600_000),
            timeout_ms: duration("timeout", 5000, 100..=600_000),
            start_timeout_ms: duration("start_timeout", 60_000, 1000..=7_200_000),
            failures: fields
                .get("failures")
                .map_or(3, |(node, path)| u32::try_from(reading.integer(node, &path, 1..=1000)).unwrap_or(3)),
        });
    }
    checks
}

fn read_probe(reading: &Reading, fields: &Fields) -> Option<Probe> {
    let given: Vec<&str> = PROBES.into_iter().filter(|probe| fields.get(probe).is_some()).collect();
    let [kind] = given[..] else {
        reading.report(fields.at, &fields.path, "should have exactly one of `tcp`, `http`, `exec`");
        return None;
    };
    let (node, path) = fields.get(kind)?;
    let port = |node, path: &str| u16::try_from(reading.integer(node, path, 1..=65_535)).unwrap_or_default();
    Some(match kind {
        "tcp" => Probe::Tcp { port: port(node, &path) },
        "exec" => {
            let command = reading.line(node, &path, 4000);
            expression_in_script(reading, node, &path, &command);
            Probe::Exec { command }
        }
        _ if matches!(node.value, Value::Mapping(_)) => {
            let http = Fields::open(reading, node, &path, &HTTP_KEYS)?;
            let (port_node, port_path) = http.required("port")?;
            Probe::Http {
                port: port(port_node, &port_path),
                path: http
                    .get("path")
                    .map_or("/".into(), |(node, path)| reading.formed(node, &path, URL_PATH, names::is_url_path)),
                status: http
                    .get("status")
                    .map_or(200, |(node, path)| u16::try_from(reading.integer(node, &path, 100..=599)).unwrap_or(200)),
            }
        }
        _ => Probe::Http { port: port(node, &path), path: "/".into(), status: 200 },
    })
}
