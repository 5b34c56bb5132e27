//! `template`: what a curator does before a template goes into the catalog. Needs no portal.

use std::path::Path;

use app::api::ApiError;
use serde_json::json;

use super::arguments::Assignment;
use super::failure::{Failure, exit};
use super::order::parameters;
use super::output::{Output, clean, clean_lines, print, table};
use crate::domain::schedule;
use crate::domain::template::quantity::display_bytes;
use crate::domain::template::{self, Problems, Template};
use crate::domain::topology::{Sharing, Topology};

/// 0 when all are good, 1 when one is not.
pub fn lint(files: &[std::path::PathBuf], output: Output) -> Result<u8, Failure> {
    let mut results = Vec::new();
    let mut text = String::new();
    let mut all_good = true;
    for path in files {
        let file = path.display().to_string();
        match read(path)? {
            Ok(template) => {
                results.push(
                    json!({ "file": file, "template": template.name, "version": template.version, "problems": [] }),
                );
                text.push_str(&format!("{}: good ({} {})\n", clean(&file), template.name, template.version));
            }
            Err(problems) => {
                all_good = false;
                text.push_str(&clean_lines(&problems.in_file(&file)));
                text.push('\n');
                results.push(json!({ "file": file, "problems": problems }));
            }
        }
    }
    output.result(&json!({ "items": results }), || text)?;
    Ok(if all_good { 0 } else { exit::FAILED })
}

pub fn plan(path: &Path, set: &[Assignment], set_file: &[Assignment], output: Output) -> Result<(), Failure> {
    let file = path.display().to_string();
    let template = read(path)?.map_err(|problems| Failure::local(problems.in_file(&file)))?;
    let given = parameters(set, set_file)?;
    let values = template::resolve(&template, &given).map_err(ApiError::invalid)?;
    let topology = template::compile(&template, "example", &values, Sharing::OneDisk);
    output.result(&topology, || describe(&template, &topology))
}

pub fn schema(_: Output) -> Result<(), Failure> {
    Ok(print(template::SCHEMA)?)
}

fn read(path: &Path) -> Result<Result<Template, Problems>, Failure> {
    let source =
        std::fs::read(path).map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
    let source = String::from_utf8(source)
        .map_err(|error| Failure::local(format!("{}: {error}; save it as UTF-8", path.display())))?;
    Ok(template::read(&source))
}

/// What would be created, step by step: what stands in one step can be made at the same time.
fn describe(template: &Template, topology: &Topology) -> String {
    let mut text = format!("{} {} would create:\n\n1. a private network", template.name, template.version);
    for volume in &topology.volumes {
        let mounts: Vec<String> = topology
            .servers
            .iter()
            .flat_map(|server| server.mounts.iter().map(move |mount| (server, mount)))
            .filter(|(_, mount)| mount.volume == volume.name)
            .map(|(server, mount)| format!("{} at {}", server.name, mount.path))
            .collect();
        text.push_str(&format!(
            "\n   volume {} of {}, on {}",
            volume.name,
            display_bytes(volume.size_bytes),
            mounts.join(", ")
        ));
    }
    text.push('\n');
    let mut started: Vec<&str> = Vec::new();
    let mut step = 2;
    while started.len() < topology.servers.len() {
        let next: Vec<_> = topology
            .servers
            .iter()
            .filter(|server| !started.contains(&server.name.as_str()))
            .filter(|server| server.needs.iter().all(|needed| started.contains(&needed.as_str())))
            .collect();
        let rows: Vec<Vec<String>> = next
            .iter()
            .map(|server| {
                let limits = [
                    server.cpu_millis.map(|millis| format!("{} CPU", f64::from(millis) / 1000.0)),
                    server.memory_bytes.map(display_bytes),
                ];
                let limits: Vec<String> = limits.into_iter().flatten().collect();
                let alias = server.alias.as_ref().map(|alias| format!(" (ec2: {alias})")).unwrap_or_default();
                let processors = server.architecture.map(|architecture| format!(", {architecture}"));
                let image = format!("{}{alias}{}", server.image, processors.unwrap_or_default());
                let ports: Vec<String> =
                    server.ports.iter().map(|port| format!("{} {}", port.port, port.title)).collect();
                vec![
                    format!("   {}", server.name),
                    server.address.to_string(),
                    image,
                    if limits.is_empty() { "unlimited".into() } else { limits.join(", ") },
                    server.needs.join(", "),
                    ports.join(", "),
                ]
            })
            .collect();
        if next.is_empty() {
            break;
        }
        text.push_str(&format!("\n{step}. servers\n"));
        text.push_str(&table(&["   NAME", "ADDRESS", "IMAGE", "LIMITS", "WHEN HEALTHY", "PORTS"], &rows));
        started.extend(next.iter().map(|server| server.name.as_str()));
        step += 1;
    }
    for output in &topology.outputs {
        text.push_str(&format!("\n{}: {}", clean(&output.title), clean(&output.with_secrets(&Default::default()))));
    }
    for rule in &topology.schedules {
        text.push_str(&format!("\nIt is {}.", schedule::describe(rule)));
    }
    text
}
