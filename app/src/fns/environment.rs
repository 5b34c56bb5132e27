use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;
use serde::{Deserialize, Serialize};

use super::encoding::Json;
use crate::api::{Action, ApiError, EnvironmentDetail, Page, TimelineEvent};

/// Events of the timeline on one page.
pub const TIMELINE_LENGTH: u32 = 30;

/// All that the environment page keeps current.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentNow {
    pub detail: EnvironmentDetail,
    pub timeline: Page<TimelineEvent>,
}

/// The environment and the newest part of its timeline, or the part after `cursor`.
#[server(prefix = "/api/ui", endpoint = "environment", input = GetUrl, output = Json)]
pub async fn read_environment(environment: String, cursor: Option<String>) -> Result<EnvironmentNow, ApiError> {
    let visit = crate::site::visit();
    super::told(super::environment_as_it_is(&visit, &environment, cursor.as_deref()).await)
}

/// Asks for an action.
#[server(prefix = "/api/ui", endpoint = "act", output = Json)]
pub async fn act(environment: String, action: Action) -> Result<EnvironmentDetail, ApiError> {
    let visit = crate::site::visit();
    super::told(visit.portal.act(&visit.actor, &environment, action).await)
}
