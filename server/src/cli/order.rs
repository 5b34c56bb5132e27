//! `order`.

use std::collections::BTreeMap;
use std::io::Read;

use app::api::{EnvironmentDetail, OrderDraft, OrderRequest};

use super::arguments::{Assignment, OrderArguments};
use super::client::Client;
use super::failure::Failure;
use super::output::{Output, clean};
use super::wait::{self, Target};

pub async fn order(client: &Client, order: OrderArguments, output: Output) -> Result<(), Failure> {
    let mut values = begin(client, &order).await?;
    values.extend(parameters(&order.set, &order.set_file)?);
    let request =
        OrderRequest { template: order.template, version: order.version, name: order.name, parameters: values };
    let key = match order.idempotency_key {
        Some(key) => key,
        None => uuid::Uuid::now_v7().to_string(),
    };
    let mut detail: EnvironmentDetail =
        client.post(&["environments"], &request, &[("idempotency-key", key.as_str())]).await?;
    if order.wait.wait {
        output.progress(&format!("ordered {}", detail.summary.name));
        let id = detail.summary.id.clone();
        if let Some(now) = wait::until(client, &id, Target::Ready, &order.wait, output).await? {
            detail = now;
        }
    }
    output.result(&detail, || format!("{}: {}", clean(&detail.summary.name), detail.summary.state))
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
