//! Files of volumes: looked at, downloaded, put there, brought back one by one.

use std::io;

use app::api::{FileListing, FilePlace, FileRestore, FileView, Upload, Work, path_text};
use app::portal::Download;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Problems, live};
use crate::http::SharedEdge;
use crate::http::extract::{By, Json, Path, Query};
use crate::http::identify::Caller;
use crate::http::problem::Problem;

/// Names on a page, when nobody says how many.
const PAGE: u32 = 200;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FilesQuery {
    /// Where in the volume; its root when absent. Parts are separated by `/`; what is not UTF-8 in a name, control characters
    /// and `%` are written as `%` and two hex digits, as in the answer's paths.
    #[serde(default)]
    #[param(required = false)]
    path: String,
    /// Id of a snapshot, or latest; the volume as it is now when absent.
    snapshot: Option<String>,
    /// Only names after this one.
    after: Option<String>,
    /// At most so many, 1 to 1000; 200 when absent.
    limit: Option<u32>,
}

/// A folder's files
///
/// In the order of their names' bytes. Links are shown and never followed. For the owner and administrators.
#[utoipa::path(
    get, path = "/environments/{environment}/volumes/{volume}/files", tag = "files",
    params(("environment" = String, Path, description = "Name or id"), ("volume" = String, Path, description = "Name"), FilesQuery),
    responses((status = 200, body = FileListing), Problems)
)]
pub async fn files(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path((environment, volume)): Path<(String, String)>,
    Query(query): Query<FilesQuery>,
) -> Result<axum::Json<FileListing>, Problem> {
    let FilesQuery { path, snapshot, after, limit } = query;
    let place = FilePlace { volume, snapshot, path };
    let limit = limit.unwrap_or(PAGE);
    Ok(axum::Json(edge.portal.files(&actor, &environment, &place, after.as_deref(), limit).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ContentQuery {
    /// A file, or a folder: its path as in a folder's list. The whole volume when absent.
    #[serde(default)]
    #[param(required = false)]
    path: String,
    /// Id of a snapshot, or latest; the volume as it is now when absent.
    snapshot: Option<String>,
}

/// Download a file or a folder
///
/// A file as it is; a folder as a tar archive, without pipes, sockets and devices. Of a volume that is written meanwhile a file
/// may be a mix of moments; of a snapshot it is not. For the owner and administrators.
#[utoipa::path(
    get, path = "/environments/{environment}/volumes/{volume}/content", tag = "files",
    params(("environment" = String, Path, description = "Name or id"), ("volume" = String, Path, description = "Name"), ContentQuery),
    responses(
        (status = 200, content((Vec<u8> = "application/octet-stream"), (Vec<u8> = "application/x-tar"))),
        Problems
    )
)]
pub async fn download_file(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path((environment, volume)): Path<(String, String)>,
    Query(query): Query<ContentQuery>,
) -> Result<Response, Problem> {
    let place = FilePlace { volume, snapshot: query.snapshot, path: query.path };
    let Download { mut name, folder, size, content } = edge.portal.download(&actor, &environment, &place).await?;
    let kind = if folder { "application/x-tar" } else { "application/octet-stream" };
    if folder {
        name.extend(b".tar");
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_DISPOSITION, attachment(&name));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Should a browser show it in spite of all this, then as nobody's page.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    if let Some(size) = size {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    }
    Ok((headers, Body::from_stream(content)).into_response())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadQuery {
    /// Of the file to be; folders that are missing on its way are made.
    #[serde(default)]
    path: String,
    /// Instead of the file of that name, if there is one.
    #[serde(default)]
    #[param(required = false)]
    replace: bool,
    /// It may be run.
    #[serde(default)]
    #[param(required = false)]
    executable: bool,
}

/// Upload a file
///
/// The request's body becomes the file: whole, or not at all. It belongs to the servers' user. For the owner and administrators,
/// while the environment runs or is parked.
#[utoipa::path(
    put, path = "/environments/{environment}/volumes/{volume}/content", tag = "files",
    params(("environment" = String, Path, description = "Name or id"), ("volume" = String, Path, description = "Name"), UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = FileView), Problems)
)]
pub async fn upload_file(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path((environment, volume)): Path<(String, String)>,
    Query(query): Query<UploadQuery>,
    body: Body,
) -> Result<(StatusCode, axum::Json<FileView>), Problem> {
    let place = FilePlace { volume, snapshot: None, path: query.path };
    let upload = Upload { replace: query.replace, executable: query.executable };
    let content = Box::pin(body.into_data_stream().map_err(io::Error::other));
    let written = edge.portal.upload(&actor, &environment, &place, upload, content).await?;
    Ok((StatusCode::CREATED, axum::Json(written)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FollowQuery {
    /// Tell how far it has come meanwhile, as server-sent events, with status 200. For what may take longer than a minute.
    #[serde(default)]
    #[param(required = false)]
    follow: bool,
}

/// Restore a file or folder
///
/// From a snapshot into the volume as it is now: beside what is there, or in its place. What comes back is compared with what
/// was taken before anything changes. Whoever goes away gives it up. For the owner and administrators, while the environment
/// runs or is parked.
#[utoipa::path(
    post, path = "/environments/{environment}/volumes/{volume}/restore", tag = "files", request_body = FileRestore,
    params(
        ("environment" = String, Path, description = "Name or id"),
        ("volume" = String, Path, description = "Name"),
        FollowQuery
    ),
    responses(
        (status = 200, body = Work<FileView>, content_type = "text/event-stream"),
        (status = 201, body = FileView),
        Problems
    )
)]
pub async fn restore_file(
    State(edge): State<SharedEdge>,
    caller: Caller,
    Path((environment, volume)): Path<(String, String)>,
    Query(query): Query<FollowQuery>,
    Json(request): Json<FileRestore>,
) -> Result<Response, Problem> {
    let restored = edge.portal.restore_files(&caller.actor, &environment, &volume, request).await?;
    match query.follow {
        true => Ok(live::stream(&edge, &caller, restored)),
        false => Ok((StatusCode::CREATED, axum::Json(live::result(restored).await?)).into_response()),
    }
}

/// To be saved, never to be shown, under this name: RFC 6266, with a plain name for those who know no other.
fn attachment(name: &[u8]) -> HeaderValue {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._ ".contains(&byte);
    let plain: String = name.iter().map(|byte| if safe(*byte) { *byte as char } else { '_' }).collect();
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    // What is not UTF-8 in it keeps its codes, as in every path.
    let text = if std::str::from_utf8(name).is_ok() { name.to_vec() } else { path_text(name).into_bytes() };
    let coded = text.iter().fold(String::new(), |mut coded, byte| {
        match kept(*byte) {
            true => coded.push(*byte as char),
            false => coded.push_str(&format!("%{byte:02X}")),
        }
        coded
    });
    let value = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{coded}");
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_file_says_more_than_a_name() {
        let said = |name: &[u8]| attachment(name).to_str().unwrap_or_default().to_owned();
        assert_eq!(said(b"a b.txt"), "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt");
        assert_eq!(said(b"a\"; x=\r\ny"), "attachment; filename=\"a__ x___y\"; filename*=UTF-8''a%22%3B%20x%3D%0D%0Ay");
        assert_eq!(said(b"\xff"), "attachment; filename=\"_\"; filename*=UTF-8''%25FF");
        assert!(said("größe".as_bytes()).ends_with("gr%C3%B6%C3%9Fe"));
    }
}
