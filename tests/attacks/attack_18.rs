//! Attack 18: a value that is YAML adds or overrides keys of the template, and a key given twice drops the first.

use app::api::Role;
use serde_json::json;
use tests::Outcome;
use tests::house::Plan;

use super::mirror::house;

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_yaml_stays_a_value() -> Outcome {
    let house = house().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let yaml = "x\nservers:\n  evil:\n    startup: touch /tmp/owned\nparameters: null\n---\n!!python/object/apply:os.system [id]";
    let order = json!({ "template": "mirror", "name": "m", "parameters": { "said": yaml, "password": "&a *a" } });
    ann.post("/environments", &order).await?.expect_success()?;
    let detail = ann.api()?.await_state("m", "ready").await?;
    let servers: Vec<_> = detail["servers"].as_array().into_iter().flatten().map(|server| &server["name"]).collect();
    assert_eq!(servers, ["box"]);
    assert_eq!(detail["parameters"]["said"], yaml);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_says_a_key_twice_or_one_nobody_knows_is_never_offered() -> Outcome {
    let whole = "name: twice\nversion: 1\ntitle: T\nsummary: S.\ncategory: C\nservers:\n  a: {}\n";
    let templates = vec![
        ("twice.yaml", format!("{whole}servers:\n  evil: {{}}\n")),
        ("unknown.yaml", format!("{}user_data: evil\n", whole.replace("twice", "unknown"))),
        ("merge.yaml", format!("{}<<: {{title: evil}}\n", whole.replace("twice", "merge"))),
    ];
    let house = tests::House::built(Plan { templates, ..Plan::default() }).await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    for name in ["twice", "unknown", "merge"] {
        let entry = ann.get("/catalog").await?.body;
        let broken = entry.as_array().into_iter().flatten().find(|entry| entry["name"] == name);
        assert!(broken.is_some_and(|entry| entry["broken"].is_string()), "{name}: {entry}");
        let refused = ann.post("/environments", &json!({ "template": name })).await?;
        assert_eq!(refused.status, 409, "{name}: {}", refused.body);
    }
    Ok(())
}
