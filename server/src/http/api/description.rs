//! The OpenAPI document, and a page to read it without any script.

use std::sync::LazyLock;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde_json::{Map, Value};
use utoipa::openapi::OpenApi;

use crate::http::SharedEdge;

static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif;\
background:light-dark(#fbfaf7,#111218);color:light-dark(#1c1b22,#eceaf2)}\
a{color:light-dark(#3730a3,#a5b4fc)}\
body{max-width:60rem;margin:2rem auto;padding:0 1rem}\
h2{margin-top:3rem;border-bottom:1px solid #8886;text-transform:capitalize}\
section{margin:1.5rem 0;padding:.75rem 1rem;border:1px solid #8884;border-radius:.5rem}\
h3{margin:0 0 .25rem;font-size:1rem;overflow-wrap:anywhere}\
code,pre{font-family:ui-monospace,monospace;font-size:.875rem}\
table{border-collapse:collapse;width:100%;font-size:.9rem}\
td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;overflow-wrap:anywhere}\
b{font-weight:600}.m{display:inline-block;min-width:4.5rem;font-weight:700}";

/// `/api/v1/openapi.json` and `/api`.
pub fn description(spec: OpenApi) -> Router<SharedEdge> {
    let json = serde_json::to_value(&spec).unwrap_or_default();
    let page = page(&json);
    let text = json.to_string();
    let document = move || async move { ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")], text) };
    let readable = move || async move {
        let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
        ([(CONTENT_SECURITY_POLICY, policy), (CACHE_CONTROL, "no-cache")], Html(page))
    };
    Router::new().route("/api/v1/openapi.json", get(document)).route("/api", get(readable))
}

fn page(spec: &Value) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Bookend’s API</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body><main>\
         <h1>Bookend’s API</h1>{}<p>The same for programs: <a href=\"/api/v1/openapi.json\">OpenAPI 3.1</a>. \
         <a href=\"/\">Back to the catalog</a></p>",
        paragraphs(&spec["info"]["description"])
    );
    for tag in spec["tags"].as_array().into_iter().flatten() {
        html += &format!("<h2>{}</h2>{}", text(&tag["name"]), paragraphs(&tag["description"]));
        for (path, item) in object(&spec["paths"]) {
            for (method, operation) in object(item) {
                let tagged = operation["tags"].as_array().is_some_and(|tags| tags.contains(&tag["name"]));
                if tagged {
                    html += &section(path, method, operation);
                }
            }
        }
    }
    html += "<h2>Shapes</h2>";
    for (name, schema) in object(&spec["components"]["schemas"]) {
        let shape = serde_json::to_string_pretty(schema).unwrap_or_default();
        html += &format!(
            "<section id=\"{0}\"><details><summary><b>{0}</b></summary><pre>{1}</pre></details></section>",
            escape(name),
            escape(&shape)
        );
    }
    html + "</main></body></html>"
}

fn section(path: &str, method: &str, operation: &Value) -> String {
    let mut html = format!(
        "<section><h3><span class=\"m\">{}</span> <code>{}</code></h3><p><b>{}</b></p>{}",
        escape(&method.to_uppercase()),
        escape(path),
        text(&operation["summary"]),
        paragraphs(&operation["description"])
    );
    let mut rows = String::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let required = if parameter["required"] == true { "" } else { ", optional" };
        rows += &row(
            &format!("<code>{}</code>", text(&parameter["name"])),
            &format!("{}{required}", text(&parameter["in"])),
            &text(&parameter["description"]),
        );
    }
    if let Some(schema) = operation["requestBody"]["content"]["application/json"].get("schema") {
        rows += &row("body", "JSON", &shape(schema));
    }
    for (status, response) in object(&operation["responses"]).iter().filter(|(status, _)| status.as_str() < "400") {
        let shapes: Vec<String> = object(&response["content"])
            .iter()
            .map(|(kind, content)| format!("{} <small>{}</small>", shape(&content["schema"]), escape(kind)))
            .collect();
        let says = format!("{} {}", text(&response["description"]), shapes.join(", "));
        rows += &row(&format!("<b>{}</b>", escape(status)), "answer", &says);
    }
    html += &format!("<table>{rows}</table></section>");
    html
}

fn row(name: &str, kind: &str, says: &str) -> String {
    format!("<tr><td>{name}</td><td>{kind}</td><td>{says}</td></tr>")
}

/// What a schema is called, as a link where it has a name.
fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("<a href=\"#{0}\">{0}</a>", escape(name));
    }
    match &schema["items"] {
        Value::Null => text(&schema["type"]),
        items => format!("list of {}", shape(items)),
    }
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or(&NOTHING)
}

fn paragraphs(value: &Value) -> String {
    let words = value.as_str().unwrap_or_default();
    words
        .split("\n\n")
        .filter(|words| !words.trim().is_empty())
        .map(|words| format!("<p>{}</p>", with_code(words)))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().map(with_code).unwrap_or_default()
}

/// What stands between backticks is code.
fn with_code(words: &str) -> String {
    let parts = words.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) }).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
