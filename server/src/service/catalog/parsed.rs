//! Stored versions, parsed once: a version is immutable, so is what it parses to.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::Offered;
use crate::domain::template::{self, Template};
use crate::store::{Store, StoreError, TemplateRow, VersionRow};

/// More than any catalog holds; beyond it everything is forgotten and parsed again as it is asked for.
const MOST: usize = 5_000;

type Parsed = Result<Arc<Template>, String>;

/// Version row id → what it parses to.
static PARSED: LazyLock<Mutex<HashMap<String, Parsed>>> = LazyLock::new(Mutex::default);

/// The version on offer; `None` when there is none. A version that an earlier Bookend found good and this one cannot read
/// comes back as its error.
pub async fn offered(store: &Store, row: &TemplateRow) -> Result<Option<Result<Offered, String>>, StoreError> {
    let (Some(version_id), Some(version)) = (&row.version_id, &row.version) else { return Ok(None) };
    let parsed = match known(version_id) {
        Some(parsed) => parsed,
        None => of(&store.template_version(version_id).await?),
    };
    let offered = |template| Offered { version_id: version_id.clone(), version: version.clone(), template };
    Ok(Some(parsed.map(offered)))
}

pub fn of(version: &VersionRow) -> Parsed {
    if let Some(parsed) = known(&version.id) {
        return parsed;
    }
    let parsed = template::read(&version.source)
        .map(Arc::new)
        .map_err(|problems| format!("version {} can no longer be read by this Bookend:\n{problems}", version.version));
    let mut kept = PARSED.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= MOST {
        kept.clear();
    }
    kept.insert(version.id.clone(), parsed.clone());
    parsed
}

fn known(version_id: &str) -> Option<Parsed> {
    PARSED.lock().unwrap_or_else(PoisonError::into_inner).get(version_id).cloned()
}
