//! The cookies that keep the theme and how lists look. The session's is [`SessionCookie`](crate::portal::SessionCookie).

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

use super::{PortalSettings, Theme};

pub(super) const THEME_COOKIE: &str = "bookend_theme";
pub(super) const LOOK_COOKIE: &str = "bookend_list";

const YEAR_SECONDS: u32 = 365 * 24 * 3600;

/// The first cookie of that name.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    lines(headers)
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// The readable `Cookie` headers.
pub(super) fn lines(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok())
}

/// `Set-Cookie` that keeps the theme; following the system needs no cookie.
pub(crate) fn theme_chosen(settings: &PortalSettings, theme: Theme) -> String {
    let max_age = if theme == Theme::System { 0 } else { YEAR_SECONDS };
    let secure = if settings.secure_cookies { "; Secure" } else { "" };
    format!("{THEME_COOKIE}={}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}", theme.as_str())
}

/// `Set-Cookie` that keeps how lists look; `look` is a word of ours.
pub(crate) fn look_chosen(settings: &PortalSettings, look: &str) -> String {
    let secure = if settings.secure_cookies { "; Secure" } else { "" };
    format!("{LOOK_COOKIE}={look}; Path=/; Max-Age={YEAR_SECONDS}; HttpOnly; SameSite=Lax{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_cookie_is_found_among_others_and_never_by_part_of_its_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("x_bookend_theme=light; a=b"));
        headers.append(COOKIE, HeaderValue::from_static("bookend_theme=dark"));
        assert_eq!(cookie(&headers, THEME_COOKIE), Some("dark"));
        assert_eq!(cookie(&headers, "theme"), None);
    }

    #[test]
    fn following_the_system_forgets_the_theme() {
        let settings = PortalSettings::default();
        assert_eq!(
            theme_chosen(&settings, Theme::Dark),
            "bookend_theme=dark; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"
        );
        assert!(theme_chosen(&settings, Theme::System).contains("Max-Age=0"));
    }
}
