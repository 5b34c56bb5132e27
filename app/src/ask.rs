//! What islands ask the portal: the same REST API that scripts and the command line use. There is no second one for pages.
//!
//! Only a browser asks. On the server the islands' first values come with the page, and nothing here is ever awaited.

use serde::de::DeserializeOwned;

use crate::api::{Action, ApiError, EnvironmentDetail, Page, TimelineEvent};

/// One environment; by id, as its name may be another's tomorrow.
pub async fn environment(id: &str) -> Result<EnvironmentDetail, ApiError> {
    answer("GET", &format!("/api/v1/environments/{id}")).await
}

/// A part of a timeline, at the address the page made for it.
pub async fn timeline(address: &str) -> Result<Page<TimelineEvent>, ApiError> {
    answer("GET", address).await
}

/// Asks for an action; answers with the environment as it then is.
pub async fn act(id: &str, action: Action) -> Result<EnvironmentDetail, ApiError> {
    answer("POST", &format!("/api/v1/environments/{id}/{}", action.as_str())).await
}

async fn answer<T: DeserializeOwned>(method: &str, address: &str) -> Result<T, ApiError> {
    let (is_good, text) = text(method, address).await?;
    if is_good {
        return serde_json::from_str(&text).map_err(|_| ApiError::internal());
    }
    Err(serde_json::from_str(&text).unwrap_or_else(|_| ApiError::internal()))
}

/// Whether the portal answered well, and what it said.
#[cfg(feature = "hydrate")]
async fn text(method: &str, address: &str) -> Result<(bool, String), ApiError> {
    use wasm_bindgen::{JsCast, JsValue};
    use wasm_bindgen_futures::JsFuture;

    let ask = async {
        let how = web_sys::RequestInit::new();
        how.set_method(method);
        let response = JsFuture::from(leptos::prelude::window().fetch_with_str_and_init(address, &how)).await?;
        let response = response.unchecked_into::<web_sys::Response>();
        let text = JsFuture::from(response.text()?).await?;
        Ok::<_, JsValue>((response.ok(), text.as_string().unwrap_or_default()))
    };
    ask.await.map_err(|_| {
        ApiError::unavailable("The portal cannot be reached").with_detail("Check your connection; it is tried again.")
    })
}

#[cfg(not(feature = "hydrate"))]
async fn text(_method: &str, _address: &str) -> Result<(bool, String), ApiError> {
    std::future::pending().await
}
