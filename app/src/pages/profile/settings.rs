//! How Bookend looks and tells time to me, whether it notifies me, and my password.

use leptos::prelude::*;

use crate::components::{field, notify};
use crate::site::{Visit, theme_switch, zones};

pub(super) fn looks(visit: &Visit) -> impl IntoView + use<> {
    let own = visit.person().and_then(|person| person.time_zone.clone()).unwrap_or_default();
    let refused = visit.posted.as_ref().and_then(|posted| posted.fields.get("time_zone").cloned());
    let chosen = refused.unwrap_or(own);
    let note = "Exact times are told in it, wherever you point at one.";
    view! {
        <section class="card" aria-labelledby="looks">
            <h2 id="looks">"Look and time"</h2>
            <div class="setting"><span class="field__label">"Theme"</span>{theme_switch(visit)}</div>
            <form class="form" method="post" action="/profile/time-zone">
                {field("time_zone", "Time zone", Some(note), visit.message("time_zone"), view! {
                    <select id="time_zone" name="time_zone" aria-describedby="time_zone-note">
                        <option value="">"Like this browser"</option>
                        {zones().into_iter().map(|name| {
                            let selected = name == chosen;
                            let words = name.replace('_', " ");
                            view! { <option value=name selected=selected>{words}</option> }
                        }).collect::<Vec<_>>()}
                    </select>
                })}
                <div><button class="button" data-kind="plain" type="submit">"Keep"</button></div>
            </form>
        </section>
    }
}

pub(super) fn notifications() -> impl IntoView {
    view! {
        <section class="card" aria-labelledby="notifications">
            <h2 id="notifications">"Notifications"</h2>
            {notify("choice")}
            <noscript><p class="card__text">"They need script, which this browser does not run here."</p></noscript>
        </section>
    }
}

pub(super) fn password(visit: &Visit) -> impl IntoView + use<> {
    let name = visit.person().map(|person| person.name.clone()).unwrap_or_default();
    let note = "At least 10 characters. All your other sessions end.";
    view! {
        <section class="card" aria-labelledby="password">
            <h2 id="password">"Password"</h2>
            <form class="form" method="post" action="/profile/password">
                <input type="text" name="username" value=name autocomplete="username" readonly hidden/>
                {field("old", "Your password of now", None, visit.message("old"), view! {
                    <input
                        id="old" name="old" type="password" required maxlength="1000" autocomplete="current-password"
                        aria-describedby="old-note"
                    />
                })}
                {field("new", "A new one", Some(note), visit.message("new"), view! {
                    <input
                        id="new" name="new" type="password" required maxlength="1000" autocomplete="new-password"
                        aria-describedby="new-note"
                    />
                })}
                <div><button class="button" data-kind="plain" type="submit">"Change password"</button></div>
            </form>
        </section>
    }
}
