//! The two cookies of the site: who is signed in, and which theme they like.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

use super::{PortalSettings, Theme};
use crate::portal::SessionStarted;

/// Holds the session's secret. Read by the portal's HTTP layer to find out who asks.
pub const SESSION_COOKIE: &str = "bookend_session";
pub(super) const THEME_COOKIE: &str = "bookend_theme";

const YEAR_SECONDS: i64 = 365 * 24 * 3600;

/// The first cookie of that name.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

fn set(settings: &PortalSettings, name: &str, value: &str, max_age_seconds: i64) -> String {
    let secure = if settings.secure_cookies { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={max_age_seconds}; HttpOnly; SameSite=Lax{secure}")
}

/// `Set-Cookie` that begins the session in this browser.
pub(crate) fn session_begins(settings: &PortalSettings, session: &SessionStarted, now: i64) -> String {
    set(settings, SESSION_COOKIE, &session.secret, ((session.expires_at - now) / 1000).max(0))
}

/// `Set-Cookie` that ends it.
pub(crate) fn session_ends(settings: &PortalSettings) -> String {
    set(settings, SESSION_COOKIE, "", 0)
}

/// `Set-Cookie` that keeps the theme; following the system needs no cookie.
pub(crate) fn theme_chosen(settings: &PortalSettings, theme: Theme) -> String {
    let max_age = if theme == Theme::System { 0 } else { YEAR_SECONDS };
    set(settings, THEME_COOKIE, theme.as_str(), max_age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_cookie_is_found_among_others_and_never_by_part_of_its_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("x_bookend_session=no; a=b"));
        headers.append(COOKIE, HeaderValue::from_static("bookend_session=yes"));
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("yes"));
        assert_eq!(cookie(&headers, "session"), None);
    }

    #[test]
    fn the_session_cookie_is_out_of_reach_of_script_and_of_other_sites() {
        let session = SessionStarted { secret: "s".into(), expires_at: 61_000 };
        let plain = session_begins(&PortalSettings::default(), &session, 1_000);
        assert_eq!(plain, "bookend_session=s; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        let secure = PortalSettings { secure_cookies: true, ..Default::default() };
        assert!(session_begins(&secure, &session, 1_000).ends_with("; Secure"));
        assert!(session_ends(&secure).starts_with("bookend_session=; Path=/; Max-Age=0;"));
    }
}
