//! The web site as one axum router: pages, and the forms they post.
//!
//! The portal's HTTP layer puts an [`Actor`](crate::portal::Actor) into each request's extensions (from cookie or token),
//! refuses foreign mutations, serves the files under `/pkg/`, and hands everything else to [`router`] as its fallback.
//! Nothing here decides who may do what: that is [`Portal`](crate::portal::Portal)'s.
//!
//! Deliberately absent: a router in the browser. Links are links; what lives on in a page is an island.

mod assets;
mod cookies;
mod later;
mod page;
mod shell;
mod visit;
mod zone;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use crate::portal::{SessionCookie, SharedPortal};
use crate::{forms, pages};

pub use assets::SiteAssets;
pub use cookies::cookie;
pub(crate) use cookies::{look_chosen, theme_chosen};
pub(crate) use later::{answer_later, later};
pub(crate) use page::{Page, answer, see_other, sign_in_address};
pub(crate) use shell::{Place, theme_switch};
pub(crate) use visit::{Fields, Form, ManyForm, Posted, Theme, Visit};
pub(crate) use zone::{exact, zones};

/// What the server decides once for the whole site.
#[derive(Clone, Debug, Default)]
pub struct PortalSettings {
    /// Cookies are sent over https only. False when people reach the portal by plain http (loopback).
    pub secure_cookies: bool,
    pub assets: SiteAssets,
}

impl PortalSettings {
    pub(crate) fn session_cookie(&self) -> SessionCookie {
        SessionCookie::new(self.secure_cookies)
    }
}

/// What every handler of the site stands on.
#[derive(Clone)]
pub struct Site {
    pub(crate) portal: SharedPortal,
    pub(crate) settings: Arc<PortalSettings>,
}

/// All pages and forms. Meant as the fallback of the portal's router; unknown addresses get a page that
/// says so, with status 404.
pub fn router(portal: SharedPortal, settings: PortalSettings) -> Router {
    let site = Site { portal, settings: Arc::new(settings) };
    Router::new()
        .route("/", known(get(pages::catalog)))
        .route("/catalog/{template}", known(get(pages::template).post(forms::order)))
        .route("/environments", known(get(pages::environments).post(forms::many)))
        .route("/environments/{environment}", known(get(pages::environment).post(forms::act)))
        .route("/environments/{environment}/edit", known(get(pages::edit).post(forms::describe)))
        .route("/environments/{environment}/snapshots", known(get(pages::snapshots).post(forms::snapshots)))
        .route("/environments/{environment}/snapshots/compare", known(get(pages::compare)))
        .route("/environments/{environment}/files", known(get(pages::volumes)))
        .route("/environments/{environment}/files/{volume}", known(get(pages::files).post(forms::files)))
        .route("/environments/{environment}/logs", known(get(pages::logs)))
        .route("/environments/{environment}/servers/{server}/terminal", known(get(pages::terminal)))
        .route("/environments/{environment}/terminal", known(get(pages::first_terminal)))
        .route("/activity", known(get(pages::activity)))
        .route("/components", known(get(pages::components)))
        .route("/palette", known(get(pages::palette)))
        .route("/profile/password", known(post(forms::password)))
        .route("/profile/time-zone", known(post(forms::time_zone)))
        .route("/profile/sessions", known(post(forms::sessions)))
        .route("/profile", known(get(pages::profile).post(forms::tokens)))
        .route("/operator", known(get(pages::operator).post(forms::operator)))
        .route("/people", known(get(pages::people).post(forms::people)))
        .route("/setup/{link}", known(get(pages::setup).post(forms::setup)))
        .route("/sign-in", known(get(pages::sign_in).post(forms::sign_in)))
        .route("/sign-out", known(post(forms::sign_out)))
        .route("/theme", known(post(forms::theme)))
        .fallback(page::not_found)
        .with_state(site)
}

fn known(methods: MethodRouter<Site>) -> MethodRouter<Site> {
    methods.fallback(page::not_allowed)
}
