//! The document around every page: head, navigation, the main landmark.

use leptos::either::Either;
use leptos::prelude::*;

use super::{SiteAssets, Theme, Visit};
use crate::components::{icon, wordmark};
use crate::words::tab_title;

/// Where a page belongs in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Catalog,
    Environments,
    Activity,
    Operator,
    People,
    Profile,
    Elsewhere,
}

pub(super) fn shell(visit: &Visit, title: &str, place: Place, content: String) -> impl IntoView + use<> {
    let assets = &visit.settings.assets;
    let theme = (visit.theme != Theme::System).then(|| visit.theme.as_str());
    let title = tab_title(title);
    let zone = visit.person().and_then(|person| person.time_zone.clone());
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=theme>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <meta name="description" content="Order servers like books: pick a template, and use it a moment later."/>
                <title>{title}</title>
                <link rel="preload" href=assets.address("figtree.woff2") r#as="font" r#type="font/woff2" crossorigin=""/>
                <link rel="preload" href=assets.address("newsreader.woff2") r#as="font" r#type="font/woff2" crossorigin=""/>
                <style inner_html=fonts(assets)></style>
                <link rel="stylesheet" href=assets.address("bookend.css")/>
                <link rel="icon" type="image/svg+xml" href=FAVICON/>
                <script
                    type="module"
                    src=assets.address("boot.js")
                    data-app=assets.address("app.js")
                    data-wasm=assets.address("app_bg.wasm")
                    data-notifier=visit.person().map(|_| assets.address("notify.js"))
                    data-zone=zone
                ></script>
            </head>
            <body>
                <a class="skip-link" href="#content">"Skip to content"</a>
                {header(visit, place)}
                <main id="content" class="page" tabindex="-1" inner_html=content></main>
            </body>
        </html>
    }
}

/// Letters with accents, signs and arrows: what `*-rest.woff2` holds beyond the letters, digits and punctuation of English.
const REST_OF_LATIN: &str = "U+A1-AA,U+AC-B6,U+B8-BA,U+BC-D6,U+D8-FF,U+102,U+131,U+152-153,U+2BC,U+2C6,U+2DA,U+2DC,\
    U+300-309,U+323,U+201A,U+201E,U+2032-2033,U+2039-203A,U+2044,U+20AC,U+2122,U+2191,U+2193,U+2215";

/// The faces stand here because only here their hashed addresses are known. A browser loads the rest of a face only for a
/// page that shows some of it. The fallbacks take the same room, so that text does not move when a font arrives.
fn fonts(assets: &SiteAssets) -> String {
    let face = |name: &str, weight: &str, file: &str| {
        let about = format!("font-family:{name};font-weight:{weight};font-display:swap");
        let (most, rest) = (assets.address(&format!("{file}.woff2")), assets.address(&format!("{file}-rest.woff2")));
        format!(
            "@font-face{{{about};src:url({most})format('woff2')}}\
             @font-face{{{about};src:url({rest})format('woff2');unicode-range:{REST_OF_LATIN}}}"
        )
    };
    let own = face("Figtree", "300 900", "figtree") + &face("Newsreader", "500", "newsreader");
    own + "@font-face{font-family:'Figtree fallback';src:local('Arial');size-adjust:99%}\
           @font-face{font-family:'Newsreader fallback';src:local('Georgia');size-adjust:93%}"
}

/// The mark as a file of its own: two bookends and the books between them.
const FAVICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' \
    height='32' rx='8' fill='%235747d8'/%3E%3Cpath d='M7 8v16h18V8' fill='none' stroke='%23fff' stroke-width='2.6' \
    stroke-linecap='round' stroke-linejoin='round'/%3E%3Cpath d='M13 12v8M19 10v10' stroke='%23fff' stroke-width='2.6' \
    stroke-linecap='round'/%3E%3C/svg%3E";

fn header(visit: &Visit, place: Place) -> impl IntoView + use<> {
    let current = move |here: Place| (place == here).then_some("page");
    let person = visit.person().map(|person| person.name.clone());
    view! {
        <header class="site-header">
            <div class="site-header__inner">
                <a class="brand" href="/" aria-label="Bookend, to the catalog">{wordmark()}</a>
                {person.is_some().then(|| view! {
                    <nav class="site-nav" aria-label="Main">
                        <a href="/" aria-current=current(Place::Catalog)>"Catalog"</a>
                        <a href="/environments" aria-current=current(Place::Environments)>"Environments"</a>
                        <a href="/activity" aria-current=current(Place::Activity)>"Activity"</a>
                    </nav>
                })}
                <div class="site-header__end">
                    {person.is_some().then(|| find(visit))}
                    {match person {
                        Some(name) => Either::Left(account(visit, name, place)),
                        None => Either::Right(theme_switch(visit)),
                    }}
                </div>
            </div>
        </header>
    }
}

/// Opens the palette. It is script's alone, so without script there is no such button.
fn find(visit: &Visit) -> impl IntoView + use<> {
    view! {
        <button
            class="find"
            type="button"
            data-palette=visit.settings.assets.address("palette.js")
            data-palette-entries="/palette"
            aria-haspopup="dialog"
            aria-keyshortcuts="Control+K Meta+K"
        >
            {icon("search")}
            <span>"Go to…"</span>
            <kbd aria-hidden="true">"Ctrl K"</kbd>
        </button>
    }
}

fn account(visit: &Visit, name: String, place: Place) -> impl IntoView + use<> {
    let administrator = visit.is_administrator();
    let current = move |here: Place| (place == here).then_some("page");
    let alert = match visit.leftovers {
        0 => None,
        1 => Some("1 leftover".to_owned()),
        many => Some(format!("{many} leftovers")),
    };
    let label = match &alert {
        None => format!("Account of {name}"),
        Some(alert) => format!("Account of {name}: {alert}"),
    };
    let initial = name.chars().next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    view! {
        <button class="avatar" type="button" popovertarget="account" data-alert=alert.is_some() aria-label=label>
            <span aria-hidden="true">{initial}</span>
        </button>
        <div id="account" class="menu" popover="auto">
            <p class="menu__title" dir="auto">{name}</p>
            <a class="menu__item" href="/profile" aria-current=current(Place::Profile)>{icon("user")}"Profile"</a>
            {administrator.then(|| view! {
                <a class="menu__item" href="/people" aria-current=current(Place::People)>{icon("users")}"People"</a>
                <a class="menu__item" href="/operator" aria-current=current(Place::Operator)>
                    {icon("gauge")}"Operator"{alert.map(|alert| view! { <span class="menu__alert">{alert}</span> })}
                </a>
            })}
            <div class="menu__row"><span>"Theme"</span>{theme_switch(visit)}</div>
            <form method="post" action="/sign-out">
                <button class="menu__item" type="submit">{icon("log-out")}"Sign out"</button>
            </form>
        </div>
    }
}

/// Three buttons that work as a form; the loader makes them act at once.
pub(crate) fn theme_switch(visit: &Visit) -> impl IntoView + use<> {
    let chosen = visit.theme;
    let choice = move |theme: Theme, name: &'static str, picture: &'static str| {
        view! {
            <button
                type="submit"
                name="theme"
                value=theme.as_str()
                aria-label=name
                title=name
                aria-pressed=if theme == chosen { "true" } else { "false" }
            >
                {icon(picture)}
            </button>
        }
    };
    view! {
        <form class="theme-switch" method="post" action="/theme" aria-label="Theme">
            <input type="hidden" name="next" value=visit.address.clone()/>
            {choice(Theme::Light, "Light", "sun")}
            {choice(Theme::System, "Like the system", "monitor")}
            {choice(Theme::Dark, "Dark", "moon")}
        </form>
    }
}
