//! Three servers that pass numbers on, each noting them on its own volume first, are kept and brought back under load, also
//! by portals that are killed in the middle of it. In no set of volumes that comes back does a server have a number that the
//! one before it does not have.
//!
//! `BOOKEND_RELAY_ROUNDS` makes it as many rounds as one has time for.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Api, Outcome, Portal, Setting, leftovers};

const ROUNDS: usize = 3;
/// Milliseconds between a confirmed request and SIGKILL.
const MOMENTS: [u64; 7] = [0, 5, 12, 25, 50, 90, 160];
pub const SERVERS: [&str; 3] = ["first", "middle", "last"];

struct Relay {
    portal: Portal,
    api: Api,
    id: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_back_no_effect_stands_without_its_cause() -> Outcome {
    let rounds = std::env::var("BOOKEND_RELAY_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let mut relay = Relay::start().await?;
    let mut snapshots = Vec::new();
    for _ in 0..rounds {
        let taken = relay.take().await?;
        let taken = relay.ended(&taken).await?;
        assert_eq!(taken["state"], "complete", "{taken:#}");
        snapshots.push(taken);
        relay.goes_on().await?;
    }
    relay.has_one_moment_in_each(&snapshots).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_killed_within_a_snapshot_ends_it_and_lets_all_servers_go_on() -> Outcome {
    let mut relay = Relay::start().await?;
    let mut snapshots = Vec::new();
    for moment in MOMENTS {
        let taken = relay.take().await?;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        relay.portal.crash().await?;
        let taken = relay.ended(&taken).await?;
        assert_eq!(taken["state"], "complete", "killed after {moment} ms: {taken:#}");
        relay.goes_on().await.map_err(|problem| format!("killed after {moment} ms: {problem}"))?;
        snapshots.push(taken);
    }
    assert_eq!(relay.api.environment(&relay.id).await?["servers"][0]["generation"], 1, "no server was replaced for it");
    relay.has_one_moment_in_each(&snapshots).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_killed_within_a_restore_brings_back_all_of_it() -> Outcome {
    let mut relay = Relay::start().await?;
    let taken = relay.take().await?;
    let kept = relay.ended(&taken).await?;
    let of_then = relay.logs_of(&kept).await?;
    assert_consistent(&of_then, "the snapshot");
    for moment in MOMENTS {
        relay.goes_on().await?;
        relay.restore(&kept).await?;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        relay.portal.crash().await?;
        relay.api.await_state(&relay.id, "ready").await?;
        let found = relay.found().await?;
        assert_eq!(found, of_then, "killed after {moment} ms");
        let present = relay.present().await?;
        assert_eq!(present["state"], "complete", "what there was is kept, killed after {moment} ms: {present:#}");
    }
    relay.goes_on().await?;
    relay.end().await
}

impl Relay {
    async fn start() -> Outcome<Relay> {
        let portal = Setting::new()?.template("relay", &template())?.start().await?;
        let api = portal.administrator().await?;
        let ordered = api.order("relay", "relay").await?;
        let id = ordered["id"].as_str().ok_or("The order has no id.")?.to_owned();
        api.await_state(&id, "ready").await?;
        let mut relay = Relay { portal, api, id };
        relay.goes_on().await?;
        Ok(relay)
    }

    async fn exec(&self, server: &str, script: &str) -> Outcome<String> {
        let place = format!("{}/{server}", self.id);
        let output = self.portal.cli(&self.api, &["exec", &place, "--", "sh", "-c", script]).await?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?),
            false => Err(format!("on {server}: {}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }

    /// Numbers arrive at the last server, which therefore runs, as all before it do.
    async fn goes_on(&mut self) -> Outcome {
        self.api.await_state(&self.id, "ready").await?;
        let more = "n=$(wc -l < /data/log); until [ $(wc -l < /data/log) -gt $((n + 20)) ]; do sleep 0.01; done";
        tokio::time::timeout(Duration::from_secs(60), self.exec("last", more))
            .await
            .map_err(|_| "no number arrives at the last server any more")??;
        Ok(())
    }

    async fn take(&self) -> Outcome<Value> {
        self.api.post(&format!("/environments/{}/snapshots", self.id), json!({})).await?.expect_success()
    }

    /// The same snapshot, once nothing more becomes of it.
    async fn ended(&self, snapshot: &Value) -> Outcome<Value> {
        let find = |all: &Value| all.as_array().into_iter().flatten().find(|one| one["id"] == snapshot["id"]).cloned();
        let over = |all: &Value| find(all).is_none_or(|one| one["state"] != "wanted" && one["state"] != "reading");
        let all = self.api.await_below(&self.id, "/snapshots", "over", over).await?;
        find(&all).ok_or_else(|| format!("the snapshot is gone: {all:#}").into())
    }

    async fn restore(&self, snapshot: &Value) -> Outcome {
        let path = format!("/environments/{}/restore", self.id);
        self.api.post(&path, json!({ "snapshot": snapshot["id"] })).await?.expect_success().map(drop)
    }

    /// The snapshot that the last restore took before it began.
    async fn present(&self) -> Outcome<Value> {
        let all = self.api.get(&format!("/environments/{}/snapshots", self.id)).await?.expect_success()?;
        let present = all.as_array().into_iter().flatten().find(|one| one["reason"] == "restore").cloned();
        present.ok_or_else(|| format!("nothing was kept: {all:#}").into())
    }

    /// What each server found on its volume when it started.
    async fn found(&self) -> Outcome<[Vec<u64>; 3]> {
        let mut found = [const { Vec::new() }; 3];
        for (found, server) in found.iter_mut().zip(SERVERS) {
            *found = numbers(&self.exec(server, "cat \"$HOME/found\"").await?)?;
        }
        Ok(found)
    }

    /// Puts a snapshot back while no server runs, and reads what is on the volumes then.
    async fn logs_of(&self, snapshot: &Value) -> Outcome<[Vec<u64>; 3]> {
        self.api.act(&self.id, "park").await?;
        self.api.await_state(&self.id, "parked").await?;
        let logs = self.put_back(snapshot).await?;
        self.api.act(&self.id, "resume").await?;
        self.api.await_state(&self.id, "ready").await?;
        Ok(logs)
    }

    async fn put_back(&self, snapshot: &Value) -> Outcome<[Vec<u64>; 3]> {
        self.restore(snapshot).await?;
        let done =
            |now: &Value| now["state"] == "parked" && now["volumes"].as_array().is_some_and(|all| all.len() == 3);
        let now = self.api.await_that(&self.id, "parked with three volumes", done).await?;
        let volumes = self.portal.data_directory().join("local/environments").join(&self.id).join("volumes");
        let mut logs = [const { Vec::new() }; 3];
        for (log, server) in logs.iter_mut().zip(SERVERS) {
            let volume = now["volumes"].as_array().into_iter().flatten().find(|volume| volume["name"] == server);
            let volume = volume.and_then(|volume| volume["id"].as_str()).ok_or("a volume is missing")?;
            *log = numbers(&fs::read_to_string(volumes.join(volume).join("data/log"))?)?;
        }
        Ok(logs)
    }

    /// Puts each of them back: what comes is one moment, and to the byte what was taken.
    async fn has_one_moment_in_each(mut self, snapshots: &[Value]) -> Outcome {
        self.api.act(&self.id, "park").await?;
        self.api.await_state(&self.id, "parked").await?;
        for snapshot in snapshots {
            let logs = self.put_back(snapshot).await?;
            assert_consistent(&logs, &format!("{snapshot:#}"));
            let again = self.take().await?;
            let again = self.ended(&again).await?;
            assert_eq!(again["volumes"], snapshot["volumes"], "digests, files and bytes");
            assert_eq!(snapshot["volumes"].as_array().map(Vec::len), Some(3));
            let path = format!("/environments/{}/snapshots/{}", self.id, again["id"].as_str().unwrap_or_default());
            assert_eq!(self.api.send(reqwest::Method::DELETE, &path, None).await?.status, 204);
        }
        self.api.act(&self.id, "resume").await?;
        self.goes_on().await?;
        self.end().await
    }

    async fn end(self) -> Outcome {
        self.api.act(&self.id, "delete").await?;
        self.api.await_state(&self.id, "deleted").await?;
        assert_eq!(leftovers::of_servers(&self.portal), Vec::new());
        Ok(())
    }
}

pub fn assert_consistent(logs: &[Vec<u64>; 3], what: &str) {
    let [first, middle, last] = logs.each_ref().map(|log| log.iter().copied().collect::<BTreeSet<u64>>());
    assert!(!last.is_empty(), "nothing had arrived: {what}");
    let without_cause: Vec<&u64> = middle.difference(&first).chain(last.difference(&middle)).collect();
    assert!(without_cause.is_empty(), "arrived, and never sent: {without_cause:?}, of {what}");
}

pub fn numbers(text: &str) -> Outcome<Vec<u64>> {
    text.lines().map(|line| line.parse().map_err(|_| format!("{line:?} is no number").into())).collect()
}

pub fn template() -> String {
    let program = include_str!("relay.py").replace('\n', "\n      ");
    let server = |name: &str, needs: &str, more: &str, onward: &str| {
        format!(
            "  {name}:\n    requires: [python3]\n{needs}{more}    startup: |\n      touch /data/log\n      \
             cp /data/log \"$HOME/found\"\n      cat > \"$HOME/relay.py\" <<'PYTHON'\n      {program}\n      PYTHON\n    \
             services:\n      relay: {{command: 'exec python3 \"$HOME/relay.py\" {onward}'}}\n"
        )
    };
    let listens = "    checks:\n      relay: {tcp: 7000, interval: 1s}\n";
    // What is copied after the log: whoever copies this volume takes a while for it.
    let pages =
        "    setup: |\n      mkdir -p /data/pages && cd /data/pages && seq 1000 | split --lines=1 --suffix-length=4\n";
    format!(
        "name: relay\nversion: \"1\"\ntitle: Relay\nsummary: Three servers pass numbers on.\ncategory: Tests\nservers:\n\
         {}{listens}{}{listens}{}volumes:\n  first: {{size: 1 GiB, mounts: {{first: /data}}}}\n  \
         middle: {{size: 1 GiB, mounts: {{middle: /data}}}}\n  last: {{size: 1 GiB, mounts: {{last: /data}}}}\n",
        server("last", "", "", ""),
        server("middle", "    needs: [last]\n", "", "last"),
        server("first", "    needs: [middle]\n", pages, "middle"),
    )
}
