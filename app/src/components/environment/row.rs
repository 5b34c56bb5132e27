use leptos::prelude::*;

use super::{badge, tags};
use crate::api::{EnvironmentSummary, State};
use crate::components::{icon, moment};
use crate::words::{action_upcoming, count};

/// One environment in the list: state, what is waited for, what comes next.
pub fn row(now: Signal<i64>, environment: EnvironmentSummary) -> impl IntoView + use<> {
    let all = count(environment.servers_total, "server");
    let down_by_wish = matches!(environment.state, State::Parked | State::Deleted);
    let servers = if down_by_wish || environment.servers_ready == environment.servers_total {
        all
    } else {
        format!("{} of {all} ready", environment.servers_ready)
    };
    let address = format!("/environments/{}", environment.name);
    view! {
        <li class="row">
            <div class="row__name">
                <a href=address>{environment.name}</a>
                <span class="row__template">{environment.template}</span>
                {tags(environment.tags)}
            </div>
            <div class="row__state">
                {badge(environment.state)}
                {environment.waiting_for.map(|what| view! { <span class="row__waiting">{format!("Waiting for {what}")}</span> })}
            </div>
            <div class="row__servers">{icon("server")}{servers}</div>
            <div class="row__next">
                {environment.next_event.map(|next| view! {
                    {icon("clock")}{action_upcoming(next.action)}" "{moment(now, next.at)}
                })}
            </div>
            <div class="row__owner">{environment.owner}" · "{moment(now, environment.created_at)}</div>
        </li>
    }
}
