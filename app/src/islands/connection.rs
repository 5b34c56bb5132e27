use leptos::prelude::*;

use crate::live::Connection;

/// Says when the page is not current. A page that is needs no words.
pub fn connection_note(connection: ReadSignal<Connection>) -> impl IntoView {
    view! {
        <p class="connection" role="status" data-connection=move || match connection.get() {
            Connection::Opening => "opening",
            Connection::Live => "live",
            Connection::Lost => "lost",
        }>
            {move || match connection.get() {
                Connection::Opening => "",
                Connection::Live => "Live",
                Connection::Lost => "Connection lost. Trying again…",
            }}
        </p>
    }
}

/// What to do when reading again was refused: a session that ended leads to signing in (and back here); anything else
/// passes or is said by the connection note.
pub fn on_refusal(error: &crate::api::ApiError) {
    #[cfg(feature = "hydrate")]
    if error.status == 401 {
        let _ = window().location().reload();
    }
    #[cfg(not(feature = "hydrate"))]
    let _ = error;
}
