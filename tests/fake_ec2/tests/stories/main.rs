//! What the fake promises, told from a client's side.

mod client;
mod instances;
mod network;
mod program;
mod storage;
mod trouble;
