use leptos::prelude::*;

use crate::api::CatalogEntry;

/// Orders a template that asks nothing with one click: its defaults, under a made-up name. The same button pressed twice is
/// one order, because the form carries the order's own id.
pub fn quick_order(entry: &CatalogEntry) -> impl IntoView + use<> {
    view! {
        <form class="quick-order" method="post" action=format!("/catalog/{}", entry.name)>
            <input type="hidden" name="request_id" value=uuid::Uuid::now_v7().to_string() data-once=""/>
            <input type="hidden" name="version" value=entry.version.clone()/>
            <button class="button" data-kind="plain" data-size="small" type="submit" aria-label=format!("Order now: {}", entry.title)>
                "Order now"
            </button>
        </form>
    }
}
