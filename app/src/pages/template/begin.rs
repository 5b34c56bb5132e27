//! What the order form begins with: what the address asks for, else the person's last order, else the defaults.

use crate::api::{ApiError, DraftRequest, OrderDraft, TemplateDetail};
use crate::site::Visit;

/// A draft, and what of the address could not be followed.
pub(super) struct Beginning {
    pub draft: OrderDraft,
    pub missing: Option<String>,
}

/// An address may name a preset or an environment that is no more: then the form begins as it would without, and says so.
///
/// # Errors
/// The portal cannot draft an order of this template at all.
pub(super) async fn begin(visit: &Visit, template: &TemplateDetail) -> Result<Beginning, ApiError> {
    let request = asked(visit, template);
    let name = &template.entry.name;
    let asks_for_something = request.preset.is_some() || request.from.is_some();
    match visit.portal.draft(&visit.actor, name, request.clone()).await {
        Ok(draft) => Ok(Beginning { draft, missing: None }),
        Err(error) if asks_for_something && (400..500).contains(&error.status) && error.status != 401 => {
            let plain = DraftRequest { preset: None, from: None, defaults: true, ..request };
            let said = error.fields.into_iter().next().map_or(error.title, |field| field.message);
            Ok(Beginning { draft: visit.portal.draft(&visit.actor, name, plain).await?, missing: Some(said) })
        }
        Err(error) => Err(error),
    }
}

fn asked(visit: &Visit, template: &TemplateDetail) -> DraftRequest {
    let value = |name: &str| visit.query.get(name).filter(|value| !value.is_empty()).cloned();
    // Whoever sends a link with values means the same form for everybody who follows it.
    let says_values = visit.query.keys().any(|key| key.starts_with("parameters."));
    DraftRequest {
        version: Some(template.entry.version.clone()),
        preset: value("preset"),
        from: value("from"),
        defaults: says_values || value("defaults").is_some(),
    }
}
