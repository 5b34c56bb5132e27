//! How a session travels between browser and portal: one cookie, the same whoever sets it (REST or a form).

use super::SessionStarted;

/// The session cookie of this portal. Host-only, out of reach of scripts, never sent along by other sites' requests
/// except when a person follows a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionCookie {
    secure: bool,
}

impl SessionCookie {
    /// `secure`: people reach the portal over https. Then the name gains the `__Host-` prefix, so that no other host of the
    /// same domain can plant one (RFC 6265bis, section 4.1.3.2).
    pub fn new(secure: bool) -> Self {
        Self { secure }
    }

    pub fn name(self) -> &'static str {
        if self.secure { "__Host-bookend_session" } else { "bookend_session" }
    }

    /// The `Set-Cookie` value that begins the session; `now` in Unix milliseconds.
    pub fn set(self, session: &SessionStarted, now: i64) -> String {
        let seconds = (session.expires_at - now).max(0) / 1000;
        self.value(&session.secret, seconds)
    }

    /// The `Set-Cookie` value that ends it in the browser.
    pub fn clear(self) -> String {
        self.value("", 0)
    }

    /// The session's secret out of a `Cookie` header.
    pub fn read(self, header: &str) -> Option<&str> {
        header
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.name())
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty())
    }

    /// The session's secret out of a request's headers.
    pub fn read_headers(self, headers: &axum::http::HeaderMap) -> Option<&str> {
        let lines = headers.get_all(axum::http::header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        lines.filter_map(|line| self.read(line)).next()
    }

    fn value(self, secret: &str, seconds: i64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_back_among_other_cookies() {
        let cookie = SessionCookie::new(false);
        let started = SessionStarted { secret: "s3cret".into(), expires_at: 61_000 };
        assert_eq!(cookie.set(&started, 1_000), "bookend_session=s3cret; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        assert_eq!(cookie.read("theme=dark; bookend_session=s3cret; x=y"), Some("s3cret"));
        assert_eq!(cookie.read("theme=dark; xbookend_session=s3cret"), None);
        assert_eq!(cookie.read("bookend_session="), None);
    }

    #[test]
    fn over_https_the_cookie_is_bound_to_this_very_host() {
        let cookie = SessionCookie::new(true);
        assert!(cookie.clear().starts_with("__Host-bookend_session=; Path=/; Max-Age=0;"));
        assert!(cookie.clear().ends_with("; Secure"));
        assert!(!cookie.clear().contains("Domain"));
        assert_eq!(cookie.read("bookend_session=planted"), None);
    }
}
