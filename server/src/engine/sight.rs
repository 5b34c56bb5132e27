//! Which places cannot be seen at the moment. Whoever looks at one that does not answer is kept busy until it gives up, and
//! workers are few: one at a time tries again, rarer and rarer, and all others wait without one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Between tries, milliseconds; doubles with each.
const FIRST_PAUSE_MS: i64 = 3_000;
const LONGEST_PAUSE_MS: i64 = 60_000;

struct Blind {
    why: String,
    /// Nobody tries before.
    until: i64,
    pause: i64,
}

/// By the names of provisioners; those that answered last are not in it.
#[derive(Default)]
pub struct Sight(Mutex<BTreeMap<String, Blind>>);

impl Sight {
    /// Whether to look there now. Whoever is told to is the only one for a while.
    ///
    /// # Errors
    /// Why the last one saw nothing, and when to ask again.
    pub fn may_look(&self, provisioner: &str, now: i64) -> Result<(), (String, i64)> {
        match self.lock().get_mut(provisioner) {
            Some(blind) if now < blind.until => Err((blind.why.clone(), blind.until)),
            Some(blind) => {
                blind.pause = (blind.pause * 2).min(LONGEST_PAUSE_MS);
                blind.until = now + blind.pause;
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub fn saw(&self, provisioner: &str) {
        self.lock().remove(provisioner);
    }

    /// Says when to ask again.
    pub fn saw_nothing(&self, provisioner: &str, why: String, now: i64) -> i64 {
        let mut all = self.lock();
        let begins = || Blind { why: String::new(), until: now + FIRST_PAUSE_MS, pause: FIRST_PAUSE_MS };
        let blind = all.entry(provisioner.to_owned()).or_insert_with(begins);
        blind.why = why;
        if now >= blind.until {
            blind.until = now + blind.pause;
        }
        blind.until
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Blind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_who_wait_for_a_place_that_does_not_answer_one_tries_again_rarer_and_rarer() {
        let sight = Sight::default();
        assert_eq!(sight.may_look("ireland", 0), Ok(()));
        assert_eq!(sight.may_look("ireland", 0), Ok(()), "as long as nobody knows");
        let first = sight.saw_nothing("ireland", "no answer".to_owned(), 1_000);
        assert_eq!(sight.saw_nothing("ireland", "no answer".to_owned(), 1_500), first, "both looked at the same time");
        assert_eq!(sight.may_look("ireland", first - 1), Err(("no answer".to_owned(), first)));
        assert_eq!(sight.may_look("frankfurt", first - 1), Ok(()));

        assert_eq!(sight.may_look("ireland", first), Ok(()), "somebody has to try");
        let meanwhile = sight.may_look("ireland", first + 1).expect_err("one at a time").1;
        let second = sight.saw_nothing("ireland", "no answer".to_owned(), meanwhile);
        assert!(second - meanwhile > first - 1_000, "{second} after {meanwhile}");
        assert_eq!(sight.may_look("ireland", second), Ok(()));
        sight.saw("ireland");
        assert_eq!((sight.may_look("ireland", second), sight.may_look("ireland", second)), (Ok(()), Ok(())));
    }
}
