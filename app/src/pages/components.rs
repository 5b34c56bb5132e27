//! `/components`: every component in every state, built from the real ones: to look at, and for tests to look at in both
//! themes. For everybody who is signed in: it holds nothing of anybody, and whoever builds on Bookend should find it.

use std::collections::BTreeMap;

use axum::response::Response;
use leptos::prelude::*;

use crate::api::{ApiError, ChoiceOption, FailureView, OutputView, ParameterKind, ParameterSpec, State, TimelineEvent};
use crate::components::*;
use crate::site::{Page, Visit, answer, theme_switch};
use crate::words::Tone;

const STATES: [State; 12] = [
    State::Ordered,
    State::Preparing,
    State::Starting,
    State::SettingUp,
    State::Checking,
    State::Ready,
    State::Repairing,
    State::Parking,
    State::Parked,
    State::Deleting,
    State::Deleted,
    State::Failed,
];
const TONES: [(Tone, &str); 5] = [
    (Tone::Good, "It is done"),
    (Tone::Busy, "It is being done"),
    (Tone::Quiet, "Good to know"),
    (Tone::Warning, "Look at this"),
    (Tone::Bad, "It did not work"),
];
/// Names as people give them: markup, right to left, pictures, and very long.
const NAMES: [&str; 5] = [
    "reading-room",
    "<script>alert('x')</script>",
    "حجرة القراءة",
    "👩‍🚀 📚 🛰️",
    "a-name-that-is-much-longer-than-any-place-it-has-to-fit-into-and-has-no-space-to-break-at-anywhere",
];

pub(crate) async fn components(visit: Visit) -> Response {
    let page = compose(&visit).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit) -> Result<Page, ApiError> {
    visit.portal.me(&visit.actor).await?;
    let visit = visit.clone();
    Ok(Page::new("Components", move || content(&visit)))
}

fn content(visit: &Visit) -> impl IntoView + use<> {
    let now = Signal::stored(visit.now);
    view! {
        <header class="page-header">
            <h1>"Components"</h1>
            <p class="page-header__text">"What Bookend’s pages are made of, in every state it can be in."</p>
        </header>
        <div class="gallery">
            {shown("Buttons", buttons())}
            {shown("States", view! {
                <p class="gallery__row">{STATES.map(badge).into_iter().collect::<Vec<_>>()}</p>
            })}
            {shown("Notices", TONES.map(|(tone, title)| {
                // Bad news interrupt a screen reader wherever they stand; these are only looked at.
                notice(tone, title.into(), Some("What it means, and what to do about it, in a sentence.".into()))
            }).into_iter().collect::<Vec<_>>())}
            {shown("Failure", view! { {failure(a_failure(), None)}{waiting("db to become healthy".into())} })}
            {shown("Fields", fields())}
            {shown("Parameters", view! { <div class="form">{parameters_of_all_kinds()}</div> })}
            {shown("Choosing", choosing(visit))}
            {shown("Lists and names", names(now, visit.now))}
            {shown("Timeline", timeline(now, events(visit.now)))}
            {shown("Name and value", sheet())}
            {shown("Covers", view! {
                <div class="gallery__covers">
                    {[("site", "Web", Some("globe")), ("queue", "Messaging", Some("workflow")), ("plain", "Other", None)]
                        .map(|(name, category, picture)| cover(name, category, picture)).into_iter().collect::<Vec<_>>()}
                </div>
            })}
            {shown("Prose", markdown(PROSE))}
            {shown("Where there is nothing", view! {
                <section class="blank">
                    <span class="blank__picture">{icon("package-open")}</span>
                    <h3>"Nothing ordered yet"</h3>
                    <p class="blank__text">"Pick a template, and its servers stand here a moment later."</p>
                    <p class="blank__actions"><a class="button" data-kind="primary" href="/">"Open the catalog"</a></p>
                </section>
            })}
        </div>
    }
}

const PROSE: &str = "A *long* description with **weight**, `code`, [a link](/) and a list:\n\n- one\n- two\n\n\
    | column | another |\n|---|---|\n| a cell | a cell |\n\n```\nand a block\n```\n";

fn shown<V: IntoView>(title: &'static str, content: V) -> impl IntoView {
    let id = title.to_lowercase().replace(' ', "-");
    let labelled_by = id.clone();
    view! { <section class="card" aria-labelledby=labelled_by><h2 id=id>{title}</h2>{content}</section> }
}

fn buttons() -> impl IntoView {
    let kinds = ["primary", "plain", "danger"].map(|kind| {
        view! {
            <p class="gallery__row">
                <button class="button" data-kind=kind type="button">{icon("play")}"As it is"</button>
                <button class="button" data-kind=kind type="button" disabled>"Not now"</button>
                <button class="button" data-kind=kind data-size="small" type="button">"Small"</button>
            </p>
        }
    });
    view! {
        {kinds.into_iter().collect::<Vec<_>>()}
        <p class="gallery__row">
            <button class="icon-button" type="button" aria-label="Copy">{icon("copy")}</button>
            <button class="icon-button" type="button" data-copied="" aria-label="Copied">{icon("copy")}</button>
            <a href="#buttons">"A link"</a>
            <kbd>"Ctrl K"</kbd>
        </p>
    }
}

fn fields() -> impl IntoView {
    let wrong = Some("is taken; choose another".to_owned());
    view! {
        <div class="form">
            {field("gallery-plain", "A field", Some("What belongs into it."), None, view! {
                <input id="gallery-plain" type="text" placeholder="reading-room" aria-describedby="gallery-plain-note"/>
            })}
            {field("gallery-wrong", "A field with a wrong value", None, wrong, view! {
                <input id="gallery-wrong" type="text" value="shop" aria-invalid="true" aria-describedby="gallery-wrong-note"/>
            })}
            {field("gallery-choice", "A choice", None, None, view! {
                <select id="gallery-choice" aria-describedby="gallery-choice-note"><option>"One"</option><option>"Two"</option></select>
            })}
            {field("gallery-text", "Several lines", None, None, view! {
                <textarea id="gallery-text" rows="3" aria-describedby="gallery-text-note"></textarea>
            })}
            {field("gallery-off", "Not now", None, None, view! {
                <input id="gallery-off" type="text" value="as it is" disabled aria-describedby="gallery-off-note"/>
            })}
        </div>
    }
}

fn parameters_of_all_kinds() -> impl IntoView {
    let option = |value: &str| ChoiceOption { value: value.into(), title: format!("The {value} one") };
    let kinds = [
        ("text", ParameterKind::String { pattern: None, max_length: 40, multiline: false }),
        ("lines", ParameterKind::String { pattern: None, max_length: 400, multiline: true }),
        ("number", ParameterKind::Integer { min: 1, max: 9 }),
        ("switch", ParameterKind::Boolean),
        ("choice", ParameterKind::Choice { options: vec![option("small"), option("large")] }),
        ("secret", ParameterKind::Secret { max_length: 100, multiline: false }),
    ];
    let specs = kinds.map(|(name, kind)| ParameterSpec {
        name: name.into(),
        title: format!("A {name}"),
        help: Some("What it is for.".into()),
        kind,
        default: None,
        when: None,
    });
    specs.iter().map(|spec| parameter(spec, None, None)).collect::<Vec<_>>()
}

fn choosing(visit: &Visit) -> impl IntoView + use<> {
    view! {
        <nav class="tabs" aria-label="Tabs"><a href="#choosing" aria-current="page">"Here"</a><a href="#choosing">"There"</a></nav>
        <nav class="chips" aria-label="Chips">
            <a class="chip" href="#choosing" aria-current="true">"Chosen"{icon("x")}</a>
            <a class="chip" href="#choosing">"Another"</a>
        </nav>
        <p class="gallery__row"><label class="check"><input type="checkbox" checked/>"Ticked"</label>
            <label class="check"><input type="checkbox"/>"Not ticked"</label></p>
        <p class="gallery__row"><span class="tag">"a tag"</span></p>
        <div>{theme_switch(visit)}</div>
        <p class="connection" data-connection="live">"Live"</p>
        <p class="connection" data-connection="lost">"Connection lost. Trying again…"</p>
    }
}

fn names(now: Signal<i64>, at: i64) -> impl IntoView {
    let items = NAMES.into_iter().enumerate().map(|(place, name)| {
        view! {
            <li class="list__item" data-dimmed=(place == 4).then_some("")>
                <div>
                    <p class="list__name">{icon("user")}<span dir="auto">{name}</span></p>
                    <p class="list__more"><bdi>{name}</bdi>" · ordered "{moment(now, at - 90_000 * place as i64)}</p>
                </div>
                {badge(State::Ready)}
            </li>
        }
    });
    view! { <ul class="list" role="list">{items.collect::<Vec<_>>()}</ul> }
}

fn sheet() -> impl IntoView {
    let output = |title: &str, value: &str, sensitive| OutputView {
        name: title.into(),
        title: title.into(),
        value: value.into(),
        sensitive,
    };
    let values = BTreeMap::from([("size".to_owned(), "3".to_owned()), ("password".to_owned(), "***".to_owned())]);
    view! {
        {outputs(vec![output("Address", "http://reading-room", false), output("Password", "hidden until asked for", true)])}
        {parameters(values)}
    }
}

fn a_failure() -> FailureView {
    FailureView {
        server: Some("web".into()),
        step: "Setting up web".into(),
        cause: "the script ended with code 1".into(),
        lines: vec!["reading the list of guests".into(), "cat: /no/such/list: No such file or directory".into()],
        remedy: "Mend the script in the template, then try again.".into(),
    }
}

fn events(now: i64) -> Vec<TimelineEvent> {
    let event = |kind: &str, message: &str, ago: i64, actor: Option<&str>| TimelineEvent {
        id: format!("{kind}-{ago}"),
        at: now - ago,
        kind: kind.into(),
        message: message.into(),
        server: None,
        actor: actor.map(str::to_owned),
    };
    vec![
        event("ready", "reading-room is ready after 1.2 s", 5_000, None),
        event("failed", "Gave up: setting up web: the script ended with code 1", 90_000, None),
        event("ordered", "ada ordered reading-room", 7_200_000, Some("ada")),
    ]
}
