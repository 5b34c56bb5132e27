//! A person's catalog, remembered for a second: it is the page that is asked for most, and reading it takes two queries, a
//! look at every program that templates require, and a copy of everything they say of themselves.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use app::api::{ApiError, CatalogEntry};

/// For how long what was read is told again, milliseconds: no longer than a changed file takes to be noticed.
const KEPT: i64 = 1_000;

#[derive(Default)]
pub struct Catalogs(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Person → when it was read, and what it said.
    catalogs: HashMap<String, (i64, Arc<Vec<CatalogEntry>>)>,
    /// Grows whenever something is forgotten: what was read before is not kept.
    epoch: u64,
}

impl Catalogs {
    /// What `read` answers, or what it answered at most [`KEPT`] before `now`.
    ///
    /// # Errors
    /// Those of `read`; they are not kept.
    pub async fn of_person(
        &self,
        person_id: &str,
        now: i64,
        read: impl Future<Output = Result<Vec<CatalogEntry>, ApiError>>,
    ) -> Result<Arc<Vec<CatalogEntry>>, ApiError> {
        let is_fresh = |at: i64| (0..KEPT).contains(&(now - at));
        let epoch = {
            let known = self.known();
            if let Some((_, catalog)) = known.catalogs.get(person_id).filter(|(at, _)| is_fresh(*at)) {
                return Ok(catalog.clone());
            }
            known.epoch
        };
        let catalog = Arc::new(read.await?);
        let mut known = self.known();
        if known.epoch == epoch {
            known.catalogs.retain(|_, (at, _)| is_fresh(*at));
            known.catalogs.insert(person_id.to_owned(), (now, catalog.clone()));
        }
        Ok(catalog)
    }

    /// This person has ordered something, and looks for it there.
    pub fn forget(&self, person_id: &str) {
        let mut known = self.known();
        known.epoch += 1;
        known.catalogs.remove(person_id);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing is done under the lock that could leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it was read anew.
    async fn is_read(catalogs: &Catalogs, person: &str, now: i64) -> bool {
        let mut is_read = false;
        let read = async {
            is_read = true;
            Ok(Vec::new())
        };
        catalogs.of_person(person, now, read).await.unwrap();
        is_read
    }

    #[tokio::test]
    async fn a_catalog_is_told_again_for_a_second_to_the_same_person_unless_it_orders_something() {
        let catalogs = Catalogs::default();
        assert!(is_read(&catalogs, "ann", 5_000).await);
        assert!(!is_read(&catalogs, "ann", 5_999).await);
        assert!(is_read(&catalogs, "ben", 5_999).await, "somebody else's is another");
        assert!(is_read(&catalogs, "ann", 6_000).await);
        catalogs.forget("ann");
        assert!(is_read(&catalogs, "ann", 6_001).await);
    }

    #[tokio::test]
    async fn what_was_read_before_an_order_is_not_told_after_it() {
        let catalogs = Catalogs::default();
        let ordering_meanwhile = async {
            catalogs.forget("ann");
            Ok(Vec::new())
        };
        catalogs.of_person("ann", 1, ordering_meanwhile).await.unwrap();
        assert!(is_read(&catalogs, "ann", 2).await);
    }
}
