//! An order's parameters: what was given, against what the template asks for.

use std::collections::BTreeMap;

use app::api::{FieldError, ParameterKind, ParameterSpec, When};
use provisioners::Secret;
use regex::{Regex, RegexBuilder};

use super::model::Template;
use super::problem::did_you_mean;

/// Every parameter that applies, with its value. One whose `when` is not met is in neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    pub plain: BTreeMap<String, String>,
    /// Kept apart from the first moment, so that nothing that prints or stores values ever holds a secret.
    pub secrets: BTreeMap<String, Secret>,
}

/// All values together, in bytes: a process starts with all of them in its environment, and Linux refuses more than a
/// few times this (execve(2), "Limits on size of arguments and environment").
const MAX_TOTAL_BYTES: usize = 256 * 1024;

/// Fits the values given (as text) to the template's parameters: defaults filled in, secrets kept apart.
///
/// # Errors
/// Every field that needs another value: unknown names, values of the wrong type, required ones that are missing.
pub fn resolve(template: &Template, given: &BTreeMap<String, String>) -> Result<Values, Vec<FieldError>> {
    let mut values = Values::default();
    let mut errors = Vec::new();
    for name in given.keys().filter(|name| template.parameter(name).is_none()) {
        let hint = did_you_mean(name, template.parameters.iter().map(|parameter| parameter.name.as_str()));
        let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        errors.push(error(&name, format!("`{}` has no such parameter{hint}", template.name)));
    }
    for parameter in &template.parameters {
        match value_of(parameter, given.get(&parameter.name), &values) {
            Ok(Some(value)) if matches!(parameter.kind, ParameterKind::Secret { .. }) => {
                values.secrets.insert(parameter.name.clone(), Secret::new(value));
            }
            Ok(Some(value)) => {
                values.plain.insert(parameter.name.clone(), value);
            }
            Ok(None) => {}
            Err(message) => errors.push(error(&parameter.name, message)),
        }
    }
    let total: usize = given.values().map(String::len).sum();
    if total > MAX_TOTAL_BYTES {
        let message = format!("all values together have {total} bytes; {MAX_TOTAL_BYTES} are allowed");
        errors.push(FieldError { field: "parameters".into(), message });
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

fn error(parameter: &str, message: String) -> FieldError {
    FieldError { field: format!("parameters.{parameter}"), message }
}

/// The value that holds; `None` when the parameter does not apply. `resolved` are the parameters above this one.
fn value_of(parameter: &ParameterSpec, given: Option<&String>, resolved: &Values) -> Result<Option<String>, String> {
    // A blank field of a form is no answer, except to a question whose answer is a text.
    let blank_is_absent = parameter.default.is_none() || !matches!(parameter.kind, ParameterKind::String { .. });
    let given = given.map(String::as_str).filter(|value| !(blank_is_absent && value.is_empty()));
    if let Some(When { parameter: other, equals }) = &parameter.when
        && resolved.plain.get(other) != Some(equals)
    {
        // A form sends hidden fields along; only a value somebody chose is a mistake.
        let chosen = given.is_some_and(|value| !value.is_empty() && Some(value) != parameter.default.as_deref());
        return if chosen { Err(format!("only applies when `{other}` is `{equals}`; leave it out")) } else { Ok(None) };
    }
    let value = given.or(parameter.default.as_deref()).ok_or("needs a value")?;
    let value = match parameter.kind {
        // Browsers send the lines of a text field with the line ends of the network.
        ParameterKind::String { multiline: true, .. } | ParameterKind::Secret { multiline: true, .. } => {
            value.replace("\r\n", "\n")
        }
        _ => value.to_owned(),
    };
    check_value(&parameter.kind, &value).map(|()| Some(value))
}

/// Of the values of an earlier order, those this template can begin a new one with; and the parameters, or what they were
/// called, whose value it cannot take any more. Defaults are left out: they need no carrying.
pub fn carried_over(
    template: &Template,
    earlier: &BTreeMap<String, String>,
) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut values, mut dropped) = (BTreeMap::new(), Vec::new());
    for (name, value) in earlier {
        match template.parameter(name) {
            None => dropped.push(name.clone()),
            Some(ParameterSpec { kind: ParameterKind::Secret { .. }, .. }) => {}
            Some(parameter) if parameter.default.as_ref() == Some(value) => {}
            Some(parameter) if check_value(&parameter.kind, value).is_ok() => {
                values.insert(name.clone(), value.clone());
            }
            Some(parameter) => dropped.push(parameter.title.clone()),
        }
    }
    (values, dropped)
}

/// Whether a value is one of this type; if not, what it should be, as the rest of a sentence that begins with the field.
pub fn check_value(kind: &ParameterKind, value: &str) -> Result<(), String> {
    match kind {
        ParameterKind::String { pattern, max_length, multiline } => {
            check_text(value, *max_length, *multiline)?;
            match pattern {
                Some(pattern) if !compile_pattern(pattern).is_ok_and(|pattern| pattern.is_match(value)) => {
                    Err(format!("should match the pattern `{pattern}`"))
                }
                _ => Ok(()),
            }
        }
        ParameterKind::Secret { max_length, multiline } => check_text(value, *max_length, *multiline),
        ParameterKind::Integer { min, max } => {
            let canonical = value.parse::<i64>().ok().filter(|number| number.to_string() == value);
            if canonical.is_some_and(|number| (*min..=*max).contains(&number)) {
                return Ok(());
            }
            Err(match (*min, *max) {
                (i64::MIN, i64::MAX) => "should be a whole number".into(),
                (min, i64::MAX) => format!("should be a whole number, at least {min}"),
                (i64::MIN, max) => format!("should be a whole number, at most {max}"),
                (min, max) => format!("should be a whole number from {min} to {max}"),
            })
        }
        ParameterKind::Boolean if matches!(value, "true" | "false") => Ok(()),
        ParameterKind::Boolean => Err("should be `true` or `false`".into()),
        ParameterKind::Choice { options } if options.iter().any(|option| option.value == value) => Ok(()),
        ParameterKind::Choice { options } => {
            let options: Vec<String> = options.iter().map(|option| format!("`{}`", option.value)).collect();
            Err(format!("should be one of {}", options.join(", ")))
        }
    }
}

fn check_text(value: &str, max_length: u32, multiline: bool) -> Result<(), String> {
    if value.chars().count() > max_length as usize {
        return Err(format!("should have at most {max_length} characters"));
    }
    match value.chars().find(|c| c.is_control() && !(multiline && matches!(c, '\n' | '\t'))) {
        None => Ok(()),
        Some('\n' | '\r') if !multiline => Err("should be one line".into()),
        Some('\r') => Err("should have line ends of one character (LF), without carriage returns".into()),
        Some('\t') => Err("should not contain a tab".into()),
        Some(control) => Err(format!("should not contain the control character U+{:04X}", u32::from(control))),
    }
}

/// The whole value must match.
pub fn compile_pattern(pattern: &str) -> Result<Regex, regex::Error> {
    // On its own first: wrapped, `a)|(b` would turn into something else.
    RegexBuilder::new(pattern).size_limit(1 << 20).build()?;
    RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).size_limit(1 << 20).build()
}
