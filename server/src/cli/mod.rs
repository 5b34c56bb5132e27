//! The command line: the client of a portal for people and scripts.
//!
//! The client stands on the REST API alone and knows nothing of the portal's insides; `serve`, `token create --user`,
//! `template` and `doctor` are the exceptions that run here. Guaranteed to scripts: results on standard output, everything else on
//! standard error; `--json` prints one document and errors as JSON; exit codes as `--help` lists them. Guaranteed to
//! people: names that come from elsewhere cannot move their cursor.

mod account;
mod arguments;
mod catalog;
mod client;
mod complete;
mod copy;
mod credentials;
mod doctor;
mod environments;
mod events;
mod exec;
mod failure;
mod forward;
mod leftovers;
mod logs;
mod order;
mod output;
mod repository;
mod serve;
mod snapshots;
mod template;
mod terminal;
mod wait;

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::Duration;

use app::api::Action;
use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

use self::arguments::{Command, CommandLine, DoctorCommand, LeftoversCommand, TemplateCommand, TokenCommand};
use self::client::Client;
use self::failure::Failure;
use self::output::Output;

/// What was interrupted gets this long to clear away what it began.
const CLEARED_AWAY: Duration = Duration::from_secs(1);

/// Runs what the process was called with.
pub fn run() -> ExitCode {
    CompleteEnv::with_factory(CommandLine::command).complete();
    let line = CommandLine::parse();
    let output = Output { json: line.json };
    if let Command::Serve(options) = line.command {
        return serve::run(*options);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(Failure::local(format!("no thread could be started: {error}"))),
    };
    let ended = runtime.block_on(dispatch(line, output));
    match &ended {
        // What was begun is cleared away.
        Err(failure) if failure.exit == failure::exit::INTERRUPTED => runtime.shutdown_timeout(CLEARED_AWAY),
        // Somebody may still be reading standard input; nobody waits for that.
        _ => runtime.shutdown_background(),
    }
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failure) => output.fail(failure),
    }
}

/// The exit code.
async fn dispatch(line: CommandLine, output: Output) -> Result<u8, Failure> {
    let client = || Client::new(line.url.as_deref());
    match line.command {
        // It has a runtime of its own, and has been run.
        Command::Serve(_) => {}
        Command::Completions { shell } => complete::script(&shell)?,
        Command::Login(login) => account::login(login, line.url.as_deref(), output).await?,
        Command::Leftovers { command: None } => leftovers::list(&client()?, output).await?,
        Command::Leftovers { command: Some(LeftoversCommand::Remove { id, yes }) } => {
            leftovers::remove(&client()?, &id, yes, output).await?;
        }
        Command::Token(TokenCommand::Create(create)) => match create.user.clone() {
            Some(user) => account::create_token_here(create, &user, output).await?,
            None => account::create_token(&client()?, create, output).await?,
        },
        Command::Token(TokenCommand::List) => account::list_tokens(&client()?, output).await?,
        Command::Token(TokenCommand::Revoke { token }) => account::revoke_token(&client()?, &token, output).await?,
        Command::Template(TemplateCommand::Lint { files }) => return template::lint(&files, output),
        Command::Template(TemplateCommand::Plan { file, set, set_file }) => {
            template::plan(&file, &set, &set_file, output)?;
        }
        Command::Template(TemplateCommand::Schema) => template::schema(output)?,
        Command::Doctor(DoctorCommand::Ec2(ec2)) => return doctor::ec2(&ec2, output).await,
        Command::Catalog { template: None } => catalog::list(&client()?, output).await?,
        Command::Catalog { template: Some(name) } => catalog::show(&client()?, &name, output).await?,
        Command::Order(order) => order::order(&client()?, order, output).await?,
        Command::List(list) => environments::list(&client()?, list, output).await?,
        Command::Show { environment, reveal } => environments::show(&client()?, &environment, reveal, output).await?,
        Command::Exec(exec) => return exec::exec(&client()?, exec).await,
        Command::Logs(logs) => logs::logs(&client()?, logs, output).await?,
        Command::Forward(forward) => forward::forward(&client()?, forward, output).await?,
        Command::Park(act) => environments::act(&client()?, Action::Park, act, output).await?,
        Command::Resume(act) => environments::act(&client()?, Action::Resume, act, output).await?,
        Command::Restart(act) => environments::act(&client()?, Action::Restart, act, output).await?,
        Command::Retry(act) => environments::act(&client()?, Action::Retry, act, output).await?,
        Command::Cancel(act) => environments::act(&client()?, Action::Cancel, act, output).await?,
        Command::Force(act) => environments::act(&client()?, Action::Force, act, output).await?,
        Command::Edit(edit) => environments::edit(&client()?, edit, output).await?,
        Command::Snapshot(command) => snapshots::snapshot(&client()?, command, output).await?,
        Command::Cp(arguments) => copy::copy(&client()?, arguments, output).await?,
        Command::Restore(restore) => snapshots::restore(&client()?, restore, output).await?,
        Command::Change(change) => order::change(&client()?, change, output).await?,
        Command::Clone(clone) => order::clone(&client()?, clone, output).await?,
        Command::Undelete(undelete) => snapshots::undelete(&client()?, undelete, output).await?,
        Command::Delete(delete) => environments::delete(&client()?, delete, output).await?,
    }
    Ok(0)
}

/// An error with its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(&format!(": {cause_text}"));
        }
        source = cause.source();
    }
    text
}
