//! Attack 17: escape from the template's expression language. Ours only puts values in the place of names, once.

use app::api::Role;
use serde_json::{Value, json};
use tests::Outcome;

use super::mirror::house;

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_looks_like_an_expression_is_never_read_as_one() -> Outcome {
    let house = house().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let tries = [
        "${parameters.password}",
        "$${parameters.password}",
        "${servers.box.address}",
        "{{7*7}} #{7*7} <%= 7*7 %> ${{7*7}}",
        "${parameters.said}${parameters.said}",
        "${constructor.constructor('return process')()}",
    ];
    for (number, said) in tries.iter().enumerate() {
        let name = format!("m{number}");
        let order =
            json!({"template": "mirror", "name": name, "parameters": {"said": said, "password": "canary-c4n4ry"}});
        ann.post("/environments", &order).await?.expect_success()?;
        let detail = ann.api()?.await_state(&name, "ready").await?;
        let output = |of: &str| -> Value {
            let outputs = detail["outputs"].as_array().into_iter().flatten();
            outputs.clone().find(|output| output["name"] == of).map_or(Value::Null, |output| output["value"].clone())
        };
        assert_eq!(output("said"), format!("It said: {said}"));
        assert_eq!(output("password"), "canary-c4n4ry");
        let (seen, _) = ann.exec(&name, "box", &["printenv", "SAID"]).await?;
        assert_eq!(seen, format!("{said}\n"));
    }
    Ok(())
}
