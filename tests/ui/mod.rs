//! What a person sees and does, in a real browser on a real portal.

mod journey;
mod pages;
mod without_script;
