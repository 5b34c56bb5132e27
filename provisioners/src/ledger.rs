//! What a provisioner has to remember so that it need not believe what it is shown: places like a cloud answer questions
//! about what was made with what they knew minutes ago. Whatever is to be asked for is written down here first, as it will be
//! asked for, and what came of it is written down next.
//!
//! Pages are a provisioner's own; who keeps them (the portal's database) looks at the environment and the key only. Writing
//! compares versions, so of two who change the same page one is told to read again.

use async_trait::async_trait;

use crate::EnvironmentId;

/// One thing remembered of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub environment: EnvironmentId,
    /// Unique in its environment.
    pub key: String,
    /// Grows with every change; the first is 1.
    pub version: i64,
    /// JSON.
    pub body: String,
}

/// A change of one page, from the version that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageChange {
    pub environment: EnvironmentId,
    pub key: String,
    /// The version it had when it was read; 0 when there was none.
    pub from: i64,
    /// `None` removes the page.
    pub body: Option<String>,
}

/// Why the ledger could not be read or written; nothing was changed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the ledger could not be used: {0}")]
pub struct LedgerError(pub String);

/// The pages of one provisioner, in a place that outlives every process.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// All pages of these environments.
    ///
    /// # Errors
    /// When they cannot be read now.
    async fn read(&self, environments: &[EnvironmentId]) -> Result<Vec<Page>, LedgerError>;

    /// What other provisioners that keep their pages in the same place remember of these environments, each one's for itself: two
    /// of them may have the same account and region, or this one may have had another name before.
    ///
    /// # Errors
    /// When they cannot be read now.
    async fn read_others(&self, environments: &[EnvironmentId]) -> Result<Vec<Vec<Page>>, LedgerError>;

    /// Environments that have any page.
    ///
    /// # Errors
    /// When they cannot be read now.
    async fn environments(&self) -> Result<Vec<EnvironmentId>, LedgerError>;

    /// Writes all of these durably, or none of them: `false` when one of the pages is not at the version it is changed from.
    ///
    /// # Errors
    /// When it is not known to have been written; reading tells.
    async fn write(&self, changes: &[PageChange]) -> Result<bool, LedgerError>;
}
