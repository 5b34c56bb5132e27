//! Spot servers: had where there are some, replaced when Amazon takes them back, and nothing is lost by it.

use fake_ec2::{Fake, Rules};
use provisioners::conformance::{effect, server, settled};
use provisioners::{EnvironmentId, Provisioner, ServerPlan, Step};
use serde_json::Value;
use tests::Outcome;
use tests::tryout::Tryout;

use super::amazon::Account;

#[tokio::test(start_paused = true)]
async fn a_server_is_a_spot_server_where_there_is_one_and_any_other_where_there_is_none() {
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    let environment = EnvironmentId::new("cheap");
    let ask = async |step: Step| assert_eq!(portal.request(&effect(&environment, &step)).await, Ok(()), "{step:?}");
    let spot = |name: &str| {
        let plan = ServerPlan { mounts: Vec::new(), spot: true, ..server(name, 1) };
        Step::StartServer { server: Box::new(plan) }
    };
    ask(Step::CreateNetwork).await;
    ask(spot("web")).await;
    let there = settled(&portal, &environment).await;
    assert!(there.servers[0].limits.ends_with(", spot"), "{:?}", there.servers[0]);
    let first = account.fake.truth().instances.remove(0);
    assert!(first.spot);

    for zone in 'a'..='f' {
        let zone = format!("{}{zone}", first.region);
        for kind in ["t3.small", "t3a.small"] {
            account.fake.set_spot_capacity(kind, &zone, Some(0));
        }
    }
    ask(spot("api")).await;
    let there = settled(&portal, &environment).await;
    let limits: Vec<&str> = there.servers.iter().map(|server| server.limits.as_str()).collect();
    assert!(limits.iter().any(|words| words.ends_with("for no spot server is to be had")), "{limits:?}");
    let others = account.fake.truth().instances.into_iter().filter(|one| !one.spot).count();
    assert_eq!(others, 1);
}

/// What its service wrote last it writes when it is told to end: only a server that ends in order has written it.
const CHEAP: &str = r#"
name: cheap
version: "1.0.0"
title: Cheap
summary: A server that may be taken back.
category: Basics
servers:
  box:
    spot: true
    services:
      clerk:
        command: trap 'echo in order >> /data/ends; exit 0' TERM; while :; do sleep 0.1; done
volumes:
  data:
    size: 1 GiB
    mounts: {box: /data}
"#;

#[tokio::test]
async fn a_spot_server_that_is_taken_back_ends_in_order_and_another_goes_on_with_its_data() -> Outcome {
    let tryout = Tryout::offering("cheap", CHEAP, &[]).await?;
    let api = tryout.person("root").await?;
    api.order("cheap", "cheap").await?;
    api.await_state("cheap", "ready").await?;
    tryout.run(&api, "cheap/box", "echo kept > /data/work").await?;
    let [first] = &tryout.ours("instances").await?[..] else { return Err("not one server".into()) };
    let id = first["id"].as_str().ok_or("it has no id")?.to_owned();
    assert_eq!(first["spot"], true, "{first:#?}");

    // Much more notice than Amazon gives: that it is replaced comes of the notice and not of its end.
    tryout.have(&format!("interrupt?id={id}&notice_ms=86400000")).await?;
    let generation = |environment: &Value| environment["servers"][0]["generation"].as_i64();
    api.await_that("cheap", "replaced", |now| generation(now) == Some(2) && now["state"] == "ready").await?;

    assert_eq!(tryout.run(&api, "cheap/box", "cat /data/work /data/ends").await?, "kept\nin order\n");
    let [second] = &tryout.ours("instances").await?[..] else { return Err("not one server".into()) };
    assert_ne!(second["id"], *id);
    let told = api.get("/environments/cheap/timeline?limit=200").await?.expect_success()?.to_string();
    assert!(told.contains("is taken back by its cloud"), "{told}");
    Ok(())
}
