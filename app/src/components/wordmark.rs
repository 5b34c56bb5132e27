use leptos::prelude::*;

/// The mark (two bookends and the books between them) and the name.
pub fn wordmark() -> impl IntoView + use<> {
    view! {
        <svg class="brand__mark" viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="8" fill="currentColor"></rect>
            <path class="brand__shelf" d="M7 8v16h18V8" fill="none"></path>
            <path class="brand__books" d="M13 12v8M19 10v10" fill="none"></path>
        </svg>
        <span class="brand__name">"Bookend"</span>
    }
}
