use leptos::prelude::*;

use super::connection::{connection_note, on_refusal};
use crate::api::{ApiError, EnvironmentSummary, Page};
use crate::components::row;
use crate::{ask, live};

/// The rows of the list, current without reload.
#[island]
pub fn EnvironmentListLive(
    initial: Page<EnvironmentSummary>,
    /// Where the same list is read again.
    address: String,
    /// Unix milliseconds on the server.
    now: i64,
) -> impl IntoView {
    let shown = RwSignal::new(initial.items);
    let now = live::ticking(now, 5);
    let reread = live::rereading(
        move || {
            let address = address.clone();
            async move { ask::environments(&address).await }
        },
        move |answer: Result<Page<EnvironmentSummary>, ApiError>| match answer {
            Ok(page) => shown.set(page.items),
            Err(error) => on_refusal(&error),
        },
    );
    let connection = live::listen("/api/v1/events".into(), move |_| reread());
    view! {
        {connection_note(connection)}
        <ul class="rows" role="list">
            {move || shown.get().into_iter().map(|environment| row(now, environment)).collect::<Vec<_>>()}
        </ul>
    }
}
