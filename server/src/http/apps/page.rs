//! What a person sees instead of an app: plain words, no script.

use app::api::ApiError;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::http::problem::Problem;

const STYLE: &str = "\
:root{color-scheme:light dark;font:18px/1.5 system-ui,sans-serif}\
body{max-width:34rem;margin:20vh auto 0;padding:0 1.5rem}h1{font-size:1.5rem;line-height:1.25}";

/// The problem as a page for people and as a problem for programs. `back` is where people go on from.
pub fn instead(headers: &HeaderMap, error: ApiError, back: &str) -> Response {
    if !wants_page(headers) {
        return Problem(error).into_response();
    }
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
         <body><h1>{0}</h1><p>{1}</p><p><a href=\"\">Try again</a> · <a href=\"{2}\">Back to the environment</a></p></body></html>",
        escape(&error.title),
        escape(error.detail.as_deref().unwrap_or_default()),
        escape(back),
    );
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = (status, html).into_response();
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    answer.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// Whether a person's browser asks for something to look at.
pub fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
