//! Something long that is done while somebody listens.

use serde::{Deserialize, Serialize};

use super::ApiError;

/// How far it has come. Sizes are bytes; what there is to do per second and what time is left follows from these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct WorkView {
    /// For how long it has been done, in milliseconds.
    pub passed_ms: u64,
    pub done_bytes: u64,
    /// 0 while it is not known.
    pub total_bytes: u64,
}

/// What happens meanwhile: any number of `going`, then one of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Work<T> {
    Going { progress: WorkView },
    Done { result: T },
    Failed { error: ApiError },
}
