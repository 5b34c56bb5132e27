//! Changes as they happen, for as long as somebody looks.

use std::collections::HashMap;

use app::api::{ApiError, LiveEvent};
use app::portal::{Live, SignedIn};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::trouble::no_such;
use super::{Service, environments};
use crate::store::EnvironmentRecord;

/// Events on their way to somebody who reads slowly.
const AHEAD: usize = 256;

/// A server of this environment, by name or id.
///
/// # Errors
/// 404 that lists those there are.
pub(super) fn server_named<'a>(
    record: &'a EnvironmentRecord,
    server: &str,
) -> Result<&'a crate::domain::facts::Server, ApiError> {
    let servers = &record.facts.observed.servers;
    servers.iter().find(|known| known.name == server || known.id.as_str() == server).ok_or_else(|| {
        let known: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
        no_such("server", server).with_detail(format!("“{}” has {}.", record.summary.name, known.join(", ")))
    })
}

/// Changes of the person's team, or of one environment. A stream that cannot keep up ends: whoever reads it begins anew, and
/// reads everything again.
pub(super) async fn events(
    service: &Service,
    by: &SignedIn,
    environment: Option<&str>,
) -> Result<Live<LiveEvent>, ApiError> {
    let mut changes = service.bell.subscribe();
    let only = match environment {
        Some(environment) => Some(environments::find(service, by, environment).await?.summary.id),
        None => None,
    };
    let (store, team) = (service.store.clone(), by.team_id.clone());
    let (send, events) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        // Whether an environment is the team's; it never becomes another's.
        let mut known: HashMap<String, bool> = HashMap::new();
        loop {
            let event = tokio::select! {
                event = changes.recv() => event,
                () = send.closed() => return,
            };
            let Ok(event) = event else { return };
            let seen = match (&event, &only) {
                (LiveEvent::Catalog, only) => only.is_none(),
                (LiveEvent::Environment { id }, Some(only)) => id == only,
                (LiveEvent::Environment { id }, None) => match known.get(id) {
                    Some(seen) => *seen,
                    None => {
                        let Ok(owning_team) = store.team_of_environment(id).await else { return };
                        let seen = owning_team.as_deref() == Some(&team);
                        known.insert(id.clone(), seen);
                        seen
                    }
                },
            };
            if seen && send.send(event).await.is_err() {
                return;
            }
        }
    });
    Ok(Box::pin(ReceiverStream::new(events)))
}
