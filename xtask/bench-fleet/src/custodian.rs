//! The same stop by Cloud Custodian: a policy that stops whatever runs, on a fake of the same rules with as many servers.
//!
//! It speaks the real protocol over a socket and waits on the machine's clock, on which this fake's goes, too; so what it
//! computes takes part of its time, a few seconds of minutes, and what ours computes does not. It is measured twice. As its
//! documentation has it: it puts all servers into one StopInstances, and a call for more servers than the bucket ever holds does
//! not pass here; Amazon publishes that bucket, and not what becomes of such a call. And as good as we could make it: a policy
//! that stops the first thousand, run again and again.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::InstanceType;
use fake_ec2::{Fake, Rules};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::account::{self, ACCESS_KEY, REGION};
use crate::phases::since;

/// As many as the bucket of StopInstances' servers holds.
const AT_ONCE: usize = ec2::MOST_AT_ONCE;
/// Until all buckets are full again, and describes show what is.
const REST_MS: i64 = 3_600_000;
const GLANCE: Duration = Duration::from_millis(250);
/// Instances have stopped by then, if they ever were asked to.
const STOPPING: Duration = Duration::from_secs(90);

/// # Errors
/// When there is no fleet to stop, or no Cloud Custodian.
pub async fn measure(program: &Path, servers: usize) -> Result<(), String> {
    println!("Cloud Custodian stops {servers} servers of an account of the same rules, on the machine's clock");
    let all = "policies: [{name: stop, resource: ec2, query: [{instance-state-name: running}], actions: [stop]}]";
    stopped("as it comes", program, servers, all, 1).await?;
    let some = format!(
        "policies: [{{name: stop, resource: ec2, query: [{{instance-state-name: running}}], \
         filters: [{{'State.Name': running}}, {{type: reduce, limit: {AT_ONCE}}}], actions: [stop]}}]"
    );
    stopped("at its best", program, servers, &some, 4 * servers.div_ceil(AT_ONCE)).await
}

/// With this policy, run so often at most.
async fn stopped(name: &str, program: &Path, servers: usize, policy: &str, runs: usize) -> Result<(), String> {
    let fake = Fake::new(Rules::lifelike(1));
    launch(&fake, servers).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| format!("Cannot listen: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("Cannot tell the address: {error}"))?;
    let serving = tokio::spawn(fake_ec2::serve(fake.clone(), listener));
    let folder = std::env::temp_dir().join(format!("bench-fleet-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("Cannot make {folder:?}: {error}"))?;
    let file = folder.join("policy.yml");
    std::fs::write(&file, policy).map_err(|error| format!("Cannot write {file:?}: {error}"))?;

    let (before, begun) = (fake.counts(), Instant::now());
    let of = |state: &str| fake.census().instances.get(state).copied().unwrap_or(0);
    let (mut made, mut failed) = (0, 0);
    while of("running") > 0 && made < runs {
        let ended = custodian(program, &file, &folder, &format!("http://{address}")).status().await;
        let ended = ended.map_err(|error| format!("Cannot run {program:?}: {error}"))?;
        (made, failed) = (made + 1, failed + usize::from(!ended.success()));
    }
    let ended = begun.elapsed();
    while of("stopped") < servers && begun.elapsed() < ended + STOPPING {
        sleep(GLANCE).await;
    }
    let calls = since(&before, &fake.counts());
    println!(
        "{name:<12} {} of {servers} stopped after {:7.1} s   {made} runs, {failed} gave up   {} calls, {} throttled: {:?}",
        of("stopped"),
        if of("stopped") == servers { begun.elapsed() } else { ended }.as_secs_f64(),
        calls.all(),
        calls.all_throttled(),
        calls.calls
    );
    serving.abort();
    std::fs::remove_dir_all(&folder).map_err(|error| format!("Cannot remove {folder:?}: {error}"))
}

fn custodian(program: &Path, policy: &Path, folder: &Path, url: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args(["run", "--region", REGION, "--cache-period", "0", "--output-dir"])
        .arg(folder.join("out"))
        .arg(policy);
    command.env("AWS_ENDPOINT_URL", url).env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", "secret");
    command.env("AWS_DEFAULT_REGION", REGION).env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

/// Servers that nobody but the fake knows; they run, and all buckets are full.
async fn launch(fake: &Fake, servers: usize) -> Result<(), String> {
    let client = account::client(fake);
    let (image, subnets) = offered(&client).await?;
    for (number, begin) in (0..servers).step_by(AT_ONCE).enumerate() {
        let count = i32::try_from(AT_ONCE.min(servers - begin)).unwrap_or(i32::MAX);
        let subnet = subnets.get(number % subnets.len().max(1)).ok_or("The fake has no subnet.")?;
        let call = client.run_instances().image_id(&image).instance_type(InstanceType::T3Small).subnet_id(subnet);
        call.min_count(count).max_count(count).send().await.map_err(|error| format!("{error:?}"))?;
        fake.advance(REST_MS);
    }
    Ok(())
}

async fn offered(client: &Client) -> Result<(String, Vec<String>), String> {
    let images = client.describe_images().owners("amazon").send().await.map_err(|error| format!("{error:?}"))?;
    let x86 = |image: &&aws_sdk_ec2::types::Image| image.name().is_some_and(|name| name.ends_with("x86_64"));
    let image = images.images().iter().find(x86).and_then(|image| image.image_id.clone());
    let subnets = client.describe_subnets().send().await.map_err(|error| format!("{error:?}"))?;
    let subnets = subnets.subnets.unwrap_or_default().into_iter().filter_map(|one| one.subnet_id).collect();
    Ok((image.ok_or("The fake has no image.")?, subnets))
}
