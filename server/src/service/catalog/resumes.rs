//! How long coming back took lately, or what else tells how long it takes, remembered for a moment: each look at an environment
//! tells it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use app::api::ApiError;

use crate::domain::parking::WayBack;
use crate::domain::progress::{half_within, usual_resume};
use crate::store::Store;

/// For how long what was found out is told again, milliseconds.
const KEPT: i64 = 10_000;
/// What is older tells nothing of today: 30 days, milliseconds.
const LATELY: i64 = 30 * 24 * 3_600_000;

#[derive(Default)]
pub struct Resumes(Mutex<Known>);

/// Team, template version and provisioner → when it was found out, and what.
type Known = HashMap<[String; 3], (i64, WayBack)>;

impl Resumes {
    /// Of the newest environments of a team, a template's version and a provisioner.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn usual(&self, store: &Store, made: (&str, &str, &str), now: i64) -> Result<WayBack, ApiError> {
        let (team, version, provisioner) = made;
        let key = [team, version, provisioner].map(str::to_owned);
        let is_fresh = |at: i64| (0..KEPT).contains(&(now - at));
        if let Some((_, usual)) = self.known().get(&key).filter(|(at, _)| is_fresh(*at)) {
            return Ok(*usual);
        }
        let turns = store.turns_of_version(team, version, provisioner, now - LATELY).await.map_err(super::failed)?;
        let usual = match usual_resume(&turns) {
            Some(took) => WayBack::Resumes(took),
            None => {
                let starts =
                    store.first_starts(team, version, provisioner, now - LATELY).await.map_err(super::failed)?;
                half_within(starts).map_or(WayBack::Nothing, WayBack::Orders)
            }
        };
        let mut known = self.known();
        known.retain(|_, (at, _)| is_fresh(*at));
        known.insert(key, (now, usual));
        Ok(usual)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing is done under the lock that could leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
