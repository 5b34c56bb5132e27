//! How past orders went, remembered for a moment: the catalog is read far more often than an order ends.

use std::collections::HashMap;
use std::sync::Arc;

use app::api::ApiError;
use tokio::sync::Mutex;

use crate::store::{Store, TemplateRecords};

/// For how long what was read is told again, milliseconds.
const KEPT: i64 = 10_000;

/// Team → when its records were read, and what they said.
#[derive(Default)]
pub struct Records(Mutex<HashMap<String, (i64, Arc<TemplateRecords>)>>);

impl Records {
    /// The records of a team's templates, at most [`KEPT`] old at `now`. Whoever asks while they are being read waits for
    /// the same answer.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn of_team(&self, store: &Store, team_id: &str, now: i64) -> Result<Arc<TemplateRecords>, ApiError> {
        let mut kept = self.0.lock().await;
        if let Some((read_at, records)) = kept.get(team_id)
            && (0..KEPT).contains(&(now - read_at))
        {
            return Ok(records.clone());
        }
        let records = Arc::new(store.template_records(team_id).await.map_err(super::failed)?);
        kept.insert(team_id.to_owned(), (now, records.clone()));
        Ok(records)
    }
}
