//! My API tokens: for scripts and the command line.

use leptos::either::Either;
use leptos::prelude::*;

use crate::api::{TokenCreated, TokenView};
use crate::components::{field, icon, moment};
use crate::site::Visit;

pub(super) fn tokens(visit: &Visit, now: Signal<i64>, tokens: Vec<TokenView>) -> impl IntoView + use<> {
    view! {
        <section class="card" aria-labelledby="tokens">
            <h2 id="tokens">"API tokens"</h2>
            <p class="card__text">"For scripts and the command line: give it as "<code>"BOOKEND_TOKEN"</code>". "<a href="/api">"Read about the API"</a></p>
            {if tokens.is_empty() {
                Either::Left(view! { <p class="card__text">"You have none."</p> })
            } else {
                Either::Right(view! {
                    <ul class="list" role="list">{tokens.into_iter().map(|one| token(now, one)).collect::<Vec<_>>()}</ul>
                })
            }}
            {new_token(visit)}
        </section>
    }
}

pub(super) fn created_token(created: TokenCreated) -> impl IntoView {
    let copied = created.token.clone();
    view! {
        <section class="notice" data-tone="good" role="status">
            {icon("circle-check")}
            <div>
                <p class="notice__title">{format!("“{}” is ready. Copy it now: it is not shown again.", created.name)}</p>
                <p class="copyable">
                    <code id="new-token">{created.token}</code>
                    <button class="icon-button" type="button" data-copy=copied aria-label="Copy the token">{icon("copy")}</button>
                </p>
            </div>
        </section>
    }
}

fn token(now: Signal<i64>, token: TokenView) -> impl IntoView {
    let label = format!("Revoke {}", token.name);
    view! {
        <li class="list__item">
            <div>
                <p class="list__name">{icon("key-round")}<span dir="auto">{token.name}</span></p>
                <p class="list__more">
                    "Created "{moment(now, token.created_at)}
                    {match token.last_used_at {
                        Some(at) => view! { " · last used "{moment(now, at)} }.into_any(),
                        None => " · never used".into_any(),
                    }}
                    {match token.expires_at {
                        Some(at) => view! { " · expires "{moment(now, at)} }.into_any(),
                        None => " · never expires".into_any(),
                    }}
                </p>
            </div>
            <form method="post" action="/profile">
                <button class="button" data-kind="danger" data-size="small" type="submit" name="revoke" value=token.id aria-label=label>
                    "Revoke"
                </button>
            </form>
        </li>
    }
}

fn new_token(visit: &Visit) -> impl IntoView + use<> {
    let chosen = visit.posted.as_ref().map(|_| visit.typed("expires_in_days"));
    let choice = move |days: &'static str, label: &'static str| {
        let selected = chosen.as_deref().unwrap_or("90") == days;
        view! { <option value=days selected=selected>{label}</option> }
    };
    view! {
        <form class="form form--row" method="post" action="/profile">
            {field("name", "New token for", None, visit.message("name"), view! {
                <input
                    id="name" name="name" type="text" value=visit.typed("name") required maxlength="100" autocomplete="off"
                    placeholder="laptop, nightly build, …" aria-describedby="name-note"
                />
            })}
            {field("expires_in_days", "Expires", None, visit.message("expires_in_days"), view! {
                <select id="expires_in_days" name="expires_in_days" aria-describedby="expires_in_days-note">
                    {choice("30", "in 30 days")}{choice("90", "in 90 days")}{choice("365", "in a year")}{choice("", "never")}
                </select>
            })}
            <button class="button" data-kind="primary" type="submit">{icon("plus")}"Create token"</button>
        </form>
    }
}
