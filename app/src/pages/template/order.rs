//! The order form. `order.js` says what is wrong with a value as it is typed; the portal says it again when it is sent.

use leptos::either::Either;
use leptos::prelude::*;

use super::begin::Beginning;
use crate::api::{CatalogEntry, DraftSource, OrderDraft, ParameterKind, ParameterSpec, TemplateDetail};
use crate::components::{field, icon, moment, notice, parameter, parameter_rules};
use crate::site::{Posted, Visit};
use crate::words::{Tone, count};

/// What the button says.
pub(super) fn says(entry: &CatalogEntry, is_change: bool) -> String {
    match is_change {
        true => format!("Change to version {}", entry.version),
        false => format!("Order {}", count(entry.server_count, "server")),
    }
}

pub(super) fn order(visit: &Visit, template: &TemplateDetail, beginning: Beginning) -> impl IntoView + use<> {
    let Beginning { draft, missing } = beginning;
    let entry = &template.entry;
    // The one-click button sends no field but its own: the form that answers it begins as any other.
    let posted = visit.posted.as_ref().filter(|posted| posted.fields.contains_key("name"));
    let typed = |name: &str| match posted {
        Some(posted) => posted.fields.get(name).cloned(),
        None => visit.query.get(name).cloned(),
    };
    // The same form sent twice is one order.
    let request_id = posted.and_then(|_| typed("request_id")).unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let change = typed("change").filter(|change| !change.is_empty());
    let (is_change, already) = (change.is_some(), draft.source.clone());
    let (data, snapshot) = (typed("data").filter(|data| !data.is_empty()), typed("snapshot"));
    let at = typed("at").filter(|at| !at.is_empty());
    let (is_copy, owner) = (data.is_some(), typed("owner"));
    let button = says(entry, is_change);
    let name = typed("name").unwrap_or_else(|| draft.name.clone());
    let fields = template.parameters.iter().map(|spec| {
        let name = format!("parameters.{}", spec.name);
        let begins = typed(&name).or_else(|| draft.values.get(&spec.name).filter(|_| posted.is_none()).cloned());
        match is_change && matches!(spec.kind, ParameterKind::Secret { .. }) {
            // The one it has stays unless another is typed.
            true => {
                parameter(&ParameterSpec { default: Some(String::new()), ..spec.clone() }, None, visit.message(&name))
            }
            false => parameter(spec, begins, visit.message(&name)),
        }
    });
    // What may be shown again after a detour over the sign-in page; see `forms::order`.
    let plain = template.parameters.iter().filter(|spec| !matches!(spec.kind, ParameterKind::Secret { .. }));
    let plain: Vec<&str> = plain.map(|spec| spec.name.as_str()).collect();
    view! {
        <form
            id="order" class="order card form" method="post" action=format!("/catalog/{}", entry.name)
            aria-labelledby="order-title" data-names="/api/v1/environment-names/"
        >
            <h2 id="order-title">{if is_change { "Change" } else { "Order" }}</h2>
            {visit.posted.as_ref().map(refused)}
            {visit.query.contains_key("kept").then(|| notice(
                Tone::Quiet,
                "Here is what you had typed".into(),
                Some("Nothing was ordered. Secrets have to be typed again.".into()),
            ))}
            {missing.map(|missing| notice(
                Tone::Warning,
                missing,
                Some("The form begins with the template’s defaults instead.".into()),
            ))}
            {(!is_change).then(|| at_the_limit(&draft))}
            {change.map(|change| changed(change, &already, &entry.version))}
            {data.map(|data| copied(data, &draft.source, snapshot.filter(|snapshot| !snapshot.is_empty()), at))}
            {(posted.is_none() && !is_change && !is_copy).then(|| starts(visit, template, &draft))}
            <input type="hidden" name="request_id" value=request_id data-once=""/>
            <input type="hidden" name="version" value=entry.version.clone()/>
            <input type="hidden" name="plain" value=plain.join(" ")/>
            {(!is_change).then(|| field("name", "Name", Some("Small letters, digits and hyphens. Empty: one is made up."), visit.message("name"), view! {
                <input
                    id="name" name="name" type="text" value=name maxlength="40" pattern="[a-z]([a-z0-9\\-]*[a-z0-9])?"
                    data-says="should be small letters, digits and hyphens, beginning with a letter, not ending with a hyphen"
                    autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="name-note"
                    aria-invalid=visit.message("name").map(|_| "true")
                />
            }))}
            {is_copy.then(|| field("owner", "For", Some("A colleague’s sign-in name. Empty: for yourself."), visit.message("owner"), view! {
                <input
                    id="owner" name="owner" type="text" value=owner autocomplete="off" autocapitalize="none" spellcheck="false"
                    aria-describedby="owner-note" aria-invalid=visit.message("owner").map(|_| "true")
                />
            }))}
            {fields.collect::<Vec<_>>()}
            <style inner_html=parameter_rules(&template.parameters)></style>
            {template.park.clone().map(|park| view! { <p class="field__help">{park.costs}" "{park.resumes}</p> })}
            <div class="order__end">
                <button id="order-button" class="button" data-kind="primary" data-wide="" type="submit">{button}</button>
            </div>
            <template id="wrong"><p class="field__wrong">{icon("triangle-alert")}<span></span></p></template>
            <script type="module" src=visit.settings.assets.address("order.js")></script>
        </form>
    }
}

/// What becomes of the environment that this form changes.
fn changed(environment: String, source: &DraftSource, version: &str) -> impl IntoView + use<> {
    let name = match source {
        DraftSource::Environment { environment } => environment.clone(),
        _ => environment.clone(),
    };
    let text = format!(
        "{name} becomes version {version} with these values. Its servers go down and come back; its volumes stay, and what they \
         hold is kept in a snapshot first. A secret stays as it is unless you type another."
    );
    view! {
        {notice(Tone::Quiet, format!("Change {name}"), Some(text))}
        <input type="hidden" name="change" value=environment/>
    }
}

/// Whose data the volumes begin with.
fn copied(data: String, source: &DraftSource, snapshot: Option<String>, at: Option<String>) -> impl IntoView + use<> {
    let name = match source {
        DraftSource::Environment { environment } => environment,
        _ => &data,
    };
    let moment = if snapshot.is_some() { "held at the moment you chose" } else { "hold now" };
    let text = format!(
        "Its volumes begin with what those of {name} {moment}. All else is new: servers, addresses and secrets, which have to \
         be typed."
    );
    let title = match &at {
        None => format!("A copy of {name}"),
        Some(at) => format!("A copy of {name}, at {at}"),
    };
    view! {
        {notice(Tone::Quiet, title, Some(text))}
        <input type="hidden" name="data" value=data/>
        {snapshot.map(|snapshot| view! { <input type="hidden" name="snapshot" value=snapshot/> })}
        {at.map(|at| view! { <input type="hidden" name="at" value=at/> })}
    }
}

fn refused(posted: &Posted) -> impl IntoView + use<> {
    let error = &posted.error;
    let detail = match error.fields.is_empty() {
        true => error.detail.clone(),
        false => Some("Look at the marked fields. Nothing was ordered.".into()),
    };
    let title = if error.fields.len() > 1 { "Some values need another look".into() } else { error.title.clone() };
    notice(Tone::Bad, title, detail)
}

/// Said before the click, not after it.
fn at_the_limit(draft: &OrderDraft) -> Option<impl IntoView + use<>> {
    let (has, may) = (draft.environments, draft.environments_limit);
    let title = format!("You have {has} environments, as many as one person may have");
    (has >= may).then(|| {
        view! {
            {notice(Tone::Warning, title, Some("An order will be refused until you delete one.".into()))}
            <p><a href="/environments">"See your environments"</a></p>
        }
    })
}

/// What the form was filled in with, and what it can be filled in with instead.
fn starts(visit: &Visit, template: &TemplateDetail, draft: &OrderDraft) -> Option<impl IntoView + use<>> {
    let address = |query: &str| {
        let version = visit.query.get("version").map(|version| ("version", version.as_str()));
        let mut pairs = form_urlencoded::Serializer::new(query.to_owned());
        let query = pairs.extend_pairs(version).finish();
        format!("/catalog/{}?{query}", template.entry.name)
    };
    let was_ordered = template.entry.ordered_by_me_at.is_some();
    let is_asked = ["preset", "from", "defaults"].iter().any(|name| visit.query.contains_key(*name));
    let mut choices: Vec<(String, String, bool)> = Vec::new();
    let is_last = matches!(draft.source, DraftSource::LastOrder { .. });
    if is_last || (was_ordered && is_asked) {
        choices.push((address(""), "Last order".into(), is_last));
    }
    let by_link = visit.query.keys().any(|name| name.starts_with("parameters."));
    choices.push((address("defaults=true"), "Defaults".into(), draft.source == DraftSource::Defaults && !by_link));
    choices.extend(template.presets.iter().map(|preset| {
        let current = matches!(&draft.source, DraftSource::Preset { name } if *name == preset.name);
        (address(&format!("preset={}", preset.name)), preset.title.clone(), current)
    }));
    let chips = choices.into_iter().map(|(address, title, current)| {
        view! { <a class="chip" href=address aria-current=current.then_some("true")><bdi>{title}</bdi></a> }
    });
    let chips: Vec<_> = chips.collect();
    (!template.parameters.is_empty() && (chips.len() > 1 || draft.source != DraftSource::Defaults)).then(|| {
        view! {
            <div class="order__starts">
                <nav class="chips" aria-label="Begin with">{chips}</nav>
                <p class="field__help">{about(visit.now, template, draft, by_link)}</p>
                {(!draft.dropped.is_empty()).then(|| view! {
                    <p class="field__help" dir="auto">
                        {format!("Not taken over, as this version takes other values: {}.", draft.dropped.join(", "))}
                    </p>
                })}
            </div>
        }
    })
}

fn about(now: i64, template: &TemplateDetail, draft: &OrderDraft, by_link: bool) -> impl IntoView + use<> {
    match &draft.source {
        DraftSource::LastOrder { environment, at } => Either::Left(Either::Left(view! {
            "Filled in as in your last order, "{environment.clone()}", "{moment(Signal::stored(now), *at)}"."
        })),
        DraftSource::Environment { environment } => {
            let words = format!("Filled in as {environment} was ordered, without its secrets.");
            Either::Left(Either::Right(view! { {words} }))
        }
        DraftSource::Preset { name } => {
            let help =
                template.presets.iter().find(|preset| preset.name == *name).and_then(|preset| preset.help.clone());
            Either::Right(Either::Left(view! { <span dir="auto">{help}</span> }))
        }
        DraftSource::Defaults => Either::Right(Either::Right(match by_link {
            true => "Filled in by the link that led here.",
            false => "Filled in with the template’s own defaults.",
        })),
    }
}
