//! The portal is killed at any moment of anything: when it is back, all ends as was asked for, and nothing is left over.

use std::time::Duration;

use tests::{Outcome, Portal, leftovers};

/// Milliseconds between a confirmed request and SIGKILL. Close together where most happens; the last ones are after all of it.
const MOMENTS: [u64; 12] = [0, 3, 6, 10, 15, 22, 32, 46, 66, 95, 200, 600];

/// What is asked for, and the state it ends in.
const LIFE: [(&str, &str); 4] = [("park", "parked"), ("resume", "ready"), ("restart", "ready"), ("delete", "deleted")];

#[tokio::test]
async fn whenever_the_portal_is_killed_every_confirmed_request_is_carried_out_and_nothing_is_left_over() -> Outcome {
    let mut portal = Portal::start().await?;
    let api = portal.administrator().await?;
    for moment in MOMENTS {
        let name = format!("after-{moment}");
        let pause = Duration::from_millis(moment);
        // By its id, which it keeps when it is deleted and its name is free again.
        let ordered = api.order("scratch", &name).await?;
        let id = ordered["id"].as_str().ok_or("The order has no id.")?;
        tokio::time::sleep(pause).await;
        portal.crash().await?;
        api.await_state(id, "ready").await?;
        for (action, state) in LIFE {
            api.act(id, action).await?;
            tokio::time::sleep(pause).await;
            portal.crash().await?;
            api.await_state(id, state)
                .await
                .map_err(|problem| format!("{action}, killed after {moment} ms: {problem}"))?;
            let expected = usize::from(state == "ready");
            let running = leftovers::of_servers(&portal);
            assert_eq!(leftovers::servers(&running), expected, "{action}, killed after {moment} ms: {running:#?}");
        }
        assert_eq!(leftovers::of_servers(&portal), Vec::new(), "after delete, killed after {moment} ms");
    }
    Ok(())
}

#[tokio::test]
async fn servers_and_their_log_outlive_a_killed_portal() -> Outcome {
    let mut portal = Portal::start().await?;
    let api = portal.administrator().await?;
    api.order("site", "steady").await?;
    api.await_state("steady", "ready").await?;
    let begun = ["exec", "steady/api", "--", "stat", "--format=%Y", "/proc/1"];
    let before = portal.cli(&api, &begun).await?;
    let shown = api.get("/environments/steady/logs?tail=1000").await?.expect_success()?;

    portal.crash().await?;
    let after = portal.cli(&api, &begun).await?;
    assert!(before.status.success() && after.status.success(), "{before:?} {after:?}");
    assert_eq!(before.stdout, after.stdout, "the server was started anew");
    let still_shown = api.get("/environments/steady/logs?tail=1000").await?.expect_success()?;
    for line in shown.as_array().into_iter().flatten() {
        assert!(
            still_shown.as_array().is_some_and(|lines| lines.contains(line)),
            "a line already shown is gone: {line}"
        );
    }
    let now = api.environment("steady").await?;
    assert_eq!(now["servers"][0]["generation"], 1, "{now:#}");
    Ok(())
}
