//! Who did what: written in the transaction that does it, never changed, never with a secret in it.

use serde_json::Value;

use super::{StoreError, Tx};

#[derive(Clone, Debug)]
pub struct AuditEvent<'a> {
    pub id: &'a str,
    pub team_id: Option<&'a str>,
    pub at: i64,
    /// Sign-in name, or what acted instead (`command line`).
    pub actor: &'a str,
    /// Stable word: `sign_in`, `order`, `park`.
    pub action: &'a str,
    /// What it was done to: a name people know.
    pub target: &'a str,
    pub detail: Value,
}

impl Tx {
    /// Adds one audit event.
    pub async fn audit(&mut self, event: &AuditEvent<'_>) -> Result<(), StoreError> {
        sqlx::query(
            "insert into audit_event (id, team_id, at, actor, action, target, detail) values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(event.id)
        .bind(event.team_id)
        .bind(event.at)
        .bind(event.actor)
        .bind(event.action)
        .bind(event.target)
        .bind(event.detail.to_string())
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
