//! The whole portal, with servers that really run, on an Amazon that shows what was up to minutes ago, another moment each time, and
//! loses, repeats and delays calls: whoever orders, keeps, parks, resumes and deletes notices nothing of it but the time it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tests::templates::WORKBENCH;
use tests::tryout::Tryout;
use tests::{Api, Outcome};
use tokio::time::{Instant, sleep};

use super::seeds::{Told, seeds};

/// As far back as Amazon has been seen to show.
const LAG_SECONDS: &str = "300";
/// Of all calls, for each of what goes wrong.
const FAULTS: &str = "0.03";
/// For one wish: twice what Amazon lags.
const PATIENCE: Duration = Duration::from_secs(600);

const SHELF: &str = r#"
name: shelf
version: "1.0.0"
title: Shelf
summary: Two servers, one of which has something on a volume.
category: Basics
servers:
  box: {}
  page: {}
volumes:
  shelf: {size: 1 GiB, mounts: {box: /shelf}}
"#;

/// Of both together.
const SERVERS: usize = 3;

struct Story {
    seed: u64,
    tryout: Tryout,
    api: Api,
}

impl Story {
    async fn begin(seed: u64) -> Outcome<Self> {
        let seeded = seed.to_string();
        let variables = [("FAKE_EC2_LAG", LAG_SECONDS), ("FAKE_EC2_FAULTS", FAULTS), ("FAKE_EC2_SEED", &seeded)];
        let tryout = Tryout::offering_all(&[("shelf", SHELF), ("workbench", WORKBENCH)], &variables).await?;
        let api = tryout.person("root").await?;
        Ok(Self { seed, tryout, api })
    }

    async fn until(&self, environment: &str, path: &str, what: &str, is: impl Fn(&Value) -> bool) -> Outcome {
        let since = Instant::now();
        loop {
            let state = self.api.environment(environment).await?["state"].clone();
            assert_ne!(state, "failed", "seed {}: {environment} on its way to be {what}", self.seed);
            let now = self.api.get(&format!("/environments/{environment}{path}")).await?.expect_success()?;
            if is(&now) {
                return Ok(());
            }
            assert!(since.elapsed() < PATIENCE, "seed {}: {environment} is never {what}: {now:#}", self.seed);
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn until_state(&self, environment: &str, state: &str) -> Outcome {
        self.until(environment, "", state, |now| now["state"] == state).await
    }

    async fn act(&self, environment: &str, action: &str, state: &str) -> Outcome {
        self.api.act(environment, action).await?;
        self.until_state(environment, state).await
    }

    /// Data comes and goes with volumes, and a snapshot is taken.
    async fn of_a_shelf(&self) -> Outcome {
        let id = self.api.order("shelf", "books").await?["id"].as_str().ok_or("It has no id.")?.to_owned();
        self.until_state("books", "ready").await?;
        self.tryout.run(&self.api, "books/box", "echo kept > /shelf/word && sync").await?;
        self.api.post("/environments/books/snapshots", json!({ "label": "before" })).await?.expect_success()?;
        let complete = |now: &Value| now.as_array().is_some_and(|all| all.iter().any(|one| one["state"] == "complete"));
        self.until("books", "/snapshots", "kept", complete).await?;
        self.act("books", "park", "parked").await?;
        self.act("books", "resume", "ready").await?;
        assert_eq!(self.tryout.run(&self.api, "books/box", "cat /shelf/word").await?, "kept\n", "seed {}", self.seed);
        self.api.act("books", "delete").await?;
        self.until_state(&id, "deleted").await
    }

    /// A server is stopped and started.
    async fn of_a_workbench(&self) -> Outcome {
        let id = self.api.order("workbench", "desk").await?["id"].as_str().ok_or("It has no id.")?.to_owned();
        self.until_state("desk", "ready").await?;
        self.act("desk", "park", "parked").await?;
        self.act("desk", "resume", "ready").await?;
        assert_eq!(self.tryout.run(&self.api, "desk/box", "cat ~/diary").await?, "set up\n", "seed {}", self.seed);
        self.api.act("desk", "delete").await?;
        self.until_state(&id, "deleted").await
    }

    /// Goes on for as long as somebody looks. Those that come together have their names a moment later.
    async fn there_is_one_server_for_each(&self) -> Outcome {
        loop {
            let mut of: BTreeMap<String, usize> = BTreeMap::new();
            let all = self.tryout.ours("instances").await?;
            for one in all.iter().filter(|one| one["tags"]["bookend:server"].is_string()) {
                let tags = &one["tags"];
                *of.entry(format!("{} {}", tags["bookend:server"], tags["bookend:generation"])).or_default() += 1;
            }
            let fine = of.values().all(|count| *count == 1) && all.len() <= SERVERS;
            assert!(fine, "seed {}: {all:#?}", self.seed);
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn until_nothing_is_left(&self) -> Outcome {
        let since = Instant::now();
        loop {
            let mut left = self.tryout.ours("instances").await?;
            left.extend(self.tryout.ours("volumes").await?);
            // A deleted environment's last snapshot is there for 14 days.
            left.extend(self.tryout.ours("groups").await?);
            if left.is_empty() {
                return Ok(());
            }
            assert!(since.elapsed() < PATIENCE, "seed {}: left behind: {left:#?}", self.seed);
            sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn led(seed: u64) -> Outcome {
    let _told = Told(seed);
    let story = Story::begin(seed).await?;
    let lives = async {
        futures::future::try_join(story.of_a_shelf(), story.of_a_workbench()).await?;
        story.until_nothing_is_left().await
    };
    tokio::select! {
        led = lives => led,
        watched = story.there_is_one_server_for_each() => watched,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_orders_parks_resumes_and_deletes_gets_that_from_an_amazon_that_shows_the_past() -> Outcome {
    futures::future::try_join_all(seeds([1, 2]).into_iter().map(led)).await.map(drop)
}
