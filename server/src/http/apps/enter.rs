//! The way in: from a session on the portal's host to a cookie on the app's.

use app::api::ApiError;
use app::portal::Actor;
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, LOCATION, ORIGIN, REFERRER_POLICY, SET_COOKIE, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;

use super::page::{instead, wants_page};
use super::{AppAddress, proxy};
use crate::auth::identity::{Credential, SESSION_MS};
use crate::auth::secret;
use crate::http::extract::{Path, Query};
use crate::http::hosts::Origin;
use crate::http::identify::{Caller, bearer, caller, client_address, presented};
use crate::http::problem::{Problem, problem};
use crate::http::{Edge, SharedEdge};
use crate::store::AppAccessRow;

/// Long enough for one redirect.
const TICKET_MS: i64 = 30_000;
/// Where an app's host takes tickets; no app can have this path.
const ENTER: &str = "/.bookend/enter";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenQuery {
    /// Where in the app to go: begins with `/`.
    path: Option<String>,
}

/// `/open/ENVIRONMENT/SERVER/PORT` on the portal: checks the session and leads on to the app.
pub async fn open(
    State(edge): State<SharedEdge>,
    Extension(portal): Extension<Origin>,
    caller: Caller,
    Path((environment, server, port)): Path<(String, String, u16)>,
    Query(query): Query<OpenQuery>,
    headers: HeaderMap,
) -> Response {
    let path = query.path.as_deref().unwrap_or("/");
    match ticket(&edge, &portal, &caller, &environment, &server, port).await {
        Ok((app, ticket)) => {
            let to: String = form_urlencoded::byte_serialize(local(path).as_bytes()).collect();
            see_other(&format!("{app}{ENTER}?ticket={ticket}&to={to}"))
        }
        Err(error) if error.status == 401 && wants_page(&headers) => {
            let path: String = form_urlencoded::byte_serialize(local(path).as_bytes()).collect();
            let here = format!("/open/{environment}/{server}/{port}?path={path}");
            let next: String = form_urlencoded::byte_serialize(here.as_bytes()).collect();
            see_other(&format!("/sign-in?next={next}"))
        }
        Err(error) => instead(&headers, error, &format!("/environments/{}", segment(&environment))),
    }
}

async fn ticket(
    edge: &Edge,
    portal: &Origin,
    caller: &Caller,
    environment: &str,
    server: &str,
    port: u16,
) -> Result<(Origin, String), ApiError> {
    let found = edge.portal.environment(&caller.actor, environment).await?;
    let known = found.servers.iter().find(|known| known.name == server || known.id == server);
    let known = known.ok_or_else(|| ApiError::not_found("server", server))?;
    let Some(Credential::Session(session_hash)) = caller.identity().map(|identity| identity.credential.clone()) else {
        let detail = "Apps are opened in a browser; with an API token use the port's WebSocket, or `bookend forward`.";
        return Err(ApiError::forbidden("This needs a browser's session").with_detail(detail));
    };
    let app = AppAddress::new(port, (&known.name, &known.id), (&found.summary.name, &found.summary.id));
    let origin = edge.hosts.app(&app, portal).ok_or_else(|| {
        ApiError::conflict("Apps cannot be opened from this machine").with_detail(
            "They live below `localhost`, which is another machine for you. Start the portal with --apps-domain, or use \
             `bookend forward`.",
        )
    })?;
    let ticket = secret::generate();
    let now = edge.clock.now();
    let access = AppAccessRow {
        session_hash,
        label: app.label(),
        environment_id: found.summary.id,
        server: known.name.clone(),
        port: i64::from(port),
    };
    let store = async {
        let mut tx = edge.store.write().await?;
        let hash = secret::digest(ticket.as_bytes());
        tx.insert_app_ticket(&hash, &access, now, now + TICKET_MS).await?;
        tx.commit().await
    };
    store.await.map_err(database)?;
    Ok((origin, ticket))
}

/// Everything on an app's host.
pub async fn serve(edge: SharedEdge, app: AppAddress, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == ENTER {
        return enter(&edge, &app, parts.uri.query().unwrap_or_default()).await;
    }
    let scheme_and_host = own_origin(&edge, &parts.headers);
    if let Err(refused) = from_this_app(&parts, &scheme_and_host) {
        return refused.into_response();
    }
    let portal = edge.hosts.portal();
    let back = format!("{portal}/environments/{}", app.environment);
    let renamed = match admitted(&edge, &app, &parts).await {
        Ok(Admission::Granted(caller, access)) => {
            let headers = parts.headers.clone();
            let request = Request::from_parts(parts, body);
            return match proxy::forward(&edge, &caller, &access, &scheme_and_host, request).await {
                Ok(response) => response,
                Err(error) => instead(&headers, error, &back),
            };
        }
        Ok(Admission::Renamed { environment }) => Some(environment),
        Ok(Admission::Nobody) => None,
        Err(error) => return instead(&parts.headers, error, &back),
    };
    if parts.method == Method::GET && wants_page(&parts.headers) {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let path: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
        let environment = renamed.unwrap_or(app.environment);
        return see_other(&format!("{portal}/open/{environment}/{}/{}?path={path}", app.server, app.port));
    }
    match renamed {
        Some(_) => Problem(ApiError::conflict("This app has another address now").with_detail("Load the page again."))
            .into_response(),
        None => Problem(ApiError::unauthenticated()).into_response(),
    }
}

/// Who passes to an app.
enum Admission {
    Granted(Box<Caller>, AppAccessRow),
    /// The cookie is good, and the environment it was made for is called something else now: this address may become
    /// another's, so it leads to this one no longer.
    Renamed {
        environment: String,
    },
    /// Nobody has proved to be anybody.
    Nobody,
}

/// Swaps a ticket for the app's cookie. A ticket that does not count leads to the app, and from there to the portal again.
async fn enter(edge: &Edge, app: &AppAddress, query: &str) -> Response {
    let query: std::collections::HashMap<String, String> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let to = local(query.get("to").map_or("/", String::as_str)).to_string();
    let Some(ticket) = query.get("ticket").and_then(|ticket| secret::hash(ticket)) else { return see_other(&to) };
    let (cookie, now) = (secret::generate(), edge.clock.now());
    let redeemed = async {
        let mut tx = edge.store.write().await?;
        let hash = secret::digest(cookie.as_bytes());
        let found = tx.redeem_app_ticket(&ticket, &app.label(), &hash, now, now + SESSION_MS).await?;
        tx.commit().await.map(|()| found)
    };
    match redeemed.await {
        Ok(found) => {
            let mut response = see_other(&to);
            if found.is_some() {
                let secure = if edge.hosts.secure() { "; Secure" } else { "" };
                let set = format!("{}={cookie}; Path=/; HttpOnly; SameSite=Lax{secure}", cookie_name(edge));
                if let Ok(set) = HeaderValue::try_from(set) {
                    response.headers_mut().append(SET_COOKIE, set);
                }
            }
            response
        }
        Err(error) => Problem(database(error)).into_response(),
    }
}

/// Who may pass to this app, and which it is.
async fn admitted(edge: &SharedEdge, app: &AppAddress, request: &Parts) -> Result<Admission, ApiError> {
    let headers = &request.headers;
    if let Some(Ok(token)) = bearer(headers)
        && token.starts_with(secret::TOKEN_PREFIX)
    {
        let caller = caller(edge, presented(edge, headers), client_address(&request.extensions)).await?;
        let access = AppAccessRow {
            session_hash: String::new(),
            label: app.label(),
            environment_id: app.environment.clone(),
            server: app.server.clone(),
            port: i64::from(app.port),
        };
        return Ok(Admission::Granted(Box::new(caller), access));
    }
    let Some(hash) = app::site::cookie(headers, cookie_name(edge)).and_then(secret::hash) else {
        return Ok(Admission::Nobody);
    };
    let cookie = edge.store.app_cookie(&hash, edge.clock.now()).await.map_err(database)?;
    let Some(cookie) = cookie.filter(|cookie| cookie.access.label == app.label()) else {
        return Ok(Admission::Nobody);
    };
    let access = cookie.access;
    let environment = (cookie.environment_name.as_str(), access.environment_id.as_str());
    if AppAddress::new(app.port, (&access.server, &cookie.server_id), environment) != *app {
        return Ok(Admission::Renamed { environment: access.environment_id });
    }
    let identity = edge.identities.find(Credential::Session(access.session_hash.clone())).await.map_err(database)?;
    Ok(match identity {
        Some(identity) => {
            let caller = Caller::of(edge, Actor::Person(identity.person.clone()), identity);
            Admission::Granted(Box::new(caller), access)
        }
        None => Admission::Nobody,
    })
}

/// Another app is a site like any other: it may lead here, and no more.
fn from_this_app(request: &Parts, own: &Origin) -> Result<(), Problem> {
    let headers = &request.headers;
    let harmless =
        matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) && !headers.contains_key(UPGRADE);
    let own = own.to_string();
    let foreign = headers.get_all(ORIGIN).iter().any(|origin| origin.as_bytes() != own.as_bytes());
    if foreign && !harmless && bearer(headers).is_none() {
        return Err(problem(StatusCode::FORBIDDEN, "This request came from another site"));
    }
    Ok(())
}

fn own_origin(edge: &Edge, headers: &HeaderMap) -> Origin {
    let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let scheme = if edge.hosts.secure() { "https" } else { "http" };
    Origin::parse(&format!("{scheme}://{host}")).unwrap_or_else(|_| edge.hosts.portal())
}

/// The cookie that opens an app, on its own host.
pub(super) fn cookie_name(edge: &Edge) -> &'static str {
    if edge.hosts.secure() { "__Host-bookend_app" } else { "bookend_app" }
}

/// A path on this very host, whatever was asked for.
fn local(path: &str) -> &str {
    let on_this_host = path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\");
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if on_this_host && plain { path } else { "/" }
}

fn segment(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

fn see_other(address: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::try_from(address).unwrap_or(HeaderValue::from_static("/")));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn database(error: crate::store::StoreError) -> ApiError {
    tracing::error!(%error, "the way to an app could not be looked up");
    ApiError::unavailable("The portal cannot reach its database").with_detail("Try again in a moment.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_after_entering_stays_on_the_apps_host() {
        assert_eq!(local("/a?b=c"), "/a?b=c");
        for away in
            ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/a\r\nset-cookie: x", "/a b"]
        {
            assert_eq!(local(away), "/", "{away:?}");
        }
    }
}
