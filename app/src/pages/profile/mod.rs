//! `/profile`: who I am, how Bookend looks and tells time to me, where I am signed in, my password and my API tokens.

mod sessions;
mod settings;
mod tokens;

use axum::response::Response;
use leptos::prelude::*;

use crate::api::{ApiError, PersonView, Role, SessionView, TokenCreated, TokenView};
use crate::components::notice;
use crate::site::{Page, Place, Visit, answer};
use crate::words::Tone;

pub(crate) async fn profile(visit: Visit) -> Response {
    profile_with(visit, None).await
}

/// The page with a token that was just created: the only time it is shown.
pub(crate) async fn profile_with(visit: Visit, created: Option<TokenCreated>) -> Response {
    let page = compose(&visit, created).await;
    answer(&visit, page)
}

/// All that the page shows.
struct Own {
    me: PersonView,
    sessions: Vec<SessionView>,
    tokens: Vec<TokenView>,
}

async fn compose(visit: &Visit, created: Option<TokenCreated>) -> Result<Page, ApiError> {
    let own = Own {
        me: visit.portal.me(&visit.actor).await?,
        sessions: visit.portal.sessions(&visit.actor, visit.session.as_deref()).await?,
        tokens: visit.portal.tokens(&visit.actor).await?,
    };
    let visit = visit.clone();
    Ok(Page::new("Profile", move || content(&visit, own, created)).at(Place::Profile))
}

fn content(visit: &Visit, own: Own, created: Option<TokenCreated>) -> impl IntoView + use<> {
    let now = Signal::stored(visit.now);
    let Own { me, sessions, tokens } = own;
    let role = match me.role {
        Role::Administrator => "Administrator",
        Role::User => "User",
    };
    let error = visit.posted.as_ref().map(|posted| posted.error.clone()).filter(|error| error.fields.is_empty());
    let done = visit.query.get("done").filter(|_| visit.posted.is_none()).and_then(|what| said(what));
    view! {
        <header class="page-header">
            <h1 dir="auto">{me.name}</h1>
            <p class="page-header__text">{format!("{role} in team {}", me.team)}</p>
        </header>
        {error.map(|error| notice(Tone::Bad, error.title, error.detail))}
        {done.map(|(title, detail)| notice(Tone::Good, title.into(), Some(detail.into())))}
        {created.map(tokens::created_token)}
        <div class="profile">
            <div>
                {settings::looks(visit)}
                {settings::notifications()}
                {settings::password(visit)}
            </div>
            <div>
                {sessions::sessions(now, sessions)}
                {tokens::tokens(visit, now, tokens)}
            </div>
        </div>
    }
}

/// What was just done, by the word the form leads on with.
fn said(what: &str) -> Option<(&'static str, &'static str)> {
    Some(match what {
        "password" => ("Your password is changed", "Other sessions have ended. API tokens go on."),
        "time-zone" => ("Your time zone is kept", "Exact times are told in it from now on."),
        "session" => ("The session has ended", "Its tabs and terminals have lost their way in."),
        "sessions" => ("All other sessions have ended", "You are signed in here only."),
        _ => return None,
    })
}
