//! What is refused before anybody is asked who they are: requests another site had a browser send.
//!
//! A browser sends cookies along with requests other sites make. So whatever changes something or opens a channel
//! (WebSocket) by a cookie must come from a page of this very portal: its `Origin` has to be our own; a missing one, `null`
//! and every other are refused, and `Sec-Fetch-Site` may not say otherwise. Requests with an API token are exempt: no
//! browser adds a token by itself.

use app::portal::SessionCookie;
use http::header::{ORIGIN, UPGRADE};
use http::{HeaderMap, Method, StatusCode};

use super::hosts::Origin;
use super::identify::bearer;
use super::problem::{Problem, problem};

/// # Errors
/// 403 when the request may be another site's doing.
pub fn from_our_own_page(
    method: &Method,
    headers: &HeaderMap,
    own: &Origin,
    cookie: SessionCookie,
) -> Result<(), Problem> {
    let harmless = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && !headers.contains_key(UPGRADE);
    if harmless || bearer(headers).is_some() {
        return Ok(());
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let same_origin = match (origins.next(), origins.next()) {
        (None, _) => None,
        (Some(origin), None) => Some(origin.as_bytes() == own.to_string().as_bytes()),
        (Some(_), Some(_)) => Some(false),
    };
    let fetched_from_elsewhere =
        headers.get_all("sec-fetch-site").iter().any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    match same_origin {
        Some(true) if !fetched_from_elsewhere => Ok(()),
        // Not a browser, and nothing it could be tricked into lending.
        None if !fetched_from_elsewhere && cookie.read_headers(headers).is_none() => Ok(()),
        _ => Err(problem(StatusCode::FORBIDDEN, "This request came from another site")
            .with_detail(format!("It needs an Origin header that says {own}, or an API token instead of the cookie."))),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn refused(method: Method, headers: &[(&'static str, &'static str)]) -> bool {
        let own = Origin::parse("http://localhost:3000").unwrap();
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        from_our_own_page(&method, &headers, &own, SessionCookie::new(false)).is_err()
    }

    const SIGNED_IN: (&str, &str) = ("cookie", "bookend_session=x");

    #[test]
    fn reading_needs_no_origin_and_a_change_needs_ours() {
        assert!(!refused(Method::GET, &[SIGNED_IN, ("origin", "https://evil.example")]));
        assert!(!refused(Method::POST, &[SIGNED_IN, ("origin", "http://localhost:3000")]));
        for origin in [
            "null",
            "https://evil.example",
            "http://localhost:3001",
            "https://localhost:3000",
            "http://localhost",
            "http://localhost:3000.evil.example",
            "http://8080--web--shop.localhost:3000",
            "",
        ] {
            assert!(refused(Method::POST, &[SIGNED_IN, ("origin", origin)]), "{origin}");
        }
        assert!(refused(Method::POST, &[SIGNED_IN]));
        assert!(refused(Method::DELETE, &[SIGNED_IN]));
    }

    #[test]
    fn a_websocket_is_no_harmless_get() {
        assert!(refused(Method::GET, &[SIGNED_IN, ("upgrade", "websocket")]));
        assert!(refused(Method::GET, &[SIGNED_IN, ("upgrade", "websocket"), ("origin", "null")]));
        assert!(!refused(Method::GET, &[SIGNED_IN, ("upgrade", "websocket"), ("origin", "http://localhost:3000")]));
    }

    #[test]
    fn two_origins_or_a_fetch_from_elsewhere_are_refused_whatever_else_is_said() {
        let ours = ("origin", "http://localhost:3000");
        assert!(refused(Method::POST, &[SIGNED_IN, ours, ("sec-fetch-site", "cross-site")]));
        assert!(refused(Method::POST, &[SIGNED_IN, ours, ("sec-fetch-site", "same-site")]));
        let mut headers = HeaderMap::new();
        headers.append(ORIGIN, HeaderValue::from_static("http://localhost:3000"));
        headers.append(ORIGIN, HeaderValue::from_static("https://evil.example"));
        let own = Origin::parse("http://localhost:3000").unwrap();
        assert!(from_our_own_page(&Method::POST, &headers, &own, SessionCookie::new(false)).is_err());
    }

    #[test]
    fn signing_in_from_another_sites_page_is_refused_and_from_a_program_is_not() {
        assert!(refused(Method::POST, &[("origin", "https://evil.example")]));
        assert!(refused(Method::POST, &[("sec-fetch-site", "cross-site")]));
        assert!(!refused(Method::POST, &[]));
    }

    #[test]
    fn a_token_is_proof_enough() {
        assert!(!refused(Method::POST, &[SIGNED_IN, ("authorization", "Bearer bkd_x"), ("origin", "null")]));
    }
}
