//! A portal in trouble: what it says, and that nothing is damaged.

mod damaged;
mod drift;
mod drills;
mod kept;
mod killed;
mod put_away;
pub mod relay;
mod start;
mod unusual;
