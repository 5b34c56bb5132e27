//! What posting a form does, without any script: call the portal, then lead on, or show the same page again with
//! everything that was typed and what is wrong with it. One file per form.

mod act;
mod describe;
mod files;
mod many;
mod operator;
mod order;
mod people;
mod profile;
mod session;
mod snapshots;
mod theme;
mod tokens;

use std::future::poll_fn;

use crate::api::{ApiError, Work};
use crate::portal::Live;

pub(crate) use act::act;
pub(crate) use describe::describe;
pub(crate) use files::files;
pub(crate) use many::many;
pub(crate) use operator::operator;
pub(crate) use order::order;
pub(crate) use people::people;
pub(crate) use profile::{password, sessions, time_zone};
pub(crate) use session::{setup, sign_in, sign_out};
pub(crate) use snapshots::snapshots;
pub(crate) use theme::theme;
pub(crate) use tokens::tokens;

/// What comes of it in the end.
async fn outcome<T>(work: &mut Live<Work<T>>) -> Result<T, ApiError> {
    loop {
        match poll_fn(|context| work.as_mut().poll_next(context)).await {
            Some(Work::Going { .. }) => {}
            Some(Work::Done { result }) => return Ok(result),
            Some(Work::Failed { error }) => return Err(error),
            None => return Err(ApiError::internal()),
        }
    }
}
