//! `/palette`: every page and action this person can go to by a few letters, as data for `palette.js`. What changes
//! something leads to the page that says what it will do; nothing is done from here.

use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::{Action, ApiError, EnvironmentQuery, EnvironmentSummary, State};
use crate::components::icon_shape;
use crate::site::{Visit, answer};
use crate::words::{action_icon, action_label, state_icon, state_label};

/// Of one's own environments, the newest.
const ENVIRONMENTS: u32 = 200;

#[derive(Serialize)]
struct Entry {
    group: &'static str,
    title: String,
    /// What helps to tell it from others, and is looked through as well.
    more: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon: Option<&'static str>,
    way: Way,
}

/// What choosing it does.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Go(String),
    /// Posts the list's form, which asks before anything happens.
    Ask {
        environment: String,
        action: Action,
    },
    /// Presses the theme's button.
    Theme(&'static str),
}

#[derive(Serialize)]
struct Palette {
    entries: Vec<Entry>,
    /// The shapes of the icons that entries name.
    icons: std::collections::BTreeMap<&'static str, &'static str>,
}

pub(crate) async fn palette(visit: Visit) -> Response {
    match entries(&visit).await {
        Ok(entries) => {
            let icons = entries.iter().filter_map(|entry| entry.icon).map(|name| (name, icon_shape(name))).collect();
            ([(CACHE_CONTROL, "no-store")], axum::Json(Palette { entries, icons })).into_response()
        }
        Err(error) => answer(&visit, Err(error)),
    }
}

async fn entries(visit: &Visit) -> Result<Vec<Entry>, ApiError> {
    let query = EnvironmentQuery {
        owner: visit.person().map(|person| person.name.clone()),
        limit: Some(ENVIRONMENTS),
        ..EnvironmentQuery::default()
    };
    let environments = visit.portal.environments(&visit.actor, query).await?.items;
    let templates = visit.portal.catalog(&visit.actor).await?;
    let mut all = pages(visit.is_administrator());
    all.extend(environments.iter().map(environment));
    all.extend(environments.iter().flat_map(actions));
    all.extend(templates.iter().map(|template| Entry {
        group: "Templates",
        title: template.title.clone(),
        more: format!("{} {}", template.name, template.category),
        icon: Some("library"),
        way: Way::Go(format!("/catalog/{}", template.name)),
    }));
    Ok(all)
}

fn pages(administrator: bool) -> Vec<Entry> {
    let page = |title: &str, more: &str, icon, address: &str| Entry {
        group: "Pages",
        title: title.to_owned(),
        more: more.to_owned(),
        icon: Some(icon),
        way: Way::Go(address.to_owned()),
    };
    let theme = |title: &str, icon, theme| Entry {
        group: "Theme",
        title: title.to_owned(),
        more: "theme".to_owned(),
        icon: Some(icon),
        way: Way::Theme(theme),
    };
    let mut all = vec![
        page("Catalog", "templates, order", "library", "/"),
        page("My environments", "list", "server", "/environments"),
        page("Everyone’s environments", "team", "users", "/environments?of=everyone"),
        page("Activity", "what runs now, what waits", "activity", "/activity"),
        page("Profile", "sessions, time zone, password, API tokens", "user", "/profile"),
        page("API", "for scripts and programs", "code", "/api"),
        page("Components", "how everything looks", "layout-grid", "/components"),
    ];
    if administrator {
        all.push(page("People", "who may sign in", "users", "/people"));
        all.push(page("Operator", "provisioners, effects, leftovers", "gauge", "/operator"));
    }
    all.extend([
        theme("Light theme", "sun", "light"),
        theme("Dark theme", "moon", "dark"),
        theme("Theme like the system", "monitor", "system"),
    ]);
    all
}

fn environment(environment: &EnvironmentSummary) -> Entry {
    Entry {
        group: "Environments",
        title: environment.name.clone(),
        more: format!("{} · {}", environment.template, state_label(environment.state)),
        icon: Some(state_icon(environment.state)),
        way: Way::Go(format!("/environments/{}", environment.name)),
    }
}

fn actions(environment: &EnvironmentSummary) -> Vec<Entry> {
    let name = &environment.name;
    let entry =
        |title: String, icon, way| Entry { group: "Actions", title, more: String::new(), icon: Some(icon), way };
    let asked: &[Action] = match environment.state {
        State::Ready | State::Repairing => &[Action::Park, Action::Restart, Action::Delete],
        State::Parked => &[Action::Resume, Action::Delete],
        _ => &[],
    };
    let mut all: Vec<Entry> = asked
        .iter()
        .map(|&action| {
            let way = Way::Ask { environment: name.clone(), action };
            entry(format!("{} {name}…", action_label(action)), action_icon(action), way)
        })
        .collect();
    if !matches!(environment.state, State::Parked | State::Ordered) {
        all.push(entry(format!("Logs of {name}"), "scroll-text", Way::Go(format!("/environments/{name}/logs"))));
    }
    if matches!(environment.state, State::Ready | State::Repairing | State::Checking) {
        let way = Way::Go(format!("/environments/{name}/terminal"));
        all.push(entry(format!("Terminal of {name}"), "square-terminal", way));
    }
    all
}
