//! What people say about an environment: name, tags, note.

use app::api::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Guest, House, Outcome};

async fn change(guest: &Guest, environment: &str, change: Value) -> Outcome<(u16, Value)> {
    let answer = guest.request(Method::PATCH, &format!("/environments/{environment}")).json(&change).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_gets_another_name_tags_and_a_note_and_its_timeline_tells_who_gave_them() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let ben = house.guest("default", "ben", Role::User).await?;
    let ordered = ann.order("scratch", "shop").await?;
    ann.order("scratch", "mill").await?;

    let said = json!({ "name": "store", "tags": ["Demo", "q3", "demo"], "note": "For the **demo**.\r\nHands off." });
    let (status, detail) = change(&ann, "shop", said.clone()).await?;
    assert_eq!(status, 200, "{detail}");
    assert_eq!(detail["id"], ordered["id"], "it is the same environment");
    assert_eq!((&detail["name"], &detail["tags"]), (&json!("store"), &json!(["demo", "q3"])));
    assert_eq!(detail["note"], "For the **demo**.\nHands off.");
    assert_eq!(ann.get("/environments/shop").await?.status, 404, "the old name is free");
    let found = ben.get("/environments?search=DEM").await?.body;
    assert_eq!(found["items"][0]["name"], "store", "who is in the team finds it by its tag");

    // Said again, nothing of it is news.
    assert_eq!(change(&ann, "store", said).await?.0, 200);
    let timeline = ann.get("/environments/store/timeline").await?.body;
    let said: Vec<_> = timeline["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|event| ["renamed", "tagged", "noted"].iter().any(|kind| event["kind"] == *kind))
        .map(|event| (event["message"].as_str().unwrap_or_default(), event["actor"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(said, [("Note changed", "ann"), ("Tagged demo, q3", "ann"), ("Renamed from shop to store", "ann")]);

    // What cannot be is refused, field by field, and nothing of it is done.
    let (status, refused) = change(&ann, "store", json!({ "name": "mill", "note": "" })).await?;
    assert_eq!((status, &refused["fields"][0]["field"]), (409, &json!("name")));
    let (status, refused) = change(&ann, "store", json!({ "name": "No!", "tags": ["a b"] })).await?;
    assert_eq!((status, refused["fields"].as_array().map(Vec::len)), (422, Some(2)));
    assert_eq!(change(&ann, "store", json!({ "color": "red" })).await?.0, 422, "nothing else can be said");
    assert_eq!(change(&ben, "store", json!({ "tags": [] })).await?.0, 403, "it is ann's");
    let detail = ann.get("/environments/store").await?.body;
    assert_eq!((&detail["tags"], &detail["note"]), (&json!(["demo", "q3"]), &json!("For the **demo**.\nHands off.")));
    Ok(())
}
