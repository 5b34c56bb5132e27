//! `/catalog/{template}`: what it is, what you get, and the order form.
//!
//! A link may fill the form in (`?name=…&parameters.size=2`, `?preset=…`, `?from=ENVIRONMENT`, `?defaults=true`), or name
//! what its volumes are to begin with (`?data=ENVIRONMENT&snapshot=…`), or the environment that is to
//! become this (`?change=ENVIRONMENT`); only a person's click ever sends it.

mod begin;
mod layout;
mod order;
mod picture;
mod versions;

use axum::extract::Path;
use axum::response::Response;
use leptos::prelude::*;

use crate::api::{ApiError, TemplateDetail, TemplateRecord, TemplateServer, TemplateVolume};
use crate::components::{cover, icon, markdown, notice};
use crate::site::{Page, Place, Visit, answer};
use crate::words::{Tone, about, bytes, cpus, sentence, success};

use begin::Beginning;

pub(crate) async fn template(visit: Visit, Path(name): Path<String>) -> Response {
    let page = compose(&visit, &name).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit, name: &str) -> Result<Page, ApiError> {
    let version = visit.query.get("version").map(String::as_str);
    let template = visit.portal.template(&visit.actor, name, version).await?;
    let beginning = match template.entry.unavailable {
        Some(_) => None,
        None => Some(begin::begin(visit, &template).await?),
    };
    let visit = visit.clone();
    Ok(Page::new(template.entry.title.clone(), move || content(&visit, template, beginning)).at(Place::Catalog))
}

fn content(visit: &Visit, template: TemplateDetail, beginning: Option<Beginning>) -> impl IntoView + use<> {
    let bar = beginning.is_some().then(|| bar(visit, &template));
    let form = match beginning {
        Some(beginning) => Ok(order::order(visit, &template, beginning)),
        None => Err(unavailable(&template)),
    };
    let form = match form {
        Ok(form) => leptos::either::Either::Left(form),
        Err(reason) => leptos::either::Either::Right(reason),
    };
    let versions = versions::versions(Signal::stored(visit.now), &template);
    let entry = template.entry;
    view! {
        <div class="template">
            <header class="template__head">
                <p class="crumbs"><a href="/">"Catalog"</a></p>
                {cover(&entry.name, &entry.category, entry.icon.as_deref())}
                <h1 dir="auto">{entry.title}</h1>
                <p class="template__summary" dir="auto">{entry.summary}</p>
                <p class="template__facts">
                    <bdi>{entry.category}</bdi>
                    <span>{format!("Version {}", entry.version)}</span>
                    {entry.maintainer.map(|who| view! { <span>"Maintained by "<bdi>{who}</bdi></span> })}
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
                {template.park.map(|park| view! {
                    <section id="parked" aria-labelledby="parked-title">
                        <h2 id="parked-title">"When it is parked"</h2>
                        <ul class="facts" role="list">
                            <li>{icon("circle-pause")}{park.keeps}</li>
                            <li>{icon("hard-drive")}{park.costs}</li>
                            <li>{icon("play")}{park.resumes}</li>
                        </ul>
                    </section>
                })}
                {versions}
            </div>
            {bar}
        </div>
    }
}

/// Why there is no order form.
fn unavailable(template: &TemplateDetail) -> impl IntoView + use<> {
    let title = "This cannot be ordered here".to_string();
    view! { <section class="order card">{notice(Tone::Warning, title, template.entry.unavailable.clone())}</section> }
}

/// On a phone the form's button is a screen or two away: this one, which sends the same form, stays in reach.
fn bar(visit: &Visit, template: &TemplateDetail) -> impl IntoView + use<> {
    let asked = visit.posted.as_ref().map_or(&visit.query, |posted| &posted.fields);
    let is_change = asked.get("change").is_some_and(|change| !change.is_empty());
    view! {
        <div id="order-bar" class="order-bar">
            <a class="order-bar__form" href="#order">"See the form"</a>
            <button class="button" data-kind="primary" type="submit" form="order">{order::says(&template.entry, is_change)}</button>
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
    facts.extend(server.architecture);
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
                            <span class="tag">{icon("external-link")}<bdi>{port.title}</bdi>{format!(" ({})", port.port)}</span>
                        }).collect::<Vec<_>>()}
                    </p>
                })}
            </div>
        </li>
    }
}

fn volume(volume: TemplateVolume) -> impl IntoView {
    let facts = format!("{} · on {}", bytes(volume.size_bytes), volume.servers.join(" and "));
    view! {
        <li class="part">
            {icon("hard-drive")}
            <div><p class="part__name">{volume.name}</p><p class="part__facts">{facts}</p></div>
        </li>
    }
}
