//! `/people`: who may use this Bookend. For administrators.

use axum::response::Response;
use leptos::prelude::*;

use crate::api::{ApiError, PersonView, Role};
use crate::components::{field, icon, notice};
use crate::site::{Page, Place, Visit, answer};
use crate::words::Tone;

pub(crate) async fn people(visit: Visit) -> Response {
    let page = compose(&visit).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit) -> Result<Page, ApiError> {
    let people = visit.portal.people(&visit.actor).await?;
    let visit = visit.clone();
    Ok(Page::new("People", move || content(&visit, people)).at(Place::People))
}

fn content(visit: &Visit, people: Vec<PersonView>) -> impl IntoView + use<> {
    let me = visit.person().map(|person| person.name.clone()).unwrap_or_default();
    let error = visit.posted.as_ref().map(|posted| posted.error.clone()).filter(|error| error.fields.is_empty());
    view! {
        <header class="page-header">
            <h1>"People"</h1>
            <p class="page-header__text">"Who may sign in. Who is disabled loses their sessions and tokens at once."</p>
        </header>
        {error.map(|error| notice(Tone::Bad, error.title, error.detail))}
        <section class="card" aria-label="People">
            <ul class="list" role="list">{people.into_iter().map(|one| person(&me, one)).collect::<Vec<_>>()}</ul>
        </section>
        <section class="card" aria-labelledby="new">
            <h2 id="new">"Someone new"</h2>
            {new_person(visit)}
        </section>
    }
}

fn person(me: &str, person: PersonView) -> impl IntoView + use<> {
    let is_me = person.name == me;
    let role = match person.role {
        Role::Administrator => "Administrator",
        Role::User => "User",
    };
    let (action, word) = if person.disabled { ("enable", "Enable") } else { ("disable", "Disable") };
    let kind = if person.disabled { "plain" } else { "danger" };
    let label = format!("{word} {}", person.name);
    let name = person.name.clone();
    view! {
        <li class="list__item" data-dimmed=person.disabled.then_some("")>
            <div>
                <p class="list__name">
                    {icon("user")}<span dir="auto">{person.name}</span>
                    {is_me.then(|| view! { <span class="tag">"you"</span> })}
                    {person.disabled.then(|| view! { <span class="tag">"disabled"</span> })}
                </p>
                <p class="list__more">{format!("{role}, team {}", person.team)}</p>
            </div>
            {(!is_me).then(|| view! {
                <form method="post" action="/people">
                    <button class="button" data-kind=kind data-size="small" type="submit" name=action value=name aria-label=label>
                        {word}
                    </button>
                </form>
            })}
        </li>
    }
}

fn new_person(visit: &Visit) -> impl IntoView + use<> {
    let administrator = visit.typed("role") == "administrator";
    view! {
        <form class="form form--row" method="post" action="/people">
            {field("name", "Name", None, visit.message("name"), view! {
                <input
                    id="name" name="name" type="text" value=visit.typed("name") required maxlength="100" autocomplete="off"
                    autocapitalize="none" spellcheck="false" aria-describedby="name-note"
                />
            })}
            {field("password", "First password", None, visit.message("password"), view! {
                <input
                    id="password" name="password" type="password" required maxlength="1000" autocomplete="new-password"
                    aria-describedby="password-note"
                />
            })}
            {field("role", "Role", None, visit.message("role"), view! {
                <select id="role" name="role" aria-describedby="role-note">
                    <option value="user" selected=!administrator>"User"</option>
                    <option value="administrator" selected=administrator>"Administrator"</option>
                </select>
            })}
            <button class="button" data-kind="primary" type="submit">{icon("plus")}"Add"</button>
        </form>
    }
}
