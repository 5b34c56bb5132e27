//! `catalog`.

use app::api::{CatalogEntry, ParameterKind, ParameterSpec, TemplateDetail, TemplateRecord};
use app::words::{about, sentence, success, usual_time};
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
    let record = entry.record.as_ref().map(past_orders).unwrap_or_default();
    if !record.is_empty() {
        text.push_str(&format!("\n{record}\n"));
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
                [&server.image].into_iter().chain(&server.architecture).cloned().collect::<Vec<_>>().join(", "),
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
    if let Some(park) = &template.park {
        text.push_str(&format!("\n{}", clean(&crate::domain::parking::words(park))));
    }
    text
}

/// "Usually ready in 0.4 s (95 of 100: 1.2 s); 98 of the last 100 orders became ready".
fn past_orders(record: &TemplateRecord) -> String {
    let slow = record.ready_p95_ms.map(|took| format!(" (95 of 100: {})", about(took))).unwrap_or_default();
    let parts: Vec<String> =
        [usual_time(record).map(|usual| usual + &slow), success(record)].into_iter().flatten().collect();
    sentence(&parts.join("; "))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_orders_are_told_in_one_line_and_not_at_all_before_the_first() {
        let record = |decided, became_ready, usual, slow| {
            let (ready_p50_ms, ready_p95_ms) = (usual, slow);
            past_orders(&TemplateRecord {
                orders: 120,
                last_ordered_at: 0,
                decided,
                became_ready,
                ready_p50_ms,
                ready_p95_ms,
            })
        };
        let told = record(100, 98, Some(400), Some(1_200));
        assert_eq!(told, "Usually ready in 0.4 s (95 of 100: 1.2 s); 98 of the last 100 orders became ready");
        assert_eq!(record(3, 0, None, None), "0 of the last 3 orders became ready");
        assert_eq!(record(0, 0, None, None), "");
    }
}
