//! What a person sees and does, in a real browser on a real portal.

mod environment;
mod journey;
mod order;
mod pages;
mod shop;
mod weight;
mod without_script;
