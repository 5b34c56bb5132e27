//! The list as a table: a row for each environment. On a phone the cells of a row stand below each other.

use leptos::prelude::*;

use super::asked::Asked;
use super::tick;
use crate::api::{EnvironmentSort, EnvironmentSummary, State};
use crate::components::{badge, icon, moment, tags};
use crate::site::Visit;
use crate::words::{action_upcoming, count};

pub(super) fn table(
    visit: &Visit,
    asked: &Asked,
    now: Signal<i64>,
    environments: Vec<EnvironmentSummary>,
) -> impl IntoView + use<> {
    let sorted = asked.sort;
    let head = |name: &'static str, by: EnvironmentSort, word: &'static str| {
        let order =
            if by == EnvironmentSort::Newest || by == EnvironmentSort::State { "descending" } else { "ascending" };
        let (is_by, address) = (by == sorted, asked.address(&[("sort", word)]));
        view! {
            <th role="columnheader" scope="col" aria-sort=is_by.then_some(order)>
                <a href=address>{name}</a>
            </th>
        }
    };
    // Said again, because a table whose parts are laid out as a grid is none to some browsers.
    view! {
        <table class="rows" role="table" aria-label="Environments">
            <thead role="rowgroup">
                <tr class="row row--head" role="row">
                    <th class="row__tick" role="columnheader" scope="col"><span class="visually-hidden">"Tick"</span></th>
                    {head("Name", EnvironmentSort::Name, "name")}
                    {head("State", EnvironmentSort::State, "state")}
                    <th role="columnheader" scope="col">"Servers"</th>
                    {head("Next", EnvironmentSort::NextEvent, "next")}
                    {head("Ordered", EnvironmentSort::Newest, "newest")}
                </tr>
            </thead>
            <tbody role="rowgroup">
                {environments.into_iter().map(|one| row(visit, asked, now, one)).collect::<Vec<_>>()}
            </tbody>
        </table>
    }
}

fn row(visit: &Visit, asked: &Asked, now: Signal<i64>, environment: EnvironmentSummary) -> impl IntoView + use<> {
    let tick = tick(visit, asked, &environment);
    let servers = servers(&environment);
    let address = format!("/environments/{}", environment.name);
    let template = asked.address(&[("template", &environment.template)]);
    let same = format!("Only those of the template {}", environment.template);
    view! {
        <tr class="row" role="row" data-key=environment.id>
            <td class="row__tick" role="cell">{tick}</td>
            <th class="row__name" role="rowheader" scope="row">
                <a class="row__link" href=address dir="auto">{environment.name}</a>
                <a class="row__template" href=template title=same dir="auto">{environment.template}</a>
                {tags(environment.tags)}
            </th>
            <td class="row__state" role="cell">
                {badge(environment.state)}
                {environment.waiting_for.map(|what| view! { <span class="row__waiting">{format!("Waiting for {what}")}</span> })}
            </td>
            <td class="row__servers" role="cell">{icon("server")}{servers}</td>
            <td class="row__next" role="cell">
                {environment.next_event.map(|next| view! {
                    {icon("clock")}<span>{action_upcoming(next.action)}" "{moment(now, next.at)}</span>
                })}
            </td>
            <td class="row__owner" role="cell"><bdi>{environment.owner}</bdi>" · "{moment(now, environment.created_at)}</td>
        </tr>
    }
}

/// "2 servers", "1 of 2 servers ready".
pub(super) fn servers(environment: &EnvironmentSummary) -> String {
    let all = count(environment.servers_total, "server");
    let down_by_wish = matches!(environment.state, State::Parked | State::Deleted);
    if down_by_wish || environment.servers_ready == environment.servers_total {
        all
    } else {
        format!("{} of {all} ready", environment.servers_ready)
    }
}
