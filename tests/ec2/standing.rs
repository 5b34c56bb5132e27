//! Parked environments on machines that really run: what the disk of a server that stands by held is there when it wakes, and
//! what a volume held when it is made again from the snapshot it went into.

use serde_json::Value;
use tests::Outcome;
use tests::templates::WORKBENCH;
use tests::tryout::Tryout;

/// What is on its volume outlives a park in a snapshot alone.
const ARCHIVE: &str = r#"
name: archive
version: "1.0.0"
title: Archive
summary: A server whose volume goes while it is parked.
category: Basics
park: snapshot
servers:
  box: {}
volumes:
  shelf: {size: 1 GiB, mounts: {box: /shelf}}
"#;

#[tokio::test]
async fn a_volume_that_was_put_away_is_made_again_with_all_it_held() -> Outcome {
    let tryout = Tryout::offering("archive", ARCHIVE, &[]).await?;
    let api = tryout.person("root").await?;
    let bench = api.order("archive", "bench").await?;
    api.await_state("bench", "ready").await?;
    tryout.run(&api, "bench/box", "echo kept > /shelf/word && sync").await?;

    api.act("bench", "park").await?;
    let away = |now: &Value| now["state"] == "parked" && now["volumes"][0]["standing"] == "in a snapshot";
    api.await_that("bench", "parked without its volume", away).await?;
    let left = [tryout.ours("instances").await?, tryout.ours("volumes").await?];
    assert_eq!(left, [Vec::<Value>::new(), Vec::new()], "nothing is paid for but the snapshot");

    api.act("bench", "resume").await?;
    api.await_state("bench", "ready").await?;
    assert_eq!(tryout.run(&api, "bench/box", "cat /shelf/word").await?, "kept\n");
    api.act("bench", "delete").await?;
    api.await_state(bench["id"].as_str().ok_or("It has no id.")?, "deleted").await?;
    Ok(())
}

/// The fake keeps nothing of what is in a machine's memory, so that its services begin anew, as on Amazon where memory cannot be
/// read back: what the portal asks for, and what it makes of it, is what counts here.
#[tokio::test]
async fn a_parked_server_that_hibernates_is_asked_to_and_comes_back_as_the_same_machine() -> Outcome {
    stands_by(&WORKBENCH.replace("park: stop", "park: hibernate"), "Client.UserInitiatedHibernate").await
}

#[tokio::test]
async fn a_parked_server_that_stands_by_wakes_as_it_was() -> Outcome {
    stands_by(WORKBENCH, "Client.UserInitiatedShutdown").await
}

async fn stands_by(template: &str, because: &str) -> Outcome {
    let tryout = Tryout::offering("workbench", template, &[]).await?;
    let api = tryout.person("root").await?;
    let bench = api.order("workbench", "bench").await?;
    api.await_state("bench", "ready").await?;
    tryout.run(&api, "bench/box", "echo before >> ~/diary").await?;
    let before = tryout.ours("instances").await?;

    api.act("bench", "park").await?;
    api.await_state("bench", "parked").await?;
    let parked = tryout.ours("instances").await?;
    let states: Vec<&str> = parked.iter().filter_map(|one| one["state"].as_str()).collect();
    assert_eq!((states.as_slice(), &parked[0]["reason"]), (&["stopped"][..], &because.into()), "{parked:#?}");

    api.act("bench", "resume").await?;
    api.await_state("bench", "ready").await?;
    assert_eq!(tryout.run(&api, "bench/box", "cat ~/diary").await?, "set up\nbefore\n");
    let after = tryout.ours("instances").await?;
    assert_eq!((after.len(), &after[0]["id"]), (1, &before[0]["id"]));

    api.act("bench", "delete").await?;
    api.await_state(bench["id"].as_str().ok_or("It has no id.")?, "deleted").await?;
    assert_eq!(tryout.ours("instances").await?, Vec::<Value>::new());
    Ok(())
}
