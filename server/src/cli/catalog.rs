//! `catalog`.

use app::api::{CatalogEntry, ParameterKind, ParameterSpec, TemplateDetail};
use serde_json::{Value, json};

use super::client::Client;
use super::failure::Failure;
use super::output::{Output, clean, clean_lines, table};
use crate::domain::template::quantity::display_bytes;

pub async fn entries(client: &Client) -> Result<Vec<CatalogEntry>, Failure> {
    client.get(&["catalog"], &[]).await
}

pub async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let items = entries(client).await?;
    output.result(&json!({ "items": items }), || {
        if items.is_empty() {
            return "The catalog is empty.".into();
        }
        let rows: Vec<Vec<String>> = items
            .iter()
            .map(|item| {
                let remark = match (&item.broken, &item.unavailable) {
                    (Some(_), _) => "(its newest file is broken) ",
                    (None, Some(_)) => "(not available here) ",
                    (None, None) => "",
                };
                vec![
                    item.name.clone(),
                    item.version.clone(),
                    item.server_count.to_string(),
                    item.title.clone(),
                    format!("{remark}{}", item.summary),
                ]
            })
            .collect();
        table(&["TEMPLATE", "VERSION", "SERVERS", "TITLE", "SUMMARY"], &rows)
    })
}

pub async fn show(client: &Client, name: &str, output: Output) -> Result<(), Failure> {
    let detail: Value = client.get(&["catalog", name], &[]).await?;
    let template: TemplateDetail = serde_json::from_value(detail.clone())
        .map_err(|error| Failure::local(format!("the portal's answer is not understood: {error}")))?;
    output.result(&detail, || describe(&template))
}

fn describe(template: &TemplateDetail) -> String {
    let entry = &template.entry;
    let mut text = format!(
        "{} {}: {}\n{}\n",
        clean(&entry.name),
        clean(&entry.version),
        clean(&entry.title),
        clean(&entry.summary)
    );
    let remarks = [("Not available here", &entry.unavailable), ("The newest file is broken", &entry.broken)];
    for (label, remark) in remarks.into_iter().filter_map(|(label, remark)| Some((label, remark.as_ref()?))) {
        text.push_str(&format!("\n{label}: {}\n", clean_lines(remark)));
    }
    if !template.description.is_empty() {
        text.push_str(&format!("\n{}\n", clean_lines(template.description.trim_end())));
    }
    if !template.parameters.is_empty() {
        let rows: Vec<Vec<String>> = template.parameters.iter().map(parameter_row).collect();
        text.push_str(&format!("\n{}", table(&["PARAMETER", "TYPE", "DEFAULT", "MEANING"], &rows)));
    }
    let rows: Vec<Vec<String>> = template
        .servers
        .iter()
        .map(|server| {
            let ports: Vec<String> = server.ports.iter().map(|port| format!("{} {}", port.port, port.title)).collect();
            vec![
                server.name.clone(),
                server.count.to_string(),
                server.image.clone(),
                server.needs.join(", "),
                ports.join(", "),
            ]
        })
        .collect();
    text.push_str(&format!("\n{}", table(&["SERVER", "COUNT", "IMAGE", "NEEDS", "PORTS"], &rows)));
    if !template.volumes.is_empty() {
        let rows: Vec<Vec<String>> = template
            .volumes
            .iter()
            .map(|volume| vec![volume.name.clone(), display_bytes(volume.size_bytes), volume.servers.join(", ")])
            .collect();
        text.push_str(&format!("\n{}", table(&["VOLUME", "SIZE", "ON"], &rows)));
    }
    for schedule in &template.schedules {
        text.push_str(&format!("\n{}", clean(schedule)));
    }
    text
}

fn parameter_row(parameter: &ParameterSpec) -> Vec<String> {
    let kind = match &parameter.kind {
        ParameterKind::String { pattern: Some(pattern), .. } => format!("text like {pattern}"),
        ParameterKind::String { .. } => "text".into(),
        ParameterKind::Integer { min: i64::MIN, max: i64::MAX } => "number".into(),
        ParameterKind::Integer { min, max } => format!("{min} to {max}"),
        ParameterKind::Boolean => "true, false".into(),
        ParameterKind::Choice { options } => {
            options.iter().map(|option| option.value.as_str()).collect::<Vec<_>>().join(", ")
        }
        ParameterKind::Secret { .. } => "secret".into(),
    };
    let when = parameter.when.as_ref().map(|when| format!(" (when {} is {})", when.parameter, when.equals));
    let default = parameter.default.clone().unwrap_or_else(|| "(must be given)".into());
    vec![parameter.name.clone(), kind, default, format!("{}{}", parameter.title, when.unwrap_or_default())]
}
