use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::api::{ApiError, EnvironmentDetail};

/// One environment, read again.
#[server(prefix = "/api/ui", endpoint = "environment", input = GetUrl)]
pub async fn read_environment(environment: String) -> Result<EnvironmentDetail, ApiError> {
    let visit = crate::site::visit();
    super::told(visit.portal.environment(&visit.actor, &environment).await)
}
