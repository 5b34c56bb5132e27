//! Services and health checks while they run.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::process::{self, Process};
use super::{Server, checks};
use crate::api::{Check, Config, Failure, Restart, Service};

const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A service that was started again counts as up after this time, and its backoff begins anew after a longer one.
const STEADY: Duration = Duration::from_secs(2);
const SETTLED: Duration = Duration::from_secs(10);
/// A service that ends this often in a row before the server was ever healthy has failed.
const PATIENCE: u32 = 5;
/// The shortest wait between two probes of something that has never answered.
const QUICK_PROBE: Duration = Duration::from_millis(5);
const FAILURE_LINES: usize = 20;

/// Runs one service until it is cancelled, then stops it.
pub(super) async fn service(server: Arc<Server>, config: Arc<Config>, index: usize, cancel: CancellationToken) {
    let service = &config.services[index];
    let mut failures_in_row = 0;
    let mut backoff = FIRST_BACKOFF;
    let mut again = false;
    loop {
        server.frost.thawed().await;
        let started = Instant::now();
        let ended = match start(&server, &config, service) {
            Ok(mut process) => {
                server.board.update(|facts| {
                    let fact = &mut facts.services[index];
                    fact.status.running = true;
                    fact.good = !again;
                });
                let steady = async {
                    sleep_until(started + STEADY).await;
                    server.board.update(|facts| facts.services[index].good = true);
                    std::future::pending::<()>().await
                };
                let status = tokio::select! {
                    status = process.wait() => status,
                    () = steady => unreachable!("waits for ever"),
                    () = cancel.cancelled() => {
                        process.stop(Duration::from_millis(service.stop_timeout_ms)).await;
                        server.board.update(|facts| facts.services[index].status.running = false);
                        return;
                    }
                };
                // What its leader left in the group must not meet the next start.
                process.kill();
                status.map(|status| (process::describe(status), status.success()))
            }
            Err(error) => Err(error),
        };
        let (ended, success) = ended.unwrap_or_else(|error| (format!("could not be started: {error}"), false));
        if started.elapsed() >= SETTLED {
            failures_in_row = 0;
            backoff = FIRST_BACKOFF;
        }
        failures_in_row += 1;
        let done = match service.restart {
            Restart::Always => false,
            Restart::OnFailure => success,
            Restart::Never => true,
        };
        let failure = service_failure(&server, service, &ended);
        server.logs.say(&format!("service {} {ended}", service.name));
        server.board.update(|facts| {
            if failures_in_row >= PATIENCE {
                facts.overdue.get_or_insert(failure.clone());
            }
            let fact = &mut facts.services[index];
            fact.status.running = false;
            fact.status.last_end = Some(ended);
            fact.good = done && success;
            fact.hopeless = done && !success;
            fact.failure = (!fact.good).then_some(failure);
            fact.status.restarts += u32::from(!done);
        });
        if done {
            return cancel.cancelled().await;
        }
        tokio::select! {
            () = sleep(backoff) => {}
            () = cancel.cancelled() => return,
        }
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
        again = true;
    }
}

fn start(server: &Arc<Server>, config: &Config, service: &Service) -> std::io::Result<Process> {
    let mut command = process::command("/bin/sh", &config.variables);
    command.arg("-c").arg(&service.command).envs(&service.variables);
    if let Some(directory) = &service.directory {
        if !std::path::Path::new(directory).is_dir() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                format!("there is no directory {directory}"),
            ));
        }
        command.current_dir(directory);
    }
    Process::start(command, &server.logs, &service.name)
}

fn service_failure(server: &Server, service: &Service, ended: &str) -> Failure {
    Failure {
        step: format!("service `{}`", service.name),
        cause: format!("`{}` {ended}", server.logs.mask(service.command.clone())),
        lines: server.logs.tail(&[&service.name], FAILURE_LINES),
        remedy: "Read the service's log; correct the template or the order's parameters, then retry.".into(),
    }
}

/// Probes until it is cancelled: quickly until the first success, then at its interval.
pub(super) async fn check(server: Arc<Server>, config: Arc<Config>, index: usize, cancel: CancellationToken) {
    let watch = async {
        let check = &config.checks[index];
        let interval = Duration::from_millis(check.interval_ms.max(100));
        let started = server.frost.clock();
        let mut succeeded = false;
        let mut failures_in_row = 0u32;
        loop {
            server.frost.thawed().await;
            let freezes = server.frost.count();
            let outcome = checks::probe(check, &config.variables).await.map_err(|message| server.logs.mask(message));
            if server.frost.count() != freezes {
                // What does not answer while it stands still is not at fault.
                continue;
            }
            let elapsed = server.frost.since(started);
            failures_in_row = if outcome.is_ok() { 0 } else { failures_in_row.saturating_add(1) };
            succeeded |= outcome.is_ok();
            let overdue = !succeeded && elapsed >= Duration::from_millis(check.start_timeout_ms);
            let failing = outcome.is_err() && (!succeeded || failures_in_row >= check.failures.max(1));
            let failure = outcome
                .as_ref()
                .err()
                .filter(|_| failing)
                .map(|message| check_failure(&server, &config, check, message));
            server.board.update(|facts| {
                let fact = &mut facts.checks[index];
                fact.status.passing = outcome.is_ok() || (fact.status.passing && !failing);
                fact.status.message = match outcome {
                    Ok(message) | Err(message) => message,
                };
                fact.failure.clone_from(&failure);
                if overdue {
                    facts.overdue = facts.overdue.take().or(failure);
                }
            });
            // Before the first success the wait is a small part of what it took so far: hardly late, hardly a load.
            let wait = if succeeded { interval } else { (elapsed / 8).clamp(QUICK_PROBE, interval) };
            sleep(wait).await;
        }
    };
    cancel.run_until_cancelled(watch).await;
}

fn check_failure(server: &Server, config: &Config, check: &Check, message: &str) -> Failure {
    let services: Vec<&str> = config.services.iter().map(|service| service.name.as_str()).collect();
    Failure {
        step: format!("health check `{}`", check.name),
        cause: message.to_owned(),
        lines: server.logs.tail(&services, FAILURE_LINES),
        remedy:
            "Read the services' log: what should answer does not. Give it more time in the template if it is only slow."
                .into(),
    }
}
