//! One field of the order form, by the parameter's type. Field names equal the names of the errors about them.

use std::fmt::Write;

use leptos::prelude::*;

use super::pattern::for_browsers;
use super::{field, within_textarea};
use crate::api::{ParameterKind, ParameterSpec};

/// The field's name and id.
fn field_name(parameter: &ParameterSpec) -> String {
    format!("parameters.{}", parameter.name)
}

/// `value` is what was typed, linked to or is the default; `wrong` what the portal said about it.
pub fn parameter(spec: &ParameterSpec, value: Option<String>, wrong: Option<String>) -> impl IntoView + use<> {
    let id = field_name(spec);
    let note = format!("{id}-note");
    let required = spec.default.is_none() && spec.when.is_none();
    let is_secret = matches!(spec.kind, ParameterKind::Secret { .. });
    let invalid = wrong.as_ref().map(|_| "true");
    // Must be given where it is shown: what is hidden cannot be `required`, its form could never be sent.
    let needed = (spec.default.is_none() && spec.when.is_some()).then_some("");
    let says = says(&spec.kind);
    let value = value.or_else(|| spec.default.clone()).unwrap_or_default();
    let control = match &spec.kind {
        ParameterKind::Boolean => {
            // The hidden field says "false" for an unticked box, which a form otherwise leaves out.
            view! {
                <span class="switch">
                    <input type="hidden" name=id.clone() value="false"/>
                    <input
                        type="checkbox" role="switch" id=id.clone() name=id.clone() value="true" checked=value == "true"
                        aria-describedby=note aria-invalid=invalid
                    />
                </span>
            }
            .into_any()
        }
        ParameterKind::Choice { options } => {
            let options = options.clone();
            let unchosen = !options.iter().any(|option| option.value == value);
            view! {
                <select
                    id=id.clone() name=id.clone() required=required data-needed=needed aria-describedby=note
                    aria-invalid=invalid
                >
                    {unchosen.then(|| view! { <option value="" selected disabled>"Choose…"</option> })}
                    {options.into_iter().map(|option| {
                        let selected = option.value == value;
                        view! { <option value=option.value selected=selected>{option.title}</option> }
                    }).collect::<Vec<_>>()}
                </select>
            }
            .into_any()
        }
        ParameterKind::Integer { min, max } => view! {
            <input
                type="number" id=id.clone() name=id.clone() value=value step="1"
                min=(*min > i64::MIN).then(|| min.to_string()) max=(*max < i64::MAX).then(|| max.to_string())
                inputmode="numeric" required=required data-needed=needed data-says=says aria-describedby=note aria-invalid=invalid
            />
        }
        .into_any(),
        ParameterKind::String { max_length, multiline: true, .. }
        | ParameterKind::Secret { max_length, multiline: true } => {
            let shown = if is_secret { String::new() } else { value };
            view! {
                <textarea
                    id=id.clone() name=id.clone() rows="5" maxlength=max_length.to_string() required=required
                    data-needed=needed data-says=says dir="auto" spellcheck="false" autocomplete="off" aria-describedby=note aria-invalid=invalid
                >{within_textarea(&shown)}</textarea>
            }
            .into_any()
        }
        ParameterKind::String { pattern, max_length, multiline: false } => view! {
            <input
                type="text" id=id.clone() name=id.clone() value=value maxlength=max_length.to_string()
                pattern=pattern.as_deref().and_then(for_browsers)
                title=pattern.as_ref().map(|pattern| format!("Must match {pattern}"))
                required=required data-needed=needed data-says=says dir="auto" spellcheck="false" autocomplete="off" aria-describedby=note aria-invalid=invalid
            />
        }
        .into_any(),
        ParameterKind::Secret { max_length, multiline: false } => view! {
            <input
                type="password" id=id.clone() name=id.clone() maxlength=max_length.to_string() required=required
                data-needed=needed data-says=says autocomplete="new-password" aria-describedby=note aria-invalid=invalid
            />
        }
        .into_any(),
    };
    let mut help = spec.help.clone().unwrap_or_default();
    if is_secret {
        push_sentence(&mut help, "Kept sealed and never shown again.");
    }
    if let ParameterKind::Integer { min, max } = spec.kind
        && (min > i64::MIN && max < i64::MAX)
    {
        push_sentence(&mut help, &format!("From {min} to {max}."));
    }
    let help = (!help.is_empty()).then_some(help);
    let kind = if matches!(spec.kind, ParameterKind::Boolean) { "inline" } else { "stacked" };
    view! {
        <div data-parameter=spec.name.clone() data-kind=kind>
            {field(&id, &spec.title, help.as_deref(), wrong, control)}
        </div>
    }
}

/// What a wrong value of this type should be instead, as the portal says it.
fn says(kind: &ParameterKind) -> Option<String> {
    match kind {
        ParameterKind::String { pattern: Some(pattern), .. } => Some(format!("should match the pattern `{pattern}`")),
        ParameterKind::String { max_length, .. } | ParameterKind::Secret { max_length, .. } => {
            Some(format!("should have at most {max_length} characters"))
        }
        ParameterKind::Integer { min, max } => Some(match (*min, *max) {
            (i64::MIN, i64::MAX) => "should be a whole number".into(),
            (min, i64::MAX) => format!("should be a whole number, at least {min}"),
            (i64::MIN, max) => format!("should be a whole number, at most {max}"),
            (min, max) => format!("should be a whole number from {min} to {max}"),
        }),
        ParameterKind::Boolean | ParameterKind::Choice { .. } => None,
    }
}

fn push_sentence(text: &mut String, sentence: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(sentence);
}

/// Style rules that hide fields whose condition is not met, as the form is filled in; they need no script. A condition on
/// free text cannot be said in CSS: such a field stays visible.
pub fn parameter_rules(parameters: &[ParameterSpec]) -> String {
    let mut rules = String::new();
    for spec in parameters {
        let Some(when) = &spec.when else { continue };
        let Some(other) = parameters.iter().find(|other| other.name == when.parameter) else { continue };
        let name = css_string(&field_name(other));
        let met = match (&other.kind, when.equals.as_str()) {
            (ParameterKind::Boolean, "true") => format!("[type=checkbox][name={name}]:checked"),
            (ParameterKind::Boolean, _) => format!("[type=checkbox][name={name}]:not(:checked)"),
            (ParameterKind::Choice { .. }, value) => {
                format!("select[name={name}] option[value={}]:checked", css_string(value))
            }
            _ => continue,
        };
        let _ = write!(rules, ".order:not(:has({met})) [data-parameter={}]{{display:none}}", css_string(&spec.name));
    }
    rules
}

/// A CSS string in which every character but letters and digits is escaped, so it can end neither string nor style sheet.
fn css_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            quoted.push(character);
        } else {
            let _ = write!(quoted, "\\{:x} ", u32::from(character));
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ChoiceOption, When};

    fn spec(name: &str, kind: ParameterKind, when: Option<When>) -> ParameterSpec {
        ParameterSpec { name: name.into(), title: name.into(), help: None, kind, default: None, when }
    }

    #[test]
    fn a_field_is_hidden_until_the_choice_it_depends_on_is_made() {
        let options = vec![ChoiceOption { value: "own".into(), title: "My own".into() }];
        let parameters = [
            spec("data", ParameterKind::Choice { options }, None),
            spec(
                "url",
                ParameterKind::Secret { max_length: 9, multiline: false },
                Some(When { parameter: "data".into(), equals: "own".into() }),
            ),
        ];
        assert_eq!(
            parameter_rules(&parameters),
            r#".order:not(:has(select[name="parameters\2e data"] option[value="own"]:checked)) [data-parameter="url"]{display:none}"#
        );
    }

    /// Attack 14, in a condition's value.
    #[test]
    fn a_value_cannot_break_out_of_the_style_sheet() {
        assert_eq!(css_string("\"</style>"), r#""\22 \3c \2f style\3e ""#);
    }
}
