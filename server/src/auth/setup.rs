//! The link by which the first administrator comes into being: printed by the portal when it starts without one.

use super::secret;
use crate::store::{Store, StoreError};

/// A day: who starts a portal is there to use it.
const LINK_MS: i64 = 24 * 3600 * 1000;

/// The secret of a fresh single-use link; `None` when there is an administrator. Earlier links stay good until they end, so
/// that several portals on one database do not take each other's away.
///
/// # Errors
/// When the database could not be asked.
pub async fn first_administrator_link(store: &Store, now: i64) -> Result<Option<String>, StoreError> {
    if store.has_administrator().await? {
        return Ok(None);
    }
    let link = secret::generate();
    let mut tx = store.write().await?;
    tx.insert_setup_link(&secret::digest(link.as_bytes()), now, now + LINK_MS).await?;
    tx.commit().await?;
    Ok(Some(link))
}
