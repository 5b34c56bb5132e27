//! Gives an environment another name, tags or a note.

use axum::extract::Path;
use axum::response::Response;

use crate::api::{ApiError, EnvironmentChange, EnvironmentDetail};
use crate::pages;
use crate::site::{Fields, Form, Visit, see_other};

pub(crate) async fn describe(Path(environment): Path<String>, Form(visit, fields): Form) -> Response {
    match describe_as(&visit, &environment, &fields).await {
        Ok(after) => see_other(&format!("/environments/{}", after.summary.name), None),
        Err(error) => pages::edit(visit.refused(fields, error), Path(environment)).await,
    }
}

async fn describe_as(visit: &Visit, environment: &str, fields: &Fields) -> Result<EnvironmentDetail, ApiError> {
    visit.portal.describe(&visit.actor, environment, changes(fields)).await
}

/// Only what the person changed: what somebody else changed while the form was open stays.
fn changes(fields: &Fields) -> EnvironmentChange {
    let changed = |name: &str| {
        let plain = |name: &str| fields.get(name).map(|value| value.replace("\r\n", "\n").trim().to_owned());
        plain(name).filter(|value| Some(value) != plain(&format!("was_{name}")).as_ref())
    };
    let words = |tags: String| tags.split([' ', ',', '\n', '\t']).map(str::to_owned).collect();
    EnvironmentChange { name: changed("name"), tags: changed("tags").map(words), note: changed("note") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_changed_is_asked_for() {
        let fields = [
            ("name", "shop"),
            ("was_name", "shop"),
            ("tags", "demo, q3"),
            ("was_tags", "demo"),
            ("note", "a\r\nb "),
            ("was_note", "a\nb"),
        ];
        let fields: Fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let change = changes(&fields);
        assert_eq!((change.name, change.note), (None, None));
        let tags = change.tags.unwrap_or_default();
        assert_eq!(tags.iter().filter(|tag| !tag.is_empty()).collect::<Vec<_>>(), ["demo", "q3"]);
    }
}
