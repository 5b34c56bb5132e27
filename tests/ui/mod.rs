//! What a person sees and does, in a real browser on a real portal.

mod journey;
mod pages;
mod weight;
mod without_script;
