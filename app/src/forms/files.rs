//! Puts files into volumes, and brings single ones back from a snapshot.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures_core::Stream;

use super::outcome;
use crate::api::{ApiError, FilePlace, FileRestore, FileView, Upload, Work, path_text};
use crate::pages;
use crate::portal::Live;
use crate::site::{Fields, Visit, see_other};

/// What is back so soon is answered with the page it is on; of what takes longer a page tells how far it is.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Of a form that brings no file.
const LARGEST_FORM: usize = 64 * 1024;
/// Of a field that is no file.
const LARGEST_FIELD: u64 = 64 * 1024;

pub(crate) async fn files(
    visit: Visit,
    Path((environment, volume)): Path<(String, String)>,
    request: Request,
) -> Response {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).ok();
    let body = request.into_body();
    let mut fields = Fields::new();
    let done = match boundary {
        Some(boundary) => upload(&visit, &environment, &volume, boundary, body, &mut fields).await.map(Restored::At),
        None => match to_bytes(body, LARGEST_FORM).await {
            Ok(bytes) => {
                fields = form_urlencoded::parse(&bytes).into_owned().collect();
                restore(&visit, &environment, &volume, &fields).await
            }
            Err(_) => Err(ApiError::bad_request("The form could not be read")),
        },
    };
    match done {
        Ok(Restored::At(address)) => see_other(&address, None),
        Ok(Restored::Not(work)) => {
            let path = fields.remove("restored").unwrap_or_default();
            pages::bringing_back(visit, environment, volume, path, work)
        }
        Err(error) => pages::files(visit.refused(fields, error), Path((environment, volume))).await,
    }
}

/// What became of it so far.
enum Restored {
    /// The address it leads on to.
    At(String),
    Not(Live<Work<FileView>>),
}

async fn restore(visit: &Visit, environment: &str, volume: &str, fields: &Fields) -> Result<Restored, ApiError> {
    let value = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let in_place = match value("do").as_str() {
        "beside" => false,
        "in_place" => true,
        _ => return Err(ApiError::field("do", "this is not among the things to do with files")),
    };
    let request = FileRestore { snapshot: Some(value("snapshot")), path: value("restored"), to: None, in_place };
    let mut work = visit.portal.restore_files(&visit.actor, environment, volume, request).await?;
    match tokio::time::timeout(AT_ONCE, outcome(&mut work)).await {
        Ok(restored) => Ok(Restored::At(pages::restored_address(environment, volume, &restored?))),
        Err(_) => Ok(Restored::Not(work)),
    }
}

/// What is in front of the first file says where it goes. Where it leads on to.
async fn upload(
    visit: &Visit,
    environment: &str,
    volume: &str,
    boundary: String,
    body: Body,
    fields: &mut Fields,
) -> Result<String, ApiError> {
    let broken = |_| ApiError::bad_request("The form could not be read").with_detail("It broke off. Send it again.");
    let size = multer::SizeLimit::new().for_field("path", LARGEST_FIELD).for_field("replace", LARGEST_FIELD);
    let constraints = multer::Constraints::new().size_limit(size);
    let mut form = multer::Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    let mut names: Vec<String> = Vec::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name != "file" {
            // Unknown ones are passed over, whatever their size.
            if matches!(name.as_str(), "path" | "replace") {
                fields.insert(name, field.text().await.map_err(broken)?);
            }
            continue;
        }
        let file = field.file_name().and_then(|name| name.rsplit(['/', '\\']).next()).unwrap_or_default().to_owned();
        if file.is_empty() {
            continue;
        }
        let folder = fields.get("path").cloned().unwrap_or_default();
        let path = match folder.as_str() {
            "" => path_text(file.as_bytes()),
            folder => format!("{folder}/{}", path_text(file.as_bytes())),
        };
        let place = FilePlace { volume: volume.to_owned(), snapshot: None, path };
        let upload = Upload { replace: fields.contains_key("replace"), executable: false };
        let content = Box::pin(Pieces(field));
        let uploaded = visit.portal.upload(&visit.actor, environment, &place, upload, content).await;
        names.push(uploaded.map_err(|error| after(&names, error))?.name);
    }
    let folder = fields.get("path").cloned().unwrap_or_default();
    let name = match names.as_slice() {
        [] => return Err(ApiError::field("file", "choose a file first")),
        [one] => one.clone(),
        many => format!("{} files", many.len()),
    };
    Ok(pages::files_address(environment, volume, &[("path", &folder), ("done", "upload"), ("name", &name)]))
}

/// What was there before one of many was refused stays.
fn after(names: &[String], error: ApiError) -> ApiError {
    if names.is_empty() {
        return error;
    }
    let uploaded = format!("Uploaded before it: {}.", names.join(", "));
    let detail = error.detail.clone().map_or(uploaded.clone(), |detail| format!("{detail} {uploaded}"));
    error.with_detail(detail)
}

/// A file of a form.
struct Pieces(multer::Field<'static>);

impl Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(context).map(|piece| piece.map(|piece| piece.map_err(io::Error::other)))
    }
}
