//! What a person sees instead of the page: what happened, what to do about it, and the way on.

use leptos::prelude::*;

use crate::api::ApiError;
use crate::components::icon;

/// What helps with one kind of trouble.
struct Help {
    picture: &'static str,
    advice: &'static str,
    /// Addresses and what they are called, the most helpful first. An empty address loads this one again.
    ways: &'static [(&'static str, &'static str)],
}

const CATALOG: (&str, &str) = ("/", "Go to the catalog");
const ENVIRONMENTS: (&str, &str) = ("/environments", "See your environments");
const AGAIN: (&str, &str) = ("", "Load again");

fn help(status: u16) -> Help {
    let (picture, advice, ways): (_, _, &[_]) = match status {
        403 => (
            "lock",
            "You are signed in, and this is not for you to see or do. An administrator can do it, or make you one.",
            &[CATALOG, ENVIRONMENTS],
        ),
        404 => (
            "book-open",
            "The address may be mistyped, or what it led to has been deleted. Things of other teams look the same from here.",
            &[ENVIRONMENTS, CATALOG],
        ),
        405 => (
            "info",
            "The address is right, but not for what was sent to it. Open the page itself, and do it from there.",
            &[AGAIN, CATALOG],
        ),
        408 => (
            "hourglass",
            "It took longer than anybody should wait. Trying once more often helps.",
            &[AGAIN, ENVIRONMENTS],
        ),
        409 => (
            "refresh-cw",
            "Things have changed since you looked, so nothing was done. Look again, then decide.",
            &[AGAIN, ENVIRONMENTS],
        ),
        413 => (
            "package-open",
            "What was sent is larger than a form should be. Go back, and shorten what you typed or pasted: it is still there.",
            &[CATALOG, ENVIRONMENTS],
        ),
        422 => {
            ("info", "Something in it needs another value. Go back, and try it another way.", &[ENVIRONMENTS, CATALOG])
        }
        429 => ("hourglass", "Wait a little, then try again. Nothing is lost.", &[AGAIN, CATALOG]),
        400..=499 => ("info", "Go back and try it another way.", &[CATALOG, ENVIRONMENTS]),
        503 => (
            "hourglass",
            "The portal is starting up or has much to do. Your servers run on meanwhile. Wait a moment, then load again.",
            &[AGAIN, ENVIRONMENTS],
        ),
        _ => (
            "triangle-alert",
            "This is our fault, and your servers are not touched by it. Loading again may help; if not, an administrator \
             finds the cause in the portal’s log.",
            &[AGAIN, CATALOG],
        ),
    };
    Help { picture, advice, ways }
}

pub(crate) fn error_content(error: ApiError) -> impl IntoView {
    let Help { picture, advice, ways } = help(error.status);
    let ways = ways.iter().enumerate().map(|(place, &(address, label))| {
        let kind = if place == 0 { "primary" } else { "plain" };
        view! { <a class="button" data-kind=kind href=address>{label}</a> }
    });
    view! {
        <section class="blank">
            <span class="blank__picture">{icon(picture)}</span>
            <p class="blank__code">{error.status}</p>
            <h1 dir="auto">{error.title}</h1>
            {error.detail.map(|detail| view! { <p class="blank__text" dir="auto">{detail}</p> })}
            <p class="blank__text">{advice}</p>
            <p class="blank__actions">{ways.collect::<Vec<_>>()}</p>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_has_its_own_advice_and_leads_on() {
        let statuses = [400, 403, 404, 405, 408, 409, 413, 422, 429, 500, 503];
        let mut advices: Vec<&str> = statuses.map(|status| help(status).advice).to_vec();
        advices.sort_unstable();
        advices.dedup();
        assert_eq!(advices.len(), statuses.len());
        for status in 400..=599 {
            assert!(!help(status).ways.is_empty(), "{status}");
        }
    }
}
