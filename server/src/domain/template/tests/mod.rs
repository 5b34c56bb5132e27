//! Stories about the template language.

mod attacks;
mod mistakes;
mod orders;
mod properties;

use super::{Template, read};

/// A template that uses everything the language has.
pub const WHOLE: &str = include_str!("whole.yaml");

pub fn whole() -> Template {
    good(WHOLE)
}

#[track_caller]
pub fn good(source: &str) -> Template {
    read(source).unwrap_or_else(|problems| panic!("{}", problems.in_file("template.yaml")))
}

/// The least a template must say, with something added.
pub fn minimal(addition: &str) -> String {
    format!(
        "name: small\nversion: 1.10\ntitle: Small\nsummary: The least.\ncategory: Tests\n{addition}{}",
        if addition.contains("servers:") { "" } else { "servers:\n  box: {}\n" }
    )
}

/// What is wrong with it.
#[track_caller]
pub fn wrong(source: &str) -> String {
    match read(source) {
        Ok(_) => panic!("nothing is wrong with\n{source}"),
        Err(problems) => problems.in_file("template.yaml"),
    }
}
