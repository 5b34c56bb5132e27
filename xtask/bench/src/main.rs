//! What is called fast is measured here, on a release portal, against what a bare machine does in the same run.
//!
//! `bench order DIST ORDERS AT_ONCE` times orders ([`order`]); `bench page DIST SECONDS LIGHTHOUSE` times pages ([`page`]);
//! `bench park DIST ROUNDS` times park and resume ([`park`]); `bench click DIST ORDERS AT_ONCE` what we add to Amazon's own time
//! ([`click`]).
//! `cargo xtask bench` builds everything and hands over.

use std::path::Path;
use std::process::ExitCode;

mod api;
mod click;
mod order;
mod page;
mod park;
mod portal;
mod processes;
mod times;

type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["order", dist, orders, at_once] => match (orders.parse(), at_once.parse()) {
            (Ok(orders), Ok(at_once)) => order::bench(Path::new(dist), orders, at_once),
            _ => Err("ORDERS and AT_ONCE are numbers.".into()),
        },
        ["click", dist, orders, at_once] => match (orders.parse(), at_once.parse()) {
            (Ok(orders), Ok(at_once)) => click::bench(Path::new(dist), orders, at_once),
            _ => Err("ORDERS and AT_ONCE are numbers.".into()),
        },
        ["park", dist, rounds] => match rounds.parse() {
            Ok(rounds) => park::bench(Path::new(dist), rounds),
            Err(_) => Err("ROUNDS is a number.".into()),
        },
        ["page", dist, seconds, lighthouse] => match seconds.parse() {
            Ok(seconds) => page::bench(Path::new(dist), seconds, Path::new(lighthouse)),
            Err(_) => Err("SECONDS is a number.".into()),
        },
        _ => {
            eprintln!(
                "usage: bench order DIST ORDERS AT_ONCE | bench click DIST ORDERS AT_ONCE | bench park DIST ROUNDS | \
                 bench page DIST SECONDS LIGHTHOUSE"
            );
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
