//! An Amazon EC2 to test against: the Query protocol with Amazon's own semantics, on a clock that tests own.
//!
//! What a client is tested with must not be kind to it. So this follows what Amazon documents and not what a client would
//! like: client tokens with `IdempotentParameterMismatch`, describes that see the past, transitions that take time, the
//! published token buckets, pages, tags on create, calls about many that happen for all or for none, capacity that is not
//! there, and replies that get lost. Each of these can be turned off ([`Rules::calm`]) and each is repeated by its seed.
//!
//! [`Cloud`] is the whole of it as a value: request and time in, answer out. [`Fake`] puts a clock (tokio's, which tests may
//! pause) and the faults around it, and [`serve`] HTTP around that; the program `fake-ec2` is this with options.
//!
//! Deliberately absent: signatures are read and not verified; networks other than the default VPC; launch templates, fleets,
//! elastic addresses. Actions and parameters that are not known here are refused as Amazon refuses what it does not know
//! (`InvalidAction`, `UnknownParameter`); only members deep inside of a known parameter are passed over.
//!
//! With [`Bodies`] a running instance is a real server on this machine.

mod bodies;
mod buckets;
mod client;
mod cloud;
mod fake;
mod faults;
mod iam;
mod model;
mod optimum;
mod problem;
mod query;
mod rules;
mod seed;
mod serve;
mod time;
mod xml;

pub use bodies::{Bodies, GATEWAY, LIFELINE, SURROUNDINGS, run_lifeline, run_surroundings};

pub use client::{Wire, carry};
pub use cloud::{
    Answer, Census, Cloud, Counts, Touch, TrueFastRestore, TrueGroup, TrueInstance, TrueInterface, TrueSnapshot,
    TrueVolume, Truth, Unknown,
};
pub use fake::{Fake, Lost};
pub use faults::{Fault, Faults};
pub use iam::NoPolicy;
pub use optimum::{Need, Optimum, optimum, optimum_of_start};
pub use problem::Problem;
pub use query::{Caller, Request};
pub use rules::{Account, Delays, Lag, Role, Rules, Spread};
pub use serve::serve;

/// Starts instances' bodies and stops them as time goes by. Ends when dropped.
pub async fn follow(fake: Fake) {
    loop {
        fake.follow().await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
