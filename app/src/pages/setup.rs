//! `/setup/LINK`: creates the first administrator, once.

use axum::extract::Path;
use axum::response::Response;
use leptos::prelude::*;

use crate::api::ApiError;
use crate::components::{field, notice, wordmark};
use crate::site::{Page, Visit, answer};
use crate::words::Tone;

pub(crate) async fn setup(visit: Visit, Path(link): Path<String>) -> Response {
    let page = compose(&visit, &link).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit, link: &str) -> Result<Page, ApiError> {
    visit.portal.check_setup_link(&visit.actor, link).await?;
    let visit = visit.clone();
    Ok(Page::new("Welcome", move || content(&visit)))
}

fn content(visit: &Visit) -> impl IntoView + use<> {
    let about_a_field = |error: &ApiError| !error.fields.is_empty();
    let error = visit.posted.as_ref().map(|posted| posted.error.clone()).filter(|error| !about_a_field(error));
    view! {
        <section class="gate">
            <p class="gate__mark">{wordmark()}</p>
            <h1>"Welcome to Bookend"</h1>
            <p class="gate__text">"Make yourself its first administrator. This link works once."</p>
            {error.map(|error| notice(Tone::Bad, error.title, error.detail))}
            <form class="form" method="post">
                {field("name", "Name", Some("What you sign in with."), visit.message("name"), view! {
                    <input
                        id="name" name="name" type="text" value=visit.typed("name") required autofocus
                        autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="100"
                        aria-describedby="name-note"
                    />
                })}
                {field("password", "Password", Some("Long is strong: a few words you can remember."), visit.message("password"), view! {
                    <input
                        id="password" name="password" type="password" required autocomplete="new-password" maxlength="1000"
                        aria-describedby="password-note"
                    />
                })}
                <button class="button" data-kind="primary" data-wide type="submit">"Create administrator"</button>
            </form>
        </section>
    }
}
