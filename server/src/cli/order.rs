//! `order`, `clone` and `change`.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use app::api::{DataSource, EnvironmentDetail, EnvironmentSummary, OrderChange, OrderDraft, OrderRequest};

use super::arguments::{Assignment, ChangeArguments, CloneArguments, OrderArguments, WaitArguments};
use super::client::Client;
use super::failure::{Failure, exit};
use super::output::{Output, clean};
use super::wait::{self, Target};

/// For how long an order whose answer was lost is told again: a portal that restarts is back by then.
const TOLD_AGAIN_FOR: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

pub async fn order(client: &Client, order: OrderArguments, output: Output) -> Result<(), Failure> {
    let mut values = begin(client, &order).await?;
    values.extend(parameters(&order.set, &order.set_file)?);
    let OrderArguments { template, version, name, idempotency_key, wait, .. } = order;
    let request = OrderRequest { template, version, name, parameters: values, ..OrderRequest::default() };
    place(client, &request, idempotency_key, &wait, output).await
}

/// A new environment that begins with the data of another.
pub async fn clone(client: &Client, clone: CloneArguments, output: Output) -> Result<(), Failure> {
    let from: EnvironmentDetail = client.get(&["environments", &clone.environment], &[]).await?;
    let EnvironmentSummary { id, template, template_version, .. } = from.summary;
    let query = [("version", template_version.as_str()), ("from", id.as_str())];
    let draft: OrderDraft = client.get(&["catalog", &template, "draft"], &query).await?;
    let mut values = draft.values;
    values.extend(parameters(&clone.set, &clone.set_file)?);
    let request = OrderRequest {
        template,
        version: Some(template_version),
        name: clone.name,
        parameters: values,
        data: Some(DataSource { environment: id, snapshot: clone.snapshot, at: clone.at }),
        owner: clone.owner,
    };
    place(client, &request, clone.idempotency_key, &clone.wait, output).await
}

/// Another size or template version on the same volumes.
pub async fn change(client: &Client, change: ChangeArguments, output: Output) -> Result<(), Failure> {
    let path = ["environments", &change.environment, "order"];
    let parameters = parameters(&change.set, &change.set_file)?;
    let request = OrderChange { version: change.version, parameters };
    let mut detail: EnvironmentDetail = client.patch(&path, &request).await?;
    if change.wait.wait {
        let id = detail.summary.id.clone();
        if let Some(now) = wait::until(client, &id, Target::Settled, &change.wait, output).await? {
            detail = now;
        }
    }
    output.result(&detail, || {
        let EnvironmentSummary { name, state, template, template_version, .. } = &detail.summary;
        format!("{}: {state}, {} {}", clean(name), clean(template), clean(template_version))
    })
}

async fn place(
    client: &Client,
    request: &OrderRequest,
    key: Option<String>,
    wait: &WaitArguments,
    output: Output,
) -> Result<(), Failure> {
    let key = key.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let mut detail = submit(client, request, &key, output).await?;
    if wait.wait {
        output.progress(&format!("ordered {}", detail.summary.name));
        let id = detail.summary.id.clone();
        if let Some(now) = wait::until(client, &id, Target::Ready, wait, output).await? {
            detail = now;
        }
    }
    output.result(&detail, || format!("{}: {}", clean(&detail.summary.name), detail.summary.state))
}

/// An order whose answer was lost may have been taken, so it is told again under the same key, which makes no second one;
/// a portal that cannot be reached at all is said so at once.
async fn submit(
    client: &Client,
    request: &OrderRequest,
    key: &str,
    output: Output,
) -> Result<EnvironmentDetail, Failure> {
    let tell = async || client.post(&["environments"], request, &[("idempotency-key", key)]).await;
    let lost = match tell().await {
        Err(failure) if failure.is_answer_lost() => failure,
        decided => return decided,
    };
    let give_up = Instant::now() + TOLD_AGAIN_FOR;
    if let Some(error) = lost.error {
        output.progress(&format!("{}; telling the order again, under the same key", error.title));
    }
    loop {
        match tell().await {
            Err(failure) if failure.exit != exit::UNREACHABLE => return Err(failure),
            Err(failure) if Instant::now() > give_up => {
                return Err(failure.detail(format!(
                    "The order may have been taken. With `--idempotency-key {key}` the same command orders nothing twice."
                )));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
            answered => return answered,
        }
    }
}

/// What `--preset` or `--like` begin with; nothing without them.
async fn begin(client: &Client, order: &OrderArguments) -> Result<BTreeMap<String, String>, Failure> {
    let asked = [("version", &order.version), ("preset", &order.preset), ("from", &order.like)];
    let query: Vec<(&str, &str)> =
        asked.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    if order.preset.is_none() && order.like.is_none() {
        return Ok(BTreeMap::new());
    }
    let draft: OrderDraft = client.get(&["catalog", &order.template, "draft"], &query).await?;
    Ok(draft.values)
}

/// `--set` and `--set-file` together; a name given twice is a mistake.
pub fn parameters(set: &[Assignment], set_file: &[Assignment]) -> Result<BTreeMap<String, String>, Failure> {
    let mut parameters = BTreeMap::new();
    let mut add = |name: &str, value: String| match parameters.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(Failure::usage(format!("the parameter `{name}` is given twice"))),
    };
    for Assignment { name, value } in set {
        add(name, value.clone())?;
    }
    for Assignment { name, value } in set_file {
        add(name, content(name, value)?)?;
    }
    Ok(parameters)
}

/// Without the line end that editors put at the end of a file.
fn content(parameter: &str, file: &str) -> Result<String, Failure> {
    let read = match file {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        file => std::fs::read_to_string(file),
    };
    let mut text =
        read.map_err(|error| Failure::usage(format!("the file {file} for the parameter `{parameter}`: {error}")))?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}
