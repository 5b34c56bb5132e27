//! Ways into a server: terminal, command, port.

use std::time::Duration;

use agent::api::ExecRequest;
use app::api::{ApiError, State};
use app::portal::{Channel, Duplex, SignedIn};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::live::server_named;
use super::trouble::failed;
use super::{Service, access, environments};
use crate::agents::OpenError;

/// Of a command with everything, in bytes: more than any shell takes is a mistake.
const LARGEST_COMMAND: usize = 32 * 1024;
/// Agents of servers that run come back within seconds.
const RETURN_PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn open(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    server: &str,
    channel: Channel,
) -> Result<Box<dyn Duplex>, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let server = server_named(&record, server)?;
    let channel = own_terminal(by, checked(channel)?);
    let what = match &channel {
        Channel::Exec { .. } => Some("exec"),
        Channel::Terminal { .. } => Some("terminal"),
        // One per connection of a browser: too many to be told, and not a way to do anything on the server.
        Channel::Port { .. } => None,
    };
    if record.summary.state == State::Ready {
        // It lost its connection a moment ago, as all have when a portal starts.
        service.hub.await_connection(&server.id, RETURN_PATIENCE).await;
    }
    let stream = service.hub.open(&server.id, channel).await.map_err(|error| {
        let at = format!("{}/{}", record.summary.name, server.name);
        match error {
            OpenError::NotConnected => unreachable_now(&at, record.summary.state),
            OpenError::Declined(why) => ApiError::conflict(format!("{at} declined")).with_detail(why),
            OpenError::Timeout | OpenError::Lost(_) => {
                ApiError::unavailable(format!("{at} did not answer")).with_detail("Try again in a moment.")
            }
        }
    })?;
    if let Some(what) = what {
        let audited = async {
            let mut tx = service.store.write().await?;
            let detail = json!({ "environment": record.summary.id, "server": server.name });
            service.audit(&mut tx, by, what, &record.summary.name, detail).await?;
            tx.commit().await
        };
        audited.await.map_err(failed)?;
    }
    Ok(stream)
}

/// Why nobody answers there, as far as the environment's state tells, and what helps.
fn unreachable_now(at: &str, state: State) -> ApiError {
    let (title, detail) = match state {
        State::Parked | State::Parking => ("is parked", "Resume its environment first; its data are kept."),
        State::Deleting | State::Deleted => ("is deleted", "Order a new environment."),
        State::Failed => ("is not running", "Its environment has failed: its page says why. Retry it first."),
        _ => ("cannot be reached now", "It is being started, or has just lost its connection; it comes by itself."),
    };
    ApiError::conflict(format!("{at} {title}")).with_detail(detail)
}

/// The channel as the agent may take it.
///
/// # Errors
/// 422 with what is wrong.
fn checked(channel: Channel) -> Result<Channel, ApiError> {
    match channel {
        Channel::Exec { request } => {
            let wrong = |message: String| ApiError::field("request", message);
            if request.len() > LARGEST_COMMAND {
                return Err(wrong(format!("is longer than {LARGEST_COMMAND} bytes")));
            }
            let exec: ExecRequest =
                serde_json::from_str(&request).map_err(|error| wrong(format!("is no command: {error}")))?;
            if exec.command.first().is_none_or(String::is_empty) {
                return Err(wrong("names no command".into()));
            }
            let variables = exec.variables.iter().flat_map(|(name, value)| [name, value]);
            if exec.command.iter().chain(&exec.directory).chain(variables).any(|text| text.contains('\0')) {
                return Err(wrong("has a NUL character".into()));
            }
            let name = |name: &String| name.is_empty() || name.contains('=');
            if exec.variables.keys().any(name) {
                return Err(wrong("has a variable without a name or with `=` in it".into()));
            }
            if exec.tty.is_some_and(|size| !is_a_size(size.cols, size.rows)) {
                return Err(wrong("has a terminal of no size, or of more than 1000 columns or rows".into()));
            }
            Ok(Channel::Exec { request: serde_json::to_string(&exec).map_err(|_| ApiError::internal())? })
        }
        Channel::Terminal { cols, rows, .. } if !is_a_size(cols, rows) => {
            Err(ApiError::field(if (1..=1000).contains(&cols) { "rows" } else { "cols" }, "is from 1 to 1000"))
        }
        Channel::Terminal { session, .. } if !agent::api::is_session_id(&session) => {
            Err(ApiError::field("session", agent::api::SESSION_ID_RULE))
        }
        Channel::Port { port: 0 } => Err(ApiError::field("port", "is from 1 to 65535")),
        fine => Ok(fine),
    }
}

/// Terminals are told apart by session id alone on the server: two people who choose the same id must not meet in one shell.
fn own_terminal(by: &SignedIn, channel: Channel) -> Channel {
    match channel {
        Channel::Terminal { session, cols, rows } => {
            let digest = Sha256::digest(format!("{}/{session}", by.person_id));
            let session = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            Channel::Terminal { session, cols, rows }
        }
        other => other,
    }
}

fn is_a_size(cols: u16, rows: u16) -> bool {
    (1..=1000).contains(&cols) && (1..=1000).contains(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(request: &str) -> Result<Channel, ApiError> {
        checked(Channel::Exec { request: request.into() })
    }

    #[test]
    fn only_a_whole_command_reaches_a_server() {
        assert!(
            exec(r#"{"command":["sh","-c","echo $(id); \"x\"\n"],"tty":null,"directory":null,"variables":{}}"#).is_ok()
        );
        for odd in [
            "",
            "[]",
            r#"{"command":[],"tty":null,"directory":null,"variables":{}}"#,
            r#"{"command":["a\u0000"],"tty":null,"directory":null,"variables":{}}"#,
            r#"{"command":["a"],"tty":null,"directory":"/\u0000","variables":{}}"#,
            r#"{"command":["a"],"tty":null,"directory":null,"variables":{"A=B":"c"}}"#,
            r#"{"command":["a"],"tty":{"cols":0,"rows":1},"directory":null,"variables":{}}"#,
        ] {
            assert_eq!(exec(odd).unwrap_err().fields[0].field, "request", "{odd}");
        }
    }

    #[test]
    fn two_people_with_the_same_session_id_get_terminals_of_their_own() {
        let session = |person: &str| {
            let by = SignedIn {
                time_zone: None,
                person_id: person.into(),
                name: "ada".into(),
                team_id: "t".into(),
                role: app::api::Role::User,
            };
            match own_terminal(&by, Channel::Terminal { session: "tab-1".into(), cols: 80, rows: 24 }) {
                Channel::Terminal { session, .. } => session,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(session("ada"), session("ada"));
        assert_ne!(session("ada"), session("bob"));
        assert!(agent::api::is_session_id(&session("ada")));
    }

    #[test]
    fn a_terminal_has_a_size_and_a_session_that_is_a_plain_word() {
        let terminal = |session: &str, cols| checked(Channel::Terminal { session: session.into(), cols, rows: 24 });
        assert!(terminal("tab-1", 80).is_ok());
        assert_eq!(terminal("tab-1", 0).unwrap_err().fields[0].field, "cols");
        assert_eq!(terminal("a&b=../c", 80).unwrap_err().fields[0].field, "session");
    }
}
