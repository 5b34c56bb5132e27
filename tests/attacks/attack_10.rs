//! Attack 10: the limit on sign-in attempts is got around by a null byte or another case; people are found out by the answer.

use app::api::Role;
use reqwest::StatusCode;
use serde_json::json;
use tests::house::PASSWORD;
use tests::{House, Outcome};

const QUARTER_HOUR: i64 = 15 * 60 * 1000;

async fn attempt(house: &House, name: &str, password: &str) -> Outcome<StatusCode> {
    let body = json!({ "name": name, "password": password });
    Ok(house.http.post(house.url("/api/v1/session")).json(&body).send().await?.status())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_write_a_name_counts_for_the_one_person() -> Outcome {
    let house = House::open().await?;
    house.resident("default", "ann", Role::User).await?;
    house.resident("default", "ben", Role::User).await?;
    for variant in ["ann", "ANN", "Ann", "ann\0", "\0ann", " ann", "ann\n", "ann\u{200b}", "a nn", "aNN\0\0"] {
        assert_eq!(attempt(&house, variant, "wrong password").await?, 401, "{variant:?}");
    }
    for variant in ["ann", "ANN\0", "ann "] {
        assert_eq!(attempt(&house, variant, PASSWORD).await?, 429, "{variant:?}, even with the right password");
    }
    assert_eq!(attempt(&house, "ben", PASSWORD).await?, 200, "others are let in");
    house.wait(QUARTER_HOUR + 1000);
    assert_eq!(attempt(&house, "ann", PASSWORD).await?, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_sent_at_once_are_no_better_than_guesses_sent_one_by_one() -> Outcome {
    let house = House::open().await?;
    house.resident("default", "ann", Role::User).await?;
    let guesses = futures::future::join_all((0..40).map(|_| attempt(&house, "ann", "wrong password"))).await;
    let mut looked_at = 0;
    for guess in guesses {
        looked_at += usize::from(guess? == 401);
    }
    assert!(looked_at <= 10, "{looked_at} passwords were tried");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_try_every_name() -> Outcome {
    let house = House::open().await?;
    for number in 0..50 {
        assert_eq!(attempt(&house, &format!("person{number}"), "wrong password").await?, 401);
    }
    assert_eq!(attempt(&house, "another", "wrong password").await?, 429);
    Ok(())
}
