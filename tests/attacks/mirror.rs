//! A template that shows what it was given, in every place a value can get to.

use tests::house::Plan;
use tests::{House, Outcome};

const MIRROR: &str = r#"
name: mirror
version: "1"
title: Mirror
summary: Shows what it was given.
category: Tests
parameters:
  said:
    type: string
    title: Said
    default: nothing
    multiline: true
  password:
    type: secret
    title: Password
    multiline: true
servers:
  box:
    variables:
      SAID: "${parameters.said}"
    services:
      mirror:
        command: 'sh -c ''printf "%s\n" "$SAID" "$BOOKEND_PARAM_SAID"; exec sleep 1000000'''
outputs:
  said:
    title: Said
    value: "It said: ${parameters.said}"
  password:
    title: Password
    value: "${parameters.password}"
    sensitive: true
"#;

/// A house whose catalog has the mirror, beside an empty box.
pub async fn house() -> Outcome<House> {
    let templates = vec![
        ("mirror.yaml", MIRROR.to_string()),
        ("scratch.yaml", include_str!("../../templates/scratch.yaml").into()),
    ];
    House::built(Plan { templates, ..Plan::default() }).await
}

/// Texts that mean something to a shell, a terminal, YAML, SQL, HTTP or our own expressions.
pub const NASTY: [&str; 16] = [
    "$(touch /tmp/owned)",
    "`touch /tmp/owned`",
    "'; touch /tmp/owned; '",
    "\"; touch /tmp/owned; \"",
    "a\ntouch /tmp/owned\n",
    "-rf /",
    "--help",
    "a & touch /tmp/owned &",
    "| touch /tmp/owned",
    "${PATH}",
    "${parameters.password}",
    "{{7*7}}",
    "\nservers:\n  evil: {}\n",
    "' or 1=1; drop table environment; --",
    "\u{1b}]0;owned\u{7}\u{1b}[2J",
    "<script>alert(1)</script>",
];
