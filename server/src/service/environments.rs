//! Environments as people list them, look at them and ask things of them.

use app::api::{
    Action, ApiError, EnvironmentDetail, EnvironmentQuery, EnvironmentSummary, ManyRequest, ManyResult, Page, State,
    TimelineEvent,
};
use app::portal::SignedIn;
use serde_json::json;

use super::trouble::{failed, no_such, overtaken};
use super::{Service, access, view};
use crate::auth::name;
use crate::domain::actions;
use crate::domain::facts::{Desired, Intent};
use crate::store::{Cursor, EnvironmentFilter, EnvironmentRecord, StoreError};

const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 200;
/// A change that somebody else's overtook is decided anew this often.
const OVERTAKEN: u32 = 5;

/// The environment of this name or id in the person's team.
///
/// # Errors
/// 404, also when it is another team's.
pub(super) async fn find(service: &Service, by: &SignedIn, environment: &str) -> Result<EnvironmentRecord, ApiError> {
    let found = service.store.environment(&by.team_id, environment).await.map_err(failed)?;
    found.ok_or_else(|| no_such("environment", environment))
}

pub(super) async fn environment(
    service: &Service,
    by: &SignedIn,
    environment: &str,
) -> Result<EnvironmentDetail, ApiError> {
    let record = find(service, by, environment).await?;
    view::detail(service, by, &record).await
}

pub(super) async fn environments(
    service: &Service,
    by: &SignedIn,
    query: EnvironmentQuery,
) -> Result<Page<EnvironmentSummary>, ApiError> {
    let search = query.search.unwrap_or_default();
    if search.chars().count() > 100 {
        return Err(ApiError::field("search", "is longer than 100 characters"));
    }
    let owner = match query.owner.as_deref().filter(|owner| !owner.is_empty()) {
        // What cannot be a name is nobody's.
        Some(owner) => match name::sign_in_name(owner) {
            Ok(owner) => owner,
            Err(_) => return Ok(Page { items: Vec::new(), next: None }),
        },
        None => String::new(),
    };
    let filter = EnvironmentFilter {
        search,
        states: states(query.state.as_deref().unwrap_or_default())?,
        owner,
        template: query.template.unwrap_or_default(),
        provisioner: query.provisioner.unwrap_or_default(),
        sort: query.sort.unwrap_or_default(),
        cursor: list_cursor(query.cursor.as_deref())?,
        limit: limit(query.limit.unwrap_or(PAGE))?,
    };
    service.store.environments(&by.team_id, &filter).await.map_err(failed)
}

pub(super) async fn timeline(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    from: Option<&str>,
    items: u32,
) -> Result<Page<TimelineEvent>, ApiError> {
    let (from, items) = (cursor(from)?, limit(items)?);
    let record = find(service, by, environment).await?;
    service.store.timeline(&record.summary.id, from.as_deref(), items).await.map_err(failed)
}

pub(super) async fn act(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    action: Action,
) -> Result<EnvironmentDetail, ApiError> {
    for _ in 0..OVERTAKEN {
        let record = find(service, by, environment).await?;
        access::owner(by, &record)?;
        let (id, intent) = (&record.summary.id, &record.facts.intent);
        if is_so_already(action, intent) {
            return view::detail(service, by, &record).await;
        }
        let now = service.clock.now();
        let change = actions::change(action, &record.facts, now).map_err(|not_now| {
            ApiError::conflict(format!("“{}” is {}", not_now.name, not_now.state))
                .with_detail(not_now.to_string() + ".")
        })?;
        let changed = async {
            let mut tx = service.store.write().await?;
            match tx.change_desire(id, intent.generation, &change, Some(&by.name), now).await {
                Err(StoreError::Stale) => {
                    // What overtook it may be on its way to the disk still: it can be read once this returns.
                    tx.commit().await?;
                    return Err(StoreError::Stale);
                }
                changed => changed?,
            }
            service.audit(&mut tx, by, action.as_str(), &record.summary.name, json!({ "environment": id })).await?;
            tx.commit().await
        };
        match changed.await {
            Ok(()) => {
                service.bell.ring(id);
                return self::environment(service, by, id).await;
            }
            Err(StoreError::Stale) => continue,
            Err(error) => return Err(failed(error)),
        }
    }
    Err(overtaken())
}

pub(super) async fn act_on_many(
    service: &Service,
    by: &SignedIn,
    request: ManyRequest,
) -> Result<Vec<ManyResult>, ApiError> {
    let mut asked: Vec<String> = Vec::new();
    for environment in request.environments {
        if !asked.contains(&environment) {
            asked.push(environment);
        }
    }
    if asked.is_empty() || asked.len() > LARGEST_PAGE as usize {
        return Err(ApiError::field("environments", "name from 1 to 200"));
    }
    let mut results = Vec::with_capacity(asked.len());
    for environment in asked {
        // Each is authorised, decided and committed for itself.
        let (state, problem) = match act(service, by, &environment, request.action).await {
            Ok(detail) => (Some(detail.summary.state), None),
            Err(problem) => {
                let found = self::environment(service, by, &environment).await.ok();
                (found.map(|detail| detail.summary.state), Some(problem))
            }
        };
        results.push(ManyResult { environment, state, problem });
    }
    Ok(results)
}

/// Asking for what is wanted already changes nothing.
fn is_so_already(action: Action, intent: &Intent) -> bool {
    let wanted = match action {
        Action::Park => Desired::Parked,
        Action::Resume => Desired::Running,
        Action::Delete => Desired::Deleted,
        Action::Restart | Action::Retry | Action::Cancel | Action::Force => return false,
    };
    intent.desired == wanted && intent.failure.is_none()
}

fn limit(limit: u32) -> Result<u32, ApiError> {
    match limit {
        1..=LARGEST_PAGE => Ok(limit),
        _ => Err(ApiError::field("limit", "is from 1 to 200")),
    }
}

/// A cursor is the id of a row: nothing else is let through to the database.
fn cursor(cursor: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) else { return Ok(None) };
    match uuid::Uuid::try_parse(cursor) {
        Ok(id) => Ok(Some(id.to_string())),
        Err(_) => Err(ApiError::field("cursor", "is not the `next` of a page before")),
    }
}

fn list_cursor(cursor: Option<&str>) -> Result<Option<Cursor>, ApiError> {
    let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) else { return Ok(None) };
    let parsed = Cursor::parse(cursor);
    parsed.map(Some).ok_or_else(|| ApiError::field("cursor", "is not the `next` of a page before"))
}

fn states(list: &str) -> Result<Vec<State>, ApiError> {
    let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let state = serde_json::from_value(json!(word));
            state.map_err(|_| {
                let known = "ordered, preparing, starting, setting_up, checking, ready, repairing, parking, parked, deleting, \
                     deleted, failed";
                ApiError::field("state", format!("“{word}” is none of {known}"))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_page_gave_as_next_is_a_cursor() {
        assert_eq!(cursor(Some("")).unwrap(), None);
        assert!(cursor(Some("019aa3a1-5a4b-7c3d-8e2f-0123456789ab")).unwrap().is_some());
        for odd in ["' or 1=1 --", "~", "1", "\0"] {
            assert_eq!(cursor(Some(odd)).unwrap_err().fields[0].field, "cursor");
        }
    }

    #[test]
    fn states_are_a_list_of_known_words() {
        assert_eq!(states("ready, setting_up,").unwrap(), [State::Ready, State::SettingUp]);
        assert_eq!(states("ready;drop table").unwrap_err().fields[0].field, "state");
    }
}
