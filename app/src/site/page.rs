//! A page: what a handler makes, and how it becomes an answer.
//!
//! Everything a page needs is asked from the portal before rendering begins, so its title and status are known first and
//! the rendering itself is one pass without waiting. Only islands carry on in the browser; nothing inline is executed.

use std::sync::Arc;

use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hydration_context::SsrSharedContext;
use leptos::prelude::*;

use super::shell::{Place, shell};
use super::visit::Visit;
use super::zone::Zone;
use crate::api::ApiError;
use crate::pages::error_content;

/// Scripts come from the site itself and none is inline. Styles may be: covers carry their colour, the terminal its cell
/// sizes. Nothing may frame a page, and forms go nowhere else.
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

pub(crate) struct Page {
    title: String,
    status: StatusCode,
    place: Place,
    /// Renders to HTML. Kept as an `AnyView`, every page would be compiled for six more ways of rendering that nobody uses.
    content: Box<dyn FnOnce() -> String + Send>,
}

impl Page {
    /// `title` is what the browser's tab says, before the name of the site.
    pub fn new<V: IntoView + 'static>(title: impl Into<String>, content: impl FnOnce() -> V + Send + 'static) -> Self {
        Self {
            title: title.into(),
            status: StatusCode::OK,
            place: Place::Elsewhere,
            content: Box::new(move || content().to_html()),
        }
    }
    /// Where in the navigation this page belongs.
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }
    fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

/// The answer to this visit: the page; or, where the portal refused, a page that says why and what to do. Who is not
/// signed in is sent to the sign-in page and comes back here afterwards.
pub(crate) fn answer(visit: &Visit, page: Result<Page, ApiError>) -> Response {
    match page {
        Ok(page) => {
            let refused = visit.posted.as_ref().and_then(|posted| StatusCode::from_u16(posted.error.status).ok());
            let status = refused.unwrap_or(page.status);
            respond(visit, page.with_status(status))
        }
        Err(error) if error.status == 401 && visit.person().is_none() => {
            see_other(&sign_in_address(&visit.address), None)
        }
        Err(error) => respond(visit, error_page(error)),
    }
}

fn error_page(error: ApiError) -> Page {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Page::new(error.title.clone(), move || error_content(error)).with_status(status)
}

/// The sign-in page that leads on to this address of the site.
pub(crate) fn sign_in_address(next: &str) -> String {
    match next {
        "/" => "/sign-in".to_string(),
        address => {
            let next = form_urlencoded::byte_serialize(address.as_bytes()).collect::<String>();
            format!("/sign-in?next={next}")
        }
    }
}

fn respond(visit: &Visit, page: Page) -> Response {
    let status = page.status;
    let html = render(visit, page);
    (status, html_headers(), html).into_response()
}

pub(super) fn html_headers() -> [(HeaderName, HeaderValue); 3] {
    [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY)),
    ]
}

pub(super) fn render(visit: &Visit, page: Page) -> String {
    in_its_zone(visit, || {
        let content = (page.content)();
        shell(visit, &page.title, page.place, content).to_html()
    })
}

/// Draws something for this visit: with times in the person's own zone.
pub(super) fn in_its_zone(visit: &Visit, draw: impl FnOnce() -> String) -> String {
    let owner = Owner::new_root(Some(Arc::new(SsrSharedContext::new_islands())));
    let html = owner.with(|| {
        provide_context(Zone(visit.person().and_then(|person| person.time_zone.as_deref().map(Arc::from))));
        draw()
    });
    owner.unset_with_forced_cleanup();
    html
}

/// The form did its work: go there. Reloading that page does nothing twice.
pub(crate) fn see_other(address: &str, set_cookie: Option<String>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::try_from(address).unwrap_or(HeaderValue::from_static("/")));
    if let Some(cookie) = set_cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        headers.append(SET_COOKIE, cookie);
    }
    response
}

/// No page has this address.
pub(crate) async fn not_found(visit: Visit) -> Response {
    answer(&visit, Err(ApiError::not_found("page", &visit.path)))
}

/// The page exists and takes no such request.
pub(crate) async fn not_allowed(visit: Visit) -> Response {
    let error = ApiError {
        status: 405,
        code: "method_not_allowed".into(),
        title: "This page takes no such request".into(),
        detail: None,
        fields: Vec::new(),
    };
    let mut response = answer(&visit, Err(error));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    response
}
