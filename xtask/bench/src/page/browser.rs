//! What Lighthouse says of a page: a real Chromium, slowed down to a phone on a slow network.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Outcome;
use crate::portal::Portal;

const CATEGORIES: [(&str, &str); 4] = [
    ("performance", "performance"),
    ("accessibility", "accessibility"),
    ("best-practices", "best practices"),
    ("seo", "SEO"),
];

/// The four scores of 100, the bytes of the first load, and when the page can be acted on.
pub fn judged(lighthouse: &Path, portal: &Portal, page: &str) -> Outcome<String> {
    let program = lighthouse.join("node_modules/lighthouse/cli/index.js");
    if !program.exists() {
        return Err("it is not installed".into());
    }
    let (headers, report) = (portal.home().join("headers.json"), portal.home().join("lighthouse.json"));
    let failed = |error: std::io::Error| error.to_string();
    std::fs::write(&headers, json!({ "Authorization": portal.api.authorization() }).to_string()).map_err(failed)?;
    let ended = Command::new("node")
        .arg(program)
        .arg(format!("http://{}{page}", portal.api.authority()))
        .arg(format!("--extra-headers={}", headers.display()))
        .arg(format!("--output-path={}", report.display()))
        .args(["--output=json", "--quiet", "--chrome-flags=--headless=new --no-sandbox --disable-gpu"])
        .env("CHROME_PATH", "/usr/bin/chromium")
        .output()
        .map_err(failed)?;
    if !ended.status.success() {
        return Err(String::from_utf8_lossy(&ended.stderr).lines().last().unwrap_or_default().to_owned());
    }
    let report: Value =
        serde_json::from_slice(&std::fs::read(&report).map_err(failed)?).map_err(|error| error.to_string())?;
    let scores: Vec<String> = CATEGORIES
        .iter()
        .map(|(id, name)| format!("{name} {:.0}", report["categories"][id]["score"].as_f64().unwrap_or(0.0) * 100.0))
        .collect();
    let audit = |id: &str| report["audits"][id]["numericValue"].as_f64().unwrap_or(f64::NAN);
    Ok(format!(
        "{}   first load {:.0} KB   painted {:.1} s   interactive {:.1} s",
        scores.join(", "),
        audit("total-byte-weight") / 1000.0,
        audit("first-contentful-paint") / 1000.0,
        audit("interactive") / 1000.0
    ))
}
