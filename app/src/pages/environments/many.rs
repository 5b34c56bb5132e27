//! One wish for several environments: first what it will do, to which of them, and to which it cannot be done; then, once
//! that is confirmed, what became of each.

use axum::response::Response;
use leptos::either::{Either, EitherOf3};
use leptos::prelude::*;

use super::with_results;
use crate::api::{Action, ApiError, EnvironmentDetail, ManyRequest, ManyResult, State};
use crate::components::{badge, icon, notice};
use crate::site::{Page, Place, Visit, answer};
use crate::words::{Tone, action_consequence, action_icon, action_label, action_progress, count};

/// What is ticked, and what for.
pub(crate) struct Ticked {
    pub environments: Vec<String>,
    pub action: Action,
    /// What was typed to confirm; `None` before it was asked for.
    pub confirmed: Option<String>,
}

/// Asks for it once it is confirmed; shows what it will do before that.
pub(crate) async fn confirm_many(visit: Visit, ticked: Result<Ticked, ApiError>) -> Response {
    let ticked = match ticked {
        Ok(ticked) => ticked,
        Err(error) => return answer(&visit, Err(error)),
    };
    if ticked.environments.is_empty() {
        let page = Page::new("Environments", || view! { {nothing_ticked()} }).at(Place::Environments);
        return answer(&visit, Ok(page));
    }
    let mut found = Vec::new();
    for name in &ticked.environments {
        found.push((name.clone(), visit.portal.environment(&visit.actor, name).await));
    }
    let possible = found.iter().filter(|(_, found)| can(found, ticked.action)).count();
    let mistyped = match &ticked.confirmed {
        None => None,
        Some(typed) if ticked.action != Action::Delete || is_typed(typed, possible) => {
            let request = ManyRequest { action: ticked.action, environments: ticked.environments };
            return match visit.portal.act_on_many(&visit.actor, request).await {
                Ok(results) => with_results(visit, Some((ticked.action, results))).await,
                Err(error) => answer(&visit, Err(error)),
            };
        }
        Some(_) => Some(format!("Type {possible}, or the word delete.")),
    };
    let back = visit.address.clone();
    let title = format!("{} {}?", action_label(ticked.action), count(number(possible), "environment"));
    let content = move || confirmation(ticked.action, title, back, found, possible, mistyped);
    let page = Page::new(format!("{} several", action_label(ticked.action)), content);
    answer(&visit, Ok(page.at(Place::Environments)))
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn can(found: &Result<EnvironmentDetail, ApiError>, action: Action) -> bool {
    found.as_ref().is_ok_and(|detail| detail.actions.contains(&action))
}

/// Whoever types the number, or the word, has read it.
fn is_typed(typed: &str, possible: usize) -> bool {
    let typed = typed.trim();
    typed.eq_ignore_ascii_case("delete") || typed.parse() == Ok(possible)
}

type Found = Vec<(String, Result<EnvironmentDetail, ApiError>)>;

fn confirmation(
    action: Action,
    title: String,
    back: String,
    found: Found,
    possible: usize,
    mistyped: Option<String>,
) -> impl IntoView {
    let names: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
    let (form_action, keep) = (back.clone(), back);
    let kind = if action == Action::Delete { "danger" } else { "primary" };
    let label = format!("{} {}", action_label(action), count(number(possible), "environment"));
    let confirm = view! {
        <form class="confirm" method="post" action=form_action>
            {names.into_iter().map(|name| view! { <input type="hidden" name="environment" value=name/> }).collect::<Vec<_>>()}
            {match action {
                Action::Delete => Either::Left(typing(possible, mistyped)),
                _ => Either::Right(view! { <input type="hidden" name="confirmed" value="yes"/> }),
            }}
            <div class="confirm__buttons">
                <button class="button" data-kind=kind type="submit" name="action" value=action.as_str()>
                    {icon(action_icon(action))}{label}
                </button>
                <a class="button" data-kind="plain" href=keep.clone()>"Leave them as they are"</a>
            </div>
        </form>
    };
    let confirm = if possible > 0 {
        Either::Left(confirm)
    } else {
        Either::Right(view! { <p><a class="button" data-kind="primary" href=keep>"Back to the list"</a></p> })
    };
    let title = if possible > 0 { title } else { format!("None of them can be asked to {} now", action.as_str()) };
    view! {
        <header class="page-header">
            <nav class="crumbs" aria-label="Where this is"><a href="/environments">"Environments"</a></nav>
            <h1>{title}</h1>
            <p class="page-header__text">{action_consequence(action, State::Ready)}</p>
        </header>
        <section class="card">
            <ul class="list" role="list">{found.into_iter().map(|(name, one)| concerned(action, name, one)).collect::<Vec<_>>()}</ul>
            {confirm}
        </section>
    }
}

fn typing(possible: usize, mistyped: Option<String>) -> impl IntoView {
    let wrong = mistyped.is_some().then_some("");
    let label = format!("Type {possible}, the number of environments, to say that you mean it");
    view! {
        <div class="field" data-wrong=wrong>
            <label class="field__label" for="confirmed">{label}</label>
            <input
                id="confirmed" name="confirmed" type="text" required maxlength="20" autocomplete="off" autocapitalize="none"
                spellcheck="false" aria-describedby="confirmed-note"
            />
            <div id="confirmed-note" class="field__notes">
                {mistyped.map(|wrong| view! { <p class="field__wrong" role="alert">{icon("triangle-alert")}{wrong}</p> })}
            </div>
        </div>
    }
}

/// One of those ticked: how it stands, and why it will be left alone where it will.
fn concerned(action: Action, name: String, found: Result<EnvironmentDetail, ApiError>) -> impl IntoView {
    let possible = can(&found, action);
    let more = match &found {
        _ if possible => EitherOf3::A(()),
        Ok(detail) if detail.actions.is_empty() => EitherOf3::B(format!(
            "Left alone: only {} and administrators can ask anything of it.",
            detail.summary.owner
        )),
        Ok(_) => EitherOf3::C(format!("Left alone: in this state there is nothing to {}.", action.as_str())),
        Err(error) => EitherOf3::B(format!("Left alone: {}.", error.title)),
    };
    let state = found.ok().map(|detail| detail.summary.state);
    let address = format!("/environments/{name}");
    view! {
        <li class="list__item" data-dimmed=(!possible).then_some("")>
            <div>
                <p class="list__name"><a href=address dir="auto">{name}</a></p>
                <p class="list__more">{more}</p>
            </div>
            {state.map(badge)}
        </li>
    }
}

fn nothing_ticked() -> impl IntoView {
    view! {
        <section class="blank">
            <span class="blank__picture">{icon("list-todo")}</span>
            <h1>"Nothing was ticked"</h1>
            <p class="blank__text">"Tick the environments it is about, then choose what should become of them."</p>
            <p class="blank__actions"><a class="button" data-kind="primary" href="/environments">"Back to the list"</a></p>
        </section>
    }
}

/// What became of each, said above the list.
pub(crate) fn many_done(action: Action, results: Vec<ManyResult>) -> impl IntoView {
    let (refused, done): (Vec<_>, Vec<_>) = results.into_iter().partition(|result| result.problem.is_some());
    let all = done.len() + refused.len();
    let title = match (done.len(), refused.len()) {
        (_, 0) => format!("{} {}", action_progress(action), count(number(all), "environment")),
        (0, _) => format!("None of {} could be asked to {}", count(number(all), "environment"), action.as_str()),
        (some, _) => format!("{} {some} of {}", action_progress(action), count(number(all), "environment")),
    };
    let tone = if refused.is_empty() { Tone::Good } else { Tone::Warning };
    let names: Vec<String> = done.into_iter().map(|result| result.environment).collect();
    let why = refused.into_iter().map(|result| {
        let problem = result.problem.map(|problem| problem.to_string()).unwrap_or_default();
        (result.environment, problem)
    });
    view! {
        <div class="done" data-done="">
            {notice(tone, title, (!names.is_empty()).then(|| names.join(", ")))}
            <ul class="done__refused" role="list">
                {why.map(|(name, problem)| view! { <li><strong dir="auto">{name}</strong>": "{problem}</li> }).collect::<Vec<_>>()}
            </ul>
        </div>
    }
}
