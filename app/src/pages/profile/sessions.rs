//! Where I am signed in, and the way to end it.

use leptos::either::Either;
use leptos::prelude::*;

use crate::api::SessionView;
use crate::components::{icon, moment};

pub(super) fn sessions(now: Signal<i64>, sessions: Vec<SessionView>) -> impl IntoView {
    let others = sessions.iter().filter(|session| !session.current).count();
    view! {
        <section class="card" aria-labelledby="sessions">
            <h2 id="sessions">"Where you are signed in"</h2>
            <ul class="list" role="list">{sessions.into_iter().map(|one| session(now, one)).collect::<Vec<_>>()}</ul>
            {(others > 1).then(|| view! {
                <form method="post" action="/profile/sessions">
                    <button class="button" data-kind="danger" type="submit" name="end" value="others">
                        {icon("log-out")}"End all others"
                    </button>
                </form>
            })}
        </section>
    }
}

fn session(now: Signal<i64>, session: SessionView) -> impl IntoView {
    let name = session.browser.unwrap_or_else(|| "An unknown browser".to_owned());
    let label = format!("End {name}");
    let end = if session.current {
        Either::Left(view! {
            <form method="post" action="/sign-out">
                <button class="button" data-kind="plain" data-size="small" type="submit">"Sign out"</button>
            </form>
        })
    } else {
        Either::Right(view! {
            <form method="post" action="/profile/sessions">
                <button class="button" data-kind="danger" data-size="small" type="submit" name="end" value=session.id aria-label=label>
                    "End"
                </button>
            </form>
        })
    };
    view! {
        <li class="list__item">
            <div>
                <p class="list__name">
                    {icon("monitor")}<span dir="auto">{name}</span>
                    {session.current.then(|| view! { <span class="tag">"this one"</span> })}
                </p>
                <p class="list__more">
                    "Begun "{moment(now, session.begun_at)}
                    {session.address.map(|address| view! { " from "<bdi>{address}</bdi> })}
                    " · last seen "{moment(now, session.last_seen_at)}
                </p>
            </div>
            {end}
        </li>
    }
}
