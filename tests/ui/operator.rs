//! What operators see and do: how everything is, and what nobody owns.

use app::api::Role;
use reqwest::Method;
use tests::{House, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_owns_is_listed_and_goes_only_when_it_is_meant() -> Outcome {
    let house = House::open().await?;
    let ada = house.guest("default", "ada", Role::Administrator).await?;
    let ben = house.guest("default", "ben", Role::User).await?;
    let ordered = ben.order("queue", "kept").await?;
    ben.api()?.await_state("kept", "ready").await?;

    let said = ada.get("/operator").await?.expect_success()?;
    assert_eq!((&said["database"], &said["provisioners"][0]["name"]), (&"SQLite".into(), &"local".into()));
    assert!(said["provisioners"][0]["trouble"].is_null(), "{said}");
    assert!(said["provisioners"][0]["capacity"]["disk_bytes"].as_u64() > Some(0), "{said}");
    assert!(said["agents_connected"].as_u64() >= Some(1), "{said}");
    // What lives is no leftover.
    assert_eq!(ada.get("/operator/leftovers").await?.expect_success()?, serde_json::json!([]));

    // An environment the database never heard of, with a volume that holds something; and one without.
    let places = house.data_directory().join("local/environments");
    let (stray, empty) = ("01a1fc91-c4b9-778f-b136-26cf533212c3", "01a1fc91-c4b9-778f-b136-26cf533212c4");
    let volume = places.join(stray).join("volumes/v1");
    std::fs::create_dir_all(volume.join("data"))?;
    std::fs::write(volume.join("volume.json"), "{}")?;
    std::fs::write(volume.join("data/diary"), "dear diary")?;
    std::fs::create_dir_all(places.join(empty).join("servers"))?;
    let found = ada.get("/operator/leftovers").await?.expect_success()?;
    let told: Vec<_> = found.as_array().into_iter().flatten().map(|one| (&one["id"], &one["volumes"])).collect();
    assert_eq!(told, [(&stray.into(), &1.into()), (&empty.into(), &0.into())], "{found}");
    let page = ada.in_browser(Method::GET, "/operator").send().await?.text().await?;
    assert!(page.contains(stray) && page.contains("No environment of this id was ever known here"), "{page}");

    // Not by users, not without typing, never what is owned.
    let path = format!("/operator/leftovers/local/{stray}");
    let status = async |guest: &tests::Guest, path: &str| {
        guest.request(Method::DELETE, path).send().await.map(|answer| answer.status().as_u16())
    };
    assert_eq!(status(&ben, &path).await?, 403);
    assert_eq!(ben.in_browser(Method::GET, "/operator").send().await?.status(), 403);
    assert_eq!(status(&ada, &path).await?, 422);
    assert_eq!(status(&ada, &format!("{path}?typed=delete")).await?, 422);
    let kept = ordered["id"].as_str().unwrap_or_default();
    assert_eq!(status(&ada, &format!("/operator/leftovers/local/{kept}?typed={kept}")).await?, 404);
    assert_eq!(status(&ada, "/operator/leftovers/local/..%2F..?typed=x").await?, 404);
    assert!(volume.join("data/diary").exists());

    assert_eq!(status(&ada, &format!("{path}?typed={stray}")).await?, 204);
    assert!(!places.join(stray).exists(), "it is gone, data and all");
    let form = ada.in_browser(Method::POST, "/operator").body(format!("provisioner=local&id={empty}"));
    let answer = form.header("content-type", "application/x-www-form-urlencoded").send().await?;
    assert_eq!(answer.headers()["location"], "/operator?done=leftover");
    assert!(!places.join(empty).exists());
    assert_eq!(ben.get("/environments/kept").await?.body["state"], "ready", "it was let alone");
    ben.api()?.act("kept", "delete").await?;
    Ok(())
}
