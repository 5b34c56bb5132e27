//! Asking for one step until it shows: what to do depends on what became of asking before.

use provisioners::Step;

use super::{APPEAR_MS, Draft, Freeze, Gently, LONGEST_APPEAR_MS, MAX_CALLS, Request};
use crate::domain::facts::{Asked, Effect, Failure, Outcome};
use crate::domain::note::Note;

/// A step that is wanted and does not show yet.
pub(super) struct Wish<'a> {
    pub step: Step,
    pub generation: i64,
    pub asked: &'a Asked,
    /// "the private network", "web": who waits, and for what.
    pub what: String,
    /// It is seen to come about: what was accepted is waited for, however long it takes.
    pub under_way: bool,
    pub server: Option<&'a str>,
    pub after: Vec<usize>,
    pub gently: Option<Gently>,
    pub freeze: Vec<Freeze>,
    pub note: Option<Note>,
}

/// How far a wish is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Part of this plan's work, at this index.
    Requested(usize),
    /// Accepted before; it will show.
    Accepted,
    /// Neither; the draft says why.
    NotYet,
}

/// How long what was accepted may take to show, after so many calls.
fn patience(calls: i64) -> i64 {
    (APPEAR_MS << (calls - 1).clamp(0, 10)).min(LONGEST_APPEAR_MS)
}

impl Draft {
    /// Adds what this wish needs now: a request, a reason to wait, or a failure.
    pub(super) fn pursue(&mut self, wish: Wish<'_>) -> Progress {
        let now = self.now;
        let Some(latest) = &wish.asked.latest else { return self.request(wish, 0) };
        let asked_again_since = latest.finished_at.is_some_and(|finished| finished < self.desired_at);
        let rejected = wish.asked.rejected;
        match latest.outcome {
            // Nobody knows whether it was ever asked: ask, with the same token.
            Outcome::Recorded => self.request(wish, rejected),
            Outcome::Rejected if asked_again_since => self.request(wish, rejected),
            Outcome::Rejected => {
                let cause = latest.message.clone().unwrap_or_else(|| "it was refused without a reason".to_owned());
                self.refused(&wish, cause);
                Progress::NotYet
            }
            Outcome::Accepted if wish.under_way => self.accepted(wish, latest),
            _ if latest.tries >= MAX_CALLS => {
                let cause = match (&latest.message, latest.outcome) {
                    (Some(message), Outcome::Retryable | Outcome::Unknown) => message.clone(),
                    _ => format!("it was accepted {} times and never came about", latest.tries),
                };
                self.refused(&wish, cause);
                Progress::NotYet
            }
            Outcome::Retryable | Outcome::Unknown if now >= latest.retry_at => self.request(wish, rejected),
            Outcome::Retryable | Outcome::Unknown => {
                let message = latest.message.as_deref().unwrap_or("no answer");
                let text = format!("another try at {}: {message}", wish.what);
                self.wait(wish.server, text, latest.retry_at);
                Progress::NotYet
            }
            Outcome::Accepted => self.accepted(wish, latest),
        }
    }

    fn accepted(&mut self, wish: Wish<'_>, latest: &Effect) -> Progress {
        let until = latest.finished_at.unwrap_or(latest.recorded_at) + patience(latest.tries);
        if self.now >= until {
            let rejected = wish.asked.rejected;
            return self.request(wish, rejected);
        }
        self.wait(wish.server, wish.what, until);
        Progress::Accepted
    }

    /// As [`pursue`](Self::pursue), for what was accepted and then could not be had, for this reason: told at once, and asked for
    /// once more when a person asks again.
    pub(super) fn pursue_again(&mut self, wish: Wish<'_>, reason: &str) -> Progress {
        match wish.asked.accepted_at() {
            None => self.pursue(wish),
            Some(at) if at < self.desired_at => {
                let attempt = wish.asked.rejected;
                self.request(wish, attempt)
            }
            Some(_) => {
                self.refused(&wish, reason.to_owned());
                Progress::NotYet
            }
        }
    }

    fn request(&mut self, wish: Wish<'_>, attempt: i64) -> Progress {
        let Wish { step, generation, after, gently, freeze, note, .. } = wish;
        self.work.requests.push(Request { step, generation, attempt, after, gently, freeze, note });
        Progress::Requested(self.work.requests.len() - 1)
    }

    fn refused(&mut self, wish: &Wish<'_>, cause: String) {
        self.fail(Failure {
            server: wish.server.map(str::to_owned),
            step: wish.what.clone(),
            cause,
            lines: Vec::new(),
            remedy: "Put right what the cause names, then choose Retry.".to_owned(),
        });
    }
}
