//! What happens to servers behind Bookend's back is noticed, repaired, and told.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::{Api, Outcome, Portal, leftovers};

/// Texts of the environment's timeline.
async fn timeline(api: &Api, environment: &str) -> Outcome<Vec<String>> {
    let page = api.get(&format!("/environments/{environment}/timeline?limit=200")).await?.expect_success()?;
    let texts = page["items"].as_array().into_iter().flatten().filter_map(|event| event["message"].as_str());
    Ok(texts.map(str::to_owned).collect())
}

fn generations(environment: &Value) -> Vec<i64> {
    environment["servers"].as_array().into_iter().flatten().filter_map(|one| one["generation"].as_i64()).collect()
}

/// Waits until a server has been replaced so often, and all is well again.
async fn await_generation(api: &Api, environment: &str, generation: i64) -> Outcome<Value> {
    let replaced = |now: &Value| now["state"] == "ready" && generations(now).iter().any(|one| *one >= generation);
    api.await_that(environment, "ready with another server", replaced).await
}

#[tokio::test]
async fn a_killed_server_is_replaced_on_the_same_data_and_the_timeline_says_so() -> Outcome {
    let portal = Portal::start().await?;
    let api = portal.administrator().await?;
    api.order("site", "struck").await?;
    api.await_state("struck", "ready").await?;
    let wrote = portal.cli(&api, &["exec", "struck/web", "--", "sh", "-c", "echo kept > /site/ink"]).await?;
    assert!(wrote.status.success(), "{wrote:?}");

    let servers = leftovers::of_servers(&portal);
    let agent = servers.iter().find(|process| leftovers::servers(std::slice::from_ref(process)) == 1);
    kill(agent.ok_or("No server runs.")?.id)?;
    let now = await_generation(&api, "struck", 2).await?;
    assert_eq!(generations(&now).iter().sum::<i64>(), 3, "one of the two was replaced: {now:#}");
    let told = timeline(&api, "struck").await?;
    assert!(told.iter().any(|text| text.contains("healthy again")), "{told:#?}");
    let read = portal.cli(&api, &["exec", "struck/api", "--", "cat", "/site/ink"]).await?;
    assert_eq!(String::from_utf8_lossy(&read.stdout), "kept\n");
    assert_eq!(leftovers::servers(&leftovers::of_servers(&portal)), 2, "none lost, none double");
    api.act("struck", "delete").await?;
    Ok(())
}

#[tokio::test]
async fn a_whole_environment_that_is_gone_comes_back() -> Outcome {
    let portal = Portal::start().await?;
    let api = portal.administrator().await?;
    api.order("scratch", "wiped").await?;
    api.await_state("wiped", "ready").await?;
    for process in leftovers::of_servers(&portal) {
        kill(process.id)?;
    }
    let now = await_generation(&api, "wiped", 2).await?;
    let running = leftovers::of_servers(&portal);
    assert_eq!(leftovers::servers(&running), 1, "{now:#} {running:#?}");
    let told = portal.cli(&api, &["exec", "wiped/box", "--", "echo", "here again"]).await?;
    assert_eq!(String::from_utf8_lossy(&told.stdout), "here again\n");
    api.act("wiped", "delete").await?;
    Ok(())
}

/// SIGKILL; a process that has ended by itself meanwhile is as good.
fn kill(process: u32) -> Outcome {
    let id = Pid::from_raw(process.cast_signed()).ok_or("no process has this number")?;
    match kill_process(id, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
