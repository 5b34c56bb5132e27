//! One request for a page, as handlers and views see it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::cookies::{LOOK_COOKIE, THEME_COOKIE, cookie, lines};
use super::page::answer;
use super::{PortalSettings, Site};
use crate::api::{ApiError, Role};
use crate::portal::{Actor, SharedPortal, SignedIn};

/// Who asks, what for, when, and the portal to ask.
#[derive(Clone)]
pub(crate) struct Visit(Arc<Inner>);

#[derive(Clone)]
pub(crate) struct Inner {
    pub portal: SharedPortal,
    pub actor: Actor,
    pub settings: Arc<PortalSettings>,
    /// Unix milliseconds when the request came in.
    pub now: i64,
    /// Path and query of the page.
    pub address: String,
    pub path: String,
    pub query: Fields,
    pub theme: Theme,
    /// For administrators: how much is found that nobody owns.
    pub leftovers: u64,
    /// How this browser's lists look, as its cookie says.
    pub list_look: String,
    /// The session's secret as this browser sent it, to end it.
    pub session: Option<String>,
    /// The form that was just refused, to be shown again.
    pub posted: Option<Posted>,
}

/// Name and value of what was typed or asked; of a name given twice the last value counts.
pub(crate) type Fields = BTreeMap<String, String>;

/// What a person typed, and why it was refused.
#[derive(Clone)]
pub(crate) struct Posted {
    pub fields: Fields,
    pub error: ApiError,
}

impl Posted {
    /// What is wrong with this field.
    pub fn message(&self, field: &str) -> Option<String> {
        self.error.fields.iter().find(|wrong| wrong.field == field).map(|wrong| wrong.message.clone())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub fn as_str(self) -> &'static str {
        match self {
            Theme::System => "system",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }
    /// Anything unknown follows the system.
    pub fn parse(word: &str) -> Self {
        match word {
            "light" => Theme::Light,
            "dark" => Theme::Dark,
            _ => Theme::System,
        }
    }
}

impl std::ops::Deref for Visit {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Visit {
    pub async fn new(site: &Site, parts: &Parts) -> Self {
        let actor = parts.extensions.get::<Actor>().cloned().unwrap_or(Actor::Anonymous { from: None, browser: None });
        // Nobody is kept from a page by it.
        let leftovers = match &actor {
            Actor::Person(SignedIn { role: Role::Administrator, .. }) => site.portal.leftovers_found(&actor).await,
            _ => Ok(0),
        };
        Self(Arc::new(Inner {
            portal: site.portal.clone(),
            actor,
            leftovers: leftovers.unwrap_or_default(),
            settings: site.settings.clone(),
            now: now(),
            address: parts.uri.path_and_query().map_or("/", |address| address.as_str()).to_string(),
            path: parts.uri.path().to_string(),
            query: fields(parts.uri.query().unwrap_or_default().as_bytes()),
            theme: cookie(&parts.headers, THEME_COOKIE).map(Theme::parse).unwrap_or_default(),
            list_look: cookie(&parts.headers, LOOK_COOKIE).unwrap_or_default().to_owned(),
            session: lines(&parts.headers)
                .find_map(|line| site.settings.session_cookie().read(line))
                .map(str::to_string),
            posted: None,
        }))
    }
    /// The same visit after its form was refused.
    pub fn refused(&self, fields: Fields, error: ApiError) -> Self {
        Self(Arc::new(Inner { posted: Some(Posted { fields, error }), ..Inner::clone(self) }))
    }
    pub fn person(&self) -> Option<&SignedIn> {
        match &self.actor {
            Actor::Person(person) => Some(person),
            Actor::Anonymous { .. } => None,
        }
    }
    pub fn is_administrator(&self) -> bool {
        self.person().is_some_and(|person| person.role == Role::Administrator)
    }
    /// What is wrong with this field of the refused form.
    pub fn message(&self, field: &str) -> Option<String> {
        self.posted.as_ref().and_then(|posted| posted.message(field))
    }
    /// What was typed into this field of the refused form.
    pub fn typed(&self, field: &str) -> String {
        self.posted.as_ref().and_then(|posted| posted.fields.get(field).cloned()).unwrap_or_default()
    }
}

impl FromRequestParts<Site> for Visit {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Infallible> {
        Ok(Visit::new(site, parts).await)
    }
}

/// A posted form with the visit it came on.
pub(crate) struct Form(pub Visit, pub Fields);

impl FromRequest<Site> for Form {
    type Rejection = Response;
    async fn from_request(request: Request, site: &Site) -> Result<Self, Response> {
        let ManyForm(visit, pairs) = ManyForm::from_request(request, site).await?;
        Ok(Form(visit, pairs.into_iter().collect()))
    }
}

/// A posted form in which a name may stand more than once.
pub(crate) struct ManyForm(pub Visit, pub Vec<(String, String)>);

impl FromRequest<Site> for ManyForm {
    type Rejection = Response;
    async fn from_request(request: Request, site: &Site) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let visit = Visit::new(site, &parts).await;
        let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return Err(answer(&visit, Err(ApiError::bad_request("This address takes a form, and this is none"))));
        }
        let body = Bytes::from_request(Request::from_parts(parts, body), site).await;
        let pairs = |body: Bytes| form_urlencoded::parse(&body).into_owned().collect();
        body.map(|body| ManyForm(visit, pairs(body))).map_err(IntoResponse::into_response)
    }
}

fn fields(urlencoded: &[u8]) -> Fields {
    form_urlencoded::parse(urlencoded).into_owned().collect()
}

/// The edge reads the clock once per request.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
