//! `list`, `show`, and what can be asked of an environment.

use std::io::{IsTerminal, Write};

use app::api::{Action, EnvironmentChange, EnvironmentDetail, EnvironmentSummary, Page};
use serde_json::json;

use super::arguments::{ActionArguments, DeleteArguments, EditArguments, ListArguments};
use super::client::Client;
use super::failure::Failure;
use super::output::{Output, clean, table, time};
use super::wait::{self, Target};
use crate::domain::template::quantity::display_bytes;

/// All that match, however many pages they are.
pub async fn all(client: &Client, list: &ListArguments) -> Result<Vec<EnvironmentSummary>, Failure> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let filters = [("search", &list.search), ("state", &list.state), ("owner", &list.owner), ("cursor", &cursor)];
        let mut query = vec![("limit", "200")];
        query.extend(filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
        let page: Page<EnvironmentSummary> = client.get(&["environments"], &query).await?;
        items.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(items),
        }
    }
}

pub async fn list(client: &Client, list: ListArguments, output: Output) -> Result<(), Failure> {
    let items = all(client, &list).await?;
    output.result(&json!({ "items": items }), || {
        if items.is_empty() {
            return "No environments. `bookend catalog` lists what can be ordered.".into();
        }
        let rows: Vec<Vec<String>> = items
            .iter()
            .map(|item| {
                let next = item.next_event.as_ref().map(|next| format!("{} {}", next.action.as_str(), time(next.at)));
                vec![
                    item.name.clone(),
                    item.state.to_string(),
                    format!("{} {}", item.template, item.template_version),
                    format!("{}/{}", item.servers_ready, item.servers_total),
                    item.owner.clone(),
                    time(item.created_at),
                    next.unwrap_or_default(),
                ]
            })
            .collect();
        table(&["NAME", "STATE", "TEMPLATE", "SERVERS", "OWNER", "ORDERED", "NEXT"], &rows)
    })
}

pub async fn show(client: &Client, environment: &str, reveal: bool, output: Output) -> Result<(), Failure> {
    let detail: EnvironmentDetail = client.get(&["environments", environment], &[]).await?;
    output.result(&detail, || describe(client, &detail, reveal))
}

pub async fn act(client: &Client, action: Action, act: ActionArguments, output: Output) -> Result<(), Failure> {
    let path = ["environments", &act.environment, action.as_str()];
    let mut detail: EnvironmentDetail = client.post(&path, &json!({}), &[]).await?;
    if act.wait.wait {
        let target = match action {
            Action::Resume | Action::Restart => Target::Ready,
            Action::Park => Target::Parked,
            Action::Delete => Target::Deleted,
            Action::Retry | Action::Cancel | Action::Force => Target::Settled,
        };
        // By its id: the name of a deleted environment is free for another.
        let id = detail.summary.id.clone();
        match wait::until(client, &id, target, &act.wait, output).await? {
            Some(now) => detail = now,
            None => detail.summary.state = app::api::State::Deleted,
        }
    }
    output.result(&detail, || format!("{}: {}", clean(&detail.summary.name), detail.summary.state))
}

pub async fn edit(client: &Client, edit: EditArguments, output: Output) -> Result<(), Failure> {
    let EditArguments { environment, name, tags: added, untag, note } = edit;
    let mut change = EnvironmentChange { name, tags: None, note };
    if !added.is_empty() || !untag.is_empty() {
        let before: EnvironmentDetail = client.get(&["environments", &environment], &[]).await?;
        let mut tags = before.summary.tags;
        tags.extend(added);
        tags.retain(|tag| !untag.iter().any(|gone| gone.to_lowercase() == tag.to_lowercase()));
        change.tags = Some(tags);
    }
    let detail: EnvironmentDetail = client.patch(&["environments", &environment], &change).await?;
    output.result(&detail, || {
        let summary = &detail.summary;
        let tags = if summary.tags.is_empty() { "no tags".to_owned() } else { clean(&summary.tags.join(", ")) };
        format!("{}: {tags}", clean(&summary.name))
    })
}

pub async fn delete(client: &Client, delete: DeleteArguments, output: Output) -> Result<(), Failure> {
    if !delete.yes {
        confirm(client, &delete.action.environment).await?;
    }
    act(client, Action::Delete, delete.action, output).await
}

/// Has the name typed; only a person at a terminal can be asked.
async fn confirm(client: &Client, environment: &str) -> Result<(), Failure> {
    let detail: EnvironmentDetail = client.get(&["environments", environment], &[]).await?;
    let name = detail.summary.name;
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "“{name}” was not deleted: nobody can be asked, standard input is no terminal"
        ))
        .detail("Give --yes to delete without asking."));
    }
    let data = match detail.volumes.as_slice() {
        [] => "",
        _ => " What its volumes hold is kept for 14 days, for `bookend undelete`.",
    };
    let mut stderr = std::io::stderr();
    write!(stderr, "This deletes {}.{data}\nType its name to delete it: ", clean(&name))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() == name {
        return Ok(());
    }
    Err(Failure::local(format!("“{name}” was not deleted: that was not its name")))
}

fn describe(client: &Client, detail: &EnvironmentDetail, reveal: bool) -> String {
    let summary = &detail.summary;
    let mut text = format!("{}: {}\n", clean(&summary.name), summary.state);
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("  {label:12} {}\n", clean(value)));
        }
    };
    line("waiting for", summary.waiting_for.as_deref().unwrap_or_default());
    line("template", &format!("{} {}", summary.template, summary.template_version));
    line("owner", &summary.owner);
    line("tags", &summary.tags.join(", "));
    detail.note.lines().for_each(|note| line("note", note));
    line("ordered", &time(summary.created_at));
    if let Some(next) = &summary.next_event {
        line("next", &format!("{} at {}", next.action.as_str(), time(next.at)));
    }
    for (name, value) in &detail.parameters {
        line("parameter", &format!("{name} = {value}"));
    }
    if let Some(failure) = &detail.failure {
        line("failed at", &failure.step);
        line("because", &failure.cause);
        failure.lines.iter().for_each(|log| line("", &format!("| {log}")));
        line("to do", &failure.remedy);
    }
    for sentence in [&detail.park.keeps, &detail.park.costs, &detail.park.resumes] {
        line("parked", sentence.strip_prefix("Parked, ").unwrap_or(sentence));
    }
    let actions: Vec<&str> = detail.actions.iter().map(|action| action.as_str()).collect();
    line("possible", &actions.join(", "));
    let rows: Vec<Vec<String>> = detail
        .servers
        .iter()
        .map(|server| {
            let ports: Vec<String> = server.ports.iter().map(|port| format!("{} {}", port.port, port.title)).collect();
            let waiting = server.waiting_for.as_deref().map(|what| format!(": waiting for {what}")).unwrap_or_default();
            vec![
                server.name.clone(),
                format!("{}{waiting}", server.state),
                server.address.clone(),
                server.image.clone(),
                ports.join(", "),
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&table(&["SERVER", "STATE", "ADDRESS", "IMAGE", "PORTS"], &rows));
    if !detail.volumes.is_empty() {
        let rows: Vec<Vec<String>> = detail
            .volumes
            .iter()
            .map(|volume| {
                let standing = volume.standing.as_deref().map(|standing| format!(": {standing}")).unwrap_or_default();
                let on = format!("{}{standing}", volume.servers.join(", "));
                vec![volume.name.clone(), display_bytes(volume.size_bytes), on]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(&["VOLUME", "SIZE", "ON"], &rows));
    }
    for port in detail.servers.iter().flat_map(|server| &server.ports) {
        // The portal gives addresses of its own without its name.
        let url = client.base().join(&port.url).map_or_else(|_| port.url.clone(), |url| url.to_string());
        text.push_str(&format!("\n{}: {}", clean(&port.title), clean(&url)));
    }
    for output in &detail.outputs {
        let value = if output.sensitive && !reveal { "*** (--reveal shows it)" } else { &output.value };
        text.push_str(&format!("\n{}: {}", clean(&output.title), clean(value)));
    }
    text
}
