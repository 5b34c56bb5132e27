//! `leftovers`: what nobody owns and somebody pays for.

use std::io::{IsTerminal, Write};

use app::api::{Leftover, LeftoverKind, Operation};
use app::words::{count, dollars, left_out, nothing_left_over};

use super::client::Client;
use super::failure::Failure;
use super::output::{Output, clean, table, time};

pub async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let all: Vec<Leftover> = client.get(&["operator", "leftovers"], &[]).await?;
    let operation: Operation = client.get(&["operator"], &[]).await?;
    let silent = operation.provisioners.iter().filter(|one| one.trouble.is_some()).map(|one| one.name.as_str());
    let left_out = left_out(&silent.collect::<Vec<_>>());
    if let Some(left_out) = &left_out {
        writeln!(std::io::stderr(), "{}", clean(left_out))?;
    }
    output.result(&all, || match all.as_slice() {
        [] => nothing_left_over(left_out.as_ref()).to_owned(),
        all => table(
            &["ID", "WHAT", "PROVISIONER", "NOBODY'S SINCE", "A MONTH", "ENDED BY ITSELF"],
            &all.iter().map(row).collect::<Vec<_>>(),
        ),
    })
}

fn row(one: &Leftover) -> Vec<String> {
    let what = match (&one.about, one.kind) {
        (_, LeftoverKind::Environment) => format!(
            "environment with {}, {}",
            count(one.servers, LeftoverKind::Server.as_str()),
            count(one.volumes, LeftoverKind::Volume.as_str())
        ),
        (Some(about), kind) if kind != LeftoverKind::Network => format!("{}, {about}", kind.as_str()),
        (_, kind) => kind.as_str().to_owned(),
    };
    let or_not = |said: Option<String>| said.unwrap_or_else(|| "-".to_owned());
    vec![
        one.id.clone(),
        what,
        one.provisioner.clone(),
        or_not(one.first_seen_at.or(one.deleted_at).map(time)),
        or_not(one.monthly_cents.map(dollars)),
        or_not(one.ends_at.map(time)),
    ]
}

pub async fn remove(client: &Client, id: &str, yes: bool, output: Output) -> Result<(), Failure> {
    let all: Vec<Leftover> = client.get(&["operator", "leftovers"], &[]).await?;
    let found = all.into_iter().find(|one| one.id == id);
    let found = found.ok_or_else(|| {
        Failure::usage(format!("nothing that nobody owns is called {}", clean(id)))
            .detail("`bookend leftovers` lists what is.".to_owned())
    })?;
    if !yes {
        confirm(&found)?;
    }
    client.delete(&["operator", "leftovers", &found.provisioner, &found.id], &[("typed", &found.id)]).await?;
    output.result(&found, || format!("{}: removed, or on its way out", clean(&found.id)))
}

/// Has the id typed; only a person at a terminal can be asked.
fn confirm(found: &Leftover) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "{} was not removed: nobody can be asked, standard input is no terminal",
            clean(&found.id)
        ))
        .detail("Give --yes to remove it without asking."));
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "This removes the {} {} for ever.\nType its id: ", found.kind.as_str(), clean(&found.id))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim() == found.id {
        true => Ok(()),
        false => Err(Failure::local(format!("{} was not removed: that was not its id", clean(&found.id)))),
    }
}
