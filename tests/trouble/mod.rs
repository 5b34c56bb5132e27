//! A portal in trouble: what it says, and that nothing is damaged.

mod drift;
mod killed;
mod start;
