//! Servers that pass numbers on while all of them are kept at once, on machines that really run: no copy of them has an effect
//! without its cause.

use serde_json::{Value, json};
use tests::tryout::Tryout;
use tests::{Api, Outcome};

use crate::trouble::relay::{SERVERS, assert_consistent, numbers, template};

const ROUNDS: usize = 3;

/// More of them arrive at the last server, which therefore runs, as all before it do.
async fn goes_on(tryout: &Tryout, api: &Api) -> Outcome {
    let more = "n=$(wc -l < /data/log); timeout 60 sh -c \"until [ \\$(wc -l < /data/log) -gt $((n + 20)) ]; do sleep 0.01; done\"";
    tryout.run(api, "relay/last", more).await.map(drop)
}

#[tokio::test]
async fn what_is_kept_while_servers_pass_numbers_on_is_one_moment_of_all_of_them() -> Outcome {
    let tryout = Tryout::offering("relay", &template(), &[]).await?;
    let api = tryout.person("root").await?;
    api.order("relay", "relay").await?;
    api.await_state("relay", "ready").await?;
    for round in 0..ROUNDS {
        goes_on(&tryout, &api).await?;
        let kept = api.post("/environments/relay/snapshots", json!({})).await?.expect_success()?;
        let complete = |all: &Value| all[0]["id"] == kept["id"] && all[0]["state"] == "complete";
        api.await_below("relay", "/snapshots", "complete", complete).await?;
        goes_on(&tryout, &api).await?;

        let copy = format!("copy-{round}");
        let data = json!({ "environment": "relay", "snapshot": kept["id"] });
        let order = json!({ "template": "relay", "name": copy, "data": data });
        api.post("/environments", order).await?.expect_success()?;
        api.await_state(&copy, "ready").await?;
        let mut found = [const { Vec::new() }; 3];
        for (found, server) in found.iter_mut().zip(SERVERS) {
            *found = numbers(&tryout.run(&api, &format!("{copy}/{server}"), "cat \"$HOME/found\"").await?)?;
        }
        assert_consistent(&found, &copy);
        api.act(&copy, "delete").await?;
    }
    Ok(())
}
