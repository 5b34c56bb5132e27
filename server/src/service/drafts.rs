//! What an order form begins with: a free name, and values from somewhere. Nothing here writes.

use std::collections::BTreeMap;

use app::api::{ApiError, DraftRequest, DraftSource, NameCheck, OrderDraft};
use app::portal::SignedIn;

use super::trouble::failed;
use super::{Service, catalog, environments, names, orders};
use crate::domain::template::names::{LABEL, is_label};
use crate::domain::template::{Template, carried_over};

/// Made-up names that are looked up before one is proposed unseen; that one has a number of three digits in it.
const NAME_ATTEMPTS: u32 = 6;

/// # Errors
/// There is no such template, version, preset or environment, or the environment is of another template.
pub(super) async fn draft(
    service: &Service,
    by: &SignedIn,
    name: &str,
    request: DraftRequest,
) -> Result<OrderDraft, ApiError> {
    let store = &service.store;
    let (template_id, offered) = catalog::to_draft(store, &by.team_id, name, request.version.as_deref()).await?;
    let template = &offered.template;
    let (source, values, dropped) = match (&request.preset, &request.from, request.defaults) {
        (Some(preset), _, _) => preset_values(template, preset)?,
        (None, Some(environment), _) => {
            let record = environments::find(service, by, environment).await?;
            if record.summary.template != name {
                let message = format!("“{environment}” was made from the template “{}”", record.summary.template);
                return Err(ApiError::field("from", message));
            }
            let (values, dropped) = carried_over(template, &record.parameters);
            (DraftSource::Environment { environment: record.summary.name }, values, dropped)
        }
        (None, None, true) => (DraftSource::Defaults, BTreeMap::new(), Vec::new()),
        (None, None, false) => match store.last_order(&by.person_id, &template_id).await.map_err(failed)? {
            Some(last) => {
                let (values, dropped) = carried_over(template, &last.parameters);
                // Where nothing is carried over there is nothing to tell of.
                let source = match values.is_empty() && dropped.is_empty() {
                    true => DraftSource::Defaults,
                    false => DraftSource::LastOrder { environment: last.environment, at: last.at },
                };
                (source, values, dropped)
            }
            None => (DraftSource::Defaults, BTreeMap::new(), Vec::new()),
        },
    };
    let limit = orders::QUOTA.per_person;
    Ok(OrderDraft {
        name: free_name(service, by, name).await?,
        source,
        values,
        dropped,
        environments: store.environments_of(&by.person_id, limit).await.map_err(failed)?,
        environments_limit: limit.unsigned_abs(),
    })
}

pub(super) async fn check_name(service: &Service, by: &SignedIn, name: &str) -> Result<NameCheck, ApiError> {
    let message = match is_label(name) {
        false => Some(format!("should be {LABEL}")),
        true if service.store.is_name_taken(&by.team_id, name).await.map_err(failed)? => {
            Some("is taken; choose another".into())
        }
        true => None,
    };
    Ok(NameCheck { name: name.chars().take(100).collect(), free: message.is_none(), message })
}

type Filled = (DraftSource, BTreeMap<String, String>, Vec<String>);

fn preset_values(template: &Template, name: &str) -> Result<Filled, ApiError> {
    let preset = template.presets.iter().find(|preset| preset.name == name);
    let preset = preset.ok_or_else(|| ApiError::not_found(&format!("preset of “{}”", template.name), name))?;
    Ok((DraftSource::Preset { name: preset.name.clone() }, preset.values.clone(), Vec::new()))
}

async fn free_name(service: &Service, by: &SignedIn, template: &str) -> Result<String, ApiError> {
    let mut name = String::new();
    for attempt in 0..NAME_ATTEMPTS {
        name = names::made_up(template, orders::random()?, attempt);
        if !service.store.is_name_taken(&by.team_id, &name).await.map_err(failed)? {
            break;
        }
    }
    Ok(name)
}
