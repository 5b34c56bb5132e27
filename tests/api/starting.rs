//! What keeps a portal from starting is said in words, and does no damage.

use tests::portal::{Portal, Setting};
use tests::{House, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_said_and_nothing_is_left() -> Outcome {
    let house = House::open().await?;
    let said = Setting::new()?.listen(house.address()).refusal().await?;
    assert!(said.contains("another program does already") && said.contains("--listen"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_portal_on_the_same_data_is_refused_and_the_first_goes_on() -> Outcome {
    let first = Portal::start().await?;
    let said = Setting::new()?.on(first.data_directory()).refusal().await?;
    assert!(said.contains("another portal is running") && said.contains("--data-dir"), "{said}");
    let api = first.administrator().await?;
    assert_eq!(api.get("/me").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_newer_version_are_refused_and_left_alone() -> Outcome {
    let mut portal = Portal::start().await?;
    portal.stop().await?;
    let file = portal.data_directory().join("bookend.db");
    let url = format!("sqlite://{}", file.display());
    let pool = sqlx::SqlitePool::connect(&url).await?;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'later', 1, x'00', 0)",
    )
    .execute(&pool)
    .await?;
    pool.close().await;
    let said = Setting::new()?.on(portal.data_directory()).refusal().await?;
    assert!(said.contains("newer Bookend"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_that_is_none_is_said() -> Outcome {
    let said = Setting::new()?.options(&["--public-url", "bookend.example.com"]).refusal().await?;
    assert!(said.contains("--public-url") && said.contains("https://bookend.example.com"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_environments_log_lines_and_sessions() -> Outcome {
    let mut portal = Portal::start().await?;
    let api = portal.administrator().await?;
    api.order("scratch", "box").await?;
    let before = api.await_state("box", "ready").await?;
    let lines = api.get("/environments/box/logs").await?.expect_success()?;
    portal.stop().await?;
    portal.start_again().await?;
    let after = api.await_state("box", "ready").await?;
    assert_eq!(before["servers"][0]["generation"], after["servers"][0]["generation"], "the same server, not a new one");
    let still = api.get("/environments/box/logs").await?.expect_success()?;
    for line in lines.as_array().into_iter().flatten() {
        assert!(still.as_array().is_some_and(|still| still.contains(line)), "{line} is lost");
    }
    Ok(())
}
