//! What happens to an environment's snapshots without anybody asking: drills, and snapshots by rule.

use leptos::prelude::*;

use crate::api::{DrillView, SnapshotRule, SnapshotRuleView};
use crate::components::{drill_badge, field, icon, moment};
use crate::site::Visit;

/// What the last restore drill showed, and when the next is done.
pub fn drill_card(now: Signal<i64>, address: &str, drill: DrillView, may_ask: bool) -> impl IntoView + use<> {
    let DrillView { since, last, next_at } = drill;
    let address = address.to_owned();
    let (badge, failure) = (last.clone(), last.and_then(|last| last.failure));
    let badge = drill_badge(now, Some(DrillView { last: badge, ..DrillView::default() }));
    view! {
        <section class="card snapshot-card" aria-labelledby="drill" data-key="drill">
            <div>
                <h2 id="drill">"Restore drill"</h2>
                <p class="list__more">
                    "The newest snapshot is restored into a place of its own, its servers are brought up there, and all of it is thrown \
                     away. The environment runs on."
                </p>
                <p class="list__more">
                    {badge}
                    {since.map(|since| view! { " Under way since "{moment(now, since)} })}
                    {next_at.map(|at| view! { " The next one: "{moment(now, at)} })}
                </p>
                {failure.map(|why| view! { <p class="list__more">{why}</p> })}
            </div>
            {(may_ask && since.is_none()).then(|| view! {
                <form method="post" action=address>
                    <button class="button" data-kind="plain" data-size="small" type="submit" name="do" value="drill">{icon("shield-check")}"Drill now"</button>
                </form>
            })}
        </section>
    }
}

/// When snapshots are taken by themselves, and the form that changes it.
pub fn rule_card(
    visit: &Visit,
    now: Signal<i64>,
    address: &str,
    view: SnapshotRuleView,
    theirs: bool,
) -> impl IntoView + use<> {
    let SnapshotRuleView { rule, words, next_at } = view;
    let whose = match (&words, &rule) {
        (_, SnapshotRule::Template) => "as its template says",
        _ => "by its own rule",
    };
    let words = match words {
        Some(words) => format!("Taken {words}, {whose}."),
        None => format!("Taken only when somebody asks, and before it is parked or deleted, {whose}."),
    };
    let zone = visit.person().and_then(|person| person.time_zone.clone()).unwrap_or_else(|| "UTC".to_owned());
    let (cron, zone) = match rule {
        SnapshotRule::At { cron, time_zone } => (cron, time_zone),
        _ => ("0 12 * * *".to_owned(), zone),
    };
    // What was typed and refused; else as it is.
    let refused = visit.posted.as_ref().filter(|posted| posted.error.fields.iter().any(|one| is_of_rule(&one.field)));
    let typed = |field: &str, now: String| refused.and_then(|posted| posted.fields.get(field).cloned()).unwrap_or(now);
    let (cron, zone, open) = (typed("cron", cron), typed("time_zone", zone), refused.is_some());
    let (wrong_cron, wrong_zone) = (visit.message("cron"), visit.message("time_zone"));
    let address = address.to_owned();
    view! {
        <section class="card snapshot-card" aria-labelledby="rule" data-key="rule">
            <div>
                <h2 id="rule">"Snapshots by rule"</h2>
                <p class="list__more">{words}{next_at.map(|at| view! { " The next one: "{moment(now, at)} })}</p>
            </div>
            {theirs.then(|| view! {
                <details class="snapshot__rule" open=open>
                    <summary>"Change…"</summary>
                    <form class="form" method="post" action=address>
                        {field(
                            "cron",
                            "When",
                            Some("Minute, hour, day of month, month, day of week: “0 12 * * MON-FRI” is noon on weekdays."),
                            wrong_cron,
                            view! {
                                <input
                                    id="cron" name="cron" type="text" value=cron required maxlength="100" autocomplete="off"
                                    spellcheck="false" aria-describedby="cron-note"
                                />
                            },
                        )}
                        {field(
                            "time_zone",
                            "Time zone",
                            Some("An IANA name, like Europe/Berlin."),
                            wrong_zone,
                            view! {
                                <input
                                    id="time_zone" name="time_zone" type="text" value=zone required maxlength="60"
                                    autocomplete="off" spellcheck="false" aria-describedby="time_zone-note"
                                />
                            },
                        )}
                        <p class="snapshot__forms">
                            <button class="button" data-kind="primary" data-size="small" type="submit" name="do" value="rule">"Save"</button>
                            <button class="button" data-kind="plain" data-size="small" type="submit" name="do" value="rule-template" formnovalidate>
                                "As the template says"
                            </button>
                            <button class="button" data-kind="plain" data-size="small" type="submit" name="do" value="rule-never" formnovalidate>
                                "Never"
                            </button>
                        </p>
                    </form>
                </details>
            })}
        </section>
    }
}

fn is_of_rule(field: &str) -> bool {
    matches!(field, "cron" | "time_zone")
}
