//! Bookend's user interface and the one service interface it stands on.
//!
//! Built twice: for the portal with feature `ssr` (pages rendered on the server, complete without script) and for the
//! browser with feature `hydrate` (islands come alive). Contains no SQL and does no I/O of its own.
//!
//! Where things are: [`pages`] is what an address shows; [`forms`] is what posting to that same address does, without any
//! script; [`islands`] are the parts of pages that live on in the browser, and [`ask`] is what they ask the portal;
//! [`components`] and [`words`] are what all of them look and sound like; [`site`] ties it to an axum router.

// A page is one deeply nested view type; the compiler's default depth is for smaller ones.
#![recursion_limit = "256"]

pub mod api;
pub mod ask;
pub mod components;
pub mod islands;
pub mod live;
pub mod words;

#[cfg(feature = "ssr")]
mod forms;
#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
pub mod portal;
#[cfg(feature = "ssr")]
pub mod site;

/// Called by the browser once this module is loaded; the loader then wakes each island.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_islands();
}
