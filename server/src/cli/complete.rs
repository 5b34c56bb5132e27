//! Completions: commands from clap, names from the portal. Whatever goes wrong, nothing is proposed and nothing is said.

use std::ffi::OsStr;
use std::io::Write;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;

use super::arguments::{CommandLine, ListArguments};
use super::client::Client;
use super::failure::Failure;
use super::{catalog, environments as environment_list};

/// A shell waits for its answer at a keystroke.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Prints what makes the shell ask this program.
pub fn script(shell: &str) -> Result<(), Failure> {
    let program = std::env::current_exe().ok().and_then(|path| path.to_str().map(str::to_owned));
    let program = program.unwrap_or_else(|| "bookend".into());
    let shells = Shells::builtins();
    let completer =
        shells.completer(shell).ok_or_else(|| Failure::usage(format!("`{shell}` cannot be completed in")))?;
    let mut script = Vec::new();
    let name = CommandLine::command().get_name().to_owned();
    completer.write_registration("COMPLETE", &name, &name, &program, &mut script)?;
    std::io::stdout().write_all(&script)?;
    Ok(())
}

pub fn environments() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(async |client| {
            let environments = environment_list::all(client, &everything()).await?;
            Ok(environments.into_iter().map(|item| candidate(item.name, item.state.to_string())).collect())
        })
    })
}

pub fn templates() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(async |client| {
            let entries = catalog::entries(client).await?;
            Ok(entries.into_iter().map(|entry| candidate(entry.name, entry.title)).collect())
        })
    })
}

/// `ENV/SERVER`: environments first, then the servers of the one that stands there.
pub fn servers() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let Some(current) = current.to_str().map(str::to_owned) else { return Vec::new() };
        ask(async |client| {
            let mut found = Vec::new();
            let typed = current.split_once('/').map_or(current.as_str(), |(environment, _)| environment);
            for item in environment_list::all(client, &everything()).await? {
                if item.name == typed {
                    let detail: app::api::EnvironmentDetail = client.get(&["environments", &item.name], &[]).await?;
                    let servers = detail.servers.into_iter();
                    found.extend(
                        servers.map(|server| {
                            candidate(format!("{}/{}", item.name, server.name), server.state.to_string())
                        }),
                    );
                } else if item.name.starts_with(&current) {
                    found.push(candidate(format!("{}/", item.name), item.state.to_string()));
                }
            }
            found.retain(|candidate| candidate.get_value().to_str().is_some_and(|value| value.starts_with(&current)));
            Ok(found)
        })
    })
}

fn everything() -> ListArguments {
    ListArguments { search: None, state: None, owner: None }
}

fn candidate(value: String, help: String) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(help.into()))
}

fn ask(question: impl AsyncFnOnce(&Client) -> Result<Vec<CompletionCandidate>, Failure>) -> Vec<CompletionCandidate> {
    let url = std::env::var("BOOKEND_URL").ok().filter(|url| !url.is_empty());
    let Ok(client) = Client::new(url.as_deref()) else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, question(&client)).await });
    answer.ok().and_then(Result::ok).unwrap_or_default()
}
