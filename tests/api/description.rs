//! The OpenAPI document says what there is, all of it, and nothing else.

use std::collections::BTreeSet;

use app::api::Role;
use reqwest::Method;
use serde_json::Value;
use tests::{House, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_description_answers_and_needs_somebody_signed_in() -> Outcome {
    let house = House::open().await?;
    let spec: Value = house.http.get(house.url("/api/v1/openapi.json")).send().await?.json().await?;
    let ann = house.guest("default", "ann", Role::Administrator).await?;
    for (method, path, operation) in operations(&spec) {
        let called = path.replace(['{', '}'], "x");
        let nobody = house.http.request(method.clone(), house.url(&called)).json(&serde_json::json!({})).send().await?;
        let open = operation["security"] == serde_json::json!([{}]);
        assert!(
            open || nobody.status() == 401 || nobody.status() == 422 || nobody.status() == 426,
            "{method} {path}: {}",
            nobody.status()
        );
        let somebody = ann.request(method.clone(), called.trim_start_matches("/api/v1")).send().await?;
        let status = somebody.status();
        assert_ne!(status, 405, "{method} {path}");
        if status == 404 {
            let problem: Value = somebody.json().await?;
            assert!(!problem["title"].as_str().unwrap_or_default().contains("address"), "{method} {path}: {problem}");
        }
    }
    Ok(())
}

/// The rules of OpenAPI 3.1 that a document made of parts can break.
#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_a_valid_openapi_3_1_document() -> Outcome {
    let house = House::open().await?;
    let spec: Value = house.http.get(house.url("/api/v1/openapi.json")).send().await?.json().await?;
    assert!(spec["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")), "{}", spec["openapi"]);
    let mut ids = BTreeSet::new();
    let tags: Vec<&Value> = spec["tags"].as_array().into_iter().flatten().map(|tag| &tag["name"]).collect();
    for (method, path, operation) in operations(&spec) {
        let id = operation["operationId"].as_str().unwrap_or_default();
        assert!(!id.is_empty() && ids.insert(id.to_string()), "{method} {path}: operationId `{id}`");
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{method} {path}");
        assert!(operation["tags"].as_array().is_some_and(|own| own.iter().all(|tag| tags.contains(&tag))), "{path}");
        let named: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(named, in_path, "{method} {path}");
        assert!(operation["responses"].get("401").is_some(), "{method} {path} says nothing of errors");
    }
    let mut references = Vec::new();
    collect_references(&spec, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').ok_or("a reference leads out of the document")?;
        assert!(spec.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_can_be_read_by_people_without_any_script() -> Outcome {
    let house = House::open().await?;
    let page = house.http.get(house.url("/api")).send().await?;
    assert!(page.headers()["content-security-policy"].to_str()?.starts_with("default-src 'none'"));
    let html = page.text().await?;
    assert!(html.contains("/api/v1/environments/{environment}/servers/{server}/terminal"));
    assert!(!html.contains("<script"));
    Ok(())
}

fn operations(spec: &Value) -> Vec<(Method, String, &Value)> {
    let paths = spec["paths"].as_object().into_iter().flatten();
    let all = paths.flat_map(|(path, item)| {
        item.as_object().into_iter().flatten().map(move |(method, operation)| (path, method, operation))
    });
    let found: Vec<_> = all
        .filter_map(|(path, method, operation)| Some((method.to_uppercase().parse().ok()?, path.clone(), operation)))
        .collect();
    assert!(found.len() >= 20, "only {} operations", found.len());
    found
}

fn collect_references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(reference) if name == "$ref" => found.push(reference),
                    _ => collect_references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}
