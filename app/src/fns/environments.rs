use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use super::encoding::Json;
use crate::api::{ApiError, EnvironmentQuery, EnvironmentSummary, Page};

/// One page of the list, read again.
#[server(prefix = "/api/ui", endpoint = "environments", input = GetUrl, output = Json)]
pub async fn read_environments(query: EnvironmentQuery) -> Result<Page<EnvironmentSummary>, ApiError> {
    let visit = crate::site::visit();
    super::told(visit.portal.environments(&visit.actor, query).await)
}
