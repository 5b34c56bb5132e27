//! What the fake promises, told from a client's side.

mod bodies;
mod client;
mod instances;
mod network;
mod program;
mod storage;
mod trouble;
