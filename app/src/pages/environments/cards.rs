//! The list as cards: more room for each environment, and its state to be seen from across the room.

use leptos::prelude::*;

use super::asked::Asked;
use super::table::servers;
use super::tick;
use crate::api::EnvironmentSummary;
use crate::components::{badge, icon, moment, tags};
use crate::site::Visit;
use crate::words::{action_upcoming, state_tone};

pub(super) fn cards(
    visit: &Visit,
    asked: &Asked,
    now: Signal<i64>,
    environments: Vec<EnvironmentSummary>,
) -> impl IntoView + use<> {
    view! {
        <ul class="plates" role="list">
            {environments.into_iter().map(|one| card(visit, asked, now, one)).collect::<Vec<_>>()}
        </ul>
    }
}

fn card(visit: &Visit, asked: &Asked, now: Signal<i64>, environment: EnvironmentSummary) -> impl IntoView + use<> {
    let tick = tick(visit, asked, &environment);
    let servers = servers(&environment);
    let address = format!("/environments/{}", environment.name);
    let template = asked.address(&[("template", &environment.template)]);
    let same = format!("Only those of the template {}", environment.template);
    view! {
        <li class="plate" data-key=environment.id data-tone=state_tone(environment.state).as_str()>
            <div class="plate__top">{badge(environment.state)}{tick}</div>
            <h2 class="plate__name"><a class="row__link" href=address dir="auto">{environment.name}</a></h2>
            <p class="plate__line"><a class="row__template" href=template title=same dir="auto">{environment.template}</a></p>
            {tags(environment.tags)}
            {environment.waiting_for.map(|what| view! { <p class="plate__line">{icon("hourglass")}{format!("Waiting for {what}")}</p> })}
            <p class="plate__line">{icon("server")}{servers}</p>
            {environment.next_event.map(|next| view! {
                <p class="plate__line">{icon("clock")}<span>{action_upcoming(next.action)}" "{moment(now, next.at)}</span></p>
            })}
            <p class="plate__end"><bdi>{environment.owner}</bdi>" · "{moment(now, environment.created_at)}</p>
        </li>
    }
}
