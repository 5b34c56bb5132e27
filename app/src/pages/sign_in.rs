//! `/sign-in?next=…`: name and password.

use axum::response::Response;
use leptos::prelude::*;

use crate::components::{field, notice, wordmark};
use crate::site::{Page, Visit, answer, see_other};
use crate::words::Tone;

pub(crate) async fn sign_in(visit: Visit) -> Response {
    let next = local_path(visit.query.get("next").map(String::as_str));
    if visit.person().is_some() {
        return see_other(&next, None);
    }
    let (name, error) = (visit.typed("name"), visit.posted.as_ref().map(|posted| posted.error.clone()));
    let content = move || {
        view! {
            <section class="gate">
                <p class="gate__mark">{wordmark()}</p>
                <h1>"Sign in"</h1>
                {error.map(|error| notice(Tone::Bad, error.title, error.detail))}
                <form class="form" method="post">
                    {field("name", "Name", None, None, view! {
                        <input
                            id="name" name="name" type="text" value=name required autofocus
                            autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="100"
                        />
                    })}
                    {field("password", "Password", None, None, view! {
                        <input id="password" name="password" type="password" required autocomplete="current-password" maxlength="1000"/>
                    })}
                    <button class="button" data-kind="primary" data-wide type="submit">"Sign in"</button>
                </form>
                <p class="gate__hint">
                    "Nobody has an account yet? The portal printed a link for the first administrator when it started."
                </p>
            </section>
        }
    };
    answer(&visit, Ok(Page::new("Sign in", content)))
}

/// Where to go after signing in: a path of this site, or its first page. Browsers read `//host` and `/\host` as another
/// site and drop tabs and line ends from addresses, so only plain printable paths pass.
pub(crate) fn local_path(wanted: Option<&str>) -> String {
    let plain = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && !path.contains('\\')
            && path.bytes().all(|byte| byte.is_ascii_graphic())
            && !path.starts_with("/sign-")
    };
    wanted.filter(plain).unwrap_or("/").to_string()
}

#[cfg(test)]
mod tests {
    use super::local_path;

    #[test]
    fn after_signing_in_nobody_is_led_to_another_site() {
        let tricks = [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "",
            "evil",
            "/a\r\nSet-Cookie: x",
        ];
        for trick in tricks {
            assert_eq!(local_path(Some(trick)), "/", "{trick:?}");
        }
        assert_eq!(local_path(None), "/");
        assert_eq!(local_path(Some("/environments/shop?tab=logs")), "/environments/shop?tab=logs");
    }
}
