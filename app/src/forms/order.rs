//! Orders an environment, or changes what was ordered, and leads straight to it. Somebody whose session has ended meanwhile signs in and finds the form as
//! it was: what was typed travels in the address, as in any link that fills the form in. Never a secret: the form names the
//! fields that are none.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::response::Response;

use crate::api::{ApiError, DataSource, EnvironmentDetail, OrderChange, OrderRequest, ParameterKind, ParameterSpec};
use crate::pages;
use crate::site::{Fields, Form, Visit, see_other, sign_in_address};

/// Bytes of an address that every proxy lets through. What does not fit waits in the browser (`order.js`).
const LONGEST_ADDRESS: usize = 3_500;

pub(crate) async fn order(Path(template): Path<String>, Form(visit, fields): Form) -> Response {
    match place(&visit, &template, &fields).await {
        Ok(environment) => see_other(&format!("/environments/{}", environment.summary.name), None),
        Err(error) if error.status == 401 && visit.person().is_none() => {
            see_other(&sign_in_address(&filled_in(&template, &fields)), None)
        }
        Err(error) => pages::template(visit.refused(fields, error), Path(template)).await,
    }
}

async fn place(visit: &Visit, template: &str, fields: &Fields) -> Result<EnvironmentDetail, ApiError> {
    let given = |name: &str| fields.get(name).filter(|value| !value.is_empty()).cloned();
    let version = given("version");
    let form = visit.portal.template(&visit.actor, template, version.as_deref()).await?;
    if let Some(environment) = given("change") {
        let mut parameters = parameters(&form.parameters, fields);
        parameters.retain(|name, value| !(value.is_empty() && is_secret(&form.parameters, name)));
        return visit.portal.change_order(&visit.actor, &environment, OrderChange { version, parameters }).await;
    }
    let order = OrderRequest {
        template: template.to_string(),
        version,
        name: given("name"),
        parameters: parameters(&form.parameters, fields),
        data: given("data").map(|environment| DataSource { environment, snapshot: given("snapshot"), at: given("at") }),
        owner: given("owner"),
    };
    visit.portal.order(&visit.actor, order, given("request_id").as_deref()).await
}

fn is_secret(specs: &[ParameterSpec], name: &str) -> bool {
    specs.iter().any(|spec| spec.name == name && matches!(spec.kind, ParameterKind::Secret { .. }))
}

/// The template's address with what was typed into its form.
fn filled_in(template: &str, fields: &Fields) -> String {
    let template: String = form_urlencoded::byte_serialize(template.as_bytes()).collect();
    let own = format!("/catalog/{template}");
    // The one-click button has nothing to keep.
    let Some(plain) = fields.get("plain") else { return own };
    let parameters = plain.split_whitespace().map(|name| format!("parameters.{name}"));
    let names = ["version", "change", "data", "snapshot", "at", "owner", "name"]
        .into_iter()
        .map(str::to_owned)
        .chain(parameters);
    let mut address = own + "?kept=true";
    for name in names {
        let Some(value) = fields.get(&name) else { continue };
        let pair = form_urlencoded::Serializer::new(String::new()).append_pair(&name, value).finish();
        if address.len() + pair.len() < LONGEST_ADDRESS {
            address.push('&');
            address.push_str(&pair);
        }
    }
    address
}

/// The order's values out of the form's fields. Left out: fields whose condition is not met (the page hides them, yet a
/// browser sends them), and empty ones where empty can only mean "not given".
fn parameters(specs: &[ParameterSpec], fields: &Fields) -> BTreeMap<String, String> {
    let typed = |name: &str| fields.get(&format!("parameters.{name}"));
    let is_shown = |spec: &ParameterSpec| {
        spec.when.as_ref().is_none_or(|when| typed(&when.parameter).is_none_or(|value| *value == when.equals))
    };
    specs
        .iter()
        .filter(|spec| is_shown(spec))
        .filter_map(|spec| {
            let value = typed(&spec.name)?.replace("\r\n", "\n");
            let may_be_empty = matches!(spec.kind, ParameterKind::String { .. }) && spec.default.is_some();
            (may_be_empty || !value.is_empty()).then(|| (spec.name.clone(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::When;

    fn spec(name: &str, kind: ParameterKind, default: Option<&str>, when: Option<(&str, &str)>) -> ParameterSpec {
        ParameterSpec {
            name: name.into(),
            title: name.into(),
            help: None,
            kind,
            default: default.map(str::to_string),
            when: when.map(|(parameter, equals)| When { parameter: parameter.into(), equals: equals.into() }),
        }
    }

    fn text() -> ParameterKind {
        ParameterKind::String { pattern: None, max_length: 99, multiline: true }
    }

    fn sent(fields: &[(&str, &str)], specs: &[ParameterSpec]) -> Vec<(String, String)> {
        let fields = fields.iter().map(|(name, value)| (format!("parameters.{name}"), value.to_string())).collect();
        parameters(specs, &fields).into_iter().collect()
    }

    #[test]
    fn a_hidden_field_is_not_part_of_the_order() {
        let specs = [
            spec("backup", ParameterKind::Boolean, Some("false"), None),
            spec("target", text(), None, Some(("backup", "true"))),
        ];
        assert_eq!(sent(&[("backup", "false"), ("target", "s3")], &specs), [("backup".into(), "false".into())]);
        assert_eq!(sent(&[("backup", "true"), ("target", "s3")], &specs).len(), 2);
    }

    #[test]
    fn an_emptied_text_is_an_empty_text_and_any_other_empty_field_takes_its_default() {
        let specs = [
            spec("motto", text(), Some("hello"), None),
            spec("owner", text(), None, None),
            spec("size", ParameterKind::Integer { min: 1, max: 9 }, Some("2"), None),
        ];
        assert_eq!(sent(&[("motto", ""), ("owner", ""), ("size", "")], &specs), [("motto".into(), String::new())]);
    }

    #[test]
    fn what_was_typed_goes_into_the_address_but_for_secrets_and_what_is_too_long() {
        let fields = |pairs: &[(&str, &str)]| -> Fields {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let long = "x".repeat(LONGEST_ADDRESS);
        let typed = fields(&[
            ("plain", "motto text"),
            ("version", "1.0"),
            ("name", "shop"),
            ("request_id", "r"),
            ("parameters.text", &long),
            ("parameters.motto", "a&b=c"),
            ("parameters.password", "hunter2"),
        ]);
        let expected = "/catalog/site?kept=true&version=1.0&name=shop&parameters.motto=a%26b%3Dc";
        assert_eq!(filled_in("site", &typed), expected);
        assert_eq!(filled_in("site", &fields(&[("parameters.password", "hunter2")])), "/catalog/site");
        assert_eq!(filled_in("../x?y", &fields(&[])), "/catalog/..%2Fx%3Fy");
    }

    #[test]
    fn line_ends_arrive_as_the_person_made_them() {
        let specs = [spec("text", text(), None, None)];
        assert_eq!(sent(&[("text", "a\r\nb")], &specs), [("text".into(), "a\nb".into())]);
    }
}
