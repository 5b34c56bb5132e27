//! `/operator`: the places servers run at, what is asked of them and not done yet, what nobody owns. For administrators.
//! Kept current by `fresh.js`.

use axum::response::Response;
use leptos::either::Either;
use leptos::prelude::*;

use super::repository;
use crate::api::{ApiError, EffectView, Leftover, LeftoverKind, Operation, ProvisionerView, RepositoryView};
use crate::components::{badge, icon, moment, notice};
use crate::site::{Page, Place, Visit, answer};
use crate::words::{Tone, action_label, bytes, count, dollars, left_out, nothing_left_over};

pub(crate) async fn operator(visit: Visit) -> Response {
    let page = compose(&visit).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit) -> Result<Page, ApiError> {
    // Both ask provisioners, which may take their time.
    let (operation, leftovers) =
        tokio::join!(visit.portal.operation(&visit.actor), visit.portal.leftovers(&visit.actor));
    let operation = operation?;
    let repository = visit.portal.repository(&visit.actor).await?;
    let visit = visit.clone();
    Ok(Page::new("Operator", move || content(&visit, operation, repository, leftovers)).at(Place::Operator))
}

fn content(
    visit: &Visit,
    operation: Operation,
    repository: RepositoryView,
    leftovers: Result<Vec<Leftover>, ApiError>,
) -> impl IntoView + use<> {
    let now = Signal::stored(visit.now);
    let fresh = visit.settings.assets.address("fresh.js");
    let refused = visit.posted.as_ref().map(|posted| posted.error.clone());
    let done = visit.query.get("done").filter(|_| refused.is_none()).map(|_| ());
    let silent = operation.provisioners.iter().filter(|one| one.trouble.is_some()).map(|one| one.name.as_str());
    let left_out = left_out(&silent.collect::<Vec<_>>());
    view! {
        <header class="page-header">
            <div class="page-header__line">
                <h1>"Operator"</h1>
                <p class="connection" role="status" data-fresh-standing=""></p>
            </div>
            <p class="page-header__text">"The places servers run at, what is asked of them, and what nobody owns."</p>
        </header>
        {refused.map(|error| notice(Tone::Bad, error.title, error.detail))}
        {done.map(|()| notice(Tone::Good, "The leftover is gone, or on its way out".into(), None))}
        {paid_for(leftovers.as_deref().unwrap_or_default())}
        <div class="activity" data-fresh="operator">
            <div>
                {installation(&operation)}
                {operation.provisioners.into_iter().map(|one| provisioner(now, one)).collect::<Vec<_>>()}
            </div>
            <div>
                {repository::repository(now, repository)}
                {effects(now, operation.effects)}
                {unowned(now, leftovers, left_out)}
            </div>
        </div>
        <script type="module" src=fresh></script>
    }
}

fn installation(operation: &Operation) -> impl IntoView + use<> {
    let fact = |name: &'static str, value: String| view! { <div><dt>{name}</dt><dd>{value}</dd></div> };
    let states = operation.states.iter().map(|one| {
        let standing = match one.state {
            crate::api::State::Ready | crate::api::State::Repairing => "ready",
            crate::api::State::Parked => "parked",
            crate::api::State::Failed => "failed",
            _ => "busy",
        };
        let address = format!("/environments?of=everyone&standing={standing}");
        let number = one.count.to_string();
        view! { <li><a class="counted" href=address>{badge(one.state)}<span>{number}</span></a></li> }
    });
    view! {
        <section class="card" aria-labelledby="installation">
            <h2 id="installation">"Installation"</h2>
            <ul class="gallery__row" role="list" aria-label="Environments by state">{states.collect::<Vec<_>>()}</ul>
            <dl class="pairs pairs--small">
                {fact("Bookend", operation.version.clone())}
                {fact("Database", operation.database.clone())}
                {fact("Agents connected", operation.agents_connected.to_string())}
            </dl>
            <p><a href="/environments?of=everyone&sort=state">"All environments, what needs somebody first"</a></p>
        </section>
    }
}

fn provisioner(now: Signal<i64>, provisioner: ProvisionerView) -> impl IntoView {
    let can = |can: bool, what: &'static str, not: &'static str| {
        let (tone, words) = if can { (Tone::Good, what) } else { (Tone::Warning, not) };
        view! { <li data-tone=tone.as_str()><span class="dot" aria-hidden="true"></span><span>{words}</span></li> }
    };
    let (tone, standing) = match &provisioner.trouble {
        None => (Tone::Good, "Answers".to_owned()),
        Some(trouble) => (Tone::Bad, format!("Does not answer: {trouble}")),
    };
    let heading = format!("provisioner-{}", provisioner.name);
    let labelled_by = heading.clone();
    let here = count(u32::try_from(provisioner.environments).unwrap_or(u32::MAX), "environment");
    let theirs = format!("/environments?of=everyone&provisioner={}", provisioner.name);
    view! {
        <section class="card" aria-labelledby=labelled_by>
            <h2 id=heading>{format!("Provisioner “{}”", provisioner.name)}</h2>
            <ul class="facts" role="list">
                <li data-tone=tone.as_str()><span class="dot" aria-hidden="true"></span><span>{standing}</span></li>
                {can(provisioner.oci_images, "Servers from container images", "No container images")}
                {can(provisioner.internet, "Servers reach the internet where their template allows it", "Servers do not reach the internet")}
                {can(provisioner.cgroups, "Memory and processors limited by the kernel", "Limits for each process only")}
                {can(provisioner.shared_volumes, "Volumes shared by several servers", "Shared volumes as copies kept in step")}
            </ul>
            {provisioner.notes.into_iter().map(|note| view! { <p class="card__text">{note}</p> }).collect::<Vec<_>>()}
            {provisioner.capacity.map(|capacity| view! {
                <dl class="pairs pairs--small">
                    {room("Disk", capacity.disk_free_bytes, capacity.disk_bytes)}
                    {room("Memory", capacity.memory_free_bytes, capacity.memory_bytes)}
                    <div><dt>"Processors"</dt><dd>{capacity.processors}</dd></div>
                </dl>
            })}
            {provisioner.look_trouble.map(|trouble| view! {
                <p class="card__text" data-tone="bad">{format!("Not all of it could be looked through for what nobody owns: {trouble}")}</p>
            })}
            {provisioner.looked_through_at.map(|at| view! {
                <p class="card__text">"Looked through for what nobody owns "{moment(now, at)}</p>
            })}
            {provisioner.trouble.is_none().then(|| view! {
                <p><a href=theirs>{here}{if provisioner.environments == 1 { " has" } else { " have" }}" something there"</a></p>
            })}
        </section>
    }
}

fn room(name: &'static str, free: u64, all: u64) -> impl IntoView {
    view! { <div><dt>{name}</dt><dd>{format!("{} free of {}", bytes(free), bytes(all))}</dd></div> }
}

fn effects(now: Signal<i64>, effects: Vec<EffectView>) -> impl IntoView {
    let list = if effects.is_empty() {
        Either::Left(
            view! { <p class="card__text">"Nothing is in flight: everything asked of a provisioner has been answered."</p> },
        )
    } else {
        Either::Right(
            view! { <ul class="list" role="list">{effects.into_iter().map(|one| effect(now, one)).collect::<Vec<_>>()}</ul> },
        )
    };
    view! {
        <section class="card" aria-labelledby="effects">
            <h2 id="effects">"In flight"</h2>
            {list}
        </section>
    }
}

fn effect(now: Signal<i64>, effect: EffectView) -> impl IntoView {
    let address = format!("/environments/{}", effect.environment);
    let (tone, outcome) = match effect.outcome.as_str() {
        "recorded" => (Tone::Busy, "asked, not answered yet"),
        "retryable" => (Tone::Warning, "did not happen, is tried again"),
        _ => (Tone::Warning, "may have happened, is looked after"),
    };
    let what = match &effect.subject {
        Some(subject) => format!("{} {subject}", effect.step.replace('_', " ")),
        None => effect.step.replace('_', " "),
    };
    let key = format!("{} {what}", effect.environment_id);
    let attempts = (effect.attempts > 1).then(|| format!(" · asked {} times", effect.attempts));
    let buttons = effect.actions.into_iter().map(|action| {
        let to = address.clone();
        let label = format!("{} {}", action_label(action), effect.environment);
        view! {
            <form method="post" action=to>
                <button class="button" data-kind="plain" data-size="small" type="submit" name="action" value=action.as_str() aria-label=label>
                    {action_label(action)}
                </button>
            </form>
        }
    });
    let (buttons, link) = (buttons.collect::<Vec<_>>(), address.clone());
    view! {
        <li class="list__item list__item--tall" data-key=key data-tone=tone.as_str()>
            <div>
                <p class="list__name"><span class="dot" aria-hidden="true"></span>{what}</p>
                <p class="list__more">
                    <a href=link dir="auto">{effect.environment}</a>" · "{outcome}" · since "{moment(now, effect.recorded_at)}{attempts}
                    {effect.retry_at.map(|at| view! { " · again "{moment(now, at)} })}
                </p>
                {effect.message.map(|message| view! { <p class="list__more" dir="auto">{message}</p> })}
            </div>
            <div class="gallery__row">{buttons}</div>
        </li>
    }
}

fn unowned(now: Signal<i64>, leftovers: Result<Vec<Leftover>, ApiError>, left_out: Option<String>) -> impl IntoView {
    let list = match leftovers {
        Err(error) => Either::Left(view! { <p class="card__text">{error.to_string()}</p> }),
        Ok(leftovers) if leftovers.is_empty() => Either::Left(view! {
            <p class="card__text">{nothing_left_over(left_out.as_ref()).to_owned()}</p>
        }),
        Ok(leftovers) => Either::Right(view! {
            <ul class="list" role="list" data-still="">{leftovers.into_iter().map(|one| match one.kind {
                LeftoverKind::Environment => Either::Left(leftover(now, one)),
                _ => Either::Right(single(now, one)),
            }).collect::<Vec<_>>()}</ul>
        }),
    };
    view! {
        <section class="card" aria-labelledby="leftovers">
            <h2 id="leftovers">"Leftovers"</h2>
            {list}
            {left_out.map(|left_out| view! { <p class="card__text" data-tone="bad">{left_out}</p> })}
        </section>
    }
}

fn leftover(now: Signal<i64>, leftover: Leftover) -> impl IntoView {
    let mut parts = Vec::new();
    parts.extend(leftover.network.then(|| "a network".to_owned()));
    parts.extend((leftover.servers > 0).then(|| count(leftover.servers, "server")));
    parts.extend((leftover.volumes > 0).then(|| count(leftover.volumes, "volume")));
    parts.extend(leftover.bytes.map(|size| format!("{} on the disk", bytes(size))));
    let has = if parts.is_empty() { "An empty place".to_owned() } else { parts.join(", ") };
    let field = format!("typed-{}", leftover.id);
    let label_for = field.clone();
    let (provisioner, id) = (leftover.provisioner.clone(), leftover.id.clone());
    let hidden = view! {
        <input type="hidden" name="provisioner" value=provisioner/>
        <input type="hidden" name="id" value=id/>
    };
    let label = format!("Remove {}", leftover.id);
    let remove = view! {
        <button class="button" data-kind="danger" data-size="small" type="submit" aria-label=label>{icon("trash-2")}"Remove"</button>
    };
    let form = if leftover.volumes > 0 {
        Either::Left(view! {
            <details class="leftover__remove">
                <summary>"Remove, with its data"</summary>
                <form class="form" method="post" action="/operator">
                    {hidden}
                    <div class="field">
                        <label class="field__label" for=label_for>"Its volumes go for ever. Type the whole id to say that you mean it"</label>
                        <input id=field name="typed" type="text" required maxlength="64" autocomplete="off" spellcheck="false"/>
                    </div>
                    <div>{remove}</div>
                </form>
            </details>
        })
    } else {
        Either::Right(view! { <form method="post" action="/operator">{hidden}{remove}</form> })
    };
    view! {
        <li class="list__item list__item--tall">
            <div>
                <p class="list__name"><code>{leftover.id}</code></p>
                <p class="list__more">
                    {has}{format!(" at “{}”", leftover.provisioner)}
                    {leftover.changed_at.map(|at| view! { ", last changed "{moment(now, at)} })}
                </p>
                <p class="list__more">
                    {match leftover.deleted_at {
                        Some(at) => Either::Left(view! { "Its environment was deleted "{moment(now, at)}"." }),
                        None => Either::Right("No environment of this id was ever known here."),
                    }}
                </p>
            </div>
            {form}
        </li>
    }
}

/// Says at the top of the page that money is spent for nothing.
fn paid_for(leftovers: &[Leftover]) -> Option<impl IntoView + use<>> {
    let singles = leftovers.iter().filter(|one| one.kind != LeftoverKind::Environment);
    let costs: Vec<u64> = singles.map(|one| one.monthly_cents.unwrap_or(0)).collect();
    let number = u32::try_from(costs.len()).unwrap_or(u32::MAX);
    let sum = dollars(costs.iter().sum());
    let detail =
        format!("At list prices about {sum} a month. They are listed as leftovers below, with what becomes of them.");
    (number > 0).then(|| {
        notice(Tone::Warning, format!("{} at a provisioner belong to nobody", count(number, "thing")), Some(detail))
    })
}

/// One thing at a provisioner.
fn single(now: Signal<i64>, leftover: Leftover) -> impl IntoView {
    let Leftover { provisioner, kind, id, environment, about, made_at, first_seen_at, monthly_cents, ends_at, .. } =
        leftover;
    let costs = match (kind, monthly_cents) {
        (LeftoverKind::Network, _) => "costs nothing".to_owned(),
        (LeftoverKind::Snapshot, Some(cents)) => format!("at most {} a month", dollars(cents)),
        (_, Some(cents)) => format!("about {} a month", dollars(cents)),
        (_, None) => "its price is not known".to_owned(),
    };
    let mut first = kind.as_str().to_owned();
    first[..1].make_ascii_uppercase();
    let what = about.filter(|_| kind != LeftoverKind::Network).map(|about| format!(", {about}")).unwrap_or_default();
    let field = format!("typed-{id}");
    let label_for = field.clone();
    let label = format!("Remove {id}");
    let sure = match kind {
        LeftoverKind::Server => "It is ended, and what its own disk holds is gone.",
        _ => "It is removed for ever.",
    };
    let ask = if kind.holds_data() {
        Either::Left(view! {
            <div class="field">
                <label class="field__label" for=label_for>"What it holds goes for ever. Type the whole id to say that you mean it"</label>
                <input id=field name="typed" type="text" required maxlength="64" autocomplete="off" spellcheck="false"/>
            </div>
        })
    } else {
        Either::Right(view! { <p class="card__text">{sure}</p> })
    };
    let (key, hidden_id) = (id.clone(), id.clone());
    view! {
        <li class="list__item list__item--tall" data-key=key>
            <div>
                <p class="list__name"><code>{id}</code></p>
                <p class="list__more">{format!("{first}{what} at “{provisioner}”, {costs}")}</p>
                <p class="list__more">
                    {made_at.map(|at| view! { "Made "{moment(now, at)}", " })}
                    {if made_at.is_some() { "nobody's since " } else { "Nobody's since " }}
                    {first_seen_at.map(|at| moment(now, at))}
                    ". "
                    {match ends_at {
                        Some(at) => Either::Left(view! { "Ended by itself "{moment(now, at)}"." }),
                        None => Either::Right("It stays until a person removes it."),
                    }}
                </p>
                {environment.map(|environment| view! {
                    <p class="list__more">"Made for environment "<code>{environment}</code></p>
                })}
            </div>
            <details class="leftover__remove">
                <summary>"Remove…"</summary>
                <form class="form" method="post" action="/operator">
                    <input type="hidden" name="provisioner" value=provisioner.clone()/>
                    <input type="hidden" name="id" value=hidden_id/>
                    {ask}
                    <div>
                        <button class="button" data-kind="danger" data-size="small" type="submit" aria-label=label>{icon("trash-2")}"Remove"</button>
                    </div>
                </form>
            </details>
        </li>
    }
}
