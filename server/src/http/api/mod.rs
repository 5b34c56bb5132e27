//! REST, version 1: each route stands beside its description, and the OpenAPI document is made from the two together.
//!
//! Things are named as people name them (environment `shop`, server `web`), or by id. Lists that can grow without bound come
//! in pages. What changes something answers with the thing as it then is. Errors are problems, always.

mod activity;
mod catalog;
mod description;
mod environments;
mod files;
mod live;
mod operator;
mod people;
mod profile;
mod repository;
mod session;
mod snapshots;
mod sockets;
mod tokens;

use app::api::{ApiError, EnvironmentSort, FieldError};
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::any;
use http::{StatusCode, Uri};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::SharedEdge;
use super::problem::{Problem, problem};

pub use description::description;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bookend",
        description = "Order servers like books. Everything the pages and the command line do can be done here.\n\n\
            Send an API token as `Authorization: Bearer bkd_…`. Times are Unix milliseconds, sizes bytes. Errors are \
            `application/problem+json` (RFC 9457) and name the field that is wrong.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    security(("token" = []), ("session" = [])),
    modifiers(&Credentials),
    components(schemas(ApiError, EnvironmentSort, FieldError)),
    tags(
        (name = "environments", description = "Order, look at, park, resume, delete"),
        (name = "snapshots", description = "Keep what volumes hold at one moment, and bring it back"),
        (name = "files", description = "What volumes hold, now or in a snapshot, file by file"),
        (name = "repository", description = "Copies of snapshots outside of this machine, and environments made of them"),
        (name = "live", description = "Events, logs, terminals, commands, ports"),
        (name = "catalog", description = "What can be ordered"),
        (name = "session", description = "Signing in and out"),
        (name = "tokens", description = "API tokens of the person who asks"),
        (name = "operator", description = "How everything is, and what nobody owns; for administrators"),
        (name = "people", description = "Who may use this portal; for administrators"),
    )
)]
struct Description;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API token")).build();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        let cookie = ApiKeyValue::with_description(
            "bookend_session",
            "The session of a browser. What changes something then needs the portal's own Origin.",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

/// All routes below `/api/v1`, and their description.
pub fn router() -> (Router<SharedEdge>, utoipa::openapi::OpenApi) {
    let routes = OpenApiRouter::new()
        .routes(routes!(session::sign_in, session::sign_out))
        .routes(routes!(session::me, profile::change_me))
        .routes(routes!(profile::change_password))
        .routes(routes!(profile::sessions, profile::end_other_sessions))
        .routes(routes!(profile::end_session))
        .routes(routes!(session::check_setup_link, session::first_administrator))
        .routes(routes!(people::people, people::create_person))
        .routes(routes!(people::change_person))
        .routes(routes!(tokens::tokens, tokens::create_token))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(operator::operation))
        .routes(routes!(operator::leftovers))
        .routes(routes!(operator::remove_leftover))
        .routes(routes!(catalog::catalog))
        .routes(routes!(catalog::template))
        .routes(routes!(catalog::draft))
        .routes(routes!(catalog::check_name))
        .routes(routes!(environments::environments, environments::order))
        .routes(routes!(environments::environment, environments::describe))
        .routes(routes!(environments::change_order))
        .routes(routes!(environments::act))
        .routes(routes!(environments::timeline))
        .routes(routes!(snapshots::snapshots, snapshots::take))
        .routes(routes!(snapshots::change, snapshots::delete))
        .routes(routes!(snapshots::restore))
        .routes(routes!(snapshots::set_rule))
        .routes(routes!(snapshots::drill))
        .routes(routes!(snapshots::verify, snapshots::stop_verification))
        .routes(routes!(snapshots::compare))
        .routes(routes!(snapshots::keep_warm, snapshots::let_cool))
        .routes(routes!(files::files))
        .routes(routes!(files::download_file, files::upload_file))
        .routes(routes!(files::restore_file))
        .routes(routes!(repository::export))
        .routes(routes!(repository::repository))
        .routes(routes!(repository::repository_snapshots))
        .routes(routes!(repository::import))
        .routes(routes!(activity::act_on_many))
        .routes(routes!(activity::activity))
        .routes(routes!(live::logs))
        .routes(routes!(live::download))
        .routes(routes!(live::events))
        .routes(routes!(sockets::terminal))
        .routes(routes!(sockets::exec))
        .routes(routes!(sockets::port));
    let (router, spec) = OpenApiRouter::with_openapi(Description::openapi()).nest("/api/v1", routes).split_for_parts();
    let unknown = Router::new()
        .route("/api/v1", any(not_found))
        .route("/api/v1/", any(not_found))
        .route("/api/v1/{*rest}", any(not_found));
    (router.merge(unknown), spec)
}

async fn not_found(uri: Uri) -> Problem {
    let shown: String = uri.path().chars().take(200).collect();
    Problem(ApiError::not_found("address", &shown).with_detail("GET /api/v1/openapi.json lists all there are."))
}

/// The address exists and takes other requests.
pub async fn method_not_allowed() -> impl IntoResponse {
    problem(StatusCode::METHOD_NOT_ALLOWED, "This address does not take this method")
        .with_detail("The Allow header lists those it takes.")
}

/// What any route may answer instead.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only its derived description is used")]
enum Problems {
    /// The request cannot be understood.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ApiError),
    /// Nobody is signed in.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthenticated(ApiError),
    /// Not for this person, or sent by another site.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ApiError),
    /// There is no such thing, or it is somebody else's.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ApiError),
    /// Not possible in the present state.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ApiError),
    /// Some fields need another value.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ApiError),
    /// Too often; wait.
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(ApiError),
    /// Our fault; the cause is in the portal's log.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ApiError),
    /// Try again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ApiError),
}
