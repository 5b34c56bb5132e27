//! `/catalog/{template}`: what it is, what you get, and the order form.
//!
//! A link may fill the form in (`?name=…&parameters.size=2`); only a person's click ever sends it.

mod layout;
mod picture;

use axum::extract::Path;
use axum::response::Response;
use leptos::either::Either;
use leptos::prelude::*;

use crate::api::{ApiError, TemplateDetail, TemplateRecord, TemplateServer, TemplateVersion, TemplateVolume};
use crate::components::{cover, field, icon, markdown, moment, notice, parameter, parameter_rules};
use crate::site::{Page, Place, Visit, answer};
use crate::words::{Tone, about, bytes, count, cpus, sentence, success};

pub(crate) async fn template(visit: Visit, Path(name): Path<String>) -> Response {
    let page = compose(&visit, &name).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit, name: &str) -> Result<Page, ApiError> {
    let version = visit.query.get("version").map(String::as_str);
    let template = visit.portal.template(&visit.actor, name, version).await?;
    let visit = visit.clone();
    Ok(Page::new(template.entry.title.clone(), move || content(&visit, template)).at(Place::Catalog))
}

fn content(visit: &Visit, template: TemplateDetail) -> impl IntoView + use<> {
    let form = order(visit, &template);
    let now = Signal::stored(visit.now);
    let entry = template.entry;
    view! {
        <div class="template">
            <header class="template__head">
                <p class="crumbs"><a href="/">"Catalog"</a></p>
                {cover(&entry.name, &entry.category, entry.icon.as_deref())}
                <h1>{entry.title}</h1>
                <p class="template__summary">{entry.summary}</p>
                <p class="template__facts">
                    <span>{entry.category}</span>
                    <span>{format!("Version {}", entry.version)}</span>
                    {entry.maintainer.map(|who| view! { <span>{format!("Maintained by {who}")}</span> })}
                    {entry.tags.into_iter().map(|tag| view! { <span class="tag">{tag}</span> }).collect::<Vec<_>>()}
                </p>
                {entry.record.as_ref().and_then(record)}
                {entry.broken.map(|why| notice(
                    Tone::Warning,
                    "The newest file of this template is broken; this is its last good version.".into(),
                    Some(why),
                ))}
            </header>
            <div class="template__order">{form}</div>
            <div class="template__body">
                {(!template.description.trim().is_empty()).then(|| markdown(&template.description))}
                {picture::picture(&template.servers, &template.volumes)}
                <section aria-labelledby="get">
                    <h2 id="get">"What you get"</h2>
                    <ul class="parts" role="list">
                        {template.servers.into_iter().map(server).collect::<Vec<_>>()}
                        {template.volumes.into_iter().map(volume).collect::<Vec<_>>()}
                    </ul>
                </section>
                {(!template.schedules.is_empty()).then(|| view! {
                    <section aria-labelledby="when">
                        <h2 id="when">"By itself"</h2>
                        <ul class="facts" role="list">
                            {template.schedules.into_iter().map(|rule| view! { <li>{icon("clock")}{rule}</li> }).collect::<Vec<_>>()}
                        </ul>
                    </section>
                })}
                <section aria-labelledby="versions">
                    <h2 id="versions">"Versions"</h2>
                    <ol class="facts" role="list">
                        {template.versions.into_iter().map(|one| version(now, &entry.name, one)).collect::<Vec<_>>()}
                    </ol>
                </section>
            </div>
        </div>
    }
}

/// How past orders went: how soon it was ready, and how often at all.
fn record(record: &TemplateRecord) -> Option<impl IntoView + use<>> {
    let times = record.ready_p50_ms.zip(record.ready_p95_ms).map(|(usual, slow)| {
        let exact = format!("{} milliseconds; 95 of 100 within {} milliseconds", usual, slow);
        view! {
            <span title=exact>{icon("clock")}{format!("Usually ready in {}, 95 of 100 within {}", about(usual), about(slow))}</span>
        }
    });
    let success = success(record).map(|words| view! { <span>{icon("circle-check")}{sentence(&words)}</span> });
    (times.is_some() || success.is_some()).then(|| view! { <p class="template__record">{times}{success}</p> })
}

fn server(server: TemplateServer) -> impl IntoView {
    let mut facts = vec![server.image];
    facts.extend(server.cpu_millis.map(cpus));
    facts.extend(server.memory_bytes.map(bytes));
    if !server.needs.is_empty() {
        facts.push(format!("starts after {}", server.needs.join(" and ")));
    }
    facts.extend(server.mounts.into_iter().map(|(volume, at)| format!("{volume} at {at}")));
    let name = if server.count > 1 { format!("{} × {}", server.count, server.name) } else { server.name };
    view! {
        <li class="part">
            {icon("server")}
            <div>
                <p class="part__name">{name}</p>
                <p class="part__facts">{facts.join(" · ")}</p>
                {(!server.ports.is_empty()).then(|| view! {
                    <p class="part__ports">
                        {server.ports.into_iter().map(|port| view! {
                            <span class="tag">{icon("external-link")}{format!("{} ({})", port.title, port.port)}</span>
                        }).collect::<Vec<_>>()}
                    </p>
                })}
            </div>
        </li>
    }
}

fn volume(volume: TemplateVolume) -> impl IntoView {
    let facts = format!("{}, kept when parked · on {}", bytes(volume.size_bytes), volume.servers.join(" and "));
    view! {
        <li class="part">
            {icon("hard-drive")}
            <div><p class="part__name">{volume.name}</p><p class="part__facts">{facts}</p></div>
        </li>
    }
}

fn version(now: Signal<i64>, template: &str, version: TemplateVersion) -> impl IntoView + use<> {
    let address = format!("/catalog/{template}?version={}", version.version);
    view! {
        <li>
            <a class="facts__name" href=address>{version.version}</a>
            <span class="facts__more">{moment(now, version.created_at)}</span>
        </li>
    }
}

/// The order form, or why there is none.
fn order(visit: &Visit, template: &TemplateDetail) -> impl IntoView + use<> {
    let Some(why) = &template.entry.unavailable else { return Either::Left(order_form(visit, template)) };
    let title = "This cannot be ordered here".to_string();
    Either::Right(view! { <section class="order card">{notice(Tone::Warning, title, Some(why.clone()))}</section> })
}

fn order_form(visit: &Visit, template: &TemplateDetail) -> impl IntoView + use<> {
    let entry = &template.entry;
    let posted = visit.posted.as_ref();
    // What was typed, else what the link says; the parameter's default comes last.
    let value = |name: &str| match posted {
        Some(posted) => posted.fields.get(name).cloned(),
        None => visit.query.get(name).cloned(),
    };
    let summary = posted.map(|posted| {
        let detail = match posted.error.fields.is_empty() {
            true => posted.error.detail.clone(),
            false => Some("Look at the marked fields. Nothing was ordered.".into()),
        };
        notice(
            Tone::Bad,
            if posted.error.fields.len() > 1 {
                "Some values need another look".into()
            } else {
                posted.error.title.clone()
            },
            detail,
        )
    });
    // The same form sent twice is one order.
    let request_id =
        value("request_id").filter(|_| posted.is_some()).unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let size = count(entry.server_count, "server");
    let fields = template.parameters.iter().map(|spec| {
        let name = format!("parameters.{}", spec.name);
        parameter(spec, value(&name), visit.message(&name))
    });
    view! {
        <form class="order card form" method="post" action=format!("/catalog/{}", entry.name)>
            <h2>"Order"</h2>
            {summary}
            <input type="hidden" name="request_id" value=request_id data-once=""/>
            <input type="hidden" name="version" value=entry.version.clone()/>
            {field("name", "Name", Some("Small letters, digits and hyphens. Empty: one is made up."), visit.message("name"), view! {
                <input
                    id="name" name="name" type="text" value=value("name") maxlength="40" pattern="[a-z]([a-z0-9\\-]*[a-z0-9])?"
                    title="Small letters, digits and hyphens; it begins with a letter" autocomplete="off" autocapitalize="none"
                    spellcheck="false" aria-describedby="name-note" placeholder=entry.name.clone()
                />
            })}
            {fields.collect::<Vec<_>>()}
            <style inner_html=parameter_rules(&template.parameters)></style>
            <button class="button" data-kind="primary" data-wide="" type="submit">{format!("Order {size}")}</button>
        </form>
    }
}
