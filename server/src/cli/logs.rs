//! `logs`.

use std::io::IsTerminal;
use std::time::Duration;

use app::api::LogLine;

use super::arguments::LogsArguments;
use super::client::Client;
use super::events::Events;
use super::failure::{Failure, exit};
use super::output::{Output, clean, for_terminal, print};

pub async fn logs(client: &Client, logs: LogsArguments, output: Output) -> Result<(), Failure> {
    let tail = logs.tail.to_string();
    let mut query = vec![("tail", tail.as_str())];
    let since = logs.since.map(|since| since.before(jiff::Timestamp::now()).to_string());
    for (name, value) in [
        ("server", logs.of.server.as_deref()),
        ("search", logs.search.as_deref()),
        ("level", logs.level.as_deref()),
        ("since", since.as_deref()),
    ] {
        query.extend(value.map(|value| (name, value)));
    }
    let path = ["environments", logs.of.environment.as_str(), "logs"];
    if logs.follow {
        query.push(("follow", "true"));
        return follow(client, &path, &query, &logs, output).await;
    }
    let lines: Vec<LogLine> = client.get(&path, &query).await?;
    if output.json {
        return output.result(&serde_json::json!({ "items": lines }), String::new);
    }
    for line in &lines {
        print(&shown(line, &logs))?;
    }
    Ok(())
}

/// With --json each line is a JSON document of its own. A portal that is restarted is waited for; lines that were shown
/// are not shown again.
async fn follow(
    client: &Client,
    path: &[&str],
    query: &[(&str, &str)],
    logs: &LogsArguments,
    output: Output,
) -> Result<(), Failure> {
    // Server → (generation, line) of the last one shown.
    let mut last: std::collections::BTreeMap<String, (u64, u64)> = Default::default();
    let mut pause = Duration::from_millis(200);
    let mut connected_once = false;
    loop {
        let stream = client.stream(path, query).await;
        let lost = match stream {
            Err(failure) if failure.exit == exit::UNREACHABLE && connected_once => true,
            Err(failure) => return Err(failure),
            Ok(response) => {
                connected_once = true;
                let mut events = Events::of(response);
                loop {
                    match events.next().await {
                        Ok(Some(event)) => {
                            pause = Duration::from_millis(200);
                            let Ok(line) = serde_json::from_str::<LogLine>(&event) else { continue };
                            let position = position(&line.position);
                            if last.get(&line.server).is_some_and(|shown| position <= *shown) {
                                continue;
                            }
                            last.insert(line.server.clone(), position);
                            match output.json {
                                true => print(&format!("{event}\n"))?,
                                false => print(&shown(&line, logs))?,
                            }
                        }
                        Ok(None) => break false,
                        Err(failure) if failure.exit == exit::UNREACHABLE => break true,
                        Err(failure) => return Err(failure),
                    }
                }
            }
        };
        if !lost && is_over(client, path[1]).await? {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// The stream ended: because there is nothing more to come, or because the portal is going down?
async fn is_over(client: &Client, environment: &str) -> Result<bool, Failure> {
    match client.get::<app::api::EnvironmentDetail>(&["environments", environment], &[]).await {
        Ok(detail) => Ok(detail.summary.state == app::api::State::Deleted),
        Err(failure) if failure.exit == exit::NOT_FOUND => Ok(true),
        Err(failure) if failure.exit == exit::UNREACHABLE => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// `GENERATION.SEQ`.
fn position(text: &str) -> (u64, u64) {
    let (generation, line) = text.split_once('.').unwrap_or((text, "0"));
    (generation.parse().unwrap_or_default(), line.parse().unwrap_or_default())
}

fn shown(line: &LogLine, logs: &LogsArguments) -> String {
    let text = if std::io::stdout().is_terminal() { for_terminal(&line.text) } else { line.text.clone() };
    let time = match logs.times {
        true => jiff::Timestamp::from_millisecond(line.at).map(|at| format!("{at:.3} ")).unwrap_or_default(),
        false => String::new(),
    };
    match logs.of.server {
        Some(_) => format!("{time}{}: {text}\n", clean(&line.source)),
        None => format!("{time}{}/{}: {text}\n", clean(&line.server), clean(&line.source)),
    }
}
