//! Columns that hold JSON, or one word of an enum.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// `what` names the column in the error.
pub(super) fn read<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Corrupt { what, source })
}

pub(super) fn read_optional<T: DeserializeOwned>(
    what: &'static str,
    text: Option<String>,
) -> Result<Option<T>, StoreError> {
    text.map(|text| read(what, &text)).transpose()
}

/// An enum that is one word in JSON.
pub(super) fn word<T: DeserializeOwned>(what: &'static str, text: String) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(text)).map_err(|source| StoreError::Corrupt { what, source })
}

pub(super) fn write<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Corrupt { what, source })
}
